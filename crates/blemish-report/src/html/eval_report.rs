//! What the report of one evaluation shows, and the decisions that a threshold makes.

use super::evidence::Finding;
use blemish_eval::{Evaluation, PrPoint, ProPoint, RocPoint};

/// Everything the page shows.
pub struct EvalReport {
    /// Name of the data, for the title.
    pub title: String,
    /// The metrics.
    pub evaluation: Evaluation,
    /// Every test image.
    pub images: Vec<ImageLine>,
    /// The frames of every video, in the order of time; empty for still images.
    pub videos: Vec<VideoLine>,
    /// The threshold of image scores that the report starts from.
    pub threshold: Threshold,
    /// The threshold of pixels, for the operating point of the region curve.
    pub pixel_threshold: Option<Threshold>,
    /// What is drawn.
    pub curves: Curves,
    /// Defective images, the lowest score first.
    pub misses: Vec<Finding>,
    /// Good images, the highest score first.
    pub alarms: Vec<Finding>,
    /// How to do it again.
    pub provenance: Provenance,
}

/// A test image.
#[derive(Clone, Debug)]
pub struct ImageLine {
    /// "good", or its kind of defect.
    pub defect: String,
    /// Whether it has a defect.
    pub is_defective: bool,
    /// Its score.
    pub score: f64,
}

/// A video of a test.
#[derive(Clone, Debug)]
pub struct VideoLine {
    /// What it is called.
    pub name: String,
    /// Of every frame, in the order of time, the score and whether it is anomalous.
    pub frames: Vec<(f64, bool)>,
}

/// A threshold, how it decides and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// The score.
    pub value: f64,
    /// What is anomalous.
    pub rule: Rule,
    /// Where it comes from.
    pub origin: ThresholdOrigin,
}

/// Which side of a threshold the threshold itself is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anomalous above it: calibrated thresholds.
    Above,
    /// Anomalous at or above it: thresholds found on a curve.
    AtOrAbove,
}

/// Where a threshold comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdOrigin {
    /// The model's own, from good images only.
    Model,
    /// The best F1 on these very images, with their labels.
    BestF1,
}

impl Threshold {
    pub(super) fn is_alarm(&self, score: f64) -> bool {
        match self.rule {
            Rule::Above => score > self.value,
            Rule::AtOrAbove => score >= self.value,
        }
    }

    pub(super) fn words(&self) -> &'static str {
        match self.origin {
            ThresholdOrigin::Model => {
                "the model's own, set from good images only, as it would decide in production"
            }
            ThresholdOrigin::BestF1 => {
                "the one with the best F1 on these very images; it was found with their labels, so expect worse on new images"
            }
        }
    }
}

/// Curves, thinned for drawing; empty where undefined.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// Of image scores.
    pub roc: Vec<RocPoint>,
    /// Of image scores.
    pub pr: Vec<PrPoint>,
    /// Of regions, up to a false positive rate of 0.3.
    pub pro: Vec<ProPoint>,
    /// Of the training, one a network; empty for a method that trains none.
    pub losses: Vec<LossCurve>,
}

/// What the loss did over the training of a network.
#[derive(Clone, Debug)]
pub struct LossCurve {
    /// Which network, where there are several.
    pub network: String,
    /// Steps that each value is the mean of.
    pub part: u64,
    /// Mean losses, in order.
    pub losses: Vec<f64>,
}

/// What it takes to get the same page again, and what it cost.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The command, as typed.
    pub command: String,
    /// Names and values: versions, digests, settings, time and memory. Shown in this order.
    pub facts: Vec<(String, String)>,
    /// The same of time and memory.
    pub costs: Vec<(String, String)>,
}

/// What a threshold makes of the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) found: usize,
    pub(super) missed: usize,
    pub(super) alarms: usize,
    pub(super) passed: usize,
}

impl Counts {
    pub(super) fn of(images: &[ImageLine], threshold: &Threshold) -> Self {
        let mut counts = Self::default();
        for image in images {
            *match (image.is_defective, threshold.is_alarm(image.score)) {
                (true, true) => &mut counts.found,
                (true, false) => &mut counts.missed,
                (false, true) => &mut counts.alarms,
                (false, false) => &mut counts.passed,
            } += 1;
        }
        counts
    }

    pub(super) fn recall(&self) -> Option<f64> {
        share(self.found, self.found + self.missed)
    }

    pub(super) fn false_alarms(&self) -> Option<f64> {
        share(self.alarms, self.alarms + self.passed)
    }

    pub(super) fn precision(&self) -> Option<f64> {
        share(self.found, self.found + self.alarms)
    }
}

/// A part of a whole; `None` of nothing.
pub(super) fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
