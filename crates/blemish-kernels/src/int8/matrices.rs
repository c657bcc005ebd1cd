//! Products of bytes on processors with AMX: matrices instead of register tiles.

use super::amx::{Left, ROWS, Sums, Tiler};
use super::dense::{Panels, Sink};
use super::instructions::Task;
use super::lanes::{Dots, LANES, VECTORS};

/// The sums of some rows of pixels, as [`super::dense::Tiles`] but tile by tile.
pub(super) struct Matrices<'a, S> {
    pub panels: &'a Panels,
    pub input: &'a [u8],
    /// Fours of terms that follow each other in the input.
    pub quads: usize,
    /// Where each of these begins, relative to the pixel, ascending.
    pub terms: &'a [usize],
    /// Rows, and pixels a row.
    pub size: [usize; 2],
    /// Bytes from a row, and from a pixel, to the next in the input.
    pub steps: [usize; 2],
    pub sink: S,
}

impl<S: Sink> Task for Matrices<'_, S> {
    #[inline(always)]
    fn run<D: Dots>(mut self) {
        let side = self.size[1].min(ROWS);
        let tiler = Tiler::new(side, self.quads);
        for first in (0..self.panels.vectors).step_by(VECTORS) {
            match self.panels.vectors - first {
                1 => self.block::<D, 1>(&tiler, side, first),
                2 => self.block::<D, 2>(&tiler, side, first),
                3 => self.block::<D, 3>(&tiler, side, first),
                _ => self.block::<D, 4>(&tiler, side, first),
            }
        }
    }
}

impl<S: Sink> Matrices<'_, S> {
    #[inline(always)]
    fn block<D: Dots, const V: usize>(&mut self, tiler: &Tiler, side: usize, first: usize) {
        let ([height, width], [row_step, pixel_step]) = (self.size, self.steps);
        // The last tile of a row overlaps the one before: computing a pixel twice changes nothing.
        let across = width.div_ceil(side);
        let tiles = height * across;
        let place = |tile: usize| (tile / across, (tile % across * side).min(width - side));
        let right = self.panels.block::<V>(first);
        let input = self.input;
        let mut sums = Sums([[[0; LANES]; VECTORS]; 2 * ROWS]);
        for pair in (0..tiles).step_by(2) {
            let pair = [pair, (pair + 1).min(tiles - 1)];
            let starts = pair.map(|tile| {
                let (y, x) = place(tile);
                &input[y * row_step + x * pixel_step..]
            });
            let left = Left { starts, row_step: pixel_step, terms: self.terms };
            for vector in (0..V).step_by(2) {
                let start = |offset: usize| self.sink.start(first + vector + offset);
                if vector + 1 < V {
                    tiler.products(left, right, vector, [start(0), start(1)], &mut sums);
                } else {
                    tiler.products(left, right, vector, [start(0)], &mut sums);
                }
            }
            for (tile, sums) in pair.into_iter().zip(sums.0.chunks_exact(ROWS)) {
                let (y, x) = place(tile);
                for (offset, sums) in sums[..side].iter().enumerate() {
                    let mut values = [D::splat(0); V];
                    for vector in 0..V {
                        values[vector] = D::load(&sums[vector]);
                    }
                    self.sink.store(y * width + x + offset, first, values);
                }
            }
        }
    }
}
