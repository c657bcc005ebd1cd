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

mod coupling;
mod cross_scale;
mod mixing;
mod normalise;
mod squeeze;
#[cfg(test)]
mod tests;

pub use coupling::{CouplingBlock, HalfStep, Part};
pub use cross_scale::{CrossScaleBlock, CrossScaleConfig};
pub use mixing::{Mixing, Permutation, Rotation};
pub use normalise::{ActNorm, ChannelAffine, LayerNorm};
pub use squeeze::{squeeze, unsqueeze};

use burn::module::Module;
use burn::tensor::Tensor;

/// One invertible piece.
///
/// A chain has tens of them, so their size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Piece {
    /// See [`ActNorm`].
    ActNorm(ActNorm),
    /// See [`ChannelAffine`].
    Affine(ChannelAffine),
    /// See [`Permutation`].
    Permutation(Permutation),
    /// See [`Rotation`].
    Rotation(Rotation),
    /// See [`Mixing`].
    Mixing(Mixing),
    /// See [`CouplingBlock`].
    Coupling(CouplingBlock),
}

impl Piece {
    /// z and the log-determinant per position.
    pub fn forward(&self, x: Tensor<4>, condition: Option<&Tensor<4>>) -> (Tensor<4>, Option<Tensor<4>>) {
        let some = |(z, log_det)| (z, Some(log_det));
        match self {
            Self::ActNorm(piece) => some(piece.forward(x)),
            Self::Affine(piece) => some(piece.forward(x)),
            Self::Permutation(piece) => (piece.forward(x), None),
            Self::Rotation(piece) => (piece.forward(x), None),
            Self::Mixing(piece) => some(piece.forward(x)),
            Self::Coupling(piece) => some(piece.forward(x, condition)),
        }
    }

    /// x.
    pub fn inverse(&self, z: Tensor<4>, condition: Option<&Tensor<4>>) -> Tensor<4> {
        match self {
            Self::ActNorm(piece) => piece.inverse(z),
            Self::Affine(piece) => piece.inverse(z),
            Self::Permutation(piece) => piece.inverse(z),
            Self::Rotation(piece) => piece.inverse(z),
            Self::Mixing(piece) => piece.inverse(z),
            Self::Coupling(piece) => piece.inverse(z, condition),
        }
    }

    fn start(&mut self, x: Tensor<4>, condition: Option<&Tensor<4>>) -> Tensor<4> {
        match self {
            Self::ActNorm(piece) => piece.start(&x),
            Self::Coupling(piece) => return piece.start(x, condition),
            _ => {}
        }
        self.forward(x, condition).0
    }
}

/// Pieces one after the other.
#[derive(Module, Debug)]
pub struct Chain {
    /// In the order of application.
    pub pieces: Vec<Piece>,
}

impl Chain {
    /// z and the log-determinant per position, batch x 1 x height x width.
    pub fn forward(&self, x: Tensor<4>, condition: Option<&Tensor<4>>) -> (Tensor<4>, Tensor<4>) {
        let [batch, _, height, width] = x.dims();
        let mut log_dets = Vec::new();
        let mut z = x;
        for piece in &self.pieces {
            let log_det;
            (z, log_det) = piece.forward(z, condition);
            log_dets.extend(log_det);
        }
        // Channel-wise pieces have the same log-determinant everywhere and know neither batch nor size.
        let sum = sum(log_dets, &z).expand([batch, 1, height, width]);
        (z, sum)
    }

    /// x.
    pub fn inverse(&self, z: Tensor<4>, condition: Option<&Tensor<4>>) -> Tensor<4> {
        self.pieces.iter().rev().fold(z, |z, piece| piece.inverse(z, condition))
    }

    /// Forward, with every actnorm set by the batch that reaches it.
    pub fn start(&mut self, x: Tensor<4>, condition: Option<&Tensor<4>>) -> Tensor<4> {
        self.pieces.iter_mut().fold(x, |x, piece| piece.start(x, condition))
    }
}

/// The sum of log-determinants; zeros for each position of z without any.
fn sum(log_dets: Vec<Tensor<4>>, z: &Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = z.dims();
    let none = || Tensor::zeros([batch, 1, height, width], (&z.device(), z.dtype()));
    log_dets.into_iter().reduce(|a, b| a + b).unwrap_or_else(none)
}

/// A network with fixed orders of channels, which are no weights but must be kept with them.
pub trait Ordered {
    /// The orders of its permutations and mixings, in the order of the pieces; a network without any has nothing to say.
    fn orders(&mut self) -> Vec<&mut Vec<usize>> {
        Vec::new()
    }
}

impl Ordered for Chain {
    fn orders(&mut self) -> Vec<&mut Vec<usize>> {
        let order = |piece| match piece {
            &mut Piece::Permutation(ref mut piece) => Some(&mut piece.order),
            Piece::Mixing(piece) => Some(&mut piece.order),
            _ => None,
        };
        self.pieces.iter_mut().filter_map(order).collect()
    }
}

/// -ln of the standard normal density of z without the constant, per position: half the sum of squares over the channels.
pub fn latent_energy(z: Tensor<4>) -> Tensor<4> {
    (z.clone() * z).sum_dim(1) * 0.5
}
