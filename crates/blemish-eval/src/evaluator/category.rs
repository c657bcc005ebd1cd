//! All metrics of a detector in one stream of images.

use crate::curve::{CURVE_STEP, thin};
use crate::pixel::{PixelOptions, ProPoint, Store, pro_curve, report};
use crate::report::{Counts, DefectReport, Evaluation, ImageSummary, PixelSummary};
use crate::{MetricError, auroc, average_precision, bootstrap_interval, f1_max, tpr_at_fpr};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Resamples of every bootstrap interval.
const RESAMPLES: usize = 2000;

/// Takes scored images one by one and gives every metric, per kind of defect and overall. Maps are not kept, only their scores.
#[derive(Clone, Debug, Default)]
pub struct Evaluator {
    options: PixelOptions,
    good: Kind,
    defects: BTreeMap<String, Kind>,
    unmasked: usize,
}

/// The images of one kind of defect, or the good ones.
#[derive(Clone, Debug, Default)]
struct Kind {
    scores: Vec<f64>,
    masked: usize,
    pixels: Store,
}

impl Evaluator {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing seen yet, with other limits or memory for pixels.
    pub fn with_options(options: PixelOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Takes an image in: its kind of defect, score, map of (height, width) and mask.
    ///
    /// A defective image without a mask counts for image metrics only.
    ///
    /// # Errors
    /// [`MetricError`] for scores that are not finite, unequal lengths, or a defective image whose mask is empty.
    pub fn add(
        &mut self,
        defect: &str,
        is_defective: bool,
        image_score: f32,
        map: &[f32],
        mask: Option<&[bool]>,
        size: (usize, usize),
    ) -> Result<(), MetricError> {
        if !image_score.is_finite() {
            return Err(MetricError::NotFinite { index: self.good.scores.len() });
        }
        let kind = match is_defective {
            true => self.defects.entry(defect.to_owned()).or_default(),
            false => &mut self.good,
        };
        kind.scores.push(f64::from(image_score));
        match (is_defective, mask) {
            (false, _) => kind.pixels.add(map, None, size)?,
            (true, Some(mask)) if mask.contains(&true) => {
                kind.masked += 1;
                kind.pixels.add(map, Some(mask), size)?;
            }
            (true, Some(_)) => return Err(MetricError::EmptyMask { defect: defect.to_owned() }),
            (true, None) => self.unmasked += 1,
        }
        if self.kinds().map(|kind| kind.pixels.kept()).sum::<usize>() > self.options.exact_pixels {
            self.good.pixels.coarsen();
            self.defects.values_mut().for_each(|kind| kind.pixels.coarsen());
        }
        Ok(())
    }

    fn kinds(&self) -> impl Iterator<Item = &Kind> {
        std::iter::once(&self.good).chain(self.defects.values())
    }

    /// The metrics of everything seen. What is undefined is absent, with a note.
    ///
    /// # Errors
    /// None at present beyond what [`Self::add`] has refused already.
    pub fn finish(self) -> Result<Evaluation, MetricError> {
        Ok(self.finish_with_curve()?.0)
    }

    /// The metrics of everything seen, and the per-region overlap curve up to the limit of AUPRO (empty without masks), thinned so that
    /// no point left out lies farther than [`CURVE_STEP`] from the drawn line.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_with_curve(mut self) -> Result<(Evaluation, Vec<ProPoint>), MetricError> {
        let mut stores: Vec<&mut Store> = self.defects.values_mut().map(|kind| &mut kind.pixels).collect();
        stores.push(&mut self.good.pixels);
        stores.into_par_iter().for_each(Store::sort);
        let all: Vec<&Kind> = self.defects.values().collect();
        let per_defect = self
            .defects
            .par_iter()
            .map(|(name, kind)| DefectReport {
                defect: name.clone(),
                images: kind.scores.len(),
                image: self.image(&[kind], false),
                pixel: self.pixel(&[kind]),
            })
            .collect();
        let counts = Counts {
            good: self.good.scores.len(),
            defective: all.iter().map(|kind| kind.scores.len()).sum(),
            masked: all.iter().map(|kind| kind.masked).sum(),
        };
        let (image, pixel) = (self.image(&all, true), self.pixel(&all));
        let notes = self.notes(&counts, &pixel);
        let stores: Vec<&Store> = self.kinds().map(|kind| &kind.pixels).collect();
        let curve = match counts.masked {
            0 => Vec::new(),
            _ => thin(&pro_curve(&self.options, &stores), CURVE_STEP, |point| (point.fpr, point.overlap)),
        };
        Ok((Evaluation { image, pixel, per_defect, decisions: None, counts, notes }, curve))
    }

    fn image(&self, kinds: &[&Kind], with_intervals: bool) -> ImageSummary {
        let defective = kinds.iter().flat_map(|kind| &kind.scores);
        let scores: Vec<f64> = self.good.scores.iter().chain(defective).copied().collect();
        let labels: Vec<bool> = (0..scores.len()).map(|index| index >= self.good.scores.len()).collect();
        let best = f1_max(&scores, &labels).ok();
        let interval = |metric: fn(&[f64], &[bool]) -> Result<f64, MetricError>| {
            with_intervals
                .then(|| bootstrap_interval(metric, &scores, &labels, RESAMPLES, 0.95, 0).ok())
                .flatten()
        };
        ImageSummary {
            auroc: auroc(&scores, &labels).ok(),
            auroc_interval: interval(auroc),
            ap: average_precision(&scores, &labels).ok(),
            ap_interval: interval(average_precision),
            f1_max: best.map(|best| best.value),
            f1_max_interval: interval(|scores, labels| Ok(f1_max(scores, labels)?.value)),
            f1_max_threshold: best.map(|best| best.threshold),
            tpr_at_5_percent_fpr: tpr_at_fpr(&scores, &labels, 0.05).ok(),
        }
    }

    fn pixel(&self, kinds: &[&Kind]) -> PixelSummary {
        let stores: Vec<&Store> = kinds.iter().map(|kind| &kind.pixels).collect();
        // One class only, which is the sole error here, means that there are no masks.
        report(&self.options, &self.good.pixels, &stores).map(PixelSummary::from).unwrap_or_default()
    }

    fn notes(&self, counts: &Counts, pixel: &PixelSummary) -> Vec<String> {
        let mut notes = Vec::new();
        if counts.good == 0 || counts.defective == 0 {
            let missing = if counts.good == 0 { "good" } else { "defective" };
            notes.push(format!("there are no {missing} test images: image metrics are undefined"));
        }
        if counts.masked == 0 {
            notes.push("there are no masks: pixel metrics are undefined".into());
        } else if self.unmasked > 0 {
            notes.push(format!(
                "{} defective images have no mask and count for image metrics only",
                self.unmasked
            ));
        }
        if counts.masked > 0 && pixel.aupimo_mean.is_none() {
            let needed = (1.0 / self.options.pimo_bounds.0).round();
            notes.push(format!(
                "AUPIMO needs at least {needed} pixels of good test images and exact scores: undefined"
            ));
        }
        if pixel.error > 0.0 {
            notes.push(format!("pixels were counted in bins: pixel areas are within {:.2e}", pixel.error));
        }
        notes
    }
}
