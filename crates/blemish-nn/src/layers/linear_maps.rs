//! Linear maps of the rows and columns of an image: smoothing and change of size.

use blemish_ops::{LinearMap, map_linearly};
use burn::tensor::Tensor;

/// Every output as weights of inputs: (input, weight) for each output.
pub(crate) type Taps = Vec<Vec<(usize, f64)>>;

/// y(n, c) = A x(n, c) B^T for x batch x channels x height x width: A maps the rows, B the columns. Always in the tensors' own precision: what
/// is smoothed or enlarged is often subtracted afterwards.
pub(crate) fn along_height_and_width(x: Tensor<4>, rows: &Taps, columns: &Taps) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    map_linearly(x, &LinearMap::new(height, rows), &LinearMap::new(width, columns))
}
