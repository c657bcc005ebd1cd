//! Linear maps of the rows and columns of an image: smoothing and change of size.

use blemish_ops::{dense, with_products_in};
use burn::tensor::{Tensor, TensorData};

/// Every output as weights of inputs: (input, weight) for each output.
pub(crate) type Taps = Vec<Vec<(usize, f64)>>;

/// y(n, c) = A x(n, c) B^T for x batch x channels x height x width: A maps the rows, B the columns.
///
/// As products of matrices, which every device has with gradients and none makes depend on the number of threads. Always in the
/// tensors' own precision: what is smoothed or enlarged is often subtracted afterwards.
pub(crate) fn along_height_and_width(x: Tensor<4>, rows: &Taps, columns: &Taps) -> Tensor<4> {
    with_products_in(None, || along_width(along_width(x, columns).swap_dims(2, 3), rows).swap_dims(2, 3))
}

fn along_width(x: Tensor<4>, taps: &Taps) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let outputs = taps.len();
    let mut matrix = vec![0.0; width * outputs];
    for (output, taps) in taps.iter().enumerate() {
        taps.iter().for_each(|&(input, weight)| matrix[input * outputs + output] += weight);
    }
    let target = (&x.device(), x.dtype());
    let data = TensorData::new(matrix, [width, outputs]).convert_dtype(x.dtype());
    let y = dense(
        x.reshape([batch * channels * height, width]),
        Tensor::from_data(data, target),
        Tensor::zeros([outputs], target),
    );
    y.reshape([batch, channels, height, outputs])
}
