//! RMSProp.

use super::step::{Step, decayed};
use burn::tensor::Tensor;

/// RMSProp, as PyTorch has it.
///
/// g = gradient + decay * w; s = a s + (1 - a) g^2, from 0; d = g / (sqrt(s) + epsilon); w -= rate * d, or with momentum
/// v = momentum * v + d, w -= rate * v. Centred, m = a m + (1 - a) g and s - m^2 takes the place of s under the root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// a: share of the mean square that stays.
    pub smoothing: f64,
    /// Keeps quotients finite.
    pub epsilon: f64,
    /// Weight decay (L2).
    pub decay: f64,
    /// Share of the velocity that stays.
    pub momentum: f64,
    /// Whether steps are measured by the variance of the gradient instead of its mean square.
    pub is_centred: bool,
}

impl RmsProp {
    /// PyTorch's constants.
    pub const PLAIN: Self =
        Self { smoothing: 0.99, epsilon: 1e-8, decay: 0.0, momentum: 0.0, is_centred: false };

    /// The mean square, then what else there is.
    pub(super) fn memories(&self) -> Vec<(&'static str, usize)> {
        let mut memories = vec![("square", 1)];
        memories.extend(self.is_centred.then_some(("mean", 1)));
        memories.extend((self.momentum != 0.0).then_some(("velocity", 1)));
        memories
    }

    pub(super) fn update(
        &self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        memory: &mut [Tensor<1>],
        step: Step,
    ) -> Tensor<1> {
        let gradient = decayed(gradient, &value, self.decay, step);
        let [square, others @ ..] = memory else { return value };
        let follow =
            |old: &Tensor<1>, new: Tensor<1>| old.clone() * self.smoothing + new * (1.0 - self.smoothing);
        *square = follow(square, gradient.clone() * gradient.clone());
        let mut size = square.clone();
        if let Some(mean) = others.first_mut().filter(|_| self.is_centred) {
            *mean = follow(mean, gradient.clone());
            // Rounding must not take the root of a negative number.
            size = (size - mean.clone() * mean.clone()).clamp_min(0.0);
        }
        let mut direction = gradient / (size.sqrt() + self.epsilon);
        if let Some(velocity) = others.last_mut().filter(|_| self.momentum != 0.0) {
            *velocity = velocity.clone() * self.momentum + direction;
            direction = velocity.clone();
        }
        value - direction * step.rate
    }
}
