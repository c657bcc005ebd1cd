//! Metrics of anomaly detection, exactly as the field defines them.
//!
//! Image level: [`auroc`], [`average_precision`], [`f1_max`] and curves over scores and labels, with bootstrap intervals. Pixel level:
//! [`PixelMetrics`] streams maps and masks and gives AUROC, AP, F1-max, AUPRO and AUPIMO, exactly while memory lasts and with a proven
//! bound beyond. [`Evaluator`] does all of it for a detector, per category, per kind of defect and overall, and for videos. [`DriftMonitor`] watches scores in
//! production.
//!
//! Decisions: [`calibration`] turns scores of good images into p-values and thresholds with a stated promise, [`find_regions`] says where
//! a map lies above one, [`groups`] finds images that belong together, [`decisions`] counts what a threshold gets right, with exact intervals ([`binomial_interval`]).
//!
//! Conventions: larger scores are more anomalous, a point of a curve is `score >= threshold`, a decision by a calibrated
//! threshold is `score > threshold`, ties are collapsed, areas are 64-bit.

mod binomial;
mod bootstrap;
pub mod calibration;
mod components;
pub mod curve;
pub mod decisions;
pub mod drift;
mod error;
mod evaluator;
pub mod groups;
mod image;
mod keys;
pub mod pixel;
pub mod regions;
pub mod report;
#[cfg(test)]
mod tests;

pub use binomial::binomial_interval;
pub use bootstrap::{Interval, bootstrap_interval};
pub use calibration::{
    Calibration, CategoryCalibration, Criterion, Extremes, Grouping, Rule, Source, labelled_threshold,
};
pub use decisions::{DecisionReport, Judged, judge};
pub use drift::{Drift, DriftKind, DriftMonitor, DriftOptions, ImageStatistics, Statistic};
pub use error::MetricError;
pub use evaluator::{Evaluator, LabelledImage};
pub use groups::{GroupFinding, GroupedBy, find_groups};
pub use image::{
    F1Max, PrPoint, RocPoint, auroc, average_precision, f1_max, pr_curve, roc_curve, tpr_at_fpr,
};
pub use pixel::{PixelMetrics, PixelOptions, PixelReport, ProPoint};
pub use regions::{Frame, Region, find_regions};
pub use report::Evaluation;
