//! Folders under construction.

use super::leftovers::{FOLDER, clear, clear_once, owner_file};
use super::noted::note_unfinished;
use super::place::folder_of;
use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A hidden folder that is removed when it is dropped, or by the next process that writes beside it if this one is killed.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    /// Locked while this process lives; goes last.
    _owner: NamedTempFile,
}

impl Scratch {
    /// A new folder in `parent`, for this user alone.
    ///
    /// # Errors
    /// The system's, if `parent` cannot be written.
    pub fn new(parent: &Path) -> io::Result<Self> {
        Self::with_mode(parent, 0o700)
    }

    fn with_mode(parent: &Path, _mode: u32) -> io::Result<Self> {
        clear_once(parent);
        let owner = owner_file(parent, 0o600)?;
        let mut folder = owner.path().as_os_str().to_owned();
        folder.push(FOLDER);
        let folder = PathBuf::from(folder);
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, _mode);
        builder.create(&folder)?;
        note_unfinished(&folder);
        Ok(Self { folder, _owner: owner })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is cleared away by the next process.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A folder that appears whole or not at all: nothing is seen of it until [`Staging::publish`].
#[derive(Debug)]
pub struct Staging {
    scratch: Scratch,
    out: PathBuf,
}

impl Staging {
    /// Begins what shall be the folder `out`, or shall lie in it if it is there. Folders above it are made.
    ///
    /// # Errors
    /// The system's, naming the folder that cannot be written.
    pub fn new(out: &Path) -> Result<Self, (PathBuf, io::Error)> {
        // A folder that is there may be a link, or hold what cannot be moved: it is filled. In the end that takes a moment longer.
        let parent = if out.is_dir() { out } else { folder_of(out) };
        std::fs::create_dir_all(parent).map_err(|error| (parent.to_owned(), error))?;
        let scratch = Scratch::with_mode(parent, 0o777).map_err(|error| (parent.to_owned(), error))?;
        Ok(Self { scratch, out: out.to_owned() })
    }

    /// Where to write for now.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Puts everything in its place; `last` is the entry that comes last, where the folder was there before.
    ///
    /// # Errors
    /// The system's; also if something lies in the way.
    pub fn publish(self, last: &str) -> io::Result<()> {
        let Self { scratch, out } = &self;
        if !out.is_dir() {
            return std::fs::rename(scratch.path(), out);
        }
        let mut entries: Vec<PathBuf> = std::fs::read_dir(scratch.path())?
            .map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())))
            .collect::<io::Result<_>>()?;
        entries.sort_by_key(|entry| (entry.as_os_str() == last, entry.clone()));
        entries.iter().try_for_each(|entry| std::fs::rename(scratch.path().join(entry), out.join(entry)))
    }
}

/// Whether a folder is absent, or holds nothing but what is unfinished. Leftovers of killed processes are cleared away first.
///
/// # Errors
/// The system's, also if it is no folder.
pub fn is_free(folder: &Path) -> io::Result<bool> {
    if folder.is_dir() {
        clear(folder);
    }
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_whole_in_a_new_place_and_in_one_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        for (out, is_there) in [("new/set", false), ("there", true)] {
            let out = folder.path().join(out);
            if is_there {
                std::fs::create_dir(&out).unwrap();
            }
            assert!(is_free(&out).unwrap());
            let staging = Staging::new(&out).unwrap();
            std::fs::create_dir_all(staging.path().join("train/good")).unwrap();
            std::fs::write(staging.path().join("marker"), "").unwrap();
            let seen = |name: &str| out.join(name).exists();
            assert!(!seen("train") && !seen("marker"));
            staging.publish("marker").unwrap();
            assert!(seen("train/good") && seen("marker"));
            let hidden = |folder: &Path| {
                std::fs::read_dir(folder)
                    .unwrap()
                    .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
                    .count()
            };
            assert_eq!((hidden(&out), hidden(out.parent().unwrap())), (0, 0));
            assert!(!is_free(&out).unwrap());
        }
        drop(Staging::new(&folder.path().join("never")).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
