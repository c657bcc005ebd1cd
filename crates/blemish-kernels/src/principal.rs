//! The directions in which rows vary most.

use crate::KernelError;
use crate::contraction;
use crate::validate::{finite, row_count};

/// The `count` leading principal directions of `rows` (n x `dimensions`), count x dimensions, orthonormal, from an even sample of at
/// most 2,048 rows; the same on every machine. Directions beyond the rank of the sample are zero.
///
/// By a few orthogonal iterations: they span the leading subspace closely and are nearly in order.
///
/// # Errors
/// [`KernelError::Empty`], [`KernelError::Shape`] or [`KernelError::NotFinite`] for rows that are not whole and finite;
/// [`KernelError::Setting`] for a count of 0 or above the dimensions.
pub fn principal_directions(rows: &[f32], dimensions: usize, count: usize) -> Result<Vec<f32>, KernelError> {
    const WHAT: &str = "the rows";
    if row_count(WHAT, rows, dimensions)? == 0 {
        return Err(KernelError::Empty { what: WHAT });
    }
    finite(WHAT, rows, dimensions)?;
    if count == 0 || count > dimensions {
        let range = format!("it must be from 1 to {dimensions}");
        return Err(KernelError::Setting { setting: "directions", value: count.to_string(), range });
    }
    let mut sample = contraction::sample(rows, dimensions);
    let mean = contraction::sample_mean(&sample, dimensions);
    sample.chunks_exact_mut(dimensions).for_each(|row| contraction::subtract(row, &mean));
    Ok(contraction::principal_directions(&sample, dimensions, count))
}

/// Coordinates of rows (n x `dimensions`) along directions (m x `dimensions`), n x m, in parallel.
pub fn project(rows: &[f32], dimensions: usize, directions: &[f32]) -> Vec<f32> {
    contraction::product(rows, directions, dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_of_greatest_variance_comes_first_wherever_the_mean_lies() {
        // Rows along (3, 4) / 5 with a little spread across it, far from the origin.
        let rows: Vec<f32> = (0..200)
            .flat_map(|i| {
                let (along, across) = ((i % 20) as f32 - 9.5, ((i * 7) % 3) as f32 * 0.1 - 0.1);
                [100.0 + 0.6 * along - 0.8 * across, -50.0 + 0.8 * along + 0.6 * across]
            })
            .collect();
        let found = principal_directions(&rows, 2, 2).unwrap();
        assert!((found[0] * 0.6 + found[1] * 0.8).abs() > 0.9999, "{found:?}");
        assert!((found[0] * found[2] + found[1] * found[3]).abs() < 1e-5);
        assert!(principal_directions(&rows, 2, 3).is_err() && principal_directions(&[], 2, 1).is_err());
    }
}
