//! From scatter matrices to inverse Cholesky factors.

use super::accumulate::GaussianAccumulator;
use super::score::{Factors, OwnedGaussians, PositionGaussians, Precision};
use super::{packed_length, row_start};
use crate::KernelError;
use crate::simd::{Kernel, Lanes, widest};
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use rayon::prelude::*;

impl GaussianAccumulator {
    /// Gaussians with covariance M / (n - 1) + epsilon I, factored for scoring; a single sample has covariance epsilon I.
    ///
    /// Each position takes d^3 / 3 multiplications in double precision, in parallel over positions.
    ///
    /// # Errors
    /// [`KernelError::Empty`] without samples; [`KernelError::Setting`] if epsilon is not above 0 or a covariance is not positive
    /// definite all the same.
    pub fn factor(&mut self, epsilon: f64, precision: Precision) -> Result<OwnedGaussians, KernelError> {
        if self.count() == 0 {
            return Err(KernelError::Empty { what: "the set of samples" });
        }
        let fail = |range: &str| KernelError::Setting {
            setting: "epsilon",
            value: epsilon.to_string(),
            range: range.to_owned(),
        };
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(fail("it must be above 0"));
        }
        let (positions, d) = (self.positions(), self.dimensions());
        let divisor = self.count().saturating_sub(1).max(1) as f64;
        let (mean, scatter) = self.moments();
        let means = mean.iter().map(|&value| value as f32).collect();
        let length = packed_length(d);
        let factor_into = |scatter: &[f64], (scratch, inverse): &mut (Scratch, Vec<f64>)| {
            widest(Factor { scatter, divisor, epsilon, dimensions: d, scratch, inverse })
        };
        let scratch = || (Scratch::new(d), vec![0.0f64; length]);
        let each = scatter.par_chunks(length);
        let (factors, definite) = match precision {
            Precision::Single => {
                let mut factors = vec![0.0f32; positions * length];
                let definite = factors
                    .par_chunks_mut(length)
                    .zip(each)
                    .map_init(scratch, |scratch, (target, scatter)| {
                        let definite = factor_into(scatter, scratch);
                        target.iter_mut().zip(&scratch.1).for_each(|(target, &value)| *target = value as f32);
                        definite
                    })
                    .all(|definite| definite);
                (Factors::Single(factors), definite)
            }
            Precision::Half => {
                let mut factors = vec![0u16; positions * length];
                let definite = factors
                    .par_chunks_mut(length)
                    .zip(each)
                    .map_init(
                        || (scratch(), vec![0.0f32; length]),
                        |(scratch, single), (target, scatter)| {
                            let definite = factor_into(scatter, scratch);
                            // By way of single precision, for which processors have instructions.
                            single
                                .iter_mut()
                                .zip(&scratch.1)
                                .for_each(|(single, &value)| *single = value as f32);
                            target.reinterpret_cast_mut::<f16>().convert_from_f32_slice(single);
                            definite
                        },
                    )
                    .all(|definite| definite);
                (Factors::Half(factors), definite)
            }
        };
        if !definite {
            return Err(fail("it is too small for these samples: a covariance is not positive definite"));
        }
        PositionGaussians::from_parts(positions, d, means, factors)
    }
}

/// Columns worked on side by side, in registers.
const SIDE: usize = 32;

/// Columns that a row may begin apart from: less than [`SIDE`], so that little is computed left of the diagonal.
const STEP: usize = 16;

/// Cholesky factor of one covariance C = U^T U and the inverse W = U^-T of its lower half.
///
/// Both go row by row as sums of multiples of the rows above, so that all loops run along rows: squares whose rows are filled up to
/// whole chunks make every one of them the same.
struct Factor<'a> {
    scatter: &'a [f64],
    divisor: f64,
    epsilon: f64,
    dimensions: usize,
    scratch: &'a mut Scratch,
    /// Becomes W, packed.
    inverse: &'a mut [f64],
}

/// Squares of d rows filled up to whole chunks.
struct Scratch {
    /// U in the upper half; what lies below is never read to any effect.
    upper: Vec<f64>,
    /// W in the lower half, zeros above.
    lower: Vec<f64>,
    /// A column of U.
    column: Vec<f64>,
}

impl Scratch {
    fn new(dimensions: usize) -> Self {
        let square = vec![0.0; dimensions * pitch(dimensions)];
        Self { upper: square.clone(), lower: square, column: vec![0.0; dimensions] }
    }
}

/// Values from a row of a square to the next: room for a chunk from the last step on, and one cache line more, so that a column does not fall into few sets of
/// the cache.
fn pitch(dimensions: usize) -> usize {
    dimensions.next_multiple_of(STEP) + (SIDE - STEP) + 8
}

impl Kernel for Factor<'_> {
    /// Whether the covariance was positive definite.
    type Output = bool;

    #[inline(always)]
    fn run<V: Lanes>(self) -> bool {
        let d = self.dimensions;
        let pitch = pitch(d);
        let Scratch { upper, lower, column } = self.scratch;
        for row in 0..d {
            for (column, value) in self.scatter[row_start(row)..][..=row].iter().enumerate() {
                upper[column * pitch + row] = value / self.divisor;
            }
        }
        for row in 0..d {
            // U_ij = (C_ij - sum over k < i of U_ki U_kj) / U_ii.
            for (k, value) in column[..row].iter_mut().enumerate() {
                *value = upper[k * pitch + row];
            }
            let (above, current) = upper.split_at_mut(row * pitch);
            let current = &mut current[..pitch];
            current[row] += self.epsilon;
            for start in (row / STEP * STEP..d).step_by(SIDE) {
                subtract_rows(&mut current[start..], &above[start.min(above.len())..], pitch, &column[..row]);
            }
            let pivot = current[row].sqrt();
            if pivot.is_nan() || pivot <= 0.0 {
                return false;
            }
            current[row..d].iter_mut().for_each(|value| *value /= pivot);
            // W_i = (e_i - sum over k < i of U_ki W_k) / U_ii; W_k ends at its column k.
            let (above, current) = lower.split_at_mut(row * pitch);
            let current = &mut current[..pitch];
            current.fill(0.0);
            current[row] = 1.0;
            for start in (0..row).step_by(SIDE) {
                let above = &above[start * pitch + start..];
                subtract_rows(&mut current[start..], above, pitch, &column[start..row]);
            }
            let packed = &mut self.inverse[row_start(row)..][..=row];
            for (packed, value) in packed.iter_mut().zip(current) {
                *value /= pivot;
                *packed = *value;
            }
        }
        true
    }
}

/// A chunk of `target` minus sum over k of factors_k x (chunk of row k); plain products and sums, which every vector width rounds
/// alike.
#[inline(always)]
fn subtract_rows(target: &mut [f64], rows: &[f64], pitch: usize, factors: &[f64]) {
    let target = &mut target.as_chunks_mut::<SIDE>().0[0];
    let mut sums = *target;
    for (&factor, row) in factors.iter().zip(rows.chunks(pitch)) {
        let row = &row.as_chunks::<SIDE>().0[0];
        for lane in 0..SIDE {
            sums[lane] -= factor * row[lane];
        }
    }
    *target = sums;
}
