//! The options of a fit as Python gives them, as the library's configuration. Names and ranges of a method's settings are the library's own.

use crate::work::Watcher;
use blemish::config::ensemble_member;
use blemish::data::{RgbImage, Source, Tiling, Transform};
use blemish::features::{BackboneSpec, EngineOptions};
use blemish::{
    CalibrationConfig, DetectorConfig, Error, FitOptions, Groups, TileModels, TileOptions, TrainingOptions,
};
use pyo3::prelude::*;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// What images are resized to.
#[derive(FromPyObject, Clone)]
pub enum Size {
    /// Height and width.
    Exact((usize, usize)),
    /// The shorter side.
    Side(usize),
    /// `native`, `auto`.
    Named(String),
}

/// What a detector is to be: the arguments of Python's `Detector`.
#[derive(FromPyObject, Clone)]
#[pyo3(from_item_all)]
pub struct Configuration {
    pub method: String,
    /// A JSON object.
    pub settings: String,
    pub backbone: Option<String>,
    pub weights: Option<PathBuf>,
    pub layers: Vec<String>,
    pub ensemble: Vec<String>,
    pub backbone_precision: String,
    pub size: Option<Size>,
    pub crop: Option<(usize, usize)>,
    pub tile: Option<(usize, usize)>,
    pub input_sizes: Vec<usize>,
    pub value_range: Option<(f32, f32)>,
    pub roi: Option<PathBuf>,
    pub seed: u64,
    pub folds: usize,
    pub false_alarm: f64,
}

/// How a fit is to run.
#[derive(FromPyObject, Clone)]
#[pyo3(from_item_all)]
pub struct Running {
    pub updatable: bool,
    pub skip_bad: bool,
    pub batch_size: usize,
    pub memory_limit: Option<u64>,
    pub checkpoint: Option<PathBuf>,
    pub resume: bool,
    pub time_limit: Option<f64>,
}

/// Engine, device and threads by their names.
///
/// # Errors
/// [`Error::Features`] for names that are none.
pub fn engine_of(engine: &str, device: &str, threads: Option<usize>) -> Result<EngineOptions, Error> {
    Ok(EngineOptions { engine: engine.parse()?, device: device.parse()?, threads })
}

impl Configuration {
    /// The configuration, input sizes left to the images where nothing says them.
    ///
    /// # Errors
    /// [`Error`] for unknown names, settings, and files that cannot be read.
    pub fn detector(
        &self,
        roi: Option<&RgbImage>,
        good: &dyn Source,
        running: &Running,
        engine: &EngineOptions,
    ) -> Result<DetectorConfig, Error> {
        let mut config = self.unfitted()?;
        if running.updatable {
            config = config.updatable()?;
        }
        config.choose_preset(engine.device)?;
        let is_open = match &self.size {
            None => self.crop.is_none(),
            Some(Size::Named(name)) => name == "auto" && self.crop.is_none(),
            Some(_) => false,
        };
        if is_open {
            config.choose_inputs(good)?;
        }
        let transform = self.transform(config.default_transform()?, roi)?;
        config.transform = Some(transform);
        Ok(config)
    }

    /// All that does not depend on images.
    ///
    /// # Errors
    /// As [`Self::detector`].
    pub fn unfitted(&self) -> Result<DetectorConfig, Error> {
        let entry = blemish::registry::method(&self.method)?;
        let refuse = |reason: String| Error::Setting {
            key: "settings".into(),
            reason,
            help: "give names and plain values".into(),
        };
        let settings = match serde_json::from_str(&self.settings) {
            Ok(Value::Object(settings)) => settings,
            Ok(_) => return Err(refuse("they are no mapping".into())),
            Err(error) => return Err(refuse(error.to_string())),
        };
        // Checks names, types and ranges.
        entry.needs(&settings)?;
        let default = BackboneSpec::default();
        Ok(DetectorConfig {
            method: self.method.clone(),
            settings,
            backbone: BackboneSpec {
                source: self.backbone.as_deref().map_or(Ok(default.source), str::parse)?,
                layers: self.layers.clone(),
                weights: self.weights.clone(),
                normalization: default.normalization,
            },
            ensemble: self.ensemble.iter().map(|word| ensemble_member(word)).collect::<Result<_, _>>()?,
            precision: self.backbone_precision.parse()?,
            tiles: self.tile.map(|(height, width)| TileOptions {
                tiling: Tiling::new(height, width),
                models: TileModels::Shared,
                per_image: None,
            }),
            input_sizes: self.input_sizes.clone(),
            seed: self.seed,
            calibration: CalibrationConfig {
                folds: self.folds,
                false_alarm: self.false_alarm,
                groups: Groups::Auto,
            },
            ..DetectorConfig::default()
        })
    }

    fn transform(&self, default: Transform, roi: Option<&RgbImage>) -> Result<Transform, Error> {
        let filter = default.filter;
        let mut transform = match &self.size {
            None => default,
            Some(Size::Exact((height, width))) => Transform::resize_to(*height, *width),
            Some(Size::Side(side)) => Transform::shorter_side(*side),
            Some(Size::Named(name)) => {
                match name.as_str() {
                    "auto" => default,
                    "native" => Transform::native(),
                    other => {
                        return Err(Error::Setting {
                        key: "size".into(),
                        reason: format!("`{other}` is none"),
                        help: "allowed: (height, width), one number for the shorter side, \"native\", \"auto\"".into(),
                    });
                    }
                }
            }
        };
        transform.filter = filter;
        if let Some((height, width)) = self.crop {
            transform = transform.with_crop(height, width);
        }
        if let Some(range) = self.value_range {
            transform = transform.with_value_range(range);
        }
        match (&self.roi, roi) {
            (Some(path), _) => transform = transform.with_region_of_interest(path)?,
            (None, Some(mask)) => transform = transform.looking_where(mask, "roi")?,
            (None, None) => {}
        }
        Ok(transform)
    }
}

impl Running {
    /// How the library is to run it.
    pub fn options<'a>(&self, engine: &EngineOptions, observer: &'a Watcher) -> FitOptions<'a> {
        FitOptions {
            engine: engine.clone(),
            batch_size: self.batch_size.max(1),
            skip_bad: self.skip_bad,
            memory_limit: self.memory_limit,
            scratch: None,
            training: TrainingOptions {
                time_limit: self.time_limit.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
                checkpoint: self.checkpoint.clone(),
                resume: self.resume,
                ..TrainingOptions::default()
            },
            observer,
        }
    }
}
