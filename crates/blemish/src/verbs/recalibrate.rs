//! Other thresholds for a fitted model: another rate, fresh good images, labelled defects. Scores and tensors stay as they are.

use super::evaluate::EvaluateOptions;
use crate::config::{CalibrationConfig, ScoreOptions, check_rate};
use crate::detector::Detector;
use crate::file::format;
use blemish_core::error::Error;
use blemish_data::{Label, Skipped, Source};
use blemish_eval::{Calibration, Criterion, Extremes, Rule, Source as Origin};
use blemish_features::EngineOptions;
use std::path::Path;

/// What new thresholds are to rest on.
#[derive(Clone, Copy, Default)]
pub struct Recalibration<'a> {
    /// Good images that the model has not learnt from; they replace the scores it was calibrated with.
    pub good: Option<&'a dyn Source>,
    /// The wanted false-alarm rate; `None` keeps the model's own, or 0.01.
    pub false_alarm: Option<f64>,
    /// Labelled images and what the thresholds should be best at.
    pub labelled: Option<(&'a dyn Source, Criterion)>,
}

/// Gives a model file new thresholds and writes it to `output` (which may be the same file), all tensors unchanged.
///
/// # Errors
/// [`Error::Calibration`] if there is nothing to calibrate with, or labels of one kind only; [`Error`] for unreadable models and images.
pub fn recalibrate(
    model: &Path,
    output: &Path,
    request: &Recalibration<'_>,
    engine: &EngineOptions,
    options: &EvaluateOptions<'_>,
) -> Result<(Calibration, Vec<Skipped>), Error> {
    let (mut header, state) = format::read(model)?;
    let known = match header.calibration.as_ref().map(|calibration| calibration.rule) {
        Some(Rule::FalseAlarm { rate }) => rate,
        _ => CalibrationConfig::default().false_alarm,
    };
    let rate = request.false_alarm.unwrap_or(known);
    check_rate(rate)?;
    let mut skipped = Vec::new();
    let mut loaded = None;
    let mut score = |images: &dyn Source| -> Result<Labelled, Error> {
        let detector = match &mut loaded {
            Some(detector) => detector,
            none => none.insert(Detector::load(model, engine)?),
        };
        let (labelled, left_out) = score_images(detector, images, options)?;
        skipped.extend(left_out);
        Ok(labelled)
    };
    let mut calibration = header.calibration.take();
    if let Some(good) = request.good {
        calibration = Calibration::new(&score(good)?.extremes, Origin::GoodImages, rate);
    }
    if let Some((images, criterion)) = request.labelled {
        let Labelled { extremes, labels } = score(images)?;
        let unseen: Vec<Extremes> =
            extremes.iter().zip(&labels).filter(|(_, label)| !**label).map(|(one, _)| *one).collect();
        calibration = calibration.or_else(|| Calibration::new(&unseen, Origin::Labelled, rate));
        if let Some(calibration) = &mut calibration {
            let learnt = calibration.learn_from_labels(&extremes, &labels, criterion);
            learnt.map_err(|error| Error::Calibration { reason: error.to_string() })?;
        }
    } else if let Some(calibration) = &mut calibration {
        calibration.allow_false_alarms(rate);
    }
    let calibration = calibration.ok_or_else(|| Error::Calibration {
        reason: "the model holds no scores of good images; bring some with --with-good, or labelled ones"
            .into(),
    })?;
    header.calibration = Some(calibration.clone());
    format::write(output, &header, &state)?;
    Ok((calibration, skipped))
}

/// Scores of images and whether each is defective.
struct Labelled {
    extremes: Vec<Extremes>,
    labels: Vec<bool>,
}

fn score_images(
    detector: &Detector,
    images: &dyn Source,
    options: &EvaluateOptions<'_>,
) -> Result<(Labelled, Vec<Skipped>), Error> {
    options.observer.stage("scoring", Some(images.len() as u64));
    let score_options = ScoreOptions {
        batch_size: options.batch_size,
        skip_bad: options.skip_bad,
        with_masks: false,
        observer: options.observer,
    };
    let mut labelled = Labelled { extremes: Vec::new(), labels: Vec::new() };
    let skipped = detector.score_source(images, &score_options, |one| -> Result<(), Error> {
        labelled.extremes.push(one.scored.extremes());
        labelled.labels.push(images.facts(one.index).label == Label::Defective);
        Ok(())
    })?;
    Ok((labelled, skipped))
}
