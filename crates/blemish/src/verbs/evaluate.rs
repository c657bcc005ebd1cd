//! A detector measured on labelled images.

use crate::config::ScoreOptions;
use crate::detector::{Detector, ScoredImage};
use blemish_core::error::Error;
use blemish_core::map::Scored;
use blemish_core::observer::{Observer, Silent};
use blemish_data::{Label, Mask, Skipped, Source};
use blemish_eval::report::SequenceReport;
use blemish_eval::{Calibration, Evaluation, Evaluator, Judged, LabelledImage, ProPoint, auroc, judge};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How to run an evaluation.
#[derive(Clone, Copy)]
pub struct EvaluateOptions<'a> {
    /// Images per batch.
    pub batch_size: usize,
    /// Leave broken images out instead of failing.
    pub skip_bad: bool,
    /// Progress, cancellation.
    pub observer: &'a dyn Observer,
}

impl Default for EvaluateOptions<'_> {
    fn default() -> Self {
        Self { batch_size: 8, skip_bad: false, observer: &Silent }
    }
}

impl<'a> EvaluateOptions<'a> {
    /// How the images are scored.
    pub(super) fn scoring(&self, with_masks: bool) -> ScoreOptions<'a> {
        let Self { batch_size, skip_bad, observer } = *self;
        ScoreOptions { batch_size, skip_bad, with_masks, observer }
    }
}

/// Metrics and what was left out.
#[derive(Debug)]
pub struct EvaluationOutcome {
    /// The metrics.
    pub evaluation: Evaluation,
    /// The per-region overlap curve up to the limit of AUPRO, thinned for drawing; empty without masks.
    pub pro_curve: Vec<ProPoint>,
    /// Seconds spent on reading and scoring, metrics left out.
    pub scoring_seconds: f64,
    /// Images left out on `skip_bad`, with reasons.
    pub skipped: Vec<Skipped>,
}

/// Scores labelled images and computes all metrics, per category, per defect type and overall, and for videos.
///
/// Of several categories each is judged by its own thresholds, where the model has any; one that it has not learned by those of all.
///
/// Maps and masks are compared at the size of the network's input (masks resized by nearest neighbour, with the same crop), as the
/// field's published figures are; with tiles that is the size of the image they were cut from. `each` sees the index of every image with its outcome, for pictures.
///
/// # Errors
/// Unreadable images or masks; images without a label, or metrics that are undefined because one of the two classes is absent.
pub fn evaluate(
    detector: &Detector,
    images: &dyn Source,
    options: &EvaluateOptions<'_>,
    each: &mut dyn FnMut(usize, &Scored, Option<&Mask>),
) -> Result<EvaluationOutcome, Error> {
    let undefined = |reason: &dyn std::fmt::Display| Error::Evaluation { reason: reason.to_string() };
    if images.is_empty() {
        return Err(undefined(&"there are no labelled test images"));
    }
    let is_unknown = |index: &usize| images.facts(*index).label == Label::Unknown;
    if let Some(index) = (0..images.len()).find(is_unknown) {
        let name = &images.facts(index).name;
        return Err(undefined(&format!(
            "image `{name}` is neither labelled good nor defective; label it or leave it out"
        )));
    }
    options.observer.stage("scoring", Some(images.len() as u64));
    let mut evaluator = Evaluator::new();
    let mut judged: BTreeMap<&str, Vec<Judged>> = BTreeMap::new();
    let (started, mut aside) = (Instant::now(), Duration::ZERO);
    let passed = detector.score_passing(images, &options.scoring(true), |one| -> Result<(), Error> {
        let paused = Instant::now();
        let ScoredImage { index, scored, mask, .. } = one;
        let facts = images.facts(index);
        let is_defective = facts.label == Label::Defective;
        let category = images.categories().get(facts.category).map_or("", String::as_str);
        let labelled = LabelledImage {
            category,
            sequence: facts.moment.map(|moment| moment.sequence),
            defect: is_defective.then_some(facts.defect.as_str()),
            score: scored.score,
            map: &scored.map.values,
            mask: mask.as_ref().map(|mask| mask.marked.as_slice()),
            size: (scored.map.height, scored.map.width),
        };
        evaluator.add_image(&labelled).map_err(|error| undefined(&error))?;
        let defect = is_defective.then(|| facts.defect.clone());
        judged.entry(category).or_default().push(Judged { defect, extremes: scored.extremes() });
        each(index, &scored, mask.as_ref());
        aside += paused.elapsed();
        Ok(())
    })?;
    let scoring_seconds = (started.elapsed() - aside).as_secs_f64();
    options.observer.check_cancelled()?;
    options.observer.stage("computing metrics", None);
    let (mut evaluation, pro_curve) = evaluator.finish_with_curve().map_err(|error| undefined(&error))?;
    if let Some(calibration) = detector.calibration() {
        decide(&mut evaluation, calibration, &judged);
        let is_unknown =
            |category: &&&str| calibration.categories.iter().all(|one| one.category != ***category);
        let known = !calibration.categories.is_empty();
        evaluation.notes.extend(judged.keys().filter(|_| known).filter(is_unknown).map(|category| {
            format!("the model has not learned category {category}, which is judged by the thresholds of all")
        }));
    }
    if let Some(videos) = &mut evaluation.sequences {
        name_videos(videos, images, &passed.wholes);
    }
    Ok(EvaluationOutcome { evaluation, pro_curve, scoring_seconds, skipped: passed.skipped })
}

/// Adds the names of videos, and the metric of scores by the method's rule for whole videos.
fn name_videos(videos: &mut SequenceReport, images: &dyn Source, wholes: &[(usize, f32)]) {
    let mut names: BTreeMap<u32, &str> = BTreeMap::new();
    for facts in (0..images.len()).map(|index| images.facts(index)) {
        if let (Some(moment), Some(group)) = (facts.moment, &facts.group) {
            names.entry(moment.sequence).or_insert(group);
        }
    }
    for video in &mut videos.per_sequence {
        video.name = names.get(&video.sequence).copied().unwrap_or_default().to_owned();
    }
    let scores: Vec<f64> = wholes.iter().map(|(_, score)| f64::from(*score)).collect();
    let labels: Vec<bool> =
        wholes.iter().map(|(index, _)| images.facts(*index).label == Label::Defective).collect();
    videos.published_auroc = auroc(&scores, &labels).ok();
}

/// Adds what the decisions at the model's thresholds are worth, category by category where there are several.
fn decide(evaluation: &mut Evaluation, calibration: &Calibration, judged: &BTreeMap<&str, Vec<Judged>>) {
    match judged.iter().next() {
        Some((category, images)) if judged.len() == 1 => {
            evaluation.decisions = judge(calibration.of(category), images);
        }
        _ => {
            for one in &mut evaluation.categories {
                let images = judged.get(one.category.as_str()).map(Vec::as_slice).unwrap_or_default();
                one.evaluation.decisions = judge(calibration.of(&one.category), images);
            }
        }
    }
}
