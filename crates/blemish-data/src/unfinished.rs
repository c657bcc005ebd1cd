//! Files and folders that are still being written, so that a program that has to end at once takes them with it.
//!
//! Each is removed by whoever writes it when the work ends, fails or is cancelled. A program that ends in the middle of it all (a second
//! Ctrl-C, a step that takes too long) runs none of this, and calls [`remove_unfinished`] instead.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Their names are random, so a name that is gone is never somebody else's later.
static NOTED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Paths from which those that are gone are forgotten.
const MANY: usize = 512;

/// Notes a file or folder under a temporary name of its own.
pub fn note_unfinished(path: &Path) {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever changes the folder meanwhile must not change what this path means.
    noted.push(std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    if noted.len() >= MANY && noted.len().is_power_of_two() {
        noted.retain(|path| path.exists());
    }
}

/// Removes what was noted and is still there: for a program that ends at once.
pub fn remove_unfinished() {
    let noted = std::mem::take(&mut *NOTED.lock().unwrap_or_else(PoisonError::into_inner));
    for path in noted {
        // What cannot be removed stays; the program ends.
        let _ = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            Err(_) => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::unfinished;

    #[test]
    fn what_is_unfinished_is_removed_and_what_is_finished_stays() {
        let folder = tempfile::tempdir().unwrap();
        let finished = folder.path().join("finished");
        unfinished(&finished).unwrap().persist(&finished).unwrap();
        let half = unfinished(&folder.path().join("half")).unwrap();
        let staging = tempfile::tempdir_in(folder.path()).unwrap();
        std::fs::write(staging.path().join("part"), "x").unwrap();
        note_unfinished(staging.path());
        remove_unfinished();
        assert!(!half.path().exists() && !staging.path().exists() && finished.exists());
    }
}
