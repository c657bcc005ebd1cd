//! Other thresholds for a fitted model: another rate, fresh good images, labelled defects. Scores and tensors stay as they are.

use super::evaluate::EvaluateOptions;
use crate::config::{CalibrationConfig, check_rate};
use crate::detector::Detector;
use crate::file::{Claim, format};
use crate::fit::calibration_of;
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

/// Gives a model file new thresholds and writes it to `output` (which may be the same file), all tensors unchanged. Waits while another
/// process changes that file.
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
    let claim = Claim::new(output, options.observer)?;
    let (mut header, state) = format::read(model)?;
    let known = match header.calibration.as_ref().map(|calibration| calibration.rule) {
        Some(Rule::FalseAlarm { rate }) => rate,
        _ => CalibrationConfig::default().false_alarm,
    };
    let rate = request.false_alarm.unwrap_or(known);
    check_rate(rate)?;
    let mut skipped = Vec::new();
    let mut loaded = None;
    let read = (header.clone(), state.clone());
    let mut score = |images: &dyn Source| -> Result<Labelled, Error> {
        let detector = match &mut loaded {
            Some(detector) => detector,
            // Of what was read, whatever the file may have become meanwhile.
            none => none.insert(Detector::restore(model, None, read.clone(), engine)?),
        };
        let (labelled, left_out) = score_images(detector, images, options)?;
        skipped.extend(left_out);
        Ok(labelled)
    };
    let mut calibration = header.calibration.take();
    if let Some(good) = request.good {
        calibration = calibration_of(&score(good)?.scored, good, Origin::GoodImages, rate);
    }
    if let Some((images, criterion)) = request.labelled {
        let labelled = score(images)?;
        let unseen = labelled.good();
        calibration = calibration.or_else(|| calibration_of(&unseen, images, Origin::Labelled, rate));
        if let Some(calibration) = &mut calibration {
            labelled.teach(calibration, images, criterion)?;
        }
    } else if let Some(calibration) = &mut calibration {
        calibration.allow_false_alarms(rate);
    }
    let calibration = calibration.ok_or_else(|| Error::Calibration {
        reason: "the model holds no scores of good images; bring good images that it has not seen, or labelled ones"
            .into(),
    })?;
    header.calibration = Some(calibration.clone());
    format::write(claim.path(), &header, &state)?;
    Ok((calibration, skipped))
}

/// Scores of images by their index in the source, and whether each is defective.
struct Labelled {
    scored: Vec<(usize, Extremes)>,
    labels: Vec<bool>,
}

impl Labelled {
    /// The good ones.
    fn good(&self) -> Vec<(usize, Extremes)> {
        self.scored.iter().zip(&self.labels).filter(|(_, label)| !**label).map(|(one, _)| *one).collect()
    }

    /// Sets the thresholds by all images, and those of each category by its own.
    ///
    /// # Errors
    /// [`Error::Calibration`] for labels of one kind only.
    fn teach(
        &self,
        calibration: &mut Calibration,
        images: &dyn Source,
        criterion: Criterion,
    ) -> Result<(), Error> {
        let fail =
            |of: &str, error: &dyn std::fmt::Display| Error::Calibration { reason: format!("{of}{error}") };
        let of = |is_own: &dyn Fn(usize) -> bool| -> (Vec<Extremes>, Vec<bool>) {
            let own = self.scored.iter().zip(&self.labels).filter(|((image, _), _)| is_own(*image));
            own.map(|((_, extremes), label)| (*extremes, *label)).unzip()
        };
        let (extremes, labels) = of(&|_| true);
        calibration.learn_from_labels(&extremes, &labels, criterion).map_err(|error| fail("", &error))?;
        for (number, name) in images.categories().iter().enumerate() {
            let Some(own) = calibration.of_mut(name) else { continue };
            let (extremes, labels) = of(&|image| images.facts(image).category == number);
            let learnt = own.learn_from_labels(&extremes, &labels, criterion);
            learnt.map_err(|error| fail(&format!("category {name}: "), &error))?;
        }
        Ok(())
    }
}

fn score_images(
    detector: &Detector,
    images: &dyn Source,
    options: &EvaluateOptions<'_>,
) -> Result<(Labelled, Vec<Skipped>), Error> {
    options.observer.stage("scoring", Some(images.len() as u64));
    let mut labelled = Labelled { scored: Vec::new(), labels: Vec::new() };
    let skipped = detector.score_source(images, &options.scoring(false), |one| -> Result<(), Error> {
        labelled.scored.push((one.index, one.scored.extremes()));
        labelled.labels.push(images.facts(one.index).label == Label::Defective);
        Ok(())
    })?;
    Ok((labelled, skipped))
}
