//! Files that appear whole or not at all.

use crate::error::ReportError;
use blemish_data::files::unfinished;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes `path` through a temporary file beside it, which is renamed once `write` has succeeded.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let temporary = unfinished(path).map_err(ReportError::io("write", path))?;
    let mut buffered = BufWriter::new(temporary.file());
    write(&mut buffered)?;
    buffered.flush().map_err(ReportError::io("write", path))?;
    drop(buffered);
    temporary.complete().map_err(ReportError::io("write", path))
}
