//! Images of rows and queries in bytes, so that most pairs are told apart by products of bytes.
//!
//! Let y be an image and q its coordinates in whole steps, y = step x q + e. For a query a and a row b
//!
//! `step x ||q_a - q_b|| <= ||y_a - y_b|| + ||e_a|| + ||e_b||`,
//!
//! and `||q_a - q_b||^2 = ||q_a||^2 + ||q_b||^2 - 2 q_a . q_b` is a whole number. A pair whose bytes are further apart than that allows
//! needs no other look. The rounding is measured for each query, and for the row that has lost most; nothing is left out by chance.

use super::Limit;
use crate::contraction::{Bound, nearest_whole};
use crate::int8::{BYTES, Dots, Instructions, Task};
use crate::simd::{LANES, Lanes};

/// Queries of a register tile when registers hold sixteen sums; half of it else.
const WIDE_TILE: usize = 8;
const NARROW_TILE: usize = 4;
/// Bytes of panels that a block of queries passes over at a time.
const PANEL_BYTES: usize = 256 << 10;
/// Coordinates that an image has at most, so that scores stay below [`NO_ROW`].
const WIDEST: usize = 16 << 10;
/// Above every score: that of a place in the last panel without a row.
const NO_ROW: i32 = 1 << 30;

/// Rows in bytes, sixteen to a panel.
pub(super) struct BytePanels {
    width: usize,
    step: f64,
    /// Panel after panel, each of four coordinates a time of sixteen rows, with the sign turned round.
    values: Vec<[i8; BYTES]>,
    /// ||q_b||^2 / 2, rounded down, and what makes up for queries coming as q_a + 128; a panel each.
    offsets: Vec<[i32; LANES]>,
    /// The sums of the values of a row, a panel each.
    sums: Vec<[i32; LANES]>,
    /// The largest of the rows' ||e_b||, rounded up.
    lost: f64,
}

/// Queries of a scan: what stands for them.
pub(super) struct ByteQueries {
    /// q_a + 128, queries x quads.
    values: Vec<[u8; 4]>,
    bounds: Vec<ByteBound>,
}

/// Turns a squared distance at hand into the greatest score that could belong to a row at least as near.
#[derive(Clone, Copy)]
pub(super) struct ByteBound {
    bound: Bound,
    /// ||e_a|| and the largest ||e_b||.
    lost: f64,
    step: f64,
    /// ||q_a||^2.
    square: f64,
}

impl Limit for ByteBound {
    #[inline(always)]
    fn limit(&self, squared: f32) -> f64 {
        let reach = (self.bound.reach(squared) + self.lost) / self.step;
        // A score has lost up to 1/2 to whole numbers; the rest covers the rounding of this line.
        (reach * reach * (1.0 + 1e-9) - self.square) / 2.0 + 1.0
    }
}

impl BytePanels {
    /// Packs images of `width` coordinates; `None` if they are too wide.
    pub fn new(images: &[f32], width: usize) -> Option<Self> {
        let greatest = images.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        // What is smaller than a normal number is lost, as all rounding is.
        let step = f64::from((greatest / 127.0).max(f32::MIN_POSITIVE));
        let (rows, quads) = (images.len() / width, width.div_ceil(4));
        let panels = rows.div_ceil(LANES);
        let mut packed = Self {
            width,
            step,
            values: vec![[0; BYTES]; panels * quads],
            offsets: vec![[NO_ROW; LANES]; panels],
            sums: vec![[0; LANES]; panels],
            lost: 0.0,
        };
        for (row, image) in images.chunks_exact(width).enumerate() {
            let (panel, lane) = (row / LANES, row % LANES);
            let (mut sum, mut square, mut lost) = (0, 0, 0.0);
            for (at, &value) in image.iter().enumerate() {
                let (byte, error) = packed.rounded(value);
                packed.values[panel * quads + at / 4][4 * lane + at % 4] = -byte;
                sum -= i32::from(byte);
                square += i32::from(byte) * i32::from(byte);
                lost += error * error;
            }
            packed.offsets[panel][lane] = square / 2 - 128 * sum;
            packed.sums[panel][lane] = sum;
            packed.lost = packed.lost.max(lost.sqrt() * (1.0 + 1e-9));
        }
        (width <= WIDEST).then_some(packed)
    }

    /// A near step that a byte has, and how far it is off.
    #[inline(always)]
    fn rounded(&self, value: f32) -> (i8, f64) {
        let byte = nearest_whole(value * (1.0 / self.step) as f32).clamp(-127.0, 127.0);
        (byte as i8, f64::from(value) - f64::from(byte) * self.step)
    }

    fn quads(&self) -> usize {
        self.width.div_ceil(4)
    }

    /// What images of queries, each with its bound, are compared as.
    pub fn queries(&self, images: &[f32], bounds: &[Bound]) -> ByteQueries {
        let mut values = vec![[128; 4]; bounds.len() * self.quads()];
        let rows = images.chunks_exact(self.width).zip(values.chunks_exact_mut(self.quads()));
        let bounds = rows.zip(bounds).map(|((image, values), &bound)| {
            let (mut square, mut lost) = (0, 0.0);
            for (at, &value) in image.iter().enumerate() {
                let (byte, error) = self.rounded(value);
                values[at / 4][at % 4] = (i32::from(byte) + 128) as u8;
                square += i32::from(byte) * i32::from(byte);
                lost += error * error;
            }
            let lost = lost.sqrt() * (1.0 + 1e-9) + self.lost;
            ByteBound { bound, lost, step: self.step, square: f64::from(square) }
        });
        let bounds = bounds.collect();
        ByteQueries { values, bounds }
    }
}

/// What to do with the pairs that pass.
pub(super) trait ByteVisitor {
    /// Row `row` has a score of at most the limit of `query`. Returns the limit from here on.
    ///
    /// Implementations are `#[inline(always)]`.
    fn visit<V: Lanes>(&mut self, query: usize, row: usize, score: i32, bound: &ByteBound) -> i32;
}

/// Visits the pairs whose score is at or below the query's limit, for every query in ascending order of rows.
pub(super) struct ByteScan<'a, W> {
    pub panels: &'a BytePanels,
    pub queries: &'a ByteQueries,
    pub visitor: &'a mut W,
}

impl<W: ByteVisitor> ByteScan<'_, W> {
    pub fn run(self) {
        self.run_with(Instructions::detect());
    }

    fn run_with(self, instructions: Instructions) {
        instructions.run(self);
    }

    #[inline(always)]
    fn tiles<D: Dots, const TILE: usize>(mut self) {
        let (quads, total) = (self.panels.quads(), self.queries.bounds.len());
        let mut packed = vec![[[0; 4]; TILE]; total.div_ceil(TILE) * quads];
        for (tile, packed) in packed.chunks_exact_mut(quads).enumerate() {
            for lane in 0..TILE {
                let query = (tile * TILE + lane).min(total - 1);
                let values = &self.queries.values[query * quads..(query + 1) * quads];
                packed.iter_mut().zip(values).for_each(|(slot, &value)| slot[lane] = value);
            }
        }
        let mut limits = vec![NO_ROW - 1; total];
        // A block of panels at a time for all queries, so that it stays in the second-level cache.
        let step = (PANEL_BYTES / (BYTES * quads)).next_multiple_of(2).max(2);
        for start in (0..self.panels.offsets.len()).step_by(step) {
            let end = (start + step).min(self.panels.offsets.len());
            for (tile, packed) in packed.chunks_exact(quads).enumerate() {
                let first = tile * TILE;
                let count = TILE.min(total - first);
                // Queries that fill up the tile have limits that nothing passes.
                let mut tile_limits = [i32::MIN; TILE];
                tile_limits[..count].copy_from_slice(&limits[first..first + count]);
                let mut index = start;
                while index < end && tile_limits.iter().any(|&limit| limit != i32::MIN) {
                    if D::WIDE && index + 1 < end {
                        let [left, right] = self.panels.scores::<D, TILE, 2>(index, packed);
                        self.visit_tile(&left, &mut tile_limits, first, index);
                        self.visit_tile(&right, &mut tile_limits, first, index + 1);
                        index += 2;
                    } else {
                        let [scores] = self.panels.scores::<D, TILE, 1>(index, packed);
                        self.visit_tile(&scores, &mut tile_limits, first, index);
                        index += 1;
                    }
                }
                limits[first..first + count].copy_from_slice(&tile_limits[..count]);
            }
        }
    }

    #[inline(always)]
    fn visit_tile<D: Dots, const TILE: usize>(
        &mut self,
        scores: &[D; TILE],
        limits: &mut [i32; TILE],
        first: usize,
        panel: usize,
    ) {
        for query in 0..TILE {
            if scores[query].any_at_most(limits[query]) {
                let bound = &self.queries.bounds[first + query];
                for (lane, score) in scores[query].store().into_iter().enumerate() {
                    // Read again each time: a visit lowers the limit.
                    if score <= limits[query] {
                        let row = panel * LANES + lane;
                        let limit = self.visitor.visit::<D::Floats>(first + query, row, score, bound);
                        limits[query] = limit.min(NO_ROW - 1);
                    }
                }
            }
        }
    }
}

impl<W: ByteVisitor> Task for ByteScan<'_, W> {
    #[inline(always)]
    fn run<D: Dots>(self) {
        if D::WIDE { self.tiles::<D, WIDE_TILE>() } else { self.tiles::<D, NARROW_TILE>() }
    }
}

impl BytePanels {
    /// ||q_b||^2 / 2 - q_a . q_b of a register tile of queries with neighbouring panels.
    #[inline(always)]
    fn scores<D: Dots, const TILE: usize, const PANELS: usize>(
        &self,
        first: usize,
        queries: &[[[u8; 4]; TILE]],
    ) -> [[D; TILE]; PANELS] {
        let quads = queries.len();
        let mut scores = [[D::splat(0); TILE]; PANELS];
        for panel in 0..PANELS {
            scores[panel] = [D::start(&self.offsets[first + panel], &self.sums[first + panel]); TILE];
        }
        let values = &self.values[first * quads..(first + PANELS) * quads];
        for (quad, queries) in queries.iter().enumerate() {
            for query in 0..TILE {
                let bytes = D::broadcast(&queries[query]);
                for panel in 0..PANELS {
                    scores[panel][query] = scores[panel][query].dot(bytes, &values[panel * quads + quad]);
                }
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contraction::Contraction;

    /// Rows and queries whose coordinates are whole steps of bytes, the greatest 127.
    fn whole(count: usize, width: usize, salt: usize) -> Vec<f32> {
        let value = |at: usize| ((at * 7919 + salt * 104_729) % 255) as f32 - 127.0;
        (0..count * width).map(|at| if at == 0 { 127.0 } else { value(at) }).collect()
    }

    /// Ends each query when it has seen a fifth row, and is content with half of its first distance before.
    struct Five<'a> {
        halves: &'a Vec<f32>,
        seen: Vec<(usize, usize)>,
        counts: Vec<usize>,
    }

    impl ByteVisitor for Five<'_> {
        #[inline(always)]
        fn visit<V: Lanes>(&mut self, query: usize, row: usize, _: i32, bound: &ByteBound) -> i32 {
            self.seen.push((query, row));
            self.counts[query] += 1;
            if self.counts[query] == 5 { i32::MIN } else { bound.limit(self.halves[query]) as i32 }
        }
    }

    #[test]
    fn every_set_of_instructions_visits_the_rows_within_reach_and_no_others() {
        for (rows, queries, width) in [(37, 11, 1), (64, 8, 6), (45, 19, 33)] {
            let (images, asked) = (whole(rows, width, 1), whole(queries, width, 2));
            let panels = BytePanels::new(&images, width).unwrap();
            assert!(panels.lost < 1e-4);
            // Of all coordinates, so that nothing but bytes loses.
            let bound = Contraction::identity(&[0.0; 4], 1).bound(0.0, 0.0, 0.0);
            let bytes = panels.queries(&asked, &vec![bound; queries]);
            let squared = |query: usize, row: usize| -> f32 {
                let pair = asked[query * width..].iter().zip(&images[row * width..]).take(width);
                pair.map(|(a, b)| (a - b) * (a - b)).sum()
            };
            let halves = (0..queries).map(|query| squared(query, 0) / 2.0).collect();
            for instructions in Instructions::available() {
                let mut five = Five { halves: &halves, seen: Vec::new(), counts: vec![0; queries] };
                ByteScan { panels: &panels, queries: &bytes, visitor: &mut five }.run_with(instructions);
                let mut seen = five.seen;
                seen.sort_unstable();
                for query in 0..queries {
                    let limit = halves[query];
                    let near = |slack: f32| {
                        let later =
                            (1..rows).filter(move |&row| squared(query, row) <= limit * 1.0001 + slack);
                        std::iter::once(0).chain(later).take(5).collect::<Vec<_>>()
                    };
                    let visits: Vec<usize> =
                        seen.iter().filter(|(asked, _)| *asked == query).map(|&(_, row)| row).collect();
                    // A score is whole, so that squared distances differ by 4 at most from what was asked.
                    assert!(visits == near(0.0) || visits == near(4.0), "{instructions:?}: {visits:?}");
                }
            }
        }
    }

    #[test]
    fn images_that_are_too_wide_are_not_packed() {
        assert!(BytePanels::new(&vec![1.0; WIDEST + 1], WIDEST + 1).is_none());
        assert!(BytePanels::new(&[0.0; 40], 4).is_some());
    }
}
