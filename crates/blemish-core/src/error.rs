//! What can go wrong between images and a decision.

use crate::state::StateError;
use blemish_data::DataError;
use blemish_features::FeatureError;
use std::path::PathBuf;

/// An error of this crate: what, where, how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Images or dataset layout.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Backbone, weights or execution engine.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// A method name that the registry does not have.
    #[error("there is no method `{name}`; `blemish methods` lists: {known}")]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A setting with a wrong name, type or value.
    #[error("setting `{key}`: {reason}; {help}")]
    Setting {
        /// The setting.
        key: String,
        /// What is wrong with it.
        reason: String,
        /// What would be right.
        help: String,
    },
    /// A method cannot be fitted on these images with these settings.
    #[error("cannot fit {method}: {reason}")]
    Fit {
        /// The method.
        method: &'static str,
        /// Why, and what to change.
        reason: String,
    },
    /// A tensor of a fitted method is missing or misshapen.
    #[error(transparent)]
    State(#[from] StateError),
    /// Images that do not fit the model.
    #[error("cannot score: {reason}")]
    Score {
        /// Why, and what to change.
        reason: String,
    },
    /// A training that cannot go on.
    #[error("cannot train {method}: {reason}")]
    Train {
        /// The method.
        method: &'static str,
        /// Why, and what to change.
        reason: String,
    },
    /// The work was interrupted on request.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is no model at all.
    #[error(
        "`{path}` is not a Blemish model: {reason}; models are written by `blemish fit` and usually end in .blemish"
    )]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What it seems to be instead.
        reason: String,
    },
    /// A model file that ends too early.
    #[error("model `{path}` is truncated: it has {found} of {expected} bytes; copy the file again")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// A model file with altered content.
    #[error("model `{path}` is corrupt: {reason}; copy the file again or fit anew")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A model file of a later program.
    #[error(
        "model `{path}` has format version {found}, this program reads up to {supported}; update blemish"
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The last version known here.
        supported: u64,
    },
    /// Thresholds that cannot be set.
    #[error("cannot calibrate: {reason}")]
    Calibration {
        /// Why, and what would help.
        reason: String,
    },
    /// No method can be recommended.
    #[error("cannot pick: {reason}")]
    Pick {
        /// Why, and what to change.
        reason: String,
    },
    /// Models that cannot learn on, be joined or be verified.
    #[error("cannot {action}: {reason}")]
    Living {
        /// `update`, `merge` or `verify`.
        action: &'static str,
        /// Why, and what to change.
        reason: String,
    },
    /// A file that cannot serve as this model's monitor.
    #[error("monitor `{path}` cannot be used: {reason}")]
    Monitor {
        /// The file.
        path: PathBuf,
        /// Why, and what to change.
        reason: String,
    },
    /// Metrics that are undefined for this data.
    #[error("cannot evaluate: {reason}")]
    Evaluation {
        /// Why.
        reason: String,
    },
}
