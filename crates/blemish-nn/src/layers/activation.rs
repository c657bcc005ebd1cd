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
    /// x clamp(x + 3, 0, 6) / 6.
    HardSwish,
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
            Self::HardSwish => (x.clone() + 3.0).clamp(0.0, 6.0) * x / 6.0,
            Self::Sigmoid => activation::sigmoid(x),
            Self::Tanh => x.tanh(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, double, values};

    #[test]
    fn the_hard_swish_is_zero_far_below_and_the_value_far_above() {
        let x = double().of(vec![-4.0, -3.0, -1.5, 0.0, 1.0, 3.0, 5.0], [7]).val();
        let y = values(Activation::HardSwish.forward(x));
        close(&y, &[0.0, 0.0, -0.375, 0.0, 2.0 / 3.0, 3.0, 5.0], 1e-12);
    }
}
