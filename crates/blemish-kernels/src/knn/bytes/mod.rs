//! Images of rows and queries in bytes, so that most pairs are told apart by products of bytes.
//!
//! Let y be an image and q its coordinates in whole steps, y = step x q + e. For a query a and a row b
//!
//! `step x ||q_a - q_b|| <= ||y_a - y_b|| + ||e_a|| + ||e_b||`,
//!
//! and `||q_a - q_b||^2 = ||q_a||^2 + ||q_b||^2 - 2 q_a . q_b` is a whole number. A pair whose bytes are further apart than that allows
//! needs no other look. The rounding is measured for each query, and for the row that has lost most; nothing is left out by chance.

mod panels;
mod scores;

pub(super) use panels::{ByteBound, BytePanels, ByteQueries};

use super::Limit;
use crate::int8::{BYTES, Dots, Instructions, Task};
use crate::lines::Lines;
use crate::simd::{LANES, Lanes};
use panels::{NO_ROW, PAIR};
#[cfg(target_arch = "x86_64")]
use scores::MatrixScores;
use scores::{MakeScores, Scores, TileScores};

/// Bytes of panels that a block of queries passes over at a time, and of the scores that come of it.
const PANEL_BYTES: usize = 256 << 10;
const SCORE_BYTES: usize = 256 << 10;

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
        let step = (PANEL_BYTES / (BYTES * scan.panels.quads())).min(SCORE_BYTES / (BYTES * total.max(1)));
        let step = step.max(PAIR).next_multiple_of(PAIR);
        // Steps of a power of two would bring all queries into the same few sets of the cache.
        let pitch = step.min(count) + 1;
        let mut scores = Lines::zeros(total * pitch);
        let mut limits = vec![NO_ROW - 1; total];
        for start in (0..count).step_by(step) {
            let range = start..(start + step).min(count);
            let length = range.len();
            scorer.make::<D>(scan.panels, range, pitch, &mut scores);
            let queries = scores.chunks_exact(pitch).zip(&mut limits);
            for (query, (scores, limit)) in queries.enumerate().take(total) {
                scan.sift::<D>(query, start, &scores[..length], limit);
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
}
