//! Transposed convolution of Burn's operations, for other devices and other precisions of products.

use crate::convolve;
use burn::tensor::Tensor;

/// As a convolution for each of the s^2 places that an output can have between inputs (sub-pixel convolution), so that no product meets an
/// inserted zero.
pub(crate) fn composed(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    [rows, columns]: [usize; 2],
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let [_, outputs, kernel, _] = weight.dims();
    let height = x.dims()[2];
    // Rows s q .. s q + s of the whole result come from the rows q - taps + 1 ..= q of x. One row more holds what output padding adds.
    let taps = kernel.div_ceil(stride);
    let is_beyond = rows + padding > (height - 1 + taps) * stride;
    let x = if is_beyond { x.pad((0, 1, 0, 1), 0.0) } else { x };
    let bias = bias.unsqueeze_dim::<2>(1).repeat_dim(1, stride * stride).reshape([-1]);
    let y = spread(convolve(x, phases(weight, taps, stride), bias, 1, taps - 1), outputs, stride);
    y.narrow(2, padding, rows).narrow(3, padding, columns)
}

/// The kernels of a convolution to outputs * s * s channels: those of output o at place (u, v) between inputs are
/// W(c, o, s m + u, s n + v), m and n from the last tap to the first.
fn phases(weight: Tensor<4>, taps: usize, stride: usize) -> Tensor<4> {
    let [inputs, outputs, kernel, _] = weight.dims();
    let weight = match taps * stride - kernel {
        0 => weight,
        rest => weight.pad((0, rest, 0, rest), 0.0),
    };
    let weight = weight.reshape([inputs, outputs, taps, stride, taps, stride]).flip([2, 4]);
    weight.permute([1, 3, 5, 0, 2, 4]).reshape([outputs * stride * stride, inputs, taps, taps])
}

/// Channel (o, u, v) at (i, j) goes to channel o at (s i + u, s j + v).
fn spread(y: Tensor<4>, outputs: usize, stride: usize) -> Tensor<4> {
    if stride == 1 {
        return y;
    }
    let [batch, _, height, width] = y.dims();
    let y = y.reshape([batch, outputs, stride, stride, height, width]).permute([0, 1, 4, 2, 5, 3]);
    y.reshape([batch, outputs, height * stride, width * stride])
}
