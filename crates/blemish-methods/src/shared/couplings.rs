//! Normalizing flows: exact likelihood of frozen features, learned by the one training loop.
//!
//! | method | models | map |
//! |---|---|---|
//! | [`fastflow`] | each feature map by a convolutional flow | latent probability at each position |
//! | [`cflow`] | each position's vector, given where it lies | likelihood at each position |
//! | [`csflow`] | three sizes of the image jointly | latent energy |
//! | [`differnet`] | one pooled vector an image, averaged over rotations | gradient of the loss |
//! | [`glow`] | feature maps or pixels by a multi-scale flow | exact likelihood at each position |
//!
//! All are made of the pieces of `blemish_nn::flow`.

pub mod cflow;
pub mod csflow;
pub mod differnet;
pub mod fastflow;
pub mod glow;

use blemish_ops::{Clamp, Coupling};

/// Both raw outputs times 0.1, the logarithm of the scale bounded by `clamp`: exp(clamp tanh(0.1 r)) x + 0.1 t.
fn tanh_coupling(clamp: f64) -> Coupling {
    Coupling { clamp: Clamp::Tanh { limit: clamp, rate: 0.1 }, gain: 0.1, shift_first: false }
}

/// exp(0.636 clamp atan(r / clamp)) x + t; 0.636 is the published codes' 2 / pi.
fn atan_coupling(clamp: f64) -> Coupling {
    Coupling { clamp: Clamp::Atan { limit: 0.636 * clamp, rate: 1.0 / clamp }, gain: 1.0, shift_first: false }
}
