//! A shortcut to lower bounds of distances: a linear map to few dimensions that never lengthens.
//!
//! Neighbouring patches of a network's feature map are far from random: some dozens of directions carry most of
//! their variance. Let V (d x m) have singular values of at most 1 and y = V^T (x - mean). Then
//!
//! `||y_a - y_b|| <= ||a - b||`,
//!
//! so a pair whose short images are already further apart than the distance at hand needs no look at all of its
//! d coordinates. The images are compared as a matrix product of m instead of d terms,
//! score = ||y_b||^2 - 2 y_a . y_b, and what passes is measured by the exact kernel of [`crate::simd`]. Rounding is
//! bounded, not hoped for: see [`Contraction::bound`]. Results are therefore those of the exhaustive search, to the bit.
//!
//! V comes from a few orthogonal iterations on the covariance of a sample. How many columns pay is tried on that
//! sample; data without structure keep all coordinates (V = identity), which is the plain blocked search.

mod choice;
mod directions;

pub(crate) use choice::{Numbers, SINGLE, Speed, WHOLE, nearest_whole};
pub(crate) use directions::{principal_directions, product, sample, sample_mean, subtract};

use crate::panels::{Panels, multiply};
use crate::simd::{Kernel, LANES, Lanes, padded, widest};
use choice::{Choice, PROBES, STEP};
use directions::{SAMPLE, pack, sum_of_squares};
use rayon::prelude::*;

/// Half the spacing of f32 at 1: the relative error of one rounding.
const UNIT: f64 = 1.0 / (1u64 << 24) as f64;
/// Below so many dimensions a shortcut cannot pay.
const FEWEST_DIMENSIONS: usize = 48;
const MOST_COLUMNS: usize = 128;
/// Rows mapped by one task.
const BLOCK: usize = 256;

/// x -> V^T (x - mean), with bounds on its rounding.
pub(crate) struct Contraction {
    mean: Vec<f32>,
    /// Columns of V; none for the identity.
    columns: Option<Panels>,
    width: usize,
}

/// Images of rows, with what the bounds need.
pub(crate) struct Mapped {
    /// rows x width.
    pub values: Vec<f32>,
    /// ||x - mean|| a row, rounded up.
    pub norms: Vec<f32>,
    /// ||y||^2 a row.
    pub squares: Vec<f32>,
}

/// Turns a squared distance at hand into the greatest score that could belong to a row at least as near.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    stretch: f64,
    slack: f64,
    offset: f64,
}

impl Bound {
    /// How far apart the images, as computed, of two rows at that squared distance can be.
    pub fn reach(&self, squared: f32) -> f64 {
        f64::from(squared).sqrt() * self.stretch + self.slack
    }

    /// Rows with a score above this are certainly further than `squared` as [`crate::simd::squared_distance`] computes it.
    #[inline(always)]
    pub fn threshold(&self, squared: f32) -> f32 {
        let reach = self.reach(squared);
        // Finite, so that the empty lanes of a panel (infinite scores) never pass.
        ((reach * reach + self.offset) as f32).next_up().min(f32::MAX)
    }
}

impl Contraction {
    /// Only centres: all coordinates are kept.
    pub fn identity(rows: &[f32], dimensions: usize) -> Self {
        Self { mean: sample_mean(&sample(rows, dimensions), dimensions), columns: None, width: dimensions }
    }

    /// The map that makes nearest-neighbour search among `rows` cheapest by a trial on a sample of them.
    pub fn fit(rows: &[f32], dimensions: usize) -> Self {
        Self::fit_for(&[SINGLE], rows, dimensions).0
    }

    /// The same, and what its images are best compared as.
    pub fn fit_for(numbers: &[Speed], rows: &[f32], dimensions: usize) -> (Self, Numbers) {
        let mut sample = sample(rows, dimensions);
        let mean = sample_mean(&sample, dimensions);
        let identity = Self { mean, columns: None, width: dimensions };
        if dimensions < FEWEST_DIMENSIONS || sample.len() / dimensions < 4 * PROBES {
            return (identity, Numbers::Single);
        }
        for row in sample.chunks_mut(dimensions) {
            subtract(row, &identity.mean);
        }
        let most = MOST_COLUMNS.min(dimensions / 2 / STEP * STEP);
        let basis = principal_directions(&sample, dimensions, most);
        let Choice { numbers, width, .. } =
            Choice::best(numbers, rows.len() / dimensions, &sample, &basis, dimensions);
        if width == dimensions {
            return (identity, numbers);
        }
        let columns = Some(contracting(&basis, dimensions, width));
        (Self { mean: identity.mean, columns, width }, numbers)
    }

    /// Greatest number of bytes that [`Self::fit`] takes while it runs, for n large: the sample three times over,
    /// the covariance and the directions with their products.
    pub fn fit_bytes(dimensions: usize) -> u64 {
        let (d, columns) = (dimensions as u64, MOST_COLUMNS as u64);
        4 * (3 * SAMPLE as u64 * d + 2 * d * d + columns * (SAMPLE as u64 + 6 * d))
    }

    /// The widest image that [`Self::fit`] makes, short of the identity.
    pub fn widest_image(dimensions: usize) -> usize {
        MOST_COLUMNS.min(dimensions / 2)
    }

    /// Coordinates of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether all coordinates are kept.
    pub fn is_identity(&self) -> bool {
        self.columns.is_none()
    }

    /// Images of rows, in parallel.
    pub fn map(&self, rows: &[f32]) -> Mapped {
        let count = rows.len() / self.mean.len();
        let mut mapped = Mapped {
            values: vec![0.0; count * self.width],
            norms: vec![0.0; count],
            squares: vec![0.0; count],
        };
        rows.par_chunks(BLOCK * self.mean.len())
            .zip(mapped.values.par_chunks_mut(BLOCK * self.width))
            .zip(mapped.norms.par_chunks_mut(BLOCK))
            .zip(mapped.squares.par_chunks_mut(BLOCK))
            .for_each(|(((rows, values), norms), squares)| self.map_block(rows, values, norms, squares));
        mapped
    }

    /// Images of few rows, on this thread, into slices of the right lengths.
    pub fn map_block(&self, rows: &[f32], values: &mut [f32], norms: &mut [f32], squares: &mut [f32]) {
        match &self.columns {
            Some(columns) => {
                let mut centred = rows.to_vec();
                self.centre(&mut centred, norms);
                multiply(columns, &centred, values);
            }
            None => {
                values.copy_from_slice(rows);
                self.centre(values, norms);
            }
        }
        for (image, square) in values.chunks(self.width).zip(squares) {
            *square = sum_of_squares(image) as f32;
        }
    }

    /// Subtracts the mean from rows; their norms, rounded up.
    fn centre(&self, rows: &mut [f32], norms: &mut [f32]) {
        let d = self.mean.len();
        for (row, norm) in rows.chunks_mut(d).zip(norms) {
            // Sixteen sums of single precision are off by less than d / 16 + 5 roundings.
            let squared = f64::from(widest(Centre { row, mean: &self.mean }));
            *norm = (squared.sqrt() * (1.0 + (d + 80) as f64 / 16.0 * UNIT)) as f32;
        }
    }

    /// The bound for a query of the given norm and image among rows of at most `greatest_norm`.
    ///
    /// With u = 2^-24 and N = the sum of both norms, computed images differ from exact ones by at most
    /// (sqrt(m) (d + 2) + 2) u N together (centring, products of d terms in m coordinates; 2 u N for the identity),
    /// the score plus ||y_a||^2 from the squared distance of the images by 4 (m + 8) u N^2, and the exact kernel
    /// from the true squared distance by a relative (d / 16 + 8) u.
    pub fn bound(&self, norm: f32, square: f32, greatest_norm: f32) -> Bound {
        let (d, m) = (self.mean.len() as f64, self.width as f64);
        let norms = f64::from(norm) + f64::from(greatest_norm);
        let image = if self.is_identity() { 4.0 } else { m.sqrt() * (d + 4.0) + 4.0 };
        Bound {
            stretch: 1.0 + (d / LANES as f64 + 16.0) * UNIT,
            slack: image * UNIT * norms,
            // The last term covers rounding below the normal range.
            offset: 4.0 * (m + 8.0) * UNIT * norms * norms - f64::from(square)
                + 64.0 * f64::from(f32::MIN_POSITIVE),
        }
    }
}

/// Subtracts the mean from a row; the sum of the squares of what is left.
struct Centre<'a> {
    row: &'a mut [f32],
    mean: &'a [f32],
}

impl Kernel for Centre<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        let ((rows, row_tail), (means, mean_tail)) =
            (self.row.as_chunks_mut::<LANES>(), self.mean.as_chunks::<LANES>());
        let mut sums = V::splat(0.0);
        for (row, mean) in rows.iter_mut().zip(means) {
            let centred = V::load(row).sub(V::load(mean));
            sums = centred.mul_add(centred, sums);
            *row = centred.store();
        }
        let centred = V::load(&padded(row_tail)).sub(V::load(&padded(mean_tail)));
        row_tail.copy_from_slice(&centred.store()[..row_tail.len()]);
        centred.mul_add(centred, sums).sum()
    }
}

/// The first `width` directions, scaled so that the map surely never lengthens.
///
/// The largest eigenvalue of the Gram matrix is at most its largest sum of absolute values along a row.
fn contracting(directions: &[f32], dimensions: usize, width: usize) -> Panels {
    let rows: Vec<&[f32]> = directions.chunks(dimensions).take(width).collect();
    let exact_dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let greatest = rows
        .par_iter()
        .map(|row| rows.iter().map(|other| exact_dot(row, other).abs()).sum::<f64>())
        .reduce(|| 0.0, f64::max);
    // One part in 2^20 more than covers rounding the scaled entries to f32.
    let scale = (1.0 - 1.0 / (1u64 << 20) as f64) / greatest.sqrt().max(1.0);
    let scaled: Vec<f32> =
        directions[..width * dimensions].iter().map(|&value| (f64::from(value) * scale) as f32).collect();
    pack(&scaled, dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// Rows near a curved surface of few dimensions, with a little noise.
    fn structured(count: usize, dimensions: usize) -> Vec<f32> {
        let mut random = crate::seeded(3);
        let weights: Vec<f32> = (0..6 * dimensions).map(|_| random.random_range(-1.0..1.0)).collect();
        (0..count)
            .flat_map(|_| {
                let latent: [f32; 6] = std::array::from_fn(|_| random.random_range(-2.0..2.0));
                let row: Vec<f32> = (0..dimensions)
                    .map(|i| {
                        let sum: f32 = (0..6).map(|j| latent[j] * weights[j * dimensions + i]).sum();
                        10.0 + sum.tanh() + random.random_range(-0.02..0.02)
                    })
                    .collect();
                row
            })
            .collect()
    }

    #[test]
    fn structured_rows_get_a_short_map_and_random_rows_none() {
        let rows = structured(1000, 128);
        let map = Contraction::fit(&rows, 128);
        assert!(!map.is_identity() && map.width() <= 64, "{}", map.width());
        let mut random = crate::seeded(1);
        let noise: Vec<f32> = (0..1000 * 128).map(|_| random.random_range(-1.0..1.0)).collect();
        assert!(Contraction::fit(&noise, 128).is_identity());
    }

    #[test]
    fn no_row_as_near_as_the_bound_is_ever_left_out() {
        let rows = structured(400, 100);
        let far: Vec<f32> = rows.iter().map(|v| v * 30.0).collect();
        for rows in [rows, far] {
            for map in [Contraction::fit(&rows, 100), Contraction::identity(&rows, 100)] {
                let mapped = map.map(&rows);
                let greatest = mapped.norms.iter().copied().fold(0.0, f32::max);
                for a in 0..40 {
                    let bound = map.bound(mapped.norms[a], mapped.squares[a], greatest);
                    for b in 0..400 {
                        let image = |i: usize| &mapped.values[i * map.width()..(i + 1) * map.width()];
                        let score = image(a)
                            .iter()
                            .zip(image(b))
                            .fold(mapped.squares[b], |sum, (&x, &y)| y.mul_add(-2.0 * x, sum));
                        let distance = crate::simd::squared_distance(
                            &rows[a * 100..(a + 1) * 100],
                            &rows[b * 100..(b + 1) * 100],
                        );
                        assert!(score <= bound.threshold(distance), "{a} {b} {score} {distance}");
                    }
                }
            }
        }
    }
}
