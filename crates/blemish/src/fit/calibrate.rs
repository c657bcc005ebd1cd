//! Scores of training images by models that have not seen them, and the calibration that follows.
//!
//! Models score the images they were fitted on too low, so decisions need scores of others. By default the training images are dealt
//! into folds (images of one group stay together), a model is fitted without each, and it scores the fold ([`Source::Folds`]); the
//! model that is kept learns from all of them and is the same as without calibration. Feature maps are kept from the first pass, so the
//! backbone sees every image once. Three cases differ:
//! - a method that knows how it would score its images unseen ([`LeaveOneOut`](blemish_core::method::LeaveOneOut)) needs no further
//!   fit, unless groups of images have to be left out together;
//! - a method that trains for long is fitted once, without a fifth of the images, which then calibrate it;
//! - where the features of all views together are too many to keep, one fold calibrates, for one more pass over the images. Counts and
//!   bytes decide this, never the time it takes, and it is said aloud.

use super::fits::{EachScored, Fits, Purpose};
use super::folds::{deal, units, without};
use crate::config::CalibrationConfig;
use crate::view::View;
use blemish_core::error::Error;
use blemish_core::map::Scored;
use blemish_core::method::{Pass, TrainingSet};
use blemish_core::observer::{Observer, Quiet};
use blemish_data::Source as Images;
use blemish_eval::{Calibration, Extremes, Source};

/// What share of the images calibrates a method that trains for long: one of this many.
const HELD_OUT: usize = 5;

/// A fit and its calibration.
pub(crate) struct Calibrated {
    pub(crate) views: Vec<View>,
    pub(crate) calibration: Option<Calibration>,
    /// The images that were learnt from.
    pub(crate) images: Vec<usize>,
}

/// Fits on images of the source (all of them where `chosen` is `None`) and calibrates.
///
/// # Errors
/// As [`crate::Detector::fit`].
pub(crate) fn fit_calibrated(fits: &Fits<'_>, chosen: Option<Vec<usize>>) -> Result<Calibrated, Error> {
    let (config, observer) = (&fits.config.calibration, fits.options.observer);
    let all = chosen.clone().unwrap_or_else(|| (0..fits.source.len()).collect());
    let mut good = Vec::new();
    let mut collect = |image: usize, scored: Scored| good.push((image, scored.extremes()));
    if config.folds > 0 && fits.plan.needs.trains_long() && all.len() > 1 {
        let held_out = deal(fits.source, &all, HELD_OUT, fits.config.seed).swap_remove(0);
        let rest = without(&all, &held_out);
        let views = fits.fit(Some(&rest), Purpose::Model, observer)?;
        observer.stage("scoring held-out images", Some(held_out.len() as u64));
        fits.score(&views, &held_out, &mut collect)?;
        let calibration =
            conclude(Ok(Source::HeldOut { refitted: false }), &good, fits.source, config, observer)?;
        return Ok(Calibrated { views, calibration, images: fits.without_skipped(&rest) });
    }
    let views = fits.fit(chosen.as_deref(), Purpose::Model, observer)?;
    let images = fits.without_skipped(&all);
    if config.folds == 0 {
        return Ok(Calibrated { views, calibration: None, images });
    }
    let outcome = out_of_sample(fits, &views, &images, &mut collect);
    let calibration = conclude(outcome, &good, fits.source, config, observer)?;
    Ok(Calibrated { views, calibration, images })
}

/// Scores images of a fit by models fitted without them: all of them in folds, or one fold only where features are not kept.
fn out_of_sample(
    fits: &Fits<'_>,
    views: &[View],
    images: &[usize],
    each: &mut EachScored<'_>,
) -> Result<Source, Error> {
    let observer = fits.options.observer;
    let mut dealt = deal(fits.source, images, fits.config.calibration.folds, fits.config.seed);
    if dealt.len() < 2 {
        return Ok(Source::Unstated);
    }
    let declined = fits.declined();
    if let Some(reason) = &declined {
        observer.warn(&format!(
            "one fold of {} images calibrates, not all {}: the feature maps of the images are not kept, since {reason}",
            dealt[0].len(),
            images.len()
        ));
    }
    let groups = units(fits.source, images).len();
    let able = views.first().and_then(|view| view.models().next()).and_then(|model| {
        let able = model.leave_one_out()?;
        Some((able, model.map_stage(), fits.only_set()?))
    });
    if let (Some((able, stage, set)), true) = (able, groups == images.len()) {
        let images = if declined.is_some() { dealt.swap_remove(0) } else { images.to_vec() };
        observer.stage("calibrating", Some(images.len() as u64));
        set.part(images.clone()).for_each(Pass::MAPS, &mut |input| {
            let scored = input.finish(stage, able.score_left_out(input)?)?;
            input.indices.iter().zip(scored).for_each(|(&at, scored)| each(images[at], scored));
            observer.advance(input.count() as u64);
            Ok(())
        })?;
        return Ok(Source::Folds { folds: images.len(), groups: None });
    }
    let source = match declined {
        Some(_) => {
            dealt.truncate(1);
            Source::HeldOut { refitted: true }
        }
        None => Source::Folds { folds: dealt.len(), groups: (groups < images.len()).then_some(groups) },
    };
    let total = dealt.iter().map(Vec::len).sum::<usize>();
    observer.stage("calibrating", Some(total as u64));
    score_folds(fits, images, &dealt, each)?;
    Ok(source)
}

/// Scores every fold by models fitted on the rest of the images.
///
/// # Errors
/// As fits and scoring.
pub(crate) fn score_folds(
    fits: &Fits<'_>,
    images: &[usize],
    folds: &[Vec<usize>],
    each: &mut EachScored<'_>,
) -> Result<(), Error> {
    let quiet = Quiet(fits.options.observer);
    for fold in folds {
        let views = fits.fit(Some(&without(images, fold)), Purpose::Fold, &quiet)?;
        fits.score(&views, fold, each)?;
    }
    Ok(())
}

/// The calibration by the scores of good images of a source, and where they are of several categories that of each; `None` without any.
pub(crate) fn calibration_of(
    good: &[(usize, Extremes)],
    images: &dyn Images,
    source: Source,
    rate: f64,
) -> Option<Calibration> {
    let extremes = |good: &[(usize, Extremes)]| good.iter().map(|(_, one)| *one).collect::<Vec<_>>();
    let all = Calibration::new(&extremes(good), source, rate)?;
    let of_category = |(number, name): (usize, &String)| {
        let is_own = |(image, _): &&(usize, Extremes)| images.facts(*image).category == number;
        let own: Vec<(usize, Extremes)> = good.iter().filter(is_own).copied().collect();
        let source = match source {
            Source::Folds { folds, groups: Some(_) } => {
                let groups = units(images, &own.iter().map(|(image, _)| *image).collect::<Vec<_>>()).len();
                Source::Folds { folds, groups: (groups < own.len()).then_some(groups) }
            }
            other => other,
        };
        Some((name.clone(), Calibration::new(&extremes(&own), source, rate)?))
    };
    match images.categories() {
        [] | [_] => Some(all),
        several => Some(all.with_categories(several.iter().enumerate().filter_map(of_category))),
    }
}

/// The calibration by scores of unseen good images, however they were got; said aloud where there is none.
///
/// # Errors
/// What scoring them failed with, but for folds that cannot be fitted: fewer images may not allow what all of them do.
fn conclude(
    outcome: Result<Source, Error>,
    good: &[(usize, Extremes)],
    images: &dyn Images,
    config: &CalibrationConfig,
    observer: &dyn Observer,
) -> Result<Option<Calibration>, Error> {
    let source = match outcome {
        Ok(source) => source,
        Err(Error::Fit { reason, .. }) => {
            observer.warn(&format!("no calibration, since a fold cannot be fitted: {reason}"));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let calibration = calibration_of(good, images, source, config.false_alarm);
    if calibration.is_none() {
        observer.warn(
            "no calibration: it needs at least two training images (or groups of them); scores have no threshold until a recalibration sets one",
        );
    }
    Ok(calibration)
}
