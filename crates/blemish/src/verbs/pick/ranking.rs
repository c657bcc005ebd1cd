//! Which candidate separates good images from defective ones best, and how sure that is.

use blemish_eval::Interval;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Resamples of the bootstrap.
const RESAMPLES: u64 = 2000;

/// How one candidate scored the good images and their twins.
pub(super) struct Scores {
    /// By good image: its score.
    pub(super) good: Vec<f64>,
    /// By good image: the scores of its defective twins.
    pub(super) twins: Vec<Vec<f64>>,
}

/// A ranking of candidates.
pub(super) struct Ranking {
    /// AUROC of each candidate.
    pub(super) auroc: Vec<f64>,
    /// Share of the resamples in which each candidate is the best; ties share.
    pub(super) wins: Vec<f64>,
    /// Candidates, the best first.
    pub(super) order: Vec<usize>,
    /// 95 % interval of the best one's lead over the second.
    pub(super) margin: Option<Interval>,
}

/// Ranks candidates by the AUROC over all twins, and draws the good images anew, each with its twins, to see how stable that is.
pub(super) fn rank(candidates: &[Scores], seed: u64) -> Ranking {
    let tables: Vec<Table> = candidates.iter().map(Table::of).collect();
    let images = tables.first().map_or(0, |table| table.images);
    let auroc: Vec<f64> = tables.iter().map(|table| table.auroc(&vec![1.0; images])).collect();
    let mut order: Vec<usize> = (0..tables.len()).collect();
    // A stable sort: of equals the one listed first.
    order.sort_by(|&one, &other| auroc[other].total_cmp(&auroc[one]));
    let mut wins = vec![0.0; tables.len()];
    let mut leads = Vec::new();
    for resample in 0..RESAMPLES {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(resample);
        let mut weights = vec![0.0; images];
        (0..images).for_each(|_| weights[random.random_range(0..images)] += 1.0);
        let values: Vec<f64> = tables.iter().map(|table| table.auroc(&weights)).collect();
        let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let tied: Vec<usize> = (0..values.len()).filter(|&index| values[index] >= best - 1e-12).collect();
        tied.iter().for_each(|&index| wins[index] += 1.0 / (tied.len() as f64 * RESAMPLES as f64));
        if let [first, second, ..] = order[..] {
            leads.push(values[first] - values[second]);
        }
    }
    leads.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| leads[((share * leads.len() as f64) as usize).min(leads.len() - 1)];
    let margin = (!leads.is_empty()).then(|| Interval { low: at(0.025), high: at(0.975) });
    Ranking { auroc, wins, order, margin }
}

/// For every pair of good images how many twins of the first outrank the second; an AUROC over any resample is a weighted sum of it.
struct Table {
    images: usize,
    /// images x images.
    outranked: Vec<f64>,
    twins: Vec<f64>,
}

impl Table {
    fn of(scores: &Scores) -> Self {
        let images = scores.good.len();
        let mut outranked = Vec::with_capacity(images * images);
        for twins in &scores.twins {
            outranked.extend(scores.good.iter().map(|good| {
                twins
                    .iter()
                    .map(|twin| if twin > good { 1.0 } else { f64::from(twin == good) / 2.0 })
                    .sum::<f64>()
            }));
        }
        Self { images, outranked, twins: scores.twins.iter().map(|twins| twins.len() as f64).collect() }
    }

    fn auroc(&self, weights: &[f64]) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (twin, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let row = &self.outranked[twin * self.images..(twin + 1) * self.images];
            sum += weight * row.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>();
            pairs += weight * self.twins[twin] * weights.iter().sum::<f64>();
        }
        if pairs > 0.0 { sum / pairs } else { 0.5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(good: &[f64], twins: &[&[f64]]) -> Scores {
        Scores { good: good.to_vec(), twins: twins.iter().map(|twins| twins.to_vec()).collect() }
    }

    #[test]
    fn the_area_is_that_of_the_metrics_crate() {
        let one = scores(&[1.0, 2.0, 3.0], &[&[2.5, 4.0], &[0.5], &[3.0, 3.0]]);
        let all = [1.0, 2.0, 3.0, 2.5, 4.0, 0.5, 3.0, 3.0];
        let labels: Vec<bool> = (0..8).map(|index| index >= 3).collect();
        let expected = blemish_eval::auroc(&all, &labels).unwrap();
        assert!((rank(&[one], 0).auroc[0] - expected).abs() < 1e-12);
    }

    #[test]
    fn a_clear_winner_wins_always_and_equals_share() {
        let good = [1.0, 2.0, 3.0, 4.0];
        let perfect = || scores(&good, &[&[9.0], &[9.0], &[9.0], &[9.0]]);
        let poor = scores(&good, &[&[0.0], &[0.0], &[0.0], &[0.0]]);
        let ranking = rank(&[poor, perfect()], 1);
        assert_eq!(ranking.order, [1, 0]);
        assert_eq!((ranking.wins[0], ranking.auroc[1]), (0.0, 1.0));
        assert!((ranking.wins[1] - 1.0).abs() < 1e-9);
        assert_eq!(ranking.margin.map(|margin| (margin.low, margin.high)), Some((1.0, 1.0)));
        let ranking = rank(&[perfect(), perfect()], 1);
        assert_eq!(ranking.order, [0, 1]);
        assert!((ranking.wins[0] - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_seed_fixes_the_resamples() {
        let noisy = |shift: f64| {
            let good: Vec<f64> = (0..12).map(|i| f64::from(i * 7 % 12)).collect();
            let twins: Vec<Vec<f64>> = (0..12).map(|i| vec![f64::from(i * 5 % 12) + shift]).collect();
            Scores { good, twins }
        };
        let wins = |seed| rank(&[noisy(2.0), noisy(2.5)], seed).wins;
        assert_eq!(wins(3), wins(3));
        assert_ne!(wins(3), wins(4));
    }
}
