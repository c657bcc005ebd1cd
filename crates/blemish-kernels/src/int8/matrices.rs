//! Dense convolutions of bytes on processors with AMX: products of matrices instead of register tiles.

use super::amx::{Left, ROWS, Sums, Tiler};
use super::dense::Panels;
use super::finish::{Constants, Finish};
use super::instructions::Task;
use super::lanes::{Dots, LANES, VECTORS};

/// The bytes of some rows of pixels, as [`super::dense::Tiles`] but tile by tile.
pub(super) struct Matrices<'a> {
    pub panels: &'a Panels,
    /// One a vector.
    pub constants: &'a [Constants],
    pub input: &'a [u8],
    /// Fours of terms that follow each other in the input.
    pub quads: usize,
    /// Where each of these begins, relative to the pixel, ascending.
    pub terms: &'a [usize],
    /// Pixels a row.
    pub width: usize,
    /// Bytes from a row, and from a pixel, to the next in the input.
    pub steps: [usize; 2],
    pub finish: Finish<'a>,
    /// Bytes from a pixel to the next in the output.
    pub out_pitch: usize,
    /// Pixels x pitch.
    pub out: &'a mut [u8],
}

impl Task for Matrices<'_> {
    #[inline(always)]
    fn run<D: Dots>(mut self) {
        let side = self.width.min(ROWS);
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

impl Matrices<'_> {
    #[inline(always)]
    fn block<D: Dots, const V: usize>(&mut self, tiler: &Tiler, side: usize, first: usize) {
        let (width, [row_step, pixel_step]) = (self.width, self.steps);
        // The last tile of a row overlaps the one before: computing a pixel twice changes nothing.
        let across = width.div_ceil(side);
        let tiles = self.out.len() / (width * self.out_pitch) * across;
        let place = |tile: usize| (tile / across, (tile % across * side).min(width - side));
        let constants: &[Constants; V] = &self.constants[first..].as_chunks::<V>().0[0];
        let right = self.panels.block::<V>(first);
        let input = self.input;
        let mut sums: Sums = [[[0; LANES]; VECTORS]; 2 * ROWS];
        for pair in (0..tiles).step_by(2) {
            let pair = [pair, (pair + 1).min(tiles - 1)];
            let starts = pair.map(|tile| {
                let (y, x) = place(tile);
                &input[y * row_step + x * pixel_step..]
            });
            let left = Left { starts, row_step: pixel_step, terms: self.terms };
            for vector in (0..V).step_by(2) {
                let bias = |offset: usize| &constants[vector + offset].bias;
                if vector + 1 < V {
                    tiler.products(left, right, vector, [bias(0), bias(1)], &mut sums);
                } else {
                    tiler.products(left, right, vector, [bias(0)], &mut sums);
                }
            }
            for (tile, sums) in pair.into_iter().zip(sums.chunks_exact(ROWS)) {
                let (y, x) = place(tile);
                for (offset, sums) in sums[..side].iter().enumerate() {
                    let mut values = [D::splat(0); V];
                    for vector in 0..V {
                        values[vector] = D::load(&sums[vector]);
                    }
                    let at = (y * width + x + offset) * self.out_pitch + first * LANES;
                    self.finish.store(values, constants, at, self.out_pitch, self.out);
                }
            }
        }
    }
}
