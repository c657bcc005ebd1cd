//! Files that appear whole or not at all.

use crate::error::ReportError;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes `path` through a temporary file beside it, which is renamed once `write` has succeeded.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; results are for whoever the user's umask admits.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary =
        builder.prefix(".blemish-").tempfile_in(folder).map_err(ReportError::io("write", path))?;
    let mut buffered = BufWriter::new(temporary.as_file());
    write(&mut buffered)?;
    buffered.flush().map_err(ReportError::io("write", path))?;
    drop(buffered);
    temporary.persist(path).map_err(|error| ReportError::io("write", path)(error.error))?;
    Ok(())
}
