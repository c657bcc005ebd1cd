//! A learned scale and shift of every channel.

use crate::init::Init;
use crate::layers::along::along;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};

/// z = g x + b per channel with g = 0.2 ln(1 + exp(G / 2)), which starts at 1.
#[derive(Module, Debug)]
pub struct ChannelAffine {
    /// G.
    pub raw_scale: Param<Tensor<1>>,
    /// b.
    pub offset: Param<Tensor<1>>,
}

impl ChannelAffine {
    /// The identity.
    pub fn new(channels: usize, init: &Init) -> Self {
        let raw = 2.0 * (5.0f32.exp() - 1.0).ln();
        Self { raw_scale: init.constant(raw, [channels]), offset: init.constant(0.0, [channels]) }
    }

    fn scale(&self) -> Tensor<1> {
        activation::softplus(self.raw_scale.val(), 0.5) * 0.1
    }

    /// z and the log-determinant, 1 x 1 x 1 x 1.
    pub fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let scale = self.scale();
        (x * along(scale.clone()) + along(self.offset.val()), along(scale.log().sum()))
    }

    /// x.
    pub fn inverse(&self, z: Tensor<4>) -> Tensor<4> {
        (z - along(self.offset.val())) / along(self.scale())
    }
}
