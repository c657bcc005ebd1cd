//! Areas under the curves that a list of groups makes.

use crate::MetricError;
use serde::{Deserialize, Serialize};

/// Pixels of equal score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Their score; of a bin, its lower end.
    pub score: f64,
    /// Defective pixels.
    pub defective: u64,
    /// Sum over the defective pixels of 1 / size of their region.
    pub overlap: f64,
    /// Background pixels.
    pub good: u64,
}

/// The areas, fractions of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Areas {
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Average precision.
    pub ap: f64,
    /// Best F1.
    pub f1_max: f64,
    /// The lowest threshold that reaches it.
    pub f1_max_threshold: f64,
    /// Area under the per-region overlap curve up to the limit, divided by the limit.
    pub aupro: f64,
}

/// A point of the per-region overlap curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProPoint {
    /// Share of background pixels at or above the threshold.
    pub fpr: f64,
    /// Mean share of a region at or above it.
    pub overlap: f64,
    /// The threshold; infinite at the first point.
    pub threshold: f64,
}

/// The curve whose area is AUPRO, from (0, 0) to the first point at or beyond `limit`.
pub(crate) fn pro_curve(groups: &[Group], regions: u64, limit: f64) -> Vec<ProPoint> {
    let good: u64 = groups.iter().map(|group| group.good).sum();
    let mut points = vec![ProPoint { fpr: 0.0, overlap: 0.0, threshold: f64::INFINITY }];
    if good == 0 || regions == 0 {
        return Vec::new();
    }
    let (mut wrong, mut overlap) = (0u64, 0.0);
    for group in groups {
        wrong += group.good;
        overlap += group.overlap / regions as f64;
        let fpr = wrong as f64 / good as f64;
        points.push(ProPoint { fpr, overlap, threshold: group.score });
        if fpr >= limit {
            break;
        }
    }
    points
}

/// All areas in one pass over groups in descending order of score; ties are diagonals.
pub(super) fn areas(groups: &[Group], regions: u64, pro_limit: f64) -> Result<Areas, MetricError> {
    let defective: u64 = groups.iter().map(|group| group.defective).sum();
    let good: u64 = groups.iter().map(|group| group.good).sum();
    for (missing, count) in [("defective", defective), ("good", good)] {
        if count == 0 {
            return Err(MetricError::OneClass { missing });
        }
    }
    let (all_defective, all_good) = (defective as f64, good as f64);
    let mut areas = Areas { auroc: 0.0, ap: 0.0, f1_max: -1.0, f1_max_threshold: 0.0, aupro: 0.0 };
    let (mut found, mut wrong, mut overlap) = (0u64, 0u64, 0.0f64);
    for group in groups {
        let (found_before, wrong_before, overlap_before) = (found, wrong, overlap);
        found += group.defective;
        wrong += group.good;
        overlap += group.overlap / regions as f64;
        let fpr = (wrong_before as f64 / all_good, wrong as f64 / all_good);
        let tpr = (found_before as f64 / all_defective, found as f64 / all_defective);
        areas.auroc += (fpr.1 - fpr.0) * (tpr.0 + tpr.1) / 2.0;
        areas.aupro += clipped_trapezoid(fpr, (overlap_before, overlap), pro_limit);
        if group.defective > 0 {
            areas.ap += (tpr.1 - tpr.0) * found as f64 / (found + wrong) as f64;
            // Groups without defective pixels only lower F1, so they need not be looked at.
            let f1 = 2.0 * found as f64 / (found + wrong + defective) as f64;
            if f1 >= areas.f1_max {
                (areas.f1_max, areas.f1_max_threshold) = (f1, group.score);
            }
        }
    }
    areas.aupro /= pro_limit;
    Ok(areas)
}

/// Area under the segment from (x.0, y.0) to (x.1, y.1), left of `limit`.
fn clipped_trapezoid(x: (f64, f64), y: (f64, f64), limit: f64) -> f64 {
    if x.0 >= limit || x.1 <= x.0 {
        return 0.0;
    }
    let end = x.1.min(limit);
    let height = y.0 + (y.1 - y.0) * (end - x.0) / (x.1 - x.0);
    (end - x.0) * (y.0 + height) / 2.0
}

/// How far the areas can lie from those of the true order within groups: the best order has all defective pixels first, the worst
/// all background pixels.
pub(super) fn error_bound(
    groups: &[Group],
    regions: u64,
    pro_limit: f64,
    areas_in_bins: &Areas,
) -> Result<f64, MetricError> {
    let split = |defective_first: bool| -> Vec<Group> {
        groups
            .iter()
            .flat_map(|group| {
                let defective = Group { good: 0, ..*group };
                let good = Group { defective: 0, overlap: 0.0, ..*group };
                if defective_first { [defective, good] } else { [good, defective] }
            })
            .collect()
    };
    let mut bound = 0.0f64;
    for defective_first in [true, false] {
        let extreme = areas(&split(defective_first), regions, pro_limit)?;
        bound = bound
            .max((extreme.auroc - areas_in_bins.auroc).abs())
            .max((extreme.ap - areas_in_bins.ap).abs())
            .max((extreme.f1_max - areas_in_bins.f1_max).abs())
            .max((extreme.aupro - areas_in_bins.aupro).abs());
    }
    Ok(bound)
}
