//! Matrix products fused with what is done to their entries.
//!
//! A bank of rows is packed into panels: 16 rows turned on their side, so that one vector register holds one
//! coordinate of 16 rows. A register tile of 4 or 8 queries against one panel is 4 or 8 chains of fused
//! multiply-add; its entries never leave the registers unless they matter. One panel of 384 dimensions is 24 KiB
//! and stays in the first-level cache; the arithmetic is 2 x dimensions per entry, the memory traffic next to none.
//!
//! Every entry is accumulated over the coordinates in ascending order, for every vector width: products have
//! the same bits on every machine and for every number of threads.

use crate::lines::Lines;
use crate::simd::{Kernel, LANES, Lanes, widest};

/// Queries of a register tile when registers hold sixteen values; half of it else.
const WIDE_TILE: usize = 8;
const NARROW_TILE: usize = 4;
/// Bytes of panels that a block of queries passes over at a time.
const PANEL_BYTES: usize = 256 << 10;

/// Rows packed sixteen to a panel, each with a number added to all of its scores.
pub(crate) struct Panels {
    width: usize,
    rows: usize,
    /// Panel after panel, each `width` x 16.
    values: Lines<f32>,
    /// One a row; infinity where the last panel has no row, so that no score of it is ever low.
    offsets: Lines<f32>,
}

/// Coordinates of sixteen rows and their offsets.
type Panel<'a> = (&'a [[f32; LANES]], &'a [f32; LANES]);

impl Panels {
    /// No rows of `width` values yet.
    pub fn new(width: usize) -> Self {
        Self { width, rows: 0, values: Lines::new(), offsets: Lines::new() }
    }

    /// Room for so many rows, to keep the peak of memory known.
    pub fn with_capacity(width: usize, rows: usize) -> Self {
        let panels = rows.div_ceil(LANES);
        let (values, offsets) = (panels * width * LANES, panels * LANES);
        Self {
            values: Lines::with_capacity(values),
            offsets: Lines::with_capacity(offsets),
            ..Self::new(width)
        }
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Panels held, the last of them perhaps not full.
    pub fn count(&self) -> usize {
        self.offsets.len() / LANES
    }

    /// Adds a row of `width` values, the n-th being number n - 1.
    pub fn push(&mut self, row: impl IntoIterator<Item = f32>, offset: f32) {
        let lane = self.rows % LANES;
        if lane == 0 {
            self.values.resize(self.values.len() + self.width * LANES);
            self.offsets.resize(self.rows + LANES);
            self.offsets[self.rows..].fill(f32::INFINITY);
        }
        let start = (self.rows / LANES) * self.width * LANES;
        let panel = &mut self.values[start..start + self.width * LANES];
        for (slot, value) in panel[lane..].iter_mut().step_by(LANES).zip(row) {
            *slot = value;
        }
        self.offsets[self.rows] = offset;
        self.rows += 1;
    }

    #[inline(always)]
    fn panel(&self, index: usize) -> Panel<'_> {
        let size = self.width * LANES;
        let values = self.values[index * size..(index + 1) * size].as_chunks::<LANES>().0;
        (values, &self.offsets.as_chunks::<LANES>().0[index])
    }
}

/// offset_j + sum_i query_i row_ji of a register tile of queries with one panel.
#[inline(always)]
fn tile_scores<V: Lanes, const TILE: usize>(
    (panel, offsets): Panel<'_>,
    queries: &[[f32; TILE]],
) -> [V; TILE] {
    let mut scores = [V::load(offsets); TILE];
    for (rows, values) in panel.iter().zip(queries) {
        let rows = V::load(rows);
        for query in 0..TILE {
            scores[query] = rows.mul_add(V::splat(values[query]), scores[query]);
        }
    }
    scores
}

/// The same with two panels: each value that is loaded serves more multiply-adds, so that the caches matter less.
#[inline(always)]
fn pair_scores<V: Lanes, const TILE: usize>(
    (left, left_offsets): Panel<'_>,
    (right, right_offsets): Panel<'_>,
    queries: &[[f32; TILE]],
) -> ([V; TILE], [V; TILE]) {
    let mut left_scores = [V::load(left_offsets); TILE];
    let mut right_scores = [V::load(right_offsets); TILE];
    for ((left, right), values) in left.iter().zip(right).zip(queries) {
        let (left, right) = (V::load(left), V::load(right));
        for query in 0..TILE {
            let value = V::splat(values[query]);
            left_scores[query] = left.mul_add(value, left_scores[query]);
            right_scores[query] = right.mul_add(value, right_scores[query]);
        }
    }
    (left_scores, right_scores)
}

/// Adds `TILE` rows turned on their side; rows beyond `count` repeat the last.
#[inline(always)]
fn interleave<const TILE: usize>(queries: &[f32], count: usize, width: usize, packed: &mut Vec<[f32; TILE]>) {
    let start = packed.len();
    packed.resize(start + width, [0.0; TILE]);
    for lane in 0..TILE {
        let query = lane.min(count - 1);
        for (slot, &value) in packed[start..].iter_mut().zip(&queries[query * width..(query + 1) * width]) {
            slot[lane] = value;
        }
    }
}

/// What to do with the entries that pass.
pub(crate) trait Visitor {
    /// Row `row` of the panels has a score of at most the threshold of `query`. Returns the threshold from here on;
    /// negative infinity when the query wants no more rows.
    ///
    /// Implementations are `#[inline(always)]`.
    fn visit<V: Lanes>(&mut self, query: usize, row: usize, score: f32) -> f32;
}

/// Scores `queries` (rows of the panels' width) with the panels of a range and visits the entries at or below the
/// thresholds (one a query, updated in place), for every query in ascending order of rows.
pub(crate) struct Scan<'a, W> {
    pub panels: &'a Panels,
    pub range: std::ops::Range<usize>,
    pub queries: &'a [f32],
    pub thresholds: &'a mut [f32],
    pub visitor: &'a mut W,
}

impl<W: Visitor> Scan<'_, W> {
    pub fn run(self) {
        widest(self);
    }

    #[inline(always)]
    fn tiles<V: Lanes, const TILE: usize>(self) {
        let width = self.panels.width;
        let total = self.thresholds.len();
        let mut packed = Vec::with_capacity(total.div_ceil(TILE) * width);
        for first in (0..total).step_by(TILE) {
            let count = TILE.min(total - first);
            interleave::<TILE>(&self.queries[first * width..], count, width, &mut packed);
        }
        // A block of panels at a time for all queries, so that it stays in the second-level cache.
        let step = (PANEL_BYTES / (4 * LANES * width)).next_multiple_of(2).max(2);
        for start in self.range.clone().step_by(step) {
            let end = (start + step).min(self.range.end);
            for (tile, packed) in packed.chunks(width).enumerate() {
                let first = tile * TILE;
                let count = TILE.min(total - first);
                // Queries that fill up the tile have thresholds that nothing passes.
                let mut limits = [f32::NEG_INFINITY; TILE];
                limits[..count].copy_from_slice(&self.thresholds[first..first + count]);
                let mut index = start;
                while index < end && limits.iter().any(|&limit| limit != f32::NEG_INFINITY) {
                    let left = self.panels.panel(index);
                    if V::WIDE && index + 1 < end {
                        let right = self.panels.panel(index + 1);
                        let (left, right) = pair_scores::<V, TILE>(left, right, packed);
                        visit_tile(self.visitor, &left, &mut limits, first, index);
                        visit_tile(self.visitor, &right, &mut limits, first, index + 1);
                        index += 2;
                    } else {
                        let scores = tile_scores::<V, TILE>(left, packed);
                        visit_tile(self.visitor, &scores, &mut limits, first, index);
                        index += 1;
                    }
                }
                self.thresholds[first..first + count].copy_from_slice(&limits[..count]);
            }
        }
    }
}

impl<W: Visitor> Kernel for Scan<'_, W> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        if V::WIDE { self.tiles::<V, WIDE_TILE>() } else { self.tiles::<V, NARROW_TILE>() }
    }
}

/// Visits what passes of a tile of queries, the first of which is number `first`, with a panel.
#[inline(always)]
fn visit_tile<V: Lanes, W: Visitor, const TILE: usize>(
    visitor: &mut W,
    scores: &[V; TILE],
    limits: &mut [f32; TILE],
    first: usize,
    panel: usize,
) {
    for query in 0..TILE {
        if scores[query].any_at_most(limits[query]) {
            visit_lanes::<V, _>(visitor, scores[query], &mut limits[query], first + query, panel);
        }
    }
}

#[inline(always)]
fn visit_lanes<V: Lanes, W: Visitor>(
    visitor: &mut W,
    scores: V,
    limit: &mut f32,
    query: usize,
    panel: usize,
) {
    for (lane, score) in scores.store().into_iter().enumerate() {
        // Read again each time: a visit lowers the limit.
        if score <= *limit {
            *limit = visitor.visit::<V>(query, panel * LANES + lane, score);
        }
    }
}

struct Multiply<'a> {
    columns: &'a Panels,
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl Multiply<'_> {
    #[inline(always)]
    fn tiles<V: Lanes, const TILE: usize>(self) {
        let (width, columns) = (self.columns.width, self.columns.rows);
        let mut packed = Vec::new();
        let out_tiles = self.out.chunks_mut(TILE * columns);
        for (rows, out) in self.rows.chunks(TILE * width).zip(out_tiles) {
            let count = out.len() / columns;
            packed.clear();
            interleave::<TILE>(rows, count, width, &mut packed);
            for index in 0..self.columns.count() {
                let panel = (self.columns.panel(index).0, &[0.0; LANES]);
                let scores = tile_scores::<V, TILE>(panel, &packed);
                let start = index * LANES;
                let length = LANES.min(columns - start);
                for (scores, out) in scores.iter().zip(out.chunks_mut(columns)) {
                    out[start..start + length].copy_from_slice(&scores.store()[..length]);
                }
            }
        }
    }
}

impl Kernel for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        if V::WIDE { self.tiles::<V, WIDE_TILE>() } else { self.tiles::<V, NARROW_TILE>() }
    }
}

/// rows (n x width) times the matrix whose columns are packed: `out` is n x `columns.rows()`, on this thread.
pub(crate) fn multiply(columns: &Panels, rows: &[f32], out: &mut [f32]) {
    if columns.rows > 0 {
        widest(Multiply { columns, rows, out });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 7919 % 1013) as f32 - 500.0) * 0.01
    }

    fn packed(rows: usize, width: usize) -> (Vec<f32>, Panels) {
        let values: Vec<f32> = (0..rows * width).map(value).collect();
        let mut panels = Panels::with_capacity(width, rows);
        for row in values.chunks(width) {
            panels.push(row.iter().copied(), 0.0);
        }
        (values, panels)
    }

    /// A product that brings its own space.
    struct Owned<'a> {
        columns: &'a Panels,
        rows: &'a [f32],
        count: usize,
    }

    impl Kernel for Owned<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<V: Lanes>(self) -> Vec<f32> {
            let mut out = vec![f32::NAN; self.count * self.columns.rows()];
            Multiply { columns: self.columns, rows: self.rows, out: &mut out }.run::<V>();
            out
        }
    }

    #[test]
    fn products_equal_sums_in_ascending_order_to_the_bit() {
        for (count, columns, width) in [(1, 1, 1), (9, 33, 20), (17, 16, 5)] {
            let (matrix, panels) = packed(columns, width);
            let rows: Vec<f32> = (0..count * width).map(|i| value(i + 77)).collect();
            let mut out = vec![f32::NAN; count * columns];
            multiply(&panels, &rows, &mut out);
            for at_width in crate::simd::at_every_width(|| Owned { columns: &panels, rows: &rows, count }) {
                assert_eq!(out, at_width);
            }
            for (row, entries) in rows.chunks(width).zip(out.chunks(columns)) {
                for (column, &entry) in matrix.chunks(width).zip(entries) {
                    let sum = row.iter().zip(column).fold(0.0_f32, |sum, (&a, &b)| b.mul_add(a, sum));
                    assert_eq!(entry.to_bits(), sum.to_bits());
                }
            }
        }
    }

    struct Collect(Vec<(usize, usize)>);
    impl Visitor for Collect {
        #[inline(always)]
        fn visit<V: Lanes>(&mut self, query: usize, row: usize, _: f32) -> f32 {
            self.0.push((query, row));
            if query == 2 { f32::NEG_INFINITY } else { 1.5 }
        }
    }

    #[test]
    fn a_scan_visits_exactly_the_entries_at_or_below_the_threshold() {
        let mut panels = Panels::new(1);
        for row in 0..37 {
            panels.push([row as f32], 1.0);
        }
        // Scores are row x query + 1.
        let queries: Vec<f32> = vec![1.0, 0.0, 0.1, 10.0, 0.5, 0.01, 0.0, 0.0, 0.25];
        let mut thresholds = vec![1.5; 9];
        thresholds[6] = 0.9;
        thresholds[7] = f32::NEG_INFINITY;
        let mut visitor = Collect(Vec::new());
        Scan {
            panels: &panels,
            range: 0..panels.count(),
            queries: &queries,
            thresholds: &mut thresholds,
            visitor: &mut visitor,
        }
        .run();
        let mut visits = visitor.0;
        visits.sort_unstable();
        let mut expected = vec![(0, 0)];
        expected.extend((0..37).map(|row| (1, row)));
        expected.extend([(2, 0), (3, 0), (4, 0), (4, 1)]);
        expected.extend((0..37).map(|row| (5, row)));
        expected.extend([(8, 0), (8, 1), (8, 2)]);
        assert_eq!(visits, expected);
        assert_eq!(thresholds[2], f32::NEG_INFINITY);
    }
}
