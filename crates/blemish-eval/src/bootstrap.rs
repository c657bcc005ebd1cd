//! Bootstrap intervals.

use crate::MetricError;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// An interval of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Percentile bootstrap interval of a metric: good and defective samples are drawn anew, each among its own kind, `resamples` times.
///
/// `level` is the coverage, such as 0.95. The same seed gives the same interval on any number of threads.
///
/// # Errors
/// What `metric` returns on the samples themselves.
pub fn bootstrap_interval(
    metric: impl Fn(&[f64], &[bool]) -> Result<f64, MetricError> + Sync,
    scores: &[f64],
    labels: &[bool],
    resamples: usize,
    level: f64,
    seed: u64,
) -> Result<Interval, MetricError> {
    let point = metric(scores, labels)?;
    let (defective, good): (Vec<usize>, Vec<usize>) = (0..scores.len()).partition(|&index| labels[index]);
    let mut values: Vec<f64> = (0..resamples as u64)
        .into_par_iter()
        .map(|resample| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(resample);
            let mut draw = |from: &[usize]| -> Vec<f64> {
                from.iter().map(|_| scores[from[random.random_range(0..from.len())]]).collect()
            };
            let drawn = [draw(&good), draw(&defective)].concat();
            let drawn_labels: Vec<bool> = (0..drawn.len()).map(|index| index >= good.len()).collect();
            metric(&drawn, &drawn_labels)
        })
        .collect::<Result<_, _>>()?;
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| match values.len() {
        0 => point,
        count => values[((share * count as f64) as usize).min(count - 1)],
    };
    Ok(Interval { low: at((1.0 - level) / 2.0), high: at((1.0 + level) / 2.0) })
}
