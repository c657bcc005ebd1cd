//! Other thresholds for a fitted model: another rate, fresh good images, labelled defects. Scores and tensors stay as they are.

use crate::calibrate::{CalibrationConfig, check_rate};
use crate::detector::{Detector, ScoreOptions};
use crate::evaluate::EvaluateOptions;
use crate::model_file;
use blemish_core::error::Error;
use blemish_data::{Label, Sample, Skipped};
use blemish_eval::{Calibration, Criterion, Extremes, Rule, Source};
use blemish_features::EngineOptions;
use std::path::Path;

/// What new thresholds are to rest on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recalibration<'a> {
    /// Good images that the model has not learnt from; they replace the scores it was calibrated with.
    pub good: Option<&'a [Sample]>,
    /// The wanted false-alarm rate; `None` keeps the model's own, or 0.01.
    pub false_alarm: Option<f64>,
    /// Labelled images and what the thresholds should be best at.
    pub labelled: Option<(&'a [Sample], Criterion)>,
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
    let (mut header, state) = model_file::read(model)?;
    let known = match header.calibration.as_ref().map(|calibration| calibration.rule) {
        Some(Rule::FalseAlarm { rate }) => rate,
        _ => CalibrationConfig::default().false_alarm,
    };
    let rate = request.false_alarm.unwrap_or(known);
    check_rate(rate)?;
    let mut skipped = Vec::new();
    let mut loaded = None;
    let mut score = |samples: &[Sample]| -> Result<Labelled, Error> {
        let detector = match &mut loaded {
            Some(detector) => detector,
            none => none.insert(Detector::load(model, engine)?),
        };
        let (labelled, left_out) = score_samples(detector, samples, options)?;
        skipped.extend(left_out);
        Ok(labelled)
    };
    let mut calibration = header.calibration.take();
    if let Some(good) = request.good {
        calibration = Calibration::new(&score(good)?.extremes, Source::GoodImages, rate);
    }
    if let Some((samples, criterion)) = request.labelled {
        let Labelled { extremes, labels } = score(samples)?;
        let unseen: Vec<Extremes> =
            extremes.iter().zip(&labels).filter(|(_, label)| !**label).map(|(one, _)| *one).collect();
        calibration = calibration.or_else(|| Calibration::new(&unseen, Source::Labelled, rate));
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
    model_file::write(output, &header, &state)?;
    Ok((calibration, skipped))
}

/// Scores of images and whether each is defective.
struct Labelled {
    extremes: Vec<Extremes>,
    labels: Vec<bool>,
}

fn score_samples(
    detector: &Detector,
    samples: &[Sample],
    options: &EvaluateOptions<'_>,
) -> Result<(Labelled, Vec<Skipped>), Error> {
    options.observer.stage("scoring", Some(samples.len() as u64));
    let score_options = ScoreOptions {
        batch_size: options.batch_size,
        skip_bad: options.skip_bad,
        with_masks: false,
        observer: options.observer,
    };
    let mut labelled = Labelled { extremes: Vec::new(), labels: Vec::new() };
    let skipped = detector.score_samples(samples, &score_options, |one| -> Result<(), Error> {
        labelled.extremes.push(one.scored.extremes());
        labelled.labels.push(samples[one.index].label == Label::Defective);
        Ok(())
    })?;
    Ok((labelled, skipped))
}
