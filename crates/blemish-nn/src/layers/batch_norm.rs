//! Batch normalisation of maps.

use super::activation::Activation;
use super::phase::Phase;
use super::running::Running;
use crate::init::Init;
use blemish_ops::batch_norm_relu;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::batch_norm;

/// Brings every channel to mean 0 and variance 1, then to a learned scale and shift.
///
/// y = g (x - m) / sqrt(v + epsilon) + b per channel. In training, m and v are mean and (biased) variance over the batch and all its
/// positions, and every forward pass moves the stored moments: stored = (1 - momentum) stored + momentum * found, the variance found with
/// n - 1 instead of n, as PyTorch does. In scoring, m and v are the stored moments. Where a network is trained by turns, a turn leaves the
/// moments of the parts that it does not train as they are.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    /// g, from 1.
    pub gain: Param<Tensor<1>>,
    /// b, from 0.
    pub shift: Param<Tensor<1>>,
    /// Stored mean, from 0.
    pub mean: Running,
    /// Stored variance, from 1.
    pub variance: Running,
    epsilon: f64,
    momentum: f64,
}

impl BatchNorm2d {
    /// Of `channels` channels, with PyTorch's constants: epsilon 1e-5, momentum 0.1.
    pub fn new(channels: usize, init: &Init) -> Self {
        Self {
            gain: init.constant(1.0, [channels]),
            shift: init.constant(0.0, [channels]),
            mean: Running::new(init.constant(0.0, [channels]).val()),
            variance: Running::new(init.constant(1.0, [channels]).val()),
            epsilon: 1e-5,
            momentum: 0.1,
        }
    }

    /// The scale from a normal distribution of mean 1.
    pub fn with_normal_gain(self, deviation: f32, init: &mut Init) -> Self {
        Self { gain: init.normal_around(1.0, deviation, self.gain.dims()), ..self }
    }

    /// With other constants: what keeps quotients finite, and the share of a new batch in the stored moments.
    pub fn with_constants(self, epsilon: f64, momentum: f64) -> Self {
        Self { epsilon, momentum, ..self }
    }

    /// What keeps quotients finite.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// y for x, batch x channels x height x width.
    ///
    /// # Panics
    /// If x has another number of channels or, in training, only one value a channel.
    pub fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        self.forward_then(x, phase, Activation::Identity)
    }

    /// The same with what follows, in as few passes over the maps as that takes.
    pub(crate) fn forward_then(&self, x: Tensor<4>, phase: Phase, then: Activation) -> Tensor<4> {
        let (gain, shift) = (self.gain.val(), self.shift.val());
        if phase == Phase::Scoring {
            let y = batch_norm(x, gain, shift, self.mean.val(), self.variance.val(), self.epsilon);
            return then.forward(y);
        }
        let [batch, _, height, width] = x.dims();
        let count = (batch * height * width) as f64;
        assert!(count > 1.0, "batch normalisation of one value a channel has no variance");
        let (slope, rest) = match then {
            Activation::Relu => (0.0, Activation::Identity),
            Activation::LeakyRelu(slope) => (slope, Activation::Identity),
            other => (1.0, other),
        };
        let (y, mean, variance) = batch_norm_relu(x, gain, shift, self.epsilon, slope);
        let moved = |stored: &Running, found: Tensor<1>| {
            stored.set(stored.val() * (1.0 - self.momentum) + found.detach() * self.momentum);
        };
        moved(&self.mean, mean);
        moved(&self.variance, variance * (count / (count - 1.0)));
        rest.forward(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};
    use crate::weights::{collect, load, trained_values};

    #[test]
    fn a_batch_is_normalised_by_itself_and_moves_the_stored_moments() {
        let init = double();
        let mut norm = BatchNorm2d::new(2, &init).with_constants(0.0, 0.25);
        norm.gain = init.of(vec![1.0, 3.0], [2]);
        norm.shift = init.of(vec![0.0, 1.0], [2]);
        // Channel 0: mean 2, variance 1; channel 1: mean 10, variance 16; of two values each.
        let x = init.of(vec![1.0, 6.0, 3.0, 14.0], [2, 2, 1, 1]).val();
        close(&values(norm.forward(x.clone(), Phase::Training)), &[-1.0, -2.0, 1.0, 4.0], 1e-12);
        close(&values(norm.mean.val()), &[0.5, 2.5], 1e-12);
        // 0.75 + 0.25 * 2, 0.75 + 0.25 * 32.
        close(&values(norm.variance.val()), &[1.25, 8.75], 1e-12);
        let scored = values(norm.forward(x, Phase::Scoring));
        close(&scored[..2], &[0.5 / 1.25f64.sqrt(), 1.0 + 3.0 * 3.5 / 8.75f64.sqrt()], 1e-12);
        close(&values(norm.mean.val()), &[0.5, 2.5], 0.0);
    }

    #[test]
    fn a_clone_keeps_its_moments_and_weights_carry_them() {
        let init = double();
        let norm = BatchNorm2d::new(3, &init);
        let before = norm.clone();
        norm.forward(random([4, 3, 2, 2], 1), Phase::Training);
        assert_eq!(values(before.mean.val()), [0.0; 3]);
        let mut weights = collect(&norm);
        assert_eq!(weights["mean"].1, values(norm.mean.val()).iter().map(|&v| v as f32).collect::<Vec<_>>());
        assert_eq!((weights.len(), trained_values(&norm)), (4, 6));
        let loaded =
            load(before, |name: &str| Ok::<_, crate::weights::WeightError>(weights.remove(name).unwrap()));
        let loaded = loaded.unwrap();
        close(&values(loaded.variance.val()), &values(norm.variance.val()), 1e-7);
        assert_eq!(trained_values(&loaded), 6);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let mut init = double();
        let norm = BatchNorm2d::new(3, &init).with_normal_gain(0.3, &mut init);
        let x = Param::from_tensor(random([3, 3, 2, 2], 1));
        check_gradients((norm.clone(), x.clone()), |(norm, x)| {
            weighted(norm.forward(x.val(), Phase::Training))
        });
        check_gradients((norm, x), |(norm, x)| weighted(norm.forward(x.val(), Phase::Scoring)));
    }

    #[test]
    fn the_gradient_of_a_part_is_not_that_of_the_whole() {
        // What comes back through a concatenation is a part of another tensor.
        let mut init = double();
        let norm = BatchNorm2d::new(2, &init).with_normal_gain(0.3, &mut init);
        let x = Param::from_tensor(random([1, 2, 3, 2], 1));
        check_gradients((norm, x), |(norm, x)| {
            let y = norm.forward(x.val(), Phase::Training);
            weighted(Tensor::cat(vec![x.val(), y.clone(), x.val() * 2.0, y], 1))
        });
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        threads_agree([5, 16, 31, 33], |x, init| BatchNorm2d::new(16, init).forward(x, Phase::Training));
    }
}
