//! Sums of log-determinants.

use burn::tensor::Tensor;

/// The sum of log-determinants; zeros for each position of z without any.
pub(super) fn sum(log_dets: Vec<Tensor<4>>, z: &Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = z.dims();
    let none = || Tensor::zeros([batch, 1, height, width], (&z.device(), z.dtype()));
    log_dets.into_iter().reduce(|a, b| a + b).unwrap_or_else(none)
}
