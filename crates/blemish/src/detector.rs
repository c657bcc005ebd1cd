//! The detector: everything between a folder of good images and scores, in four verbs: fit, score, save, load.

use crate::backbone_file;
use crate::error::Error;
use crate::map::Scored;
use crate::method::{FitContext, Fitted, MethodEntry};
use crate::model_file::{self, DataHeader, FORMAT_VERSION, Header};
use crate::observer::{Observer, Silent};
use crate::registry;
use crate::settings::Settings;
use crate::state::State;
use crate::training::LoadedSet;
use crate::verification;
use blemish_data::{Dataset, ImageBatch, Loader, LoaderOptions, Sample, Skipped, Transform};
use blemish_eval::Calibration;
use blemish_features::{Backbone, BackboneSpec, EngineOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Training images looked at for the colours of pictures.
const SHOWN: usize = 4;

/// What to fit. The default is PatchCore on the embedded backbone.
#[derive(Clone, Debug)]
pub struct DetectorConfig {
    /// Name in the registry.
    pub method: String,
    /// Settings that differ from the method's defaults.
    pub settings: Settings,
    /// The frozen backbone; ignored by methods that need none.
    pub backbone: BackboneSpec,
    /// How images become input; `None` is what the method's variant prescribes.
    pub transform: Option<Transform>,
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
            seed: 0,
        }
    }
}

/// How to run a fit; none of it changes the model.
#[derive(Clone)]
pub struct FitOptions<'a> {
    /// Engine, device and threads of the backbone.
    pub engine: EngineOptions,
    /// Images per batch.
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

/// A fitted detector.
pub struct Detector {
    pub(crate) entry: &'static dyn MethodEntry,
    pub(crate) method: Box<dyn Fitted>,
    pub(crate) backbone: Option<Arc<Backbone>>,
    pub(crate) transform: Arc<Transform>,
    pub(crate) seed: u64,
    pub(crate) data: DataHeader,
    pub(crate) colour_range: (f32, f32),
    pub(crate) calibration: Option<Calibration>,
    /// See [`crate::verification`]; empty in files of older programs.
    pub(crate) verification: State,
    pub(crate) skipped: Vec<Skipped>,
}

impl Detector {
    /// Learns what good images look like from the training images of a dataset.
    ///
    /// # Errors
    /// [`Error`]: unknown method or setting, unreadable images, missing weights, or a fit that these images do not allow.
    pub fn fit(config: &DetectorConfig, dataset: &Dataset, options: &FitOptions<'_>) -> Result<Self, Error> {
        let entry = registry::method(&config.method)?;
        let transform = match &config.transform {
            Some(transform) => transform.clone(),
            None => entry.default_transform(&config.settings)?,
        };
        let transform = Arc::new(transform);
        let strides = entry.info().needs.strides;
        let backbone = if strides.is_empty() {
            None
        } else {
            Some(Arc::new(Backbone::load(&config.backbone, strides, &options.engine)?))
        };
        let train = LoadedSet::new(dataset, &transform, options);
        let context = FitContext {
            seed: config.seed,
            backbone: backbone.clone(),
            memory_limit: options.memory_limit,
            scratch: options.scratch.clone(),
            prompts: Vec::new(),
            observer: options.observer,
        };
        let method = entry.fit(&config.settings, &train, &context)?;
        let skipped = train.into_skipped();
        options.observer.stage("digesting the images", None);
        let data = DataHeader {
            category: dataset.category.clone(),
            images: dataset.train.len() - skipped.len(),
            digest: blemish_data::dataset_digest(&dataset.train)?,
        };
        let mut detector = Self {
            entry,
            method,
            backbone,
            transform,
            seed: config.seed,
            data,
            colour_range: (0.0, 1.0),
            calibration: None,
            verification: State::default(),
            skipped,
        };
        detector.colour_range = detector.find_colour_range(&dataset.train)?;
        detector.verification = verification::record(&detector, &dataset.train, &options.engine)?;
        Ok(detector)
    }

    /// Scores that pictures should show as the coldest and the hottest colour: what is usual on good images, and far beyond their
    /// worst. Seen on a few training images, which score lower than unseen ones, hence the wide margin; no decision rests on it.
    fn find_colour_range(&self, train: &[Sample]) -> Result<(f32, f32), Error> {
        let options = LoaderOptions { batch_size: SHOWN, skip_bad: true, ..LoaderOptions::default() };
        let step = train.len().div_ceil(SHOWN).max(1);
        let few: Vec<Sample> = train.iter().step_by(step).cloned().collect();
        let mut values = Vec::new();
        for batch in Loader::new(&few, &self.transform, options) {
            values.extend(self.score(&batch?.images)?.into_iter().flat_map(|scored| scored.map.values));
        }
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
    /// [`Error::Score`] if the batch does not fit the model or a score is not finite, [`Error::Features`] if the engine fails.
    pub fn score(&self, batch: &ImageBatch) -> Result<Vec<Scored>, Error> {
        let stage = self.method.map_stage();
        let region = batch.region_of_interest.as_deref();
        let inside = region.map(|mask| mask.marked.as_slice());
        let patches = self.method.score(batch)?;
        // A score that is no number would be passed on as neither good nor bad.
        if let Some(at) = patches.iter().position(|patches| !patches.is_finite()) {
            let reason = format!(
                "image {at} of the batch has a score that is not a finite number; its pixels or the model's values are out of range"
            );
            return Err(Error::Score { reason });
        }
        Ok(patches
            .into_iter()
            .map(|patches| stage.finish(patches, batch.height, batch.width, inside))
            .collect())
    }

    /// Reads, transforms and scores one image file.
    ///
    /// # Errors
    /// [`Error::Data`] if it cannot be read, else as [`Self::score`].
    pub fn score_file(&self, path: &Path) -> Result<Scored, Error> {
        let batch = self.transform.load(path)?;
        let mut scored = self.score(&batch)?;
        scored.pop().ok_or_else(|| Error::Score { reason: "the method returned nothing".into() })
    }

    /// Writes the detector as one `.blemish` file that holds everything scoring needs.
    ///
    /// # Errors
    /// [`Error::Io`]; an existing file stays as it was.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut state = self.method.state();
        if let Some(backbone) = &self.backbone {
            state.absorb(backbone_file::PREFIX, backbone_file::state(backbone));
        }
        state.absorb(verification::PREFIX, self.verification.clone());
        model_file::write(path, &self.header(), &state)
    }

    /// Reads a detector, its tensors mapped into memory.
    ///
    /// # Errors
    /// Corrupt, truncated, newer and foreign files each have their own [`Error`].
    pub fn load(path: &Path, engine: &EngineOptions) -> Result<Self, Error> {
        let (header, mut state) = model_file::read(path)?;
        header
            .transform
            .check()
            .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
        let entry = registry::method(&header.method)?;
        let stored = state.split_off_prefix(backbone_file::PREFIX);
        let verification = state.split_off_prefix(verification::PREFIX);
        // Only here is it known which file a wrong tensor lies in.
        let locate = |error| match error {
            Error::State(error) => Error::Corrupt { path: path.to_owned(), reason: error.to_string() },
            other => other,
        };
        let backbone = match &header.backbone {
            None => None,
            Some(known) => Some(Arc::new(backbone_file::restore(known, &stored, engine).map_err(locate)?)),
        };
        let method = entry.restore(&header.settings, state, backbone.clone()).map_err(locate)?;
        Ok(Self {
            entry,
            method,
            backbone,
            transform: Arc::new(header.transform),
            seed: header.seed,
            data: header.data,
            colour_range: header.colour_range,
            calibration: header.calibration,
            verification,
            skipped: Vec::new(),
        })
    }

    /// What a model file says of this detector.
    pub fn header(&self) -> Header {
        Header {
            format_version: FORMAT_VERSION,
            written_by: env!("CARGO_PKG_VERSION").into(),
            method: self.entry.info().name.into(),
            settings: self.method.settings(),
            backbone: self.backbone.as_deref().map(backbone_file::header),
            transform: (*self.transform).clone(),
            seed: self.seed,
            data: self.data.clone(),
            colour_range: self.colour_range,
            calibration: self.calibration.clone(),
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

    /// How images become input.
    pub fn transform(&self) -> &Arc<Transform> {
        &self.transform
    }

    /// Training images that were left out on `skip_bad`, with reasons; empty for a loaded detector.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}
