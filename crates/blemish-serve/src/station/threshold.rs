//! Where the threshold can stand, what it would do, and what it promises.
//!
//! The rule is the library's ([`blemish::metrics::calibration`]); here it is only asked. What the page counts while its handle moves and what
//! the server counts on a dry run are the same numbers: an image is flagged if its score is above the threshold.

use super::store::history::Scored;
use crate::fault::Fault;
use blemish::metrics::calibration::conformal;
use blemish::metrics::{Calibration, Rule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A place where the threshold can stand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Position {
    /// The false-alarm rate that it holds.
    pub rate: f64,
    /// An image with a score above is flagged.
    pub threshold: f32,
}

/// What is asked for: one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Wanted {
    /// A threshold; it goes to the lowest position at or above it.
    pub threshold: Option<f32>,
    /// A false-alarm rate.
    pub rate: Option<f64>,
}

/// How many of some images are flagged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Flagged {
    /// Images.
    pub of: u64,
    /// Those flagged.
    pub flagged: u64,
}

/// What a threshold does to images that were scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FlaggedCounts)]
pub struct Counts {
    /// Images.
    pub of: u64,
    /// Those flagged.
    pub flagged: u64,
    /// Those labelled good.
    pub good: Flagged,
    /// Those labelled defective.
    pub defective: Flagged,
}

/// A threshold, what it promises and what it does.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Outcome {
    /// The threshold.
    pub threshold: f32,
    /// The rate that it holds; null for one that labelled images have set.
    pub rate: Option<f64>,
    /// The lower rate that was asked for, where the images are too few to promise it.
    pub asked: Option<f64>,
    /// In words.
    pub promise: String,
    /// What it does to the last images.
    #[serde(flatten)]
    pub counts: Counts,
    /// Whether it holds already.
    pub applied: bool,
}

/// The false-alarm rate that a threshold holds, and the lower one that was asked for; none where labelled images have set it.
pub fn rates(calibration: &Calibration) -> (Option<f64>, Option<f64>) {
    match calibration.rule {
        Rule::FalseAlarm { rate, asked } => (Some(rate), asked),
        Rule::Labelled { .. } => (None, None),
    }
}

/// All places where the threshold can stand, the lowest rate and so the highest threshold first.
pub fn positions(calibration: &Calibration) -> Vec<Position> {
    let (images, groups) = (calibration.images(), calibration.groups());
    let mut all: Vec<Position> = Vec::with_capacity(images);
    for above in 0..images {
        // From the rule p(s) = (1 + m #{c >= s} / n) / (m + 1): the lowest rate that lets so many scores lie above.
        let rate = (1.0 + (groups * above) as f64 / images as f64) / (groups + 1) as f64;
        let Some(threshold) = conformal::threshold(&calibration.image_scores, groups, rate) else { continue };
        // Scores that tie are one place; the lowest rate that leads to it is its promise.
        if rate < 1.0 && all.last().is_none_or(|last| threshold < last.threshold) {
            all.push(Position { rate, threshold });
        }
    }
    all
}

/// A false-alarm rate that can be asked for.
///
/// # Errors
/// `request` for one out of range.
pub fn checked_rate(rate: f64) -> Result<f64, Fault> {
    match rate > 0.0 && rate < 1.0 {
        true => Ok(rate),
        false => {
            Err(Fault::request(format!("a false-alarm rate of {rate} is not between 0 and 1; 0.01 is usual")))
        }
    }
}

/// The rate that leads to what is wanted.
///
/// # Errors
/// `request` if neither or both are given or out of range.
pub fn rate_for(calibration: &Calibration, wanted: Wanted) -> Result<f64, Fault> {
    match (wanted.threshold, wanted.rate) {
        (None, Some(rate)) => checked_rate(rate),
        (Some(threshold), None) if threshold.is_finite() => {
            let all = positions(calibration);
            let at_or_above = all.iter().rev().find(|position| position.threshold >= threshold);
            at_or_above.or(all.first()).map(|position| position.rate).ok_or_else(not_calibrated)
        }
        (Some(_), None) => Err(Fault::request("the threshold is no number; give a score")),
        _ => Err(Fault::request("give either threshold or rate; they say the same in two ways")),
    }
}

/// What a rate would lead to, without changing anything.
///
/// # Errors
/// `not_calibrated` without scores of good images.
pub fn dry_run(calibration: &Calibration, rate: f64, live: &[Scored]) -> Result<Outcome, Fault> {
    let mut changed = calibration.clone();
    changed.allow_false_alarms(rate);
    outcome(&changed, live, false)
}

/// The threshold of a calibration as an outcome.
///
/// # Errors
/// `not_calibrated` without a threshold.
pub fn outcome(calibration: &Calibration, live: &[Scored], applied: bool) -> Result<Outcome, Fault> {
    let threshold = calibration.image_threshold.ok_or_else(not_calibrated)?;
    let (rate, asked) = rates(calibration);
    Ok(Outcome {
        threshold,
        rate,
        asked,
        promise: calibration.promise(),
        counts: count(threshold, live),
        applied,
    })
}

/// What a threshold does to images that were scored by the version it belongs to.
pub fn count(threshold: f32, live: &[Scored]) -> Counts {
    let mut counts = Counts::default();
    for one in live {
        let is_flagged = u64::from(one.score > threshold);
        counts.of += 1;
        counts.flagged += is_flagged;
        let labelled = match one.label.as_deref() {
            Some("good") => &mut counts.good,
            Some("defective") => &mut counts.defective,
            _ => continue,
        };
        labelled.of += 1;
        labelled.flagged += is_flagged;
    }
    counts
}

/// There is nothing to set a threshold by.
pub fn not_calibrated() -> Fault {
    Fault::new(
        "not_calibrated",
        "the model has no scores of good images to set a threshold by; calibrate it with good images that it has not seen",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish::metrics::{Extremes, GroupedBy, Grouping, Source};

    fn calibration(scores: &[f32]) -> Calibration {
        let good: Vec<Extremes> =
            scores.iter().map(|&score| Extremes { image_score: score, map_maximum: score }).collect();
        Calibration::new(&good, Source::GoodImages, 0.1).unwrap()
    }

    fn scored(score: f32, label: Option<&str>) -> Scored {
        let label = label.map(str::to_owned);
        Scored { id: String::new(), time: 0.0, score, p_value: None, anomalous: None, label }
    }

    /// Nine scores: rates 1/10, 2/10, ... and thresholds from the highest down.
    #[test]
    fn positions_are_the_thresholds_of_the_rule() {
        let nine = calibration(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let all = positions(&nine);
        assert_eq!(all.len(), 9);
        for (number, position) in all.iter().enumerate() {
            assert!((position.rate - (number + 1) as f64 / 10.0).abs() < 1e-12);
            assert_eq!(position.threshold, 9.0 - number as f32);
            let mut set = nine.clone();
            set.allow_false_alarms(position.rate);
            assert_eq!(set.image_threshold, Some(position.threshold));
        }
        let ties = calibration(&[1.0, 2.0, 2.0, 2.0, 3.0]);
        let thresholds: Vec<f32> = positions(&ties).iter().map(|position| position.threshold).collect();
        assert_eq!(thresholds, [3.0, 2.0, 1.0]);
        // Of six images in three groups the rates step by 1/8 from 1/4.
        let grouped = calibration(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .in_groups(Grouping { groups: 3, by: GroupedBy::Given });
        let all = positions(&grouped);
        assert_eq!(all[0], Position { rate: 0.25, threshold: 6.0 });
        assert_eq!(all[1], Position { rate: 0.375, threshold: 5.0 });
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn a_threshold_goes_to_the_lowest_position_at_or_above_it() {
        let nine = calibration(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let at = |threshold| {
            let rate = rate_for(&nine, Wanted { threshold: Some(threshold), rate: None }).unwrap();
            dry_run(&nine, rate, &[]).unwrap().threshold
        };
        assert_eq!([at(-5.0), at(3.0), at(3.1), at(9.0), at(99.0)], [1.0, 3.0, 4.0, 9.0, 9.0]);
        for wanted in [
            Wanted::default(),
            Wanted { threshold: Some(1.0), rate: Some(0.1) },
            Wanted { threshold: Some(f32::NAN), rate: None },
            Wanted { threshold: None, rate: Some(0.0) },
            Wanted { threshold: None, rate: Some(1.0) },
        ] {
            assert_eq!(rate_for(&nine, wanted).unwrap_err().code, "request", "{wanted:?}");
        }
    }

    #[test]
    fn a_dry_run_counts_as_by_hand_and_says_what_can_be_promised() {
        let nine = calibration(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let live = [
            scored(9.0, Some("good")),
            scored(9.5, Some("good")),
            scored(12.0, Some("defective")),
            scored(3.0, Some("defective")),
            scored(10.0, Some("unsure")),
            scored(10.0, None),
        ];
        let outcome = dry_run(&nine, 0.01, &live).unwrap();
        assert_eq!((outcome.threshold, outcome.rate, outcome.asked), (9.0, Some(0.1), Some(0.01)));
        assert!(outcome.promise.contains("10 %") && !outcome.applied, "{}", outcome.promise);
        let counts = Counts {
            of: 6,
            flagged: 4,
            good: Flagged { of: 2, flagged: 1 },
            defective: Flagged { of: 2, flagged: 1 },
        };
        assert_eq!(outcome.counts, counts);
    }
}
