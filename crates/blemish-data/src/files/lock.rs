//! Locks by which processes that change one file take turns.

use super::place::{folder_of, is_at, resolve, unusual};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What names of lock files begin with.
pub(super) const LOCK: &str = ".blemish-lock-";

/// Time between two looks at a lock that somebody else holds.
const PAUSE: Duration = Duration::from_millis(50);

/// The right to change a file, given back when it is dropped or its process ends, however that happens.
#[derive(Debug)]
pub struct Lock {
    /// The lock file, open and locked; `None` where there is nothing to lock: pipes, devices, file systems without locks.
    held: Option<(File, PathBuf)>,
}

/// Waits for the right to change the file at `path`, which need not exist, and whose folder must be writable.
///
/// While somebody else has it, `while_busy` is called every twentieth of a second; `false` ends the wait. Readers need no lock, since
/// files here are replaced whole. Links are followed, so that all names of a file have one lock. It lies beside the file, hidden, and
/// is removed in the end. A process that asks twice for the same file waits for itself.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if `while_busy` ended the wait; the system's if the folder is missing or not writable.
pub fn lock(path: &Path, while_busy: &mut dyn FnMut() -> bool) -> io::Result<Lock> {
    if std::fs::metadata(path).is_ok_and(|found| unusual(found.file_type()).is_some()) {
        return Ok(Lock { held: None });
    }
    let place = place(&resolve(path)?);
    loop {
        let file = open(&place)?;
        match file.try_lock() {
            // Its last holder may have removed it between opening and locking; then it guards nothing.
            Ok(()) if is_at(&file, &place) => return Ok(Lock { held: Some((file, place)) }),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if while_busy() => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                let reason = "another process is changing it";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, reason));
            }
            // A file system without locks is no reason to write nothing.
            Err(TryLockError::Error(_)) => {
                let _ = std::fs::remove_file(&place);
                return Ok(Lock { held: None });
            }
        }
    }
}

/// The lock file: of a name that is short whatever the file's is.
fn place(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().as_encoded_bytes();
    let digest = crate::digest::hexadecimal(&Sha256::digest(name)[..8]);
    folder_of(target).join(format!("{LOCK}{digest}"))
}

pub(super) fn open(place: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match options.read(true).write(true).create(true).truncate(false).open(place) {
        // Of another user; it can be locked all the same.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && place.exists() => File::open(place),
        opened => opened,
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some((_, place)) = &self.held {
            // While it is still locked: whoever opened it before finds out that it is gone. One that stays is empty and does no harm.
            let _ = std::fs::remove_file(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn only_one_at_a_time_has_the_right_to_change_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("count");
        std::fs::write(&path, "0").unwrap();
        let waits = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let _lock =
                            lock(&path, &mut || waits.fetch_add(1, Ordering::Relaxed) < 100_000).unwrap();
                        let count: usize = std::fs::read_to_string(&path).unwrap().parse().unwrap();
                        std::thread::yield_now();
                        std::fs::write(&path, (count + 1).to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "40");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "locks leave nothing");
    }

    #[test]
    fn a_wait_can_be_ended_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let held = lock(&path, &mut || true).unwrap();
        let mut asked = 0;
        let error = lock(&path, &mut || {
            asked += 1;
            asked < 3
        });
        assert_eq!((error.unwrap_err().kind(), asked), (io::ErrorKind::WouldBlock, 3));
        drop(held);
        lock(&path, &mut || false).unwrap();
        assert!(lock(&folder.path().join("no/folder"), &mut || false).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn all_names_of_a_file_have_one_lock_and_devices_need_none() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("model"), folder.path().join("link"));
        std::os::unix::fs::symlink("model", &link).unwrap();
        let _held = lock(&path, &mut || true).unwrap();
        assert!(lock(&link, &mut || false).is_err());
        assert!(lock(Path::new("/dev/null"), &mut || false).is_ok());
    }
}
