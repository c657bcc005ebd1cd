//! Fits and calibration of detectors that look at tiles, at several input sizes or through several backbones.
//!
//! As for whole images (`calibrate`), every training image is scored by models that have not seen it, here simply by fitting all views
//! again without its fold: features of tiles and of many views are too many to keep.

use crate::calibrate::{CalibrationConfig, EachScored, HELD_OUT, OutOfFold, conclude, deal, units, without};
use crate::detector::{DetectorConfig, FitOptions};
use crate::prepared::Prepared;
use crate::view::{self, View, Work};
use blemish_core::error::Error;
use blemish_core::method::MethodInfo;
use blemish_core::observer::{Observer, Quiet};
use blemish_data::{Dataset, DecodedImages, Sample, Skipped};
use blemish_eval::{Calibration, Source};
use std::sync::{Mutex, PoisonError};

/// A fit and its calibration.
pub(crate) struct Composed {
    pub(crate) views: Vec<View>,
    pub(crate) calibration: Option<Calibration>,
    /// The training images that were learnt from.
    pub(crate) images: Vec<usize>,
}

/// Fits of one configuration on whatever training images of a dataset.
pub(crate) struct ComposedFits<'a> {
    prepared: &'a Prepared,
    config: &'a DetectorConfig,
    dataset: &'a Dataset,
    options: &'a FitOptions<'a>,
    /// What has been left out so far.
    skipped: Mutex<Vec<Skipped>>,
}

impl<'a> ComposedFits<'a> {
    pub(crate) fn new(
        prepared: &'a Prepared,
        config: &'a DetectorConfig,
        dataset: &'a Dataset,
        options: &'a FitOptions<'a>,
    ) -> Self {
        Self { prepared, config, dataset, options, skipped: Mutex::default() }
    }

    /// What was left out so far, in the order of the paths.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fit(&self, images: &[usize], observer: &dyn Observer) -> Result<Vec<View>, Error> {
        let train = images.iter().map(|&index| self.dataset.train[index].clone()).collect();
        let dataset = Dataset { train, test: Vec::new(), ..self.dataset.clone() };
        let options = FitOptions { observer, ..self.options.clone() };
        let (views, skipped) = view::fit(self.prepared, self.config, &dataset, &options)?;
        let mut known = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        for new in skipped {
            if !known.iter().any(|known| known.path == new.path) {
                known.push(new);
            }
        }
        known.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(views)
    }

    fn score(&self, views: &[View], images: &[usize], each: &mut EachScored<'_>) -> Result<(), Error> {
        let work = Work { batch_size: self.options.batch_size, observer: self.options.observer };
        let Some(view) = views.first() else { return Ok(()) };
        let samples = &self.dataset.train;
        let decoded =
            DecodedImages::new(samples, images.to_vec(), view.transform(), self.options.skip_bad, false);
        for decoded in decoded {
            let decoded = decoded?;
            each(decoded.index, view::score(views, &decoded.image, work)?);
            self.options.observer.advance(1);
        }
        Ok(())
    }

    /// The images of a fit that it has not left out.
    fn without_skipped(&self, images: &[usize]) -> Vec<usize> {
        let skipped = self.skipped();
        let is_usable =
            |index: &&usize| !skipped.iter().any(|one| one.path == self.dataset.train[**index].path);
        images.iter().filter(is_usable).copied().collect()
    }

    /// Fits on the training images (all of them where `chosen` is `None`) and calibrates.
    pub(crate) fn fit_calibrated(
        &self,
        chosen: Option<Vec<usize>>,
        config: &CalibrationConfig,
    ) -> Result<Composed, Error> {
        let observer = self.options.observer;
        let all = chosen.unwrap_or_else(|| (0..self.dataset.train.len()).collect());
        let mut good = Vec::new();
        let mut collect = |_: usize, scored: blemish_core::map::Scored| good.push(scored.extremes());
        if config.folds > 0 && self.info().needs.long_training && all.len() > 1 {
            let held_out = deal(self.samples(), &all, HELD_OUT, self.seed()).swap_remove(0);
            let views = self.fit(&without(&all, &held_out), observer)?;
            observer.stage("scoring held-out images", Some(held_out.len() as u64));
            self.score(&views, &held_out, &mut collect)?;
            let calibration = conclude(Ok(Source::HeldOut { refitted: false }), &good, config, observer)?;
            let images = self.without_skipped(&without(&all, &held_out));
            return Ok(Composed { views, calibration, images });
        }
        let views = self.fit(&all, observer)?;
        let usable = self.without_skipped(&all);
        if config.folds == 0 {
            return Ok(Composed { views, calibration: None, images: usable });
        }
        let outcome = self.out_of_sample(&usable, config.folds, &mut collect);
        let calibration = conclude(outcome, &good, config, observer)?;
        Ok(Composed { views, calibration, images: usable })
    }

    /// Scores images of a fit by models fitted without them.
    fn out_of_sample(
        &self,
        images: &[usize],
        folds: usize,
        each: &mut EachScored<'_>,
    ) -> Result<Source, Error> {
        let dealt = deal(self.samples(), images, folds, self.seed());
        if dealt.len() < 2 {
            return Ok(Source::Unstated);
        }
        let groups = units(self.samples(), images).len();
        self.options.observer.stage("calibrating", Some(images.len() as u64));
        self.score_folds(images, &dealt, each)?;
        Ok(Source::Folds { folds: dealt.len(), groups: (groups < images.len()).then_some(groups) })
    }
}

impl OutOfFold for ComposedFits<'_> {
    fn info(&self) -> &'static MethodInfo {
        self.prepared.entry.info()
    }
    fn samples(&self) -> &[Sample] {
        &self.dataset.train
    }
    fn seed(&self) -> u64 {
        self.config.seed
    }
    fn observer(&self) -> &dyn Observer {
        self.options.observer
    }
    fn usable(&self) -> Result<Vec<usize>, Error> {
        let all: Vec<usize> = (0..self.dataset.train.len()).collect();
        if !self.options.skip_bad {
            return Ok(all);
        }
        let mut images = DecodedImages::new(&self.dataset.train, all, &self.prepared.transform, true, false);
        let usable = images.by_ref().map(|image| Ok(image?.index)).collect();
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) = images.skipped().to_vec();
        usable
    }
    fn score_folds(
        &self,
        images: &[usize],
        folds: &[Vec<usize>],
        each: &mut EachScored<'_>,
    ) -> Result<(), Error> {
        let quiet = Quiet(self.options.observer);
        for fold in folds {
            let views = self.fit(&without(images, fold), &quiet)?;
            self.score(&views, fold, each)?;
        }
        Ok(())
    }
}
