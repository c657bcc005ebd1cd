//! Detectors as ONNX graphs, for programs that run inside other engines.
//!
//! ```text
//! build     the detector's views as operators: resize -> backbone -> method -> map stage, then merging and decisions
//! proof     the graph is run on the images that the model keeps of its fit, and compared with the model
//! selftest  pictures with their scores, by which any deployment can check itself
//! ```
//! The graph gives the model's own scores: how far it is off is measured and written into it, and where it is too far, nothing is written. What a
//! method adds to the graph lies beside the method; which methods have a graph, the list of methods says.

mod build;
mod decide;
mod options;
mod proof;
mod resize;
mod selftest;
mod trial;

pub use options::{Depth, ExportOptions, GraphImages, Layout};
pub use proof::{ComparedImage, ComparedPixels, Parity};
pub use selftest::{SelfTest, SelfTestImage};

use crate::detector::Detector;
use blemish_core::error::Error;
use blemish_core::export::cannot;
use blemish_data::files::{self, Scratch};
use blemish_features::EngineOptions;
use blemish_features::executors::ModelSource;
use blemish_features::onnx::OnnxModel;
use build::{Built, build};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of constants that one file holds at most; protocol buffers end at 2 GB.
const ONE_FILE: usize = 1_900_000_000;

/// What users of OpenVINO must know.
pub const OPENVINO: &str = "OpenVINO: set INFERENCE_PRECISION_HINT to f32";

/// A graph with its proof.
pub struct Exported {
    model: OnnxModel,
    /// How far it is off.
    pub parity: Parity,
    options: ExportOptions,
    one_file: usize,
}

impl Detector {
    /// Refuses a model that has no graph, before any work.
    ///
    /// # Errors
    /// [`Error::Export`] with the reason.
    pub fn check_exportable(&self, options: &ExportOptions) -> Result<(), Error> {
        build::check(self, options)
    }

    /// The model as an ONNX graph, run on the engine and compared with the model: see [`Parity::passed`]. [`blemish_features::Engine::Auto`] is
    /// ONNX Runtime where its library is found, else rten.
    ///
    /// # Errors
    /// [`Error::Export`] if it has no graph; [`Error::Features`] if the engine cannot run it; as scoring.
    pub fn export(&self, options: &ExportOptions, engine: &EngineOptions) -> Result<Exported, Error> {
        self.export_in(options, engine, ONE_FILE)
    }

    /// The same with files of at most so many bytes of constants.
    fn export_in(
        &self,
        options: &ExportOptions,
        engine: &EngineOptions,
        one_file: usize,
    ) -> Result<Exported, Error> {
        let mut built = build(self, options)?;
        self.describe(&mut built.model, options);
        self.prove(built, options, engine, one_file)
    }

    /// Runs a graph and writes into it how far it is off.
    fn prove(
        &self,
        mut built: Built,
        options: &ExportOptions,
        engine: &EngineOptions,
        one_file: usize,
    ) -> Result<Exported, Error> {
        let parity = if built.model.constant_bytes() <= one_file {
            let bytes = built.model.encode();
            proof::prove(self, options, &built, ModelSource::Bytes(bytes), engine)?
        } else {
            let fail = |source| Error::Io { action: "write", path: std::env::temp_dir(), source };
            let scratch = Scratch::new(&std::env::temp_dir()).map_err(fail)?;
            let path = scratch.path().join("model.onnx");
            write_both(&built.model, &path)?;
            proof::prove(self, options, &built, ModelSource::File(&path), engine)?
        };
        // Plain values, which always serialise.
        built.model.set_text("blemish.parity", &serde_json::to_string(&parity).unwrap_or_default());
        Ok(Exported { model: built.model, parity, options: *options, one_file })
    }

    /// Compares a graph that [`Self::export`] made of this model with the model again.
    ///
    /// # Errors
    /// [`Error::Export`] if the file is damaged, no graph of Blemish's or one of another model; else as [`Self::export`].
    pub fn check_export(&self, path: &Path, engine: &EngineOptions) -> Result<Parity, Error> {
        let bytes = files::read(path, 2 << 30).map_err(|source| Error::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let refuse = |what: String| cannot(format!("`{}` {what}", path.display()));
        let model = OnnxModel::read(&bytes)
            .map_err(|error| refuse(format!("is damaged: {error}; export it again")))?;
        drop(bytes);
        let text = |name: &str| model.text(&format!("blemish.{name}")).unwrap_or_default().to_owned();
        let identity = text("identity");
        if identity.is_empty() {
            return Err(refuse(
                "is no graph that blemish exported; give the file that `blemish export` wrote".into(),
            ));
        }
        if identity != self.identity() {
            return Err(refuse("is the graph of another model; export this one again".into()));
        }
        let options = ExportOptions {
            images: text("input")
                .parse()
                .map_err(|reason| refuse(format!("says of its input that {reason}")))?,
            depth: if text("depth") == "16" { Depth::Sixteen } else { Depth::Eight },
            layout: if text("layout") == "anomalib" { Layout::Anomalib } else { Layout::Blemish },
            half_tables: text("tables") == "float16",
        };
        // Sizes follow from the model; the graph itself is the file's.
        let expected = build(self, &options)?;
        let built = Built { model, ..expected };
        proof::prove(self, &options, &built, ModelSource::File(path), engine).map_err(|error| match error {
            Error::Features(error) => {
                refuse(format!("cannot be run: {error}; it may be damaged, export it again"))
            }
            other => other,
        })
    }

    /// Writes into a graph what it is of.
    fn describe(&self, model: &mut OnnxModel, options: &ExportOptions) {
        let calibration = self.calibration();
        let number = |value: Option<f32>| value.map(|value| value.to_string()).unwrap_or_default();
        let transforms: Vec<_> = self.model.views.iter().map(|view| &**view.transform()).collect();
        let settings: Vec<_> = self.model.views.iter().map(|view| view.settings()).collect();
        let text = |value: serde_json::Value| value.to_string();
        let depth = if options.depth == Depth::Sixteen { "16" } else { "8" };
        let mut texts = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("identity", self.identity()),
            ("method", self.model.entry.info().name.to_owned()),
            ("settings", text(json!(settings))),
            ("transform", text(json!(transforms))),
            ("input", options.images.to_string()),
            ("depth", depth.to_owned()),
            ("layout", options.layout.to_string()),
            ("tables", if options.half_tables { "float16" } else { "float32" }.to_owned()),
            ("precision", format!("float32; {OPENVINO}")),
        ];
        if let Some(calibration) = calibration {
            texts.push(("calibration", text(json!(calibration))));
            texts.push(("threshold", number(calibration.image_threshold)));
            texts.push(("pixel_threshold", number(calibration.pixel_threshold)));
        }
        for (name, value) in texts {
            model.set_text(&format!("blemish.{name}"), &value);
        }
        if let (Layout::Anomalib, Some(calibration)) = (options.layout, calibration) {
            let threshold = calibration.image_threshold.unwrap_or_default();
            let limit = calibration.pixel_threshold.unwrap_or(threshold);
            model.set_text(
                "blemish.score_scale",
                &(2.0 * decide::reach(&calibration.image_scores, threshold)).to_string(),
            );
            model.set_text(
                "blemish.map_scale",
                &(2.0 * decide::reach(&calibration.map_maxima, limit)).to_string(),
            );
            for (name, value) in [
                ("model_type", "AnomalyDetection"),
                ("task", "segmentation"),
                ("image_threshold", "0.5"),
                ("pixel_threshold", "0.5"),
                ("normalization_scale", "1.0"),
                ("labels", "Normal Anomaly"),
                ("reverse_input_channels", "False"),
                ("resize_type", "standard"),
            ] {
                model.set_text(&format!("model_info {name}"), value);
            }
        }
    }
}

impl Exported {
    /// The graph.
    pub fn model(&self) -> &OnnxModel {
        &self.model
    }

    /// What it takes and gives.
    pub fn options(&self) -> &ExportOptions {
        &self.options
    }

    /// Writes the file, and a second one beside it where its constants are too many for one. Returns the files.
    ///
    /// # Errors
    /// [`Error::Io`]; files that are there stay as they were.
    pub fn write(&self, path: &Path) -> Result<Vec<PathBuf>, Error> {
        if self.model.constant_bytes() > self.one_file {
            return write_both(&self.model, path);
        }
        files::write(path, &self.model.encode()).map_err(|source| failed(path, source))?;
        Ok(vec![path.to_owned()])
    }

    /// Says in the graph that it is written although it is too far off.
    pub fn force(&mut self) {
        self.model.set_text("blemish.forced", "written although its proof failed; see blemish.parity");
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io { action: "write", path: path.to_owned(), source }
}

/// The second file beside `path`.
pub fn second_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".data");
    PathBuf::from(name)
}

fn write_both(model: &OnnxModel, path: &Path) -> Result<Vec<PathBuf>, Error> {
    let beside = second_file(path);
    let name = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (graph, constants) = model.clone().split(&name);
    // The constants first: a graph that is there must find them.
    files::write(&beside, &constants).map_err(|source| failed(&beside, source))?;
    files::write(path, &graph).map_err(|source| failed(path, source))?;
    Ok(vec![path.to_owned(), beside])
}
