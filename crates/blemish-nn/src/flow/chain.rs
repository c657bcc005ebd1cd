//! Pieces one after the other.

use super::channel_affine::ChannelAffine;
use super::coupling::CouplingBlock;
use super::log_det::sum;
use super::mixing::{Mixing, Permutation, Rotation};
use crate::layers::ActNorm;
use crate::weights::Network;
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

impl Network for Chain {
    fn fixed(&mut self) -> Vec<&mut Vec<usize>> {
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
