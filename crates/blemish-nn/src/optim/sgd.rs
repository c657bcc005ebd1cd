//! Gradient descent.

use super::step::{Step, decayed};
use burn::tensor::Tensor;

/// Stochastic gradient descent with momentum, as PyTorch has it (without dampening).
///
/// g = gradient + decay * w; v = momentum * v + g, from 0; w -= rate * v, or with Nesterov's momentum w -= rate * (g + momentum * v).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Share of the velocity that stays; 0 is plain gradient descent.
    pub momentum: f64,
    /// Weight decay (L2).
    pub decay: f64,
    /// Whether the gradient is added once more.
    pub is_nesterov: bool,
}

impl Sgd {
    /// With the usual momentum of 0.9.
    pub const MOMENTUM: Self = Self { momentum: 0.9, decay: 0.0, is_nesterov: false };

    /// The velocity, where there is one.
    pub(super) fn memories(&self) -> Vec<(&'static str, usize)> {
        if self.momentum == 0.0 { Vec::new() } else { vec![("velocity", 1)] }
    }

    pub(super) fn update(
        &self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        memory: &mut [Tensor<1>],
        step: Step,
    ) -> Tensor<1> {
        let gradient = decayed(gradient, &value, self.decay, step);
        let [velocity] = memory else { return value - gradient * step.rate };
        *velocity = velocity.clone() * self.momentum + gradient.clone();
        let direction = match self.is_nesterov {
            true => gradient + velocity.clone() * self.momentum,
            false => velocity.clone(),
        };
        value - direction * step.rate
    }
}
