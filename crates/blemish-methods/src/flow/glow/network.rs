//! The multi-scale flow: squeeze, steps, and at every level but the last half of the channels goes out.

use super::config::{CouplingKind, GlowConfig, Input};
use blemish_nn::flow::{
    ActNorm, Chain, CouplingBlock, HalfStep, Mixing, Part, Piece, latent_energy, squeeze,
};
use blemish_nn::init::Init;
use blemish_nn::layers::{Conv, Subnet};
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor};
use blemish_ops::{Clamp, Coupling, channels};

/// Half of the logarithm of 2 pi: what a standard normal value costs at 0.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// A level of the flow.
#[derive(Module, Debug)]
struct Level {
    steps: Chain,
    /// Mean and log-deviation of what goes out, from what stays; none at the last level.
    prior: Option<Conv>,
}

/// A multi-scale flow.
#[derive(Module, Debug)]
pub(super) struct Glow {
    levels: Vec<Level>,
    squeezes: bool,
}

impl Glow {
    /// For maps of so many channels.
    pub(super) fn new(config: &GlowConfig, channels: usize, init: &mut Init) -> Self {
        let is_image = config.input == Input::Image;
        let count = config.levels.unwrap_or(if is_image { 3 } else { 1 });
        let depth = config.depth.unwrap_or(if is_image { 16 } else { 8 });
        let squeezes = is_image || count > 1;
        let coupling = Coupling {
            clamp: match config.coupling {
                CouplingKind::Affine => Clamp::Sigmoid { floor: config.floor },
                CouplingKind::Additive => Clamp::None,
            },
            gain: 1.0,
            shift_first: true,
        };
        let mut channels = channels;
        let mut levels = Vec::new();
        for number in 0..count {
            channels *= if squeezes { 4 } else { 1 };
            let second = channels / 2;
            let first = channels - second;
            let width = config.width.unwrap_or(if is_image { 128 } else { channels.min(512) });
            let mut pieces = Vec::new();
            for _ in 0..depth {
                pieces.push(Piece::ActNorm(ActNorm::new(channels, init)));
                pieces.push(Piece::Mixing(Mixing::new(channels, init)));
                let subnet = Subnet::glow([first, width, 2 * second], init);
                let steps = vec![HalfStep { changes: Part::Second, subnet }];
                pieces.push(Piece::Coupling(CouplingBlock { first, steps, coupling }));
            }
            let is_last = number + 1 == count;
            let prior = (!is_last).then(|| Conv::zero(first, 2 * second, 3, init));
            levels.push(Level { steps: Chain { pieces }, prior });
            if !is_last {
                channels = first;
            }
        }
        Self { levels, squeezes }
    }

    /// Factor that the sides of a map must be multiples of.
    pub(super) fn multiple(&self) -> usize {
        if self.squeezes { 1 << self.levels.len() } else { 1 }
    }

    /// Negative log-likelihood in nats at every cell of every level, images x 1 x height x width; their sum is that of the image.
    pub(super) fn costs(&self, mut x: Tensor<4>) -> Vec<Tensor<4>> {
        let mut costs = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            if self.squeezes {
                x = squeeze(x);
            }
            let (z, log_det) = level.steps.forward(x, None);
            let (stays, cost) = level.send_out(z);
            costs.push(cost - log_det);
            x = stays;
        }
        costs
    }

    /// Sets every actnorm by a first batch.
    pub(super) fn start(&mut self, mut x: Tensor<4>) {
        for level in &mut self.levels {
            if self.squeezes {
                x = squeeze(x);
            }
            let z = level.steps.start(x, None);
            x = level.send_out(z).0.detach();
        }
    }

    /// Mean negative log-likelihood per dimension, in nats.
    pub(super) fn loss(&self, x: Tensor<4>) -> Tensor<1> {
        let values = x.dims().iter().product::<usize>() as f64;
        let sum = self.costs(x).into_iter().map(|cost| cost.sum()).reduce(|a, b| a + b);
        // There is one level at least.
        sum.map_or_else(|| unreachable!("a flow without levels"), |sum| sum / values)
    }
}

impl Network for Glow {
    fn fixed(&mut self) -> Vec<&mut Vec<usize>> {
        self.levels.iter_mut().flat_map(|level| level.steps.fixed()).collect()
    }
}

impl Level {
    /// What stays for the next level, and what the values that go out cost at each position.
    fn send_out(&self, z: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let count = z.dims()[1];
        let Some(prior) = &self.prior else {
            let cost = latent_energy(z.clone()) + HALF_LN_TAU * count as f64;
            return (z, cost);
        };
        let second = count / 2;
        let first = count - second;
        let (stays, out) = (channels(z.clone(), 0, first), channels(z, first, second));
        let moments = prior.forward(stays.clone());
        let (mean, log) = (channels(moments.clone(), 0, second), channels(moments, second, second));
        let cost = latent_energy((out - mean) * (-log.clone()).exp()) + log.sum_dim(1);
        (stays, cost + HALF_LN_TAU * second as f64)
    }
}
