//! Coupling blocks: part of the channels is scaled and shifted by what a subnet says of the rest.

use super::log_det::sum;
use crate::layers::Subnet;
use blemish_ops::{Coupling, channels, couple, scale_and_shift};
use burn::module::Module;
use burn::tensor::Tensor;

/// Which part of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first channels.
    First,
    /// The others.
    Second,
}

/// Changes one part by what a subnet says of the other.
#[derive(Module, Debug)]
pub struct HalfStep {
    /// The part that changes.
    #[module(skip)]
    pub changes: Part,
    /// From the other part (and the condition) to r and t.
    pub subnet: Subnet,
}

/// One half step (additive or affine coupling) or two (double coupling).
#[derive(Module, Debug)]
pub struct CouplingBlock {
    /// Channels of the first part.
    pub first: usize,
    /// In the order of application.
    pub steps: Vec<HalfStep>,
    /// From r and t to the new values.
    #[module(skip)]
    pub coupling: Coupling,
}

impl CouplingBlock {
    fn parts(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let rest = x.dims()[1] - self.first;
        (channels(x.clone(), 0, self.first), channels(x, self.first, rest))
    }

    /// z and the log-determinant per position.
    pub fn forward(&self, x: Tensor<4>, condition: Option<&Tensor<4>>) -> (Tensor<4>, Tensor<4>) {
        let (mut first, mut second) = self.parts(x);
        let mut log_dets = Vec::new();
        for step in &self.steps {
            let log_det;
            match step.changes {
                Part::First => {
                    let raw = step.subnet.forward(with(second.clone(), condition));
                    (first, log_det) = couple(first, raw, self.coupling);
                }
                Part::Second => {
                    let raw = step.subnet.forward(with(first.clone(), condition));
                    (second, log_det) = couple(second, raw, self.coupling);
                }
            }
            log_dets.push(log_det);
        }
        let z = Tensor::cat(vec![first, second], 1);
        let sum = sum(log_dets, &z);
        (z, sum)
    }

    /// x.
    pub fn inverse(&self, z: Tensor<4>, condition: Option<&Tensor<4>>) -> Tensor<4> {
        let mut parts = self.parts(z);
        for step in self.steps.iter().rev() {
            let (changes, given) = match step.changes {
                Part::First => (parts.0.clone(), parts.1.clone()),
                Part::Second => (parts.1.clone(), parts.0.clone()),
            };
            let restored = uncouple(changes, step.subnet.forward(with(given, condition)), self.coupling);
            match step.changes {
                Part::First => parts.0 = restored,
                Part::Second => parts.1 = restored,
            }
        }
        Tensor::cat(vec![parts.0, parts.1], 1)
    }

    /// Forward, with every actnorm of the subnets set by what reaches it.
    pub(super) fn start(&mut self, x: Tensor<4>, condition: Option<&Tensor<4>>) -> Tensor<4> {
        for index in 0..self.steps.len() {
            let before =
                Self { first: self.first, steps: self.steps[..index].to_vec(), coupling: self.coupling };
            let (first, second) = self.parts(before.forward(x.clone(), condition).0);
            let given = match self.steps[index].changes {
                Part::First => second,
                Part::Second => first,
            };
            self.steps[index].subnet.start(with(given, condition));
        }
        self.forward(x, condition).0
    }
}

/// What [`couple`] was given.
pub(super) fn uncouple(y: Tensor<4>, raw: Tensor<4>, coupling: Coupling) -> Tensor<4> {
    let (scale, shift) = scale_and_shift(raw, coupling);
    let factor = (-scale).exp();
    if coupling.shift_first { y * factor - shift } else { (y - shift) * factor }
}

fn with(x: Tensor<4>, condition: Option<&Tensor<4>>) -> Tensor<4> {
    match condition {
        Some(condition) => Tensor::cat(vec![x, condition.clone()], 1),
        None => x,
    }
}
