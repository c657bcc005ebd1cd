//! CS-Flow as a graph: the backbone at three sizes, the couplings over them, the energy of the latent.

use super::{CsFlow, NAME, Score, check_scales};
use crate::shared::flow_graph::{latent_energy, transform};
use crate::shared::layer_graph::{GraphLayer, activated, doubled, times};
use crate::shared::tensors::values_of;
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Value};
use blemish_kernels::image::rotation::thinned;
use blemish_kernels::map::resize_bilinear;
use blemish_nn::flow::{CrossScaleBlock, CrossSubnet};
use blemish_nn::layers::Activation;

/// Adds a model.
pub(super) fn write(
    model: &CsFlow,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let mut z = three_scales(model, writer, input)?;
    let channels = z[0].channels;
    let (height, width) = (z[0].height, z[0].width);
    let positions: usize = z.iter().map(|map| map.height * map.width).sum();
    for block in &model.trained.network.blocks {
        z = coupled(writer, block, &z)?;
    }
    let energies: Vec<Value> = z.iter().map(|z| latent_energy(writer, &z.value)).collect();
    let image_score = (model.config.score == Score::Mean).then(|| {
        let sums: Vec<Value> =
            energies.iter().map(|energy| writer.reduce(Reduction::Sum, energy, &[2, 3], false)).collect();
        let sums = writer.concat(&sums, 1);
        let sum = writer.reduce(Reduction::Sum, &sums, &[1], false);
        times(writer, &sum, 1.0 / (positions * channels) as f32)
    });
    let map = writer.squeeze(&energies[0], &[1]);
    let values = times(writer, &map, 2.0 / channels as f32);
    Ok(GraphScores { values, height, width, image_score })
}

/// The deepest layer's maps of the image, of every second and of every fourth pixel of it.
fn three_scales(
    model: &CsFlow,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<Vec<GraphMap>, Error> {
    let mut maps = Vec::new();
    for step in [1, 2, 4] {
        let (height, width) = thinned(input.size, step);
        let mut image = input.image.clone();
        for (axis, length) in [(2, height), (3, width)].into_iter().filter(|_| step > 1) {
            let numbers: Vec<i64> = (0..length).map(|at| (at * step) as i64).collect();
            let numbers = writer.list(&numbers);
            image = writer.gather(&image, &numbers, axis);
        }
        let scope = format!("{}backbone/{step}/", input.prefix);
        let found = model.backbone.write(writer, &scope, &image, [height, width])?;
        maps.extend(found.into_iter().next_back());
    }
    writer.scope(&format!("{}{NAME}/", input.prefix));
    let grids: Vec<_> = maps.iter().map(|map| (map.height, map.width)).collect();
    check_scales(&grids, input.size).map_err(cannot)?;
    Ok(maps)
}

/// z of a block at every scale, see [`CrossScaleBlock::forward`].
fn coupled(
    writer: &mut GraphWriter,
    block: &CrossScaleBlock,
    x: &[GraphMap],
) -> Result<Vec<GraphMap>, Error> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (x, permutation) in x.iter().zip(&block.permutations) {
        let order: Vec<i64> = permutation.order.iter().map(|&channel| channel as i64).collect();
        let mut half = |from: usize, to: usize| {
            let order = writer.list(&order[from..to]);
            GraphMap { value: writer.gather(&x.value, &order, 1), channels: to - from, ..*x }
        };
        let middle = x.channels / 2;
        first.push(half(0, middle));
        second.push(half(middle, x.channels));
    }
    let moved = |writer: &mut GraphWriter, x: Vec<GraphMap>, raw: Vec<Value>| -> Vec<GraphMap> {
        let pairs = x.into_iter().zip(raw);
        pairs
            .map(|(x, raw)| {
                let (value, _) = transform(writer, &x.value, &raw, x.channels as i64, block.coupling);
                GraphMap { value, ..x }
            })
            .collect()
    };
    let raw = crossed(writer, &block.to_first, &second)?;
    let first = moved(writer, first, raw);
    let raw = crossed(writer, &block.to_second, &first)?;
    let second = moved(writer, second, raw);
    let pairs = first.into_iter().zip(second);
    Ok(pairs
        .map(|(first, second)| {
            let channels = first.channels + second.channels;
            GraphMap { value: writer.concat(&[first.value, second.value], 1), channels, ..second }
        })
        .collect())
}

/// r and t of every scale, see [`CrossSubnet`].
fn crossed(writer: &mut GraphWriter, subnet: &CrossSubnet, x: &[GraphMap]) -> Result<Vec<Value>, Error> {
    let mut h = Vec::new();
    for (x, conv) in x.iter().zip(&subnet.inner) {
        let y = conv.write(writer, x)?;
        let value = activated(writer, Activation::LeakyRelu(CrossSubnet::SLOPE), &y.value);
        h.push(GraphMap { value, ..y });
    }
    let gamma = values_of(subnet.gamma.val())?;
    let mut raw = Vec::new();
    for scale in 0..h.len() {
        let mut sum = subnet.outer[scale].write(writer, &h[scale])?.value;
        if scale > 0 {
            let down = subnet.down[scale - 1].write(writer, &h[scale - 1])?;
            sum = writer.add(&sum, &down.value);
        }
        if let Some(deeper) = h.get(scale + 1) {
            let enlarged = doubled(writer, deeper, resize_bilinear);
            let up = subnet.up[scale].write(writer, &enlarged)?;
            sum = writer.add(&sum, &up.value);
        }
        raw.push(times(writer, &sum, gamma[scale]));
    }
    Ok(raw)
}
