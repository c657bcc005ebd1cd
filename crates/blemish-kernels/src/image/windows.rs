//! Sums and histograms of sliding windows, by blocks.
//!
//! A plane is cut into blocks of `step` x `step` pixels; a window is an odd number of blocks a side around its own. Every pixel is
//! touched once, for its block; windows are sums of blocks, columns first, then rows, so the cost hardly depends on their size. Blocks
//! and windows at the border hold the pixels there are. There are ceil(H / step) x ceil(W / step) windows.

use super::{Size, check};

/// Where windows lie: their side and spacing, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    step: usize,
    /// Blocks to either side of a window's own.
    reach: usize,
}

impl Windows {
    /// Windows of `side` pixels every `step` pixels.
    ///
    /// # Errors
    /// The reason in words if the side is not an odd multiple of the step.
    pub fn new(side: usize, step: usize) -> Result<Self, String> {
        if step == 0 || side == 0 || !side.is_multiple_of(step) || (side / step).is_multiple_of(2) {
            return Err(format!("a window of {side} pixels is not an odd multiple of the step of {step}"));
        }
        Ok(Self { step, reach: side / step / 2 })
    }

    /// Pixels from one window to the next.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Rows and columns of windows of an image of that size.
    pub fn grid(&self, (height, width): Size) -> Size {
        (height.div_ceil(self.step), width.div_ceil(self.step))
    }

    /// Pixels in every window.
    pub fn counts(&self, size: Size) -> Vec<f32> {
        let line = |length: usize| -> Vec<f32> {
            let blocks = length.div_ceil(self.step);
            let edge = |block: usize| (block * self.step).min(length) as f32;
            (0..blocks)
                .map(|at| edge((at + self.reach + 1).min(blocks)) - edge(at.saturating_sub(self.reach)))
                .collect()
        };
        let (rows, columns) = (line(size.0), line(size.1));
        rows.iter().flat_map(|row| columns.iter().map(move |column| row * column)).collect()
    }

    /// Means of a plane over every window.
    ///
    /// # Panics
    /// If the plane is not of that size.
    pub fn means(&self, plane: &[f32], size: Size) -> Vec<f32> {
        check(plane, size);
        let grid = self.grid(size);
        let mut blocks = vec![0.0f32; grid.0 * grid.1];
        for (y, row) in plane.chunks_exact(size.1).enumerate() {
            let target = &mut blocks[y / self.step * grid.1..][..grid.1];
            for (target, piece) in target.iter_mut().zip(row.chunks(self.step)) {
                *target += piece.iter().sum::<f32>();
            }
        }
        let mut sums = self.gather(&blocks, grid, 1);
        sums.iter_mut().zip(self.counts(size)).for_each(|(sum, count)| *sum /= count);
        sums
    }

    /// The greatest value of a plane in every window.
    ///
    /// # Panics
    /// If the plane is not of that size.
    pub fn maxima(&self, plane: &[f32], size: Size) -> Vec<f32> {
        check(plane, size);
        let (rows, columns) = self.grid(size);
        let mut blocks = vec![f32::NEG_INFINITY; rows * columns];
        for (y, row) in plane.chunks_exact(size.1).enumerate() {
            let target = &mut blocks[y / self.step * columns..][..columns];
            for (target, piece) in target.iter_mut().zip(row.chunks(self.step)) {
                *target = piece.iter().copied().fold(*target, f32::max);
            }
        }
        super::morphology::dilate(
            &blocks,
            (rows, columns),
            &super::morphology::Element::rectangle(2 * self.reach + 1, 2 * self.reach + 1),
        )
    }

    /// Histograms of labels below `bins` over every window, windows x bins, as counts.
    ///
    /// # Panics
    /// If the labels are not of that size or one is not below `bins`.
    pub fn histograms(&self, labels: &[u8], size: Size, bins: usize) -> Vec<f32> {
        assert_eq!(labels.len(), size.0 * size.1, "labels are of the image's size");
        let grid = self.grid(size);
        let mut counts = vec![0u32; grid.0 * grid.1 * bins];
        for (y, row) in labels.chunks_exact(size.1).enumerate() {
            let blocks = counts[y / self.step * grid.1 * bins..][..grid.1 * bins].chunks_exact_mut(bins);
            for (block, piece) in blocks.zip(row.chunks(self.step)) {
                for &label in piece {
                    block[usize::from(label)] += 1;
                }
            }
        }
        let blocks: Vec<f32> = counts.into_iter().map(|count| count as f32).collect();
        self.gather(&blocks, grid, bins)
    }

    /// Sums over windows of blocks x `depth` values.
    pub(crate) fn gather(&self, blocks: &[f32], (rows, columns): Size, depth: usize) -> Vec<f32> {
        if self.reach == 0 {
            return blocks.to_vec();
        }
        let line = columns * depth;
        let span =
            |at: usize, length: usize| at.saturating_sub(self.reach)..(at + self.reach + 1).min(length);
        let mut across = vec![0.0f32; blocks.len()];
        for y in 0..rows {
            let target = &mut across[y * line..][..line];
            for near in span(y, rows) {
                add(target, &blocks[near * line..][..line]);
            }
        }
        let mut sums = vec![0.0f32; blocks.len()];
        for (target, source) in sums.chunks_exact_mut(line).zip(across.chunks_exact(line)) {
            for (x, target) in target.chunks_exact_mut(depth).enumerate() {
                for near in span(x, columns) {
                    add(target, &source[near * depth..][..depth]);
                }
            }
        }
        sums
    }
}

fn add(target: &mut [f32], source: &[f32]) {
    target.iter_mut().zip(source).for_each(|(target, source)| *target += source);
}

/// Labels 0 to bins - 1 of values by rising `edges` (one fewer than bins): how many edges are at most the value.
pub fn quantise(values: &[f32], edges: &[f32]) -> Vec<u8> {
    let mut labels = vec![0u8; values.len()];
    for &edge in edges {
        labels.iter_mut().zip(values).for_each(|(label, &value)| *label += u8::from(value >= edge));
    }
    labels
}

/// Labels of values in [0, 1] in `bins` (at most 256) equal bins; what lies outside goes to the ends.
pub fn equal_bins(values: &[f32], bins: usize) -> Vec<u8> {
    let (scale, last) = (bins as f32, (bins - 1) as f32);
    values.iter().map(|value| (value * scale).clamp(0.0, last) as u8).collect()
}
