//! CFA as a graph.

use super::descriptor::coordinates;
use super::{Cfa, NEIGHBOURHOOD, Scaling};
use crate::shared::graph::{GraphBank, neighbourhood_mean, rows};
use crate::shared::tensors::values_of;
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, both_sides, cannot, resize_matrix};
use blemish_features::onnx::{GraphWriter, Reduction};
use blemish_kernels::map::resize_bilinear;

/// Adds a model: the descriptor as 1x1 convolutions, see `Descriptor`, and the search of its bank.
pub(super) fn write(
    model: &Cfa,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let Some(first) = input.maps.first() else { return Err(cannot("the model has no backbone")) };
    let (height, width) = (first.height, first.width);
    let dimensions = model.bank.dimensions();
    let mut sum = writer.floats("places", &[1, dimensions, height, width], &places(model, (height, width))?);
    for (map, weight) in input.maps.iter().zip(&model.descriptor.layers) {
        let mut value = neighbourhood_mean(writer, &map.value, NEIGHBOURHOOD);
        if model.config.scaling == Some(Scaling::Channels) {
            let share = writer.number(1.0 / map.channels as f32);
            value = writer.mul(&value, &share);
        }
        let own = values_of(weight.val())?;
        let channels = map.channels;
        let turned: Vec<f32> =
            (0..own.len()).map(|at| own[at % channels * dimensions + at / channels]).collect();
        let weight = writer.floats("descriptor", &[dimensions, channels, 1, 1], &turned);
        value = writer.convolve(&value, &weight, None, 1, 1);
        if (map.height, map.width) != (height, width) {
            let down = resize_matrix(resize_bilinear, map.height, height);
            let across = resize_matrix(resize_bilinear, map.width, width);
            value = both_sides(writer, &value, (&down, &across), (map.height, map.width));
        }
        sum = writer.add(&sum, &value);
    }
    let phi = rows(writer, &sum, height * width, dimensions);
    let bank = GraphBank::new(writer, model.bank.rows(), dimensions, height * width);
    let near = bank.search(writer, &phi, model.config.neighbours);
    let distances = writer.each("Sqrt", &near.squared);
    let nearest = writer.slice(&distances, 0, 1, -1);
    let shifted = writer.sub(&nearest, &distances);
    let shares = writer.each("Exp", &shifted);
    let sum = writer.reduce(Reduction::Sum, &shares, &[2], true);
    let scores = writer.div(&nearest, &sum);
    let values = writer.reshape(&scores, &[-1, height as i64, width as i64]);
    Ok(GraphScores { values, height, width, image_score: None })
}

/// What the descriptor adds at every position: its coordinates' part and the bias, dimensions x height x width.
fn places(model: &Cfa, (height, width): (usize, usize)) -> Result<Vec<f32>, Error> {
    let (weights, bias) =
        (values_of(model.descriptor.coordinates.val())?, values_of(model.descriptor.bias.val())?);
    let places = coordinates(height, width);
    let dimensions = bias.len();
    let at = |dimension: usize| {
        let (of_row, of_column) = (weights[dimension], weights[dimensions + dimension]);
        let bias = bias[dimension];
        places.chunks_exact(2).map(move |place| place[0] * of_row + place[1] * of_column + bias)
    };
    Ok((0..dimensions).flat_map(at).collect())
}
