//! Rows of features collected during a fit: in memory, or in a temporary file once they outgrow their share.

use crate::error::Error;
use crate::state::{Shared, Storage};
use memmap2::Mmap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Collects rows of equal length.
pub struct RowStore {
    dimensions: usize,
    memory: Vec<f32>,
    /// Values that may stay in memory.
    limit: usize,
    spill: Option<Spill>,
    folder: PathBuf,
}

struct Spill {
    writer: BufWriter<std::fs::File>,
    values: usize,
}

impl RowStore {
    /// A store for rows of `dimensions` values that keeps at most `limit` bytes in memory; beyond that all rows go to an unnamed
    /// temporary file in `folder` (the system's own where `None`), which vanishes with the process.
    pub fn new(dimensions: usize, limit: Option<u64>, folder: Option<&Path>) -> Self {
        let limit = limit.map_or(usize::MAX, |bytes| (bytes / 4) as usize);
        let folder = folder.map_or_else(std::env::temp_dir, Path::to_owned);
        Self { dimensions, memory: Vec::new(), limit, spill: None, folder }
    }

    /// Adds rows, row-major.
    ///
    /// # Errors
    /// [`Error::Io`] if the temporary file cannot be written.
    pub fn push(&mut self, rows: &[f32]) -> Result<(), Error> {
        if self.spill.is_none() {
            if self.memory.len() + rows.len() <= self.limit {
                self.memory.extend_from_slice(rows);
                return Ok(());
            }
            let file = tempfile::tempfile_in(&self.folder).map_err(|source| self.fail(source))?;
            self.spill = Some(Spill { writer: BufWriter::new(file), values: 0 });
            let kept = std::mem::take(&mut self.memory);
            self.write(&kept)?;
        }
        self.write(rows)
    }

    fn write(&mut self, rows: &[f32]) -> Result<(), Error> {
        let Some(spill) = &mut self.spill else { return Ok(()) };
        spill.values += rows.len();
        let result = spill.writer.write_all(bytemuck::cast_slice(rows));
        result.map_err(|source| self.fail(source))
    }

    /// All rows, as one slice.
    ///
    /// # Errors
    /// [`Error::Io`] if the temporary file cannot be completed or mapped.
    pub fn finish(self) -> Result<Rows, Error> {
        let (dimensions, folder) = (self.dimensions, self.folder);
        let fail = |source| Error::Io {
            action: "write features to a temporary file in",
            path: folder.clone(),
            source,
        };
        let values = match self.spill {
            None => self.memory.into(),
            Some(spill) => {
                let file = spill.writer.into_inner().map_err(|error| fail(error.into_error()))?;
                // Safety: the file has no name, so nobody else can change it.
                let map = unsafe { Mmap::map(&file) }.map_err(fail)?;
                Shared::within(&Storage::Map(Arc::new(map)), 0, spill.values)
                    .ok_or_else(|| fail(std::io::Error::other("the file is shorter than what was written")))?
            }
        };
        Ok(Rows { values, dimensions })
    }

    fn fail(&self, source: std::io::Error) -> Error {
        Error::Io { action: "write features to a temporary file in", path: self.folder.clone(), source }
    }
}

/// Rows of equal length, row-major.
pub struct Rows {
    values: Shared<f32>,
    dimensions: usize,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// Frees the memory of rows that lie in a file; they stay readable.
    pub fn release(&self) {
        self.values.release();
    }

    /// Copies the rows of `indices`, in that order.
    pub fn gather(&self, indices: &[usize]) -> Vec<f32> {
        let values: &[f32] = &self.values;
        indices.iter().flat_map(|&row| &values[row * self.dimensions..][..self.dimensions]).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_in_memory_and_spilled() {
        let rows: Vec<f32> = (0..300).map(|i| i as f32).collect();
        for limit in [None, Some(0), Some(400)] {
            let mut store = RowStore::new(3, limit, None);
            rows.chunks(60).for_each(|chunk| store.push(chunk).unwrap());
            let finished = store.finish().unwrap();
            assert_eq!(finished.as_slice(), rows);
            assert_eq!(finished.len(), 100);
            assert_eq!(finished.gather(&[99, 1]), [297.0, 298.0, 299.0, 3.0, 4.0, 5.0]);
        }
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let mut store = RowStore::new(1, Some(0), Some(Path::new("/nowhere/at/all")));
        assert!(store.push(&[1.0]).unwrap_err().to_string().contains("/nowhere/at/all"));
    }
}
