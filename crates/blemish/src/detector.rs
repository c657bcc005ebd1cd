//! The detector: everything between a folder of good images and scores, in four verbs: fit, score, save, load.

use crate::backbone_file;
use crate::error::Error;
use crate::map::Scored;
use crate::method::MethodEntry;
use crate::model_file::{self, DataHeader, FORMAT_VERSION, Header};
use crate::observer::{Observer, Silent};
use crate::registry;
use crate::settings::Settings;
use crate::state::State;
use crate::tiled::{TileOptions, score_batch};
use crate::view::{self, View, ViewHeader, Work};
use blemish_data::{
    Dataset, DecodedImages, ImageBatch, Loader, LoaderOptions, Mask, RgbImage, Sample, Skipped, Transform,
    read_image,
};
use blemish_eval::Calibration;
use blemish_features::{Backbone, BackboneSpec, EngineOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Training images looked at for the colours of pictures.
const SHOWN: usize = 4;

/// Pixels of each of them that are looked at; of larger maps every so many.
const SHOWN_PIXELS: usize = 1 << 20;

/// What to fit. The default is PatchCore on the embedded backbone.
#[derive(Clone, Debug)]
pub struct DetectorConfig {
    /// Name in the registry.
    pub method: String,
    /// Settings that differ from the method's defaults.
    pub settings: Settings,
    /// The frozen backbone; ignored by methods that need none.
    pub backbone: BackboneSpec,
    /// How images become input; `None` is what the method's variant prescribes, and for tiles the images' own size.
    pub transform: Option<Transform>,
    /// Cuts the transformed image into tiles; `None` looks at it as a whole.
    pub tiles: Option<TileOptions>,
    /// Input sizes (shorter sides, in pixels) whose maps are merged; empty is the transform's own size alone.
    pub input_sizes: Vec<usize>,
    /// Fixes every random choice.
    pub seed: u64,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            method: "patchcore".into(),
            settings: Settings::new(),
            backbone: BackboneSpec::default(),
            transform: None,
            tiles: None,
            input_sizes: Vec::new(),
            seed: 0,
        }
    }
}

/// How to run a fit; none of it changes the model.
#[derive(Clone)]
pub struct FitOptions<'a> {
    /// Engine, device and threads of the backbone.
    pub engine: EngineOptions,
    /// Images (or tiles) per batch.
    pub batch_size: usize,
    /// Leave broken images out instead of failing.
    pub skip_bad: bool,
    /// Bytes of memory for what is collected during the fit.
    pub memory_limit: Option<u64>,
    /// Folder for checkpoints and large temporary files; `None` is the system's.
    pub scratch: Option<PathBuf>,
    /// Progress, warnings, cancellation.
    pub observer: &'a dyn Observer,
}

impl Default for FitOptions<'_> {
    fn default() -> Self {
        Self {
            engine: EngineOptions::default(),
            batch_size: 8,
            skip_bad: false,
            memory_limit: None,
            scratch: None,
            observer: &Silent,
        }
    }
}

/// How to score images; none of it changes a score.
#[derive(Clone, Copy)]
pub struct ScoreOptions<'a> {
    /// Images (or tiles) per batch.
    pub batch_size: usize,
    /// Leave broken images out instead of failing.
    pub skip_bad: bool,
    /// Read the masks, too.
    pub with_masks: bool,
    /// Progress in images; cancellation.
    pub observer: &'a dyn Observer,
}

impl Default for ScoreOptions<'_> {
    fn default() -> Self {
        Self { batch_size: 8, skip_bad: false, with_masks: false, observer: &Silent }
    }
}

/// A fitted detector.
pub struct Detector {
    entry: &'static dyn MethodEntry,
    /// At least one, the largest input first.
    views: Vec<View>,
    backbone: Option<Arc<Backbone>>,
    seed: u64,
    data: DataHeader,
    colour_range: (f32, f32),
    calibration: Option<Calibration>,
    skipped: Vec<Skipped>,
}

impl Detector {
    /// Learns what good images look like from the training images of a dataset.
    ///
    /// # Errors
    /// [`Error`]: unknown method or setting, unreadable images, missing weights, or a fit that these images do not allow.
    pub fn fit(config: &DetectorConfig, dataset: &Dataset, options: &FitOptions<'_>) -> Result<Self, Error> {
        let entry = registry::method(&config.method)?;
        let transform = match (&config.transform, &config.tiles) {
            (Some(transform), _) => transform.clone(),
            (None, Some(_)) => Transform::native(),
            (None, None) => entry.default_transform(&config.settings)?,
        };
        let strides = entry.info().needs.strides;
        let backbone = if strides.is_empty() {
            None
        } else {
            Some(Arc::new(Backbone::load(&config.backbone, strides, &options.engine)?))
        };
        let train = (dataset.train.as_slice(), dataset.category.as_str());
        let (views, skipped) = view::fit(entry, config, &transform, train, backbone.as_ref(), options)?;
        options.observer.stage("digesting the images", None);
        let data = DataHeader {
            category: dataset.category.clone(),
            images: dataset.train.len() - skipped.len(),
            digest: blemish_data::dataset_digest(&dataset.train)?,
        };
        let mut detector = Self {
            entry,
            views,
            backbone,
            seed: config.seed,
            data,
            colour_range: (0.0, 1.0),
            calibration: None,
            skipped,
        };
        detector.colour_range = detector.find_colour_range(&dataset.train, options)?;
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
        self.score_samples(&few, &work, |_, scored, _| {
            let step = scored.map.values.len().div_ceil(SHOWN_PIXELS).max(1);
            values.extend(scored.map.values.into_iter().step_by(step));
            Ok::<(), Error>(())
        })?;
        let highest = values.iter().copied().fold(0.0f32, f32::max);
        let middle = values.len() / 2;
        let median = match values.is_empty() {
            true => 0.0,
            false => *values.select_nth_unstable_by(middle, f32::total_cmp).1,
        };
        let high = median + 3.0 * (highest - median);
        Ok(if high > median { (median, high) } else { (median, median + 1.0) })
    }

    /// Scores a batch that [`Self::transform`] has made; one outcome an image, each independent of the others.
    ///
    /// # Errors
    /// [`Error::Score`] if the batch does not fit the model or a score is not finite, or if the model looks at tiles or several sizes,
    /// which need the image itself; [`Error::Features`] if the engine fails.
    pub fn score(&self, batch: &ImageBatch) -> Result<Vec<Scored>, Error> {
        let Some(method) = self.whole() else {
            let reason = "the model looks at tiles or at several sizes; score images or files, not batches";
            return Err(Error::Score { reason: reason.into() });
        };
        Ok(score_batch(method, batch)?.into_iter().map(|(scored, _)| scored).collect())
    }

    /// The method of a model that looks at whole images at one size.
    fn whole(&self) -> Option<&dyn crate::method::Fitted> {
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
            .map_err(|fault| blemish_data::DataError::Image { path: path.to_owned(), fault })?;
        self.score_image(&image, &ScoreOptions::default())
    }

    /// Scores samples in their order: the one way from files to outcomes. `each` gets the position of a sample, its outcome and, if asked
    /// for, its mask at the map's size. Returns what was left out.
    ///
    /// Whole images are read ahead and scored in batches; a model that looks at tiles or several sizes has one image in memory at a time.
    ///
    /// # Errors
    /// As [`Self::score_image`] and [`Error::Data`]; [`Error::Interrupted`]; what `each` returns.
    pub fn score_samples<E: From<Error>>(
        &self,
        samples: &[Sample],
        options: &ScoreOptions<'_>,
        mut each: impl FnMut(usize, Scored, Option<Mask>) -> Result<(), E>,
    ) -> Result<Vec<Skipped>, E> {
        let check = || if options.observer.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) };
        let ScoreOptions { batch_size, skip_bad, with_masks, observer } = *options;
        if self.whole().is_none() {
            let order = (0..samples.len()).collect();
            let mut images = DecodedImages::new(samples, order, self.transform(), skip_bad, with_masks);
            while let Some(decoded) = images.next().transpose().map_err(Error::from)? {
                check()?;
                let scored = self.score_image(&decoded.image, options)?;
                // A large image and the picture drawn of it need not be in memory together.
                drop(decoded.image);
                each(decoded.index, scored, decoded.mask)?;
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
            for ((index, scored), mask) in batch.indices.into_iter().zip(scored).zip(batch.masks) {
                each(index, scored, mask)?;
            }
            observer.advance(count);
        }
        Ok(loader.skipped().to_vec())
    }

    /// Writes the detector as one `.blemish` file that holds everything scoring needs.
    ///
    /// # Errors
    /// [`Error::Io`]; an existing file stays as it was.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut state = State::default();
        for (number, view) in self.views.iter().enumerate() {
            state.absorb(&self.prefix(number), view.state());
        }
        if let Some(backbone) = &self.backbone {
            state.absorb(backbone_file::PREFIX, backbone_file::state(backbone));
        }
        model_file::write(path, &self.header(), &state)
    }

    fn prefix(&self, view: usize) -> String {
        prefix(view, self.views.len())
    }

    /// Reads a detector, its tensors mapped into memory.
    ///
    /// # Errors
    /// Corrupt, truncated, newer and foreign files each have their own [`Error`].
    pub fn load(path: &Path, engine: &EngineOptions) -> Result<Self, Error> {
        let (header, mut state) = model_file::read(path)?;
        let entry = registry::method(&header.method)?;
        let stored = state.split_off_prefix(backbone_file::PREFIX);
        // Only here is it known which file a wrong tensor lies in.
        let locate = |error| match error {
            Error::State(error) => Error::Corrupt { path: path.to_owned(), reason: error.to_string() },
            Error::Data(error) => Error::Corrupt { path: path.to_owned(), reason: error.to_string() },
            other => other,
        };
        let backbone = match &header.backbone {
            None => None,
            Some(known) => Some(Arc::new(backbone_file::restore(known, &stored, engine).map_err(locate)?)),
        };
        let headers = match header.views.is_empty() {
            true => vec![ViewHeader { transform: header.transform, tiles: None, spread: None }],
            false => header.views,
        };
        let count = headers.len();
        let restore = |state| entry.restore(&header.settings, state, backbone.clone());
        let mut views = Vec::with_capacity(count);
        for (number, header) in headers.into_iter().enumerate() {
            let own = match prefix(number, count).as_str() {
                "" => std::mem::take(&mut state),
                prefix => state.split_off_prefix(prefix),
            };
            views.push(View::restore(header, own, &restore).map_err(locate)?);
        }
        Ok(Self {
            entry,
            views,
            backbone,
            seed: header.seed,
            data: header.data,
            colour_range: header.colour_range,
            calibration: header.calibration,
            skipped: Vec::new(),
        })
    }

    /// What a model file says of this detector.
    pub fn header(&self) -> Header {
        Header {
            format_version: FORMAT_VERSION,
            written_by: env!("CARGO_PKG_VERSION").into(),
            method: self.entry.info().name.into(),
            settings: self.views.first().map(View::settings).unwrap_or_default(),
            backbone: self.backbone.as_deref().map(backbone_file::header),
            transform: (**self.transform()).clone(),
            seed: self.seed,
            data: self.data.clone(),
            colour_range: self.colour_range,
            calibration: self.calibration.clone(),
            views: match self.whole() {
                Some(_) => Vec::new(),
                None => self.views.iter().map(|view| view.header().clone()).collect(),
            },
            checksum: 0,
        }
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

    /// Training images that were left out on `skip_bad`, with reasons; empty for a loaded detector.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

/// What the names of a view's tensors begin with.
fn prefix(view: usize, views: usize) -> String {
    if views > 1 { format!("view.{view}.") } else { String::new() }
}
