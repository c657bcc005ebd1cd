//! Several maps to one: those of the tiles of an image, and those of views on a common scale.

use super::fitted::{View, unfit};
use blemish_core::error::Error;
use blemish_core::map::{AnomalyMap, Scored};
use blemish_data::{MapMerger, TilePlan};
use blemish_kernels::map::resize_bilinear;
use rayon::prelude::*;

/// One outcome of those of all views, for an image of (height, width) pixels before the transform.
pub(super) fn merge(views: &[View], parts: Vec<Scored>, size: (usize, usize)) -> Result<Scored, Error> {
    let count = parts.len();
    let mut parts = views.iter().zip(parts);
    let (first, scored) = parts.next().ok_or_else(|| Error::Score { reason: "the model is empty".into() })?;
    let Some(spread) = &first.header.spread else { return Ok(scored) };
    let part = 1.0 / count as f32;
    let map_size = (scored.map.height, scored.map.width);
    let mut merged = scored;
    merged.score = part * (merged.score - spread.score.0) / spread.score.1;
    let (mean, factor) = (spread.map.0, part / spread.map.1);
    merged.map.values.iter_mut().for_each(|value| *value = (*value - mean) * factor);
    for (view, Scored { score, map }) in parts {
        let Some(spread) = &view.header.spread else { continue };
        merged.score += part * (score - spread.score.0) / spread.score.1;
        let (mean, factor) = (spread.map.0, part / spread.map.1);
        let AnomalyMap { height, width, mut values } = map;
        if (height, width) != map_size {
            values = resize_bilinear(&values, (height, width), map_size);
        }
        merged.map.values.iter_mut().zip(&values).for_each(|(sum, value)| *sum += (value - mean) * factor);
    }
    if let Some(mask) = first.transform.region_at(size.0, size.1).map_err(unfit)? {
        let outside = merged.map.values.iter_mut().zip(&mask.marked).filter(|&(_, &is_inside)| !is_inside);
        outside.for_each(|(value, _)| *value = 0.0);
    }
    if !merged.score.is_finite() || merged.map.values.iter().any(|value| !value.is_finite()) {
        let reason = "the merged scores are not finite numbers; the model's values are out of range".into();
        return Err(Error::Score { reason });
    }
    Ok(merged)
}

/// The maps of the tiles of one image on their way to one: a whole image is a single tile.
pub(super) struct Assembly<'p> {
    tiles: Option<(&'p TilePlan, MapMerger<'p>)>,
    whole: Option<Scored>,
    /// The highest score that the method's own rule gives a tile.
    own_score: Option<f32>,
}

impl<'p> Assembly<'p> {
    pub(super) fn new(plan: Option<&'p TilePlan>) -> Self {
        let tiles = plan.map(|plan| (plan, MapMerger::new(plan)));
        Self { tiles, whole: None, own_score: None }
    }

    /// Adds tiles by number, each with whether its score is of the method's own rule.
    pub(super) fn add(&mut self, tiles: &[usize], scored: Vec<(Scored, bool)>) {
        tiles.iter().zip(scored).for_each(|(&tile, (scored, is_own))| self.add_one(tile, scored, is_own));
    }

    fn add_one(&mut self, tile: usize, scored: Scored, is_own: bool) {
        match &mut self.tiles {
            None => self.whole = Some(scored),
            Some((_, merger)) => {
                merger.add(tile, &scored.map.values);
                if is_own {
                    let highest = self.own_score.map_or(scored.score, |highest| highest.max(scored.score));
                    self.own_score = Some(highest);
                }
            }
        }
    }

    /// The image score is the highest that the method's own rule gives a tile; for a method without a rule it is, as for whole images,
    /// the highest value of the (merged) map, in which the edges of tiles hardly count.
    pub(super) fn finish(self) -> Result<Scored, Error> {
        let Some((plan, merger)) = self.tiles else {
            return self.whole.ok_or_else(|| Error::Score { reason: "the method returned nothing".into() });
        };
        let (height, width) = plan.image_size();
        let values = merger.finish();
        let highest = || values.par_iter().copied().reduce(|| f32::NEG_INFINITY, f32::max);
        let score = self.own_score.unwrap_or_else(highest);
        Ok(Scored { score, map: AnomalyMap { height, width, values } })
    }
}

/// Sums for a mean and a standard deviation.
#[derive(Default)]
pub(super) struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    pub(super) fn add(&mut self, value: f32) {
        let value = f64::from(value);
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    /// Mean and standard deviation; without any spread, 1 in its place.
    pub(super) fn finish(&self) -> (f32, f32) {
        let mean = self.sum / self.count.max(1.0);
        let deviation = (self.squares / self.count.max(1.0) - mean * mean).max(0.0).sqrt();
        // Rounding leaves traces of a spread where there is none.
        (mean as f32, if deviation > 1e-6 * mean.abs() { deviation as f32 } else { 1.0 })
    }
}
