//! A model file in memory, and what tells that the file has changed.

use crate::fault::Fault;
use blemish::Detector;
use blemish::features::EngineOptions;
use blemish::file::header::Header;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Looks at a file that changes while it is read, before that is an error.
const LOOKS: usize = 3;

/// Digits of the identity that name a version.
pub const DIGITS: usize = 12;

/// One state of a model: what a file held when it was read. What happens to the file afterwards changes nothing.
pub struct Version {
    /// What scores.
    pub detector: Detector,
    /// The first twelve digits of the identity.
    pub version: String,
    /// SHA-256 of method, backbone, transform and tensors, in hexadecimal.
    pub identity: String,
    /// The file it was read from.
    pub path: PathBuf,
    /// When it was read.
    pub loaded: SystemTime,
    /// Bytes of the file.
    pub bytes: u64,
    /// What the model says of itself.
    pub header: Header,
    pub(super) stamp: Stamp,
}

impl Version {
    /// Whether it looks at whole images at one size, which can be put together to batches.
    pub fn takes_batches(&self) -> bool {
        self.header.views.is_empty()
    }

    /// Reads a model file whole.
    ///
    /// # Errors
    /// As [`Detector::load`]; `io` if it keeps changing.
    pub fn load(path: &Path, engine: &EngineOptions) -> Result<Self, Fault> {
        let (detector, stamp) = read_still(path, engine)?;
        let identity = detector.identity();
        Ok(Self {
            version: identity.chars().take(DIGITS).collect(),
            header: detector.header(),
            detector,
            identity,
            path: path.to_owned(),
            loaded: SystemTime::now(),
            bytes: stamp.length,
            stamp,
        })
    }

    /// Proves that it scores and decides as where it was fitted.
    ///
    /// # Errors
    /// `not_verified` with what differs; what scoring returns.
    pub fn verify(&self, engine: &EngineOptions) -> Result<(), Fault> {
        let verified = self.detector.verify(engine).map_err(|error| Fault::from(&error))?;
        let Some(what) = verified.objection() else { return Ok(()) };
        Err(Fault::new(
            "not_verified",
            format!(
                "model `{}` is not verified: {what}; deploy the fitted file again, or start with --verify off",
                self.path.display()
            ),
        ))
    }
}

/// What of a file tells that it is another one: time, length, inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    /// Of the file as it is now; `None` where there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), length: metadata.len(), inode: inode(&metadata) })
    }
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

/// The model in a file that stood still while it was read: one that is being copied would be half of one and half of another.
fn read_still(path: &Path, engine: &EngineOptions) -> Result<(Detector, Stamp), Fault> {
    for look in 1.. {
        let before = Stamp::of(path);
        // It is read whole into memory.
        let read = Detector::load(path, engine);
        let stood_still = before == Stamp::of(path);
        match (read, before) {
            (Ok(detector), Some(stamp)) if stood_still => return Ok((detector, stamp)),
            (Err(error), _) if stood_still || look == LOOKS => return Err((&error).into()),
            _ if look == LOOKS => break,
            _ => {}
        }
    }
    Err(Fault::new(
        "io",
        format!("the model `{}` changed while it was read; let the other program finish", path.display()),
    ))
}
