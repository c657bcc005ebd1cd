//! From scatter matrices to inverse Cholesky factors.

use super::accumulate::{GaussianAccumulator, add_scaled};
use super::score::{Factors, PositionGaussians, Precision};
use super::{packed_length, row_start};
use crate::KernelError;
use crate::simd::{Kernel, Lanes, widest};
use half::f16;
use rayon::prelude::*;

impl GaussianAccumulator {
    /// Gaussians with covariance M / (n - 1) + epsilon I, factored for scoring; a single sample has covariance epsilon I.
    ///
    /// Each position takes d^3 / 3 multiplications in double precision, in parallel over positions.
    ///
    /// # Errors
    /// [`KernelError::Empty`] without samples; [`KernelError::Setting`] if epsilon is not above 0 or a covariance is not positive
    /// definite all the same.
    pub fn factor(
        &mut self,
        epsilon: f64,
        precision: Precision,
    ) -> Result<PositionGaussians<Vec<f32>, Vec<u16>>, KernelError> {
        if self.count() == 0 {
            return Err(KernelError::Empty { what: "the set of samples" });
        }
        let refuse = |range: &str| KernelError::Setting {
            setting: "epsilon",
            value: epsilon.to_string(),
            range: range.to_owned(),
        };
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(refuse("it must be above 0"));
        }
        let (positions, d) = (self.positions(), self.dimensions());
        let divisor = self.count().saturating_sub(1).max(1) as f64;
        let (mean, scatter) = self.moments();
        let means = mean.iter().map(|&value| value as f32).collect();
        let factor_into = |scatter: &[f64], scratch: &mut [Vec<f64>; 2]| {
            let [matrix, inverse] = scratch;
            widest(Factor { scatter, divisor, epsilon, matrix, inverse, dimensions: d })
        };
        let scratch = || [vec![0.0f64; packed_length(d)], vec![0.0f64; packed_length(d)]];
        let length = packed_length(d);
        let each = scatter.par_chunks(length);
        let (factors, definite) = match precision {
            Precision::Single => {
                let mut factors = vec![0.0f32; positions * length];
                let definite = factors
                    .par_chunks_mut(length)
                    .zip(each)
                    .map_init(scratch, |scratch, (target, scatter)| {
                        let definite = factor_into(scatter, scratch);
                        target
                            .iter_mut()
                            .zip(&scratch[1])
                            .for_each(|(target, &value)| *target = value as f32);
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
                    .map_init(scratch, |scratch, (target, scatter)| {
                        let definite = factor_into(scatter, scratch);
                        for (target, &value) in target.iter_mut().zip(&scratch[1]) {
                            *target = f16::from_f64(value).to_bits();
                        }
                        definite
                    })
                    .all(|definite| definite);
                (Factors::Half(factors), definite)
            }
        };
        if !definite {
            return Err(refuse("it is too small for these samples: a covariance is not positive definite"));
        }
        PositionGaussians::from_parts(positions, d, means, factors)
    }
}

/// Cholesky factor L of one covariance and its inverse.
struct Factor<'a> {
    scatter: &'a [f64],
    divisor: f64,
    epsilon: f64,
    /// Becomes L, packed.
    matrix: &'a mut [f64],
    /// Becomes L^-1, packed.
    inverse: &'a mut [f64],
    dimensions: usize,
}

impl Kernel for Factor<'_> {
    /// Whether the covariance was positive definite.
    type Output = bool;

    #[inline(always)]
    fn run<V: Lanes>(self) -> bool {
        let Self { matrix, inverse, dimensions, .. } = self;
        for (target, value) in matrix.iter_mut().zip(self.scatter) {
            *target = value / self.divisor;
        }
        // Row i of L needs only the rows above it: L_ij = (A_ij - <L_i, L_j>) / L_jj.
        for row in 0..dimensions {
            let (above, rest) = matrix.split_at_mut(row_start(row));
            let current = &mut rest[..=row];
            for column in 0..row {
                let other = &above[row_start(column)..][..=column];
                current[column] =
                    (current[column] - dot(&current[..column], &other[..column])) / other[column];
            }
            let pivot = current[row] + self.epsilon - dot(&current[..row], &current[..row]);
            if pivot.is_nan() || pivot <= 0.0 {
                return false;
            }
            current[row] = pivot.sqrt();
        }
        // Row i of W = L^-1: (e_i - sum over k < i of L_ik W_k) / L_ii.
        for row in 0..dimensions {
            let factor = &matrix[row_start(row)..][..=row];
            let (above, rest) = inverse.split_at_mut(row_start(row));
            let current = &mut rest[..=row];
            current.fill(0.0);
            for (k, &value) in factor[..row].iter().enumerate() {
                add_scaled(&mut current[..=k], &above[row_start(k)..][..=k], -value);
            }
            current[row] = 1.0;
            current.iter_mut().for_each(|value| *value /= factor[row]);
        }
        true
    }
}

/// Dot product with eight partial sums in a fixed order, which every vector width keeps.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0f64; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}
