//! Conformal p-values and thresholds: what n scores of good images say about the next one.
//!
//! Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005. If the next good image is exchangeable with the n
//! calibrating ones, the rank of its score among them is uniform, so P(p <= a) <= a for every a, for every distribution: no model
//! of the scores is involved, and the statement holds for every n.

use crate::binomial::tail;

/// Rounding guard for products such as 100 x 0.29, which floating point puts just below 29.
const GUARD: f64 = 1e-9;

/// The p-value of a score: p(s) = (1 + m #{c >= s} / n) / (m + 1), for n calibrating scores c in ascending order from m groups.
///
/// Where every image is a group of its own, m = n, this is (1 + #{c >= s}) / (n + 1). Images of one group resemble each other, so that
/// m groups say no more than m: the scores are pooled with the weight of as many (Dunn, Wasserman and Ramdas, "Distribution-free
/// prediction sets for two-layer hierarchical models", 2022, pooling of groups).
pub fn p_value(ascending: &[f32], groups: usize, score: f32) -> f64 {
    let below = ascending.partition_point(|&calibrating| calibrating < score);
    let (count, groups) = (ascending.len().max(1) as f64, groups as f64);
    (1.0 + groups * (ascending.len() - below) as f64 / count) / (groups + 1.0)
}

/// The threshold above which p <= `rate`: for images without groups the k-th smallest score, k = ceil((n + 1)(1 - rate)).
///
/// `None` where k > n, that is m < 1 / rate - 1: so few images (or groups) cannot promise so low a rate.
pub fn threshold(ascending: &[f32], groups: usize, rate: f64) -> Option<f32> {
    let above = allowed(ascending.len(), groups, rate);
    if above == 0 { None } else { ascending.get(ascending.len().checked_sub(above)?).copied() }
}

/// The fewest images that can promise `rate`: ceil(1 / rate - 1).
pub fn needed(rate: f64) -> usize {
    (1.0 / rate - 1.0 - GUARD).ceil() as usize
}

/// The lowest rate that `images` can promise: 1 / (n + 1).
pub fn lowest_rate(images: usize) -> f64 {
    1.0 / (images + 1) as f64
}

/// What the true false-alarm rate of this one threshold stays below with probability `level` over the draw of the `images`.
///
/// The promise of `rate` is an average over calibrations; the rate of one threshold is (for continuous scores) Beta(j, n + 1 - j)
/// distributed with j = floor((n + 1) rate), and this is its quantile.
pub fn likely_below(images: usize, rate: f64, level: f64) -> f64 {
    let above = allowed(images, images, rate);
    // P(Beta(j, n + 1 - j) <= x) = P(Binomial(n, x) >= j).
    crate::binomial::solve(|share| tail(images, above, share) >= level)
}

/// The rank from above of the lowest threshold with p <= `rate` beyond it: floor((n + 1) rate) for n images without groups.
fn allowed(images: usize, groups: usize, rate: f64) -> usize {
    let spare = (groups + 1) as f64 * rate - 1.0;
    if spare < -GUARD {
        0
    } else {
        (1.0 + spare * images as f64 / groups.max(1) as f64 + GUARD).floor() as usize
    }
}
