//! What to fit and how to run fits and scores.

use crate::calibrate::CalibrationConfig;
use crate::suspects::Trim;
use crate::tiled::TileOptions;
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_core::observer::{Observer, Silent};
use blemish_core::settings::Settings;
use blemish_core::training::TrainingOptions;
use blemish_data::Transform;
use blemish_features::{Backbone, BackboneSpec, EngineOptions};
use blemish_methods::registry;
use std::path::PathBuf;
use std::sync::Arc;

/// What to fit. The default is PatchCore on the embedded backbone.
#[derive(Clone, Debug)]
pub struct DetectorConfig {
    /// Name in the registry.
    pub method: String,
    /// Settings that differ from the method's defaults.
    pub settings: Settings,
    /// The frozen backbone; ignored by methods that need none.
    pub backbone: BackboneSpec,
    /// Further backbones, each with models of its own whose maps and scores are averaged with the others'; refused by methods that need
    /// none.
    pub ensemble: Vec<BackboneSpec>,
    /// How images become input; `None` is what the method's variant prescribes, and for tiles the images' own size.
    pub transform: Option<Transform>,
    /// Cuts the transformed image into tiles; `None` looks at it as a whole.
    pub tiles: Option<TileOptions>,
    /// Input sizes (shorter sides, in pixels) whose maps are merged; empty is the transform's own size alone.
    pub input_sizes: Vec<usize>,
    /// Fixes every random choice.
    pub seed: u64,
    /// How thresholds are found.
    pub calibration: CalibrationConfig,
    /// Leaves the most suspicious training images out; they are told by [`Detector::trimmed`](super::Detector::trimmed).
    pub trim: Option<Trim>,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            method: "patchcore".into(),
            settings: Settings::new(),
            backbone: BackboneSpec::default(),
            ensemble: Vec::new(),
            transform: None,
            tiles: None,
            input_sizes: Vec::new(),
            seed: 0,
            calibration: CalibrationConfig::default(),
            trim: None,
        }
    }
}

impl DetectorConfig {
    /// The image transform where none was set: the images' own size for tiles, else what the method's variant prescribes.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`], [`Error::Setting`].
    pub fn default_transform(&self) -> Result<Transform, Error> {
        match self.tiles {
            Some(_) => Ok(Transform::native()),
            None => registry::method(&self.method)?.default_transform(&self.settings),
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
    /// Folder for large temporary files; `None` is the system's.
    pub scratch: Option<PathBuf>,
    /// How methods that train for long are run.
    pub training: TrainingOptions,
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
            training: TrainingOptions::default(),
            observer: &Silent,
        }
    }
}

impl<'a> FitOptions<'a> {
    /// What surrounds a fit run with these options.
    pub(crate) fn context(&self, seed: u64, backbone: Option<Arc<Backbone>>) -> FitContext<'a> {
        FitContext {
            seed,
            backbone,
            memory_limit: self.memory_limit,
            scratch: self.scratch.clone(),
            prompts: Vec::new(),
            training: self.training.clone(),
            observer: self.observer,
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
