//! Pixel scores, kept or counted.

use super::Group;
use crate::MetricError;
use crate::components::region_sizes;
use crate::keys::{key, score};
use std::collections::BTreeMap;

/// Low bits of a key that a bin ignores: 11 of the 23 bits of the mantissa remain.
const BIN_BITS: u32 = 12;

/// Pixels of a set of images.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pixels: Pixels,
    regions: u64,
}

#[derive(Clone, Debug)]
enum Pixels {
    Kept {
        /// Keys of background pixels.
        good: Vec<u32>,
        /// Key in the upper, region size in the lower half; ascending within an image.
        defective: Vec<u64>,
        /// Where each image's defective pixels end.
        ends: Vec<usize>,
    },
    /// Counts and overlap by bin.
    Binned(BTreeMap<u32, Bin>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    good: u64,
    defective: u64,
    overlap: f64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            pixels: Pixels::Kept { good: Vec::new(), defective: Vec::new(), ends: Vec::new() },
            regions: 0,
        }
    }
}

impl Store {
    pub(crate) fn add(
        &mut self,
        map: &[f32],
        mask: Option<&[bool]>,
        (height, width): (usize, usize),
    ) -> Result<(), MetricError> {
        let expected = mask.map_or(height * width, <[bool]>::len);
        if map.len() != height * width || map.len() != expected {
            return Err(MetricError::Length { scores: map.len(), labels: expected });
        }
        if let Some(index) = map.iter().position(|value| !value.is_finite()) {
            return Err(MetricError::NotFinite { index });
        }
        let marked = mask.filter(|mask| mask.contains(&true));
        let (sizes, regions) = marked.map_or((Vec::new(), 0), |mask| region_sizes(mask, width));
        self.regions += regions;
        let size = |pixel: usize| sizes.get(pixel).copied().unwrap_or(0);
        match &mut self.pixels {
            Pixels::Kept { good, defective, ends } => {
                let before = defective.len();
                for (pixel, &value) in map.iter().enumerate() {
                    match size(pixel) {
                        0 => good.push(key(value)),
                        size => defective.push(u64::from(key(value)) << 32 | u64::from(size)),
                    }
                }
                defective[before..].sort_unstable();
                if regions > 0 {
                    ends.push(defective.len());
                }
            }
            Pixels::Binned(bins) => {
                for (pixel, &value) in map.iter().enumerate() {
                    count(bins, key(value), size(pixel));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn kept(&self) -> usize {
        match &self.pixels {
            Pixels::Kept { good, defective, .. } => good.len() + defective.len(),
            Pixels::Binned(_) => 0,
        }
    }

    pub(crate) fn regions(&self) -> u64 {
        self.regions
    }

    pub(crate) fn is_binned(&self) -> bool {
        matches!(self.pixels, Pixels::Binned(_))
    }

    /// Replaces the scores by counts.
    pub(crate) fn coarsen(&mut self) {
        if let Pixels::Kept { good, defective, .. } = &self.pixels {
            let mut bins = BTreeMap::new();
            good.iter().for_each(|&key| count(&mut bins, key, 0));
            defective.iter().for_each(|&pixel| count(&mut bins, (pixel >> 32) as u32, pixel as u32));
            self.pixels = Pixels::Binned(bins);
        }
    }

    pub(crate) fn merge(&mut self, mut other: Self) {
        self.regions += other.regions;
        if self.is_binned() != other.is_binned() {
            self.coarsen();
            other.coarsen();
        }
        match (&mut self.pixels, other.pixels) {
            (Pixels::Kept { good, defective, ends }, Pixels::Kept { good: g, defective: d, ends: e }) => {
                ends.extend(e.into_iter().map(|end| end + defective.len()));
                good.extend(g);
                defective.extend(d);
            }
            (Pixels::Binned(bins), Pixels::Binned(others)) => {
                for (bin, other) in others {
                    let mine = bins.entry(bin).or_default();
                    mine.good += other.good;
                    mine.defective += other.defective;
                    mine.overlap += other.overlap;
                }
            }
            // Both were brought to the same form above.
            _ => {}
        }
    }

    /// Sorts the background, which [`groups`] and the rank queries need.
    pub(crate) fn sort(&mut self) {
        if let Pixels::Kept { good, .. } = &mut self.pixels {
            good.sort_unstable();
        }
    }

    /// Sorted background keys; nothing in bins.
    pub(super) fn background(&self) -> &[u32] {
        match &self.pixels {
            Pixels::Kept { good, .. } => good,
            Pixels::Binned(_) => &[],
        }
    }

    /// Each image's defective pixels: ascending, key in the upper half.
    pub(super) fn images(&self) -> Vec<&[u64]> {
        match &self.pixels {
            Pixels::Kept { defective, ends, .. } => {
                let starts = std::iter::once(0).chain(ends.iter().copied());
                starts.zip(ends).map(|(start, &end)| &defective[start..end]).collect()
            }
            Pixels::Binned(_) => Vec::new(),
        }
    }
}

fn count(bins: &mut BTreeMap<u32, Bin>, key: u32, size: u32) {
    let bin = bins.entry(key >> BIN_BITS).or_default();
    match size {
        0 => bin.good += 1,
        size => {
            bin.defective += 1;
            bin.overlap += 1.0 / f64::from(size);
        }
    }
}

/// The groups of all stores together, in descending order. Stores that keep scores must be sorted.
pub(super) fn groups(stores: &[&Store]) -> Vec<Group> {
    if stores.iter().any(|store| store.is_binned()) {
        return binned_groups(stores);
    }
    let mut defective: Vec<u64> = stores.iter().flat_map(|store| store.images()).flatten().copied().collect();
    defective.sort_unstable_by(|a, b| b.cmp(a));
    let backgrounds: Vec<&[u32]> = stores.iter().map(|store| store.background()).collect();
    // Background pixels below this index of each store are not passed yet.
    let mut left: Vec<usize> = backgrounds.iter().map(|background| background.len()).collect();
    let mut pass = |keep: &dyn Fn(u32) -> bool| -> u64 {
        let mut passed = 0;
        for (background, left) in backgrounds.iter().zip(&mut left) {
            let kept = background[..*left].partition_point(|&key| keep(key));
            passed += (*left - kept) as u64;
            *left = kept;
        }
        passed
    };
    let mut groups = Vec::new();
    for tied in defective.chunk_by(|a, b| a >> 32 == b >> 32) {
        let key = (tied[0] >> 32) as u32;
        let value = f64::from(score(key));
        let above = pass(&|other| other <= key);
        if above > 0 {
            groups.push(Group { score: value, defective: 0, overlap: 0.0, good: above });
        }
        let overlap = tied.iter().map(|&pixel| 1.0 / f64::from(pixel as u32)).sum();
        let good = pass(&|other| other < key);
        groups.push(Group { score: value, defective: tied.len() as u64, overlap, good });
    }
    let below = pass(&|_| false);
    if below > 0 {
        groups.push(Group { score: f64::NEG_INFINITY, defective: 0, overlap: 0.0, good: below });
    }
    groups
}

fn binned_groups(stores: &[&Store]) -> Vec<Group> {
    let mut all = Store { pixels: Pixels::Binned(BTreeMap::new()), regions: 0 };
    for store in stores {
        all.merge((*store).clone());
    }
    let Pixels::Binned(bins) = all.pixels else { return Vec::new() };
    let group = |(bin, counts): (u32, Bin)| Group {
        score: f64::from(score(bin << BIN_BITS)),
        defective: counts.defective,
        overlap: counts.overlap,
        good: counts.good,
    };
    bins.into_iter().rev().map(group).collect()
}
