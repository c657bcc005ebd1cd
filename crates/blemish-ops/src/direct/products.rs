//! Products over positions: `sums[o, k] += sum over p of dY[o, p] X[at(k) + p]`.

use blemish_kernels::simd::{Kernel, LANES, Lanes};

/// Rows of gradients, and keys, that are summed side by side.
pub(super) const ROWS: usize = 4;
pub(super) const KEYS: usize = 6;

/// Positions between two folds of the lanes: what four rows of take half of a first-level cache.
const RUN: usize = 1024;

pub(super) struct Products<'a> {
    pub(super) lines: &'a [f32],
    /// Where the first position meets each key; whole blocks of them.
    pub(super) keys: &'a [usize],
    /// Rows x positions; whole blocks of rows.
    pub(super) gradients: &'a [f32],
    /// Whole vectors.
    pub(super) positions: usize,
    /// Rows x keys.
    pub(super) sums: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let rows = self.gradients.len() / self.positions;
        for start in (0..self.positions).step_by(RUN) {
            let run = (start, RUN.min(self.positions - start));
            for row in (0..rows).step_by(ROWS) {
                for key in (0..self.keys.len()).step_by(KEYS) {
                    if V::WIDE {
                        self.tile::<V, ROWS, KEYS>(row, key, run);
                    } else {
                        for part in 0..6 {
                            self.tile::<V, 2, 2>(row + part % 2 * 2, key + part / 2 * 2, run);
                        }
                    }
                }
            }
        }
    }
}

impl Products<'_> {
    #[inline(always)]
    fn tile<V: Lanes, const R: usize, const K: usize>(
        &mut self,
        row: usize,
        key: usize,
        (start, count): (usize, usize),
    ) {
        let mut sums = [[V::splat(0.0); K]; R];
        let mut gradients: [&[[f32; LANES]]; R] = [&[]; R];
        for r in 0..R {
            gradients[r] = self.gradients[(row + r) * self.positions + start..][..count].as_chunks().0;
        }
        let mut lines: [&[[f32; LANES]]; K] = [&[]; K];
        for k in 0..K {
            lines[k] = self.lines[self.keys[key + k] + start..][..count].as_chunks().0;
        }
        for p in 0..count / LANES {
            let mut left = [V::splat(0.0); R];
            for r in 0..R {
                left[r] = V::load(&gradients[r][p]);
            }
            for k in 0..K {
                let right = V::load(&lines[k][p]);
                for r in 0..R {
                    sums[r][k] = left[r].mul_add(right, sums[r][k]);
                }
            }
        }
        let all = self.keys.len();
        for r in 0..R {
            for k in 0..K {
                self.sums[(row + r) * all + key + k] += sums[r][k].sum();
            }
        }
    }
}
