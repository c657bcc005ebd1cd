//! Thresholds that labelled defects allow.

use crate::{MetricError, f1_max, roc_curve};
use serde::{Deserialize, Serialize};

/// What a threshold found with labels is best at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Criterion {
    /// The highest F1, 2 TP / (2 TP + FP + FN); of equal ones the lowest threshold.
    F1,
    /// The lowest expected cost: share x miss rate x `miss` + (1 - share) x false-alarm rate x `false_alarm`.
    Cost {
        /// Cost of a missed defective image.
        miss: f64,
        /// Cost of a false alarm.
        false_alarm: f64,
        /// Share of defective images in production; `None` is their share among the labelled ones.
        defect_share: Option<f64>,
    },
    /// A new defective image like the labelled ones is missed with probability at most 1 - `wanted`.
    ///
    /// Conformal, as the false-alarm rate: of m defective scores in ascending order the floor((m + 1)(1 - wanted))-th is the lowest
    /// flagged. Where that is zero (m < 1 / (1 - wanted) - 1), all labelled ones are flagged and nothing is promised.
    Recall {
        /// The recall.
        wanted: f64,
    },
}

impl Criterion {
    /// Whether `defective` labelled images suffice for what the criterion promises; those that promise nothing always do.
    pub fn is_promised(&self, defective: usize) -> bool {
        match self {
            Self::Recall { wanted } => rank(defective, *wanted) > 0,
            _ => true,
        }
    }
}

/// The threshold that is best for labelled scores (true is defective); an image with a score above it is anomalous.
///
/// It lies halfway between the lowest score that is flagged and the next one below.
///
/// # Errors
/// [`MetricError`] for unequal lengths, scores that are not finite, or a missing class.
pub fn labelled_threshold(
    scores: &[f32],
    labels: &[bool],
    criterion: &Criterion,
) -> Result<f32, MetricError> {
    let wide: Vec<f64> = scores.iter().map(|&score| f64::from(score)).collect();
    let curve = roc_curve(&wide, labels)?;
    let lowest_flagged = match *criterion {
        Criterion::F1 => f1_max(&wide, labels)?.threshold,
        Criterion::Cost { miss, false_alarm, defect_share } => {
            let count = labels.iter().filter(|&&label| label).count();
            let share = defect_share.unwrap_or(count as f64 / labels.len() as f64);
            let cost = |fpr: f64, tpr: f64| share * (1.0 - tpr) * miss + (1.0 - share) * fpr * false_alarm;
            let mut best = (f64::INFINITY, f64::INFINITY);
            for point in &curve {
                let cost = cost(point.fpr, point.tpr);
                // Thresholds descend: of equal costs the lowest threshold stays.
                if cost <= best.0 {
                    best = (cost, point.threshold);
                }
            }
            best.1
        }
        Criterion::Recall { wanted } => {
            let mut defective: Vec<f64> =
                wide.iter().zip(labels).filter(|(_, label)| **label).map(|(score, _)| *score).collect();
            defective.sort_unstable_by(f64::total_cmp);
            defective[rank(defective.len(), wanted).max(1) - 1]
        }
    };
    Ok(just_below(scores, lowest_flagged as f32))
}

/// floor((m + 1)(1 - wanted)), guarded against rounding.
fn rank(defective: usize, wanted: f64) -> usize {
    ((defective + 1) as f64 * (1.0 - wanted) + 1e-9).floor() as usize
}

/// Halfway between `flagged` and the next lower score; an infinite `flagged` flags nothing.
fn just_below(scores: &[f32], flagged: f32) -> f32 {
    let next = scores.iter().copied().filter(|&score| score < flagged).fold(f32::NEG_INFINITY, f32::max);
    if next == f32::NEG_INFINITY {
        return flagged.next_down();
    }
    if flagged == f32::INFINITY {
        return next;
    }
    let middle = next + (flagged - next) / 2.0;
    if middle < flagged { middle } else { next }
}
