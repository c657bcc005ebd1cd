//! Scores of training images by models that have not seen them, and the calibration that follows.
//!
//! Models score the images they were fitted on too low, so decisions need scores of others. By default the training images are dealt
//! into folds (images of one group stay together), a model is fitted without each, and it scores the fold ([`Source::Folds`]); the
//! model that is kept learns from all of them and is the same as without calibration. Feature maps are kept from the first pass, so the
//! backbone sees every image once. Three cases differ:
//! - a method that knows how it would score its images unseen ([`LeaveOneOut`](blemish_core::method::LeaveOneOut)) needs no further
//!   fit, unless groups of images have to be left out together that are too large for it;
//! - a method that trains for long is fitted once, without a fifth of the images, which then calibrate it;
//! - where the features of all views together are too many to keep, one fold calibrates, for one more pass over the images. Counts and
//!   bytes decide this, never the time it takes, and it is said aloud.

use super::fits::{EachScored, Fits, Purpose};
use super::folds::{Units, deal, without};
use crate::view::{View, ViewSet};
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, Scored};
use blemish_core::method::{LeaveOneOut, Pass, TrainingSet};
use blemish_core::observer::Quiet;
use blemish_data::Source as Images;
use blemish_eval::{Calibration, Extremes, Source};
use std::collections::BTreeMap;

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
        let units = fits.units(&all)?;
        let mut dealt = deal(fits.source, &units, &all, HELD_OUT, fits.config.seed);
        let held_out = if dealt.len() > 1 { dealt.swap_remove(0) } else { Vec::new() };
        let rest = without(&all, &held_out);
        let views = fits.fit(Some(&rest), Purpose::Model, observer)?;
        observer.stage("scoring held-out images", Some(held_out.len() as u64));
        fits.score(&views, &held_out, &mut collect)?;
        let calibration = conclude(Ok(Source::HeldOut { refitted: false }), &good, fits, &units)?;
        return Ok(Calibrated { views, calibration, images: fits.without_skipped(&rest) });
    }
    let views = fits.fit(chosen.as_deref(), Purpose::Model, observer)?;
    let images = fits.without_skipped(&all);
    if config.folds == 0 {
        return Ok(Calibrated { views, calibration: None, images });
    }
    let units = fits.units(&images)?;
    let outcome = out_of_sample(fits, &units, &views, (&all, &images), &mut collect);
    let calibration = conclude(outcome, &good, fits, &units)?;
    Ok(Calibrated { views, calibration, images })
}

/// Scores images of a fit by models fitted without them: all of them in folds, or one fold only where features are not kept. `all` are
/// those that the fit was given, `images` those that it could read.
fn out_of_sample(
    fits: &Fits<'_>,
    units: &Units,
    views: &[View],
    (all, images): (&[usize], &[usize]),
    each: &mut EachScored<'_>,
) -> Result<Source, Error> {
    let observer = fits.options.observer;
    let mut dealt = deal(fits.source, units, images, fits.config.calibration.folds, fits.config.seed);
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
    let together = units.among(images);
    let groups = together.len();
    let able = views.first().and_then(|view| view.models().next()).and_then(|model| {
        let able = model.leave_one_out()?;
        Some((able, model.map_stage(), fits.only_set()?))
    });
    if let (Some((able, stage, set)), true) = (able, groups == images.len()) {
        let images = if declined.is_some() { dealt.swap_remove(0) } else { images.to_vec() };
        observer.stage("calibrating", Some(images.len() as u64));
        let pass = Pass { reads: fits.plan.needs.reads, shuffle: None };
        // The model knows its images by their places in the fit.
        let places: BTreeMap<usize, usize> = all.iter().copied().zip(0..).collect();
        set.part(images.clone()).for_each(pass, &mut |input| {
            let indices: Vec<usize> = input.indices.iter().map(|&at| places[&images[at]]).collect();
            let scored = input.finish(stage, able.score_left_out(&Input { indices: &indices, ..*input })?)?;
            input.indices.iter().zip(scored).for_each(|(&at, scored)| each(images[at], scored));
            observer.advance(input.count() as u64);
            Ok(())
        })?;
        return Ok(Source::Folds { folds: images.len(), groups: None });
    }
    let largest = together.iter().map(Vec::len).max().unwrap_or(0);
    if let (Some((able, stage, set)), None) = (able, &declined)
        && largest <= able.most_together()
    {
        observer.stage("calibrating", Some(images.len() as u64));
        for unit in &together {
            leave_out(able, stage, set, unit, each)?;
            observer.advance(unit.len() as u64);
        }
        return Ok(Source::Folds { folds: groups, groups: None });
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

/// Scores the images of one unit as if the method had been fitted without them, by what it knows of its fit.
fn leave_out(
    able: &dyn LeaveOneOut,
    stage: MapStage,
    set: &ViewSet<'_>,
    unit: &[usize],
    each: &mut EachScored<'_>,
) -> Result<(), Error> {
    let mut whole: Option<(Vec<usize>, FeatureBatch)> = None;
    set.part(unit.to_vec()).for_each(Pass::MAPS, &mut |input| {
        let maps = input.maps()?;
        match &mut whole {
            None => whole = Some((input.indices.to_vec(), maps.clone())),
            // The method itself has refused images of another shape before.
            Some((indices, known)) => {
                if known.append(maps) {
                    indices.extend(input.indices);
                }
            }
        }
        Ok(())
    })?;
    let Some((indices, maps)) = whole else { return Ok(()) };
    let input = Input { indices: &indices, ..Input::of_maps(&maps) };
    let scored = input.finish(stage, able.score_left_out_together(&input)?)?;
    indices.iter().zip(scored).for_each(|(&at, scored)| each(unit[at], scored));
    Ok(())
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
    units: &Units,
    source: Source,
    rate: f64,
) -> Option<Calibration> {
    let of = |good: &[(usize, Extremes)]| {
        let extremes: Vec<Extremes> = good.iter().map(|(_, one)| *one).collect();
        let grouping = units.grouping(&good.iter().map(|(image, _)| *image).collect::<Vec<_>>());
        let source = match source {
            Source::Folds { folds, .. } => {
                Source::Folds { folds, groups: grouping.map(|grouping| grouping.groups) }
            }
            other => other,
        };
        let calibration = Calibration::new(&extremes, source, rate)?;
        Some(match grouping {
            Some(grouping) => calibration.in_groups(grouping),
            None => calibration,
        })
    };
    let all = of(good)?;
    let of_category = |(number, name): (usize, &String)| {
        let is_own = |(image, _): &&(usize, Extremes)| images.facts(*image).category == number;
        let own: Vec<(usize, Extremes)> = good.iter().filter(is_own).copied().collect();
        Some((name.clone(), of(&own)?))
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
    fits: &Fits<'_>,
    units: &Units,
) -> Result<Option<Calibration>, Error> {
    let observer = fits.options.observer;
    let source = match outcome {
        Ok(source) => source,
        Err(Error::Fit { reason, .. }) => {
            observer.warn(&format!("no calibration, since a fold cannot be fitted: {reason}"));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let calibration = calibration_of(good, fits.source, units, source, fits.config.calibration.false_alarm);
    let Some(calibration) = calibration else {
        observer.warn(
            "no threshold, since good images are scored by models that have not seen them, which takes at least two of them (or two groups): bring \
             more good images, or calibrate with others or with labelled ones",
        );
        return Ok(None);
    };
    // The scores of the model itself are what a monitor compares with; the statistics of their images belong to them.
    let is_by_the_model = source == Source::HeldOut { refitted: false };
    let statistics = |(image, extremes): &(usize, Extremes)| {
        Some((extremes.image_score, fits.source.take(*image)?.statistics))
    };
    let of_images: Vec<_> =
        if is_by_the_model { good.iter().filter_map(statistics).collect() } else { Vec::new() };
    Ok(Some(if of_images.len() == good.len() { calibration.with_statistics(of_images) } else { calibration }))
}
