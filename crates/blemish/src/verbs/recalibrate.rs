//! Other thresholds for a fitted model: another rate, fresh good images, labelled defects. Scores and tensors stay as they are.

use super::evaluate::EvaluateOptions;
use crate::config::{CalibrationConfig, Groups, check_rate};
use crate::detector::Detector;
use crate::file::{Claim, format};
use crate::fit::{Reading, calibration_of, group};
use crate::looks::Watched;
use crate::record;
use blemish_core::error::Error;
use blemish_data::{Label, ReadOptions, Skipped, Source};
use blemish_eval::{Calibration, Criterion, Extremes, GroupedBy, Grouping, Rule, Source as Origin};
use blemish_features::EngineOptions;
use std::cell::OnceCell;
use std::path::Path;

/// What new thresholds are to rest on.
#[derive(Clone, Copy, Default)]
pub struct Recalibration<'a> {
    /// Good images that the model has not learnt from; they replace the scores it was calibrated with, those of a category
    /// alone where all are of one of several that it knows.
    pub good: Option<&'a dyn Source>,
    /// The wanted false-alarm rate; `None` keeps the model's own, or 0.01.
    pub false_alarm: Option<f64>,
    /// Labelled images and what the thresholds should be best at.
    pub labelled: Option<(&'a dyn Source, Criterion)>,
    /// Which of the new good images belong together; `None` is [`Groups::Auto`].
    pub groups: Option<&'a Groups>,
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
    let (mut header, mut state) = format::read(model)?;
    let read = (header.clone(), state.clone());
    // Of what was read, whatever the file may have become meanwhile. A change of the rate alone needs no model.
    let loaded = OnceCell::new();
    let load = || match loaded.get() {
        Some(detector) => Ok(detector),
        None => {
            let detector = Detector::restore(model, None, read.clone(), engine)?;
            Ok(loaded.get_or_init(|| detector))
        }
    };
    let (calibration, skipped) = calibrated(header.calibration.take(), &load, request, options)?;
    // What verification finds from now on are changes of these thresholds.
    let mut verification = state.split_off_prefix(record::PREFIX);
    record::decide(&mut verification, Some(&calibration))?;
    state.absorb(record::PREFIX, verification);
    header.calibration = Some(calibration.clone());
    format::write(claim.path(), &header, &state)?;
    Ok((calibration, skipped))
}

impl Detector {
    /// This detector with new thresholds, all tensors unchanged, and the images that were left out. The engine is for the new one.
    ///
    /// # Errors
    /// As [`recalibrate`].
    pub fn recalibrated(
        &self,
        request: &Recalibration<'_>,
        engine: &EngineOptions,
        options: &EvaluateOptions<'_>,
    ) -> Result<(Self, Vec<Skipped>), Error> {
        let known = self.calibration.clone();
        let (calibration, skipped) = calibrated(known, &|| Ok(self), request, options)?;
        let mut detector = self.reopened(engine)?;
        record::decide(&mut detector.verification, Some(&calibration))?;
        detector.calibration = Some(calibration);
        Ok((detector, skipped))
    }
}

impl Detector {
    /// This detector with thresholds from scores of good images that it has not seen, got elsewhere by this very model, such as on several
    /// machines. Images that belong together count as one: `groups` is their number where it is not that of the images.
    ///
    /// Statistics of the images are not among the scores, so that a monitor has no reference in it.
    ///
    /// # Errors
    /// [`Error::Calibration`] without scores, [`Error::Setting`] for a rate outside 0 to 1.
    pub fn calibrated_by(
        &self,
        good: &[Extremes],
        groups: Option<usize>,
        false_alarm: f64,
        engine: &EngineOptions,
    ) -> Result<Self, Error> {
        check_rate(false_alarm)?;
        if good.iter().any(|one| !(one.image_score.is_finite() && one.map_maximum.is_finite())) {
            return Err(Error::Calibration {
                reason: "a score is not finite; leave broken images out".into(),
            });
        }
        let found = Calibration::new(good, Origin::GoodImages, false_alarm);
        let calibration = found.ok_or_else(|| Error::Calibration {
            reason: "there are no scores of good images; bring some".into(),
        })?;
        let grouping = groups
            .filter(|&groups| groups < good.len())
            .map(|groups| Grouping { by: GroupedBy::Given, groups });
        let calibration = match grouping {
            Some(grouping) => calibration.in_groups(grouping),
            None => calibration,
        };
        let mut detector = self.reopened(engine)?;
        record::decide(&mut detector.verification, Some(&calibration))?;
        detector.calibration = Some(calibration);
        Ok(detector)
    }
}

/// New thresholds by a request, from those that a model has; `load` gives the model where images must be scored.
fn calibrated<'a>(
    known: Option<Calibration>,
    load: &dyn Fn() -> Result<&'a Detector, Error>,
    request: &Recalibration<'_>,
    options: &EvaluateOptions<'_>,
) -> Result<(Calibration, Vec<Skipped>), Error> {
    let own_rate = match known.as_ref().map(|calibration| calibration.rule) {
        Some(Rule::FalseAlarm { rate, asked }) => asked.unwrap_or(rate),
        _ => CalibrationConfig::default().false_alarm,
    };
    let rate = request.false_alarm.unwrap_or(own_rate);
    check_rate(rate)?;
    let mut skipped = Vec::new();
    let mut score = |images: &Watched<'_>| -> Result<(Labelled, ReadOptions), Error> {
        let detector = load()?;
        let (labelled, left_out) = score_images(detector, images, options)?;
        skipped.extend(left_out);
        Ok((labelled, detector.transform().read_options()))
    };
    let unseen = |images: &Watched<'_>, scored: &[(usize, Extremes)], source, read: &ReadOptions| {
        unseen(images, scored, (source, rate), request.groups.unwrap_or(&Groups::Auto), read, options)
    };
    let mut calibration = known;
    if let Some(good) = request.good {
        let good = Watched::new(good);
        let (labelled, read) = score(&good)?;
        let found = unseen(&good, &labelled.scored, Origin::GoodImages, &read)?;
        // Good images of one of several categories say nothing of the others.
        let own = match good.categories() {
            [only] => calibration.as_mut().and_then(|calibration| calibration.of_mut(only)),
            _ => None,
        };
        match (own, found) {
            (Some(own), Some(found)) => *own = found,
            (_, found) => calibration = found,
        }
    }
    if let Some((images, criterion)) = request.labelled {
        let watched = Watched::new(images);
        let (labelled, read) = score(&watched)?;
        if calibration.is_none() {
            calibration = unseen(&watched, &labelled.good(), Origin::Labelled, &read)?;
        }
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
    Ok((calibration, skipped))
}

/// The calibration by scores of the model itself on images that it has not seen, with the statistics that a monitor compares with.
fn unseen(
    images: &Watched<'_>,
    scored: &[(usize, Extremes)],
    (source, rate): (Origin, f64),
    groups: &Groups,
    read: &ReadOptions,
    options: &EvaluateOptions<'_>,
) -> Result<Option<Calibration>, Error> {
    let (skip_bad, observer) = (options.skip_bad, options.observer);
    let indices: Vec<usize> = scored.iter().map(|(image, _)| *image).collect();
    let units = group(images, &indices, groups, Reading { options: read, skip_bad, observer })?;
    let Some(calibration) = calibration_of(scored, images, &units, source, rate) else { return Ok(None) };
    let statistics = |(image, extremes): &(usize, Extremes)| {
        Ok((extremes.image_score, images.look(*image, read)?.statistics))
    };
    let of_images = scored.iter().map(statistics).collect::<Result<Vec<_>, Error>>()?;
    Ok(Some(calibration.with_statistics(of_images)))
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
