//! What good images that a model has not learnt from say about its scores: the ground of every decision.
//!
//! [`conformal`] turns their scores into p-values and thresholds for a wanted false-alarm rate without any assumption on the scores'
//! distribution; [`labelled`] finds thresholds where labelled defects exist. [`Calibration`] is what a model file keeps of either.

pub mod conformal;
pub mod labelled;
#[cfg(test)]
mod tests;

use crate::MetricError;
pub use labelled::{Criterion, labelled_threshold};
use serde::{Deserialize, Serialize};

/// Out-of-sample scores of good images and the thresholds that follow from them; part of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Image scores of good images that the scoring model had not seen, ascending.
    pub image_scores: Vec<f32>,
    /// The highest value of each of their anomaly maps, ascending.
    pub map_maxima: Vec<f32>,
    /// An image with a score above this is anomalous; `None` if the images are too few to promise the asked rate.
    pub image_threshold: Option<f32>,
    /// A pixel with a score above this is anomalous; `None` as above.
    pub pixel_threshold: Option<f32>,
    /// Where the scores are from.
    #[serde(default)]
    pub source: Source,
    /// What the thresholds were chosen for.
    #[serde(default)]
    pub rule: Rule,
    /// The calibration of each category, by name, where the images are of several; the fields above are then of all together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<CategoryCalibration>,
}

/// The calibration of one of several categories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryCalibration {
    /// Its name.
    pub category: String,
    /// Scores and thresholds of its images alone; it has no categories of its own.
    #[serde(flatten)]
    pub calibration: Calibration,
}

/// How scores of good images were got without the scoring model having seen them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// Not stated.
    #[default]
    Unstated,
    /// The training images, each scored by a model fitted without its fold.
    Folds {
        /// Number of folds.
        folds: usize,
        /// Number of groups that were kept together; `None` where every image is for itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        groups: Option<usize>,
    },
    /// A part of the training images, scored by a model fitted without them.
    HeldOut {
        /// Whether the model itself has learnt from them as well (one more fit was made for calibration).
        refitted: bool,
    },
    /// Other good images, scored by the model itself.
    GoodImages,
    /// The good ones of labelled images, scored by the model itself.
    Labelled,
}

/// What thresholds were chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    /// A share of good images that may be flagged, image- and pixel-wise.
    FalseAlarm {
        /// The share.
        rate: f64,
    },
    /// Labelled images.
    Labelled {
        /// What the thresholds are best at.
        criterion: Criterion,
        /// Good images seen.
        good: usize,
        /// Defective images seen.
        defective: usize,
    },
}

impl Default for Rule {
    fn default() -> Self {
        Self::FalseAlarm { rate: 0.01 }
    }
}

/// The scores of one image that decisions rest on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extremes {
    /// Its image score.
    pub image_score: f32,
    /// The highest value of its anomaly map.
    pub map_maximum: f32,
}

impl Calibration {
    /// Thresholds for a false-alarm rate from the scores of good images; `None` without any.
    ///
    /// The pixel threshold is set on the maxima of the maps, so it too promises a share of images: at most `rate` of the good ones
    /// have any pixel marked.
    pub fn new(good: &[Extremes], source: Source, rate: f64) -> Option<Self> {
        let ascending = |value: fn(&Extremes) -> f32| {
            let mut values: Vec<f32> = good.iter().map(value).collect();
            values.sort_unstable_by(f32::total_cmp);
            values
        };
        let mut calibration = Self {
            image_scores: ascending(|extremes| extremes.image_score),
            map_maxima: ascending(|extremes| extremes.map_maximum),
            image_threshold: None,
            pixel_threshold: None,
            source,
            rule: Rule::default(),
            categories: Vec::new(),
        };
        calibration.allow_false_alarms(rate);
        (!good.is_empty()).then_some(calibration)
    }

    /// Adds the calibrations of the categories that the images are of. An image is then judged by the good images of its own category
    /// alone, and the rate is promised for each category (Mondrian conformal prediction: Vovk, Gammerman and Shafer 2005, section 4.5).
    /// A single category is all there is, and adds nothing.
    pub fn with_categories(mut self, categories: impl IntoIterator<Item = (String, Self)>) -> Self {
        let categories = categories.into_iter();
        self.categories =
            categories.map(|(category, calibration)| CategoryCalibration { category, calibration }).collect();
        self.categories.sort_by(|a, b| a.category.cmp(&b.category));
        if self.categories.len() < 2 {
            self.categories.clear();
        }
        self
    }

    /// Sets both thresholds for a false-alarm rate, between 0 and 1.
    pub fn allow_false_alarms(&mut self, rate: f64) {
        self.image_threshold = conformal::threshold(&self.image_scores, self.groups(), rate);
        self.pixel_threshold = conformal::threshold(&self.map_maxima, self.groups(), rate);
        self.rule = Rule::FalseAlarm { rate };
        self.categories.iter_mut().for_each(|one| one.calibration.allow_false_alarms(rate));
    }

    /// What an image of this category is judged by: the category's own calibration, or that of all images together where it has none.
    pub fn of(&self, category: &str) -> &Self {
        match self.categories.iter().find(|one| one.category == category) {
            Some(one) => &one.calibration,
            None => self,
        }
    }

    /// The calibration of a category, to set its thresholds by its own labelled images; `None` where it has none of its own.
    pub fn of_mut(&mut self, category: &str) -> Option<&mut Self> {
        self.categories.iter_mut().find(|one| one.category == category).map(|one| &mut one.calibration)
    }

    /// Sets both thresholds by labelled images (true is defective): the image threshold on their scores, the pixel threshold on the
    /// maxima of their maps. The scores of good images, and so the p-values, stay, and so do the thresholds of single categories
    /// ([`Self::of_mut`]).
    ///
    /// # Errors
    /// As [`labelled_threshold`].
    pub fn learn_from_labels(
        &mut self,
        images: &[Extremes],
        labels: &[bool],
        criterion: Criterion,
    ) -> Result<(), MetricError> {
        let of = |value: fn(&Extremes) -> f32| images.iter().map(value).collect::<Vec<f32>>();
        let image = labelled_threshold(&of(|extremes| extremes.image_score), labels, &criterion)?;
        let pixel = labelled_threshold(&of(|extremes| extremes.map_maximum), labels, &criterion)?;
        (self.image_threshold, self.pixel_threshold) = (Some(image), Some(pixel));
        let defective = labels.iter().filter(|&&label| label).count();
        self.rule = Rule::Labelled { criterion, good: labels.len() - defective, defective };
        Ok(())
    }

    /// Number of calibrating images.
    pub fn images(&self) -> usize {
        self.image_scores.len()
    }

    /// Number of groups of calibrating images; without groups, of images.
    pub fn groups(&self) -> usize {
        match self.source {
            Source::Folds { groups: Some(groups), .. } => groups,
            _ => self.images(),
        }
    }

    /// The share of good images that score like this or worse, at most: [`conformal::p_value`].
    pub fn p_value(&self, image_score: f32) -> f64 {
        conformal::p_value(&self.image_scores, self.groups(), image_score)
    }

    /// The lowest false-alarm rate that these images can promise, rounded up to four digits so that it can be asked for.
    pub fn lowest_rate(&self) -> f64 {
        (conformal::lowest_rate(self.groups()) * 1e4).ceil() / 1e4
    }

    /// Whether an image of this score is anomalous; `None` without a threshold.
    pub fn is_anomalous(&self, image_score: f32) -> Option<bool> {
        self.image_threshold.map(|threshold| image_score > threshold)
    }

    /// Whether the content makes sense: as many maxima as scores, at least one, all finite and ascending, a rate between 0 and 1; the same
    /// for every category.
    pub fn is_valid(&self) -> bool {
        let is_ascending =
            |values: &[f32]| values.is_sorted() && values.iter().all(|value| value.is_finite());
        let is_rate = match self.rule {
            Rule::FalseAlarm { rate } => rate > 0.0 && rate < 1.0,
            Rule::Labelled { .. } => true,
        };
        !self.image_scores.is_empty()
            && self.image_scores.len() == self.map_maxima.len()
            && is_ascending(&self.image_scores)
            && is_ascending(&self.map_maxima)
            && (1..=self.images()).contains(&self.groups())
            && [self.image_threshold, self.pixel_threshold].iter().flatten().all(|value| value.is_finite())
            && is_rate
            && self
                .categories
                .iter()
                .all(|one| one.calibration.is_valid() && one.calibration.categories.is_empty())
    }

    /// Where the scores are from, in words.
    pub fn origin(&self) -> String {
        let count = self.images();
        match self.source {
            Source::Unstated => format!("{count} good images"),
            Source::Folds { folds, groups: Some(groups) } => format!(
                "{count} good images in {groups} groups, each scored by a model fitted without its fold of whole groups ({folds} folds)"
            ),
            Source::Folds { folds, .. } if folds == count => {
                format!("{count} good images, each scored by a model fitted without it (leave one out)")
            }
            Source::Folds { folds, .. } => {
                format!("{count} good images, each scored by a model fitted without its fold ({folds} folds)")
            }
            Source::HeldOut { refitted: true } => {
                format!("{count} good images held out of an extra fit (the model itself has seen them too)")
            }
            Source::HeldOut { refitted: false } => format!("{count} good images held out of the fit"),
            Source::GoodImages => format!("{count} good images scored by the model itself"),
            Source::Labelled => format!("{count} good labelled images scored by the model itself"),
        }
    }

    /// What the thresholds promise, or why there are none and what would help, in words.
    pub fn promise(&self) -> String {
        let count = self.images();
        match self.rule {
            Rule::FalseAlarm { rate } if self.image_threshold.is_none() => {
                let groups = self.groups();
                let (lowest, needed) = (conformal::lowest_rate(groups), conformal::needed(rate));
                let kind = if groups < count { "groups of good images" } else { "good images" };
                format!(
                    "no threshold: {groups} {kind} cannot promise a false-alarm rate of {}, which needs {needed}; these can promise \
                     {} at best: bring more {kind}, or allow that rate",
                    percent(rate),
                    percent(lowest),
                )
            }
            Rule::FalseAlarm { rate } => {
                let likely = percent(conformal::likely_below(self.groups(), rate, 0.95));
                let holds = match self.source {
                    Source::Folds { .. } | Source::HeldOut { refitted: true } => {
                        "proven for held-out images, expected here since the model has seen more good images than those that scored these"
                    }
                    _ => "proven for images exchangeable with these",
                };
                format!(
                    "at most {} of good images like these are flagged, on average over such calibrations ({holds}); this threshold's \
                     own rate is below {likely} with 95 % confidence",
                    percent(rate)
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
