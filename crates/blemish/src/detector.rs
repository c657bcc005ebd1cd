//! The detector: everything between good images and scores, in four verbs: fit, score, save, load.

use crate::config::{DetectorConfig, FitOptions, ScoreOptions};
use crate::decision::Decision;
use crate::file::DataHeader;
use crate::fit::{Calibrated, Fits, Suspect, fit_calibrated, settle_precision, trim};
use crate::looks::Watched;
use crate::model::Model;
use crate::record;
use crate::verdict::Verdict;
use crate::view::{Outcome, Passed, Plan, Reading, View, ViewSet, Work, score_source, some_of};
use blemish_core::entry::MethodEntry;
use blemish_core::error::Error;
use blemish_core::map::Scored;
use blemish_core::state::State;
use blemish_data::{
    DataError, ImageBatch, Mask, RgbImage, Skipped, Source, Subset, Transform, read_image, source_digest,
};
use blemish_eval::Calibration;
use blemish_features::EngineOptions;
use std::path::Path;
use std::sync::Arc;

/// Training images looked at for the colours of pictures.
const SHOWN: usize = 4;

/// Pixels of each of them that are looked at; of larger maps every so many.
const SHOWN_PIXELS: usize = 1 << 20;

/// An image of a source that was scored.
#[derive(Clone, Debug)]
pub struct ScoredImage {
    /// Index in the source.
    pub index: usize,
    /// Height and width of the upright image before the transform.
    pub size: (usize, usize),
    /// The outcome.
    pub scored: Scored,
    /// Its mask at the map's size; `None` where it has none or masks were not asked for.
    pub mask: Option<Mask>,
}

/// A fitted detector. It may be used from many threads at once.
pub struct Detector {
    pub(crate) model: Model,
    pub(crate) seed: u64,
    pub(crate) data: DataHeader,
    pub(crate) colour_range: (f32, f32),
    pub(crate) calibration: Option<Calibration>,
    /// See [`crate::verify`]; empty in files of older programs.
    pub(crate) verification: State,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) trimmed: Vec<Suspect>,
    /// See [`Detector::is_covered`].
    pub(crate) is_covered: bool,
}

const _: () = {
    const fn is_shared_between_threads<T: Send + Sync>() {}
    is_shared_between_threads::<Detector>();
};

impl Detector {
    /// Learns what good images look like, at the input sizes that [`DetectorConfig::choose_inputs`] chooses where the configuration leaves them
    /// open.
    ///
    /// # Errors
    /// [`Error`]: unknown method or setting, unreadable images, missing weights, or a fit that these images do not allow.
    pub fn fit(config: &DetectorConfig, good: &dyn Source, options: &FitOptions<'_>) -> Result<Self, Error> {
        let mut config = config.clone();
        config.choose_preset(options.engine.device)?;
        config.choose_inputs(good)?;
        Self::fit_plan(Plan::new(&config, options)?, &config, good, options)
    }

    /// The same with a method of your own, which need not be in the list of methods; `config.method` does not matter.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_with(
        method: &'static dyn MethodEntry,
        config: &DetectorConfig,
        good: &dyn Source,
        options: &FitOptions<'_>,
    ) -> Result<Self, Error> {
        Self::fit_plan(Plan::of(method, config, options)?, config, good, options)
    }

    fn fit_plan(
        mut plan: Plan,
        config: &DetectorConfig,
        good: &dyn Source,
        options: &FitOptions<'_>,
    ) -> Result<Self, Error> {
        if good.len() < plan.needs.good_images {
            let reason = match good.len() {
                0 => "there are no training images".to_owned(),
                few => format!(
                    "it learns from {} good images at least, and there are {few}",
                    plan.needs.good_images
                ),
            };
            return Err(Error::Fit { method: plan.entry.info().name, reason });
        }
        settle_precision(&mut plan, config, good, options)?;
        let keeps = config.calibration.folds > 0 || config.trim.is_some();
        let good = Watched::when(good, config.calibration.folds > 0);
        let fits = Fits::new(&plan, config, &good, options, keeps)?;
        let (chosen, trimmed) = match config.trim {
            None => (None, Vec::new()),
            Some(wanted) => {
                let (kept, trimmed) = trim(&fits, wanted)?;
                (Some(kept), trimmed)
            }
        };
        let Calibrated { views, calibration, images } = fit_calibrated(&fits, chosen)?;
        let skipped = fits.skipped();
        let usable = fits.without_skipped(&(0..good.len()).collect::<Vec<_>>());
        drop(fits);
        options.observer.stage("digesting the images", None);
        let learnt = images.len();
        // Held-out images belong to the set that was given; what was trimmed or could not be read does not.
        let seen = match trimmed.is_empty() {
            true => Subset::new(&good, usable),
            false => Subset::new(&good, images),
        };
        options.observer.check_cancelled()?;
        let data = DataHeader::of(&good, learnt, source_digest(&seen)?);
        let model = Model { entry: plan.entry, views, backbones: plan.backbones };
        let colour_range = find_colour_range(&model.views, &seen, options)?;
        options.observer.stage("recording how it scores", None);
        let mut verification = record::record(&model, &seen, &options.engine)?;
        record::decide(&mut verification, calibration.as_ref())?;
        let seed = config.seed;
        Ok(Self {
            model,
            seed,
            data,
            colour_range,
            calibration,
            verification,
            skipped,
            trimmed,
            is_covered: true,
        })
    }

    /// Scores a batch that [`Self::transform`] has made; one outcome an image, each independent of the others. A single image stands still
    /// for a model that looks at clips.
    ///
    /// # Errors
    /// [`Error::Score`] if the batch does not fit the model or a score is not finite, or if the model looks at tiles, at several sizes or
    /// through several backbones, which need the image itself; [`Error::Features`] if the engine fails.
    pub fn score(&self, batch: &ImageBatch) -> Result<Vec<Scored>, Error> {
        let Some(view) = self.model.single() else {
            let reason = "the model looks at tiles, at several sizes or through several backbones; score images or files, not batches";
            return Err(Error::Score { reason: reason.into() });
        };
        view.score_batch(batch, (&[], &[]))
    }

    /// Scores one decoded image; tiles go to the engine in batches of `options.batch_size`.
    ///
    /// # Errors
    /// As [`Self::score`], and [`Error::Score`] for an image of a size the model does not know.
    pub fn score_image(&self, image: &RgbImage, options: &ScoreOptions<'_>) -> Result<Scored, Error> {
        self.model.score_image(image, options)
    }

    /// What the model says of one decoded image: score, p-value, decision and regions.
    ///
    /// # Errors
    /// As [`Self::score_image`].
    pub fn judge(&self, name: &str, image: &RgbImage) -> Result<Verdict, Error> {
        let scored = self.score_image(image, &ScoreOptions::default())?;
        self.verdict(name, &scored, (image.height, image.width), 0.0)
    }

    /// What the model says of an image that was scored; regions under `minimum_area` pixels of the image are left out.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn verdict(
        &self,
        name: &str,
        scored: &Scored,
        size: (usize, usize),
        minimum_area: f64,
    ) -> Result<Verdict, Error> {
        let decision = self.decide(scored, size, minimum_area)?;
        Ok(Verdict { path: name.to_owned(), score: scored.score, overlay: None, map: None, decision })
    }

    /// The same for an image of a category, by the thresholds of that category where the model has several.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn verdict_in(
        &self,
        category: &str,
        name: &str,
        scored: &Scored,
        size: (usize, usize),
        minimum_area: f64,
    ) -> Result<Verdict, Error> {
        let decision = self.decide_in(category, scored, size, minimum_area)?;
        Ok(Verdict { path: name.to_owned(), score: scored.score, overlay: None, map: None, decision })
    }

    /// Reads, transforms and scores one image file.
    ///
    /// # Errors
    /// [`Error::Data`] if it cannot be read, else as [`Self::score_image`].
    pub fn score_file(&self, path: &Path) -> Result<Scored, Error> {
        let image = read_image(path, &self.transform().read_options())?;
        self.transform()
            .output_size(image.height, image.width)
            .map_err(|fault| DataError::Image { path: path.to_owned(), fault })?;
        self.score_image(&image, &ScoreOptions::default())
    }

    /// Scores the images of a source in their order: the one way from images to outcomes. Returns what was left out.
    ///
    /// Whole images are read ahead and scored in batches; a model of several views or of tiles has one image in memory at a time.
    ///
    /// # Errors
    /// As [`Self::score_image`] and [`Error::Data`]; [`Error::Interrupted`]; what `each` returns.
    pub fn score_source<E: From<Error>>(
        &self,
        images: &dyn Source,
        options: &ScoreOptions<'_>,
        each: impl FnMut(ScoredImage) -> Result<(), E>,
    ) -> Result<Vec<Skipped>, E> {
        Ok(self.score_passing(images, options, each)?.skipped)
    }

    /// The same, with what is known of sequences as a whole.
    pub(crate) fn score_passing<E: From<Error>>(
        &self,
        images: &dyn Source,
        options: &ScoreOptions<'_>,
        mut each: impl FnMut(ScoredImage) -> Result<(), E>,
    ) -> Result<Passed, E> {
        let mut failed = None;
        let mut tell = |outcome: Outcome| {
            let Outcome { index, size, scored, mask } = outcome;
            each(ScoredImage { index, size, scored, mask }).map_err(|error| {
                failed = Some(error);
                Error::Interrupted
            })
        };
        let all: Vec<usize> = (0..images.len()).collect();
        let outcome = score_all(&self.model.views, images, &all, options, &mut tell);
        match failed {
            Some(error) => Err(error),
            None => Ok(outcome?),
        }
    }

    /// Whether nothing but our own deterministic kernels makes the scores, in threads that end with the detector. `engine` is what it was
    /// loaded with.
    pub fn is_native(&self, engine: &EngineOptions) -> bool {
        self.model.is_native(engine)
    }

    /// Scores that pictures show as the coldest and the hottest colour.
    pub fn colour_range(&self) -> (f32, f32) {
        self.colour_range
    }

    /// Scores of good images that the model had not seen, and the thresholds that follow from them.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// T, the frames of the clips that it looks at; 1 for single images. With more, images must be frames of sequences.
    pub fn clip(&self) -> usize {
        self.model.views.first().map_or(1, View::clip)
    }

    /// How images become input; of several input sizes the largest, whose size maps have.
    pub fn transform(&self) -> &Arc<Transform> {
        self.model.transform()
    }

    /// What the calibration makes of an image of (height, width) pixels before the transform; `None` for a detector without one.
    ///
    /// Regions under `minimum_area` pixels of the image are left out.
    ///
    /// # Errors
    /// [`Error::Score`] if no image of that size passes the transform.
    pub fn decide(
        &self,
        scored: &Scored,
        size: (usize, usize),
        minimum_area: f64,
    ) -> Result<Option<Decision>, Error> {
        self.decide_by(self.calibration.as_ref(), scored, size, minimum_area)
    }

    /// The same for an image of a category, by the thresholds of that category where the model has several.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_in(
        &self,
        category: &str,
        scored: &Scored,
        size: (usize, usize),
        minimum_area: f64,
    ) -> Result<Option<Decision>, Error> {
        let calibration = self.calibration.as_ref().map(|calibration| calibration.of(category));
        self.decide_by(calibration, scored, size, minimum_area)
    }

    fn decide_by(
        &self,
        calibration: Option<&Calibration>,
        scored: &Scored,
        size: (usize, usize),
        minimum_area: f64,
    ) -> Result<Option<Decision>, Error> {
        let decide = |calibration| Decision::new(calibration, scored, self.transform(), size, minimum_area);
        let decision = calibration.map(decide).transpose();
        decision.map_err(|fault| Error::Score { reason: fault.to_string() })
    }

    /// What the loss did over the training of each network, for methods that train any: a name, the steps of a part, and the mean loss
    /// of every part.
    pub fn loss_curves(&self) -> Vec<(String, u64, Vec<f64>)> {
        let of_view = |view: &View| blemish_methods::loss_curves(&view.state());
        let curves = self.model.views.iter().flat_map(of_view);
        curves.map(|(name, curve)| (name, curve.part, curve.losses)).collect()
    }

    /// Training images that were left out because they looked defective; empty for a loaded detector.
    pub fn trimmed(&self) -> &[Suspect] {
        &self.trimmed
    }

    /// Training images that were left out on `skip_bad`, with reasons; empty for a loaded detector.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

/// Scores some images of a source with views.
fn score_all(
    views: &[View],
    images: &dyn Source,
    chosen: &[usize],
    options: &ScoreOptions<'_>,
    each: &mut dyn FnMut(Outcome) -> Result<(), Error>,
) -> Result<Passed, Error> {
    let ScoreOptions { batch_size, skip_bad, with_masks, observer } = *options;
    let set = |view: &View| {
        let reading = Reading {
            transform: view.transform().clone(),
            // Nothing is kept: the view itself runs its backbone.
            backbone: None,
            clip: view.clip(),
            batch_size,
            skip_bad,
            observer,
        };
        ViewSet::whole(images, reading)
    };
    let sets: Vec<ViewSet<'_>> = views.iter().map(set).collect();
    score_source(views, &sets, chosen, with_masks, Work { batch_size, observer }, each)
}

/// Scores that pictures should show as the coldest and the hottest colour: what is usual on good images, and far beyond their
/// worst. Seen on a few training images, which score lower than unseen ones, hence the wide margin; no decision rests on it.
fn find_colour_range(
    views: &[View],
    seen: &Subset<'_>,
    options: &FitOptions<'_>,
) -> Result<(f32, f32), Error> {
    let few = match views.first() {
        Some(view) => some_of(seen, SHOWN, view.transform()),
        None => Vec::new(),
    };
    let (batch_size, observer) = (options.batch_size, options.observer);
    let work = ScoreOptions { batch_size, skip_bad: true, observer, ..Default::default() };
    let mut values = Vec::new();
    if !few.is_empty() {
        observer.stage("looking at good images", Some(few.len() as u64));
        // Of clips, the frames before come along.
        score_all(views, seen, &few, &work, &mut |outcome| {
            let map = outcome.scored.map.values;
            let step = map.len().div_ceil(SHOWN_PIXELS).max(1);
            values.extend(map.into_iter().step_by(step));
            Ok(())
        })?;
    }
    Ok(range_of(values))
}

/// The coldest and the hottest colour for maps whose scores on good images are these: the median, and three times as far from it as the
/// highest, whatever the sign of scores.
fn range_of(mut scores: Vec<f32>) -> (f32, f32) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let middle = scores.len() / 2;
    let median = match scores.is_empty() {
        true => 0.0,
        false => *scores.select_nth_unstable_by(middle, f32::total_cmp).1,
    };
    let high = median + 3.0 * (highest - median);
    if high > median { (median, high) } else { (median, median + 1.0) }
}

#[cfg(test)]
mod tests {
    use super::range_of;

    #[test]
    fn colours_spread_over_scores_of_any_sign() {
        assert_eq!(range_of(vec![1.0, 3.0, 2.0]), (2.0, 5.0));
        assert_eq!(range_of(vec![-1.0, -3.0, -2.0]), (-2.0, 1.0));
        assert_eq!(range_of(vec![-4.0; 3]), (-4.0, -3.0));
        assert_eq!(range_of(Vec::new()), (0.0, 1.0));
    }
}
