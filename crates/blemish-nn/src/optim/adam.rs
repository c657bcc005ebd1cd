//! Adam and its kin.

use super::step::Step;
use blemish_ops::{AdamKind, AdamStep, adam_step};
use burn::tensor::Tensor;

/// Adam, AdamW, AMSGrad or Adamax, with their constants; the formulas are at [`AdamStep`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// The rule of the second moment.
    pub kind: AdamKind,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Keeps quotients finite.
    pub epsilon: f64,
    /// Weight decay.
    pub decay: f64,
    /// Whether the decay shrinks the weights themselves (AdamW) instead of adding its gradient to the loss's (L2).
    pub is_decoupled: bool,
}

impl Adam {
    /// Adam with its usual constants.
    pub const ADAM: Self =
        Self { kind: AdamKind::Adam, betas: [0.9, 0.999], epsilon: 1e-8, decay: 0.0, is_decoupled: false };

    /// AdamW with its usual constants: the same with a decoupled weight decay of 0.01.
    pub const ADAM_W: Self = Self { decay: 0.01, is_decoupled: true, ..Self::ADAM };

    /// `memory` is the first and the second moment.
    pub(super) fn update(
        &self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        memory: &mut [Tensor<1>],
        Step { rate, gradient_scale, number }: Step,
    ) -> Tensor<1> {
        let Self { kind, betas, epsilon, decay, is_decoupled } = *self;
        let step = AdamStep { kind, rate, betas, epsilon, decay, is_decoupled, gradient_scale, number };
        let [first, second] = memory else { return value };
        // Handed over, not shared: what nobody else holds is updated in place.
        let device = value.device();
        let [old_first, old_second] =
            [&mut *first, &mut *second].map(|moment| std::mem::replace(moment, Tensor::empty([0], &device)));
        let updated;
        [updated, *first, *second] = adam_step([value, gradient, old_first, old_second], step);
        updated
    }
}
