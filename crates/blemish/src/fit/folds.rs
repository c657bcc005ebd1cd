//! Training images dealt into folds, groups whole.

use blemish_data::Source;
use blemish_data::loader::order_of;
use blemish_eval::{GroupedBy, Grouping};
use std::collections::HashMap;

/// Which images stay together.
pub(crate) struct Units {
    /// The group of an image; those that are in none are on their own.
    of: HashMap<usize, usize>,
    by: GroupedBy,
}

impl Units {
    /// By a number for the group of each image that is in one.
    pub(crate) fn new(of: HashMap<usize, usize>, by: GroupedBy) -> Self {
        Self { of, by }
    }

    /// Every image on its own.
    pub(crate) fn single() -> Self {
        Self::new(HashMap::new(), GroupedBy::Given)
    }

    /// The groups that the source names.
    pub(crate) fn given(source: &dyn Source) -> Self {
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut of = HashMap::new();
        for image in 0..source.len() {
            if let Some(group) = &source.facts(image).group {
                let next = known.len();
                of.insert(image, *known.entry(group).or_insert(next));
            }
        }
        Self::new(of, GroupedBy::Given)
    }

    /// Images of one group, and every image without a group, in the order of their first.
    pub(crate) fn among(&self, images: &[usize]) -> Vec<Vec<usize>> {
        let mut known: HashMap<usize, usize> = HashMap::new();
        let mut units: Vec<Vec<usize>> = Vec::new();
        for &image in images {
            let unit = match self.of.get(&image) {
                Some(group) => *known.entry(*group).or_insert(units.len()),
                None => units.len(),
            };
            match units.get_mut(unit) {
                Some(unit) => unit.push(image),
                None => units.push(vec![image]),
            }
        }
        units
    }

    /// What a calibration says of the groups of these images; `None` where each is on its own.
    pub(crate) fn grouping(&self, images: &[usize]) -> Option<Grouping> {
        let groups = self.among(images).len();
        (groups < images.len()).then_some(Grouping { groups, by: self.by })
    }
}

/// Deals images into `count` folds of nearly equal size, at random by the seed, groups whole; each fold ascends.
///
/// Of several categories each is dealt evenly, so that no fold takes one away as a whole. There are fewer folds than asked for where
/// there are fewer groups.
pub(crate) fn deal(
    source: &dyn Source,
    units: &Units,
    images: &[usize],
    count: usize,
    seed: u64,
) -> Vec<Vec<usize>> {
    let units = units.among(images);
    let mut folds: Vec<Vec<usize>> = vec![Vec::new(); count.min(units.len())];
    for unit in order_of(units.len(), Some(seed)) {
        let category = |image: &usize| source.facts(*image).category;
        let own = units[unit].first().map(category);
        let has = |fold: &[usize]| fold.iter().filter(|image| Some(category(image)) == own).count();
        // The first of the smallest.
        if let Some(fold) = folds.iter_mut().min_by_key(|fold| (has(fold), fold.len())) {
            fold.extend_from_slice(&units[unit]);
        }
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// What of `images` is not in `left_out`, which ascends.
pub(crate) fn without(images: &[usize], left_out: &[usize]) -> Vec<usize> {
    images.iter().copied().filter(|image| left_out.binary_search(image).is_err()).collect()
}
