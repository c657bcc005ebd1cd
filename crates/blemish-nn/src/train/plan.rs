//! How to train one network.

use super::checkpoint::Checkpoints;
use super::curve::Patience;
use super::schedule::Schedule;
use crate::optim::Rule;
use burn::tensor::DType;

/// How to train.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Updates in all.
    pub steps: u64,
    /// The rule of an update.
    pub optimiser: Rule,
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
    pub fn new(steps: u64, optimiser: impl Into<Rule>, schedule: Schedule) -> Self {
        Self {
            steps,
            optimiser: optimiser.into(),
            schedule,
            clip: None,
            average: None,
            patience: None,
            precision: Precision::default(),
            checkpoints: None,
        }
    }
}
