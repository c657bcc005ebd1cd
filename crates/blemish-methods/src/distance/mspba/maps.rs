//! From patch scores to one map.

use super::config::Combination;

/// A grid of patches over an image: row i of them begins at pixel row i `stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PatchGrid {
    /// Side of a patch.
    pub(super) patch: usize,
    /// Pixels between patches.
    pub(super) stride: usize,
    /// Height and width of the image.
    pub(super) size: (usize, usize),
}

impl PatchGrid {
    /// Rows and columns of patches.
    pub(super) fn cells(&self) -> (usize, usize) {
        let along = |length: usize| (length - self.patch) / self.stride + 1;
        (along(self.size.0), along(self.size.1))
    }

    /// How many patches cover each pixel of a line of `length` with `cells` patches.
    fn counts(&self, length: usize, cells: usize) -> Vec<f64> {
        let mut change = vec![0i64; length + 1];
        for cell in 0..cells {
            change[cell * self.stride] += 1;
            change[cell * self.stride + self.patch] -= 1;
        }
        let mut covering = 0;
        let count = |change: &i64| {
            covering += change;
            covering as f64
        };
        change[..length].iter().map(count).collect()
    }

    /// Mean of the scores of all patches that cover a pixel, height x width.
    ///
    /// Scores go to the four corners of their patches in a 2-D difference array; two running sums spread them, as fast for any patch size.
    /// Every pixel is covered where the stride divides what the image is larger than a patch, see the checks of a fit.
    pub(super) fn spread(&self, scores: &[f32]) -> Vec<f32> {
        let ((height, width), (rows, columns)) = (self.size, self.cells());
        let mut sums = vec![0.0f64; (height + 1) * (width + 1)];
        for (cell, &score) in scores.iter().enumerate() {
            let (y, x) = (cell / columns * self.stride, cell % columns * self.stride);
            let score = f64::from(score);
            for (y, x, sign) in [
                (y, x, 1.0),
                (y, x + self.patch, -1.0),
                (y + self.patch, x, -1.0),
                (y + self.patch, x + self.patch, 1.0),
            ] {
                sums[y * (width + 1) + x] += sign * score;
            }
        }
        let (down, across) = (self.counts(height, rows), self.counts(width, columns));
        let mut above = vec![0.0f64; width];
        let mut map = Vec::with_capacity(height * width);
        for (y, changes) in sums.chunks_exact(width + 1).take(height).enumerate() {
            let mut sum = 0.0;
            for x in 0..width {
                sum += changes[x];
                above[x] += sum;
                map.push((above[x] / (down[y] * across[x]).max(1.0)) as f32);
            }
        }
        map
    }
}

/// One map of those of the patch sizes; `typical` are their means on held-out good images.
pub(super) fn combined(combination: Combination, maps: &[Vec<f32>], typical: &[f32]) -> Vec<f32> {
    let length = maps.first().map_or(0, Vec::len);
    let at = |pixel: usize| maps.iter().map(move |map| map[pixel]);
    (0..length)
        .map(|pixel| match combination {
            Combination::Sum => at(pixel).sum(),
            Combination::Product => at(pixel).product(),
            Combination::NormalisedSum => {
                at(pixel).zip(typical).map(|(value, typical)| value / typical).sum()
            }
        })
        .collect()
}
