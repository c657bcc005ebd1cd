//! From the bytes of an image to the line of a verdict without a file, on many threads, as with files.

use crate::support::Bench;
use blemish::data::{Memory, MemoryImage, Sample, Tiling, decode_image};
use blemish::features::EngineOptions;
use blemish::{
    CalibrationConfig, Detector, DetectorConfig, Error, ScoreOptions, TileModels, TileOptions, Verdict,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Whole images, and tiles of them; both with thresholds.
fn configs(bench: &Bench) -> [DetectorConfig; 2] {
    let calibration = CalibrationConfig { folds: 5, false_alarm: 0.3, ..Default::default() };
    let whole = bench.config("patchcore", json!({"coreset_ratio": 0.1}));
    let whole = DetectorConfig { calibration, ..whole };
    let tiling = Tiling { height: 32, width: 32, overlap: 12 };
    let tiles = Some(TileOptions { tiling, models: TileModels::Shared, per_image: None });
    [whole.clone(), DetectorConfig { tiles, ..whole }]
}

fn name(sample: &Sample) -> String {
    sample.path.display().to_string()
}

/// What a detector in memory says of the bytes of an image file.
fn judged(detector: &Detector, name: &str, encoded: &[u8]) -> Verdict {
    let image = decode_image(encoded, &detector.transform().read_options()).unwrap();
    detector.judge(name, &image).unwrap()
}

/// Whether two texts of JSON say the same: numbers may differ in their last bit, so near do readers that are made for speed come to the double
/// that is meant.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && is_same(a.1, b.1))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Value::Number(one), Value::Number(other)) => {
            let bits = |number: &serde_json::Number| number.as_f64().unwrap().to_bits();
            bits(one).abs_diff(bits(other)) <= 1
        }
        _ => one == other,
    }
}

#[test]
fn a_model_and_images_in_memory_give_the_verdicts_of_their_files() {
    let bench = Bench::new(6);
    for config in configs(&bench) {
        let fitted = bench.fit(&config);
        let path = bench.path("model.blemish");
        fitted.save(&path).unwrap();
        let bytes = fitted.to_bytes().unwrap();
        assert!(bytes == std::fs::read(&path).unwrap(), "the bytes are those of the file");
        let engine = EngineOptions::default();
        let from_file = Detector::load(&path, &engine).unwrap();
        let in_memory = Detector::from_bytes(Arc::new(bytes), &engine).unwrap();
        assert!(in_memory.verify(&engine).unwrap().passed);
        let mut verdicts = Vec::new();
        for sample in &bench.dataset.test {
            let encoded = std::fs::read(&sample.path).unwrap();
            let verdict = judged(&in_memory, &name(sample), &encoded);
            let scored = from_file.score_file(&sample.path).unwrap();
            assert_eq!(verdict, from_file.verdict(&name(sample), &scored, (64, 64), 0.0).unwrap());
            assert!(verdict.decision.as_ref().is_some_and(|decision| decision.threshold.is_some()));
            let line = serde_json::to_string(&verdict).unwrap();
            let back: Verdict = serde_json::from_str(&line).unwrap();
            let [meant, read] = [&verdict, &back].map(|one| serde_json::to_value(one).unwrap());
            assert!(is_same(&meant, &read), "{line} is read as {read}");
            verdicts.push(verdict);
        }
        let is_flagged =
            |verdict: &&Verdict| verdict.decision.as_ref().is_some_and(|one| !one.regions.is_empty());
        assert!(verdicts.iter().any(|verdict| is_flagged(&verdict)), "some verdict has regions");
        // The same images as one source.
        let encoded =
            |sample: &Sample| MemoryImage::encoded(std::fs::read(&sample.path).unwrap()).named(name(sample));
        let images = Memory::new(bench.dataset.test.iter().map(encoded)).unwrap();
        let mut streamed = Vec::new();
        in_memory
            .score_source(&images, &ScoreOptions::default(), |one| {
                streamed.push(in_memory.verdict(
                    &name(&bench.dataset.test[one.index]),
                    &one.scored,
                    one.size,
                    0.0,
                )?);
                Ok::<(), Error>(())
            })
            .unwrap();
        assert_eq!(streamed, verdicts);
    }
}

#[test]
fn eight_threads_on_one_detector_say_what_one_says() {
    let bench = Bench::new(4);
    for config in configs(&bench) {
        let bytes = bench.fit(&config).to_bytes().unwrap();
        let detector = Detector::from_bytes(Arc::new(bytes), &EngineOptions::default()).unwrap();
        let images: Vec<(String, Vec<u8>)> = bench
            .dataset
            .test
            .iter()
            .map(|sample| (name(sample), std::fs::read(&sample.path).unwrap()))
            .collect();
        let judge = |(name, encoded): &(String, Vec<u8>)| judged(&detector, name, encoded);
        let alone: Vec<Verdict> = images.iter().map(judge).collect();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (images, alone, judge) = (&images, &alone, &judge);
                scope.spawn(move || {
                    for turn in 0..2 * images.len() {
                        let at = (thread + turn) % images.len();
                        assert_eq!(judge(&images[at]), alone[at], "thread {thread}");
                    }
                });
            }
        });
    }
}

#[test]
fn a_verdict_without_a_decision_keeps_its_shape() {
    let verdict = Verdict { path: "a.png".into(), score: 0.1, overlay: None, map: None, decision: None };
    let line = serde_json::to_string(&verdict).unwrap();
    assert_eq!(line, r#"{"path":"a.png","score":0.1}"#);
    assert_eq!(serde_json::from_str::<Verdict>(&line).unwrap(), verdict);
}
