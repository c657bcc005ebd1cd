//! What can go wrong when a public set is imported.

use std::path::{Path, PathBuf};

/// What can go wrong when a public set is imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The source is not a wheel or folder of the set.
    #[error("`{}` is not the elpv-dataset: {reason}; get it with `pip download --no-deps elpv-dataset`", path.display())]
    Foreign {
        /// The wheel or folder.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The wheel is damaged or incomplete.
    #[error("the wheel `{}` is damaged: {reason}; download it again", path.display())]
    Damaged {
        /// The wheel.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// A line of the set's label file is wrong.
    #[error("cannot read the labels in `{}`, line {line}: {reason}; get the set again", path.display())]
    Labels {
        /// The wheel or folder.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// More images are asked for than there are.
    #[error("{wanted} {what} are asked for, but the set has {available} of the chosen kind; ask for fewer")]
    TooFew {
        /// "good images" or "defective images".
        what: &'static str,
        /// How many are asked for.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
    /// No type of cell has this name.
    #[error("there is no type of cell `{name}`; choose one of: mono, poly, all")]
    UnknownCellType {
        /// The name asked for.
        name: String,
    },
    /// The folder to write exists already.
    #[error("cannot write into `{}`: it exists and is not an empty folder; name a new one", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// Whoever watches has asked to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A file or folder operation failed.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// "read", "write", "write into", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl ImportError {
    /// Wraps a system error with what was tried and where, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
