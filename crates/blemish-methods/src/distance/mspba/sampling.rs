//! Which patches a training step looks at, by the number of the step and the seed alone.
//!
//! Positions are top-left corners, (row, column), in pixels; they lie on a grid of `step` pixels, which is 1 where patches are cut out
//! and the layer's stride where a dense pass embeds all places at once.

use rand::{Rng, RngExt};

/// A top-left corner, (row, column).
pub(super) type Corner = (usize, usize);

/// Where patches of one size may lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Side of a patch (K).
    pub(super) patch: usize,
    /// Pixels between possible places.
    pub(super) step: usize,
    /// Largest row and column.
    pub(super) last: Corner,
}

/// Patches of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// A patch and one that lies from it in direction `class`.
    pub(super) pair: [Corner; 2],
    pub(super) class: usize,
    /// A patch, one near to it and one far from it.
    pub(super) triple: [Corner; 3],
    /// A patch for the k-means loss.
    pub(super) single: Corner,
}

/// Unit vector of direction `class` of `directions`, the first component along rows.
pub(super) fn direction(class: usize, directions: usize) -> (f64, f64) {
    let angle = std::f64::consts::TAU * class as f64 / directions as f64;
    // Makes the sine of 30 degrees a half, so that offsets round as on paper.
    let exact = |value: f64| (value * 1e12).round() / 1e12;
    (exact(angle.cos()), exact(angle.sin()))
}

impl Field {
    /// Draws an item.
    pub(super) fn item(&self, directions: usize, random: &mut impl Rng) -> Item {
        let first = self.anywhere(random);
        let class = random.random_range(0..directions);
        let second = self.moved(first, self.offset(class, directions, random));
        let anchor = self.anywhere(random);
        let near = self.moved(anchor, self.jitter(random));
        let toward = random.random_range(0..directions);
        let far = self.moved(anchor, self.far(self.offset(toward, directions, random)));
        Item { pair: [first, second], class, triple: [anchor, near, far], single: self.anywhere(random) }
    }

    fn anywhere(&self, random: &mut impl Rng) -> Corner {
        let mut place = |last: usize| random.random_range(0..=last / self.step) * self.step;
        (place(self.last.0), place(self.last.1))
    }

    /// (cos (r + 3K/4), sin (q + 3K/4)), r and q independent in [0, K/4), rounded to steps, halves to even.
    pub(super) fn offset(&self, class: usize, directions: usize, random: &mut impl Rng) -> (i64, i64) {
        let (down, right) = direction(class, directions);
        let mut length = || (random.random_range(0..self.patch / 4) + 3 * self.patch / 4) as f64;
        (self.rounded(down * length()), self.rounded(right * length()))
    }

    fn rounded(&self, value: f64) -> i64 {
        let step = self.step as f64;
        ((value / step).round_ties_even() * step) as i64
    }

    /// Uniform in [-K/16, K/16]^2 without (0, 0), one step at least.
    pub(super) fn jitter(&self, random: &mut impl Rng) -> (i64, i64) {
        let reach = (self.patch / 16 / self.step).max(1) as i64;
        let width = 2 * reach + 1;
        // The places but the middle one, counted row by row.
        let drawn = random.random_range(0..width * width - 1);
        let place = if drawn < width * width / 2 { drawn } else { drawn + 1 };
        ((place / width - reach) * self.step as i64, (place % width - reach) * self.step as i64)
    }

    /// Each component farther by 3K/4 in its own sign, zero being positive.
    pub(super) fn far(&self, (down, right): (i64, i64)) -> (i64, i64) {
        let further = (3 * self.patch / 4) as i64;
        let extend = |part: i64| if part < 0 { part - further } else { part + further };
        (extend(down), extend(right))
    }

    /// Clipped to the field; the label of a clipped neighbour may then be wrong, as published.
    pub(super) fn moved(&self, (row, column): Corner, (down, right): (i64, i64)) -> Corner {
        let place = |at: usize, by: i64, last: usize| (at as i64 + by).clamp(0, last as i64) as usize;
        (place(row, down, self.last.0), place(column, right, self.last.1))
    }
}
