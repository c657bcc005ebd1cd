//! Space to channels and back.

use burn::tensor::Tensor;

/// c x h x w to 4c x h/2 x w/2: new channel 4 c + 2 dy + dx holds pixel (2 y + dy, 2 x + dx) of channel c.
///
/// # Panics
/// If a side is odd.
pub fn squeeze(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    assert!(height % 2 == 0 && width % 2 == 0, "a map of {height} x {width} cannot be squeezed");
    let x = x.reshape([batch, channels, height / 2, 2, width / 2, 2]);
    x.permute([0, 1, 3, 5, 2, 4]).reshape([batch, 4 * channels, height / 2, width / 2])
}

/// The reverse.
///
/// # Panics
/// If the channels are not a multiple of 4.
pub fn unsqueeze(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    assert!(channels % 4 == 0, "a map of {channels} channels cannot be unsqueezed");
    let x = x.reshape([batch, channels / 4, 2, 2, height, width]);
    x.permute([0, 1, 4, 2, 5, 3]).reshape([batch, channels / 4, 2 * height, 2 * width])
}
