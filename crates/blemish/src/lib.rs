//! Blemish finds what does not belong in an image after seeing only good ones.
//!
//! # From image to decision
//! ```text
//! data        blemish-data      folders and lists -> samples -> a streaming loader
//! transform   blemish-data      resize, crop, region of interest -> ImageBatch, RGB in [0, 1]
//! features    blemish-features  a frozen backbone -> feature maps at named taps
//! view        view, tiled       the whole image or its tiles, input sizes, an ensemble's backbones (around features, method and map)
//! method      blemish-methods   feature maps or pixels -> patch scores on the method's own grid
//! map         blemish-core      patch scores -> anomaly map of the input's size, image score
//! decision    calibrate         scores of unseen good images -> p-values, thresholds, regions; metrics on labelled images
//! report      blemish-report    overlays and float maps
//! ```
//! Data flows one way and nothing lower knows anything higher. Numeric kernels that several methods share (nearest neighbours,
//! k-centre, Gaussians, map filters) live in `blemish-kernels`.
//!
//! # A detector in a few lines
//! ```
//! use blemish::{Detector, DetectorConfig, FitOptions};
//! use blemish::data::Files;
//! use blemish::data::synth::{Look, SynthOptions, write_synthetic_set};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let set = folder.path().join("fabric");
//! # let small = SynthOptions { train: 3, test_good: 1, test_per_defect: 1, height: 64, width: 64, ..SynthOptions::new(Look::Fabric) };
//! # write_synthetic_set(&set, &small, &|_, _| {})?;
//! let dataset = blemish::data::open_dataset(&set, &Default::default())?;
//! let good = Files::new(dataset.train, &dataset.category);
//! let detector = Detector::fit(&DetectorConfig::default(), &good, &FitOptions::default())?;
//! detector.save(&folder.path().join("fabric.blemish"))?;
//!
//! let detector = Detector::load(&folder.path().join("fabric.blemish"), &Default::default())?;
//! let scored = detector.score_file(&dataset.test[0].path)?;
//! println!("score {}, map of {}x{}", scored.score, scored.map.width, scored.map.height);
//! # Ok(())
//! # }
//! ```
//!
//! # The walls
//! `blemish-core` is the contract of methods, `blemish-methods` holds them, a folder each; this crate fits, calibrates, stores and runs
//! them. None of the lower crates knows it.
//!
//! # After the fit
//! [`Detector::update`] and [`Detector::merge`] let detectors learn from more images and joins those fitted on parts of them; [`verify`] proves that a deployed
//! model scores as the fitted one; [`monitor`] watches whether scores of good images move.

pub mod config;
pub mod decision;
pub mod defaults;
pub mod detector;
pub mod export;
pub mod file;
mod fit;
mod looks;
mod model;
mod pattern;
pub mod program;
mod record;
mod recorded;
pub mod verbs;
pub mod verdict;
mod view;

pub use blemish_core::{
    AnomalyMap, Error, FeatureBatch, Method, MethodInfo, Observer, Precision, Preset, Scored, Silent,
    TrainingOptions,
};
pub use blemish_core::{code, entry, error, map, memory, method, needs, observer, settings, state};
pub use blemish_data as data;
pub use blemish_eval as metrics;
pub use blemish_features as features;
pub use blemish_methods::registry;
pub use config::{
    BackbonePrecision, CalibrationConfig, DetectorConfig, FitOptions, Groups, ScoreOptions, TileModels,
    TileOptions, Trim,
};
pub use decision::Decision;
pub use defaults::InputChoice;
pub use detector::{Detector, ScoredImage};
pub use fit::{Suspect, Suspects, find_suspects};
pub use looks::{Look, Watched};
pub use pattern::GroupPattern;
pub use verbs::recalibrate::{Recalibration, recalibrate};
pub use verbs::{evaluate, monitor, pick, verify};
pub use verdict::Verdict;
