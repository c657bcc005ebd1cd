//! FastFlow as a graph.

use super::{FastFlow, Norm};
use crate::shared::flow_graph::{chain, latent_energy, map_norm};
use crate::shared::layer_graph::{resized, times};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_features::GraphMap;
use blemish_features::onnx::GraphWriter;
use blemish_kernels::map::resize_bilinear;

/// Adds a model: the flows of all layers and the mean of their likelihoods.
pub(super) fn write(
    model: &FastFlow,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let (sizes, network) = (&model.trained.sizes, &model.trained.network);
    let (height, width) = input.size;
    let mut parts = Vec::new();
    for (layer, map) in input.maps.iter().enumerate() {
        if model.config.norm == Norm::Learned && (map.height, map.width) != sizes[layer].grid() {
            return Err(cannot(
                "a learned layer normalisation fixes the size of the maps; use the model's own image size",
            ));
        }
        let shape = [map.channels, map.height, map.width];
        let x = match network.norms.get(layer) {
            Some(norm) => map_norm(writer, norm, &map.value, shape)?,
            None => map.value.clone(),
        };
        let (z, _) = chain(writer, &network.flows[layer], &x, map.channels, None)?;
        let energy = latent_energy(writer, &z);
        let exponent = times(writer, &energy, -1.0 / map.channels as f32);
        let likely = GraphMap { value: writer.each("Exp", &exponent), channels: 1, ..*map };
        let likely = resized(writer, &likely, resize_bilinear, input.size);
        parts.push(times(writer, &likely.value, -1.0 / input.maps.len() as f32));
    }
    let sum = writer.sum(parts).ok_or_else(|| cannot("it has no layers"))?;
    let values = writer.squeeze(&sum, &[1]);
    Ok(GraphScores { values, height, width, image_score: None })
}
