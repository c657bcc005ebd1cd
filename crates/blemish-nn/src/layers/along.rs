//! Values of channels along maps.

use burn::tensor::Tensor;

/// A value of every channel, along a map.
pub(crate) fn along<const D: usize>(values: Tensor<D>) -> Tensor<4> {
    let channels = values.dims().iter().product::<usize>();
    values.reshape([1, channels, 1, 1])
}

/// Values of every channel of every image, images x channels, along maps.
pub(crate) fn along_images(values: Tensor<2>) -> Tensor<4> {
    let [images, channels] = values.dims();
    values.reshape([images, channels, 1, 1])
}
