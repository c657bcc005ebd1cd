//! Rows times packed weights, the product in which transformers and 1x1 convolutions spend their time.
//!
//! A block of rows passes over one panel of 32 output channels after the other, a stretch of terms at a time, so that the rows stay in the
//! second-level cache and each piece of weights is loaded once for all of them. Sums are carried from stretch to stretch in the
//! output: every output is accumulated over its terms in ascending order, whatever the block, the tile and the width of vectors.

use crate::conv::Activation;
use crate::conv::dense::{PANEL, Panels, accumulate};
use crate::simd::{Kernel, LANES, Lanes, widest};
use rayon::prelude::*;

/// Terms of a stretch.
const TERMS: usize = 512;
/// Rows of a block.
const ROWS: usize = 128;

/// What happens to a sum before it is stored.
#[derive(Clone, Copy)]
pub(crate) enum Finish<'a> {
    /// act(sum).
    Activate(Activation),
    /// act(sum + residual), the residual laid out as the output.
    Residual(&'a [f32], Activation),
    /// What the output held + sum.
    Add,
}

/// out = finish(bias + rows x weights).
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub panels: &'a Panels,
    /// One a channel, filled up to whole vectors; none for zeros.
    pub bias: Option<&'a [f32]>,
    /// Each row begins `input_pitch` values after the one before.
    pub input: &'a [f32],
    pub input_pitch: usize,
    pub rows: usize,
    /// Outputs a row, in the last of the panels' vectors.
    pub outputs: usize,
    pub out_pitch: usize,
    pub finish: Finish<'a>,
}

impl Product<'_> {
    /// Writes `rows` rows of `outputs` values, each `out_pitch` after the one before; work is split over the threads of the current
    /// pool if `is_parallel`.
    pub fn run(self, out: &mut [f32], is_parallel: bool) {
        if self.rows == 0 {
            return;
        }
        let block = match is_parallel {
            true => self.rows.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(8).min(ROWS),
            false => ROWS,
        };
        let work = |(index, out): (usize, &mut [f32])| {
            let first = index * block;
            let finish = match self.finish {
                Finish::Residual(values, activation) => {
                    Finish::Residual(&values[first * self.out_pitch..], activation)
                }
                other => other,
            };
            let input = &self.input[first * self.input_pitch..];
            let rows = block.min(self.rows - first);
            widest(Block { product: Product { input, rows, finish, ..self }, out });
        };
        let chunks = block * self.out_pitch;
        if is_parallel && self.rows > block {
            out.par_chunks_mut(chunks).enumerate().for_each(work);
        } else {
            out.chunks_mut(chunks).take(self.rows.div_ceil(block)).enumerate().for_each(work);
        }
    }
}

struct Block<'a, 'b> {
    product: Product<'a>,
    out: &'b mut [f32],
}

impl Kernel for Block<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let (vectors, terms) = (self.product.panels.vectors(), self.product.panels.terms());
        // A sum without terms is its bias still.
        for start in (0..terms.max(1)).step_by(TERMS) {
            let stretch = start..(start + TERMS).min(terms);
            for first in (0..vectors).step_by(PANEL) {
                match (V::WIDE, vectors - first >= PANEL) {
                    (true, true) => self.panel::<V, 8, PANEL>(first, stretch.clone()),
                    (true, false) => self.panel::<V, 8, 1>(first, stretch.clone()),
                    // Two registers a vector: six chains of sums, twelve of sixteen registers.
                    (false, true) => self.panel::<V, 3, PANEL>(first, stretch.clone()),
                    (false, false) => self.panel::<V, 6, 1>(first, stretch.clone()),
                }
            }
        }
    }
}

impl Block<'_, '_> {
    /// One stretch of terms of the channels of a panel, for all rows.
    #[inline(always)]
    fn panel<V: Lanes, const TILE: usize, const VECTORS: usize>(
        &mut self,
        first: usize,
        stretch: std::ops::Range<usize>,
    ) {
        let Product { panels, bias, input, input_pitch, rows, outputs, out_pitch, finish } = self.product;
        let weights = panels.panel(first, VECTORS).as_chunks::<LANES>().0.as_chunks::<VECTORS>().0;
        let weights = &weights[stretch.clone()];
        let column = first * LANES;
        let whole = outputs - column >= VECTORS * LANES;
        let (is_first, is_last) = (stretch.start == 0, stretch.end == panels.terms());
        let mut start = [V::splat(0.0); VECTORS];
        if let (Some(bias), true) = (bias, is_first) {
            for (start, bias) in start.iter_mut().zip(&bias.as_chunks::<LANES>().0[first..]) {
                *start = V::load(bias);
            }
        }
        let carries = !is_first || matches!(finish, Finish::Add);
        let activation = match finish {
            Finish::Activate(activation) | Finish::Residual(_, activation) if is_last => activation,
            _ => Activation::None,
        };
        let bounds = activation.bounds();
        for row in (0..rows).step_by(TILE) {
            // A tile that is not full takes the last row again and again, and drops what comes of it.
            let count = TILE.min(rows - row);
            let mut sums = [start; TILE];
            // Loops over whole tiles, so that sums stay in registers.
            if carries {
                for offset in 0..TILE {
                    if offset < count {
                        let at = (row + offset) * out_pitch + column;
                        for vector in 0..VECTORS {
                            let before = load(self.out, at, vector, whole, outputs - column);
                            sums[offset][vector] = sums[offset][vector].add(before);
                        }
                    }
                }
            }
            let mut lines = [input; TILE];
            for (offset, line) in lines.iter_mut().enumerate() {
                *line = &input[(row + offset.min(count - 1)) * input_pitch + stretch.start..];
            }
            accumulate::<V, TILE, VECTORS>(&mut sums, lines, weights);
            for offset in 0..TILE {
                if offset < count {
                    let at = (row + offset) * out_pitch + column;
                    let mut sums = sums[offset];
                    for vector in 0..VECTORS {
                        if let (Finish::Residual(values, _), true) = (finish, is_last) {
                            sums[vector] =
                                sums[vector].add(load(values, at, vector, whole, outputs - column));
                        }
                        sums[vector] = Activation::cut_off(bounds, sums[vector]);
                    }
                    if whole {
                        let out = self.out[at..at + VECTORS * LANES].as_chunks_mut::<LANES>().0;
                        for vector in 0..VECTORS {
                            out[vector] = sums[vector].store();
                        }
                    } else {
                        for vector in 0..VECTORS {
                            store(self.out, at, vector, false, outputs - column, sums[vector]);
                        }
                    }
                }
            }
            if activation != Activation::None && bounds.is_none() {
                self.activate::<V>(row..row + count, column, VECTORS, activation);
            }
        }
    }

    /// Applies a non-linearity to sums that have just been stored: written out for every sum of a tile it would be too much code.
    #[inline(always)]
    fn activate<V: Lanes>(
        &mut self,
        rows: std::ops::Range<usize>,
        column: usize,
        vectors: usize,
        activation: Activation,
    ) {
        let Product { outputs, out_pitch, .. } = self.product;
        let left = outputs - column;
        let whole = left >= vectors * LANES;
        for row in rows {
            let at = row * out_pitch + column;
            for vector in 0..vectors {
                let sum: V = load(self.out, at, vector, whole, left);
                store(self.out, at, vector, whole, left, activation.lanes(sum));
            }
        }
    }
}

/// Vector number `vector` of the `left` values from `at` on, zeros beyond them.
#[inline(always)]
fn load<V: Lanes>(values: &[f32], at: usize, vector: usize, whole: bool, left: usize) -> V {
    let begin = at + vector * LANES;
    if whole {
        return V::load(&values[begin..begin + LANES].as_chunks::<LANES>().0[0]);
    }
    let mut lanes = [0.0; LANES];
    let length = left.saturating_sub(vector * LANES).min(LANES);
    lanes[..length].copy_from_slice(&values[begin..begin + length]);
    V::load(&lanes)
}

#[inline(always)]
fn store<V: Lanes>(out: &mut [f32], at: usize, vector: usize, whole: bool, left: usize, value: V) {
    let begin = at + vector * LANES;
    if whole {
        out[begin..begin + LANES].as_chunks_mut::<LANES>().0[0] = value.store();
        return;
    }
    let length = left.saturating_sub(vector * LANES).min(LANES);
    out[begin..begin + length].copy_from_slice(&value.store()[..length]);
}

/// One block at a given width of vectors.
#[cfg(test)]
#[inline(always)]
pub(crate) fn at_width<V: Lanes>(
    panels: &Panels,
    input: &[f32],
    rows: usize,
    outputs: usize,
    activation: Activation,
    out: &mut [f32],
) {
    let (input_pitch, finish) = (panels.terms(), Finish::Activate(activation));
    let product =
        Product { panels, bias: None, input, input_pitch, rows, outputs, out_pitch: outputs, finish };
    Block { product, out }.run::<V>();
}
