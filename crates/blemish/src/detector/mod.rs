//! The detector: everything between a folder of good images and scores, in four verbs: fit, score, save, load.

mod config;
mod file;

pub use config::{DetectorConfig, FitOptions, ScoreOptions};

use crate::calibrate::{CachedFits, Calibrated, without};
use crate::composed::{Composed, ComposedFits};
use crate::decision::Decision;
use crate::model_file::DataHeader;
use crate::prepared::Prepared;
use crate::suspects::{self, Suspect};
use crate::tiled::score_batch;
use crate::verification;
use crate::view::{self, View, Work};
use blemish_core::entry::{Fitted, MethodEntry};
use blemish_core::error::Error;
use blemish_core::map::Scored;
use blemish_core::state::State;
use blemish_data::{
    DataError, Dataset, DecodedImage, DecodedImages, ImageBatch, Loader, LoaderOptions, Mask, RgbImage,
    Sample, Skipped, Transform, read_image,
};
use blemish_eval::Calibration;
use blemish_features::Backbone;
use std::path::Path;
use std::sync::Arc;

/// Training images looked at for the colours of pictures.
const SHOWN: usize = 4;

/// Pixels of each of them that are looked at; of larger maps every so many.
const SHOWN_PIXELS: usize = 1 << 20;

/// An image that was scored.
#[derive(Clone, Debug)]
pub struct ScoredSample {
    /// Position in the samples.
    pub index: usize,
    /// Height and width of the upright image before the transform.
    pub size: (usize, usize),
    /// The outcome.
    pub scored: Scored,
    /// Its mask at the map's size; `None` where it has none or masks were not asked for.
    pub mask: Option<Mask>,
}

/// What a fit has come to.
struct Learnt {
    views: Vec<View>,
    calibration: Option<Calibration>,
    trimmed: Vec<Suspect>,
    /// The training images that were learnt from.
    images: Vec<usize>,
    skipped: Vec<Skipped>,
}

/// A fitted detector.
pub struct Detector {
    pub(crate) entry: &'static dyn MethodEntry,
    /// At least one, the largest input first.
    pub(crate) views: Vec<View>,
    /// Those that the views look through; none for a method without any.
    pub(crate) backbones: Vec<Arc<Backbone>>,
    pub(crate) seed: u64,
    pub(crate) data: DataHeader,
    pub(crate) colour_range: (f32, f32),
    pub(crate) calibration: Option<Calibration>,
    /// See [`crate::verification`]; empty in files of older programs.
    pub(crate) verification: State,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) trimmed: Vec<Suspect>,
}

impl Detector {
    /// Learns what good images look like from the training images of a dataset.
    ///
    /// # Errors
    /// [`Error`]: unknown method or setting, unreadable images, missing weights, or a fit that these images do not allow.
    pub fn fit(config: &DetectorConfig, dataset: &Dataset, options: &FitOptions<'_>) -> Result<Self, Error> {
        let prepared = Prepared::new(config, options)?;
        let Learnt { views, calibration, trimmed, images, skipped } = match view::is_composed(config) {
            true => learn_composed(&prepared, config, dataset, options)?,
            false => learn_whole(&prepared, config, dataset, options)?,
        };
        options.observer.stage("digesting the images", None);
        let learnt: Vec<Sample> = images.into_iter().map(|index| dataset.train[index].clone()).collect();
        let seen = if trimmed.is_empty() { &dataset.train } else { &learnt };
        let data = DataHeader {
            category: dataset.category.clone(),
            images: learnt.len(),
            digest: blemish_data::dataset_digest(seen)?,
        };
        let Prepared { entry, backbones, .. } = prepared;
        let mut detector = Self {
            entry,
            views,
            backbones,
            seed: config.seed,
            data,
            colour_range: (0.0, 1.0),
            calibration,
            verification: State::default(),
            skipped,
            trimmed,
        };
        detector.colour_range = detector.find_colour_range(seen, options)?;
        detector.verification = verification::record(&detector, seen, &options.engine)?;
        Ok(detector)
    }

    /// Scores that pictures should show as the coldest and the hottest colour: what is usual on good images, and far beyond their
    /// worst. Seen on a few training images, which score lower than unseen ones, hence the wide margin; no decision rests on it.
    fn find_colour_range(&self, train: &[Sample], options: &FitOptions<'_>) -> Result<(f32, f32), Error> {
        let few = view::some_of(train, SHOWN, self.transform());
        let few: Vec<Sample> = few.into_iter().map(|index| train[index].clone()).collect();
        let batch_size = options.batch_size;
        let work =
            ScoreOptions { batch_size, skip_bad: true, observer: options.observer, ..Default::default() };
        options.observer.stage("looking at good images", Some(few.len() as u64));
        let mut values = Vec::new();
        self.score_samples(&few, &work, |ScoredSample { scored, .. }| {
            let step = scored.map.values.len().div_ceil(SHOWN_PIXELS).max(1);
            values.extend(scored.map.values.into_iter().step_by(step));
            Ok::<(), Error>(())
        })?;
        Ok(range_of(values))
    }

    /// Scores a batch that [`Self::transform`] has made; one outcome an image, each independent of the others.
    ///
    /// # Errors
    /// [`Error::Score`] if the batch does not fit the model or a score is not finite, or if the model looks at tiles, at several sizes or
    /// through several backbones, which need the image itself; [`Error::Features`] if the engine fails.
    pub fn score(&self, batch: &ImageBatch) -> Result<Vec<Scored>, Error> {
        let Some(method) = self.whole() else {
            let reason = "the model looks at tiles, at several sizes or through several backbones; score images or files, not batches";
            return Err(Error::Score { reason: reason.into() });
        };
        Ok(score_batch(method, batch)?.into_iter().map(|(scored, _)| scored).collect())
    }

    /// The method of a model that looks at whole images at one size through one backbone.
    pub(crate) fn whole(&self) -> Option<&dyn Fitted> {
        match self.views.as_slice() {
            [view] => view.whole(),
            _ => None,
        }
    }

    /// Scores one decoded image, whatever the model looks at; images and tiles go to the engine in batches of `options.batch_size`.
    ///
    /// # Errors
    /// As [`Self::score`], and [`Error::Score`] for an image of a size the model does not know.
    pub fn score_image(&self, image: &RgbImage, options: &ScoreOptions<'_>) -> Result<Scored, Error> {
        view::score(&self.views, image, Work { batch_size: options.batch_size, observer: options.observer })
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

    /// Scores samples in their order: the one way from files to outcomes. Returns what was left out.
    ///
    /// Whole images are read ahead and scored in batches; a model of several views or of tiles has one image in memory at a time.
    ///
    /// # Errors
    /// As [`Self::score_image`] and [`Error::Data`]; [`Error::Interrupted`]; what `each` returns.
    pub fn score_samples<E: From<Error>>(
        &self,
        samples: &[Sample],
        options: &ScoreOptions<'_>,
        mut each: impl FnMut(ScoredSample) -> Result<(), E>,
    ) -> Result<Vec<Skipped>, E> {
        let check = || if options.observer.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) };
        let ScoreOptions { batch_size, skip_bad, with_masks, observer } = *options;
        if self.whole().is_none() {
            let order = (0..samples.len()).collect();
            let mut images = DecodedImages::new(samples, order, self.transform(), skip_bad, with_masks);
            while let Some(decoded) = images.next().transpose().map_err(Error::from)? {
                check()?;
                let DecodedImage { index, image, mask } = decoded;
                let size = (image.height, image.width);
                let scored = self.score_image(&image, options)?;
                // A large image and the picture drawn of it need not be in memory together.
                drop(image);
                each(ScoredSample { index, size, scored, mask })?;
                observer.advance(1);
            }
            return Ok(images.skipped().to_vec());
        }
        let options = LoaderOptions { batch_size, skip_bad, with_masks, ..LoaderOptions::default() };
        let mut loader = Loader::new(samples, self.transform(), options);
        for batch in loader.by_ref() {
            check()?;
            let batch = batch.map_err(Error::from)?;
            let scored = self.score(&batch.images)?;
            let count = batch.indices.len() as u64;
            let origins = batch.indices.into_iter().zip(batch.original_sizes);
            for (((index, size), scored), mask) in origins.zip(scored).zip(batch.masks) {
                each(ScoredSample { index, size, scored, mask })?;
            }
            observer.advance(count);
        }
        Ok(loader.skipped().to_vec())
    }

    /// Scores that pictures show as the coldest and the hottest colour.
    pub fn colour_range(&self) -> (f32, f32) {
        self.colour_range
    }

    /// Scores of good images that the model had not seen, and the thresholds that follow from them.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// How images become input; of several input sizes the largest, whose size maps have.
    pub fn transform(&self) -> &Arc<Transform> {
        // A fit makes a view at least, and a file without any is read as one.
        self.views[0].transform()
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
        let decide = |calibration| Decision::new(calibration, scored, self.transform(), size, minimum_area);
        let decision = self.calibration.as_ref().map(decide).transpose();
        decision.map_err(|fault| Error::Score { reason: fault.to_string() })
    }

    /// What the loss did over the training of each network, for methods that train any: a name, the steps of a part, and the mean loss
    /// of every part.
    pub fn loss_curves(&self) -> Vec<(String, u64, Vec<f64>)> {
        let of_view = |view: &View| blemish_methods::loss_curves(&view.state());
        let curves = self.views.iter().flat_map(of_view);
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

/// Learns from whole images at one size; features are kept for the calibration.
fn learn_whole(
    prepared: &Prepared,
    config: &DetectorConfig,
    dataset: &Dataset,
    options: &FitOptions<'_>,
) -> Result<Learnt, Error> {
    let folds = config.calibration.folds;
    prepared.with_fits(config, dataset, options, |fits, set| {
        let (chosen, trimmed) = match config.trim {
            None => (None, Vec::new()),
            Some(trim) => {
                let (kept, trimmed) = suspects::trim(&CachedFits { fits, set }, folds, trim)?;
                (Some(kept), trimmed)
            }
        };
        let Calibrated { method, calibration, held_out } =
            fits.fit_calibrated(set, chosen.as_deref(), &config.calibration)?;
        let images = without(&chosen.unwrap_or_else(|| set.loaded().usable()), &held_out);
        let views = vec![View::of_whole_images(prepared.transform.clone(), method)];
        Ok(Learnt { views, calibration, trimmed, images, skipped: set.loaded().skipped() })
    })
}

/// Learns from tiles, at several sizes or through several backbones.
fn learn_composed(
    prepared: &Prepared,
    config: &DetectorConfig,
    dataset: &Dataset,
    options: &FitOptions<'_>,
) -> Result<Learnt, Error> {
    let fits = ComposedFits::new(prepared, config, dataset, options);
    let (chosen, trimmed) = match config.trim {
        None => (None, Vec::new()),
        Some(trim) => {
            let (kept, trimmed) = suspects::trim(&fits, config.calibration.folds, trim)?;
            (Some(kept), trimmed)
        }
    };
    let Composed { views, calibration, images } = fits.fit_calibrated(chosen, &config.calibration)?;
    Ok(Learnt { views, calibration, trimmed, images, skipped: fits.skipped() })
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
