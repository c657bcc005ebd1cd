//! The moment of a diffusion as a learned vector.

use super::dense::Dense;
use super::embedding::sinusoid;
use crate::init::Init;
use burn::module::Module;
use burn::tensor::{Tensor, TensorData, activation};

/// z = W2 silu(W1 s + b1) + b2 with s the sines and cosines of a time, see [`sinusoid`] (Ho et al. 2020).
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    /// Of the sines and cosines.
    pub first: Dense,
    /// Of what the activation leaves.
    pub second: Dense,
    width: usize,
}

impl TimeEmbedding {
    /// Of `width` sines and cosines, an even number, to `outputs` values.
    ///
    /// # Panics
    /// If the width is odd or 0.
    pub fn new(width: usize, outputs: usize, init: &mut Init) -> Self {
        assert!(width > 0 && width.is_multiple_of(2), "{width} sines and cosines are no pairs");
        Self { first: Dense::new(width, outputs, init), second: Dense::new(outputs, outputs, init), width }
    }

    /// z of times, times x outputs.
    pub fn forward(&self, times: &[f64]) -> Tensor<2> {
        let weight = self.first.weight.val();
        let target = (&weight.device(), weight.dtype());
        let waves = TensorData::new(sinusoid(times, self.width), [times.len(), self.width]);
        let waves = Tensor::from_data(waves.convert_dtype(weight.dtype()), target);
        self.second.rows(activation::silu(self.first.rows(waves)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, values, weighted};

    #[test]
    fn time_nought_sees_the_cosines_alone() {
        let init = double();
        let unit = |size: usize| {
            let values = (0..size * size).map(|at| f32::from(u8::from(at / size == at % size))).collect();
            Dense { weight: init.of(values, [size, size]), bias: init.constant(0.0, [size]) }
        };
        let embedding = TimeEmbedding { first: unit(4), second: unit(4), width: 4 };
        let one = 1.0 / (1.0 + (-1f64).exp());
        close(&values(embedding.forward(&[0.0])), &[0.0, 0.0, one, one], 1e-6);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let embedding = TimeEmbedding::new(4, 6, &mut double());
        check_gradients(embedding, |embedding| weighted(embedding.forward(&[3.0, 250.0])));
    }
}
