//! Scores of queries with panels of rows: ||q_b||^2 / 2 - q_a . q_b, by register tiles or by products of matrices.

use super::panels::{BytePanels, ByteQueries, PAIR};
use crate::int8::Dots;
#[cfg(target_arch = "x86_64")]
use crate::int8::QUADS;
#[cfg(target_arch = "x86_64")]
use crate::int8::amx::{Left, ROWS, Sums, Tiler};
use crate::simd::LANES;
use std::ops::Range;

/// Queries of a register tile when registers hold sixteen sums; half of it else.
const WIDE_TILE: usize = 8;
const NARROW_TILE: usize = 4;

/// Scores of queries with some panels, queries x panels.
pub(super) type Scores = [[i32; LANES]];

/// A way to get scores.
pub(super) trait MakeScores {
    /// Writes those of all queries with the panels of `range`.
    ///
    /// Implementations are `#[inline(always)]`.
    fn make<D: Dots>(&mut self, panels: &BytePanels, range: Range<usize>, scores: &mut Scores);
}

/// Scores by register tiles.
pub(super) struct TileScores<'a>(pub &'a ByteQueries);

impl TileScores<'_> {
    #[inline(always)]
    fn tiles<D: Dots, const TILE: usize>(
        &self,
        panels: &BytePanels,
        range: Range<usize>,
        scores: &mut Scores,
    ) {
        let (quads, total, length) = (panels.quads(), self.0.bounds.len(), range.len());
        let mut packed = vec![[[0; 4]; TILE]; quads];
        for first in (0..total).step_by(TILE) {
            for lane in 0..TILE {
                let query = (first + lane).min(total - 1);
                let values = &self.0.values[query * quads..(query + 1) * quads];
                packed.iter_mut().zip(values).for_each(|(slot, &value)| slot[lane] = value);
            }
            for at in (0..length).step_by(PAIR) {
                let found = panels.scores::<D, TILE>(range.start + at, &packed);
                for panel in 0..PAIR {
                    for query in first..total.min(first + TILE) {
                        scores[query * length + at + panel] = found[panel][query - first].store();
                    }
                }
            }
        }
    }
}

impl MakeScores for TileScores<'_> {
    #[inline(always)]
    fn make<D: Dots>(&mut self, panels: &BytePanels, range: Range<usize>, scores: &mut Scores) {
        if D::WIDE {
            self.tiles::<D, WIDE_TILE>(panels, range, scores);
        } else {
            self.tiles::<D, NARROW_TILE>(panels, range, scores);
        }
    }
}

/// Scores by products of matrices.
#[cfg(target_arch = "x86_64")]
pub(super) struct MatrixScores<'a> {
    queries: &'a ByteQueries,
    tiler: Tiler,
    /// Queries of a tile.
    side: usize,
    terms: Vec<usize>,
    sums: Box<Sums>,
}

#[cfg(target_arch = "x86_64")]
impl<'a> MatrixScores<'a> {
    pub fn new(panels: &BytePanels, queries: &'a ByteQueries) -> Self {
        let (quads, side) = (panels.quads(), queries.bounds.len().min(ROWS));
        let tile_quads = quads / quads.div_ceil(QUADS);
        let terms = (0..4 * quads).step_by(4 * tile_quads).collect();
        let sums = Box::new([[[0; LANES]; _]; _]);
        Self { queries, tiler: Tiler::new(side, tile_quads), side, terms, sums }
    }
}

#[cfg(target_arch = "x86_64")]
impl MakeScores for MatrixScores<'_> {
    #[inline(always)]
    fn make<D: Dots>(&mut self, panels: &BytePanels, range: Range<usize>, scores: &mut Scores) {
        let (quads, total, length) = (panels.quads(), self.queries.bounds.len(), range.len());
        let values = self.queries.values.as_flattened();
        for at in (0..length).step_by(PAIR) {
            let panel = range.start + at;
            let offsets = [&panels.offsets[panel], &panels.offsets[panel + 1]];
            for first in (0..total).step_by(2 * ROWS) {
                // A tile that would reach beyond the queries begins earlier.
                let starts = [first, first + ROWS].map(|first| first.min(total - self.side));
                let left = Left {
                    starts: starts.map(|start| &values[4 * quads * start..]),
                    row_step: 4 * quads,
                    terms: &self.terms,
                };
                self.tiler.products(left, panels.pair(panel), 0, offsets, &mut self.sums);
                for (&start, sums) in starts.iter().zip(self.sums.chunks_exact(ROWS)) {
                    for (query, sums) in (start..).zip(&sums[..self.side]) {
                        scores[query * length + at] = sums[0];
                        scores[query * length + at + 1] = sums[1];
                    }
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
