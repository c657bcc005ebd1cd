//! Layer normalisation of whole maps.

use super::standardise::standardise;
use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Every image's map to mean 0 and variance 1 over channels and positions together; no part of a flow, whose density is that of its result.
#[derive(Module, Debug)]
pub struct MapNorm {
    /// Scale and shift of every value, where they are learned.
    learned: Option<(Param<Tensor<3>>, Param<Tensor<3>>)>,
}

impl MapNorm {
    /// Added to the variance.
    pub const EPSILON: f64 = 1e-5;

    /// For maps of channels x height x width.
    pub fn new(shape: [usize; 3], is_learned: bool, init: &Init) -> Self {
        Self { learned: is_learned.then(|| (init.constant(1.0, shape), init.constant(0.0, shape))) }
    }

    /// Scale and shift of every value, channels x height x width, where they are learned.
    pub fn learned(&self) -> Option<(Tensor<3>, Tensor<3>)> {
        self.learned.as_ref().map(|(scale, shift)| (scale.val(), shift.val()))
    }

    /// (x - mean) / sqrt(variance + [`Self::EPSILON`]), scaled and shifted if learned.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let x = standardise(x.reshape([batch, channels * height * width]), Self::EPSILON).reshape(shape);
        match &self.learned {
            Some((scale, shift)) => x * scale.val().unsqueeze() + shift.val().unsqueeze(),
            None => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, double, random, weighted};

    #[test]
    fn gradients_are_the_slopes() {
        let norm = MapNorm::new([2, 3, 2], true, &double());
        let x = Param::from_tensor(random([2, 2, 3, 2], 1));
        check_gradients((norm, x), |(norm, x)| weighted(norm.forward(x.val())));
    }
}
