//! What a path leads to: a file, a folder, or something that bytes only flow through.

use std::fs::{File, FileType, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links that are followed one after the other, as many as Linux follows.
const LINKS: usize = 40;

/// Where a path leads once every link at its end is followed; the file itself need not exist.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for links in a circle.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        // What is absent or no link cannot be read as one.
        let Ok(target) = std::fs::read_link(&path) else { return Ok(path) };
        path = folder_of(&path).join(target);
    }
    Err(refusal("its links lead in a circle"))
}

/// The folder that a file lies in; `.` for a bare name.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The deepest folder that all paths begin with.
pub fn shared_folder<'a>(paths: impl Iterator<Item = &'a Path>) -> PathBuf {
    let mut folders = paths.map(|path| path.parent().unwrap_or(Path::new("")));
    let Some(first) = folders.next() else { return PathBuf::new() };
    let mut shared: Vec<Component<'_>> = first.components().collect();
    for folder in folders {
        let same = shared.iter().zip(folder.components()).take_while(|(one, other)| **one == *other).count();
        shared.truncate(same);
    }
    shared.into_iter().collect()
}

/// Opens an ordinary file to read and says how long it is. Nothing that could give bytes for ever, or never any, is opened.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for folders, pipes and devices, saying which it is.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    let ordinary = |metadata: &Metadata| match unusual(metadata.file_type()) {
        Some(kind) => Err(refusal(&format!("it is {kind}, not a file"))),
        None => Ok(metadata.len()),
    };
    // A pipe that nobody writes to would hold up its opening, so what it is must be known before.
    ordinary(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    let length = ordinary(&file.metadata()?)?;
    Ok((file, length))
}

/// Reads an ordinary file of at most `limit` bytes.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use io::Read;
    let large = || {
        let reason = format!("it has more than the {limit} bytes that are read of such a file");
        io::Error::new(io::ErrorKind::FileTooLarge, reason)
    };
    let (file, length) = open(path)?;
    if length > limit {
        return Err(large());
    }
    // The length is at most the limit, and what grows meanwhile is not followed beyond it.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(large()) } else { Ok(bytes) }
}

/// What something is that is no ordinary file.
pub(super) fn unusual(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kinds = [
            (kind.is_fifo(), "a pipe"),
            (kind.is_block_device(), "a disk"),
            (kind.is_char_device(), "a device"),
            (kind.is_socket(), "a socket"),
        ];
        if let Some((_, name)) = kinds.into_iter().find(|(is, _)| *is) {
            return Some(name);
        }
    }
    Some(if kind.is_dir() { "a folder" } else { "something else" })
}

pub(super) fn refusal(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// Tells files apart whatever they are called: device and number of the file, or its real path where the system has no such numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

impl Identity {
    /// Of what a path leads to; `None` if there is nothing.
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::of_metadata(&metadata))
    }

    #[cfg(unix)]
    pub(super) fn of_metadata(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self((metadata.dev(), metadata.ino()))
    }

    /// Of what a path leads to; `None` if there is nothing.
    #[cfg(not(unix))]
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::canonicalize(path).ok().map(Self)
    }
}

/// Whether an open file is still what lies at `path`.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    return file.metadata().ok().map(|metadata| Identity::of_metadata(&metadata)) == Identity::of(path);
    // Where an open file cannot be removed it is.
    #[cfg(not(unix))]
    return path.exists() && file.metadata().is_ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(folder.path(), 9).unwrap_err().to_string().contains("it is a folder"));
        assert_eq!(read(&folder.path().join("none"), 9).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn what_never_ends_or_never_begins_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(read(&pipe, 9).unwrap_err().to_string().contains("a pipe"));
        assert!(read(Path::new("/dev/zero"), 9).unwrap_err().to_string().contains("a device"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(open(&link).unwrap_err().to_string().contains("a device"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_to_where_a_file_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let link = |to: &str, name: &str| {
            let path = folder.path().join(name);
            std::os::unix::fs::symlink(to, &path).unwrap();
            path
        };
        link("absent", "one");
        assert_eq!(resolve(&link("one", "two")).unwrap(), folder.path().join("absent"));
        link("b", "a");
        assert!(resolve(&link("a", "b")).is_err());
    }
}
