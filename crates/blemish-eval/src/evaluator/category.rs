//! The metrics of one category, per kind of defect and overall.

use super::labelled::LabelledImage;
use super::sequences::Sequences;
use crate::curve::{CURVE_STEP, thin};
use crate::pixel::{PixelOptions, ProPoint, Store, pro_curve, report};
use crate::report::{Counts, DefectReport, Evaluation, ImageSummary, PixelSummary};
use crate::{MetricError, auroc, average_precision, bootstrap_interval, f1_max, tpr_at_fpr};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Resamples of every bootstrap interval.
const RESAMPLES: usize = 2000;

/// Images of one category. Maps are not kept, only their scores.
#[derive(Clone, Debug, Default)]
pub(super) struct Category {
    good: Kind,
    defects: BTreeMap<String, Kind>,
    unmasked: usize,
    sequences: Sequences,
}

/// The images of one kind of defect, or the good ones.
#[derive(Clone, Debug, Default)]
struct Kind {
    scores: Vec<f64>,
    masked: usize,
    pixels: Store,
}

impl Category {
    /// Takes an image in.
    ///
    /// # Errors
    /// As [`Evaluator::add_image`](super::Evaluator::add_image).
    pub(super) fn add(&mut self, image: &LabelledImage<'_>) -> Result<(), MetricError> {
        if !image.score.is_finite() {
            return Err(MetricError::NotFinite { index: self.kinds().map(|kind| kind.scores.len()).sum() });
        }
        let kind = match image.defect {
            Some(defect) => self.defects.entry(defect.to_owned()).or_default(),
            None => &mut self.good,
        };
        kind.scores.push(f64::from(image.score));
        match (image.defect, image.mask) {
            (None, _) => kind.pixels.add(image.map, None, image.size)?,
            (Some(_), Some(mask)) if mask.contains(&true) => {
                kind.masked += 1;
                kind.pixels.add(image.map, Some(mask), image.size)?;
            }
            (Some(defect), Some(_)) => return Err(MetricError::EmptyMask { defect: defect.to_owned() }),
            (Some(_), None) => self.unmasked += 1,
        }
        if let Some(sequence) = image.sequence {
            self.sequences.add(sequence, image.score, image.defect.is_some());
        }
        Ok(())
    }

    /// Pixels whose scores are kept.
    pub(super) fn kept(&self) -> usize {
        self.kinds().map(|kind| kind.pixels.kept()).sum()
    }

    /// Replaces the scores of pixels by counts.
    pub(super) fn coarsen(&mut self) {
        self.good.pixels.coarsen();
        self.defects.values_mut().for_each(|kind| kind.pixels.coarsen());
    }

    fn kinds(&self) -> impl Iterator<Item = &Kind> {
        std::iter::once(&self.good).chain(self.defects.values())
    }

    /// The metrics and the per-region overlap curve, as [`Evaluator::finish_with_curve`](super::Evaluator::finish_with_curve) says.
    pub(super) fn finish(mut self, options: &PixelOptions) -> (Evaluation, Vec<ProPoint>) {
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
                pixel: self.pixel(options, &[kind]),
            })
            .collect();
        let counts = Counts {
            good: self.good.scores.len(),
            defective: all.iter().map(|kind| kind.scores.len()).sum(),
            masked: all.iter().map(|kind| kind.masked).sum(),
        };
        let (image, pixel) = (self.image(&all, true), self.pixel(options, &all));
        let notes = self.notes(options, &counts, &pixel);
        let stores: Vec<&Store> = self.kinds().map(|kind| &kind.pixels).collect();
        let curve = match counts.masked {
            0 => Vec::new(),
            _ => thin(&pro_curve(options, &stores), CURVE_STEP, |point| (point.fpr, point.overlap)),
        };
        let sequences = self.sequences.report();
        let (decisions, categories) = (None, Vec::new());
        (Evaluation { image, pixel, per_defect, decisions, counts, notes, categories, sequences }, curve)
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

    fn pixel(&self, options: &PixelOptions, kinds: &[&Kind]) -> PixelSummary {
        let stores: Vec<&Store> = kinds.iter().map(|kind| &kind.pixels).collect();
        // The only error here is that of a single class: there are no masks.
        report(options, &self.good.pixels, &stores).map(PixelSummary::from).unwrap_or_default()
    }

    fn notes(&self, options: &PixelOptions, counts: &Counts, pixel: &PixelSummary) -> Vec<String> {
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
            let needed = (1.0 / options.pimo_bounds.0).round();
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
