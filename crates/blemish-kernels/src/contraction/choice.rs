//! What makes a search cheapest: how many coordinates of an image are compared, and as which numbers.

use super::directions::product;
use crate::simd::{LANES, squared_distances};
use rayon::prelude::*;

/// Rows of the sample that are searched to count what would pass.
pub(super) const PROBES: usize = 48;
/// Column counts are tried and chosen in such steps.
pub(super) const STEP: usize = 8;

/// What images are compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    Single,
    /// In steps of one size, a 127th of the greatest coordinate: faster where a machine multiplies bytes, and blind to less than the
    /// rounding.
    Bytes,
}

/// Numbers with how many products of them a machine adds up in a cycle.
pub(crate) type Speed = (Numbers, f64);

/// The speed of single precision.
pub(crate) const SINGLE: Speed = (Numbers::Single, LANES as f64);

/// A way to compare images.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    pub numbers: Numbers,
    pub width: usize,
    /// Cycles a pair.
    cost: f64,
}

impl Choice {
    /// What makes a search cheapest: how many directions, or all coordinates, and as which numbers.
    ///
    /// A product for every coordinate, of the query's image with each of the `rows` and of the query with the map, and about 200 + d/6
    /// cycles for every pair that passes and is measured, since its row is far away in memory. What passes is counted in a search of the
    /// sample for the sample's own rows. The first numbers that cost no more than a sixth of all coordinates are taken.
    pub fn best(numbers: &[Speed], rows: usize, sample: &[f32], basis: &[f32], dimensions: usize) -> Self {
        let probes = Probe::spread(sample, dimensions);
        let images = product(sample, basis, dimensions);
        let visit = 200.0 + dimensions as f64 / 6.0;
        let whole = dimensions as f64 / LANES as f64;
        let mut best = Self { numbers: Numbers::Single, width: dimensions, cost: whole };
        for &(numbers, products) in numbers {
            let choice = |width: usize, share: f64| {
                let map = if width < dimensions { whole * width as f64 / rows as f64 } else { 0.0 };
                Self { numbers, width, cost: width as f64 / products + map + share * visit }
            };
            let cheaper = |best: Self, choice: Self| if choice.cost < best.cost { choice } else { best };
            let shares = passing(numbers, &probes, &images, basis.len() / dimensions);
            let columns = shares.into_iter().enumerate().map(|(at, share)| choice((at + 1) * STEP, share));
            best = columns.fold(best, cheaper);
            // All coordinates, unless they are dearer even if nothing passes.
            if dimensions as f64 / products < best.cost {
                let share = passing(numbers, &probes, sample, dimensions).pop();
                best = share.map(|share| choice(dimensions, share)).into_iter().fold(best, cheaper);
            }
            if best.cost < whole / 6.0 {
                break;
            }
        }
        best
    }
}

/// The nearest whole number, of values below 2^22 to either side; of larger ones a near one. Without a call, as baseline machines round by one.
#[inline(always)]
pub(crate) fn nearest_whole(value: f32) -> f32 {
    value + WHOLE - WHOLE
}

/// At this size single precision has no fractions.
pub(crate) const WHOLE: f32 = 12_582_912.0;

/// A row of the sample that is searched, to count what would pass.
struct Probe {
    row: usize,
    /// Distance to the nearest other row.
    nearest: f64,
}

impl Probe {
    /// Probes evenly spread over a sample.
    fn spread(sample: &[f32], dimensions: usize) -> Vec<Self> {
        let count = sample.len() / dimensions;
        let probe = |number: usize| {
            let row = number * count / PROBES;
            let mut squared = vec![0.0; count];
            squared_distances(&sample[row * dimensions..(row + 1) * dimensions], sample, &mut squared);
            let others = squared.into_iter().filter(|&squared| squared > 0.0);
            Self { row, nearest: f64::from(others.fold(f32::INFINITY, f32::min)).sqrt() }
        };
        (0..PROBES).into_par_iter().map(probe).collect()
    }
}

/// For images of one step of coordinates, of two, and so on to their width: the share of rows whose images may belong to a row as near to a
/// probe as its nearest.
fn passing(numbers: Numbers, probes: &[Probe], images: &[f32], width: usize) -> Vec<f64> {
    let (count, steps) = (images.len() / width, width.div_ceil(STEP));
    let greatest = images.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let size = if numbers == Numbers::Bytes && greatest > 0.0 { greatest / 127.0 } else { 0.0 };
    let rounded: Vec<f32> = match size > 0.0 {
        true => images.iter().map(|value| nearest_whole(value / size) * size).collect(),
        false => images.to_vec(),
    };
    let row = |number: usize| number * width..(number + 1) * width;
    // What rounding moves the image of a row by, step for step.
    let moved = |number: usize| {
        let pairs = images[row(number)].chunks(STEP).zip(rounded[row(number)].chunks(STEP));
        let squares = pairs.scan(0.0, |sum, (a, b)| {
            *sum += a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            Some(sum.sqrt())
        });
        squares.collect::<Vec<f64>>()
    };
    let larger = |a: Vec<f64>, b: Vec<f64>| a.into_iter().zip(b).map(|(a, b)| a.max(b)).collect::<Vec<f64>>();
    let most_moved = (0..count).into_par_iter().map(moved).reduce(|| vec![0.0; steps], larger);
    let passed = |probe: &Probe| {
        let limits: Vec<f32> = (moved(probe.row).iter().zip(&most_moved))
            .map(|(own, most)| (probe.nearest + own + most).powi(2) as f32)
            .collect();
        let image = &rounded[row(probe.row)];
        let mut passed = vec![0usize; steps];
        for other in rounded.chunks(width) {
            let mut sum = 0.0;
            for (at, (a, b)) in image.chunks(STEP).zip(other.chunks(STEP)).enumerate() {
                sum += a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
                if sum > limits[steps - 1] {
                    break;
                }
                passed[at] += usize::from(sum <= limits[at]);
            }
        }
        passed
    };
    let total = probes
        .par_iter()
        .map(passed)
        .reduce(|| vec![0; steps], |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect());
    total.into_iter().map(|passed| passed as f64 / (PROBES * count) as f64).collect()
}
