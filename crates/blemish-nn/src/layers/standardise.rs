//! Rows to mean 0 and variance 1: what group and layer normalisation share.

use blemish_ops::batch_norm_relu;
use burn::tensor::Tensor;

/// Values that are summed in one go, at most.
const RUN: u32 = 512;

/// (x - m) / sqrt(v + epsilon) of every row of rows x values, m and v the row's mean and (biased) variance.
pub(super) fn standardise(x: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let shape @ [rows, values] = x.dims();
    // The rows as the channels of one sample: the gradient is then one operation instead of a dozen, and long rows keep their digits.
    let one = Tensor::ones([rows], (&x.device(), x.dtype()));
    let zero = one.zeros_like();
    batch_norm_relu(x.reshape([1, rows, 1, values]), one, zero, epsilon, 1.0).0.reshape(shape)
}

/// The mean of every row of rows x values, rows x 1: means of short runs first, since one long sum in single precision loses digits.
pub(super) fn row_means(x: Tensor<2>) -> Tensor<2> {
    let [rows, values] = x.dims();
    let run = 1 << values.trailing_zeros().min(RUN.ilog2());
    x.reshape([rows, values / run, run]).mean_dim(2).mean_dim(1).reshape([rows, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random, values};
    use burn::tensor::DType;

    #[test]
    fn long_rows_keep_their_digits() {
        let x = random([2, 8, 128, 256], 1).reshape([2, 8 * 128 * 256]).detach() + 3.0;
        let single = x.clone().cast(DType::F32);
        // What single precision holds exactly.
        let x = single.clone().cast(DType::F64);
        let mean = x.clone().mean_dim(1);
        close(&values(row_means(single.clone())), &values(mean.clone()), 2e-6);
        let off = x - mean;
        let expected = off.clone() / ((off.clone() * off).mean_dim(1) + 1e-5).sqrt();
        close(&values(standardise(single, 1e-5)), &values(expected), 1e-6);
    }
}
