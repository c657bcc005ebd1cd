//! Batch normalisation of rows.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Keeps quotients finite.
const EPSILON: f64 = 1e-5;

/// Brings every channel to mean 0 and variance 1, then to a learned scale and shift.
///
/// While training, the moments are those of the batch ([`Self::by_batch`]). For scoring they are set once, from many rows, by
/// [`Self::settle`] after the training; a running average along the way would depend on its last steps and, under dropout, on the
/// variance that dropout adds.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Learned scale, from 1.
    pub gain: Param<Tensor<1>>,
    /// Learned shift, from 0.
    pub shift: Param<Tensor<1>>,
    /// Mean for scoring.
    pub mean: Param<Tensor<1>>,
    /// Variance for scoring.
    pub variance: Param<Tensor<1>>,
}

impl BatchNorm {
    /// Of `channels` channels.
    pub fn new(channels: usize, init: &Init) -> Self {
        let fixed = |value| init.constant(value, [channels]).set_require_grad(false);
        Self {
            gain: init.constant(1.0, [channels]),
            shift: init.constant(0.0, [channels]),
            mean: fixed(0.0),
            variance: fixed(1.0),
        }
    }

    /// By the moments of the batch itself: rows x channels, at least two rows.
    pub fn by_batch(&self, x: Tensor<2>) -> Tensor<2> {
        let (mean, variance) = moments(&x);
        self.scaled(x, mean, variance)
    }

    /// By the moments that were settled.
    pub fn by_settled(&self, x: Tensor<2>) -> Tensor<2> {
        self.scaled(x, self.mean.val().unsqueeze(), self.variance.val().unsqueeze())
    }

    /// Takes the moments of these rows for scoring.
    pub fn settle(&mut self, x: &Tensor<2>) {
        let (mean, variance) = moments(x);
        let channels = x.dims()[1];
        let set = |param: &Param<Tensor<1>>, value: Tensor<2>| {
            let value = value.reshape([channels]);
            param.clone().map(|_| value.clone())
        };
        self.mean = set(&self.mean, mean);
        self.variance = set(&self.variance, variance);
    }

    fn scaled(&self, x: Tensor<2>, mean: Tensor<2>, variance: Tensor<2>) -> Tensor<2> {
        (x - mean) / (variance + EPSILON).sqrt() * self.gain.val().unsqueeze() + self.shift.val().unsqueeze()
    }
}

/// Mean and (biased) variance of every channel, 1 x channels each.
fn moments(x: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let mean = x.clone().mean_dim(0);
    let centred = x.clone() - mean.clone();
    (mean, (centred.clone() * centred).mean_dim(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn rows(values: &[f32], columns: usize) -> Tensor<2> {
        Tensor::from_data(
            TensorData::new(values.to_vec(), [values.len() / columns, columns]),
            &Device::flex(),
        )
    }

    fn close(found: Tensor<2>, expected: &[f32]) {
        let found = found.into_data().try_into_vec::<f32>().unwrap();
        found.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-3, "{a} {b}"));
    }

    #[test]
    fn a_batch_is_normalised_by_itself_and_later_rows_by_what_was_settled() {
        let init = Init::new(0, &Device::flex());
        let mut norm = BatchNorm::new(2, &init);
        norm.gain = init.of(vec![1.0, 3.0], [2]);
        norm.shift = init.of(vec![0.0, 1.0], [2]);
        // Channel 0: mean 2, variance 1; channel 1: mean 10, variance 16.
        let batch = rows(&[1.0, 6.0, 3.0, 14.0], 2);
        close(norm.by_batch(batch.clone()), &[-1.0, -2.0, 1.0, 4.0]);
        // Nothing was settled: mean 0, variance 1.
        close(norm.by_settled(rows(&[5.0, 2.0], 2)), &[5.0, 7.0]);
        norm.settle(&batch);
        close(norm.by_settled(rows(&[5.0, 2.0], 2)), &[3.0, -5.0]);
    }
}
