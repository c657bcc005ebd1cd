//! Count, mean and scatter of every position, in one pass and bounded memory.

use super::{packed_length, row_start};
use crate::KernelError;
use crate::simd::{Kernel, Lanes, widest};
use crate::validate::finite;
use rayon::prelude::*;

/// Samples that are taken up together. Fixed, so that results do not depend on how samples come in batches.
const BLOCK: usize = 32;

/// Streaming mean and scatter (sum of outer products of deviations) of P positions in d dimensions, in double precision.
///
/// Blocks of samples are centred on their own mean and merged by Chan, Golub and LeVeque's formula, so nothing cancels however large
/// the mean is. Takes 8 P (d + d (d + 1) / 2) bytes plus 4 P d for each of up to 32 waiting samples. Results are the same to
/// the last bit for every split into batches and number of threads.
#[derive(Clone, Debug)]
pub struct GaussianAccumulator {
    positions: usize,
    dimensions: usize,
    count: u64,
    /// P x d.
    mean: Vec<f64>,
    /// P x packed lower triangle.
    scatter: Vec<f64>,
    /// Samples x P x d not taken up yet.
    waiting: Vec<f32>,
}

impl GaussianAccumulator {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// [`KernelError::Setting`] if there are no positions or dimensions.
    pub fn new(positions: usize, dimensions: usize) -> Result<Self, KernelError> {
        for (setting, value) in [("positions", positions), ("dimensions", dimensions)] {
            if value == 0 {
                let range = "it must be at least 1".into();
                return Err(KernelError::Setting { setting, value: "0".into(), range });
            }
        }
        Ok(Self {
            positions,
            dimensions,
            count: 0,
            mean: vec![0.0; positions * dimensions],
            scatter: vec![0.0; positions * packed_length(dimensions)],
            waiting: Vec::new(),
        })
    }

    /// Goes on from moments that [`Self::into_moments`] gave: mean P x d, scatter P x packed lower triangle of `count` samples.
    ///
    /// # Errors
    /// As [`Self::new`]; [`KernelError::Shape`] if the lengths do not fit, [`KernelError::Setting`] if a moment is not finite.
    pub fn from_moments(
        (positions, dimensions): (usize, usize),
        count: u64,
        mean: Vec<f64>,
        scatter: Vec<f64>,
    ) -> Result<Self, KernelError> {
        let empty = Self::new(positions, dimensions)?;
        for (what, found, expected) in [
            ("the means", mean.len(), empty.mean.len()),
            ("the scatter matrices", scatter.len(), empty.scatter.len()),
        ] {
            if found != expected {
                let shape = format!("{positions} positions of {dimensions} dimensions");
                return Err(KernelError::Shape { what, shape, expected, found });
            }
        }
        if mean.par_iter().chain(&scatter).any(|value| !value.is_finite()) {
            let range = "every mean and scatter must be a finite number".into();
            return Err(KernelError::Setting { setting: "moments", value: "not finite".into(), range });
        }
        Ok(Self { count, mean, scatter, ..empty })
    }

    /// Samples seen, mean (P x d) and scatter (P x packed lower triangle), given away.
    pub fn into_moments(mut self) -> (u64, Vec<f64>, Vec<f64>) {
        self.take_up();
        (self.count, self.mean, self.scatter)
    }

    /// Takes samples in, B x P x d.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if the length is not a multiple of P x d; [`KernelError::NotFinite`].
    pub fn add_batch(&mut self, samples: &[f32]) -> Result<(), KernelError> {
        let length = self.positions * self.dimensions;
        if !samples.len().is_multiple_of(length) {
            return Err(KernelError::Shape {
                what: "a batch of samples",
                shape: format!("samples x {} x {}", self.positions, self.dimensions),
                expected: samples.len().div_ceil(length) * length,
                found: samples.len(),
            });
        }
        finite("a batch of samples", samples, self.dimensions)?;
        for sample in samples.chunks_exact(length) {
            self.waiting.extend_from_slice(sample);
            if self.waiting.len() == BLOCK * length {
                self.take_up();
            }
        }
        Ok(())
    }

    /// Samples seen.
    pub fn count(&self) -> u64 {
        self.count + (self.waiting.len() / (self.positions * self.dimensions)) as u64
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Number of dimensions.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Mean (P x d) and scatter (P x packed lower triangle, row by row) of everything seen.
    pub fn moments(&mut self) -> (&[f64], &[f64]) {
        self.take_up();
        (&self.mean, &self.scatter)
    }

    /// Takes another summary in, as if its samples had been added here.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if positions or dimensions differ.
    pub fn merge(&mut self, other: &mut Self) -> Result<(), KernelError> {
        self.combine(other, 1.0)
    }

    /// Takes a summary out again that was added or merged before.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if positions or dimensions differ, or there are fewer samples than are to be removed.
    pub fn remove(&mut self, other: &mut Self) -> Result<(), KernelError> {
        self.combine(other, -1.0)
    }

    /// Shrinks the covariances towards their diagonals: what lies off it loses `share` of itself, variances gain `relative` of
    /// themselves and `absolute`. Keeps what few samples make singular invertible, in any units of its dimensions.
    pub fn shrink(&mut self, share: f64, relative: f64, absolute: f64) {
        self.take_up();
        let (d, absolute) = (self.dimensions, absolute * self.count.saturating_sub(1).max(1) as f64);
        self.scatter.par_chunks_mut(packed_length(d)).for_each(|scatter| {
            for row in 0..d {
                let values = &mut scatter[row_start(row)..][..=row];
                values[..row].iter_mut().for_each(|value| *value *= 1.0 - share);
                values[row] = values[row] * (1.0 + relative) + absolute;
            }
        });
    }

    fn combine(&mut self, other: &mut Self, sign: f64) -> Result<(), KernelError> {
        self.take_up();
        other.take_up();
        if (self.positions, self.dimensions) != (other.positions, other.dimensions)
            || (sign < 0.0 && self.count < other.count)
        {
            return Err(KernelError::Shape {
                what: "the other summary",
                shape: format!(
                    "{} x {}, at most {} samples to remove",
                    self.positions, self.dimensions, self.count
                ),
                expected: self.mean.len(),
                found: other.mean.len(),
            });
        }
        if other.count == 0 {
            return Ok(());
        }
        let (before, by) = (self.count as f64, other.count as f64);
        let after = before + sign * by;
        self.count = if sign > 0.0 { self.count + other.count } else { self.count - other.count };
        let d = self.dimensions;
        let ours = self.mean.par_chunks_mut(d).zip(self.scatter.par_chunks_mut(packed_length(d)));
        let theirs = other.mean.par_chunks(d).zip(other.scatter.par_chunks(packed_length(d)));
        ours.zip(theirs).for_each(|((mean, scatter), (other_mean, other_scatter))| {
            if after == 0.0 {
                mean.fill(0.0);
                scatter.fill(0.0);
                return;
            }
            // Removal is the merge solved for the first summary; both differences are taken to the mean that is kept apart.
            let apart: Vec<f64> = other_mean.iter().zip(mean.iter()).map(|(b, a)| b - a).collect();
            let factor = if sign > 0.0 { before * by / after } else { -before * by / after };
            for row in 0..d {
                let start = row_start(row);
                for column in 0..=row {
                    scatter[start + column] +=
                        sign * other_scatter[start + column] + factor * apart[row] * apart[column];
                }
            }
            for (mean, apart) in mean.iter_mut().zip(&apart) {
                *mean += sign * apart * by / after;
            }
        });
        Ok(())
    }

    /// Merges the waiting samples into the moments.
    fn take_up(&mut self) {
        let d = self.dimensions;
        let stride = self.positions * d;
        let samples = self.waiting.len() / stride;
        if samples == 0 {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let before = self.count as f64;
        self.count += samples as u64;
        // Rows filled up with zeros let the hot loop go by whole chunks.
        let filled = d.next_multiple_of(SIDE);
        let moments = self.mean.par_chunks_mut(d).zip(self.scatter.par_chunks_mut(packed_length(d)));
        moments.enumerate().for_each_init(
            || (vec![0.0; samples * filled], vec![0.0; filled]),
            |(centred, block_mean), (position, (mean, scatter))| {
                let sample = |index: usize| &waiting[index * stride + position * d..][..d];
                block_mean.fill(0.0);
                for index in 0..samples {
                    for (sum, &value) in block_mean.iter_mut().zip(sample(index)) {
                        *sum += f64::from(value);
                    }
                }
                block_mean.iter_mut().for_each(|sum| *sum /= samples as f64);
                for (index, row) in centred.chunks_exact_mut(filled).enumerate() {
                    for ((target, &value), mean) in row.iter_mut().zip(sample(index)).zip(block_mean.iter()) {
                        *target = f64::from(value) - mean;
                    }
                }
                widest(Update { centred, block_mean, mean, scatter, before });
            },
        );
        // The buffer is kept for the next block.
        self.waiting = waiting;
        self.waiting.clear();
    }
}

/// Chan's merge of one block into the moments of a position.
struct Update<'a> {
    /// Samples x d deviations from the block's mean, d filled up with zeros to whole chunks; so is the mean.
    centred: &'a [f64],
    block_mean: &'a mut [f64],
    mean: &'a mut [f64],
    scatter: &'a mut [f64],
    before: f64,
}

impl Kernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let d = self.mean.len();
        let samples = (self.centred.len() / self.block_mean.len()) as f64;
        let after = self.before + samples;
        // From here on the block's mean is its distance from ours.
        for (apart, mean) in self.block_mean.iter_mut().zip(self.mean.iter_mut()) {
            *apart -= *mean;
            *mean += *apart * samples / after;
        }
        let between = self.before * samples / after;
        if self.before == 0.0 {
            // Memory that is fresh from the system is cheaper to write than to read and then to write.
            self.scatter.fill(0.0);
        }
        for row in 0..d {
            let target = &mut self.scatter[row_start(row)..][..=row];
            for start in (0..=row).step_by(SIDE) {
                let width = SIDE.min(row + 1 - start);
                let mut sums = [0.0; SIDE];
                match target[start..].first_chunk() {
                    Some(values) => sums = *values,
                    None => sums[..width].copy_from_slice(&target[start..]),
                }
                for sample in self.centred.chunks_exact(self.block_mean.len()) {
                    sums = plus_scaled(sums, &sample[start..], sample[row]);
                }
                sums = plus_scaled(sums, &self.block_mean[start..], between * self.block_mean[row]);
                target[start..start + width].copy_from_slice(&sums[..width]);
            }
        }
    }
}

/// Columns that are summed side by side, in registers.
const SIDE: usize = 16;

/// sums + factor x source; plain products and sums, which every vector width rounds alike.
#[inline(always)]
fn plus_scaled(mut sums: [f64; SIDE], source: &[f64], factor: f64) -> [f64; SIDE] {
    let source = &source.as_chunks::<SIDE>().0[0];
    for lane in 0..SIDE {
        sums[lane] += factor * source[lane];
    }
    sums
}
