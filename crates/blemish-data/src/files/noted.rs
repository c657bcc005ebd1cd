//! Files and folders that are still being written, so that a program that has to end at once takes them with it.
//!
//! Each is removed by whoever writes it when the work ends, fails or is cancelled. A program that ends in the middle of it all (a second
//! Ctrl-C, a step that takes too long) runs none of this, and calls [`remove_unfinished`] instead.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the program is writing.
static NOTED: Mutex<Noted> = Mutex::new(Noted { paths: Vec::new() });

/// How often it is tried to remove a folder.
const TRIES: usize = 5;

/// Paths from which those that are gone are forgotten.
const MANY: usize = 512;

/// Notes a file or folder under a temporary name of its own.
pub(super) fn note_unfinished(path: &Path) {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).add(path);
}

/// Removes what was noted and is still there: for a program that ends at once.
pub fn remove_unfinished() {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).remove();
}

/// Whoever changes the folder meanwhile must not change what a path means.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Paths that are to go.
#[derive(Default)]
struct Noted {
    /// Files and folders. Their names are random, so a name that is gone is never somebody else's later.
    paths: Vec<PathBuf>,
}

impl Noted {
    fn add(&mut self, path: &Path) {
        self.paths.push(absolute(path));
        if self.paths.len() >= MANY && self.paths.len().is_power_of_two() {
            self.paths.retain(|path| path.exists());
        }
    }

    /// What cannot be removed stays; the program ends.
    fn remove(&mut self) {
        for path in self.paths.drain(..) {
            // Other threads may still be writing into a folder.
            for _ in 0..TRIES {
                let removed = match path.symlink_metadata() {
                    Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path),
                    Ok(_) => std::fs::remove_file(&path),
                    Err(_) => Ok(()),
                };
                if removed.is_ok() {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unfinished_is_removed_and_what_is_finished_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut noted = Noted::default();
        for name in ["half", "staging/part", "finished"] {
            let path = at(&format!(".blemish-{name}"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
        }
        [".blemish-half", ".blemish-staging", ".blemish-finished"]
            .iter()
            .for_each(|name| noted.add(&at(name)));
        std::fs::rename(at(".blemish-finished"), at("finished")).unwrap();
        noted.remove();
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["finished"]);
    }

    #[test]
    fn many_files_are_forgotten_when_they_are_done() {
        let mut noted = Noted::default();
        (0..10 * MANY).for_each(|number| noted.add(Path::new(&format!("no/such/{number}"))));
        assert!(noted.paths.len() < MANY, "{}", noted.paths.len());
    }
}
