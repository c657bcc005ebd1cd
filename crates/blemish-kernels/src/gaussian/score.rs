//! Mahalanobis distances.

use super::{packed_length, row_start};
use crate::KernelError;
use crate::simd::{Kernel, LANES, Lanes, widest};
use half::slice::HalfFloatSliceExt;
use half::{f16, slice::HalfBitsSliceExt};
use rayon::prelude::*;

/// Positions that one task works on.
const BLOCK: usize = 64;

/// Precision that factors are stored in; arithmetic is single in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    Single,
    /// 16-bit floats: half the memory to read. Each entry is rounded by at most 2^-11 of itself, so a distance moves by a few
    /// hundredths of a percent (a test holds it under 0.1 %).
    Half,
}

/// Inverse Cholesky factors, P x packed lower triangle, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Factors<F, H> {
    /// 32-bit floats.
    Single(F),
    /// Bits of 16-bit floats.
    Half(H),
}

/// Gaussians of P positions in d dimensions, ready for scoring. Storage may be owned or lie in a mapped file.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionGaussians<F, H> {
    positions: usize,
    dimensions: usize,
    means: F,
    factors: Factors<F, H>,
}

impl<F: AsRef<[f32]> + Sync, H: AsRef<[u16]> + Sync> PositionGaussians<F, H> {
    /// Puts Gaussians together: means P x d, factors P x d (d + 1) / 2.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if the lengths do not fit.
    pub fn from_parts(
        positions: usize,
        dimensions: usize,
        means: F,
        factors: Factors<F, H>,
    ) -> Result<Self, KernelError> {
        let found = match &factors {
            Factors::Single(values) => values.as_ref().len(),
            Factors::Half(values) => values.as_ref().len(),
        };
        let lengths = [
            ("the means", means.as_ref().len(), positions * dimensions),
            ("the factors", found, positions * packed_length(dimensions)),
        ];
        for (what, found, expected) in lengths {
            if found != expected {
                let shape = format!("{positions} positions of {dimensions} dimensions");
                return Err(KernelError::Shape { what, shape, expected, found });
            }
        }
        Ok(Self { positions, dimensions, means, factors })
    }

    /// Means and factors, given away.
    pub fn into_parts(self) -> (F, Factors<F, H>) {
        (self.means, self.factors)
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Number of dimensions.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// P x d means.
    pub fn means(&self) -> &F {
        &self.means
    }

    /// The inverse Cholesky factors.
    pub fn factors(&self) -> &Factors<F, H> {
        &self.factors
    }

    /// Mahalanobis distance ||L^-1 (x - mu)|| of every sample at every position.
    ///
    /// `samples` is B x P x d, the result B x P, in standard deviations, never negative. The factors are read once for the batch.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if the length is not a multiple of P x d.
    pub fn mahalanobis(&self, samples: &[f32]) -> Result<Vec<f32>, KernelError> {
        let stride = self.positions * self.dimensions;
        if !samples.len().is_multiple_of(stride.max(1)) {
            return Err(KernelError::Shape {
                what: "a batch of samples",
                shape: format!("samples x {} x {}", self.positions, self.dimensions),
                expected: samples.len().div_ceil(stride.max(1)) * stride,
                found: samples.len(),
            });
        }
        let count = samples.len() / stride.max(1);
        if count == 0 {
            return Ok(Vec::new());
        }
        // Position by position, so that a factor serves all samples; put in order at the end.
        let mut by_position = vec![0.0f32; self.positions * count];
        by_position.par_chunks_mut(BLOCK * count).enumerate().for_each_init(
            || Scratch::new(self.dimensions),
            |scratch, (block, target)| {
                for (offset, target) in target.chunks_exact_mut(count).enumerate() {
                    self.score_position(block * BLOCK + offset, samples, target, scratch);
                }
            },
        );
        let distance = |sample: usize, position: usize| by_position[position * count + sample];
        Ok((0..count)
            .flat_map(|sample| (0..self.positions).map(move |position| distance(sample, position)))
            .collect())
    }

    fn score_position(&self, position: usize, samples: &[f32], target: &mut [f32], scratch: &mut Scratch) {
        let (d, length) = (self.dimensions, packed_length(self.dimensions));
        let mean = &self.means.as_ref()[position * d..][..d];
        match &self.factors {
            Factors::Single(values) => {
                scratch.factor[..length].copy_from_slice(&values.as_ref()[position * length..][..length]);
            }
            Factors::Half(values) => {
                let bits = &values.as_ref()[position * length..][..length];
                bits.reinterpret_cast::<f16>().convert_to_f32_slice(&mut scratch.factor[..length]);
            }
        }
        for (sample, target) in target.iter_mut().enumerate() {
            let values = &samples[(sample * self.positions + position) * d..][..d];
            for ((apart, value), mean) in scratch.apart.iter_mut().zip(values).zip(mean) {
                *apart = value - mean;
            }
            *target = widest(Norm { dimensions: d, factor: &scratch.factor, apart: &scratch.apart }).sqrt();
        }
    }
}

/// Space for one position, filled up with zeros so that vectors may be loaded anywhere.
struct Scratch {
    factor: Vec<f32>,
    apart: Vec<f32>,
}

impl Scratch {
    fn new(dimensions: usize) -> Self {
        Self {
            factor: vec![0.0; packed_length(dimensions) + LANES],
            apart: vec![0.0; dimensions.next_multiple_of(LANES)],
        }
    }
}

/// ||W y||^2 for a packed lower triangle W.
struct Norm<'a> {
    dimensions: usize,
    /// The triangle, and at least a vector more.
    factor: &'a [f32],
    /// y, filled up with zeros to whole vectors.
    apart: &'a [f32],
}

/// Rows of the triangle that are summed side by side, to hide latency; a divisor of [`LANES`].
const ROWS: usize = 4;

impl Kernel for Norm<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let mut total = 0.0f32;
        let whole = self.dimensions / ROWS * ROWS;
        for row in (0..whole).step_by(ROWS) {
            total += self.squares::<V, ROWS>(row);
        }
        for row in whole..self.dimensions {
            total += self.squares::<V, 1>(row);
        }
        total
    }
}

impl Norm<'_> {
    /// Sum of the squares of (W y)_i for `COUNT` rows, which all end in the same vector of y.
    #[inline(always)]
    fn squares<V: Lanes, const COUNT: usize>(&self, first: usize) -> f32 {
        let (values, last) = (self.apart.as_chunks::<LANES>().0, first / LANES);
        let mut rows = [self.factor; COUNT];
        let mut sums = [V::splat(0.0); COUNT];
        for (offset, row) in rows.iter_mut().enumerate() {
            *row = &self.factor[row_start(first + offset)..][..(last + 1) * LANES];
        }
        for (vector, values) in values[..last].iter().enumerate() {
            let values = V::load(values);
            for row in 0..COUNT {
                sums[row] = V::load(&rows[row].as_chunks::<LANES>().0[vector]).mul_add(values, sums[row]);
            }
        }
        let mut total = 0.0;
        for row in 0..COUNT {
            // Beyond the row's end the vector holds the next row's weights: their values count as zero.
            let mut values = values[last];
            for (lane, value) in values.iter_mut().enumerate() {
                if last * LANES + lane > first + row {
                    *value = 0.0;
                }
            }
            let weights = V::load(&rows[row].as_chunks::<LANES>().0[last]);
            let product = weights.mul_add(V::load(&values), sums[row]).sum();
            total += product * product;
        }
        total
    }
}
