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
    /// The lowest threshold that reaches it; found with labels, so no threshold to decide by.
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
