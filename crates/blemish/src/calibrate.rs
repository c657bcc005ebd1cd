//! Scores of training images by models that have not seen them, and the calibration that follows.
//!
//! Models score the images they were fitted on too low, so decisions need scores of others. By default the training images are dealt
//! into folds, a model is fitted without each, and it scores the fold ([`Source::Folds`]); the model that is kept learns from all of
//! them and is the same as without calibration. Feature maps are kept from the first pass ([`CachingSet`]), so the backbone sees every
//! image once. Two cases differ:
//! - a method that trains for long is fitted once, without a fifth of the images, which then calibrate it;
//! - where the features are too many to keep, one fold calibrates, for one more pass over the images.

use crate::error::Error;
use crate::feature_cache::CachingSet;
use crate::map::Scored;
use crate::method::{FitContext, Fitted, MethodEntry, TrainingSet};
use crate::observer::Observer;
use crate::settings::Settings;
use blemish_data::loader::order_of;
use blemish_eval::{Calibration, Extremes, Source};
use blemish_features::Backbone;

/// What share of the images calibrates a method that trains for long: one of this many.
const HELD_OUT: usize = 5;

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
            // Features are kept for later fits and epochs only.
            None if config.folds == 0 && !is_long => self.fit(set.loaded()),
            None => self.fit(set),
        };
        let all: Vec<usize> = chosen.map_or_else(|| (0..set.len()).collect(), <[usize]>::to_vec);
        if config.folds == 0 {
            return Ok(Calibrated { method: fit_on_chosen()?, calibration: None });
        }
        let mut good = Vec::new();
        let mut collect = |_: usize, scored: Scored| good.push(scored.extremes());
        if is_long && all.len() > 1 {
            if let Some(backbone) = &self.context.backbone {
                self.keep_features(set, backbone)?;
            }
            let held_out = deal(&all, HELD_OUT.min(all.len()), self.context.seed).swap_remove(0);
            let method = self.fit(&set.subset(&without(&all, &held_out)))?;
            self.context.observer.stage("scoring held-out images", Some(held_out.len() as u64));
            self.score(&*method, set, &held_out, &mut collect)?;
            let source = Source::HeldOut { refitted: false };
            return Ok(self.finish(method, &good, source, config));
        }
        let method = fit_on_chosen()?;
        let usable = chosen.map_or_else(|| set.loaded().usable(), <[usize]>::to_vec);
        match self.out_of_sample(set, &usable, config.folds, &mut collect) {
            Ok(source) => Ok(self.finish(method, &good, source, config)),
            // Fewer images may not allow what all of them do.
            Err(Error::Fit { reason, .. }) => {
                self.context
                    .observer
                    .warn(&format!("no calibration, since a fold cannot be fitted: {reason}"));
                Ok(Calibrated { method, calibration: None })
            }
            Err(error) => Err(error),
        }
    }

    fn finish(
        &self,
        method: Box<dyn Fitted>,
        good: &[Extremes],
        source: Source,
        config: &CalibrationConfig,
    ) -> Calibrated {
        let calibration = Calibration::new(good, source, config.false_alarm);
        if calibration.is_none() {
            self.context.observer.warn(
                "no calibration: it needs at least two training images; scores have no threshold until `blemish calibrate` sets one",
            );
        }
        Calibrated { method, calibration }
    }

    /// Scores images by models fitted without them: all of them in folds, or one fold only where features are not kept.
    pub(crate) fn out_of_sample(
        &self,
        set: &CachingSet<'_>,
        images: &[usize],
        folds: usize,
        each: &mut EachScored<'_>,
    ) -> Result<Source, Error> {
        let count = folds.min(images.len());
        if count < 2 {
            return Ok(Source::Unstated);
        }
        let mut dealt = deal(images, count, self.context.seed);
        let source = match set.has_declined() {
            true => {
                dealt.truncate(1);
                Source::HeldOut { refitted: true }
            }
            false => Source::Folds { folds: count },
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
        let mut needs_images = self.context.backbone.is_none();
        if let Some(backbone) = &self.context.backbone {
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

/// Deals images into `count` folds of nearly equal size, at random by the seed; each fold ascends.
pub(crate) fn deal(images: &[usize], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut folds = vec![Vec::new(); count];
    for (place, position) in order_of(images.len(), Some(seed)).into_iter().enumerate() {
        folds[place % count].push(images[position]);
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// What of `images` is not in `left_out`, which ascends.
fn without(images: &[usize], left_out: &[usize]) -> Vec<usize> {
    images.iter().copied().filter(|image| left_out.binary_search(image).is_err()).collect()
}

/// Passes cancellation on, and nothing else: what the fits of folds say has been said by the fit on all images.
struct Quiet<'a>(&'a dyn Observer);

impl Observer for Quiet<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
