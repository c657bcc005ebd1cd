//! Rows to mean 0 and variance 1: what group and layer normalisation share.

use burn::tensor::Tensor;
use burn::tensor::module::batch_norm_train;

/// (x - m) / sqrt(v + epsilon) of every row of rows x values, m and v the row's mean and (biased) variance.
pub(super) fn standardise(x: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let shape @ [rows, values] = x.dims();
    // The rows as the channels of one sample: the gradient is then one operation instead of a dozen.
    let one = Tensor::ones([rows], (&x.device(), x.dtype()));
    let zero = one.zeros_like();
    batch_norm_train(x.reshape([1, rows, values]), one, zero, epsilon).output.reshape(shape)
}
