//! Register tiles of pixels x output channels: the inner product of every dense convolution.

use super::Epilogue;
use crate::lines::Lines;
use crate::simd::{Kernel, LANES, Lanes};

/// Vectors of output channels that a packed panel holds side by side.
pub(crate) const PANEL: usize = 2;

/// Weights in panels of 32 output channels: for every term of the sum, in order, the weights of those channels. The last panel may
/// be of 16.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    terms: usize,
    /// Vectors of output channels.
    vectors: usize,
    values: Lines<f32>,
}

impl Panels {
    /// Packs `weight(output channel, term)`; channels that fill up the last vector get zero.
    pub fn new(channels: usize, terms: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        let vectors = channels.div_ceil(LANES);
        let mut values = Lines::with_capacity(vectors * LANES * terms);
        for first in (0..vectors).step_by(PANEL) {
            for term in 0..terms {
                let lanes = first * LANES..(first + PANEL).min(vectors) * LANES;
                values.extend(
                    lanes.map(|channel| if channel < channels { weight(channel, term) } else { 0.0 }),
                );
            }
        }
        Self { terms, vectors, values }
    }

    /// Packs a matrix whose rows, one an output channel, hold the terms, each times `scale`.
    pub fn from_rows<'a>(
        channels: usize,
        terms: usize,
        scale: f32,
        row: impl Fn(usize) -> &'a [f32],
    ) -> Self {
        let vectors = channels.div_ceil(LANES);
        let mut values = Lines::zeros(vectors * LANES * terms);
        // Without terms there is nothing to place.
        for channel in (0..channels).take_while(|_| terms > 0) {
            let (start, lane, width) = place(channel, vectors, terms);
            let slots = values[start + lane..].iter_mut().step_by(width);
            slots.zip(&row(channel)[..terms]).for_each(|(slot, value)| *slot = value * scale);
        }
        Self { terms, vectors, values }
    }

    /// Packs a matrix whose columns, one a term, hold the output channels.
    pub fn from_columns<'a>(channels: usize, terms: usize, column: impl Fn(usize) -> &'a [f32]) -> Self {
        let vectors = channels.div_ceil(LANES);
        let mut values = Lines::zeros(vectors * LANES * terms);
        for term in 0..terms {
            for (panel, part) in column(term)[..channels].chunks(PANEL * LANES).enumerate() {
                let (start, _, width) = place(panel * PANEL * LANES, vectors, terms);
                values[start + term * width..][..part.len()].copy_from_slice(part);
            }
        }
        Self { terms, vectors, values }
    }

    /// Values a pixel of the output takes.
    pub fn pitch(&self) -> usize {
        self.vectors * LANES
    }

    /// Terms of every sum.
    pub fn terms(&self) -> usize {
        self.terms
    }

    /// Vectors of output channels.
    pub fn vectors(&self) -> usize {
        self.vectors
    }

    /// For every term the weights of so many vectors of channels from `first` on, a multiple of [`PANEL`].
    #[inline(always)]
    pub fn panel(&self, first: usize, vectors: usize) -> &[f32] {
        &self.values[first * LANES * self.terms..(first + vectors) * LANES * self.terms]
    }
}

/// Where the panel of a channel begins, its lane there, and the lanes of the panel.
fn place(channel: usize, vectors: usize, terms: usize) -> (usize, usize, usize) {
    let first = channel / (PANEL * LANES) * PANEL;
    let width = (vectors - first).min(PANEL) * LANES;
    (first * LANES * terms, channel - first * LANES, width)
}

/// Sums of products for `rows` rows of `width` pixels: out = sum over segments and their terms of input x weight, then the
/// epilogue.
pub(super) struct Tiles<'a> {
    pub panels: &'a Panels,
    pub input: &'a [f32],
    /// Values from a row of outputs to the next in the input.
    pub row_step: usize,
    /// Values from a pixel to the next in the input.
    pub pixel_step: usize,
    /// Where each run of terms begins, relative to the pixel.
    pub segments: &'a [usize],
    /// Terms a run.
    pub run_length: usize,
    pub width: usize,
    /// One a channel of the pitch.
    pub bias: &'a [f32],
    pub epilogue: Epilogue<'a>,
    /// rows x width x pitch.
    pub out: &'a mut [f32],
}

impl Kernel for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let vectors = self.panels.vectors;
        for first in (0..vectors).step_by(PANEL) {
            match (V::WIDE, vectors - first >= PANEL) {
                (true, true) => self.panel::<V, 8, PANEL>(first),
                (true, false) => self.panel::<V, 8, 1>(first),
                // Two registers a vector: six chains of sums, twelve of sixteen registers.
                (false, true) => self.panel::<V, 3, PANEL>(first),
                (false, false) => self.panel::<V, 6, 1>(first),
            }
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    fn panel<V: Lanes, const PIXELS: usize, const VECTORS: usize>(&mut self, first: usize) {
        let rows = self.out.len() / (self.width * self.panels.pitch());
        for row in 0..rows {
            let mut x = 0;
            while x < self.width {
                if self.width >= PIXELS {
                    // The last tile overlaps the one before: computing a pixel twice changes nothing.
                    self.tile::<V, PIXELS, VECTORS>(first, row, x.min(self.width - PIXELS));
                    x += PIXELS;
                } else {
                    self.tile::<V, 1, VECTORS>(first, row, x);
                    x += 1;
                }
            }
        }
    }

    #[inline(always)]
    fn tile<V: Lanes, const PIXELS: usize, const VECTORS: usize>(
        &mut self,
        first: usize,
        row: usize,
        x: usize,
    ) {
        let bias = &self.bias.as_chunks::<LANES>().0[first..first + VECTORS];
        let mut sums = [[V::splat(0.0); VECTORS]; PIXELS];
        for pixel in &mut sums {
            for (sum, bias) in pixel.iter_mut().zip(bias) {
                *sum = V::load(bias);
            }
        }
        let weights = self.panels.panel(first, VECTORS).as_chunks::<LANES>().0.as_chunks::<VECTORS>().0;
        let start = row * self.row_step + x * self.pixel_step;
        for (segment, weights) in self.segments.iter().zip(weights.chunks_exact(self.run_length)) {
            let mut rows = [self.input; PIXELS];
            for (pixel, row) in rows.iter_mut().enumerate() {
                *row = &self.input[start + segment + pixel * self.pixel_step..];
            }
            accumulate::<V, PIXELS, VECTORS>(&mut sums, rows, weights);
        }
        let pitch = self.panels.pitch();
        for (offset, pixel) in sums.into_iter().enumerate() {
            let at = (row * self.width + x + offset) * pitch + first * LANES;
            let out = self.out[at..at + VECTORS * LANES].as_chunks_mut::<LANES>().0;
            for (vector, (sum, out)) in pixel.into_iter().zip(out).enumerate() {
                *out = self.epilogue.finish(sum, at + vector * LANES).store();
            }
        }
    }
}

/// sums[row] += sum over terms of rows[row][term] x weights[term].
#[inline(always)]
pub(crate) fn accumulate<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    sums: &mut [[V; VECTORS]; ROWS],
    mut rows: [&[f32]; ROWS],
    weights: &[[[f32; LANES]; VECTORS]],
) {
    let terms = weights.len();
    for row in &mut rows {
        *row = &row[..terms];
    }
    let mut held = *sums;
    for term in 0..terms {
        let mut weight = [V::splat(0.0); VECTORS];
        for vector in 0..VECTORS {
            weight[vector] = V::load(&weights[term][vector]);
        }
        for row in 0..ROWS {
            let value = V::splat(rows[row][term]);
            for vector in 0..VECTORS {
                held[row][vector] = weight[vector].mul_add(value, held[row][vector]);
            }
        }
    }
    *sums = held;
}
