//! Scores of queries with panels of rows: ||q_b||^2 / 2 - q_a . q_b, by register tiles or by products of matrices.

use super::panels::{BytePanels, ByteQueries, PAIR};
use crate::int8::Dots;
#[cfg(target_arch = "x86_64")]
use crate::int8::amx::{Left, ROWS, Sums, Tiler};
#[cfg(target_arch = "x86_64")]
use crate::int8::{BYTES, QUADS};
#[cfg(target_arch = "x86_64")]
use crate::lines::Lines;
use crate::simd::LANES;
use std::ops::Range;

/// Queries of a register tile when registers hold sixteen sums; half of it else.
const WIDE_TILE: usize = 8;
const NARROW_TILE: usize = 4;

/// Scores of queries with some panels, queries x pitch.
pub(super) type Scores = [[i32; LANES]];

/// A way to get scores.
pub(super) trait MakeScores {
    /// Writes those of all queries with the panels of `range`, `pitch` vectors from a query to the next.
    ///
    /// Implementations are `#[inline(always)]`.
    fn make<D: Dots>(&mut self, panels: &BytePanels, range: Range<usize>, pitch: usize, scores: &mut Scores);
}

/// Scores by register tiles.
pub(super) struct TileScores<'a>(pub &'a ByteQueries);

impl TileScores<'_> {
    #[inline(always)]
    fn tiles<D: Dots, const TILE: usize>(
        &self,
        panels: &BytePanels,
        range: Range<usize>,
        pitch: usize,
        scores: &mut Scores,
    ) {
        let (quads, total) = (panels.quads(), self.0.bounds.len());
        let mut packed = vec![[[0; 4]; TILE]; quads];
        for first in (0..total).step_by(TILE) {
            for lane in 0..TILE {
                let query = (first + lane).min(total - 1);
                let values = &self.0.values[query * quads..(query + 1) * quads];
                packed.iter_mut().zip(values).for_each(|(slot, &value)| slot[lane] = value);
            }
            for at in (0..range.len()).step_by(PAIR) {
                let found = panels.scores::<D, TILE>(range.start + at, &packed);
                for panel in 0..PAIR {
                    for query in first..total.min(first + TILE) {
                        scores[query * pitch + at + panel] = found[panel][query - first].store();
                    }
                }
            }
        }
    }
}

impl MakeScores for TileScores<'_> {
    #[inline(always)]
    fn make<D: Dots>(&mut self, panels: &BytePanels, range: Range<usize>, pitch: usize, scores: &mut Scores) {
        if D::WIDE {
            self.tiles::<D, WIDE_TILE>(panels, range, pitch, scores);
        } else {
            self.tiles::<D, NARROW_TILE>(panels, range, pitch, scores);
        }
    }
}

/// Scores by products of matrices.
#[cfg(target_arch = "x86_64")]
pub(super) struct MatrixScores {
    tiler: Tiler,
    /// Queries by tiles: for every stretch of coordinates, sixteen rows of a cache line each. An even number of tiles.
    queries: Lines<u8>,
    /// Where the stretches of a tile begin.
    terms: Vec<usize>,
    sums: Box<Sums>,
}

#[cfg(target_arch = "x86_64")]
impl MatrixScores {
    pub fn new(panels: &BytePanels, queries: &ByteQueries) -> Self {
        let quads = panels.quads();
        let stretches = quads.div_ceil(QUADS);
        let length = 4 * quads / stretches;
        let terms: Vec<usize> = (0..stretches).map(|stretch| stretch * ROWS * BYTES).collect();
        let mut packed = Lines::zeros(queries.bounds.len().next_multiple_of(2 * ROWS) * stretches * BYTES);
        for (query, values) in queries.values.as_flattened().chunks_exact(4 * quads).enumerate() {
            let tile = &mut packed[query / ROWS * stretches * ROWS * BYTES..];
            for (values, start) in values.chunks_exact(length).zip(&terms) {
                tile[start + query % ROWS * BYTES..][..length].copy_from_slice(values);
            }
        }
        let sums = Box::new(Sums([[[0; LANES]; _]; _]));
        Self { tiler: Tiler::new(ROWS, length / 4), queries: packed, terms, sums }
    }
}

#[cfg(target_arch = "x86_64")]
impl MakeScores for MatrixScores {
    #[inline(always)]
    fn make<D: Dots>(&mut self, panels: &BytePanels, range: Range<usize>, pitch: usize, scores: &mut Scores) {
        let tile = self.terms.len() * ROWS * BYTES;
        for at in (0..range.len()).step_by(PAIR) {
            let panel = range.start + at;
            let offsets = [&panels.offsets[panel], &panels.offsets[panel + 1]];
            let tiles = self.queries.chunks_exact(2 * tile);
            for (queries, scores) in tiles.zip(scores.chunks_mut(2 * ROWS * pitch)) {
                let (first, second) = queries.split_at(tile);
                let left = Left { starts: [first, second], row_step: BYTES, terms: &self.terms };
                self.tiler.products(left, panels.pair(panel), 0, offsets, &mut self.sums);
                for (scores, sums) in scores.chunks_mut(pitch).zip(&self.sums.0) {
                    scores[at..at + PAIR].copy_from_slice(&sums[..PAIR]);
                }
            }
        }
    }
}

impl BytePanels {
    /// ||q_b||^2 / 2 - q_a . q_b of a register tile of queries with a panel, which is even, and the next.
    #[inline(always)]
    fn scores<D: Dots, const TILE: usize>(
        &self,
        first: usize,
        queries: &[[[u8; 4]; TILE]],
    ) -> [[D; TILE]; PAIR] {
        let mut scores = [[D::splat(0); TILE]; PAIR];
        for panel in 0..PAIR {
            scores[panel] = [D::start(&self.offsets[first + panel], &self.sums[first + panel]); TILE];
        }
        if D::WIDE {
            for (quads, queries) in self.pair(first).iter().zip(queries) {
                for query in 0..TILE {
                    let bytes = D::broadcast(&queries[query]);
                    for panel in 0..PAIR {
                        scores[panel][query] = scores[panel][query].dot(bytes, &quads[panel]);
                    }
                }
            }
            return scores;
        }
        // A panel at a time where there are few registers.
        for panel in 0..PAIR {
            let mut held = scores[panel];
            for (quads, queries) in self.pair(first).iter().zip(queries) {
                for query in 0..TILE {
                    held[query] = held[query].dot(D::broadcast(&queries[query]), &quads[panel]);
                }
            }
            scores[panel] = held;
        }
        scores
    }
}
