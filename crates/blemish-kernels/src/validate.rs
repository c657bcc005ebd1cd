//! Checks that every kernel makes on its arguments before it trusts them.

use crate::KernelError;
use rayon::prelude::*;

/// Rows in `values`, which must be whole rows of `dimensions` values.
///
/// # Errors
/// [`KernelError::Shape`] for a broken row, [`KernelError::Setting`] for no dimensions.
pub(crate) fn row_count(what: &'static str, values: &[f32], dimensions: usize) -> Result<usize, KernelError> {
    if dimensions == 0 {
        return Err(KernelError::Setting {
            setting: "dimensions",
            value: "0".into(),
            range: "it must be at least 1".into(),
        });
    }
    let rows = values.len() / dimensions;
    if rows * dimensions != values.len() {
        return Err(KernelError::Shape {
            what,
            shape: format!("{} x {dimensions}", rows + 1),
            expected: (rows + 1) * dimensions,
            found: values.len(),
        });
    }
    Ok(rows)
}

/// Values above which a squared distance of `dimensions` values could overflow, with room for bounds on it.
fn greatest_value(dimensions: usize) -> f32 {
    (f32::MAX / 64.0 / dimensions as f32).sqrt()
}

/// Checks that no value is NaN, infinite or too large to be squared.
///
/// # Errors
/// [`KernelError::NotFinite`] with the first such row.
pub(crate) fn finite(what: &'static str, values: &[f32], dimensions: usize) -> Result<(), KernelError> {
    let greatest = greatest_value(dimensions);
    let broken = |value: &f32| value.is_nan() || value.abs() > greatest;
    let block = 1 << 16;
    let found = values.par_chunks(block).enumerate().find_map_first(|(index, chunk)| {
        // Counting first lets the usual case vectorise.
        let count = chunk.iter().filter(|value| broken(value)).count();
        (count > 0).then(|| index * block + chunk.iter().position(broken).unwrap_or(0))
    });
    match found {
        Some(at) => Err(KernelError::NotFinite { what, row: at / dimensions }),
        None => Ok(()),
    }
}
