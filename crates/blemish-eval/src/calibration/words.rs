//! What a calibration says of itself to people.

use super::{Calibration, Criterion, Rule, Source, conformal};
use crate::groups::GroupedBy;

impl Calibration {
    /// Where the scores are from, in words.
    pub fn origin(&self) -> String {
        let (count, groups) = (self.images(), self.groups());
        let told = match self.grouping.map(|grouping| grouping.by) {
            Some(GroupedBy::Names) => " (found by what they look like and are called)",
            Some(GroupedBy::Looks) => " (found by what they look like)",
            Some(GroupedBy::Pattern) => " (told by their names)",
            Some(GroupedBy::Given) | None => "",
        };
        let images = match groups < count {
            true => format!("{count} good images in {groups} groups{told}"),
            false => format!("{count} good images"),
        };
        let left_out = if groups < count { "its fold of whole groups" } else { "its fold" };
        match self.source {
            Source::Unstated => images,
            Source::Folds { folds, .. } if folds == count => {
                format!("{images}, each scored by a model fitted without it (leave one out)")
            }
            Source::Folds { folds, .. } if folds == groups => {
                format!("{images}, each scored by a model fitted without its group (leave one group out)")
            }
            Source::Folds { folds, .. } => {
                format!("{images}, each scored by a model fitted without {left_out} ({folds} folds)")
            }
            Source::HeldOut { refitted: true } => {
                format!("{images} held out of an extra fit (the model itself has seen them too)")
            }
            Source::HeldOut { refitted: false } => format!("{images} held out of the fit"),
            Source::GoodImages => format!("{images} scored by the model itself"),
            Source::Labelled => match groups < count {
                true => format!("{images}, labelled, scored by the model itself"),
                false => format!("{count} good labelled images scored by the model itself"),
            },
        }
    }

    /// What the thresholds promise, or why there are none and what would help, in words.
    pub fn promise(&self) -> String {
        let (count, groups) = (self.images(), self.groups());
        let kind = if groups < count { "groups of good images" } else { "good images" };
        match self.rule {
            Rule::FalseAlarm { rate, .. } if self.image_threshold.is_none() => {
                let (lowest, needed) = (conformal::lowest_rate(groups), conformal::needed(rate));
                format!(
                    "no threshold: {groups} {kind} cannot promise a false-alarm rate of {}, which needs {needed}; these can promise \
                     {} at best: bring more {kind}, or allow that rate",
                    percent(rate),
                    at_most(lowest),
                )
            }
            Rule::FalseAlarm { rate, asked } => {
                let held = if asked.is_some() { at_most(rate) } else { percent(rate) };
                let likely = percent(conformal::likely_below(groups, rate, 0.95));
                // The model has seen more good images than those that scored these: it does as well, which is no proof.
                let holds = match self.source {
                    Source::Folds { .. } | Source::HeldOut { refitted: true } => "expected",
                    _ => "proven",
                };
                let least = asked.map_or(String::new(), |asked| {
                    let needed = conformal::needed(asked);
                    format!(
                        ", the least that {groups} {kind} can promise; {needed} would allow {}",
                        percent(asked)
                    )
                });
                format!(
                    "at most {held} false alarms among good images like these ({holds} on average{least}); this threshold's own rate is below \
                     {likely} with 95 % confidence"
                )
            }
            Rule::Labelled { criterion, good, defective } => {
                let seen = format!("{good} good and {defective} defective labelled images");
                match criterion {
                    Criterion::F1 => format!("the best F1 on {seen}; no rate is promised"),
                    Criterion::Cost { miss, false_alarm, .. } => format!(
                        "the lowest cost on {seen} (a miss costs {miss}, a false alarm {false_alarm}); no rate is promised"
                    ),
                    Criterion::Recall { wanted } if criterion.is_promised(defective) => format!(
                        "at least {} of defective images like these are found, on average over such calibrations ({seen})",
                        percent(wanted)
                    ),
                    Criterion::Recall { wanted } => format!(
                        "all {defective} labelled defective images are found, but a recall of {} needs {} of them to be promised",
                        percent(wanted),
                        if wanted < 1.0 {
                            conformal::needed(1.0 - wanted).to_string()
                        } else {
                            "infinitely many".into()
                        }
                    ),
                }
            }
        }
    }
}

/// A share in percent, with as many digits as it needs.
fn percent(share: f64) -> String {
    let rounded = (share * 1e4).round() / 100.0;
    format!("{rounded} %")
}

/// The same of a share that is not exceeded: rounded up, to a tenth of a percent from 1 % on.
fn at_most(share: f64) -> String {
    let steps = if share >= 0.01 { 1e3 } else { 1e5 };
    let rounded = ((share * steps - 1e-9).ceil() / steps * 1e6).round() / 1e4;
    format!("{rounded} %")
}
