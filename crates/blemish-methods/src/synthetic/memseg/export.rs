//! MemSeg as a graph: the search of the memory, the differences, then the network.

use super::MemSeg;
use super::config::{Attention, Difference, NAME, Rules, Selection};
use super::last_stage::LastStage;
use super::memory::Memory;
use super::network::{Decoder, Fusion, Level};
use crate::shared::graph::GraphBank;
use crate::shared::layer_graph::{
    GraphLayer, chained, coordinate_attention, joined, mean_of_largest, resized, times,
};
use crate::shared::map_size::MapSize;
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Value};
use blemish_kernels::map::resize_aligned;

/// Adds a model.
pub(super) fn write(
    model: &MemSeg,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let LastStage::Own(blocks) = &model.network.last_stage else {
        return Err(cannot(
            "its last stage is the backbone's own, trained on, which has no graph yet; fit it on layers up to stride 16",
        ));
    };
    let (height, width) = input.size;
    let (stem, levels) = layers(&model.memory, &input.maps)?;
    let rules = model.config.rules();
    let items = nearest(writer, &model.memory, &rules, levels);
    let seen = Seen::new(writer, &model.memory, &rules, levels, &items);
    let fused = fused(writer, &model.network.fusion, &seen)?;
    let deepest = levels.last().ok_or_else(|| cannot("it has no level"))?;
    let deepest = chained(writer, blocks, deepest.clone())?;
    let decoder = &model.network.decoder;
    let logits = decoded(writer, decoder, deepest, (stem, &fused), input.size)?;
    let good = writer.slice(&logits.value, 0, 1, 1);
    let defective = writer.slice(&logits.value, 1, 2, 1);
    let apart = writer.sub(&defective, &good);
    let probabilities = writer.each("Sigmoid", &apart);
    let values = writer.squeeze(&probabilities, &[1]);
    let score = mean_of_largest(writer, &values, height * width, input.region, model.config.top);
    Ok(GraphScores { values, height, width, image_score: Some(score) })
}

/// The stem's map, where there is one, and those of the levels.
fn layers<'a>(
    memory: &Memory,
    maps: &'a [GraphMap],
) -> Result<(Option<&'a GraphMap>, &'a [GraphMap]), Error> {
    let known = memory.layers();
    let size = |map: &GraphMap| MapSize { channels: map.channels, height: map.height, width: map.width };
    let maps = &maps[..known.sizes.len().min(maps.len())];
    if maps.iter().map(size).ne(known.sizes.iter().copied()) {
        let reason = format!(
            "{NAME} compares every position with the same one of good images; use the model's own image size"
        );
        return Err(cannot(reason));
    }
    let first = usize::from(known.has_stem);
    Ok((maps[..first].first(), &maps[first..]))
}

/// The most similar item for each level, N x C x H x W.
///
/// Features of the levels that are searched together are one row, each level's values over the root of their number: squared distances of
/// rows are then sums of mean squares.
fn nearest(writer: &mut GraphWriter, memory: &Memory, rules: &Rules, levels: &[GraphMap]) -> Vec<Value> {
    let groups: Vec<_> = match rules.selection {
        Selection::Joint => std::iter::once(0..levels.len()).collect(),
        Selection::PerLevel => (0..levels.len()).map(|level| level..level + 1).collect(),
    };
    let values = |level: usize| levels[level].channels * levels[level].height * levels[level].width;
    let root = |level: usize| (values(level) as f32).sqrt();
    let mut items = Vec::new();
    for group in groups {
        let parts: Vec<Value> = group
            .clone()
            .map(|level| {
                let row = writer.reshape(&levels[level].value, &[-1, 1, values(level) as i64]);
                times(writer, &row, 1.0 / root(level))
            })
            .collect();
        let row = writer.concat(&parts, 2);
        let of_item = |item: usize| {
            group
                .clone()
                .flat_map(move |level| memory.item(level, item).iter().map(move |value| value / root(level)))
        };
        let entries: Vec<f32> = (0..memory.count).flat_map(of_item).collect();
        let length = group.clone().map(values).sum();
        let bank = GraphBank::new(writer, &entries, length, 1);
        let near = bank.search(writer, &row, 1);
        let item = writer.gather(&bank.entries, &near.nearest, 0);
        let mut from = 0;
        for level in group {
            let to = from + values(level) as i64;
            let part = writer.slice(&item, from, to, 2);
            let part = times(writer, &part, root(level));
            let shape = [levels[level].channels, levels[level].height, levels[level].width];
            let [channels, height, width] = shape.map(|side| side as i64);
            items.push(writer.reshape(&part, &[-1, channels, height, width]));
            from = to;
        }
    }
    items
}

/// What the network is given, a level each, see [`super::network::Seen`].
struct Seen {
    information: Vec<GraphMap>,
    spatial: Vec<Value>,
}

impl Seen {
    fn new(
        writer: &mut GraphWriter,
        memory: &Memory,
        rules: &Rules,
        levels: &[GraphMap],
        items: &[Value],
    ) -> Self {
        let (mut information, mut means) = (Vec::new(), Vec::new());
        for (level, item) in levels.iter().zip(items) {
            let apart = writer.sub(&level.value, item);
            let value = match rules.difference {
                Difference::Squared => writer.mul(&apart, &apart),
                Difference::Absolute => writer.each("Abs", &apart),
            };
            let mean = writer.reduce(Reduction::Mean, &value, &[1], true);
            means.push(GraphMap { value: mean, channels: 1, ..*level });
            information.push(joined(writer, &[level, &GraphMap { value, ..*level }]));
        }
        let mut maps = means.clone();
        for level in (0..levels.len().saturating_sub(1)).rev() {
            let deeper = if rules.is_cascade { level + 1..level + 2 } else { level + 1..levels.len() };
            for from in deeper {
                let other = if rules.is_cascade { &maps[from] } else { &means[from] };
                let other = resized(writer, other, resize_aligned, (maps[level].height, maps[level].width));
                maps[level].value = writer.mul(&maps[level].value, &other.value);
            }
        }
        let scaled = |(map, scale): (&GraphMap, &f32)| times(writer, &map.value, 1.0 / scale);
        let spatial = maps.iter().zip(&memory.scales).map(scaled).collect();
        Self { information, spatial }
    }
}

fn level(writer: &mut GraphWriter, level: &Level, information: &GraphMap) -> Result<GraphMap, Error> {
    let [rows, columns] = coordinate_attention(writer, &level.attention, information)?;
    let x = level.enter.write(writer, information)?;
    let value = writer.mul(&x.value, &rows);
    let mut value = writer.mul(&value, &columns);
    if level.kind == Attention::Gated {
        value = writer.mul(&value, &information.value);
    }
    chained(writer, [&level.narrow, &level.leave], GraphMap { value, ..x })
}

/// F_l M_l, shallow to deep.
fn fused(writer: &mut GraphWriter, fusion: &Fusion, seen: &Seen) -> Result<Vec<GraphMap>, Error> {
    let mut fused: Vec<GraphMap> = Vec::new();
    for (at, own) in fusion.levels.iter().enumerate().rev() {
        let information = &seen.information[at];
        let mut own = level(writer, own, information)?;
        if let Some(deeper) = fused.last() {
            let enlarged = resized(writer, deeper, resize_aligned, (information.height, information.width));
            let down = fusion.down[at].write(writer, &enlarged)?;
            own.value = writer.add(&own.value, &down.value);
        }
        fused.push(own);
    }
    fused.reverse();
    for (map, spatial) in fused.iter_mut().zip(&seen.spatial) {
        map.value = writer.mul(&map.value, spatial);
    }
    Ok(fused)
}

/// Logits of good and defective.
fn decoded(
    writer: &mut GraphWriter,
    decoder: &Decoder,
    deepest: GraphMap,
    (stem, fused): (Option<&GraphMap>, &[GraphMap]),
    size: (usize, usize),
) -> Result<GraphMap, Error> {
    let stem = match (stem, &decoder.stem) {
        (Some(stem), Some(conv)) => Some(conv.write(writer, stem)?),
        (stem, _) => stem.cloned(),
    };
    let skips = fused.iter().rev().chain(&stem).map(Some).chain([None]);
    let mut x = deepest;
    for ((up, merge), skip) in decoder.up.iter().zip(&decoder.merge).zip(skips) {
        let to = skip.map_or(size, |skip| (skip.height, skip.width));
        let enlarged = resized(writer, &x, resize_aligned, to);
        x = up.write(writer, &enlarged)?;
        if let Some(skip) = skip {
            x = joined(writer, &[&x, skip]);
        }
        x = chained(writer, merge, x)?;
    }
    decoder.leave.write(writer, &x)
}
