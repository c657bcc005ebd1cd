//! Conformal p-values and thresholds: what n scores of good images say about the next one.
//!
//! Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005. If the next good image is exchangeable with the n
//! calibrating ones, the rank of its score among them is uniform, so P(p <= a) <= a for every a, whatever the distribution: no model
//! of the scores is involved, and the statement holds for every n.

use crate::binomial::tail;

/// Rounding guard for products such as 100 x 0.29, which floating point puts just below 29.
const GUARD: f64 = 1e-9;

/// The p-value of a score: p(s) = (1 + #{c >= s}) / (n + 1), for calibrating scores c in ascending order.
pub fn p_value(ascending: &[f32], score: f32) -> f64 {
    let below = ascending.partition_point(|&calibrating| calibrating < score);
    (1 + ascending.len() - below) as f64 / (ascending.len() + 1) as f64
}

/// The threshold above which p <= `rate`: the k-th smallest score, k = ceil((n + 1)(1 - rate)).
///
/// `None` where k > n, that is n < 1 / rate - 1: so few images cannot promise so low a rate.
pub fn threshold(ascending: &[f32], rate: f64) -> Option<f32> {
    let above = allowed(ascending.len(), rate);
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
    let above = allowed(images, rate);
    // P(Beta(j, n + 1 - j) <= x) = P(Binomial(n, x) >= j).
    crate::binomial::solve(|share| tail(images, above, share) >= level)
}

/// floor((n + 1) rate): as many p-values at most `rate` are possible.
fn allowed(images: usize, rate: f64) -> usize {
    ((images + 1) as f64 * rate + GUARD).floor() as usize
}
