//! The one training loop.
//!
//! What a step learns from is a function of its number alone (and of the seed), so a training that was interrupted goes on from its
//! checkpoint to the very weights it would have had; on a CPU bit for bit, whatever the number of threads.

mod checkpoint;
mod optimiser;
mod schedule;
#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoints;
pub use optimiser::Optimiser;
pub use schedule::{Decay, Schedule};

use crate::weights::WeightError;
pub use blemish_ops::AdamKind;
use blemish_ops::{AdamStep, with_products_in};
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use checkpoint::{Best, Progress};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Instant;
use thiserror::Error;

/// How to train.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Updates in all.
    pub steps: u64,
    /// The rule of an update.
    pub optimiser: Optimiser,
    /// The rate of each step.
    pub schedule: Schedule,
    /// Largest norm of all gradients together; larger ones are scaled down to it.
    pub clip: Option<f64>,
    /// Decay of a running average of the weights, which is then the result.
    pub average: Option<f64>,
    /// Ends early once the loss stops falling.
    pub patience: Option<Patience>,
    /// Bits of the products.
    pub precision: Precision,
    /// Keeps progress in a file.
    pub checkpoints: Option<Checkpoints>,
}

/// In how many bits a training multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// All in single precision.
    #[default]
    Single,
    /// Linear layers and convolutions in bfloat16, forward and backward; weights, gradients, couplings and the loss in single precision.
    Mixed,
}

impl Precision {
    /// The type of the products, if it is not that of the tensors.
    pub fn products(self) -> Option<DType> {
        match self {
            Self::Single => None,
            Self::Mixed => Some(DType::BF16),
        }
    }
}

impl Plan {
    /// Nothing but steps at a rate.
    pub fn new(steps: u64, optimiser: Optimiser, schedule: Schedule) -> Self {
        Self {
            steps,
            optimiser,
            schedule,
            clip: None,
            average: None,
            patience: None,
            precision: Precision::default(),
            checkpoints: None,
        }
    }
}

/// Ends a training whose mean loss over `window` steps has not reached a new low for `windows` windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Steps whose losses are averaged.
    pub window: u64,
    /// Windows to wait.
    pub windows: u64,
}

/// What to do before the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another step.
    Go,
    /// No more steps: what was learned so far is the result.
    Finish,
    /// Keep a checkpoint and stop with an error.
    Stop,
}

/// Watches a training.
pub trait Watch {
    /// Asked before every step.
    fn verdict(&self) -> Verdict;
    /// Told after every step: steps done, the loss and the learning rate.
    fn step(&self, done: u64, loss: f64, rate: f64);
}

/// Losses over a training, averaged over equal parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Steps of a part.
    pub part: u64,
    /// Mean loss of every full part.
    pub losses: Vec<f64>,
    sum: f64,
    count: u64,
}

/// Parts that a loss curve has at most.
const PARTS: u64 = 200;

impl Curve {
    /// A finished curve.
    pub fn of(part: u64, losses: Vec<f64>) -> Self {
        Self { part, losses, sum: 0.0, count: 0 }
    }

    fn new(steps: u64) -> Self {
        Self { part: steps.div_ceil(PARTS).max(1), ..Self::default() }
    }

    fn push(&mut self, loss: f64) {
        self.sum += loss;
        self.count += 1;
        if self.count == self.part {
            self.close();
        }
    }

    fn close(&mut self) {
        if self.count > 0 {
            self.losses.push(self.sum / self.count as f64);
        }
        (self.sum, self.count) = (0.0, 0);
    }
}

/// How a training can fail.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A loss or gradient overflowed.
    #[error(
        "the {what} of step {step} is not a finite number; lower the learning rate, clip gradients or look for broken images"
    )]
    NotFinite {
        /// Steps done before.
        step: u64,
        /// Loss or gradient.
        what: &'static str,
    },
    /// [`Verdict::Stop`].
    #[error("the training was interrupted")]
    Interrupted,
    /// A checkpoint cannot be read or written.
    #[error("the checkpoint {path} cannot be used: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The checkpoint is of other settings, another seed or other data.
    #[error(
        "the checkpoint {path} is of another training; repeat its settings, seed and images, or start without it"
    )]
    OtherTraining {
        /// The file.
        path: PathBuf,
    },
    /// A stored weight does not fit.
    #[error(transparent)]
    Weight(#[from] WeightError),
}

/// A finished training.
pub struct Trained<M> {
    /// With the last weights, or their running average.
    pub network: M,
    /// Steps done.
    pub steps: u64,
    /// What the loss did.
    pub curve: Curve,
}

/// Keeps the best weights of a training instead of the last.
pub struct Selection<'a, M> {
    /// Steps between two looks; there is one more after the last step.
    pub every: u64,
    /// What the network costs on samples that it does not learn from; the lowest wins, the first of equals.
    pub cost: &'a dyn Fn(&M) -> f64,
}

/// Trains a network whose weights lie on a device with gradients.
///
/// `batch` gives what step number s (from 0) learns from, `loss` what that costs, one number.
///
/// # Errors
/// [`TrainError`]; what `batch` returns.
pub fn train<M: Module, B, E: From<TrainError>>(
    network: M,
    plan: &Plan,
    device: &Device,
    batch: impl FnMut(u64) -> Result<B, E>,
    loss: impl Fn(&M, B) -> Tensor<1>,
    watch: &dyn Watch,
) -> Result<Trained<M>, E> {
    train_selecting(network, plan, device, batch, loss, None, watch)
}

/// The same, with the weights that `selection` found best.
///
/// # Errors
/// As [`train`].
pub fn train_selecting<M: Module, B, E: From<TrainError>>(
    network: M,
    plan: &Plan,
    device: &Device,
    mut batch: impl FnMut(u64) -> Result<B, E>,
    loss: impl Fn(&M, B) -> Tensor<1>,
    selection: Option<Selection<'_, M>>,
    watch: &dyn Watch,
) -> Result<Trained<M>, E> {
    let memories = optimiser::memories(&network, plan.optimiser.kind, plan.average.is_some());
    let mut progress = Progress { network, memories, done: 0, curve: Curve::new(plan.steps), best: None };
    if let Some(checkpoints) = &plan.checkpoints {
        progress = checkpoint::read(checkpoints, progress, &device.clone().without_autodiff())?;
    }
    let mut kept = Instant::now();
    while progress.done < plan.steps {
        match watch.verdict() {
            Verdict::Go => {}
            Verdict::Finish => break,
            Verdict::Stop => {
                keep(plan, &progress)?;
                return Err(TrainError::Interrupted.into());
            }
        }
        let number = progress.done;
        let batch = batch(number)?;
        let value = with_products_in(plan.precision.products(), || loss(&progress.network, batch));
        let gradients = optimiser::gradients_of(&progress.network, value.backward());
        let (value, norm) = optimiser::measure(value.inner(), &gradients);
        for (what, measured) in [("loss", value), ("gradient", norm)] {
            if !measured.is_finite() {
                return Err(TrainError::NotFinite { step: number, what }.into());
            }
        }
        let rate = plan.schedule.at(number, plan.steps);
        let gradient_scale = plan.clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0));
        let Optimiser { kind, betas, epsilon, decay, is_decoupled } = plan.optimiser;
        let number = number + 1;
        let step = AdamStep { kind, rate, betas, epsilon, decay, is_decoupled, gradient_scale, number };
        let memories = &mut progress.memories;
        progress.network = optimiser::step(progress.network, gradients, memories, step, plan.average);
        progress.done += 1;
        progress.curve.push(value);
        if let Some(selection) = selection.as_ref().filter(|it| progress.done.is_multiple_of(it.every.max(1)))
        {
            progress.look(selection);
        }
        watch.step(progress.done, value, rate);
        if plan.patience.is_some_and(|patience| has_stalled(&progress, patience)) {
            break;
        }
        let due = plan.checkpoints.as_ref().is_some_and(|checkpoints| kept.elapsed() >= checkpoints.every);
        if due {
            keep(plan, &progress)?;
            kept = Instant::now();
        }
    }
    if let Some(selection) = selection.as_ref().filter(|it| !progress.done.is_multiple_of(it.every.max(1))) {
        progress.look(selection);
    }
    // Where several networks are trained one after the other, a resume finds this one done.
    keep(plan, &progress)?;
    let Progress { mut network, memories, done, mut curve, best } = progress;
    curve.close();
    if let Some(best) = best {
        network = best.network;
    } else if plan.average.is_some() {
        network = optimiser::averaged(network, memories);
    }
    Ok(Trained { network, steps: done, curve })
}

impl<M: Module> Progress<M> {
    fn look(&mut self, selection: &Selection<'_, M>) {
        let cost = (selection.cost)(&self.network);
        if self.best.as_ref().is_none_or(|best| cost < best.cost) {
            self.best = Some(Best { cost, network: self.network.clone() });
        }
    }
}

fn keep<M: Module>(plan: &Plan, progress: &Progress<M>) -> Result<(), TrainError> {
    plan.checkpoints.as_ref().map_or(Ok(()), |checkpoints| checkpoint::write(checkpoints, progress))
}

/// Whether the loss has had no new low for as long as patience lasts, in parts of the curve no shorter than its window.
fn has_stalled<M>(progress: &Progress<M>, patience: Patience) -> bool {
    let Curve { part, losses, count, .. } = &progress.curve;
    let parts = patience.window.div_ceil(*part).max(1) as usize;
    if *count != 0 || losses.len() % parts != 0 {
        return false;
    }
    let means: Vec<f64> =
        losses.chunks_exact(parts).map(|losses| losses.iter().sum::<f64>() / parts as f64).collect();
    let best = (0..means.len()).min_by(|&a, &b| means[a].total_cmp(&means[b])).unwrap_or(0);
    means.len() as u64 > best as u64 + patience.windows
}
