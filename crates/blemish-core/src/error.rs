//! What can go wrong between images and a decision.

use crate::code::{Class, class_of};
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
    #[error("there is no method `{name}`; there are: {known}")]
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
    /// A file that is not a model.
    #[error("`{path}` is not a Blemish model: {reason}; names of models usually end in .blemish")]
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
    /// A model file with something in its header that this program does not know.
    #[error(
        "model `{path}` says `{key}`, which this program does not know: blemish {written_by} wrote it, or it is damaged; update blemish, or \
         copy the file again"
    )]
    NewerContent {
        /// The file.
        path: PathBuf,
        /// The key in its header, after those that it lies in.
        key: String,
        /// The version that wrote it, by its own words.
        written_by: String,
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
    /// A model that cannot leave as an ONNX graph.
    #[error("cannot export: {reason}")]
    Export {
        /// Why, and what to change.
        reason: String,
    },
    /// A file that cannot be this model's monitor.
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

/// A message of the form `what and where; how to mend it` in its two halves; the second is empty where nothing more is said.
pub fn in_halves(message: &str) -> (&str, &str) {
    message.split_once("; ").unwrap_or((message, ""))
}

impl Error {
    /// A stable name for programs, in snake case; see [`CODES`](crate::code::CODES).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Data(error) => error.code(),
            Self::Features(error) => error.code(),
            Self::UnknownMethod { .. } => "unknown_method",
            Self::Setting { .. } => "setting",
            Self::Fit { .. } => "cannot_fit",
            Self::State(_) | Self::Corrupt { .. } => "corrupt",
            Self::Score { .. } => "image_does_not_fit",
            Self::Train { .. } => "cannot_train",
            Self::Interrupted => "interrupted",
            Self::Io { .. } => "io",
            Self::NotAModel { .. } => "not_a_model",
            Self::Truncated { .. } => "truncated",
            Self::NewerVersion { .. } | Self::NewerContent { .. } => "newer_version",
            Self::Calibration { .. } => "not_calibrated",
            Self::Pick { .. } => "cannot_pick",
            Self::Living { .. } => "cannot_update",
            Self::Export { .. } => "cannot_export",
            Self::Monitor { .. } => "other_monitor",
            Self::Evaluation { .. } => "undefined_metric",
        }
    }

    /// Whose turn it is to mend it.
    pub fn class(&self) -> Class {
        class_of(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::CODES;
    use blemish_data::ImageFault;

    #[test]
    fn a_message_says_what_is_wrong_and_then_how_to_mend_it() {
        assert_eq!(in_halves("it is cut short; copy it; again"), ("it is cut short", "copy it; again"));
        assert_eq!(in_halves("interrupted"), ("interrupted", ""));
    }

    #[test]
    fn every_code_has_one_class_and_faults_keep_theirs() {
        let names: std::collections::BTreeSet<&str> = CODES.iter().map(|(code, _)| *code).collect();
        assert_eq!(names.len(), CODES.len());
        let image = |fault| Error::from(DataError::Image { path: "a.png".into(), fault });
        let small = image(ImageFault::TooSmall { width: 1, height: 1, minimum: 8 });
        assert_eq!((small.code(), small.class()), ("image_too_small", Class::Input));
        assert_eq!(
            (image(ImageFault::Empty).code(), image(ImageFault::Empty).class()),
            ("image_unreadable", Class::Input)
        );
        let state = Error::from(StateError { name: "bank".into(), reason: "is missing".into() });
        assert_eq!((state.code(), state.class()), ("corrupt", Class::Model));
        let unknown = Error::UnknownMethod { name: "x".into(), known: String::new() };
        assert_eq!((unknown.code(), unknown.class()), ("unknown_method", Class::Usage));
        assert_eq!(
            (Error::Interrupted.code(), Error::Interrupted.class()),
            ("interrupted", Class::Environment)
        );
        assert_eq!(class_of("no such code"), Class::Internal);
        let others = [
            Error::Setting { key: String::new(), reason: String::new(), help: String::new() },
            Error::Fit { method: "", reason: String::new() },
            Error::Score { reason: String::new() },
            Error::Train { method: "", reason: String::new() },
            Error::Io { action: "read", path: PathBuf::new(), source: std::io::Error::other("x") },
            Error::NotAModel { path: PathBuf::new(), reason: String::new() },
            Error::Truncated { path: PathBuf::new(), found: 0, expected: 1 },
            Error::NewerVersion { path: PathBuf::new(), found: 2, supported: 1 },
            Error::NewerContent { path: PathBuf::new(), key: String::new(), written_by: String::new() },
            Error::Calibration { reason: String::new() },
            Error::Pick { reason: String::new() },
            Error::Living { action: "merge", reason: String::new() },
            Error::Export { reason: String::new() },
            Error::Monitor { path: PathBuf::new(), reason: String::new() },
            Error::Evaluation { reason: String::new() },
            Error::Features(FeatureError::Store(String::new())),
            Error::Data(DataError::Setting(String::new())),
        ];
        for error in others {
            assert!(names.contains(error.code()) && error.class() != Class::Internal, "{error:?}");
        }
    }
}
