//! Ensembles over backbones as a user of the library meets them.

use crate::support::Bench;
use blemish::data::Files;
use blemish::data::Tiling;
use blemish::features::{BackboneSpec, EngineOptions};
use blemish::file::{Header, format};
use blemish::state::State;
use blemish::{
    AnomalyMap, CalibrationConfig, Detector, DetectorConfig, Error, FitOptions, Observer, TileModels,
    TileOptions,
};
use serde_json::json;
use std::sync::Mutex;

/// The bench's own backbone and the embedded one.
fn two_backbones(bench: &Bench, method: &str, settings: serde_json::Value) -> DetectorConfig {
    DetectorConfig {
        ensemble: vec![BackboneSpec::default()],
        calibration: CalibrationConfig { folds: 0, ..CalibrationConfig::default() },
        ..bench.config(method, settings)
    }
}

/// One with neighbours that count, one whose settings follow from its backbone, and one with models that are trained.
fn methods() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("patchcore", json!({"coreset_ratio": 0.2})),
        ("pni", json!({"neighbourhood": false})),
        ("cfa", json!({"epochs": 2})),
    ]
}

/// Mean and standard deviation.
fn spread(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// Score and map of the first test image in standard deviations of the good training images.
fn scaled(bench: &Bench, member: &Detector) -> (f64, Vec<f64>) {
    let good: Vec<_> =
        bench.dataset.train.iter().map(|sample| member.score_file(&sample.path).unwrap()).collect();
    let scores: Vec<f32> = good.iter().map(|scored| scored.score).collect();
    let pixels: Vec<f32> = good.into_iter().flat_map(|scored| scored.map.values).collect();
    let ((mean, deviation), (score_mean, score_deviation)) = (spread(&pixels), spread(&scores));
    let scored = member.score_file(bench.first_test_image()).unwrap();
    let map = scored.map.values.iter().map(|&value| (f64::from(value) - mean) / deviation);
    ((f64::from(scored.score) - score_mean) / score_deviation, map.collect())
}

fn assert_close(found: f32, expected: f64) {
    assert!((f64::from(found) - expected).abs() < 1e-5 * expected.abs().max(1.0), "{found} for {expected}");
}

#[test]
fn an_ensemble_is_the_average_of_its_members_in_units_of_their_spread_on_good_images() {
    let bench = Bench::new(4);
    for (method, settings) in methods() {
        let both = two_backbones(&bench, method, settings);
        let first = DetectorConfig { ensemble: Vec::new(), ..both.clone() };
        let second = DetectorConfig { backbone: both.ensemble[0].clone(), ..first.clone() };
        let [first, second] = [first, second].map(|config| scaled(&bench, &bench.fit(&config)));
        let scored = bench.fit(&both).score_file(bench.first_test_image()).unwrap();
        assert_close(scored.score, 0.5 * (first.0 + second.0));
        for (&found, (one, other)) in scored.map.values.iter().zip(first.1.iter().zip(&second.1)) {
            assert_close(found, 0.5 * (one + other));
        }
    }
}

#[test]
fn a_model_file_holds_each_backbone_once_and_scores_the_same_to_the_last_bit() {
    let bench = Bench::new(4);
    for (method, settings) in methods() {
        let config = DetectorConfig { input_sizes: vec![64, 48], ..two_backbones(&bench, method, settings) };
        let fitted = bench.fit(&config);
        let bytes = bench.saved(&fitted);
        let loaded = Detector::load(&bench.path("saved.blemish"), &EngineOptions::default()).unwrap();
        for sample in &bench.dataset.test {
            let (a, b) = (fitted.score_file(&sample.path).unwrap(), loaded.score_file(&sample.path).unwrap());
            assert_eq!(a, b, "{method}");
        }
        assert!(loaded.verify(&EngineOptions::default()).unwrap().passed);
        assert!(bench.saved(&loaded) == bytes, "{method}: saving what was loaded gives the same file again");
        let (header, state) = format::read(&bench.path("saved.blemish")).unwrap();
        assert_eq!(header.format_version, 2, "older programs would take both views for the first backbone's");
        let count = |prefix: &str| state.tensors().keys().filter(|name| name.starts_with(prefix)).count();
        let alone =
            bench.fit(&DetectorConfig { backbone: BackboneSpec::default(), ensemble: vec![], ..config });
        bench.saved(&alone);
        let of_alone = format::read(&bench.path("saved.blemish")).unwrap().1;
        let tensors = of_alone.tensors().keys().filter(|name| name.starts_with("backbone.")).count();
        assert_eq!((count("backbone."), count("backbones.1.")), (1, tensors));
        assert_eq!(header.backbone.unwrap().name, "onnx");
        assert_eq!(header.ensemble[0].name, "efficientnet_lite0");
    }
}

#[test]
fn there_is_a_view_for_each_size_and_backbone_with_tiles_too() {
    let bench = Bench::new(3);
    let tiling = Tiling { height: 32, width: 32, overlap: 8 };
    for models in [TileModels::Shared, TileModels::Each] {
        let config = DetectorConfig {
            input_sizes: vec![48, 64],
            tiles: Some(TileOptions { tiling, models, per_image: None }),
            ensemble: vec![bench.backbone("other.onnx")],
            ..bench.config("patchcore", json!({"coreset_ratio": 0.2}))
        };
        let detector = bench.fit(&config);
        let views = detector.header().views;
        let looks: Vec<_> = views.iter().map(|view| (view.transform.clone(), view.backbone)).collect();
        let [large, small] = [64, 48].map(|side| config.transform.clone().unwrap().at_side(side));
        assert_eq!(looks, [(large.clone(), 0), (large, 1), (small.clone(), 0), (small, 1)]);
        let AnomalyMap { height, width, .. } = detector.score_file(bench.first_test_image()).unwrap().map;
        assert_eq!((height, width), (64, 64), "maps have the size of the largest input");
        bench.saved(&detector);
        let loaded = Detector::load(&bench.path("saved.blemish"), &EngineOptions::default()).unwrap();
        let score = |detector: &Detector| detector.score_file(bench.first_test_image()).unwrap();
        assert_eq!(score(&loaded), score(&detector));
    }
}

/// Keeps the names of stages.
#[derive(Default)]
struct Stages(Mutex<Vec<String>>);

impl Observer for Stages {
    fn stage(&self, name: &str, _: Option<u64>) {
        self.0.lock().unwrap().push(name.to_owned());
    }
}

#[test]
fn progress_says_which_backbone_is_at_work() {
    let bench = Bench::new(2);
    let mut config = two_backbones(&bench, "patchcore", json!({}));
    config.ensemble.push(bench.backbone("other.onnx"));
    for (input_sizes, expected) in [
        (vec![], ["onnx: extracting", "efficientnet_lite0: measuring", "onnx (2): extracting"]),
        (vec![64, 48], ["onnx, size 64: ", "efficientnet_lite0, size 48: ", "onnx (2), size 64: "]),
    ] {
        let stages = Stages::default();
        let options = FitOptions { observer: &stages, ..FitOptions::default() };
        bench.try_fit(&DetectorConfig { input_sizes, ..config.clone() }, &options).unwrap();
        let told = stages.0.into_inner().unwrap();
        for words in expected {
            assert!(told.iter().any(|stage| stage.starts_with(words)), "{words} in {told:?}");
        }
    }
}

#[test]
fn files_whose_views_and_backbones_do_not_match_are_refused() {
    let bench = Bench::new(2);
    let both = DetectorConfig {
        ensemble: vec![bench.backbone("other.onnx")],
        ..bench.config("padim", json!({"dimensions": 4}))
    };
    bench.saved(&bench.fit(&both));
    let (header, state) = format::read(&bench.path("saved.blemish")).unwrap();
    let path = bench.path("changed.blemish");
    let refused = |change: &dyn Fn(&mut Header, &mut State)| {
        let (mut header, mut state) = (header.clone(), state.clone());
        change(&mut header, &mut state);
        format::write(&path, &header, &state).unwrap();
        let error = Detector::load(&path, &EngineOptions::default()).err().expect("it must be refused");
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        error.to_string()
    };
    let error = refused(&|header, _| header.views[1].backbone = 4);
    assert!(error.contains("view 2 needs backbone 5, but there are 2"), "{error}");
    let error = refused(&|header, _| header.ensemble.clear());
    assert!(error.contains("view 2 needs backbone 2, but there are 1"), "{error}");
    let error = refused(&|header, _| header.views[1].backbone = 0);
    assert!(error.contains("backbone 2 is used by no view"), "{error}");
    let error = refused(&|header, _| header.backbone = None);
    assert!(error.contains("`backbone.` does not have the digest"), "{error}");
    // Sound in itself, but not what was fitted with.
    let error = refused(&|_, state| {
        let (shape, bytes) = state.u8("backbone.onnx", 1).unwrap();
        let shape = shape.to_vec();
        state.set_u8("backbones.1.onnx", &shape, bytes);
    });
    assert!(error.contains("`backbones.1.` does not have the digest"), "{error}");
}

#[test]
fn ensembles_that_make_no_sense_are_refused_before_any_work() {
    let bench = Bench::new(2);
    let refused = |config: &DetectorConfig| {
        bench.try_fit(config, &FitOptions::default()).err().expect("it must be refused").to_string()
    };
    let twice = DetectorConfig {
        ensemble: vec![bench.backbone("other.onnx"), bench.backbone("tiny.onnx")],
        ..bench.config("patchcore", json!({}))
    };
    assert!(refused(&twice).contains("twice"), "{}", refused(&twice));
    let filter = two_backbones(&bench, "filter", json!({"bank": "gabor"}));
    assert!(refused(&filter).contains("uses no backbone"), "{}", refused(&filter));
    // The same network at another layer sees other things.
    let mut shallow = bench.backbone("tiny.onnx");
    shallow.layers.pop();
    bench.fit(&DetectorConfig { ensemble: vec![shallow], ..bench.config("patchcore", json!({})) });
}

#[test]
fn ensembles_do_not_learn_on() {
    let bench = Bench::new(3);
    let config = two_backbones(&bench, "padim", json!({"dimensions": 4, "updatable": true}));
    let alone = bench.fit(&DetectorConfig { ensemble: Vec::new(), ..config.clone() });
    let both = bench.fit(&config);
    let options = FitOptions::default();
    for error in [
        both.update(&Files::training(&bench.dataset), &options).err(),
        Detector::merge(&[alone, both], &options).err(),
    ] {
        let error = error.expect("it must be refused").to_string();
        assert!(error.contains("through several backbones do not learn on"), "{error}");
    }
}
