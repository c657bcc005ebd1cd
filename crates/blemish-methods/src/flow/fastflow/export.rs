//! FastFlow as a graph.

use super::{FastFlow, Norm};
use crate::shared::flow_graph::{chain, latent_energy, map_norm};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, both_sides, cannot, resize_matrix};
use blemish_features::onnx::{GraphWriter, Value};
use blemish_kernels::map::resize_bilinear;

/// Adds a model: the flows of all layers and the mean of their likelihoods.
pub(super) fn write(
    model: &FastFlow,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let (sizes, network) = (&model.trained.sizes, &model.trained.network);
    let (height, width) = input.size;
    let mut sum: Option<Value> = None;
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
        let share = writer.number(-1.0 / map.channels as f32);
        let exponent = writer.mul(&energy, &share);
        let likely = writer.each("Exp", &exponent);
        let down = resize_matrix(resize_bilinear, map.height, height);
        let across = resize_matrix(resize_bilinear, map.width, width);
        let resized = both_sides(writer, &likely, (&down, &across), (map.height, map.width));
        let share = writer.number(-1.0 / input.maps.len() as f32);
        let part = writer.mul(&resized, &share);
        sum = Some(match sum {
            None => part,
            Some(sum) => writer.add(&sum, &part),
        });
    }
    let sum = sum.ok_or_else(|| cannot("it has no layers"))?;
    let values = writer.squeeze(&sum, &[1]);
    Ok(GraphScores { values, height, width, image_score: None })
}
