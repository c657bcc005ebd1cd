//! Images of rows and queries in bytes, so that most pairs are told apart by products of bytes.
//!
//! Let y be an image and q its coordinates in whole steps, y = step x q + e. For a query a and a row b
//!
//! `step x ||q_a - q_b|| <= ||y_a - y_b|| + ||e_a|| + ||e_b||`,
//!
//! and `||q_a - q_b||^2 = ||q_a||^2 + ||q_b||^2 - 2 q_a . q_b` is a whole number. A pair whose bytes are further apart than that allows
//! needs no other look. The rounding is measured for each query, and for the row that has lost most; nothing is left out by chance.

use super::Limit;
use crate::contraction::{Bound, WHOLE, nearest_whole};
#[cfg(target_arch = "x86_64")]
use crate::int8::amx::{Left, ROWS, Sums, Tiler};
use crate::int8::{BYTES, Dots, Instructions, QUADS, Task};
use crate::simd::{Kernel, LANES, Lanes, padded, widest};
use std::ops::Range;

/// Queries of a register tile when registers hold sixteen sums; half of it else.
const WIDE_TILE: usize = 8;
const NARROW_TILE: usize = 4;
/// Panels side by side.
const PAIR: usize = 2;
/// Bytes of panels that a block of queries passes over at a time, and how many panels at most.
const PANEL_BYTES: usize = 256 << 10;
const MOST_PANELS: usize = 64;
/// Coordinates that an image has at most, so that scores stay below [`NO_ROW`].
const WIDEST: usize = 16 << 10;
/// Above every score: that of a place in the last panel without a row.
const NO_ROW: i32 = 1 << 30;

/// Fours that coordinates take: filled up with nothing to tiles of one width, none wider than [`QUADS`].
fn quads_of(width: usize) -> usize {
    let quads = width.div_ceil(4);
    let tiles = quads.div_ceil(QUADS);
    quads.next_multiple_of(tiles.max(1))
}

/// Rows in bytes, sixteen to a panel; an even number of panels.
pub(super) struct BytePanels {
    width: usize,
    step: f64,
    /// Two panels side by side after two others: four coordinates a time of sixteen rows each, with the sign turned round.
    values: Vec<[[i8; BYTES]; PAIR]>,
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
        let (rows, quads) = (images.len() / width, quads_of(width));
        let panels = rows.div_ceil(LANES).next_multiple_of(PAIR);
        let mut packed = Self {
            width,
            step,
            values: vec![[[0; BYTES]; PAIR]; panels / PAIR * quads],
            offsets: vec![[NO_ROW; LANES]; panels],
            sums: vec![[0; LANES]; panels],
            lost: 0.0,
        };
        for (row, image) in images.chunks_exact(width).enumerate() {
            let (panel, lane) = (row / LANES, row % LANES);
            let (mut sum, mut square, mut lost) = (0, 0, 0.0);
            for (at, &value) in image.iter().enumerate() {
                let (byte, error) = packed.rounded(value);
                let quad = &mut packed.values[panel / PAIR * quads + at / 4][panel % PAIR];
                quad[4 * lane + at % 4] = -byte;
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

    /// The values of a panel, which is even, and of the next.
    #[inline(always)]
    fn pair(&self, panel: usize) -> &[[[i8; BYTES]; PAIR]] {
        let quads = self.quads();
        &self.values[panel / PAIR * quads..][..quads]
    }

    /// A near step that a byte has, and how far it is off.
    #[inline(always)]
    fn rounded(&self, value: f32) -> (i8, f64) {
        let byte = nearest_whole(value * (1.0 / self.step) as f32).clamp(-127.0, 127.0);
        (byte as i8, f64::from(value) - f64::from(byte) * self.step)
    }

    fn quads(&self) -> usize {
        quads_of(self.width)
    }

    /// What images of queries, each with its bound, are compared as.
    pub fn queries(&self, images: &[f32], bounds: &[Bound]) -> ByteQueries {
        let mut values = vec![[128; 4]; bounds.len() * self.quads()];
        let rows = images.chunks_exact(self.width).zip(values.chunks_exact_mut(self.quads()));
        let bounds = rows.zip(bounds).map(|((image, values), &bound)| {
            let step = self.step as f32;
            let (lost, square) = widest(Round { image, step, bytes: values.as_flattened_mut() });
            // Each error is itself off by less than 2^-16 of a step, 127 roundings.
            let slack = (self.width as f64).sqrt() * self.step / f64::from(1u32 << 16);
            let lost = f64::from(lost).sqrt() * (1.0 + 1e-4) + slack + self.lost;
            ByteBound { bound, lost, step: self.step, square: f64::from(square) }
        });
        let bounds = bounds.collect();
        ByteQueries { values, bounds }
    }
}

/// Rounds an image to near steps, and writes them + 128. The squares of what it has lost, summed, and those of the steps.
struct Round<'a> {
    image: &'a [f32],
    step: f32,
    /// At least as many as coordinates.
    bytes: &'a mut [u8],
}

impl Kernel for Round<'_> {
    type Output = (f32, i32);

    #[inline(always)]
    fn run<V: Lanes>(self) -> (f32, i32) {
        let (chunks, tail) = self.image.as_chunks::<LANES>();
        let last = padded(tail);
        let (mut lost, mut squares) = (V::splat(0.0), [0; LANES]);
        for (at, chunk) in chunks.iter().chain([&last]).enumerate() {
            let values = V::load(chunk);
            let steps = values.mul(V::splat(1.0 / self.step)).max(V::splat(-127.0)).min(V::splat(127.0));
            let steps = steps.add(V::splat(WHOLE)).sub(V::splat(WHOLE));
            let error = values.sub(steps.mul(V::splat(self.step)));
            lost = error.mul_add(error, lost);
            // At this size the low bits of a number are those of the whole number it holds.
            let steps = steps.add(V::splat(WHOLE)).store();
            let mut bytes = [0; LANES];
            for lane in 0..LANES {
                let step = steps[lane].to_bits() as i8;
                squares[lane] += i32::from(step) * i32::from(step);
                bytes[lane] = (step as u8).wrapping_add(128);
            }
            let out = &mut self.bytes[at * LANES..];
            match out.first_chunk_mut() {
                Some(out) => *out = bytes,
                None => out.copy_from_slice(&bytes[..out.len()]),
            }
        }
        let mut square = 0;
        for lane in 0..LANES {
            square += squares[lane];
        }
        (lost.sum(), square)
    }
}

/// What to do with the pairs that pass.
pub(super) trait ByteVisitor {
    /// How many rows near a query limit what may matter; 0 if rows alone do not tell.
    fn wanted(&self) -> usize;

    /// The squared distance of a query to a row.
    ///
    /// Implementations are `#[inline(always)]`.
    fn measure<V: Lanes>(&self, query: usize, row: usize) -> f32;

    /// Row `row` has a score of at most the limit of `query`. Returns the limit from here on.
    ///
    /// Implementations are `#[inline(always)]`.
    fn visit<V: Lanes>(&mut self, query: usize, row: usize, score: i32, bound: &ByteBound) -> i32;
}

/// Visits the pairs whose score is at or below the query's limit, for every query in ascending order of rows.
///
/// A block of panels at a time: all scores first, then those of a query together, so that its least ones lower the limit before others
/// pass it.
pub(super) struct ByteScan<'a, W> {
    pub panels: &'a BytePanels,
    pub queries: &'a ByteQueries,
    pub visitor: &'a mut W,
}

/// Scores of queries with some panels, queries x panels.
type Scores = [[i32; LANES]];

impl<W: ByteVisitor> ByteScan<'_, W> {
    pub fn run(self) {
        self.run_with(Instructions::detect());
    }

    fn run_with(self, instructions: Instructions) {
        #[cfg(target_arch = "x86_64")]
        if instructions.has_tiles() {
            let scorer = MatrixScores::new(self.panels, self.queries);
            return instructions.run(Sift { scan: self, scorer });
        }
        let scorer = TileScores(self.queries);
        instructions.run(Sift { scan: self, scorer });
    }
}

/// A way to get scores.
trait MakeScores {
    /// Writes those of all queries with the panels of `range`.
    ///
    /// Implementations are `#[inline(always)]`.
    fn make<D: Dots>(&mut self, panels: &BytePanels, range: Range<usize>, scores: &mut Scores);
}

/// The scan with one way of getting scores.
struct Sift<'a, W, S> {
    scan: ByteScan<'a, W>,
    scorer: S,
}

impl<W: ByteVisitor, S: MakeScores> Task for Sift<'_, W, S> {
    #[inline(always)]
    fn run<D: Dots>(self) {
        let Self { mut scan, mut scorer } = self;
        let (total, count) = (scan.queries.bounds.len(), scan.panels.offsets.len());
        // What panels and scores take stays in the second-level cache.
        let step =
            (PANEL_BYTES / (BYTES * scan.panels.quads())).clamp(PAIR, MOST_PANELS).next_multiple_of(PAIR);
        let mut scores = vec![[0; LANES]; total * step.min(count)];
        let mut limits = vec![NO_ROW - 1; total];
        for start in (0..count).step_by(step) {
            let range = start..(start + step).min(count);
            let length = range.len();
            scorer.make::<D>(scan.panels, range, &mut scores[..total * length]);
            let queries = scores.chunks_exact(length).zip(&mut limits);
            for (query, (scores, limit)) in queries.enumerate().take(total) {
                scan.sift::<D>(query, start, scores, limit);
            }
        }
    }
}

impl<W: ByteVisitor> ByteScan<'_, W> {
    /// Visits what passes of a query's scores, with the panels from `start` on.
    #[inline(always)]
    fn sift<D: Dots>(&mut self, query: usize, start: usize, scores: &Scores, limit: &mut i32) {
        let bound = &self.queries.bounds[query];
        let wanted = self.visitor.wanted();
        // Later blocks seldom have as many near rows as have made a limit.
        if *limit == NO_ROW - 1 && (1..=LANES).contains(&wanted) {
            *limit = self.first_limit::<D>(query, start, scores, wanted).min(*limit);
        }
        for (four, scores) in scores.chunks(4).enumerate() {
            // Loops alone here and below: closures would be compiled for the baseline.
            let mut least = D::load(&scores[0]);
            for scores in &scores[1..] {
                least = least.min(D::load(scores));
            }
            if !least.any_at_most(*limit) {
                continue;
            }
            for (panel, scores) in (start + 4 * four..).zip(scores) {
                if D::load(scores).any_at_most(*limit) {
                    for lane in 0..LANES {
                        // Read again each time: a visit lowers the limit.
                        if scores[lane] <= *limit {
                            let row = panel * LANES + lane;
                            let lowered = self.visitor.visit::<D::Floats>(query, row, scores[lane], bound);
                            *limit = lowered.min(*limit);
                        }
                    }
                }
            }
        }
    }

    /// The limit that the nearest by their scores of some rows make, one row of every lane.
    #[inline(always)]
    fn first_limit<D: Dots>(&self, query: usize, start: usize, scores: &Scores, wanted: usize) -> i32 {
        let mut least = D::splat(NO_ROW);
        for scores in scores {
            least = least.min(D::load(scores));
        }
        let mut least = least.store();
        let mut farthest = 0.0f32;
        for _ in 0..wanted {
            let mut lane = 0;
            for other in 1..LANES {
                if least[other] < least[lane] {
                    lane = other;
                }
            }
            if least[lane] == NO_ROW {
                return NO_ROW;
            }
            let mut panel = 0;
            while scores[panel][lane] != least[lane] {
                panel += 1;
            }
            let row = (start + panel) * LANES + lane;
            farthest = farthest.max(self.visitor.measure::<D::Floats>(query, row));
            least[lane] = NO_ROW;
        }
        self.queries.bounds[query].limit(farthest) as i32
    }
}

/// Scores by register tiles.
struct TileScores<'a>(&'a ByteQueries);

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
struct MatrixScores<'a> {
    queries: &'a ByteQueries,
    tiler: Tiler,
    /// Queries of a tile.
    side: usize,
    terms: Vec<usize>,
    sums: Box<Sums>,
}

#[cfg(target_arch = "x86_64")]
impl<'a> MatrixScores<'a> {
    fn new(panels: &BytePanels, queries: &'a ByteQueries) -> Self {
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
        fn wanted(&self) -> usize {
            0
        }

        #[inline(always)]
        fn measure<V: Lanes>(&self, _: usize, _: usize) -> f32 {
            f32::INFINITY
        }

        #[inline(always)]
        fn visit<V: Lanes>(&mut self, query: usize, row: usize, _: i32, bound: &ByteBound) -> i32 {
            self.seen.push((query, row));
            self.counts[query] += 1;
            if self.counts[query] == 5 { i32::MIN } else { bound.limit(self.halves[query]) as i32 }
        }
    }

    #[test]
    fn every_set_of_instructions_visits_the_rows_within_reach_and_no_others() {
        for (rows, queries, width) in [(37, 11, 1), (64, 8, 6), (45, 19, 33), (50, 43, 150)] {
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
