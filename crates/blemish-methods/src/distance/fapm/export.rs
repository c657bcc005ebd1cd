//! FAPM as a graph: the banks of a layer's regions side by side.

use super::{Fapm, Memory, Weighting};
use crate::shared::bank::Bank;
use crate::shared::graph::{SPARE, neighbourhood_mean, pick_rows, reweighted, rows, squared_length, worst};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_features::onnx::{GraphWriter, Reduction, Setting, Value};

/// The values of entries that fill the smaller banks up: farther from everything than any feature, and within half precision.
const FAR: f32 = 3e4;

/// Adds a model: the operators of its score, see `Memory`.
pub(super) fn write(
    model: &Fapm,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let memory = &model.memory;
    let shapes = input.maps.iter().map(|map| (map.channels, map.height, map.width));
    if !shapes.eq(memory.sizes.iter().map(|size| (size.channels, size.height, size.width))) {
        return Err(cannot(
            "images of this size give other maps than those it was fitted on; use its own image size",
        ));
    }
    let (height, width) = (memory.sizes[0].height, memory.sizes[0].width);
    let k = memory.neighbours();
    let mut distances = Vec::new();
    for (layer, map) in input.maps.iter().enumerate() {
        let mean = neighbourhood_mean(writer, &map.value, memory.config.patch_size);
        let patches = rows(writer, &mean, map.height * map.width, map.channels);
        distances.push(layer_distances(writer, memory, layer, &patches, k));
    }
    let sums = writer.sum(distances).ok_or_else(|| cannot("it has no layers"))?;
    let nearest = writer.slice(&sums, 0, 1, -1);
    let grid = writer.reshape(&nearest, &[-1, height as i64, width as i64]);
    let values = input.inside(writer, &grid, (height, width));
    let flat = writer.reshape(&values, &[-1, (height * width) as i64]);
    let (highest, place) = worst(writer, &flat);
    let image_score = if k < 2 {
        highest
    } else {
        let near = pick_rows(writer, &sums, &place, k);
        let at = match memory.config.weighting {
            Weighting::Official => k as i64 - 1,
            Weighting::Nearest => 0,
        };
        let own = writer.slice(&near, at, at + 1, 1);
        reweighted(writer, &highest, &own, &near)
    };
    Ok(GraphScores { values, height, width, image_score: Some(image_score) })
}

/// The k smallest distances of a layer, for every cell of the first layer: N x cells x k.
fn layer_distances(
    writer: &mut GraphWriter,
    memory: &Memory,
    layer: usize,
    patches: &Value,
    k: usize,
) -> Value {
    let (banks, regions) = (&memory.banks[layer], &memory.regions);
    let dimensions = memory.sizes[layer].channels;
    let (count, entries) = (banks.len(), banks.iter().map(Bank::len).max().unwrap_or(1));
    let cells = regions.cells[layer].iter().map(Vec::len).max().unwrap_or(1);
    // Smaller banks are filled up with entries that never win, smaller regions with cells that nobody asks for.
    let mut values = vec![FAR; count * entries * dimensions];
    for (bank, own) in banks.iter().zip(values.chunks_exact_mut(entries * dimensions)) {
        own[..bank.entries().len()].copy_from_slice(bank.entries());
    }
    let numbers: Vec<i64> = regions.cells[layer]
        .iter()
        .flat_map(|own| (0..cells).map(|at| own.get(at).or(own.first()).map_or(0, |&cell| cell as i64)))
        .collect();
    let table = writer.table("banks", &[count * entries, dimensions], &values);
    let numbers = writer.list(&numbers);
    let gathered = writer.gather(patches, &numbers, 1);
    let shape = [-1, count as i64, cells as i64, dimensions as i64];
    let queries = writer.reshape(&gathered, &shape);
    let by_region = writer.reshape(&table, &[count as i64, entries as i64, dimensions as i64]);
    let squares = writer.mul(&by_region, &by_region);
    let lengths = writer.reduce(Reduction::Sum, &squares, &[2], false);
    let lengths = writer.unsqueeze(&lengths, &[1]);
    let turned = writer.transpose(&by_region, &[0, 2, 1]);
    let minus_two = writer.number(-2.0);
    let scaled = writer.mul(&queries, &minus_two);
    let products = writer.matmul(&scaled, &turned);
    let order = writer.add(&products, &lengths);
    let [_, proposed] = writer.smallest(&order, (k + SPARE).min(entries));
    let firsts: Vec<i64> = (0..count).map(|region| (region * entries) as i64).collect();
    let firsts = writer.integers("firsts", &[count, 1, 1], &firsts);
    let proposed = writer.add(&proposed, &firsts);
    let near = writer.gather(&table, &proposed, 0);
    let each = writer.unsqueeze(&queries, &[3]);
    let apart = writer.sub(&each, &near);
    let squared = squared_length(writer, &apart);
    let [squared, _] = writer.smallest(&squared, k);
    let distances = writer.apply("Sqrt", &[&squared], &[] as &[Setting<'_>]);
    let flat = writer.reshape(&distances, &[-1, (count * cells) as i64, k as i64]);
    // Every cell of the first layer with the cell of this one that it goes with.
    let total = memory.sizes[0].height * memory.sizes[0].width;
    let mut partners = vec![0i64; total];
    for (region, firsts) in regions.cells[0].iter().enumerate() {
        for (&cell, &partner) in firsts.iter().zip(&regions.partners[layer][region]) {
            partners[cell] = (region * cells + partner) as i64;
        }
    }
    let partners = writer.list(&partners);
    writer.gather(&flat, &partners, 1)
}
