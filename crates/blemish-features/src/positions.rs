//! Position embeddings of a transformer at another size of image than it was trained at.

use crate::graph::Resample;
use std::sync::{Arc, Mutex, PoisonError};

/// A table of position embeddings, side x side x channels.
#[derive(Debug)]
pub(crate) struct Positions {
    table: Vec<f32>,
    side: usize,
    channels: usize,
    resample: Resample,
    /// What was made last: images mostly come in one size.
    last: Mutex<Option<Made>>,
}

type Made = ([usize; 2], Arc<Vec<f32>>);

impl Positions {
    /// # Panics
    /// If the table has another size.
    pub(crate) fn new(table: Vec<f32>, side: usize, resample: Resample) -> Self {
        let channels = table.len() / (side * side).max(1);
        assert_eq!(table.len(), side * side * channels, "one embedding a position");
        Self { table, side, channels, resample, last: Mutex::new(None) }
    }

    /// One embedding for each of height x width patches.
    pub(crate) fn at(&self, size: [usize; 2]) -> Arc<Vec<f32>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, made)) = last.as_ref().filter(|(made, _)| *made == size) {
            return made.clone();
        }
        let made = Arc::new(resampled(&self.table, self.side, self.channels, size, self.resample));
        *last = Some((size, made.clone()));
        made
    }
}

/// The table at height x width; as it is where that is its own size.
fn resampled(
    table: &[f32],
    side: usize,
    channels: usize,
    [height, width]: [usize; 2],
    resample: Resample,
) -> Vec<f32> {
    if [height, width] == [side, side] {
        return table.to_vec();
    }
    let (down, across) = (windows(side, height, resample), windows(side, width, resample));
    // Across first: side x width, then down.
    let mut wide = vec![0.0; side * width * channels];
    for (row, out) in table.chunks_exact(side * channels).zip(wide.chunks_exact_mut(width * channels)) {
        for (out, window) in out.chunks_exact_mut(channels).zip(&across) {
            for &(at, weight) in window {
                add_scaled(out, &row[at * channels..][..channels], weight);
            }
        }
    }
    let mut out = vec![0.0; height * width * channels];
    for (out, window) in out.chunks_exact_mut(width * channels).zip(&down) {
        for &(at, weight) in window {
            add_scaled(out, &wide[at * width * channels..][..width * channels], weight);
        }
    }
    out
}

fn add_scaled(out: &mut [f32], values: &[f32], weight: f32) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out = value.mul_add(weight, *out));
}

/// For each of `to` places along an axis, which of `from` are mixed with what weights.
fn windows(from: usize, to: usize, resample: Resample) -> Vec<Vec<(usize, f32)>> {
    match resample {
        Resample::Bicubic => (0..to).map(|place| four(from, to as f64, place)).collect(),
        Resample::Offset => (0..to).map(|place| four(from, to as f64 + 0.1, place)).collect(),
        Resample::Antialias => (0..to).map(|place| wide(from, to, place)).collect(),
    }
}

/// The four neighbours of a place; beyond the border the outermost counts again.
fn four(from: usize, to: f64, place: usize) -> Vec<(usize, f32)> {
    let at = (place as f64 + 0.5) * from as f64 / to - 0.5;
    let first = at.floor();
    (-1..=2)
        .map(|step| {
            let index = (first as isize + step).clamp(0, from as isize - 1) as usize;
            (index, cubic(at - first - step as f64, -0.75) as f32)
        })
        .collect()
}

/// All within two steps of the coarser of the two grids, weights summing to one.
fn wide(from: usize, to: usize, place: usize) -> Vec<(usize, f32)> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let centre = scale * (place as f64 + 0.5);
    let first = ((centre - 2.0 * stretch + 0.5).max(0.0)) as usize;
    let last = ((centre + 2.0 * stretch + 0.5) as usize).min(from);
    let weight = |index: usize| cubic((index as f64 + 0.5 - centre) / stretch, -0.5);
    let sum: f64 = (first..last).map(weight).sum();
    (first..last).map(|index| (index, (weight(index) / sum) as f32)).collect()
}

/// Keys' cubic convolution kernel.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Resample; 3] = [Resample::Bicubic, Resample::Offset, Resample::Antialias];

    #[test]
    fn the_table_at_its_own_size_is_itself() {
        let table: Vec<f32> = (0..18).map(|i| i as f32).collect();
        for resample in ALL {
            assert_eq!(**Positions::new(table.clone(), 3, resample).at([3, 3]), table);
        }
    }

    #[test]
    fn even_tables_stay_even_and_ramps_keep_their_middle() {
        for resample in ALL {
            for size in [[2, 9], [5, 3], [4, 4], [11, 1]] {
                let even = Positions::new(vec![2.5; 50], 5, resample);
                assert!(even.at(size).iter().all(|value| (value - 2.5).abs() < 1e-5));
            }
        }
        // Columns 0 to 15 at half their number, away from borders: the middles of pairs.
        let ramp: Vec<f32> = (0..256).map(|i| (i % 16) as f32).collect();
        for resample in [Resample::Bicubic, Resample::Antialias] {
            let half = Positions::new(ramp.clone(), 16, resample).at([16, 8]);
            assert!((half[3] - 6.5).abs() < 1e-5 && (half[4] - 8.5).abs() < 1e-5, "{half:?}");
        }
        // With the offset, steps are 16 / 8.1; the kernel bends a ramp by less than this tolerance.
        let offset = Positions::new(ramp, 16, Resample::Offset).at([16, 8]);
        assert!((f64::from(offset[3]) - (3.5 * 16.0 / 8.1 - 0.5)).abs() < 0.05, "{offset:?}");
    }

    #[test]
    fn another_size_replaces_what_was_kept() {
        let positions = Positions::new((0..16).map(|i| i as f32).collect(), 4, Resample::Bicubic);
        assert_eq!(positions.at([2, 3]).len(), 6);
        assert_eq!(positions.at([3, 3]).len(), 9);
        assert_eq!(positions.at([2, 3]), positions.at([2, 3]));
    }
}
