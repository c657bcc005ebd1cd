//! Metrics of anomaly detection, exactly as the field defines them.
//!
//! Image level: [`auroc`], [`average_precision`], [`f1_max`] and curves over scores and labels, with bootstrap intervals. Pixel level:
//! [`PixelMetrics`] streams maps and masks and gives AUROC, AP, F1-max, AUPRO and AUPIMO, exactly while memory lasts and with a proven
//! bound beyond. [`Evaluator`] does all of it for a detector, per kind of defect and overall. [`DriftMonitor`] watches scores in
//! production.
//!
//! Conventions: larger scores are more anomalous, a decision is `score >= threshold`, ties are collapsed, areas are 64-bit.

mod bootstrap;
pub mod calibration;
mod components;
pub mod drift;
mod error;
mod evaluator;
mod image;
mod keys;
pub mod pixel;
pub mod report;
#[cfg(test)]
mod tests;

pub use bootstrap::{Interval, bootstrap_interval};
pub use calibration::Calibration;
pub use drift::{Drift, DriftKind, DriftMonitor, DriftOptions};
pub use error::MetricError;
pub use evaluator::Evaluator;
pub use image::{
    F1Max, PrPoint, RocPoint, auroc, average_precision, f1_max, pr_curve, roc_curve, tpr_at_fpr,
};
pub use pixel::{PixelMetrics, PixelOptions, PixelReport};
pub use report::Evaluation;
