//! Blocks of several layers as parts of a graph.

use super::{GraphLayer, activated, chained, dense};
use crate::shared::tensors::values_of;
use blemish_core::error::Error;
use blemish_core::export::cannot;
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Value};
use blemish_nn::layers::{
    Activation, Conv, CoordinateAttention, CornerActivation, CornerPadding, ResidualBlock, Sspcab,
    SspcabOptions,
};

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

impl GraphLayer for ResidualBlock {
    fn write(&self, writer: &mut GraphWriter, x: &GraphMap) -> Result<GraphMap, Error> {
        let around = match &self.shortcut {
            Some(shortcut) => shortcut.write(writer, x)?,
            None => x.clone(),
        };
        let y = chained(writer, [&self.first, &self.second], x.clone())?;
        let sum = writer.add(&y.value, &around.value);
        Ok(GraphMap { value: writer.each("Relu", &sum), ..y })
    }
}

/// The weights of every row, N x C x H x 1, and of every column, N x C x 1 x W.
pub(crate) fn coordinate_attention(
    writer: &mut GraphWriter,
    attention: &CoordinateAttention,
    x: &GraphMap,
) -> Result<[Value; 2], Error> {
    let rows = writer.reduce(Reduction::Mean, &x.value, &[3], true);
    let columns = writer.reduce(Reduction::Mean, &x.value, &[2], true);
    let columns = writer.transpose(&columns, &[0, 1, 3, 2]);
    let line =
        GraphMap { value: writer.concat(&[rows, columns], 2), height: x.height + x.width, width: 1, ..*x };
    let line = attention.squeeze.write(writer, &line)?;
    let (middle, end) = (x.height as i64, (x.height + x.width) as i64);
    let mut part = |from: i64, to: i64, conv: &Conv| -> Result<Value, Error> {
        let height = (to - from) as usize;
        let part = GraphMap { value: writer.slice(&line.value, from, to, 2), height, ..line };
        let weights = conv.write(writer, &part)?;
        Ok(activated(writer, Activation::Sigmoid, &weights.value))
    };
    let rows = part(0, middle, &attention.rows)?;
    let columns = part(middle, end, &attention.columns)?;
    Ok([rows, writer.transpose(&columns, &[0, 1, 3, 2])])
}
