//! Convolution, normalisation and activation, one after the other.

use super::activation::Activation;
use super::conv::Conv;
use super::norm::Norm;
use super::phase::Phase;
use super::transposed_conv::TransposedConv;
use crate::init::Init;
use burn::module::Module;
use burn::tensor::Tensor;

/// A convolution of either kind.
#[derive(Module, Debug)]
pub enum Convolution {
    /// See [`Conv`].
    Plain(Conv),
    /// See [`TransposedConv`].
    Transposed(TransposedConv),
}

impl Convolution {
    /// Channels that it makes.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Plain(conv) => conv.bias.dims()[0],
            Self::Transposed(conv) => conv.bias.dims()[0],
        }
    }

    /// y for x, batch x inputs x height x width.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Plain(conv) => conv.forward(x),
            Self::Transposed(conv) => conv.forward(x),
        }
    }
}

impl From<Conv> for Convolution {
    fn from(conv: Conv) -> Self {
        Self::Plain(conv)
    }
}

impl From<TransposedConv> for Convolution {
    fn from(conv: TransposedConv) -> Self {
        Self::Transposed(conv)
    }
}

/// What encoders, decoders and U-Nets are made of: y = activation(norm(convolution(x))).
#[derive(Module, Debug)]
pub struct ConvUnit {
    /// First.
    pub conv: Convolution,
    /// Then, if there is one.
    pub norm: Option<Norm>,
    /// Last.
    #[module(skip)]
    pub activation: Activation,
}

impl ConvUnit {
    /// With batch normalisation.
    pub fn normed(conv: impl Into<Convolution>, activation: Activation, init: &Init) -> Self {
        let conv = conv.into();
        let norm = Norm::batch(conv.outputs(), init);
        Self { conv, norm: Some(norm), activation }
    }

    /// With group normalisation, see [`Norm::group`].
    pub fn grouped(conv: impl Into<Convolution>, activation: Activation, init: &Init) -> Self {
        let conv = conv.into();
        let norm = Norm::group(conv.outputs(), init);
        Self { conv, norm: Some(norm), activation }
    }

    /// Without normalisation.
    pub fn plain(conv: impl Into<Convolution>, activation: Activation) -> Self {
        Self { conv: conv.into(), norm: None, activation }
    }

    /// y for x, batch x inputs x height x width.
    pub fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let y = self.conv.forward(x);
        match &self.norm {
            Some(norm) => norm.forward_then(y, phase, self.activation),
            None => self.activation.forward(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, double, random, weighted};
    use burn::module::Param;

    #[test]
    fn gradients_are_the_slopes_through_every_activation() {
        let mut init = double();
        let activations = [
            Activation::Identity,
            Activation::Relu,
            Activation::LeakyRelu(0.2),
            Activation::Silu,
            Activation::Sigmoid,
            Activation::Tanh,
        ];
        for activation in activations {
            let down = Conv::new(2, 3, 4, &mut init).with_stride(2).with_padding(1).without_bias(&init);
            let up = TransposedConv::new(3, 2, 4, 2, &mut init).with_padding(1);
            let units = [ConvUnit::normed(down, activation, &init), ConvUnit::plain(up, activation)];
            let x = Param::from_tensor(random([2, 2, 4, 4], 1));
            check_gradients((units, x), |(units, x)| {
                weighted(units.iter().fold(x.val(), |x, unit| unit.forward(x, Phase::Training)))
            });
        }
    }
}
