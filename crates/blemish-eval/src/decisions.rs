//! What the decisions at a model's own thresholds are worth on labelled images.

use crate::{Calibration, Extremes, Interval, Rule, binomial_interval, bootstrap_interval};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Coverage of every interval here.
const LEVEL: f64 = 0.95;

/// Resamples of the bootstrap interval.
const RESAMPLES: usize = 2000;

/// A labelled image and its scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The kind of defect; `None` is a good image.
    pub defect: Option<String>,
    /// Its scores.
    pub extremes: Extremes,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Times it happened.
    pub count: usize,
    /// Times it could have happened.
    pub of: usize,
    /// Their ratio; `null` for none of none.
    pub rate: Option<f64>,
    /// Exact 95 % interval of the true rate (Clopper-Pearson).
    pub interval: Interval,
}

impl Observed {
    /// From counts.
    pub fn new(count: usize, of: usize) -> Self {
        let rate = (of > 0).then(|| count as f64 / of as f64);
        Self { count, of, rate, interval: binomial_interval(count, of, LEVEL) }
    }

    fn among<'a>(images: impl Iterator<Item = &'a Judged>, happened: impl Fn(&Extremes) -> bool) -> Self {
        let (mut count, mut of) = (0, 0);
        for image in images {
            of += 1;
            count += usize::from(happened(&image.extremes));
        }
        Self::new(count, of)
    }
}

/// Decisions at the thresholds of a calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionReport {
    /// An image with a score above this was flagged.
    pub image_threshold: f32,
    /// A pixel with a score above this was marked.
    pub pixel_threshold: Option<f32>,
    /// What the thresholds were chosen for.
    pub rule: Rule,
    /// Good images that were flagged.
    pub false_alarms: Observed,
    /// Defective images that were not.
    pub misses: Observed,
    /// Mean of the shares of good images passed and of defective images flagged; `null` without one of the two.
    pub balanced_accuracy: Option<f64>,
    /// Its 95 % bootstrap interval.
    pub balanced_accuracy_interval: Option<Interval>,
    /// Misses by kind of defect.
    pub misses_per_defect: BTreeMap<String, Observed>,
    /// Good images with any pixel marked.
    pub good_images_marked: Option<Observed>,
    /// Defective images with any pixel marked, wherever it lies.
    pub defective_images_marked: Option<Observed>,
}

/// Counts the decisions at a calibration's thresholds; `None` if it has none.
pub fn judge(calibration: &Calibration, images: &[Judged]) -> Option<DecisionReport> {
    let threshold = calibration.image_threshold?;
    let good = || images.iter().filter(|image| image.defect.is_none());
    let defective = || images.iter().filter(|image| image.defect.is_some());
    let is_missed = |extremes: &Extremes| extremes.image_score <= threshold;
    let marked = |above: f32| move |extremes: &Extremes| extremes.map_maximum > above;
    let mut kinds: BTreeMap<String, Vec<&Judged>> = BTreeMap::new();
    for image in images {
        if let Some(defect) = &image.defect {
            kinds.entry(defect.clone()).or_default().push(image);
        }
    }
    let scores: Vec<f64> = images.iter().map(|image| f64::from(image.extremes.image_score)).collect();
    let labels: Vec<bool> = images.iter().map(|image| image.defect.is_some()).collect();
    let balanced = |scores: &[f64], labels: &[bool]| Ok(balanced_accuracy(scores, labels, threshold.into()));
    let has_both = labels.contains(&true) && labels.contains(&false);
    Some(DecisionReport {
        image_threshold: threshold,
        pixel_threshold: calibration.pixel_threshold,
        rule: calibration.rule,
        false_alarms: Observed::among(good(), |extremes| !is_missed(extremes)),
        misses: Observed::among(defective(), is_missed),
        balanced_accuracy: has_both.then(|| balanced_accuracy(&scores, &labels, threshold.into())),
        balanced_accuracy_interval: has_both
            .then(|| bootstrap_interval(balanced, &scores, &labels, RESAMPLES, LEVEL, 0).ok())
            .flatten(),
        misses_per_defect: kinds
            .into_iter()
            .map(|(defect, images)| (defect, Observed::among(images.into_iter(), is_missed)))
            .collect(),
        good_images_marked: calibration.pixel_threshold.map(|above| Observed::among(good(), marked(above))),
        defective_images_marked: calibration
            .pixel_threshold
            .map(|above| Observed::among(defective(), marked(above))),
    })
}

/// Mean of the shares of good samples at or below the threshold and of defective ones above.
fn balanced_accuracy(scores: &[f64], labels: &[bool], threshold: f64) -> f64 {
    let mut right = [0usize; 2];
    let mut all = [0usize; 2];
    for (score, &label) in scores.iter().zip(labels) {
        all[usize::from(label)] += 1;
        right[usize::from(label)] += usize::from((*score > threshold) == label);
    }
    (right[0] as f64 / all[0] as f64 + right[1] as f64 / all[1] as f64) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    fn judged(defect: Option<&str>, image_score: f32, map_maximum: f32) -> Judged {
        Judged { defect: defect.map(str::to_owned), extremes: Extremes { image_score, map_maximum } }
    }

    #[test]
    fn decisions_are_counted_as_by_hand() {
        let ten: Vec<Extremes> = (1..=10)
            .map(|score| Extremes { image_score: score as f32, map_maximum: 10.0 * score as f32 })
            .collect();
        let mut calibration = Calibration::new(&ten, Source::GoodImages, 0.1).unwrap();
        let images = [
            judged(None, 3.0, 30.0),
            judged(None, 10.0, 101.0),
            judged(None, 11.0, 90.0),
            judged(None, 1.0, 10.0),
            judged(Some("hole"), 12.0, 120.0),
            judged(Some("hole"), 9.0, 95.0),
            judged(Some("scratch"), 10.1, 100.0),
        ];
        let report = judge(&calibration, &images).unwrap();
        assert_eq!((report.false_alarms.count, report.false_alarms.of), (1, 4), "10 is not above 10");
        assert_eq!((report.misses.count, report.misses.of), (1, 3));
        assert_eq!(report.balanced_accuracy, Some((3.0 / 4.0 + 2.0 / 3.0) / 2.0));
        assert_eq!(report.misses_per_defect["hole"].rate, Some(0.5));
        assert_eq!(report.misses_per_defect["scratch"].count, 0);
        assert_eq!(report.good_images_marked.map(|seen| seen.count), Some(1));
        assert_eq!(report.defective_images_marked.map(|seen| seen.count), Some(1));
        let interval = report.balanced_accuracy_interval.unwrap();
        assert!(interval.low < 17.0 / 24.0 && interval.high > 17.0 / 24.0);
        let only_good = judge(&calibration, &images[..4]).unwrap();
        assert_eq!((only_good.balanced_accuracy, only_good.misses.rate), (None, None));
        calibration.image_threshold = None;
        assert!(judge(&calibration, &images).is_none());
    }
}
