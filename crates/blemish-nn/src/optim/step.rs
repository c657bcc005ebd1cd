//! What of a step differs from the one before.

use burn::tensor::Tensor;

/// What of a step differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// Learning rate.
    pub(crate) rate: f64,
    /// Factor of the gradient, for clipping.
    pub(crate) gradient_scale: f64,
    /// Number of the update, from 1.
    pub(crate) number: u64,
}

/// The gradient, clipped, with that of an L2 penalty.
pub(super) fn decayed(gradient: Tensor<1>, value: &Tensor<1>, decay: f64, step: Step) -> Tensor<1> {
    let gradient = if step.gradient_scale == 1.0 { gradient } else { gradient * step.gradient_scale };
    if decay == 0.0 { gradient } else { gradient + value.clone() * decay }
}
