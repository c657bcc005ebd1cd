//! A file under construction.

use super::leftovers::{clear_once, owner_file};
use super::place::{Identity, folder_of, refusal, resolve, unusual};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::NamedTempFile;

/// Time that somebody has to open the other end of a pipe.
const READER_WAIT: Duration = Duration::from_secs(30);

/// A file that is being written. It appears under its name by [`Self::complete`], whole, or never.
#[derive(Debug)]
pub struct Unfinished {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Beside its final place, which no link leads away from.
    Beside(NamedTempFile, PathBuf),
    /// Somewhere else; its bytes are then sent to a pipe or device.
    Sent(File, Receiver),
}

/// What takes bytes and keeps none.
#[derive(Debug)]
enum Receiver {
    /// A pipe or device.
    Place(PathBuf),
    /// What standard output or standard error already go to.
    Own(File),
}

/// Begins a file that shall lie at `path`, in a folder that there is; it vanishes if it is never completed.
///
/// A link stays one: its target is replaced. A file that is replaced gives its permissions, and its owner where the system allows it, to
/// the new one, which nobody may read meanwhile who may not read the old one. Pipes and devices get the bytes in the end and stay what they
/// are. What killed processes have left in the folder is cleared away first.
///
/// # Errors
/// The system's, if the folder cannot be written; [`io::ErrorKind::InvalidInput`] if a folder, a disk or a socket lies there.
pub fn unfinished(path: &Path) -> io::Result<Unfinished> {
    let present = std::fs::metadata(path).ok();
    if let Some(receiver) = present.as_ref().map(|found| receiver(path, found)).transpose()?.flatten() {
        return Ok(Unfinished { kind: Kind::Sent(tempfile::tempfile()?, receiver) });
    }
    let target = resolve(path)?;
    let folder = folder_of(&target);
    clear_once(folder);
    let file = owner_file(folder, present.as_ref().map_or(0o666, mode))?;
    Ok(Unfinished { kind: Kind::Beside(file, target) })
}

/// Writes a whole file, as [`unfinished`] does.
///
/// # Errors
/// The system's; an existing file stays as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = unfinished(path)?;
    file.write_all(bytes)?;
    file.complete()
}

/// What takes the bytes for `path`; `None` for an ordinary file.
fn receiver(path: &Path, found: &Metadata) -> io::Result<Option<Receiver>> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let own = |stream: std::os::fd::BorrowedFd<'_>| -> Option<File> {
            let file = File::from(stream.try_clone_to_owned().ok()?);
            let is_it = Identity::of_metadata(&file.metadata().ok()?) == Identity::of_metadata(found);
            is_it.then_some(file)
        };
        // Replacing the file that standard output goes to would lose what it still gets. A device is none the worse for a second opening.
        if !found.file_type().is_dir()
            && let Some(file) = own(io::stdout().as_fd()).or_else(|| own(io::stderr().as_fd()))
        {
            return Ok(Some(Receiver::Own(file)));
        }
    }
    match unusual(found.file_type()) {
        None => Ok(None),
        Some("a folder") => Err(refusal("it is a folder; give the file a name of its own")),
        Some("a pipe" | "a device") => Ok(Some(Receiver::Place(path.to_owned()))),
        Some(kind) => Err(refusal(&format!("it is {kind}; give the file another name"))),
    }
}

impl Unfinished {
    /// What is written to.
    pub fn file(&self) -> &File {
        match &self.kind {
            Kind::Beside(file, _) => file.as_file(),
            Kind::Sent(file, _) => file,
        }
    }

    /// Gives the file its name, or sends it on its way.
    ///
    /// # Errors
    /// The system's; an existing file then stays as it was. [`io::ErrorKind::TimedOut`] for a pipe that nobody reads for half a minute.
    pub fn complete(self) -> io::Result<()> {
        match self.kind {
            Kind::Beside(file, target) => {
                if let Ok(old) = std::fs::metadata(&target) {
                    keep_owner(&old, file.as_file())?;
                }
                file.persist(target).map(drop).map_err(|error| error.error)
            }
            Kind::Sent(mut file, receiver) => {
                file.seek(SeekFrom::Start(0))?;
                let mut to = match receiver {
                    Receiver::Own(own) => own,
                    Receiver::Place(path) => open_to_send(path)?,
                };
                io::copy(&mut file, &mut to)?;
                to.flush()
            }
        }
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl Read for Unfinished {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file().read(bytes)
    }
}

impl Seek for Unfinished {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file().seek(to)
    }
}

/// Opens a pipe or device, which may take as long as nobody reads there; not without end.
fn open_to_send(path: PathBuf) -> io::Result<File> {
    let (send, opened) = mpsc::channel();
    std::thread::spawn(move || send.send(OpenOptions::new().write(true).open(path)));
    opened.recv_timeout(READER_WAIT).unwrap_or_else(|_| {
        let reason = "nobody reads from this pipe; start the program that reads first";
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    })
}

#[cfg(unix)]
fn mode(of: &Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;
    of.mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0o666
}

/// Gives a new file the owner, group and permissions of the one that it replaces, as far as the system allows.
#[cfg(unix)]
fn keep_owner(old: &Metadata, file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid())
        && fchown(file, Some(old.uid()), Some(old.gid())).is_err()
    {
        // Only root gives files away; a group of one's own can be kept.
        let _ = fchown(file, None, Some(old.gid()));
    }
    let mut wanted = mode(old);
    if file.metadata()?.gid() != old.gid() {
        // Another group may do what everybody may, no more.
        wanted &= !0o070 | (wanted & 0o007) << 3;
    }
    if mode(&file.metadata()?) != wanted {
        file.set_permissions(std::fs::Permissions::from_mode(wanted))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn keep_owner(_: &Metadata, _: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_completed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        std::fs::write(&path, "old").unwrap();
        let mut file = unfinished(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        unfinished(&path).unwrap().complete().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_found_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        assert!(unfinished(folder.path()).unwrap_err().to_string().contains("it is a folder"));
        assert!(unfinished(&folder.path().join("no/file")).is_err());
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

        fn mode_of(path: &Path) -> u32 {
            mode(&std::fs::metadata(path).unwrap())
        }

        #[test]
        fn a_new_file_has_the_permissions_of_an_ordinary_one() {
            let folder = tempfile::tempdir().unwrap();
            let (ordinary, own) = (folder.path().join("ordinary"), folder.path().join("own"));
            std::fs::write(&ordinary, "").unwrap();
            write(&own, b"").unwrap();
            assert_eq!(mode_of(&own), mode_of(&ordinary));
        }

        #[test]
        fn a_replaced_file_keeps_its_permissions_and_is_never_more_open() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model");
            for wanted in [0o600, 0o666, 0o440] {
                std::fs::write(&path, "").unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(wanted)).unwrap();
                let file = unfinished(&path).unwrap();
                let meanwhile = mode(&file.file().metadata().unwrap());
                assert_eq!(meanwhile & !wanted, 0, "{meanwhile:o} while it is written");
                file.complete().unwrap();
                assert_eq!(mode_of(&path), wanted);
                std::fs::remove_file(&path).unwrap();
            }
        }

        /// Only root can give a file to somebody else, so only root can try.
        #[test]
        fn a_replaced_file_keeps_its_owner_where_the_system_allows_it() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model");
            std::fs::write(&path, "").unwrap();
            if std::os::unix::fs::chown(&path, Some(12345), Some(23456)).is_err() {
                println!("skipped: files can be given away by root alone");
                return;
            }
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            write(&path, b"new").unwrap();
            let found = std::fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid(), mode(&found)), (12345, 23456, 0o640));
        }

        #[test]
        fn a_link_stays_and_its_target_changes() {
            let folder = tempfile::tempdir().unwrap();
            let below = folder.path().join("below");
            std::fs::create_dir(&below).unwrap();
            std::fs::write(below.join("model"), "old").unwrap();
            for (link, target) in [("here", "below/model"), ("twice", "here"), ("dangling", "below/new")] {
                let link = folder.path().join(link);
                symlink(target, &link).unwrap();
                write(&link, b"new").unwrap();
                assert!(std::fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
                assert_eq!(std::fs::read(&link).unwrap(), b"new");
                assert_eq!(
                    std::fs::read_dir(folder.path())
                        .unwrap()
                        .filter(|entry| {
                            entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".blemish")
                        })
                        .count(),
                    0
                );
            }
            assert_eq!(std::fs::read(below.join("model")).unwrap(), b"new");
            assert_eq!(std::fs::read(below.join("new")).unwrap(), b"new");
        }

        #[test]
        fn a_pipe_gets_the_bytes_and_stays_a_pipe() {
            let folder = tempfile::tempdir().unwrap();
            let pipe = folder.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let reader = std::thread::spawn({
                let pipe = pipe.clone();
                move || std::fs::read(pipe).unwrap()
            });
            let mut file = unfinished(&pipe).unwrap();
            file.write_all(b"_hole").unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.write_all(b"w").unwrap();
            file.complete().unwrap();
            assert_eq!(reader.join().unwrap(), b"whole");
            assert_eq!(unusual(std::fs::metadata(&pipe).unwrap().file_type()), Some("a pipe"));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }

        #[test]
        fn a_device_stays_a_device() {
            write(Path::new("/dev/null"), b"gone").unwrap();
            assert_eq!(unusual(std::fs::metadata("/dev/null").unwrap().file_type()), Some("a device"));
            if Path::new("/dev/full").exists() {
                assert!(write(Path::new("/dev/full"), b"too much").is_err());
            }
        }
    }
}
