//! Invertible pieces with forward, inverse and log-determinant, and chains of them.
//!
//! Maps are batch x channels x height x width; a vector is a map of one position. A log-determinant is kept per position
//! (batch x 1 x height x width): its sum over the positions is ln |det dz/dx|, and the map itself says where density is lost.
//!
//! | piece | z | log-determinant at a position |
//! |---|---|---|
//! | [`ActNorm`] | (x + b) exp(3 l) | sum over channels of 3 l |
//! | [`ChannelAffine`] | g x + b, g = 0.2 ln(1 + exp(G / 2)) | sum of ln g |
//! | [`Permutation`] | channels in another order | 0 |
//! | [`Rotation`] | R x, R fixed in SO(C) | 0 |
//! | [`Mixing`] | P L (U + diag(sign exp(l))) x | sum of l |
//! | [`CouplingBlock`] | one part scaled and shifted by what a subnet says of the rest | sum of s over the part |
//! | [`CrossScaleBlock`] | the same on three scales whose subnets see each other | the same |

mod chain;
mod channel_affine;
mod coupling;
mod cross_scale;
mod log_det;
mod mixing;
mod squeeze;
#[cfg(test)]
mod tests;

pub use crate::layers::ActNorm;
pub use chain::{Chain, Piece, latent_energy};
pub use channel_affine::ChannelAffine;
pub use coupling::{CouplingBlock, HalfStep, Part};
pub use cross_scale::{CrossScaleBlock, CrossScaleConfig, CrossSubnet};
pub use mixing::{Mixing, Permutation, Rotation};
pub use squeeze::{squeeze, unsqueeze};
