//! Exact intervals for observed rates.

use crate::Interval;

/// Clopper-Pearson interval of a rate of which `count` of `trials` independent trials were seen.
///
/// It covers the true rate with probability at least `level` for every true rate. Clopper and Pearson, Biometrika 26, 1934. Without
/// trials it is 0 to 1.
pub fn binomial_interval(count: usize, trials: usize, level: f64) -> Interval {
    let side = (1.0 - level) / 2.0;
    let low = match count {
        0 => 0.0,
        _ => solve(|share| tail(trials, count, share) >= side),
    };
    let high = match count {
        count if count >= trials => 1.0,
        _ => solve(|share| tail(trials, count + 1, share) >= 1.0 - side),
    };
    Interval { low, high }
}

/// P(Binomial(trials, share) >= count).
///
/// The terms are summed in logarithms, so that neither thousands of trials nor shares near 0 and 1 underflow.
pub(crate) fn tail(trials: usize, count: usize, share: f64) -> f64 {
    if count == 0 || share >= 1.0 {
        return 1.0;
    }
    if count > trials || share <= 0.0 {
        return 0.0;
    }
    let (odds, mut term) = ((share / (1.0 - share)).ln(), trials as f64 * (1.0 - share).ln());
    let mut sum = 0.0;
    for successes in 0..=trials {
        if successes >= count {
            sum += term.exp();
        }
        // ln C(n, i+1) - ln C(n, i) = ln((n - i) / (i + 1))
        term += ((trials - successes) as f64 / (successes + 1) as f64).ln() + odds;
    }
    sum.min(1.0)
}

/// The share in [0, 1] from which on a condition holds that, once true, stays true; by bisection.
pub(crate) fn solve(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Interval, low: f64, high: f64) {
        assert!((found.low - low).abs() < 5e-7 && (found.high - high).abs() < 5e-7, "{found:?}");
    }

    /// 0 of n has the closed form 1 - (a/2)^(1/n); the others are R's `binom.test`.
    #[test]
    fn intervals_are_those_of_the_textbook() {
        near(binomial_interval(0, 10, 0.95), 0.0, 1.0 - 0.025f64.powf(0.1));
        near(binomial_interval(10, 10, 0.95), 0.025f64.powf(0.1), 1.0);
        near(binomial_interval(5, 10, 0.95), 0.187_086_0, 0.812_914_0);
        near(binomial_interval(1, 100, 0.95), 0.000_253_1, 0.054_459_4);
        near(binomial_interval(0, 0, 0.95), 0.0, 1.0);
    }

    #[test]
    fn the_interval_covers_at_least_as_often_as_it_says() {
        for trials in [7, 40] {
            for share in [0.01, 0.2, 0.5, 0.93] {
                let chance = |count| tail(trials, count, share) - tail(trials, count + 1, share);
                let covered: f64 = (0..=trials)
                    .filter(|&count| {
                        let interval = binomial_interval(count, trials, 0.9);
                        interval.low <= share && share <= interval.high
                    })
                    .map(chance)
                    .sum();
                assert!(covered >= 0.9, "{trials} trials at {share}: {covered}");
            }
        }
    }

    #[test]
    fn many_trials_do_not_underflow() {
        assert!((tail(100_000, 50_000, 0.5) - 0.5).abs() < 0.01);
        let interval = binomial_interval(1_000, 100_000, 0.95);
        assert!((0.009..0.01).contains(&interval.low) && (0.01..0.011).contains(&interval.high));
    }
}
