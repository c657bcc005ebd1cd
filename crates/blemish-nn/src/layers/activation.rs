//! Activations that a network keeps as one of its layers.

use burn::module::Module;
use burn::tensor::{Tensor, activation};

/// max(x, 0).
#[derive(Module, Debug)]
pub struct Relu;

/// What follows a convolution, value by value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    Relu,
    /// x where it is positive, slope * x elsewhere.
    LeakyRelu(f64),
    /// x / (1 + exp(-x)).
    Silu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// tanh(x).
    Tanh,
}

impl Activation {
    /// For x of any shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match *self {
            Self::Identity => x,
            Self::Relu => activation::relu(x),
            Self::LeakyRelu(slope) => activation::leaky_relu(x, slope),
            Self::Silu => activation::silu(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Tanh => x.tanh(),
        }
    }
}
