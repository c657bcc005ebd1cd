//! The whole evaluation of a detector, as it is printed and stored.

use crate::{DecisionReport, Interval, PixelReport};
use serde::{Deserialize, Serialize};

/// Metrics of a detector on labelled images, overall and per kind of defect. All are fractions of 1; `null` is undefined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Metrics of image scores.
    pub image: ImageSummary,
    /// Metrics of anomaly maps.
    pub pixel: PixelSummary,
    /// The same for every kind of defect against all good images.
    pub per_defect: Vec<DefectReport>,
    /// What the decisions at the model's own thresholds are worth; absent for a model without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<DecisionReport>,
    /// What was seen.
    pub counts: Counts,
    /// Why something is undefined or was left out.
    pub notes: Vec<String>,
    /// The evaluation of each category, by name, where there are several; `image` and `pixel` are then the means of theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<CategoryReport>,
    /// Metrics of videos; absent for still images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<SequenceReport>,
}

/// The evaluation of one of several categories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryReport {
    /// Its name.
    pub category: String,
    /// Metrics of its images alone.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}

/// How well scores separate the anomalous frames of videos from the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequenceReport {
    /// Area under the ROC curve over the frames of all videos, whose scores are brought to 0 to 1 video by video first: the frame-level
    /// AUROC of MNAD (arXiv 2003.13228) and of the field.
    pub frame_auroc: Option<f64>,
    /// The same of the scores that a method makes of whole videos by a published rule of its own, where it has one; frames that the rule leaves
    /// out do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_auroc: Option<f64>,
    /// Unweighted mean of the AUROC of the videos that have frames of both kinds.
    pub mean_auroc: Option<f64>,
    /// Every video; empty in the mean over several categories.
    pub per_sequence: Vec<OneSequence>,
}

/// One video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneSequence {
    /// Its number.
    pub sequence: u32,
    /// What it is called; empty where nobody has said it.
    #[serde(default)]
    pub name: String,
    /// Its labelled frames.
    pub frames: usize,
    /// Those that are defective.
    pub defective: usize,
    /// Area under the ROC curve of its frames; `null` where all are of one kind.
    pub auroc: Option<f64>,
}

/// Metrics of image scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageSummary {
    /// Area under the ROC curve.
    pub auroc: Option<f64>,
    /// Its 95 % bootstrap interval.
    pub auroc_interval: Option<Interval>,
    /// Average precision.
    pub ap: Option<f64>,
    /// Its 95 % bootstrap interval.
    pub ap_interval: Option<Interval>,
    /// Best F1.
    pub f1_max: Option<f64>,
    /// Its 95 % bootstrap interval.
    pub f1_max_interval: Option<Interval>,
    /// The lowest threshold that reaches it; it is found with labels and cannot serve for decisions.
    pub f1_max_threshold: Option<f64>,
    /// Share of defective images found when at most 5 % of the good ones are flagged.
    pub tpr_at_5_percent_fpr: Option<f64>,
}

/// Metrics of anomaly maps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PixelSummary {
    /// Area under the ROC curve over all pixels, good images included.
    pub auroc: Option<f64>,
    /// Average precision over all pixels.
    pub ap: Option<f64>,
    /// Best F1 over all thresholds.
    pub f1_max: Option<f64>,
    /// The lowest threshold that reaches it.
    pub f1_max_threshold: Option<f64>,
    /// Area under the per-region overlap curve up to a false positive rate of 0.3, divided by 0.3.
    pub aupro: Option<f64>,
    /// Mean over defective images of AUPIMO between false positive rates 1e-5 and 1e-4 on good images.
    pub aupimo_mean: Option<f64>,
    /// Median of the same.
    pub aupimo_median: Option<f64>,
    /// Regions of all masks.
    pub regions: u64,
    /// Bound on the error of the areas where pixels had to be counted in bins; 0 is exact.
    pub error: f64,
}

impl From<PixelReport> for PixelSummary {
    fn from(report: PixelReport) -> Self {
        Self {
            auroc: Some(report.auroc),
            ap: Some(report.ap),
            f1_max: Some(report.f1_max),
            f1_max_threshold: Some(report.f1_max_threshold),
            aupro: Some(report.aupro),
            aupimo_mean: report.aupimo.as_ref().map(|pimo| pimo.mean),
            aupimo_median: report.aupimo.as_ref().map(|pimo| pimo.median),
            regions: report.regions,
            error: report.error,
        }
    }
}

/// Metrics for one kind of defect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefectReport {
    /// Its name.
    pub defect: String,
    /// Its images.
    pub images: usize,
    /// Metrics of its image scores against those of all good images.
    pub image: ImageSummary,
    /// Metrics of its maps together with those of all good images.
    pub pixel: PixelSummary,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Good images.
    pub good: usize,
    /// Defective images.
    pub defective: usize,
    /// Defective images with a mask.
    pub masked: usize,
}
