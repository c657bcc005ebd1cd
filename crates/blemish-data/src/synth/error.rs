//! What can go wrong when a set is made up.

use std::path::{Path, PathBuf};

/// What can go wrong when a synthetic set is made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// No look has this name.
    #[error("there is no look `{name}`; choose one of: {}, traffic", super::Look::ALL.map(super::Look::name).join(", "))]
    UnknownLook {
        /// The name asked for.
        name: String,
    },
    /// The images would be too small to show anything, or absurdly large.
    #[error("synthetic images cannot be {width}x{height} pixels; each side must be from {least} to {most}", least = super::SIDES.start(), most = super::SIDES.end())]
    Sides {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The images would take more memory than anybody means.
    #[error(
        "synthetic images of {width}x{height} pixels are too large; make them of at most {} pixels",
        super::MOST_PIXELS
    )]
    Pixels {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// More images than anybody means.
    #[error("a synthetic set of {images} images is too large; ask for at most {}", super::MOST_IMAGES)]
    Count {
        /// All images of the set.
        images: u128,
    },
    /// Clips that are too short for what is to happen in them.
    #[error("clips of {frames} frames are too short; make them of at least {least} frames")]
    Frames {
        /// Frames of a clip.
        frames: usize,
        /// The fewest.
        least: usize,
    },
    /// A look does not have this defect.
    #[error("the look `{look}` has no defect `{defect}`; it has: {}", look.defects().iter().map(|defect| defect.name()).collect::<Vec<_>>().join(", "))]
    ForeignDefect {
        /// The look.
        look: super::Look,
        /// The defect.
        defect: super::Defect,
    },
    /// No attempt gave a defect that stands out from the noise.
    #[error(
        "could not make a visible `{defect}` at {width}x{height} pixels (look `{look}`, seed {seed}, image {index}); use larger images or another seed"
    )]
    Invisible {
        /// The look.
        look: super::Look,
        /// The defect.
        defect: super::Defect,
        /// The seed of the set.
        seed: u64,
        /// The number of the image.
        index: u64,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The folder holds something, and it is not a synthetic set or overwriting was not asked for.
    #[error("cannot write into `{}`: {reason}", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What is in the way and how to mend it.
        reason: String,
    },
    /// Whoever watches has asked to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A file or folder operation failed.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// "read", "write", "write into", "remove".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An image to lay defects over cannot be read.
    #[error(transparent)]
    Image(#[from] crate::error::DataError),
    /// None of the images shows anything that a defect could change.
    #[error("no defect can be seen on these images, such as `{}`; they seem to be of one colour", path.display())]
    Blank {
        /// The first of them.
        path: PathBuf,
    },
    /// An image could not be encoded.
    #[error("cannot encode `{}` as PNG: {detail}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's own words.
        detail: String,
    },
}

impl SynthError {
    /// Wraps a system error with what was tried and where, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
