//! Models whose backbone runs in bytes.

use crate::support::Bench;
use blemish::features::{BackboneSpec, EngineOptions};
use blemish::file::{Numbers, format};
use blemish::state::State;
use blemish::{BackbonePrecision, Detector, DetectorConfig, Error, FitOptions, Observer};
use serde_json::json;
use std::sync::Mutex;

/// PatchCore on the embedded backbone.
fn config(bench: &Bench, precision: BackbonePrecision) -> DetectorConfig {
    let config = bench.config("patchcore", json!({"coreset_ratio": 0.5}));
    DetectorConfig { backbone: BackboneSpec::default(), precision, ..config }
}

fn bits(detector: &Detector, bench: &Bench) -> Vec<u32> {
    let scored = detector.score_file(bench.first_test_image()).unwrap();
    [scored.score].iter().chain(&scored.map.values).map(|value| value.to_bits()).collect()
}

fn engine(threads: usize) -> EngineOptions {
    EngineOptions { threads: Some(threads), ..EngineOptions::default() }
}

/// Hears what a fit has chosen.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn note(&self, message: &str) {
        self.0.lock().unwrap().push(message.into());
    }
}

#[test]
fn a_model_in_bytes_scores_the_same_bits_wherever_it_is_loaded() {
    let bench = Bench::new(6);
    let single = bench.fit(&config(&bench, BackbonePrecision::Single));
    let fitted = bench.fit(&config(&bench, BackbonePrecision::Int8));
    let known = bits(&fitted, &bench);
    assert_ne!(known, bits(&single, &bench), "it runs in single precision");
    let header = fitted.header();
    assert_eq!((header.format_version, header.backbone.unwrap().precision), (3, Numbers::Int8));
    assert_eq!(single.header().format_version, 1);

    let options = FitOptions { engine: engine(3), batch_size: 2, ..FitOptions::default() };
    let again = bench.try_fit(&config(&bench, BackbonePrecision::Int8), &options).unwrap();
    assert_eq!(bench.saved(&again), bench.saved(&fitted), "threads or batches have changed the model");
    for threads in [1, 3] {
        let loaded = Detector::load(&bench.path("saved.blemish"), &engine(threads)).unwrap();
        assert_eq!(bits(&loaded, &bench), known);
        let verified = loaded.verify(&engine(threads)).unwrap();
        assert!(verified.passed && verified.is_exact && verified.tolerance == 0.0);
    }
    // A byte a weight instead of four; the bank is the same.
    let size = |detector: &Detector| bench.saved(detector).len();
    assert!(size(&single) > size(&fitted) + 500_000, "{} and {}", size(&single), size(&fitted));
}

#[test]
fn auto_takes_bytes_where_they_cost_little_and_says_so() {
    let bench = Bench::new(6);
    let notes = Notes::default();
    let options = FitOptions { observer: &notes, ..FitOptions::default() };
    let auto = |config: DetectorConfig| {
        let config = DetectorConfig { precision: BackbonePrecision::Auto, ..config };
        let detector = bench.try_fit(&config, &options).unwrap();
        (detector, notes.0.lock().unwrap().pop().unwrap())
    };
    let (detector, note) = auto(config(&bench, BackbonePrecision::Auto));
    let asked = bench.fit(&config(&bench, BackbonePrecision::Int8));
    assert!(note.contains("efficientnet_lite0 in bytes: its features lose"), "{note}");
    assert_eq!(bits(&detector, &bench), bits(&asked, &bench));

    // A graph of the user's own, and a method that asks for gradients of its backbone, stay as they are.
    let own = bench.config("padim", json!({"dimensions": 8}));
    let (detector, note) = auto(own.clone());
    assert!(note.contains("onnx in single precision"), "{note}");
    assert_eq!(bits(&detector, &bench), bits(&bench.fit(&own), &bench));
    let trained = DetectorConfig { method: "mspba".into(), settings: Default::default(), ..own };
    let trained = DetectorConfig { backbone: BackboneSpec::default(), ..trained };
    let asked = DetectorConfig { precision: BackbonePrecision::Int8, ..trained };
    let refused = bench.try_fit(&asked, &options).err().unwrap().to_string();
    assert!(refused.contains("weights or gradients of its backbone"), "{refused}");
}

#[test]
fn a_network_that_is_not_done_in_bytes_is_refused_when_it_is_asked_for() {
    let bench = Bench::new(2);
    let own = DetectorConfig { precision: BackbonePrecision::Int8, ..bench.config("padim", json!({})) };
    let refused = bench.try_fit(&own, &FitOptions::default()).err().unwrap();
    assert!(matches!(refused, Error::Features(_)), "{refused}");
}

#[test]
fn what_was_tampered_with_is_named() {
    let bench = Bench::new(2);
    let fitted = bench.fit(&config(&bench, BackbonePrecision::Int8));
    bench.saved(&fitted);
    let (header, state) = format::read(&bench.path("saved.blemish")).unwrap();
    let (weight, _) = state.tensors().iter().find(|(name, _)| name.ends_with(".weight")).unwrap();
    let stem = weight.strip_suffix(".weight").unwrap().to_owned();
    let refusal = |change: &dyn Fn(&mut State)| {
        let mut state = state.clone();
        change(&mut state);
        let path = bench.path("broken.blemish");
        format::write(&path, &header, &state).unwrap();
        Detector::load(&path, &EngineOptions::default()).err().unwrap().to_string()
    };
    let scales = state.f32(&format!("{stem}.scale"), 1).unwrap().1.to_vec();
    let of = |first: f32| [&[first], &scales[1..]].concat();
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let refused = refusal(&|state| state.set_f32(&format!("{stem}.scale"), &[scales.len()], of(wrong)));
        assert!(refused.contains(".weight"), "{wrong}: {refused}");
    }
    let other =
        refusal(&|state| state.set_f32(&format!("{stem}.scale"), &[scales.len()], of(2.0 * scales[0])));
    assert!(other.contains("digest"), "{other}");
    let (range, _) = state.tensors().iter().find(|(name, _)| name.ends_with(".range")).unwrap();
    for wrong in [[1.0, 2.0], [0.0, f32::NAN]] {
        let refused = refusal(&|state| state.set_f32(range, &[2], wrong.to_vec()));
        assert!(refused.contains("range"), "{refused}");
    }
    let short = refusal(&|state| state.set_f32(range, &[1], vec![1.0]));
    assert!(short.contains("instead of 2"), "{short}");
}
