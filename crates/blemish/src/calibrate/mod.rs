//! Scores of training images by models that have not seen them, and the calibration that follows.
//!
//! Models score the images they were fitted on too low, so decisions need scores of others. By default the training images are dealt
//! into folds (images of one group stay together), a model is fitted without each, and it scores the fold ([`Source::Folds`]); the
//! model that is kept learns from all of them and is the same as without calibration. Feature maps are kept from the first pass
//! (`feature_cache`), so the backbone sees every image once. Three cases differ:
//! - a method that can tell how it would score its images unseen ([`blemish_core::method::LeaveOneOut`]) needs no further fit, unless groups of
//!   images have to be left out together;
//! - a method that trains for long is fitted once, without a fifth of the images, which then calibrate it;
//! - where the features are too many to keep, one fold calibrates, for one more pass over the images.

mod folds;
#[cfg(test)]
mod tests;

use crate::feature_cache::CachingSet;
use blemish_core::entry::{Fitted, MethodEntry};
use blemish_core::error::Error;
use blemish_core::map::Scored;
use blemish_core::method::{FitContext, MethodInfo, TrainingSet};
use blemish_core::observer::{Observer, Quiet};
use blemish_core::settings::Settings;
use blemish_core::training::TrainingOptions;
use blemish_data::Sample;
use blemish_eval::{Calibration, Extremes, Source};
use blemish_features::Backbone;
pub(crate) use folds::{deal, units, without};

/// What share of the images calibrates a method that trains for long: one of this many.
pub(crate) const HELD_OUT: usize = 5;

/// How a fit calibrates.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationConfig {
    /// Folds that the training images are dealt into; 0 is no calibration. With fewer images each is its own fold.
    pub folds: usize,
    /// Share of good images that may be flagged, above 0 and below 1.
    pub false_alarm: f64,
}

impl Default for CalibrationConfig {
    fn default() -> Self {
        Self { folds: 5, false_alarm: 0.01 }
    }
}

impl CalibrationConfig {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_rate(self.false_alarm)?;
        match self.folds {
            1 => Err(Error::Setting {
                key: "folds".into(),
                reason: "one fold leaves nothing to fit on".into(),
                help: "allowed: 0 (no calibration), or 2 and more".into(),
            }),
            _ => Ok(()),
        }
    }
}

/// Refuses a false-alarm rate that is none.
///
/// # Errors
/// [`Error::Setting`].
pub fn check_rate(rate: f64) -> Result<(), Error> {
    if rate > 0.0 && rate < 1.0 {
        return Ok(());
    }
    Err(Error::Setting {
        key: "false_alarm".into(),
        reason: format!("{rate} is no false-alarm rate"),
        help: "allowed: above 0 and below 1, such as 0.01 for one good image in a hundred".into(),
    })
}

/// Fits of one method with one configuration, on whatever images.
pub(crate) struct Fits<'a> {
    pub(crate) entry: &'static dyn MethodEntry,
    pub(crate) settings: &'a Settings,
    pub(crate) context: &'a FitContext<'a>,
}

/// A fitted method and its calibration.
pub(crate) struct Calibrated {
    pub(crate) method: Box<dyn Fitted>,
    pub(crate) calibration: Option<Calibration>,
    /// Images that the model has not learnt from, so that it could be calibrated on them.
    pub(crate) held_out: Vec<usize>,
}

/// Takes the outcome of every image that is scored, by its index in the set.
pub(crate) type EachScored<'a> = dyn FnMut(usize, Scored) + 'a;

impl Fits<'_> {
    fn fit(&self, train: &dyn TrainingSet) -> Result<Box<dyn Fitted>, Error> {
        self.entry.fit(self.settings, train, self.context)
    }

    /// Fits on the images of a set (all of them where `chosen` is `None`) and calibrates.
    pub(crate) fn fit_calibrated(
        &self,
        set: &CachingSet<'_>,
        chosen: Option<&[usize]>,
        config: &CalibrationConfig,
    ) -> Result<Calibrated, Error> {
        let is_long = self.entry.info().needs.long_training;
        let fit_on_chosen = || match chosen {
            Some(chosen) => self.fit(&set.subset(chosen)),
            // Features are kept for later fits only; a training keeps its own for its epochs.
            None if config.folds == 0 => self.fit(set.loaded()),
            None => self.fit(set),
        };
        let all: Vec<usize> = chosen.map_or_else(|| (0..set.len()).collect(), <[usize]>::to_vec);
        if config.folds == 0 {
            return Ok(Calibrated { method: fit_on_chosen()?, calibration: None, held_out: Vec::new() });
        }
        let mut good = Vec::new();
        let mut collect = |_: usize, scored: Scored| good.push(scored.extremes());
        if is_long && all.len() > 1 {
            let held_out = deal(set.loaded().samples(), &all, HELD_OUT, self.context.seed).swap_remove(0);
            let method = self.fit(&set.subset(&without(&all, &held_out)))?;
            self.context.observer.stage("scoring held-out images", Some(held_out.len() as u64));
            self.score(&*method, set, &held_out, &mut collect)?;
            let outcome = Ok(Source::HeldOut { refitted: false });
            let calibration = conclude(outcome, &good, config, self.context.observer)?;
            return Ok(Calibrated { method, calibration, held_out });
        }
        let method = fit_on_chosen()?;
        let usable = chosen.map_or_else(|| set.loaded().usable(), <[usize]>::to_vec);
        let outcome = self.out_of_sample(&*method, set, &usable, config.folds, &mut collect);
        let calibration = conclude(outcome, &good, config, self.context.observer)?;
        Ok(Calibrated { method, calibration, held_out: Vec::new() })
    }

    /// Scores images of a fit by models fitted without them: all of them in folds, or one fold only where features are not kept.
    fn out_of_sample(
        &self,
        method: &dyn Fitted,
        set: &CachingSet<'_>,
        images: &[usize],
        folds: usize,
        each: &mut EachScored<'_>,
    ) -> Result<Source, Error> {
        let samples = set.loaded().samples();
        let mut dealt = deal(samples, images, folds, self.context.seed);
        if dealt.len() < 2 {
            return Ok(Source::Unstated);
        }
        let groups = units(samples, images).len();
        let backbone = self.context.backbone.as_deref();
        if let (Some(able), Some(backbone), true) = (method.leave_one_out(), backbone, groups == images.len())
        {
            let images = if set.has_declined() { dealt.swap_remove(0) } else { images.to_vec() };
            self.context.observer.stage("calibrating", Some(images.len() as u64));
            let stage = method.map_stage();
            set.subset(&images).for_each_features(backbone, None, &mut |positions, features| {
                let size = (features.height, features.width);
                let region = features.region_of_interest.as_deref();
                let scored = stage.finish_batch(able.score_left_out(features)?, size, region)?;
                positions.iter().zip(scored).for_each(|(&position, scored)| each(images[position], scored));
                self.context.observer.advance(positions.len() as u64);
                Ok(())
            })?;
            return Ok(Source::Folds { folds: images.len(), groups: None });
        }
        let source = match set.has_declined() {
            true => {
                dealt.truncate(1);
                Source::HeldOut { refitted: true }
            }
            false => Source::Folds { folds: dealt.len(), groups: (groups < images.len()).then_some(groups) },
        };
        let total = dealt.iter().map(Vec::len).sum::<usize>();
        self.context.observer.stage("calibrating", Some(total as u64));
        self.score_folds(set, images, &dealt, each)?;
        Ok(source)
    }

    /// Scores every fold by a model fitted on the rest of the images.
    pub(crate) fn score_folds(
        &self,
        set: &CachingSet<'_>,
        images: &[usize],
        folds: &[Vec<usize>],
        each: &mut EachScored<'_>,
    ) -> Result<(), Error> {
        let quiet = Quiet(self.context.observer);
        let context = FitContext {
            backbone: self.context.backbone.clone(),
            scratch: self.context.scratch.clone(),
            prompts: self.context.prompts.clone(),
            // A checkpoint is of the model's own training.
            training: TrainingOptions { checkpoint: None, resume: false, ..self.context.training },
            observer: &quiet,
            ..*self.context
        };
        let inner = Fits { context: &context, ..*self };
        for fold in folds {
            let model = inner.fit(&set.subset(&without(images, fold)))?;
            self.score(&*model, set, fold, each)?;
        }
        Ok(())
    }

    /// Scores images of the set, from kept features where the method can.
    fn score(
        &self,
        model: &dyn Fitted,
        set: &CachingSet<'_>,
        images: &[usize],
        each: &mut EachScored<'_>,
    ) -> Result<(), Error> {
        let stage = model.map_stage();
        let mut tell = |positions: &[usize], scored: Vec<Scored>| {
            positions.iter().zip(scored).for_each(|(&position, scored)| each(images[position], scored));
            self.context.observer.advance(positions.len() as u64);
        };
        let subset = set.subset(images);
        let mut needs_images = true;
        if let Some(backbone) = self.context.backbone.as_ref().filter(|_| set.has_kept()) {
            needs_images = false;
            subset.for_each_features(backbone, None, &mut |positions, features| {
                let Some(patches) = model.score_features(features)? else {
                    needs_images = true;
                    return Ok(());
                };
                let size = (features.height, features.width);
                tell(positions, stage.finish_batch(patches, size, features.region_of_interest.as_deref())?);
                Ok(())
            })?;
        }
        if needs_images {
            subset.for_each_batch(None, &mut |positions, batch| {
                let size = (batch.height, batch.width);
                let region = batch.region_of_interest.as_deref();
                tell(positions, stage.finish_batch(model.score(batch)?, size, region)?);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Runs the backbone over all images, so that their features are kept and broken images known.
    pub(crate) fn keep_features(&self, set: &CachingSet<'_>, backbone: &Backbone) -> Result<(), Error> {
        self.context.observer.stage("extracting features", Some(set.len() as u64));
        set.for_each_features(backbone, None, &mut |indices, _| {
            self.context.observer.advance(indices.len() as u64);
            Ok(())
        })
    }
}

/// The calibration by scores of unseen good images, however they were got; said aloud where there is none.
///
/// # Errors
/// What scoring them failed with, but for folds that cannot be fitted: fewer images may not allow what all of them do.
pub(crate) fn conclude(
    outcome: Result<Source, Error>,
    good: &[Extremes],
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
    let calibration = Calibration::new(good, source, config.false_alarm);
    if calibration.is_none() {
        observer.warn(
            "no calibration: it needs at least two training images (or groups of them); scores have no threshold until `blemish calibrate` sets one",
        );
    }
    Ok(calibration)
}

/// Whoever can score training images by models that have not seen them.
pub(crate) trait OutOfFold {
    fn info(&self) -> &'static MethodInfo;
    fn samples(&self) -> &[Sample];
    fn seed(&self) -> u64;
    fn observer(&self) -> &dyn Observer;
    /// The images that can be read.
    fn usable(&self) -> Result<Vec<usize>, Error>;
    /// Scores every fold by a model fitted on the rest of the images.
    fn score_folds(
        &self,
        images: &[usize],
        folds: &[Vec<usize>],
        each: &mut EachScored<'_>,
    ) -> Result<(), Error>;
}

/// Fits on images whose features are kept.
pub(crate) struct CachedFits<'a> {
    pub(crate) fits: &'a Fits<'a>,
    pub(crate) set: &'a CachingSet<'a>,
}

impl OutOfFold for CachedFits<'_> {
    fn info(&self) -> &'static MethodInfo {
        self.fits.entry.info()
    }
    fn samples(&self) -> &[Sample] {
        self.set.loaded().samples()
    }
    fn seed(&self) -> u64 {
        self.fits.context.seed
    }
    fn observer(&self) -> &dyn Observer {
        self.fits.context.observer
    }
    fn usable(&self) -> Result<Vec<usize>, Error> {
        if let Some(backbone) = &self.fits.context.backbone {
            self.fits.keep_features(self.set, backbone)?;
        }
        Ok(self.set.loaded().usable())
    }
    fn score_folds(
        &self,
        images: &[usize],
        folds: &[Vec<usize>],
        each: &mut EachScored<'_>,
    ) -> Result<(), Error> {
        self.fits.score_folds(self.set, images, folds, each)
    }
}
