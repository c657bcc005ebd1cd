//! CFlow as a graph.

use super::{CFlow, position_codes};
use crate::shared::flow_graph::{Codes, chain, latent_energy};
use crate::shared::layer_graph::{plus, resized, times};
use crate::shared::map_size::MapSize;
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_features::GraphMap;
use blemish_features::onnx::GraphWriter;
use blemish_kernels::map::resize_aligned;

/// Adds a model: the flows of all layers at every position, and what their likelihoods lack of the largest.
pub(super) fn write(
    model: &CFlow,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let (height, width) = input.size;
    let mut shares = Vec::new();
    for (layer, map) in model.layers.iter().zip(&input.maps) {
        let size = MapSize { channels: map.channels, height: map.height, width: map.width };
        let condition = model.config.condition;
        let known = (condition > 0).then(|| position_codes(size, condition));
        let codes = known.as_ref().map(|values| Codes {
            channels: condition,
            height: map.height,
            width: map.width,
            values,
        });
        let (z, log_det) = chain(writer, &layer.flow, &map.value, map.channels, codes.as_ref())?;
        let energy = latent_energy(writer, &z);
        let apart = writer.sub(&log_det, &energy);
        let scaled = times(writer, &apart, 1.0 / map.channels as f32);
        let constant = 0.5 * std::f64::consts::TAU.ln() + f64::from(layer.largest);
        let below = plus(writer, &scaled, -constant as f32);
        let nought = writer.number(0.0);
        let below = writer.apply("Min", &[&below, &nought], &[]);
        let likely = GraphMap { value: writer.each("Exp", &below), channels: 1, ..*map };
        shares.push(resized(writer, &likely, resize_aligned, input.size).value);
    }
    let sum = writer.sum(shares).ok_or_else(|| cannot("it has no layers"))?;
    let layers = writer.number(model.layers.len() as f32);
    let lacking = writer.sub(&layers, &sum);
    let values = writer.squeeze(&lacking, &[1]);
    Ok(GraphScores { values, height, width, image_score: None })
}
