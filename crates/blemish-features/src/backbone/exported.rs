//! A backbone as part of a larger ONNX graph.

use super::{Backbone, BackboneState};
use crate::FeatureError;
use crate::onnx::{self, GraphWriter, Value};

/// A feature map of a batch in a graph: N x C x H x W.
#[derive(Clone, Debug)]
pub struct GraphMap {
    /// What holds it.
    pub value: Value,
    /// C.
    pub channels: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
}

impl Backbone {
    /// Writes the network into a graph: the maps that [`Self::extract`] gives, of images `rgb`, N x 3 x H x W in [0, 1] for `size = [H, W]`.
    ///
    /// Names of its steps begin with `scope`. Normalisation comes first, as an operator of its own: where windows are padded with zeros, it cannot be
    /// a part of the first convolution.
    ///
    /// # Errors
    /// As [`Self::extract`], and [`FeatureError::Onnx`] for a user's graph that cannot be a part of another.
    pub fn write(
        &self,
        writer: &mut GraphWriter,
        scope: &str,
        rgb: &Value,
        size: [usize; 2],
    ) -> Result<Vec<GraphMap>, FeatureError> {
        let [height, width] = size;
        let sizes = self.extract(&vec![0.5; 3 * height * width], [1, height, width])?;
        writer.scope(scope);
        let mean = writer.floats("mean", &[1, 3, 1, 1], &self.normalization.mean);
        let std = writer.floats("std", &[1, 3, 1, 1], &self.normalization.std);
        let centred = writer.sub(rgb, &mean);
        let input = writer.div(&centred, &std);
        let values = match (&self.graph, &self.state) {
            (Some(graph), BackboneState::Network { weights, .. }) => {
                let outputs: Vec<String> = graph.taps.iter().map(|tap| onnx::tap_output(&tap.name)).collect();
                writer.embed(&onnx::emit_at(graph, weights, size)?, scope, &input, &outputs)?
            }
            (_, BackboneState::Onnx { bytes, layers, .. }) => writer.embed(bytes, scope, &input, layers)?,
            (_, BackboneState::Network { .. } | BackboneState::Quantised { .. }) => {
                return Err(self.not_a_network());
            }
        };
        let map = |(value, map): (Value, crate::FeatureMap)| GraphMap {
            value,
            channels: map.channels,
            height: map.height,
            width: map.width,
        };
        Ok(values.into_iter().zip(sizes).map(map).collect())
    }
}
