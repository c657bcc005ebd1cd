//! Scores of training images by models that have not seen them, and the calibration that follows.
//!
//! Models score the images they were fitted on too low, so decisions need scores of others. By default the training images are dealt
//! into folds (images of one group stay together), a model is fitted without each, and it scores the fold ([`Source::Folds`]); the
//! model that is kept learns from all of them and is the same as without calibration. Feature maps are kept from the first pass
//! (`feature_cache`), so the backbone sees every image once. Three cases differ:
//! - a method that can tell how it would score its images unseen ([`crate::method::LeaveOneOut`]) needs no further fit, unless groups of
//!   images have to be left out together;
//! - a method that trains for long is fitted once, without a fifth of the images, which then calibrate it;
//! - where the features are too many to keep, one fold calibrates, for one more pass over the images.

use crate::error::Error;
use crate::feature_cache::CachingSet;
use crate::map::Scored;
use crate::method::{FitContext, Fitted, MethodEntry, MethodInfo, TrainingSet};
use crate::observer::Observer;
use crate::settings::Settings;
use blemish_data::Sample;
use blemish_data::loader::order_of;
use blemish_eval::{Calibration, Extremes, Source};
use blemish_features::Backbone;
use std::collections::HashMap;

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
            let held_out = deal(set.loaded().samples(), &all, HELD_OUT, self.context.seed).swap_remove(0);
            let method = self.fit(&set.subset(&without(&all, &held_out)))?;
            self.context.observer.stage("scoring held-out images", Some(held_out.len() as u64));
            self.score(&*method, set, &held_out, &mut collect)?;
            let source = Source::HeldOut { refitted: false };
            return Ok(self.finish(method, &good, source, config));
        }
        let method = fit_on_chosen()?;
        let usable = chosen.map_or_else(|| set.loaded().usable(), <[usize]>::to_vec);
        match self.out_of_sample(&*method, set, &usable, config.folds, &mut collect) {
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
        Calibrated { method, calibration: calibration(good, source, config, self.context.observer) }
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

/// The calibration by scores of unseen good images; said aloud where there are too few.
pub(crate) fn calibration(
    good: &[Extremes],
    source: Source,
    config: &CalibrationConfig,
    observer: &dyn Observer,
) -> Option<Calibration> {
    let calibration = Calibration::new(good, source, config.false_alarm);
    if calibration.is_none() {
        observer.warn(
            "no calibration: it needs at least two training images (or groups of them); scores have no threshold until `blemish calibrate` sets one",
        );
    }
    calibration
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

/// Deals images into `count` folds of nearly equal size, at random by the seed, groups whole; each fold ascends.
///
/// There are fewer folds than asked for where there are fewer groups.
pub(crate) fn deal(samples: &[Sample], images: &[usize], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let units = units(samples, images);
    let mut folds = vec![Vec::new(); count.min(units.len())];
    for unit in order_of(units.len(), Some(seed)) {
        // The first of the smallest.
        if let Some(fold) = folds.iter_mut().min_by_key(|fold| fold.len()) {
            fold.extend_from_slice(&units[unit]);
        }
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// Images of one group, and every image without a group, in the order of their first.
pub(crate) fn units(samples: &[Sample], images: &[usize]) -> Vec<Vec<usize>> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut units: Vec<Vec<usize>> = Vec::new();
    for &image in images {
        let unit = match &samples[image].group {
            Some(group) => *known.entry(group).or_insert(units.len()),
            None => units.len(),
        };
        match units.get_mut(unit) {
            Some(unit) => unit.push(image),
            None => units.push(vec![image]),
        }
    }
    units
}

/// What of `images` is not in `left_out`, which ascends.
pub(crate) fn without(images: &[usize], left_out: &[usize]) -> Vec<usize> {
    images.iter().copied().filter(|image| left_out.binary_search(image).is_err()).collect()
}

/// Passes cancellation on, and nothing else: what the fits of folds say has been said by the fit on all images.
pub(crate) struct Quiet<'a>(pub(crate) &'a dyn Observer);

impl Observer for Quiet<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::FitOptions;
    use crate::feature_cache::CacheLimits;
    use crate::map::{BlurBorder, Interpolation, MapStage, PatchScores};
    use crate::method::{Entry, Method, Needs};
    use crate::observer::Silent;
    use crate::state::State;
    use crate::training::LoadedSet;
    use blemish_data::{Dataset, ImageBatch, Layout, Transform};
    use serde::{Deserialize, Serialize};
    use std::path::Path;
    use std::sync::Arc;

    #[derive(Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
    struct NoSettings {}

    /// Learns the mean brightness of images; an image scores by its distance to it. `LONG` says that it trains for long.
    struct Brightness<const LONG: bool> {
        mean: f32,
        config: NoSettings,
    }

    fn means(batch: &ImageBatch) -> Vec<f32> {
        let mean = |image: &[f32]| image.iter().sum::<f32>() / image.len() as f32;
        (0..batch.count).map(|index| mean(batch.image(index))).collect()
    }

    impl<const LONG: bool> Method for Brightness<LONG> {
        type Config = NoSettings;
        const INFO: MethodInfo = MethodInfo {
            name: "brightness",
            summary: "",
            advice: "",
            citation: "",
            family: "",
            needs: Needs { strides: &[], long_training: LONG, prompts: false },
        };
        fn fit(_: &NoSettings, train: &dyn TrainingSet, _: &FitContext<'_>) -> Result<Self, Error> {
            let (mut sum, mut count) = (0.0, 0.0);
            train.for_each_batch(None, &mut |_, batch| {
                means(batch).into_iter().for_each(|mean| sum += mean);
                count += batch.count as f32;
                Ok(())
            })?;
            Ok(Self { mean: sum / count, config: NoSettings {} })
        }
        fn score(&self, batch: &ImageBatch) -> Result<Vec<PatchScores>, Error> {
            let score = |mean: f32| (mean - self.mean).abs();
            let patches =
                |mean| PatchScores { height: 1, width: 1, values: vec![score(mean)], image_score: None };
            Ok(means(batch).into_iter().map(patches).collect())
        }
        fn map_stage(&self) -> MapStage {
            MapStage { interpolation: Interpolation::Nearest, sigma: 0.0, border: BlurBorder::Mirror }
        }
        fn state(&self) -> State {
            State::default()
        }
        fn config(&self) -> &NoSettings {
            &self.config
        }
        fn restore(_: NoSettings, _: State, _: Option<Arc<Backbone>>) -> Result<Self, Error> {
            Ok(Self { mean: 0.0, config: NoSettings {} })
        }
    }

    static QUICK: Entry<Brightness<false>> = Entry::new();
    static LONG: Entry<Brightness<true>> = Entry::new();

    /// Grey images of brightness 0, 10, 20, ... of 255.
    fn greys(folder: &Path, count: u8) -> Dataset {
        let train = (0..count).map(|number| {
            let path = folder.join(format!("{number:03}.png"));
            image::GrayImage::from_pixel(16, 16, image::Luma([10 * number])).save(&path).unwrap();
            Sample::unlabelled(&path)
        });
        Dataset {
            root: folder.to_owned(),
            layout: Layout::Folder,
            category: "greys".into(),
            train: train.collect(),
            test: Vec::new(),
            skipped: Vec::new(),
        }
    }

    fn calibrated(
        entry: &'static dyn MethodEntry,
        dataset: &Dataset,
        config: &CalibrationConfig,
    ) -> Calibrated {
        let transform = Arc::new(Transform::resize_to(16, 16));
        let loaded = LoadedSet::new(dataset, &transform, &FitOptions::default());
        let context = FitContext {
            seed: 1,
            backbone: None,
            memory_limit: None,
            scratch: None,
            prompts: Vec::new(),
            observer: &Silent,
        };
        let fits = Fits { entry, settings: &Settings::new(), context: &context };
        let set = CachingSet::new(&loaded, CacheLimits::new(None, None));
        fits.fit_calibrated(&set, None, config).unwrap()
    }

    fn score_of(method: &dyn Fitted, grey: f32) -> f32 {
        let batch = ImageBatch {
            count: 1,
            height: 1,
            width: 1,
            pixels: vec![grey / 255.0; 3],
            region_of_interest: None,
        };
        method.score(&batch).unwrap()[0].values[0]
    }

    /// Of greys 0, 10, .. 40, the mean without one is (100 - own) / 4.
    #[test]
    fn leave_one_out_scores_are_those_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = greys(folder.path(), 5);
        let outcome = calibrated(&QUICK, &dataset, &CalibrationConfig { folds: 9, false_alarm: 0.2 });
        let calibration = outcome.calibration.unwrap();
        let mut expected =
            [0.0f32, 10.0, 20.0, 30.0, 40.0].map(|own| ((100.0 - own) / 4.0 - own).abs() / 255.0);
        expected.sort_unstable_by(f32::total_cmp);
        for (found, expected) in calibration.image_scores.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
        assert_eq!(calibration.image_scores, calibration.map_maxima);
        assert_eq!(calibration.source, Source::Folds { folds: 5, groups: None });
        // The model itself has learnt from all five: its mean is 20.
        assert!(score_of(&*outcome.method, 20.0) < 1e-5);
    }

    #[test]
    fn a_method_that_trains_for_long_is_fitted_once_without_a_fifth() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = greys(folder.path(), 10);
        let outcome = calibrated(&LONG, &dataset, &CalibrationConfig::default());
        let calibration = outcome.calibration.unwrap();
        assert_eq!(calibration.source, Source::HeldOut { refitted: false });
        assert_eq!(calibration.images(), 2);
        // The mean over all is 45; two that are not a pair around it were left out of the model.
        let held_out = deal(&dataset.train, &(0..10).collect::<Vec<_>>(), 5, 1).swap_remove(0);
        let mean = (450 - 10 * held_out.iter().sum::<usize>()) as f32 / 8.0;
        assert!(score_of(&*outcome.method, mean) < 1e-5);
        let none =
            calibrated(&LONG, &dataset, &CalibrationConfig { folds: 0, ..CalibrationConfig::default() });
        assert!(none.calibration.is_none() && score_of(&*none.method, 45.0) < 1e-5);
    }

    #[test]
    fn images_of_a_group_are_scored_by_models_that_know_none_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut dataset = greys(folder.path(), 6);
        for (index, sample) in dataset.train.iter_mut().enumerate() {
            sample.group = (index < 4).then(|| (index / 2).to_string());
        }
        let folds = deal(&dataset.train, &[0, 1, 2, 3, 4, 5], 3, 7);
        let with = |image: usize| folds.iter().position(|fold| fold.contains(&image));
        assert!(with(0) == with(1) && with(2) == with(3) && with(0) != with(2), "{folds:?}");
        assert_eq!(folds.iter().map(Vec::len).sum::<usize>(), 6);
        let calibration =
            calibrated(&QUICK, &dataset, &CalibrationConfig { folds: 3, false_alarm: 0.2 }).calibration;
        assert_eq!(calibration.unwrap().source, Source::Folds { folds: 3, groups: Some(4) });
        dataset.train.iter_mut().for_each(|sample| sample.group = Some("all".into()));
        assert!(calibrated(&QUICK, &dataset, &CalibrationConfig::default()).calibration.is_none());
    }

    #[test]
    fn folds_are_even_complete_and_fixed_by_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        let samples = greys(folder.path(), 13).train;
        let images: Vec<usize> = (0..13).collect();
        let folds = deal(&samples, &images, 5, 3);
        assert_eq!(folds, deal(&samples, &images, 5, 3));
        assert_ne!(folds, deal(&samples, &images, 5, 4));
        let mut all = folds.concat();
        all.sort_unstable();
        assert_eq!(all, images);
        assert!(folds.iter().all(|fold| fold.len() == 2 || fold.len() == 3), "{folds:?}");
        assert_eq!(without(&images, &folds[0]).len(), 13 - folds[0].len());
    }

    #[test]
    fn wrong_rates_and_single_folds_are_refused() {
        for rate in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(check_rate(rate).unwrap_err().to_string().contains("false_alarm"));
        }
        let one = CalibrationConfig { folds: 1, ..CalibrationConfig::default() };
        assert!(one.check().unwrap_err().to_string().contains("2 and more"));
    }
}
