//! What can go wrong between a weight file and a feature map.

use std::path::PathBuf;

/// An error of this crate: what, where, how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// A file cannot be read or written.
    #[error("cannot access `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An execution engine failed.
    #[error("the {engine} engine failed: {reason}")]
    Engine {
        /// `rten`, `ort` or `burn`.
        engine: &'static str,
        /// Its own words.
        reason: String,
    },
}
