//! The gradient penalty: a loss that contains a gradient.
//!
//! The gradient of the critic by its images is written down as an expression of ordinary operations, backwards through its layers: the
//! adjoint of each convolution, the slope of each normalisation, a mask for each activation. That expression has first derivatives
//! like any other, which are the second derivatives that the penalty needs. Activations are linear in pieces, so their masks have none.

use super::residual::{Block, ResidualEncoder, doubled, halved};
use crate::shared::dcgan::Encoder;
use blemish_nn::layers::{Activation, Conv, ConvUnit, Convolution, Norm, Phase};
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor};

/// Keeps the slope of the norm finite where the gradient vanishes.
const TINY: f64 = 1e-12;

/// Tells good images from made ones: one value for each image.
#[derive(Module, Debug)]
pub(super) enum Critic {
    /// Of residual blocks.
    Residual(ResidualEncoder),
    /// Of strided convolutions.
    Dcgan(Encoder),
}

impl Network for Critic {}

/// From a slope by what a layer made to the slope by what it was made of.
type Pull<'a> = Box<dyn FnOnce(Tensor<4>) -> Tensor<4> + 'a>;

impl Critic {
    /// f(x), the map before the last layer, of batch x 3 x S x S.
    pub(super) fn features(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        match self {
            Self::Residual(critic) => critic.features(x, phase),
            Self::Dcgan(critic) => critic.features(x, phase),
        }
    }

    /// D(x), batch x 1 x 1 x 1.
    pub(super) fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let features = self.features(x, phase);
        match self {
            Self::Residual(critic) => critic.conclude(features),
            Self::Dcgan(critic) => critic.conclude(features),
        }
    }

    /// The gradient of D(x) by x, of the shape of x, for a critic without batch normalisation.
    ///
    /// # Panics
    /// If the critic has batch normalisation: an image's value would have gradients by the others.
    pub(super) fn slope(&self, x: Tensor<4>) -> Tensor<4> {
        let mut pulls: Vec<Pull<'_>> = Vec::new();
        let mut y = x;
        let slope = match self {
            Self::Residual(critic) => {
                let size = size_of(&y);
                pulls.push(Box::new(move |slope| critic.first.adjoint(slope, size)));
                y = critic.first.forward(y);
                for block in &critic.blocks {
                    let pull;
                    (y, pull) = through_block(block, y);
                    pulls.push(pull);
                }
                let [batch, channels, height, width] = y.dims();
                let weight = critic.head.weight.val().reshape([1, channels, height, width]);
                weight.repeat_dim(0, batch)
            }
            Self::Dcgan(critic) => {
                for unit in &critic.units {
                    let pull;
                    (y, pull) = through_unit(unit, y);
                    pulls.push(pull);
                }
                let ones = Tensor::ones([y.dims()[0], 1, 1, 1], (&y.device(), y.dtype()));
                critic.head.adjoint(ones, size_of(&y))
            }
        };
        pulls.into_iter().rev().fold(slope, |slope, pull| pull(slope))
    }

    /// Mean over the images of (|gradient of D| - 1)^2.
    pub(super) fn penalty(&self, x: Tensor<4>) -> Tensor<1> {
        let slope = self.slope(x);
        let [batch, channels, height, width] = slope.dims();
        let slope = slope.reshape([batch, channels * height * width]);
        let norm = ((slope.clone() * slope).sum_dim(1) + TINY).sqrt();
        (norm - 1.0).powi_scalar(2).mean()
    }
}

fn size_of(x: &Tensor<4>) -> [usize; 2] {
    let [_, _, height, width] = x.dims();
    [height, width]
}

/// x where it is positive, `slope` x elsewhere, and the way back.
fn rectified<'a>(x: Tensor<4>, slope: f64) -> (Tensor<4>, Pull<'a>) {
    let mask = x.clone().detach().sign().clamp_min(0.0) * (1.0 - slope) + slope;
    let y = x * mask.clone();
    (y, Box::new(move |slope| slope * mask))
}

fn normed(norm: &Norm, x: Tensor<4>) -> (Tensor<4>, Pull<'_>) {
    let Norm::Group(group) = norm else {
        unreachable!("a critic with a gradient penalty is made without batch normalisation")
    };
    let y = group.forward(x.clone());
    (y, Box::new(move |slope| group.pull(x, slope)))
}

fn convolved(conv: &Conv, x: Tensor<4>) -> (Tensor<4>, Pull<'_>) {
    let size = size_of(&x);
    (conv.forward(x), Box::new(move |slope| conv.adjoint(slope, size)))
}

fn through_unit(unit: &ConvUnit, x: Tensor<4>) -> (Tensor<4>, Pull<'_>) {
    let (Convolution::Plain(conv), Activation::LeakyRelu(slope)) = (&unit.conv, unit.activation) else {
        unreachable!("a critic is made of plain convolutions with LeakyReLU")
    };
    let (y, by_conv) = convolved(conv, x);
    let (y, by_norm) = match &unit.norm {
        Some(norm) => normed(norm, y),
        None => (y, Box::new(|slope| slope) as Pull<'_>),
    };
    let (y, by_activation) = rectified(y, slope);
    (y, Box::new(move |slope| by_conv(by_norm(by_activation(slope)))))
}

/// Of a block that halves maps.
fn through_block(block: &Block, x: Tensor<4>) -> (Tensor<4>, Pull<'_>) {
    let (beside, by_shortcut) = convolved(&block.shortcut, halved(x.clone()));
    let mut y = x;
    let mut pulls: Vec<Pull<'_>> = Vec::new();
    for (norm, conv) in block.norms.iter().zip(&block.convs) {
        let (by_norm, by_activation, by_conv);
        (y, by_norm) = normed(norm, y);
        (y, by_activation) = rectified(y, 0.0);
        (y, by_conv) = convolved(conv, y);
        pulls.extend([by_norm, by_activation, by_conv]);
    }
    let pull = move |slope: Tensor<4>| {
        // Each of four values has a quarter of the mean's slope.
        let spread = |slope: Tensor<4>| doubled(slope) * 0.25;
        let through = pulls.into_iter().rev().fold(spread(slope.clone()), |slope, pull| pull(slope));
        through + spread(by_shortcut(slope))
    };
    (halved(y) + beside, Box::new(pull))
}
