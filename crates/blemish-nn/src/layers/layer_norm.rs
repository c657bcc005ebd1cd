//! Layer normalisation of tokens.

use super::standardise::standardise;
use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Brings every token to mean 0 and variance 1, then to a learned scale and shift of every feature.
///
/// y = g (x - m) / sqrt(v + epsilon) + b, m and v the mean and (biased) variance over the last dimension, g and b as long as that. For
/// whole maps see [`super::MapNorm`].
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// g, from 1.
    pub gain: Param<Tensor<1>>,
    /// b, from 0.
    pub shift: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    /// For tokens of `width` values, epsilon 1e-5.
    pub fn new(width: usize, init: &Init) -> Self {
        Self { gain: init.constant(1.0, [width]), shift: init.constant(0.0, [width]), epsilon: 1e-5 }
    }

    /// With another constant that keeps quotients finite.
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// y for x, of any shape that ends with the tokens' width.
    ///
    /// # Panics
    /// If x has another width.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let shape = x.dims();
        let width = shape[D - 1];
        let x = standardise(x.reshape([shape.iter().product::<usize>() / width, width]), self.epsilon);
        (x * self.gain.val().unsqueeze() + self.shift.val().unsqueeze()).reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values, weighted};

    #[test]
    fn every_token_is_normalised_by_itself() {
        let init = double();
        let mut norm = LayerNorm::new(2, &init).with_epsilon(0.0);
        norm.gain = init.of(vec![1.0, 3.0], [2]);
        norm.shift = init.of(vec![0.5, 0.0], [2]);
        let x = init.of(vec![1.0, 3.0, 20.0, 10.0], [1, 2, 2]).val();
        close(&values(norm.forward(x)), &[-0.5, 3.0, 1.5, -3.0], 1e-12);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let norm = LayerNorm::new(5, &double());
        let x = Param::from_tensor(random([2, 3, 5], 1));
        check_gradients((norm, x), |(norm, x)| weighted(norm.forward(x.val())));
    }
}
