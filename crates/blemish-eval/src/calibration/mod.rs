//! What good images that a model has not learnt from say about its scores: the ground of every decision.
//!
//! [`conformal`] turns their scores into p-values and thresholds for a wanted false-alarm rate without any assumption on the scores'
//! distribution; [`labelled`] finds thresholds where labelled defects exist. [`Calibration`] is what a model file keeps of either.

pub mod conformal;
pub mod labelled;
#[cfg(test)]
mod tests;

mod words;

use crate::groups::GroupedBy;
use crate::{ImageStatistics, MetricError};
pub use labelled::{Criterion, labelled_threshold};
use serde::{Deserialize, Serialize};

/// Out-of-sample scores of good images and the thresholds that follow from them; part of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Image scores of good images that the scoring model had not seen, ascending.
    pub image_scores: Vec<f32>,
    /// The highest value of each of their anomaly maps, ascending.
    pub map_maxima: Vec<f32>,
    /// An image with a score above this is anomalous; `None` in files of programs that gave none where the images were too few to promise
    /// the asked rate.
    pub image_threshold: Option<f32>,
    /// A pixel with a score above this is anomalous; `None` as above.
    pub pixel_threshold: Option<f32>,
    /// Where the scores are from.
    #[serde(default)]
    pub source: Source,
    /// What the thresholds were chosen for.
    #[serde(default)]
    pub rule: Rule,
    /// The groups of images that belong together, where there are any: they count, not their images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouping: Option<Grouping>,
    /// Statistics of the images before the transform, in the order of their scores; empty where none were taken. They are the reference
    /// of a [`crate::DriftMonitor`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statistics: Vec<ImageStatistics>,
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

/// Groups of calibrating images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    /// Their number; an image on its own is a group.
    pub groups: usize,
    /// What told them.
    pub by: GroupedBy,
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
        /// The share that the threshold holds.
        rate: f64,
        /// The lower share that was asked for, where the images are too few to promise it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<f64>,
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
        Self::FalseAlarm { rate: 0.01, asked: None }
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
            grouping: None,
            statistics: Vec::new(),
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

    /// The same for images that come in groups: m groups promise what m images can. Thresholds set for a rate are set anew.
    pub fn in_groups(mut self, grouping: Grouping) -> Self {
        self.grouping = Some(grouping);
        if let Rule::FalseAlarm { rate, asked } = self.rule {
            self.allow_false_alarms(asked.unwrap_or(rate));
        }
        self
    }

    /// The same with statistics of the images, each with its image's score.
    pub fn with_statistics(mut self, mut of_images: Vec<(f32, ImageStatistics)>) -> Self {
        of_images.sort_by(|one, other| one.0.total_cmp(&other.0));
        self.statistics = of_images.into_iter().map(|(_, statistics)| statistics).collect();
        self
    }

    /// Sets both thresholds for a false-alarm rate, between 0 and 1, or for the lowest one that the images can promise where it is lower:
    /// there is always a threshold, and the rule says what it holds.
    pub fn allow_false_alarms(&mut self, rate: f64) {
        let lowest = conformal::lowest_rate(self.groups());
        let is_promised = conformal::threshold(&self.image_scores, self.groups(), rate).is_some();
        let (held, asked) = if is_promised { (rate, None) } else { (lowest, Some(rate)) };
        self.image_threshold = conformal::threshold(&self.image_scores, self.groups(), held);
        self.pixel_threshold = conformal::threshold(&self.map_maxima, self.groups(), held);
        self.rule = Rule::FalseAlarm { rate: held, asked };
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
        match (self.grouping, self.source) {
            (Some(Grouping { groups, .. }), _) | (None, Source::Folds { groups: Some(groups), .. }) => groups,
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
        let is_share = |share: f64| share > 0.0 && share < 1.0;
        let is_rate = match self.rule {
            Rule::FalseAlarm { rate, asked } => is_share(rate) && asked.is_none_or(is_share),
            Rule::Labelled { .. } => true,
        };
        let has_statistics = self.statistics.is_empty() || self.statistics.len() == self.images();
        !self.image_scores.is_empty()
            && self.image_scores.len() == self.map_maxima.len()
            && is_ascending(&self.image_scores)
            && is_ascending(&self.map_maxima)
            && (1..=self.images()).contains(&self.groups())
            && [self.image_threshold, self.pixel_threshold].iter().flatten().all(|value| value.is_finite())
            && is_rate
            && has_statistics
            && self.statistics.iter().all(ImageStatistics::are_finite)
            && self
                .categories
                .iter()
                .all(|one| one.calibration.is_valid() && one.calibration.categories.is_empty())
    }
}
