//! Register tiles of pixels x channels: the inner product of every dense convolution of bytes.
//!
//! A block of 64 output channels at a time, so that its weights stay in the caches while pixels pass by.

use super::instructions::Task;
use super::lanes::{BYTES, Dots, LANES, VECTORS, channel_of};
use crate::lines::Lines;

/// Weights of one vector of channels for four terms.
type Weights = [i8; BYTES];

/// Which channel of a block a lane has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// That of [`channel_of`], for sums that become bytes.
    Packed,
    /// One after the other, for sums that stay numbers.
    Plain,
}

impl Order {
    fn channel(self, vectors: usize, vector: usize, lane: usize) -> usize {
        match self {
            Self::Packed => channel_of(vectors, vector, lane),
            Self::Plain => vector * LANES + lane,
        }
    }
}

/// Weights by blocks of 64 channels (the last may have fewer): for every four terms, those of the block's channels.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    order: Order,
    /// Four terms each.
    pub quads: usize,
    pub vectors: usize,
    weights: Lines<Weights>,
}

/// What becomes of the sums of a pixel (or row).
pub(super) trait Sink {
    /// What the sums of a vector of channels begin with.
    fn start(&self, vector: usize) -> &[i32; LANES];
    /// The sum of each channel's weights.
    fn weight_sums(&self, vector: usize) -> &[i32; LANES];
    /// Takes the sums of the vectors of channels from `first` on.
    fn store<D: Dots, const V: usize>(&mut self, pixel: usize, first: usize, sums: [D; V]);
}

impl Panels {
    /// Packs `weight(output channel, term)` for terms in fours.
    pub fn new(order: Order, channels: usize, quads: usize, weight: impl Fn(usize, usize) -> i8) -> Self {
        let vectors = channels.div_ceil(LANES);
        let mut weights = Lines::with_capacity(vectors * quads);
        for first in (0..vectors).step_by(VECTORS) {
            let width = (vectors - first).min(VECTORS);
            for (quad, vector) in (0..quads * width).map(|at| (at / width, at % width)) {
                weights.push(std::array::from_fn(|byte| {
                    let channel = first * LANES + order.channel(width, vector, byte / 4);
                    if channel < channels { weight(channel, 4 * quad + byte % 4) } else { 0 }
                }));
            }
        }
        Self { order, quads, vectors, weights }
    }

    /// The weights of the block of `V` vectors from `first` on, for every four terms.
    #[inline(always)]
    pub fn block<const V: usize>(&self, first: usize) -> &[[Weights; V]] {
        self.weights[first * self.quads..(first + V) * self.quads].as_chunks::<V>().0
    }

    /// The channel of every lane of every vector, in the order of the weights.
    pub fn channels(&self) -> impl Iterator<Item = [usize; LANES]> {
        let (order, vectors) = (self.order, self.vectors);
        (0..vectors).map(move |vector| {
            let first = vector / VECTORS * VECTORS;
            let width = (vectors - first).min(VECTORS);
            std::array::from_fn(|lane| first * LANES + order.channel(width, vector - first, lane))
        })
    }
}

/// The sums of some pixels: start + sum over terms of byte x weight.
pub(super) struct Tiles<'a, S> {
    pub panels: &'a Panels,
    pub input: &'a [u8],
    /// Where each pixel of the output begins in the input.
    pub pixels: &'a [usize],
    /// Where each four terms lie, relative to the pixel, ascending.
    pub terms: &'a [usize],
    pub sink: S,
}

impl<S: Sink> Task for Tiles<'_, S> {
    #[inline(always)]
    fn run<D: Dots>(mut self) {
        for first in (0..self.panels.vectors).step_by(VECTORS) {
            // Two dozen registers of sums where there are thirty-two registers; else vectors one by one.
            match (D::WIDE, self.panels.vectors - first) {
                (true, 1) => self.block::<D, 12, 1>(first),
                (true, 2) => self.block::<D, 12, 2>(first),
                (true, 3) => self.block::<D, 8, 3>(first),
                (true, _) => self.block::<D, 6, 4>(first),
                (false, 1) => self.block::<D, 4, 1>(first),
                (false, 2) => self.block::<D, 4, 2>(first),
                (false, 3) => self.block::<D, 4, 3>(first),
                (false, _) => self.block::<D, 4, 4>(first),
            }
        }
    }
}

impl<S: Sink> Tiles<'_, S> {
    #[inline(always)]
    fn block<D: Dots, const PIXELS: usize, const V: usize>(&mut self, first: usize) {
        let count = self.pixels.len();
        let mut pixel = 0;
        while pixel < count {
            if count >= PIXELS {
                // The last tile overlaps the one before: computing a pixel twice changes nothing.
                self.tile::<D, PIXELS, V>(first, pixel.min(count - PIXELS));
                pixel += PIXELS;
            } else {
                self.tile::<D, 1, V>(first, pixel);
                pixel += 1;
            }
        }
    }

    #[inline(always)]
    fn tile<D: Dots, const PIXELS: usize, const V: usize>(&mut self, first: usize, pixel: usize) {
        let weights = self.panels.block::<V>(first);
        let mut sums = [[D::splat(0); V]; PIXELS];
        for sums in &mut sums {
            for vector in 0..V {
                sums[vector] =
                    D::start(self.sink.start(first + vector), self.sink.weight_sums(first + vector));
            }
        }
        let starts: &[usize; PIXELS] = &self.pixels[pixel..].as_chunks::<PIXELS>().0[0];
        // Slices of one length, so that one check serves all.
        let span = self.terms.last().map_or(0, |last| last + 4);
        let mut rows = [self.input; PIXELS];
        for (row, start) in rows.iter_mut().zip(starts) {
            *row = &self.input[*start..start + span];
        }
        if D::WIDE {
            accumulate::<D, PIXELS, V, V>(&mut sums, rows, self.terms, weights, 0);
        } else {
            for vector in 0..V {
                let mut column = [[sums[0][vector]]; PIXELS];
                accumulate::<D, PIXELS, V, 1>(&mut column, rows, self.terms, weights, vector);
                for (sums, [sum]) in sums.iter_mut().zip(column) {
                    sums[vector] = sum;
                }
            }
        }
        for (offset, sums) in sums.into_iter().enumerate() {
            self.sink.store(pixel + offset, first, sums);
        }
    }
}

/// sums[row] += sum over terms of rows[row] x weights, for `COUNT` of the block's `V` vectors, from `first` on.
#[inline(always)]
fn accumulate<D: Dots, const ROWS: usize, const V: usize, const COUNT: usize>(
    sums: &mut [[D; COUNT]; ROWS],
    rows: [&[u8]; ROWS],
    terms: &[usize],
    weights: &[[Weights; V]],
    first: usize,
) {
    // Loops, not `map`: arrays that are mapped go through memory.
    let (mut rows, length) = (rows, rows[0].len());
    for row in &mut rows {
        *row = &row[..length];
    }
    let mut held = *sums;
    for (&term, weights) in terms.iter().zip(weights) {
        for row in 0..ROWS {
            let bytes = D::broadcast(&rows[row][term..term + 4].as_chunks::<4>().0[0]);
            for vector in 0..COUNT {
                held[row][vector] = held[row][vector].dot(bytes, &weights[first + vector]);
            }
        }
    }
    *sums = held;
}
