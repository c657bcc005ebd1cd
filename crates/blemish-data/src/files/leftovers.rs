//! What a killed process leaves: files and folders that were never completed. The next one that writes into the same folder removes them.
//!
//! Everything unfinished has an owner file that its process keeps locked, and a lock ends with its process. What can be locked belongs to
//! nobody any more.

use super::lock::LOCK;
use super::noted::note_unfinished;
use super::place::is_at;
use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use tempfile::NamedTempFile;

/// What names of owner files begin with. They are what is being written, or stand for a folder of the same name and [`FOLDER`].
const OWNER: &str = ".blemish-unfinished-";

/// What the name of an unfinished folder has after that of its owner file.
pub(super) const FOLDER: &str = ".d";

/// Random letters in a name.
const LETTERS: usize = 10;

/// A new owner file in a folder, locked. Permissions are as given, less what the user's umask takes away.
pub(super) fn owner_file(folder: &Path, _mode: u32) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(_mode));
    builder.prefix(OWNER).rand_bytes(LETTERS);
    loop {
        let file = builder.tempfile_in(folder)?;
        // Somebody who clears up may have come between making and locking, and removed it.
        let is_held = file.as_file().lock().is_err() || is_at(file.as_file(), file.path());
        if is_held {
            note_unfinished(file.path());
            return Ok(file);
        }
    }
}

/// Clears a folder up, once in the life of this process.
pub(super) fn clear_once(folder: &Path) {
    static CLEARED: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);
    let Ok(real) = std::fs::canonicalize(folder) else { return };
    if CLEARED.lock().unwrap_or_else(PoisonError::into_inner).insert(real) {
        clear(folder);
    }
}

/// Removes what processes that are no more have left unfinished in a folder. What cannot be removed stays: it is waste, not a fault.
pub fn clear(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_file() && (name.starts_with(OWNER) || name.starts_with(LOCK)) {
            clear_owner(&entry.path());
        } else if let Some(owner) = name.strip_suffix(FOLDER)
            && kind.is_dir()
            && owner.starts_with(OWNER)
            && !folder.join(owner).exists()
        {
            // Its owner file is there before it and after it.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn clear_owner(path: &Path) {
    let opened = OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path));
    let Ok(file) = opened else { return };
    match file.try_lock() {
        // Locked while it goes, so that whoever has just made it notices.
        Ok(()) if is_at(&file, path) => {
            let mut folder = path.as_os_str().to_owned();
            folder.push(FOLDER);
            if Path::new(&folder).is_dir() {
                let _ = std::fs::remove_dir_all(&folder);
            }
            let _ = std::fs::remove_file(path);
        }
        // Somebody is at work, or the file system cannot tell.
        Ok(()) | Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// What a killed process leaves is what a live one has, less its lock.
    #[test]
    fn what_the_dead_have_left_goes_and_what_the_living_write_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let left = root.join(".blemish-unfinished-abcdefghij");
        std::fs::write(&left, "half a model").unwrap();
        std::fs::create_dir_all(root.join(".blemish-unfinished-abcdefghij.d/train/good")).unwrap();
        std::fs::create_dir(root.join(".blemish-unfinished-orphanorph.d")).unwrap();
        std::fs::write(root.join(".blemish-lock-0123456789abcdef"), "").unwrap();
        for own in [".blemish-models", "a.blemish"] {
            std::fs::create_dir(root.join(own)).unwrap();
        }
        let alive = owner_file(root, 0o666).unwrap();
        let _guard = super::super::lock(&root.join("model"), &mut || false).unwrap();
        let before = names(root);
        assert_eq!(before.len(), 8, "{before:?}");
        clear_once(root);
        let after = names(root);
        assert_eq!(after.len(), 4, "{after:?}");
        assert!(alive.path().exists() && root.join(".blemish-models").exists());
        // A second look costs nothing.
        std::fs::write(&left, "").unwrap();
        clear_once(root);
        assert!(left.exists());
        clear(root);
        assert!(!left.exists());
    }

    #[test]
    fn clearing_up_never_takes_what_was_just_made() {
        let folder = tempfile::tempdir().unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let is_over = || stop.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over() {
                    clear(folder.path());
                }
            });
            for _ in 0..500 {
                let file = owner_file(folder.path(), 0o666).unwrap();
                assert!(file.path().exists());
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
