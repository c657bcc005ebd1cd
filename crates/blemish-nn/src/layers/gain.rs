//! A learned factor of every channel.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// A learned factor per channel, exp(3 g), that starts at 1.
#[derive(Module, Debug)]
pub struct Gain {
    /// g.
    pub log: Param<Tensor<1>>,
}

impl Gain {
    /// x exp(3 g).
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let channels = x.dims()[1];
        x * (self.log.val() * 3.0).exp().reshape([1, channels, 1, 1])
    }
}
