//! Files that appear whole or not at all.

use crate::unfinished::note_unfinished;
use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// What names of files and folders still being written begin with.
pub const UNFINISHED: &str = ".blemish-";

/// A temporary file in the folder of `path`, to be renamed to it by [`NamedTempFile::persist`] once it is complete; it vanishes if it
/// never is.
///
/// # Errors
/// The system's, if the folder cannot be written.
pub fn unfinished(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; results get the permissions of the user's umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.prefix(UNFINISHED).tempfile_in(folder)?;
    note_unfinished(file.path());
    Ok(file)
}

/// Writes a whole file under a temporary name, then renames it.
///
/// # Errors
/// The system's; an existing file stays as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = unfinished(path)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
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
        unfinished(&path).unwrap().persist(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_an_ordinary_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let ordinary = folder.path().join("ordinary");
        std::fs::write(&ordinary, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(unfinished(&ordinary).unwrap().path()), mode(&ordinary));
    }
}
