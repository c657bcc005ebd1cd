//! The mean that losses are.

use burn::tensor::Tensor;

/// The mean of all values, in an order that their number alone decides: the sums of the first dimension's parts, then their sum.
///
/// Burn's own mean of four million values or more adds up what its threads happen to find.
pub fn mean<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let count = x.dims().iter().product::<usize>();
    let parts = if D == 1 { 1 } else { x.dims()[0] };
    x.reshape([parts, count / parts.max(1)]).sum_dim(1).sum() / count as f64
}
