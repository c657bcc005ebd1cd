//! PatchCore as a graph.

use super::{ImageScore, PatchCore, Variant};
use crate::shared::graph::{GraphBank, check_exact, embed, pick_rows, reweighted, squared_length, worst};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores};
use blemish_features::onnx::{GraphWriter, Reduction, Setting, Value};

/// Adds a model: the operators of its score, see `Scorer`.
pub(super) fn write(
    model: &PatchCore,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let (config, bank) = (&model.scorer.config, &model.scorer.bank);
    check_exact(bank.is_exact())?;
    let (rows, length) = embed(writer, config.aggregation(), &input.maps);
    bank.check_length(length)?;
    let (height, width) = input.maps.first().map_or((0, 0), |map| (map.height, map.width));
    let cells = height * width;
    let stored = GraphBank::new(writer, bank.entries(), length, cells);
    let near = stored.search(writer, &rows, config.neighbours);
    let each = match config.variant {
        Variant::Official => near.squared.clone(),
        Variant::Anomalib => writer.each("Sqrt", &near.squared),
    };
    let flat = writer.reduce(Reduction::Mean, &each, &[2], false);
    let grid = writer.reshape(&flat, &[-1, height as i64, width as i64]);
    let values = input.inside(writer, &grid, (height, width));
    let flat = writer.reshape(&values, &[-1, cells as i64]);
    let (highest, place) = worst(writer, &flat);
    let around = config.reweight_neighbours.min(bank.len());
    let image_score = if config.image_score() == ImageScore::Max || around < 2 {
        highest
    } else {
        // The neighbours of every entry are known now, so that none are searched for later.
        let table = neighbours(model, around)?;
        let table = writer.integers("neighbours", &[bank.len(), around], &table);
        let row = pick_rows(writer, &rows, &place, length);
        let nearest = writer.apply("GatherElements", &[&near.nearest, &place], &[Setting::Int("axis", 1)]);
        let own = distances(writer, &row, &stored.entries, &nearest);
        let numbers = writer.gather(&table, &nearest, 0);
        let numbers = writer.squeeze(&numbers, &[1]);
        let around = distances(writer, &row, &stored.entries, &numbers);
        reweighted(writer, &highest, &own, &around)
    };
    Ok(GraphScores { values, height, width, image_score: Some(image_score) })
}

/// The numbers of the entries nearest to each entry, itself among them: entries x `count`.
fn neighbours(model: &PatchCore, count: usize) -> Result<Vec<i64>, Error> {
    let bank = &model.scorer.bank;
    let mut numbers = Vec::with_capacity(bank.len() * count);
    for entries in bank.entries().chunks(1024 * bank.dimensions()) {
        numbers.extend(bank.nearest(entries, count)?.indices.into_iter().map(|number| number as i64));
    }
    Ok(numbers)
}

/// Distances of a row an image, N x d, to entries by their numbers, N x m: N x m.
fn distances(writer: &mut GraphWriter, row: &Value, entries: &Value, numbers: &Value) -> Value {
    let entries = writer.gather(entries, numbers, 0);
    let row = writer.unsqueeze(row, &[1]);
    let apart = writer.sub(&row, &entries);
    let squared = squared_length(writer, &apart);
    writer.each("Sqrt", &squared)
}
