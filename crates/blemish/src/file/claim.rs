//! The right to change a model file.

use blemish_core::error::Error;
use blemish_core::observer::Observer;
use blemish_data::files::{self, Lock};
use std::io;
use std::path::{Path, PathBuf};

/// The right to change a model file: until it is dropped, no other claim to the file succeeds, in this process or another.
///
/// Who reads a model, changes it and writes it back claims it before reading, so that no change in between is lost. Reading needs no claim.
/// Two claims to one file in one thread wait for each other for ever.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _lock: Lock,
}

impl Claim {
    /// Waits, and says so, while another process changes the file, which need not exist.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the observer ends the wait; [`Error::Io`] if the folder cannot be written.
    pub fn new(path: &Path, observer: &dyn Observer) -> Result<Self, Error> {
        let mut is_told = false;
        let lock = files::lock(path, &mut || {
            if !is_told {
                is_told = true;
                observer.warn(&format!("another process is changing `{}`; waiting for it", path.display()));
            }
            !observer.is_cancelled()
        });
        let lock = lock.map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => Error::Interrupted,
            _ => Error::Io { action: "write", path: path.to_owned(), source },
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
