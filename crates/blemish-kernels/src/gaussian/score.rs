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
pub enum Factors<F, H, B> {
    /// 32-bit floats.
    Single(F),
    /// Bits of 16-bit floats.
    Half(H),
    /// Signed bytes, and what one step of each row is worth: an entry of row i is `values` x `steps`_i x `unit`.
    Bytes {
        /// P x packed lower triangle, as two's complement.
        values: B,
        /// P x d, bits of 16-bit floats above 0.
        steps: H,
        /// What all steps are multiplied with.
        unit: f32,
    },
}

/// Gaussians of P positions in d dimensions, ready for scoring. Storage may be owned or lie in a mapped file.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionGaussians<F, H, B> {
    positions: usize,
    dimensions: usize,
    means: F,
    factors: Factors<F, H, B>,
}

/// Gaussians that a fit has made.
pub type OwnedGaussians = PositionGaussians<Vec<f32>, Vec<u16>, Vec<u8>>;

impl<F: AsRef<[f32]> + Sync, H: AsRef<[u16]> + Sync, B: AsRef<[u8]> + Sync> PositionGaussians<F, H, B> {
    /// Puts Gaussians together: means P x d, factors P x d (d + 1) / 2.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if the lengths do not fit.
    pub fn from_parts(
        positions: usize,
        dimensions: usize,
        means: F,
        factors: Factors<F, H, B>,
    ) -> Result<Self, KernelError> {
        let rows = positions * dimensions;
        let (found, steps) = match &factors {
            Factors::Single(values) => (values.as_ref().len(), rows),
            Factors::Half(values) => (values.as_ref().len(), rows),
            Factors::Bytes { values, steps, .. } => (values.as_ref().len(), steps.as_ref().len()),
        };
        let lengths = [
            ("the means", means.as_ref().len(), rows),
            ("the factors", found, positions * packed_length(dimensions)),
            ("the steps of the factors", steps, rows),
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
    pub fn into_parts(self) -> (F, Factors<F, H, B>) {
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
    pub fn factors(&self) -> &Factors<F, H, B> {
        &self.factors
    }

    /// The same Gaussians with factors in bytes: a quarter of the memory of single precision to read.
    ///
    /// Each entry is rounded by at most half a step, 1/254 of the largest of its row. Errors of a row's entries are of both signs, so a
    /// distance moves by some tenths of a percent (a test holds it under 2 %).
    pub fn in_bytes(&self) -> OwnedGaussians {
        let (d, length) = (self.dimensions, packed_length(self.dimensions));
        let rows = |scratch: &Scratch| -> Vec<f32> {
            let largest = |row: usize| {
                let entries = &scratch.factor[row_start(row)..][..=row];
                entries.iter().fold(0.0f32, |most, entry| most.max(entry.abs())) * scratch.steps[row]
            };
            (0..d).map(largest).collect()
        };
        let most = (0..self.positions)
            .into_par_iter()
            .map_init(
                || Scratch::new(d),
                |scratch, position| {
                    self.unpack(position, scratch);
                    rows(scratch).into_iter().fold(0.0, f32::max)
                },
            )
            .reduce(|| f32::MIN_POSITIVE, f32::max);
        // Half precision reaches to 65504: the largest step lies below it, and smaller ones have all the room downwards.
        let unit = (most / 127.0).log2().ceil().exp2() / 32_768.0;
        let mut values = vec![0u8; self.positions * length];
        let mut steps = vec![0u16; self.positions * d];
        let chunks = values.par_chunks_mut(length.max(1)).zip(steps.par_chunks_mut(d.max(1)));
        chunks.enumerate().for_each_init(
            || Scratch::new(d),
            |scratch, (position, (values, steps))| {
                self.unpack(position, scratch);
                for (row, largest) in rows(scratch).into_iter().enumerate() {
                    let wanted = largest / 127.0 / unit;
                    let mut step = f16::from_f32(wanted);
                    if step.to_f32() < wanted {
                        step = f16::from_bits(step.to_bits() + 1);
                    }
                    steps[row] = step.to_bits();
                    let factor = scratch.steps[row] / (step.to_f32() * unit).max(f32::MIN_POSITIVE);
                    let entries = row_start(row)..row_start(row) + row + 1;
                    for (value, entry) in values[entries.clone()].iter_mut().zip(&scratch.factor[entries]) {
                        *value = ((entry * factor).round() as i8).cast_unsigned();
                    }
                }
            },
        );
        PositionGaussians {
            positions: self.positions,
            dimensions: d,
            means: self.means.as_ref().to_vec(),
            factors: Factors::Bytes { values, steps, unit },
        }
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

    /// The factor of a position, in single precision, and what a step of each of its rows is worth.
    fn unpack(&self, position: usize, scratch: &mut Scratch) {
        let (d, length) = (self.dimensions, packed_length(self.dimensions));
        let factor = &mut scratch.factor[..length];
        match &self.factors {
            Factors::Single(values) => {
                factor.copy_from_slice(&values.as_ref()[position * length..][..length]);
            }
            Factors::Half(values) => {
                let bits = &values.as_ref()[position * length..][..length];
                bits.reinterpret_cast::<f16>().convert_to_f32_slice(factor);
            }
            Factors::Bytes { values, steps, unit } => {
                widest(FromBytes { bytes: &values.as_ref()[position * length..][..length], floats: factor });
                let steps = &steps.as_ref()[position * d..][..d];
                steps.reinterpret_cast::<f16>().convert_to_f32_slice(&mut scratch.steps);
                scratch.steps.iter_mut().for_each(|step| *step *= unit);
            }
        }
    }

    fn score_position(&self, position: usize, samples: &[f32], target: &mut [f32], scratch: &mut Scratch) {
        let d = self.dimensions;
        let mean = &self.means.as_ref()[position * d..][..d];
        self.unpack(position, scratch);
        for (sample, target) in target.iter_mut().enumerate() {
            let values = &samples[(sample * self.positions + position) * d..][..d];
            for ((apart, value), mean) in scratch.apart.iter_mut().zip(values).zip(mean) {
                *apart = value - mean;
            }
            let Scratch { factor, apart, steps } = &*scratch;
            *target = widest(Norm { dimensions: d, factor, apart, steps }).sqrt();
        }
    }
}

/// Space for one position, filled up with zeros so that vectors may be loaded anywhere.
struct Scratch {
    factor: Vec<f32>,
    apart: Vec<f32>,
    /// What each row of the factor is to be multiplied with.
    steps: Vec<f32>,
}

impl Scratch {
    fn new(dimensions: usize) -> Self {
        Self {
            factor: vec![0.0; packed_length(dimensions) + LANES],
            apart: vec![0.0; dimensions.next_multiple_of(LANES)],
            steps: vec![1.0; dimensions],
        }
    }
}

/// Signed bytes as floats.
struct FromBytes<'a> {
    bytes: &'a [u8],
    floats: &'a mut [f32],
}

impl Kernel for FromBytes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        for (float, &byte) in self.floats.iter_mut().zip(self.bytes) {
            *float = f32::from(byte as i8);
        }
    }
}

/// ||S W y||^2 for a packed lower triangle W and a diagonal S.
struct Norm<'a> {
    dimensions: usize,
    /// The triangle, and at least a vector more.
    factor: &'a [f32],
    /// y, filled up with zeros to whole vectors.
    apart: &'a [f32],
    /// The diagonal of S.
    steps: &'a [f32],
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
    /// Sum of the squares of (S W y)_i for `COUNT` rows, which all end in the same vector of y.
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
            let product = weights.mul_add(V::load(&values), sums[row]).sum() * self.steps[first + row];
            total += product * product;
        }
        total
    }
}
