//! Metrics over scores and labels.

use crate::MetricError;

/// A point of the ROC curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// Share of good samples at or above the threshold.
    pub fpr: f64,
    /// Share of defective samples at or above the threshold.
    pub tpr: f64,
    /// The threshold; infinite at the first point.
    pub threshold: f64,
}

/// A point of the precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrPoint {
    /// Share of defective among samples at or above the threshold.
    pub precision: f64,
    /// Share of defective samples at or above the threshold.
    pub recall: f64,
    /// The threshold.
    pub threshold: f64,
}

/// The best F1 and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct F1Max {
    /// max over t of 2 TP / (2 TP + FP + FN).
    pub value: f64,
    /// The lowest threshold that reaches it.
    pub threshold: f64,
    /// Precision there.
    pub precision: f64,
    /// Recall there.
    pub recall: f64,
}

/// Counts of samples at or above each distinct score, descending.
struct Step {
    threshold: f64,
    defective: u64,
    good: u64,
}

fn steps(scores: &[f64], labels: &[bool]) -> Result<Vec<Step>, MetricError> {
    if scores.len() != labels.len() {
        return Err(MetricError::Length { scores: scores.len(), labels: labels.len() });
    }
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(MetricError::NotFinite { index });
    }
    for (missing, label) in [("defective", true), ("good", false)] {
        if !labels.contains(&label) {
            return Err(MetricError::OneClass { missing });
        }
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut steps, mut defective, mut good) = (Vec::<Step>::new(), 0, 0);
    for (position, &index) in order.iter().enumerate() {
        if labels[index] {
            defective += 1
        } else {
            good += 1
        }
        // The last of a group of ties speaks for all of it.
        if order.get(position + 1).is_none_or(|&next| scores[next] != scores[index]) {
            steps.push(Step { threshold: scores[index], defective, good });
        }
    }
    Ok(steps)
}

fn totals(steps: &[Step]) -> (f64, f64) {
    steps.last().map_or((0.0, 0.0), |last| (last.defective as f64, last.good as f64))
}

/// Area under the ROC curve: the chance that a defective sample outranks a good one, ties counting half.
///
/// # Errors
/// [`MetricError`] for unequal lengths, scores that are not finite, or a missing class.
pub fn auroc(scores: &[f64], labels: &[bool]) -> Result<f64, MetricError> {
    let curve = roc_curve(scores, labels)?;
    Ok(curve.windows(2).map(|pair| (pair[1].fpr - pair[0].fpr) * (pair[1].tpr + pair[0].tpr) / 2.0).sum())
}

/// The ROC curve over all distinct thresholds, descending, from (0, 0).
///
/// # Errors
/// As [`auroc`].
pub fn roc_curve(scores: &[f64], labels: &[bool]) -> Result<Vec<RocPoint>, MetricError> {
    let steps = steps(scores, labels)?;
    let (defective, good) = totals(&steps);
    let start = RocPoint { fpr: 0.0, tpr: 0.0, threshold: f64::INFINITY };
    let point = |step: &Step| RocPoint {
        fpr: step.good as f64 / good,
        tpr: step.defective as f64 / defective,
        threshold: step.threshold,
    };
    Ok(std::iter::once(start).chain(steps.iter().map(point)).collect())
}

/// The precision-recall curve over all distinct thresholds, descending.
///
/// # Errors
/// As [`auroc`].
pub fn pr_curve(scores: &[f64], labels: &[bool]) -> Result<Vec<PrPoint>, MetricError> {
    let steps = steps(scores, labels)?;
    let (defective, _) = totals(&steps);
    let point = |step: &Step| PrPoint {
        precision: step.defective as f64 / (step.defective + step.good) as f64,
        recall: step.defective as f64 / defective,
        threshold: step.threshold,
    };
    Ok(steps.iter().map(point).collect())
}

/// Average precision: sum over thresholds of (R_k - R_k-1) P_k, the step sum without interpolation.
///
/// # Errors
/// As [`auroc`].
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Result<f64, MetricError> {
    let mut before = 0.0;
    let curve = pr_curve(scores, labels)?;
    Ok(curve
        .iter()
        .map(|point| {
            let gained = point.recall - before;
            before = point.recall;
            gained * point.precision
        })
        .sum())
}

/// The best F1 over all distinct thresholds; it needs labels, so it is for reports, not for decisions.
///
/// # Errors
/// As [`auroc`].
pub fn f1_max(scores: &[f64], labels: &[bool]) -> Result<F1Max, MetricError> {
    let curve = pr_curve(scores, labels)?;
    let f1 = |point: &PrPoint| {
        2.0 * point.precision * point.recall / (point.precision + point.recall).max(f64::MIN_POSITIVE)
    };
    // Thresholds descend: of equal values the last, lowest one stays.
    let best = curve.iter().fold(None, |best: Option<&PrPoint>, point| match best {
        Some(best) if f1(best) > f1(point) + 1e-15 => Some(best),
        _ => Some(point),
    });
    let best = best.ok_or(MetricError::OneClass { missing: "defective" })?;
    Ok(F1Max { value: f1(best), threshold: best.threshold, precision: best.precision, recall: best.recall })
}

/// The share of defective samples found when at most `fpr` of the good ones are flagged.
///
/// # Errors
/// As [`auroc`].
pub fn tpr_at_fpr(scores: &[f64], labels: &[bool], fpr: f64) -> Result<f64, MetricError> {
    let curve = roc_curve(scores, labels)?;
    Ok(curve.iter().filter(|point| point.fpr <= fpr).map(|point| point.tpr).fold(0.0, f64::max))
}
