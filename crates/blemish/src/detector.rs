//! The detector: everything between a folder of good images and scores, in four verbs: fit, score, save, load.

use crate::backbone_file;
use crate::calibrate::{Calibrated, CalibrationConfig};
use crate::decision::Decision;
use crate::error::Error;
use crate::map::Scored;
use crate::method::{Fitted, MethodEntry};
use crate::model_file::{self, DataHeader, FORMAT_VERSION, Header};
use crate::observer::{Observer, Silent};
use crate::prepared::Prepared;
use crate::registry;
use crate::settings::Settings;
use crate::suspects::{self, Suspect, Trim};
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
    /// How thresholds are found.
    pub calibration: CalibrationConfig,
    /// Leaves the most suspicious training images out; they are told by [`Detector::trimmed`].
    pub trim: Option<Trim>,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            method: "patchcore".into(),
            settings: Settings::new(),
            backbone: BackboneSpec::default(),
            transform: None,
            seed: 0,
            calibration: CalibrationConfig::default(),
            trim: None,
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
    entry: &'static dyn MethodEntry,
    method: Box<dyn Fitted>,
    backbone: Option<Arc<Backbone>>,
    transform: Arc<Transform>,
    seed: u64,
    data: DataHeader,
    colour_range: (f32, f32),
    calibration: Option<Calibration>,
    skipped: Vec<Skipped>,
    trimmed: Vec<Suspect>,
}

impl Detector {
    /// Learns what good images look like from the training images of a dataset.
    ///
    /// # Errors
    /// [`Error`]: unknown method or setting, unreadable images, missing weights, or a fit that these images do not allow.
    pub fn fit(config: &DetectorConfig, dataset: &Dataset, options: &FitOptions<'_>) -> Result<Self, Error> {
        let prepared = Prepared::new(config, options)?;
        let folds = config.calibration.folds;
        let fitted = prepared.with_fits(config, dataset, options, |fits, set| {
            let (chosen, trimmed) = match config.trim {
                None => (None, Vec::new()),
                Some(trim) => {
                    let (kept, trimmed) = suspects::trim(fits, set, folds, trim)?;
                    (Some(kept), trimmed)
                }
            };
            let Calibrated { method, calibration } =
                fits.fit_calibrated(set, chosen.as_deref(), &config.calibration)?;
            let learnt = chosen.unwrap_or_else(|| set.loaded().usable());
            Ok((method, calibration, trimmed, learnt, set.loaded().skipped()))
        })?;
        let (method, calibration, trimmed, learnt, skipped) = fitted;
        options.observer.stage("digesting the images", None);
        let learnt: Vec<Sample> = learnt.into_iter().map(|index| dataset.train[index].clone()).collect();
        let seen = if trimmed.is_empty() { &dataset.train } else { &learnt };
        let data = DataHeader {
            category: dataset.category.clone(),
            images: learnt.len(),
            digest: blemish_data::dataset_digest(seen)?,
        };
        let Prepared { entry, transform, backbone } = prepared;
        let mut detector = Self {
            entry,
            method,
            backbone,
            transform,
            seed: config.seed,
            data,
            colour_range: (0.0, 1.0),
            calibration,
            skipped,
            trimmed,
        };
        detector.colour_range = detector.find_colour_range(seen)?;
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
        let size = (batch.height, batch.width);
        let region = batch.region_of_interest.as_deref();
        self.method.map_stage().finish_batch(self.method.score(batch)?, size, region)
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
        if header.calibration.as_ref().is_some_and(|calibration| !calibration.is_valid()) {
            let reason = "its calibration is not one of finite, ascending scores".into();
            return Err(Error::Corrupt { path: path.to_owned(), reason });
        }
        let entry = registry::method(&header.method)?;
        let stored = state.split_off_prefix(backbone_file::PREFIX);
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
            skipped: Vec::new(),
            trimmed: Vec::new(),
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
        let decide = |calibration| Decision::new(calibration, scored, &self.transform, size, minimum_area);
        let decision = self.calibration.as_ref().map(decide).transpose();
        decision.map_err(|fault| Error::Score { reason: fault.to_string() })
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
