//! What to fit and how to run fits and scores.

use crate::pattern::GroupPattern;
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_core::needs::{Backing, Needs};
use blemish_core::observer::{Observer, Silent};
use blemish_core::preset::Preset;
use blemish_core::settings::Settings;
use blemish_core::training::TrainingOptions;
use blemish_data::{Filter, Tiling, Transform};
use blemish_features::{
    Backbone, BackboneSource, BackboneSpec, Device, EngineOptions, FeatureError, ImageText,
};
use blemish_foundation::clip::Clip;
use blemish_methods::registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// What to fit. The default is PatchCore on the embedded backbone.
#[derive(Clone, Debug)]
pub struct DetectorConfig {
    /// Name in the list of methods.
    pub method: String,
    /// Settings that differ from the method's defaults.
    pub settings: Settings,
    /// The frozen backbone; ignored by methods that need none.
    pub backbone: BackboneSpec,
    /// Further backbones, each with models of its own whose maps and scores are averaged with the others'.
    pub ensemble: Vec<BackboneSpec>,
    /// What the frozen backbones compute with.
    pub precision: BackbonePrecision,
    /// A network of images and texts that is in memory already, for methods that look through one; `None` loads the one that `backbone` names.
    pub image_text: Option<Arc<Clip>>,
    /// How images become input. `None` is what the method's variant prescribes, and for tiles the images' own size; the default method and
    /// backbone choose by the images, see [`Self::choose_inputs`].
    pub transform: Option<Transform>,
    /// Cuts the transformed image into tiles; `None` looks at it as a whole.
    pub tiles: Option<TileOptions>,
    /// Input sizes (shorter sides, in pixels) whose maps are merged; empty is the transform's own size alone, where there is a transform.
    pub input_sizes: Vec<usize>,
    /// Fixes every random choice.
    pub seed: u64,
    /// How thresholds are found.
    pub calibration: CalibrationConfig,
    /// Leaves the most suspicious training images out; [`Detector::trimmed`](crate::Detector::trimmed) lists them.
    pub trim: Option<Trim>,
}

impl Default for DetectorConfig {
    fn default() -> Self {
        Self {
            method: "patchcore".into(),
            settings: Settings::new(),
            backbone: BackboneSpec::default(),
            ensemble: Vec::new(),
            precision: BackbonePrecision::default(),
            image_text: None,
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
    /// The same, so that the model can learn on later.
    ///
    /// # Errors
    /// [`Error::Living`] for a method or a way of looking at images whose models cannot be updated.
    pub fn updatable(mut self) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Living { action: "update", reason };
        let entry = registry::method(&self.method)?;
        if entry.updates().is_none() {
            return Err(refuse(format!(
                "models of {} stay as they were fitted; do not ask for it, or use one of: {}",
                self.method,
                registry::updatable_names()
            )));
        }
        if self.tiles.is_some() || self.input_sizes.len() > 1 || !self.ensemble.is_empty() {
            return Err(refuse(
                "models that look at tiles, at several sizes or through several backbones stay as they were fitted; look at whole images at one \
                 size through one backbone, or do not ask for it"
                    .into(),
            ));
        }
        // Models of methods without the setting always can.
        if entry.settings().iter().any(|setting| setting.name == "updatable") {
            self.settings.insert("updatable".into(), true.into());
        }
        Ok(self)
    }

    /// Takes the preset for where a method with presets is trained, unless one is set: as published on a GPU, smaller on a CPU.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`].
    pub fn choose_preset(&mut self, device: Device) -> Result<(), Error> {
        let preset = if device.is_cpu() { Preset::Cpu } else { Preset::Paper };
        if registry::method(&self.method)?.preset(preset).is_some()
            && !self.settings.contains_key(Preset::KEY)
        {
            self.settings.insert(Preset::KEY.into(), preset.name().into());
        }
        Ok(())
    }

    /// The image transform where none was set: the images' own size for tiles, else the only size that the backbone takes, else what
    /// the method's variant prescribes.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`], [`Error::Setting`], [`Error::Features`].
    pub fn default_transform(&self) -> Result<Transform, Error> {
        if self.tiles.is_some() {
            return Ok(Transform::native());
        }
        let method = registry::method(&self.method)?;
        match self.fixed_transform(method.needs(&self.settings)?)? {
            Some(transform) => Ok(transform),
            None => method.default_transform(&self.settings),
        }
    }
}

impl DetectorConfig {
    /// The network of images and texts that the backbone names; where nothing is said, the one that WinCLIP was published with.
    ///
    /// # Errors
    /// [`Error::Features`] if it is a network of another kind.
    pub(crate) fn named_image_text(&self) -> Result<ImageText, Error> {
        match &self.backbone.source {
            BackboneSource::ImageText(network) => Ok(*network),
            source if *source == BackboneSpec::default().source => Ok(ImageText::default()),
            BackboneSource::Network(network) => Err(FeatureError::UnknownNetwork {
                name: network.name().to_owned(),
                known: format!("for images and texts {}", ImageText::names()),
            }
            .into()),
            BackboneSource::Onnx(path) => Err(FeatureError::UnknownNetwork {
                name: path.display().to_string(),
                known: format!("for images and texts {}", ImageText::names()),
            }
            .into()),
        }
    }

    /// The transform to the only size that the backbone takes, if there is a backbone and it takes only one.
    ///
    /// # Errors
    /// [`Error::Features`] for a backbone that cannot be read.
    pub(crate) fn fixed_transform(&self, needs: Needs) -> Result<Option<Transform>, Error> {
        match needs.backbone {
            Backing::None => return Ok(None),
            // Its position embedding is for one size, and it was trained on images resized along curves.
            Backing::ImageText => {
                let size = match &self.image_text {
                    Some(network) => network.image().form().size,
                    None => self.named_image_text()?.size(),
                };
                return Ok(Some(Transform::resize_to(size, size).with_filter(Filter::Bicubic)));
            }
            Backing::Maps(_) => {}
        }
        Ok(self.backbone.fixed_size()?.map(|[height, width]| Transform::resize_to(height, width)))
    }
}

/// What a frozen backbone computes with. The model keeps it: what it is fitted on is what it scores with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackbonePrecision {
    /// Single precision.
    #[default]
    Single,
    /// Bytes: faster on a CPU with VNNI, the same bits on every machine. For convolutional networks with ReLU or ReLU6.
    Int8,
    /// Bytes where good images and made-up defects show that it costs little, else single precision.
    Auto,
}

impl std::str::FromStr for BackbonePrecision {
    type Err = Error;

    /// Reads `single`, `int8` or `auto`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "single" => Ok(Self::Single),
            "int8" => Ok(Self::Int8),
            "auto" => Ok(Self::Auto),
            other => Err(Error::Setting {
                key: "precision".into(),
                reason: format!("`{other}` is none"),
                help: "allowed: single, int8, auto".into(),
            }),
        }
    }
}

/// A further backbone from a word: an architecture, or an architecture and its weight file as `NAME:FILE`.
///
/// # Errors
/// [`Error::Setting`] for an ONNX file, whose layers must be named; [`Error::Features`] for a name that is none.
pub fn ensemble_member(word: &str) -> Result<BackboneSpec, Error> {
    let (name, weights) = match word.split_once(':') {
        Some((name, weights)) => (name, Some(PathBuf::from(weights))),
        None => (word, None),
    };
    match name.parse::<BackboneSource>()? {
        BackboneSource::Onnx(path) => Err(Error::Setting {
            key: "ensemble".into(),
            reason: format!("`{}` needs its layers named, which an ensemble cannot", path.display()),
            help: "make it the backbone, with layers".into(),
        }),
        source => Ok(BackboneSpec { weights, ..source.into() }),
    }
}

/// How images are cut into tiles, and what is learnt from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileOptions {
    /// Size and overlap.
    pub tiling: Tiling,
    /// One model or many.
    pub models: TileModels,
    /// Learn from so many tiles of each image, drawn by the seed, where it has more; `None` is all. Only with a shared model.
    pub per_image: Option<usize>,
}

/// Which tiles share a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TileModels {
    /// One model learns all tiles: for textures and parts anywhere in the image. Images may differ in size.
    #[default]
    Shared,
    /// Each place has a model of its own: for aligned parts. All images have one size.
    Each,
}

/// How a fit calibrates.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationConfig {
    /// Folds that the training images are dealt into; 0 leaves the calibration out. With fewer images each is its own fold.
    pub folds: usize,
    /// Share of good images that may be flagged, above 0 and below 1. Where the images are too few to promise it, the threshold is that of
    /// the lowest share that they can.
    pub false_alarm: f64,
    /// Which images belong together: they are left out together, and count as one.
    pub groups: Groups,
}

impl Default for CalibrationConfig {
    fn default() -> Self {
        Self { folds: 5, false_alarm: 0.01, groups: Groups::default() }
    }
}

/// Which images belong together: exposures, bursts, frames of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Groups {
    /// Those that the source names; where it names none, those that looks and names show ([`blemish_eval::groups`]).
    #[default]
    Auto,
    /// None: each image is for itself, whatever the source says.
    None,
    /// Those whose names agree in what a pattern captures.
    Pattern(GroupPattern),
}

impl CalibrationConfig {
    /// Checks the number of folds and the rate.
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

/// Checks that a false-alarm rate lies in (0, 1).
///
/// # Errors
/// [`Error::Setting`].
pub fn check_rate(rate: f64) -> Result<(), Error> {
    if rate > 0.0 && rate < 1.0 {
        return Ok(());
    }
    Err(Error::Setting {
        key: "false_alarm".into(),
        reason: format!("{rate} is outside the range of rates"),
        help: "allowed: above 0 and below 1, such as 0.01 for one good image in a hundred".into(),
    })
}

/// How many of the most suspicious training images a fit leaves out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trim {
    /// So many.
    Count(usize),
    /// A share of all, between 0 and 1; rounded to the nearest number.
    Share(f64),
}

impl Trim {
    pub(crate) fn count(self, images: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Share(share) => (share * images as f64).round() as usize,
        }
    }
}

impl std::str::FromStr for Trim {
    type Err = String;

    /// Reads `3` or `2%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a number of images such as 3 nor a share such as 2%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
            Some(percent) => match percent.trim().parse::<f64>() {
                Ok(percent) if (0.0..100.0).contains(&percent) => Ok(Self::Share(percent / 100.0)),
                _ => Err(wrong()),
            },
        }
    }
}

/// How to run a fit. The model does not depend on it.
#[derive(Clone)]
pub struct FitOptions<'a> {
    /// Engine, device and threads of the backbone; the device also of what is trained and searched.
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
            device: self.engine.device,
            backbone,
            image_text: None,
            memory_limit: self.memory_limit,
            scratch: self.scratch.clone(),
            training: self.training.clone(),
            observer: self.observer,
        }
    }
}

/// How to score images. Scores do not depend on it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_read() {
        assert_eq!("int8".parse::<BackbonePrecision>().unwrap(), BackbonePrecision::Int8);
        let refused = "half".parse::<BackbonePrecision>().unwrap_err().to_string();
        assert!(refused.contains("half"), "{refused}");
    }

    #[test]
    fn trims_are_read_and_counted() {
        assert_eq!("3".parse(), Ok(Trim::Count(3)));
        assert_eq!("2.5%".parse(), Ok(Trim::Share(0.025)));
        for wrong in ["", "-1", "half", "120%", "1.5", "%"] {
            assert!(wrong.parse::<Trim>().is_err(), "{wrong}");
        }
        assert_eq!((Trim::Count(3).count(10), Trim::Share(0.16).count(10)), (3, 2));
    }
}
