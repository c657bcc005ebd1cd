//! Metrics over pixels of maps, in bounded memory.
//!
//! All pixel metrics except AUPIMO follow from one list, descending by score: how many defective pixels (and what share of their
//! regions) and how many background pixels lie in each group of equal scores ([`Group`]). While they fit the limit, scores are kept and
//! the list is exact: background scores only matter by how many lie between two defective ones. Beyond the limit they are counted in
//! bins of 2^-11 relative width; the order within a bin is then unknown, and the best and the worst order bound the error.

mod curve;
mod pimo;
mod store;

pub use curve::{Areas, Group, ProPoint};
pub use pimo::Pimo;
pub(crate) use store::Store;

use crate::MetricError;
use serde::{Deserialize, Serialize};

/// How to compute pixel metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelOptions {
    /// False positive rate up to which AUPRO integrates.
    pub pro_limit: f64,
    /// Bounds of AUPIMO's shared false positive rate.
    pub pimo_bounds: (f64, f64),
    /// Pixels whose scores are kept (4 bytes each, defective ones 8); beyond, they are counted in bins.
    pub exact_pixels: usize,
}

impl Default for PixelOptions {
    fn default() -> Self {
        Self { pro_limit: 0.3, pimo_bounds: (1e-5, 1e-4), exact_pixels: 1 << 27 }
    }
}

impl PixelOptions {
    /// Checks that the limits are shares of pixels: AUPRO's in (0, 1], AUPIMO's ascending in (0, 1].
    ///
    /// # Errors
    /// [`MetricError::Setting`] names the limit and its range.
    pub fn check(&self) -> Result<(), MetricError> {
        let fail = |reason: String| Err(MetricError::Setting { reason });
        let is_share = |value: f64| value > 0.0 && value <= 1.0;
        if !is_share(self.pro_limit) {
            return fail(format!("AUPRO's limit is {}; it must be above 0 and at most 1", self.pro_limit));
        }
        let (low, high) = self.pimo_bounds;
        if !(is_share(low) && is_share(high) && low < high) {
            return fail(format!(
                "AUPIMO's bounds are {low} and {high}; they must ascend, above 0 and at most 1"
            ));
        }
        Ok(())
    }
}

/// Pixel metrics, fractions of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PixelReport {
    /// Area under the ROC curve over all pixels.
    pub auroc: f64,
    /// Average precision over all pixels.
    pub ap: f64,
    /// Best F1 over all thresholds.
    pub f1_max: f64,
    /// The lowest threshold that reaches it.
    pub f1_max_threshold: f64,
    /// Area under the per-region overlap curve up to the limit, divided by the limit.
    pub aupro: f64,
    /// Per-image overlap at very low false positive rates; absent with too few good pixels or in bins.
    pub aupimo: Option<Pimo>,
    /// Connected regions of all masks.
    pub regions: u64,
    /// Pixels seen.
    pub pixels: u64,
    /// Whether every figure is exact; else AUROC, AP, F1-max and AUPRO are within `error` of it.
    pub exact: bool,
    /// Proven bound on the error of the four areas, 0 if exact.
    pub error: f64,
}

/// Streams maps and masks and gives pixel metrics.
#[derive(Clone, Debug)]
pub struct PixelMetrics {
    options: PixelOptions,
    good: Store,
    defective: Store,
}

impl PixelMetrics {
    /// Nothing seen yet.
    pub fn new(options: PixelOptions) -> Self {
        Self { options, good: Store::default(), defective: Store::default() }
    }

    /// Takes an image in: its map (height x width, finite) and its mask; `None` is a good image.
    ///
    /// # Errors
    /// [`MetricError`] for unequal lengths or scores that are not finite.
    pub fn add(
        &mut self,
        map: &[f32],
        mask: Option<&[bool]>,
        height: usize,
        width: usize,
    ) -> Result<(), MetricError> {
        let store =
            if mask.is_some_and(|mask| mask.contains(&true)) { &mut self.defective } else { &mut self.good };
        store.add(map, mask, (height, width))?;
        if self.good.kept() + self.defective.kept() > self.options.exact_pixels {
            self.good.coarsen();
            self.defective.coarsen();
        }
        Ok(())
    }

    /// Takes in everything another has seen.
    pub fn merge(&mut self, other: Self) {
        self.good.merge(other.good);
        self.defective.merge(other.defective);
    }

    /// The metrics.
    ///
    /// # Errors
    /// [`MetricError::OneClass`] if no pixel is defective, or none is not.
    pub fn finish(mut self) -> Result<PixelReport, MetricError> {
        self.good.sort();
        self.defective.sort();
        report(&self.options, &self.good, &[&self.defective])
    }
}

/// The per-region overlap curve over sorted stores, up to the limit of AUPRO; empty without regions.
pub(crate) fn pro_curve(options: &PixelOptions, stores: &[&Store]) -> Vec<ProPoint> {
    let regions = stores.iter().map(|store| store.regions()).sum();
    curve::pro_curve(&store::groups(stores), regions, options.pro_limit)
}

/// The metrics over sorted stores: good images, and defective ones of one or more kinds.
pub(crate) fn report(
    options: &PixelOptions,
    good: &Store,
    defective: &[&Store],
) -> Result<PixelReport, MetricError> {
    let stores: Vec<&Store> = std::iter::once(good).chain(defective.iter().copied()).collect();
    let groups = store::groups(&stores);
    let regions: u64 = stores.iter().map(|store| store.regions()).sum();
    let areas = curve::areas(&groups, regions, options.pro_limit)?;
    let exact = stores.iter().all(|store| !store.is_binned());
    let error = if exact { 0.0 } else { curve::error_bound(&groups, regions, options.pro_limit, &areas)? };
    Ok(PixelReport {
        auroc: areas.auroc,
        ap: areas.ap,
        f1_max: areas.f1_max,
        f1_max_threshold: areas.f1_max_threshold,
        aupro: areas.aupro,
        aupimo: if exact { pimo::aupimo(good, defective, options.pimo_bounds) } else { None },
        regions,
        pixels: groups.iter().map(|group| group.defective + group.good).sum(),
        exact,
        error,
    })
}
