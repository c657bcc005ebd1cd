//! Mahalanobis distances.

use super::{packed_length, row_start};
use crate::KernelError;
use crate::lines::Lines;
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
        let length = packed_length(self.dimensions);
        let factor = &mut scratch.factor[..length];
        match &self.factors {
            Factors::Single(values) => {
                factor.copy_from_slice(&values.as_ref()[position * length..][..length]);
            }
            Factors::Half(values) => {
                let bits = &values.as_ref()[position * length..][..length];
                bits.reinterpret_cast::<f16>().convert_to_f32_slice(factor);
            }
            Factors::Bytes { values, .. } => {
                let bytes = &values.as_ref()[position * length..][..length];
                factor
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(value, &byte)| *value = f32::from(byte.cast_signed()));
                self.unpack_steps(position, scratch);
            }
        }
    }

    /// What a step of each row of a factor in bytes is worth.
    fn unpack_steps(&self, position: usize, scratch: &mut Scratch) {
        if let Factors::Bytes { steps, unit, .. } = &self.factors {
            let target = &mut scratch.steps[..self.dimensions];
            let steps = &steps.as_ref()[position * self.dimensions..][..self.dimensions];
            steps.reinterpret_cast::<f16>().convert_to_f32_slice(target);
            target.iter_mut().for_each(|step| *step *= unit);
        }
    }

    fn score_position(&self, position: usize, samples: &[f32], target: &mut [f32], scratch: &mut Scratch) {
        let (d, length) = (self.dimensions, packed_length(self.dimensions));
        let mean = &self.means.as_ref()[position * d..][..d];
        // Bytes are read as they lie, wherever a vector of others follows.
        let bytes = match &self.factors {
            Factors::Bytes { values, .. } => values.as_ref().get(position * length..),
            _ => None,
        };
        let bytes = bytes.filter(|bytes| bytes.len() >= length + LANES);
        match bytes {
            Some(_) => self.unpack_steps(position, scratch),
            None => self.unpack(position, scratch),
        }
        for (sample, target) in target.iter_mut().enumerate() {
            let values = &samples[(sample * self.positions + position) * d..][..d];
            for ((apart, value), mean) in scratch.apart.iter_mut().zip(values).zip(mean) {
                *apart = value - mean;
            }
            let Scratch { factor, apart, steps } = &*scratch;
            let squared = match bytes {
                Some(factor) => widest(Norm { dimensions: d, factor, apart, steps }),
                None => widest(Norm { dimensions: d, factor, apart, steps }),
            };
            *target = squared.sqrt();
        }
    }
}

/// Space for one position, filled up with zeros so that vectors may be loaded anywhere.
struct Scratch {
    factor: Lines<f32>,
    apart: Lines<f32>,
    /// What each row of the factor is to be multiplied with.
    steps: Lines<f32>,
}

impl Scratch {
    fn new(dimensions: usize) -> Self {
        Self {
            factor: Lines::zeros(packed_length(dimensions) + LANES),
            apart: Lines::zeros(dimensions.next_multiple_of(LANES)),
            steps: std::iter::repeat_n(1.0, dimensions.next_multiple_of(LANES)).collect(),
        }
    }
}

/// What an entry of a factor is stored as.
trait Entry: Copy {
    fn load<V: Lanes>(entries: &[Self; LANES]) -> V;
}

impl Entry for f32 {
    #[inline(always)]
    fn load<V: Lanes>(entries: &[f32; LANES]) -> V {
        V::load(entries)
    }
}

/// A signed byte as two's complement.
impl Entry for u8 {
    #[inline(always)]
    fn load<V: Lanes>(entries: &[u8; LANES]) -> V {
        V::load_bytes(entries)
    }
}

/// ||S W y||^2 for a packed lower triangle W and a diagonal S.
struct Norm<'a, E> {
    dimensions: usize,
    /// The triangle, and at least a vector more.
    factor: &'a [E],
    /// y, filled up with zeros to whole vectors.
    apart: &'a [f32],
    /// The diagonal of S, filled up to whole vectors.
    steps: &'a [f32],
}

/// Rows of the triangle that are summed side by side where there are few registers; a divisor of [`LANES`].
const ROWS: usize = 4;

/// Which lanes of the last vector belong to a row: those up to the diagonal.
const MASKS: [[f32; LANES]; LANES] = {
    let mut masks = [[0.0; LANES]; LANES];
    let mut at = 0;
    while at < LANES * LANES {
        if at % LANES <= at / LANES {
            masks[at / LANES][at % LANES] = 1.0;
        }
        at += 1;
    }
    masks
};

impl<E: Entry> Kernel for Norm<'_, E> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let mut squares = V::splat(0.0);
        for (block, steps) in self.steps.as_chunks::<LANES>().0.iter().enumerate() {
            // A vector of sums a row; beyond the last row they stay 0.
            let mut sums = [V::splat(0.0); LANES];
            let count = (self.dimensions - block * LANES).min(LANES);
            if V::WIDE && count == LANES {
                self.sum_rows::<V, LANES>(block, 0, &mut sums);
            } else {
                let whole = count / ROWS * ROWS;
                for row in (0..whole).step_by(ROWS) {
                    self.sum_rows::<V, ROWS>(block, row, &mut sums);
                }
                for row in whole..count {
                    self.sum_rows::<V, 1>(block, row, &mut sums);
                }
            }
            let values = V::sums(sums).mul(V::load(steps));
            squares = values.mul_add(values, squares);
        }
        squares.sum()
    }
}

impl<E: Entry> Norm<'_, E> {
    /// Adds up W y for `COUNT` rows of a block of sixteen, from row `first` of the block on.
    #[inline(always)]
    fn sum_rows<V: Lanes, const COUNT: usize>(&self, block: usize, first: usize, sums: &mut [V; LANES]) {
        let values = self.apart.as_chunks::<LANES>().0;
        let mut rows = [self.factor; COUNT];
        let mut held = [V::splat(0.0); COUNT];
        for (offset, row) in rows.iter_mut().enumerate() {
            *row = &self.factor[row_start(block * LANES + first + offset)..][..(block + 1) * LANES];
        }
        for (vector, values) in values[..block].iter().enumerate() {
            let values = V::load(values);
            for row in 0..COUNT {
                let entries = E::load::<V>(&rows[row].as_chunks::<LANES>().0[vector]);
                held[row] = entries.mul_add(values, held[row]);
            }
        }
        let values = V::load(&values[block]);
        for row in 0..COUNT {
            // Beyond the row's end lie entries of the next: their values count as zero.
            let entries = E::load::<V>(&rows[row].as_chunks::<LANES>().0[block]);
            let values = values.mul(V::load(&MASKS[first + row]));
            sums[first + row] = entries.mul_add(values, held[row]);
        }
    }
}
