//! Blocks of several layers as parts of a graph.

use super::{GraphLayer, activated, dense};
use crate::shared::tensors::values_of;
use blemish_core::error::Error;
use blemish_core::export::cannot;
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction};
use blemish_nn::layers::{Activation, CornerActivation, CornerPadding, Sspcab, SspcabOptions};

impl GraphLayer for Sspcab {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let SspcabOptions { kernel, distance, activation, padding, .. } = self.options();
        if padding == CornerPadding::Reflect || activation == CornerActivation::BranchRelu {
            return Err(cannot(
                "its predicted block mirrors maps or bends its corners apart, which has no graph",
            ));
        }
        // One kernel over all four corners, of zeros between them.
        let (channels, side, far) = (x.channels, 2 * (kernel + distance) + 1, kernel + 2 * distance + 1);
        let mut weights = vec![0.0; channels * channels * side * side];
        let mut biases = vec![0.0; channels];
        for (corner, (top, left)) in self.corners.iter().zip([(0, 0), (far, 0), (0, far), (far, far)]) {
            for (at, weight) in values_of(corner.weight.val())?.into_iter().enumerate() {
                let (pair, row, column) =
                    (at / (kernel * kernel), at / kernel % kernel + top, at % kernel + left);
                weights[(pair * side + row) * side + column] = weight;
            }
            biases.iter_mut().zip(values_of(corner.bias.val())?).for_each(|(sum, bias)| *sum += bias);
        }
        let weights = writer.floats("corners", &[channels, channels, side, side], &weights);
        let biases = writer.floats("bias", &[channels], &biases);
        let sum = writer.convolve(&x.value, &weights, Some(&biases), side, 1);
        let seen = match activation {
            CornerActivation::None => sum,
            _ => writer.each("Relu", &sum),
        };
        let mean = writer.reduce(Reduction::Mean, &seen, &[2, 3], false);
        let inner = dense(writer, &self.squeeze, &mean)?;
        let inner = activated(writer, Activation::Relu, &inner);
        let gate = dense(writer, &self.excite, &inner)?;
        let gate = activated(writer, Activation::Sigmoid, &gate);
        let gate = writer.unsqueeze(&gate, &[2, 3]);
        Ok(GraphMap { value: writer.mul(&seen, &gate), ..*x })
    }
}
