//! A tiny backbone of the user's own and a tiny set, so that hundreds of detectors fit in seconds.

use blemish::data::Files;
use blemish::data::synth::{Look, SynthOptions, write_synthetic_set};
use blemish::data::{Dataset, Tiling, Transform, open_dataset};
use blemish::features::graph::{Activation, Graph, Node, Normalization, Op, Padding, Tap, Tensor, Weights};
use blemish::features::onnx::emit;
use blemish::features::{BackboneSource, BackboneSpec};
use blemish::settings::Settings;
use blemish::{CalibrationConfig, Detector, DetectorConfig, Error, FitOptions, TileModels, TileOptions};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Side of the images, in pixels.
pub const SIDE: usize = 64;

/// A folder with a synthetic set and two ONNX backbones of two convolutions (strides 8 and 16, 6 and 10 channels).
pub struct Bench {
    folder: tempfile::TempDir,
    pub dataset: Dataset,
}

impl Bench {
    pub fn new(train: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("set");
        let options = SynthOptions {
            train,
            test_good: 2,
            test_per_defect: 1,
            height: SIDE,
            width: SIDE,
            ..SynthOptions::new(Look::Fabric)
        };
        write_synthetic_set(&set, &options, &|_, _| {}).unwrap();
        for (name, step) in [("tiny.onnx", 37), ("other.onnx", 53)] {
            std::fs::write(folder.path().join(name), tiny_network(step)).unwrap();
        }
        let dataset = open_dataset(&set, &Default::default()).unwrap();
        Self { folder, dataset }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Methods of each kind, small, on every path through a detector: [`Self::paths`], and every filter of the classical methods.
    pub fn configs(&self) -> Vec<DetectorConfig> {
        let structure = "tophat+lines+granulometry+textons+patches+template";
        let edges = "sobel+laplacian+canny+gabor+wavelet+daubechies";
        let mut configs = self.paths();
        configs.extend([
            self.config("statistical", json!({"bank": "histogram+lbp+glcm+pixel", "align": "none"})),
            self.config("structural", json!({"bank": structure, "align": "none", "centres": 100})),
            self.config("filter", json!({"bank": edges, "scales": 2})),
            self.config("filter", json!({"bank": "wavelet_residual+spectral+phase+notch+whiten"})),
        ]);
        configs
    }

    /// Every path through a detector: a bank, Gaussians and filters of whole images, tiles with one model and with one for each place,
    /// several input sizes, both together, and an ensemble.
    pub fn paths(&self) -> Vec<DetectorConfig> {
        let patchcore = self.config("patchcore", json!({"coreset_ratio": 0.1}));
        let padim = self.config("padim", json!({"dimensions": 12}));
        let tiles = |models| {
            let tiling = Tiling { height: 32, width: 32, overlap: 12 };
            Some(TileOptions { tiling, models, per_image: None })
        };
        let shared = DetectorConfig { tiles: tiles(TileModels::Shared), ..patchcore.clone() };
        let each = DetectorConfig { tiles: tiles(TileModels::Each), ..padim.clone() };
        let several = DetectorConfig { input_sizes: vec![64, 32], ..patchcore.clone() };
        let ensemble = DetectorConfig { ensemble: vec![self.backbone("other.onnx")], ..patchcore.clone() };
        let filter = self.config("filter", json!({"bank": "gabor", "model": "bank", "centres": 50}));
        let pyramid =
            DetectorConfig { tiles: tiles(TileModels::Shared), input_sizes: vec![64, 48], ..filter.clone() };
        vec![patchcore, padim, filter, shared, each, several, pyramid, ensemble]
    }

    /// One of the backbones, with both of its layers.
    pub fn backbone(&self, name: &str) -> BackboneSpec {
        let layers = vec!["tap:fine".into(), "tap:coarse".into()];
        BackboneSpec { layers, ..BackboneSource::Onnx(self.path(name)).into() }
    }

    pub fn config(&self, method: &str, settings: serde_json::Value) -> DetectorConfig {
        let backbone = self.backbone("tiny.onnx");
        let settings: Settings = settings.as_object().unwrap().clone();
        let transform = Some(Transform::resize_to(SIDE, SIDE));
        DetectorConfig {
            method: method.into(),
            settings,
            backbone,
            transform,
            seed: 3,
            ..DetectorConfig::default()
        }
    }

    /// With two folds, the fewest that calibrate.
    pub fn with_two_folds(config: &DetectorConfig) -> DetectorConfig {
        let calibration = CalibrationConfig { folds: 2, ..CalibrationConfig::default() };
        DetectorConfig { calibration, ..config.clone() }
    }

    pub fn fit(&self, config: &DetectorConfig) -> Detector {
        self.try_fit(config, &FitOptions::default()).unwrap()
    }

    pub fn try_fit(&self, config: &DetectorConfig, options: &FitOptions<'_>) -> Result<Detector, Error> {
        Detector::fit(config, &Files::training(&self.dataset), options)
    }

    /// The bytes of a detector's model file.
    pub fn saved(&self, detector: &Detector) -> Vec<u8> {
        let path = self.path("saved.blemish");
        detector.save(&path).unwrap();
        std::fs::read(&path).unwrap()
    }

    pub fn first_test_image(&self) -> &Path {
        &self.dataset.test[0].path
    }
}

/// With weights made up in steps of `step`.
fn tiny_network(step: usize) -> Vec<u8> {
    let conv = |kernel| Op::Conv { kernel, stride: kernel, padding: Padding::Symmetric(0), groups: 1 };
    let node =
        |name: &str, op, inputs, channels, stride| Node { name: name.into(), op, inputs, channels, stride };
    let nodes = vec![
        node("image", Op::Input, vec![], 3, 1),
        node("fine", conv(8), vec![0], 6, 8),
        node("relu", Op::Activation(Activation::Relu), vec![1], 6, 8),
        node("coarse", conv(2), vec![2], 10, 16),
    ];
    let taps = vec![Tap { name: "fine".into(), node: 2 }, Tap { name: "coarse".into(), node: 3 }];
    let graph = Graph { name: "tiny".into(), normalization: Normalization::IMAGENET, nodes, taps };
    let made_up = |(name, shape): (String, Vec<usize>)| {
        let data =
            (0..shape.iter().product::<usize>()).map(|i| ((i * step) % 19) as f32 / 19.0 - 0.45).collect();
        (name, Tensor { shape, data })
    };
    let weights: Weights = graph.tensor_shapes().map(made_up).collect();
    emit(&graph, &weights)
}
