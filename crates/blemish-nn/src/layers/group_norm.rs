//! Group normalisation.

use super::along::along;
use super::standardise::{row_means, standardise};
use crate::init::Init;
use blemish_ops::group_norm_silu;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Brings every group of channels of an image to mean 0 and variance 1, then every channel to a learned scale and shift.
///
/// y = g (x - m) / sqrt(v + epsilon) + b, m and v the mean and (biased) variance over a group's channels and all positions, g and b per
/// channel. Wu and He 2018.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// g, from 1.
    pub gain: Param<Tensor<1>>,
    /// b, from 0.
    pub shift: Param<Tensor<1>>,
    groups: usize,
    epsilon: f64,
}

impl GroupNorm {
    /// Of `channels` channels in `groups` groups of neighbours, epsilon 1e-5.
    ///
    /// # Panics
    /// If the groups do not share the channels evenly.
    pub fn new(groups: usize, channels: usize, init: &Init) -> Self {
        assert!(
            groups > 0 && channels.is_multiple_of(groups),
            "{groups} groups cannot share {channels} channels"
        );
        let (gain, shift) = (init.constant(1.0, [channels]), init.constant(0.0, [channels]));
        Self { gain, shift, groups, epsilon: 1e-5 }
    }

    /// Of `groups` groups, or the most below that which share the channels evenly.
    pub fn at_most(groups: usize, channels: usize, init: &Init) -> Self {
        let fitting = (1..=groups.min(channels)).rev().find(|&groups| channels.is_multiple_of(groups));
        Self::new(fitting.unwrap_or(1), channels, init)
    }

    /// With another constant that keeps quotients finite.
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// Groups of neighbouring channels.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// What keeps quotients finite.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// y for x, batch x channels x height x width.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let rows = x.reshape([batch * self.groups, channels / self.groups * height * width]);
        let x = standardise(rows, self.epsilon).reshape(shape);
        x * along(self.gain.val()) + along(self.shift.val())
    }

    /// y for x with a SiLU behind it, in one operation.
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        group_norm_silu(x, self.gain.val(), self.shift.val(), self.groups, self.epsilon)
    }

    /// The gradient by x of the sum of y(x) times `slope`, which has the shape of x, as an ordinary function of x, `slope` and the gain
    /// with gradients of its own: a loss may contain it.
    ///
    /// With h the normalised values, r = 1 / sqrt(v + epsilon), s = g slope and means over each group, it is
    /// r (s - mean(s) - h mean(s h)).
    pub fn pull(&self, x: Tensor<4>, slope: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let rows = |x: Tensor<4>| x.reshape([batch * self.groups, channels / self.groups * height * width]);
        let x = rows(x);
        let centred = x.clone() - row_means(x);
        let variance = row_means(centred.clone() * centred.clone());
        let rate = (variance + self.epsilon).sqrt().recip();
        let hat = centred * rate.clone();
        let slope = rows(slope * along(self.gain.val()));
        let along_hat = row_means(slope.clone() * hat.clone());
        ((slope.clone() - row_means(slope) - hat * along_hat) * rate).reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values, weighted};

    #[test]
    fn every_group_is_normalised_by_itself() {
        let init = double();
        let mut norm = GroupNorm::new(2, 4, &init).with_epsilon(0.0);
        norm.gain = init.of(vec![1.0, 1.0, 1.0, 2.0], [4]);
        norm.shift = init.of(vec![0.0, 0.0, 5.0, 0.0], [4]);
        let x = init.of(vec![1.0, 3.0, 10.0, 18.0, 2.0, 2.0, 0.0, 2.0], [2, 4, 1, 1]).val();
        let y = values(norm.forward(x));
        close(&y[..4], &[-1.0, 1.0, 4.0, 2.0], 1e-12);
        close(&y[6..], &[4.0, 2.0], 1e-12);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let norm = GroupNorm::new(2, 4, &double());
        let x = Param::from_tensor(random([2, 4, 3, 2], 1));
        check_gradients((norm, x), |(norm, x)| weighted(norm.forward(x.val())));
    }

    #[test]
    fn the_pulled_slope_is_the_gradient_and_has_gradients_itself() {
        let mut init = double();
        for groups in [1, 2] {
            let mut norm = GroupNorm::new(groups, 4, &init);
            norm.gain = init.normal(1.0, [4]);
            let (x, slope) = (random([2, 4, 3, 2], 1), random([2, 4, 3, 2], 2));
            let gradients = (norm.forward(x.clone()) * slope.clone().detach()).sum().backward();
            let pulled = norm.pull(x.clone(), slope.clone());
            close(&values(pulled), &values(x.grad(&gradients).unwrap()), 1e-12);
            // A shift has no part in it.
            let parts = (norm.gain.clone(), Param::from_tensor(x), Param::from_tensor(slope));
            check_gradients(parts, |(gain, x, slope)| {
                let norm = GroupNorm { gain: gain.clone(), ..norm.clone() };
                weighted(norm.pull(x.val(), slope.val()))
            });
        }
    }
}
