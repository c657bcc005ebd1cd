//! How a training can fail.

use crate::weights::WeightError;
use std::path::PathBuf;
use thiserror::Error;

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
    /// The same in a training by several turns.
    #[error(
        "the {what} of step {step} of turn `{turn}` is not a finite number; lower its learning rate or clip its gradients"
    )]
    NotFiniteInTurn {
        /// Name of the turn.
        turn: String,
        /// Steps done before.
        step: u64,
        /// Loss or gradient.
        what: &'static str,
    },
    /// A turn's scope has no trained weight.
    #[error("turn `{turn}` trains nothing: no trained weight of the network lies in its fields")]
    NothingToTrain {
        /// Name of the turn.
        turn: String,
    },
    /// [`super::Verdict::Stop`].
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
