//! A folder that appears whole or not at all.

use super::error::ImportError;
use crate::files::UNFINISHED;
use crate::unfinished::note_unfinished;
use std::path::{Path, PathBuf};

/// A folder under construction beside its final place; removed again unless [`Staging::publish`] succeeds.
pub(crate) struct Staging {
    folder: tempfile::TempDir,
    out: PathBuf,
}

impl Staging {
    /// Starts a folder that shall become `out`, which must be absent or empty.
    pub(crate) fn start(out: &Path) -> Result<Self, ImportError> {
        let is_free = match std::fs::read_dir(out) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if !is_free {
            return Err(ImportError::Occupied { path: out.to_path_buf() });
        }
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent).map_err(ImportError::io("create", parent))?;
        let mut builder = tempfile::Builder::new();
        // Temporary folders are private by default; the set gets the permissions of the user's umask.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let folder =
            builder.prefix(UNFINISHED).tempdir_in(parent).map_err(ImportError::io("create", parent))?;
        note_unfinished(folder.path());
        Ok(Self { folder, out: out.to_path_buf() })
    }

    /// Where to write for now.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts the folder in its place.
    pub(crate) fn publish(self) -> Result<(), ImportError> {
        // A folder cannot be renamed onto an existing one everywhere, not even onto an empty one.
        match std::fs::remove_dir(&self.out) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ImportError::io("replace", &self.out)(error));
            }
            _ => {}
        }
        std::fs::rename(self.folder.path(), &self.out).map_err(ImportError::io("write", &self.out))
        // The guard then finds nothing left to remove.
    }
}
