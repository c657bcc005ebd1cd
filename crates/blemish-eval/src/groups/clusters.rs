//! Images in clusters, by numbers.

use std::collections::HashMap;
use std::hash::Hash;

/// Numbers what images share from 0 in the order of the images; `None` for what a single image has.
pub(super) fn numbered<K: Eq + Hash>(keys: &[K]) -> Vec<Option<usize>> {
    let mut counts: HashMap<&K, usize> = HashMap::new();
    keys.iter().for_each(|key| *counts.entry(key).or_default() += 1);
    let mut known: HashMap<&K, usize> = HashMap::new();
    let number = |key| {
        let next = known.len();
        (counts[key] > 1).then(|| *known.entry(key).or_insert(next))
    };
    keys.iter().map(number).collect()
}

/// Images in clusters.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    /// The cluster of each image; `None` for images in none.
    pub(super) of: Vec<Option<usize>>,
    /// Number of images of each.
    pub(super) sizes: Vec<usize>,
}

impl Clusters {
    pub(super) fn count(&self) -> usize {
        self.sizes.len()
    }

    /// Images in any of them.
    pub(super) fn members(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Whether sizes spread far less than chance would have it: those of draws from many variants are Poisson distributed, of which clusters of
    /// two and more are seen. `share` is that of the images which are in clusters.
    ///
    /// The variance must be at most half of the expected one, and below what one such set in a hundred would have.
    pub(super) fn are_even(&self, share: f64) -> bool {
        let count = self.count() as f64;
        let mean = self.members() as f64 / count;
        let variance = self.sizes.iter().map(|&size| (size as f64 - mean).powi(2)).sum::<f64>() / count;
        // Mean of a Poisson variable that is known to be 2 or more, and its variance.
        let beyond = |rate: f64| rate.exp_m1() - rate;
        let mean_of = |rate: f64| rate * rate.exp_m1() / beyond(rate);
        let (mut low, mut high) = (1e-3, mean.max(2.0));
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if mean_of(middle) < mean { low = middle } else { high = middle }
        }
        // An image shares its variant with another one with probability 1 - exp(-rate).
        let rate = high.max(-(1.0 - share.min(0.98)).ln());
        let expected = rate.powi(2) * rate.exp() / beyond(rate) + mean_of(rate) - mean_of(rate).powi(2);
        // The 1 % quantile of chi squared over its degrees of freedom (Wilson and Hilferty).
        let freedom = (count - 1.0).max(1.0);
        let by_chance =
            (1.0 - 2.0 / (9.0 * freedom) - 2.326 * (2.0 / (9.0 * freedom)).sqrt()).max(0.0).powi(3);
        variance <= by_chance.min(0.5) * expected
    }
}
