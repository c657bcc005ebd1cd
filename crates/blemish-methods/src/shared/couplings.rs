//! What couplings of flows do to the half that they change, by the names of the published codes.

use blemish_ops::{Clamp, Coupling};

/// Both raw outputs times 0.1, the logarithm of the scale bounded by `clamp`: exp(clamp tanh(0.1 r)) x + 0.1 t.
pub(crate) fn tanh_coupling(clamp: f64) -> Coupling {
    Coupling { clamp: Clamp::Tanh { limit: clamp, rate: 0.1 }, gain: 0.1, shift_first: false }
}

/// exp(0.636 clamp atan(r / clamp)) x + t; 0.636 is the published codes' 2 / pi.
pub(crate) fn atan_coupling(clamp: f64) -> Coupling {
    Coupling { clamp: Clamp::Atan { limit: 0.636 * clamp, rate: 1.0 / clamp }, gain: 1.0, shift_first: false }
}
