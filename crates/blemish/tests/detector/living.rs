//! Updates and merges against the fit on everything; verification against altered models; monitors against the wrong model.

use crate::support::{Bench, SIDE};
use blemish::data::Files;
use blemish::data::{Dataset, Tiling, Transform};
use blemish::features::EngineOptions;
use blemish::file::format;
use blemish::monitor::{Monitor, Reference};
use blemish::state::{State, Values};
use blemish::{Detector, DetectorConfig, Error, FitOptions, TileModels, TileOptions};
use serde_json::json;

/// The training images `range` of a bench.
fn shard(bench: &Bench, range: std::ops::Range<usize>) -> Dataset {
    Dataset { train: bench.dataset.train[range].to_vec(), ..bench.dataset.clone() }
}

fn fit(config: &DetectorConfig, images: &Dataset) -> Detector {
    Detector::fit(config, &Files::training(images), &FitOptions::default()).unwrap()
}

fn tensors(bench: &Bench, detector: &Detector) -> State {
    bench.saved(detector);
    format::read(&bench.path("saved.blemish")).unwrap().1
}

fn relative(a: &[f64], b: &[f64]) -> f64 {
    let scale = b.iter().fold(1e-30f64, |most, value| most.max(value.abs()));
    a.iter().zip(b).fold(0.0f64, |most, (a, b)| most.max((a - b).abs())) / scale
}

#[test]
fn padim_updated_and_merged_equals_the_fit_on_everything() {
    let bench = Bench::new(9);
    let settings = json!({"dimensions": 8, "precision": "single", "updatable": true});
    let config = bench.config("padim", settings);
    let options = FitOptions::default();
    let whole = fit(&config, &bench.dataset);
    let parts: Vec<Detector> =
        [0..2, 2..3, 3..9].map(|range| fit(&config, &shard(&bench, range))).into_iter().collect();
    let updated = parts[0].update(&Files::training(&shard(&bench, 2..9)), &options).unwrap();
    let merged = Detector::merge(&parts, &options).unwrap();
    let expected = tensors(&bench, &whole);
    for detector in [updated, merged] {
        let found = tensors(&bench, &detector);
        assert_eq!(found.count("moments.count").unwrap(), 9);
        for name in ["moments.mean", "moments.scatter"] {
            let (found, expected) = (found.f64(name, 2).unwrap().1, expected.f64(name, 2).unwrap().1);
            assert!(relative(&found, &expected) < 1e-13, "{name}: {}", relative(&found, &expected));
        }
        assert_eq!(detector.header().data.images, 9);
        for sample in &bench.dataset.test {
            let (a, b) =
                (detector.score_file(&sample.path).unwrap(), whole.score_file(&sample.path).unwrap());
            assert!((a.score / b.score - 1.0).abs() < 1e-5, "{} {}", a.score, b.score);
        }
    }
}

#[test]
fn anomalydino_updated_and_merged_is_the_fit_on_everything() {
    let bench = Bench::new(6);
    let options = FitOptions::default();
    for mode in ["dino", "multilayer", "retrieval", "batch"] {
        // A method whose models always can has no setting for it.
        let config = bench.config("anomalydino", json!({"mode": mode})).updatable().unwrap();
        let whole = fit(&config, &bench.dataset);
        let parts = [0..2, 2..4, 4..6].map(|range| fit(&config, &shard(&bench, range)));
        let path = bench.path("part.blemish");
        parts[0].save(&path).unwrap();
        let loaded = Detector::load(&path, &EngineOptions::default()).unwrap();
        let updated = loaded.update(&Files::training(&shard(&bench, 2..6)), &options).unwrap();
        let merged = Detector::merge(&parts, &options).unwrap();
        for detector in [&updated, &merged] {
            assert_eq!(detector.coverage(), whole.coverage());
            assert!(detector.verify(&EngineOptions::default()).unwrap().passed);
            for sample in bench.dataset.test.iter().chain(&bench.dataset.train) {
                let (found, expected) = (detector.score_file(&sample.path), whole.score_file(&sample.path));
                assert_eq!(found.unwrap().map.values, expected.unwrap().map.values, "{mode}");
            }
        }
    }
}

#[test]
fn an_update_goes_on_after_saving_and_loading_and_can_be_repeated() {
    let bench = Bench::new(6);
    let padim = bench.config("padim", json!({"dimensions": 8, "precision": "single", "updatable": true}));
    for config in [padim, bench.config("patchcore", json!({"coreset_ratio": 0.2}))] {
        let mut detector = fit(&config, &shard(&bench, 0..2));
        assert!(detector.calibration().is_some());
        for next in [2..4, 4..6] {
            let path = bench.path("living.blemish");
            detector.save(&path).unwrap();
            detector = Detector::load(&path, &EngineOptions::default()).unwrap();
            detector =
                detector.update(&Files::training(&shard(&bench, next)), &FitOptions::default()).unwrap();
        }
        assert_eq!(detector.header().data.images, 6);
        assert!(detector.calibration().is_none(), "thresholds belong to the scores of the old model");
        assert!(detector.verify(&EngineOptions::default()).unwrap().passed, "the record is made anew");
        if config.method == "padim" {
            let (a, b) = (
                detector.score_file(bench.first_test_image()).unwrap().score,
                fit(&config, &bench.dataset).score_file(bench.first_test_image()).unwrap().score,
            );
            assert!((a / b - 1.0).abs() < 1e-5, "{a} {b}");
        } else {
            // 64 patches an image: int(0.2 x 384) picks for all six together.
            assert_eq!(tensors(&bench, &detector).f32("bank", 2).unwrap().0[0], 76);
        }
    }
}

/// d(q, M) <= d(q, M') <= d(q, M) + R for every patch q, where M holds all patches and M' is the merged or updated bank.
#[test]
fn a_merged_bank_is_within_its_certified_radius_of_all_patches() {
    let bench = Bench::new(8);
    let plain = json!({"image_score": "max", "sigma": 0.0, "interpolation": "nearest", "coreset_ratio": 1.0});
    let everything = fit(&bench.config("patchcore", plain.clone()), &bench.dataset);
    let mut radii = Vec::new();
    for extra in [json!({}), json!({"shards": 4}), json!({"projection_dimension": 3, "updatable": true})] {
        let mut settings = plain.clone();
        settings["coreset_ratio"] = json!(0.05);
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let config = bench.config("patchcore", settings);
        let parts = [0..2, 2..4, 4..6, 6..8].map(|range| fit(&config, &shard(&bench, range)));
        let options = FitOptions::default();
        let merged = Detector::merge(&parts, &options).unwrap();
        let updated = parts[0].update(&Files::training(&shard(&bench, 2..8)), &options).unwrap();
        let sequential = fit(&config, &bench.dataset);
        for detector in [&merged, &updated, &sequential] {
            let state = tensors(&bench, detector);
            assert_eq!(state.count("coverage.patches").unwrap(), 8 * 64);
            let entries = state.f32("bank", 2).unwrap().0[0];
            assert!((22..=25).contains(&entries), "{entries} of int(0.05 x 512) = 25 picks");
            let radius = state.f32("coverage.radius", 1).unwrap().1[0];
            radii.push(radius);
            for sample in &bench.dataset.test {
                let near = everything.score_file(&sample.path).unwrap().map.values;
                let far = detector.score_file(&sample.path).unwrap().map.values;
                for (near, far) in near.iter().zip(&far) {
                    assert!(near - 1e-3 <= *far && *far <= near + radius + 1e-3, "{near} {far} {radius}");
                }
            }
        }
    }
    // With a reserve of as many picks as the final bank: 4 OPT; and 2 OPT >= the sequential radius.
    assert!(radii[3] <= 4.0 * radii[5], "{radii:?}");
}

#[test]
fn a_model_merged_with_itself_stays_what_it_was() {
    let bench = Bench::new(4);
    let config = bench.config("patchcore", json!({"coreset_ratio": 0.2}));
    let detector = fit(&config, &bench.dataset);
    let parts = [0, 1].map(|_| fit(&config, &bench.dataset));
    let merged = Detector::merge(&parts, &FitOptions::default()).unwrap();
    let path = bench.first_test_image();
    assert_eq!(merged.score_file(path).unwrap(), detector.score_file(path).unwrap());
}

#[test]
fn models_that_do_not_go_together_are_refused_with_what_differs() {
    let bench = Bench::new(3);
    let padim =
        |seed| DetectorConfig { seed, ..bench.config("padim", json!({"dimensions": 8, "updatable": true})) };
    let patchcore = bench.config("patchcore", json!({}));
    let small = DetectorConfig { transform: Some(Transform::resize_to(48, SIDE)), ..patchcore.clone() };
    let mut shallow = patchcore.clone();
    shallow.backbone.layers.pop();
    let cases = [
        (patchcore.clone(), padim(3), "method"),
        (
            patchcore.clone(),
            bench.config("patchcore", json!({"neighbours": 2})),
            "neighbours = 2, the first 1",
        ),
        (
            patchcore.clone(),
            bench.config("patchcore", json!({"projection_dimension": 4})),
            "projection_dimension",
        ),
        (patchcore.clone(), small, "transform"),
        (patchcore.clone(), shallow, "layers"),
        (padim(3), padim(4), "same seed"),
    ];
    for (one, other, words) in cases {
        let parts = [fit(&one, &bench.dataset), fit(&other, &bench.dataset)];
        let error = Detector::merge(&parts, &FitOptions::default()).err().unwrap();
        assert!(matches!(error, Error::Living { .. }) && error.to_string().contains(words), "{error}");
    }
    let tiles = TileOptions { tiling: Tiling::new(32, 32), models: TileModels::Shared, per_image: None };
    let tiled = fit(&DetectorConfig { tiles: Some(tiles), ..patchcore.clone() }, &bench.dataset);
    let error =
        tiled.update(&Files::training(&bench.dataset), &FitOptions::default()).err().unwrap().to_string();
    assert!(error.contains("tiles"), "{error}");
    let error = Detector::merge(&[tiled], &FitOptions::default()).err().unwrap().to_string();
    assert!(error.contains("tiles"), "{error}");
    let fixed = fit(&bench.config("padim", json!({"dimensions": 8})), &bench.dataset);
    let error =
        fixed.update(&Files::training(&bench.dataset), &FitOptions::default()).err().unwrap().to_string();
    assert!(error.contains("`updatable`"), "{error}");
    let nothing = Dataset { train: Vec::new(), ..bench.dataset.clone() };
    for detector in [fit(&patchcore, &bench.dataset), fit(&padim(3), &bench.dataset)] {
        let before = detector.score_file(bench.first_test_image()).unwrap();
        // No new images change nothing.
        if let Ok(updated) = detector.update(&Files::training(&nothing), &FitOptions::default()) {
            let after = updated.score_file(bench.first_test_image()).unwrap();
            assert!((after.score / before.score - 1.0).abs() < 1e-3);
        }
    }
}

/// A copy of a model file with the checksum made to fit after one change of its tensors.
fn altered(bench: &Bench, name: &str, change: impl Fn(&mut Vec<f32>)) -> std::path::PathBuf {
    let (header, state) = format::read(&bench.path("saved.blemish")).unwrap();
    let mut changed = state.clone();
    let Values::F32(values) = &state.tensors()[name].values else { panic!("{name} holds no floats") };
    let mut values = values.to_vec();
    change(&mut values);
    changed.set_f32(name, &state.tensors()[name].shape, values);
    let path = bench.path("altered.blemish");
    format::write(&path, &header, &changed).unwrap();
    path
}

#[test]
fn one_flipped_bit_is_found_and_its_effect_told() {
    let bench = Bench::new(4);
    let flip = |value: &mut f32, bit: u32| *value = f32::from_bits(value.to_bits() ^ 1 << bit);
    for (config, name) in bench.configs().iter().zip(["bank", "means"]) {
        let detector = bench.fit(config);
        let engine = EngineOptions::default();
        assert!(detector.verify(&engine).unwrap().passed);
        bench.saved(&detector);
        let verify = |path: &std::path::Path| Detector::load(path, &engine).unwrap().verify(&engine).unwrap();
        let intact = verify(&bench.path("saved.blemish"));
        assert!(intact.passed && intact.images.iter().all(|image| image.difference == 0.0));
        assert_eq!(intact.images.last().unwrap().name, "noise");
        // An exponent bit of every value of one entry shows in the scores ...
        let loud =
            verify(&altered(&bench, name, |values| values.iter_mut().for_each(|value| flip(value, 24))));
        let off = loud.images.iter().map(|image| image.difference).fold(0.0, f64::max);
        assert!(!loud.passed && off > 0.01, "{off}");
        // ... and the last bit of one value at least in the digest of the content.
        let quiet = verify(&altered(&bench, name, |values| flip(&mut values[5], 0)));
        assert!(!quiet.passed && !quiet.is_content_intact);
        assert!(quiet.images.iter().all(|image| image.difference < 1e-3));
    }
}

#[test]
fn a_model_without_a_record_says_so() {
    let bench = Bench::new(2);
    bench.saved(&bench.fit(&bench.configs()[0]));
    let (header, mut state) = format::read(&bench.path("saved.blemish")).unwrap();
    let mut old = State::default();
    for (name, tensor) in std::mem::take(&mut state).tensors() {
        if !name.starts_with("verification.") && !name.starts_with("coverage.") {
            match &tensor.values {
                Values::F32(values) => old.set_f32(name, &tensor.shape, values.clone()),
                Values::U8(values) => old.set_u8(name, &tensor.shape, values.clone()),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    let path = bench.path("old.blemish");
    format::write(&path, &header, &old).unwrap();
    let detector = Detector::load(&path, &EngineOptions::default()).unwrap();
    assert!(detector.score_file(bench.first_test_image()).is_ok());
    let words = |error: Error| error.to_string();
    assert!(words(detector.verify(&EngineOptions::default()).unwrap_err()).contains("fit it again"));
    let refused = detector.update(&Files::training(&bench.dataset), &FitOptions::default()).err().unwrap();
    assert!(words(refused).contains("fit it again"));
}

#[test]
fn the_region_of_interest_is_part_of_the_record() {
    let bench = Bench::new(3);
    let mask = bench.path("left.png");
    let left = |x: u32, _| image::Luma([if (x as usize) < SIDE / 2 { 255 } else { 0 }]);
    image::GrayImage::from_fn(SIDE as u32, SIDE as u32, left).save(&mask).unwrap();
    for mut config in bench.configs() {
        config.transform = Some(Transform::resize_to(SIDE, SIDE).with_region_of_interest(&mask).unwrap());
        bench.saved(&bench.fit(&config));
        let loaded = Detector::load(&bench.path("saved.blemish"), &EngineOptions::default()).unwrap();
        let verified = loaded.verify(&EngineOptions::default()).unwrap();
        assert!(verified.passed && verified.images.len() == 3, "{verified:?}");
    }
}

/// A lossless picture of noise this large would not fit into the record, and scoring it would take long.
#[test]
fn models_of_large_images_are_verified_by_noise() {
    let mut bench = Bench::new(2);
    for (number, sample) in bench.dataset.train.iter_mut().enumerate() {
        let large = image::open(&sample.path).unwrap().resize_exact(1200, 900, image::imageops::Triangle);
        sample.path = sample.path.with_file_name(format!("large-{number}.png"));
        large.save(&sample.path).unwrap();
    }
    for (models, size) in [(TileModels::Shared, [900, 1024]), (TileModels::Each, [900, 1200])] {
        let tiles = TileOptions { tiling: Tiling::new(512, 512), models, per_image: None };
        let mut config = bench.config("patchcore", json!({"coreset_ratio": 0.001}));
        config.tiles = Some(tiles);
        config.transform = None;
        config.calibration.folds = 0;
        bench.saved(&bench.fit(&config));
        let record = format::read(&bench.path("saved.blemish")).unwrap().1;
        assert_eq!(record.u32("verification.noise", 1).unwrap().1[..], size);
        let loaded = Detector::load(&bench.path("saved.blemish"), &EngineOptions::default()).unwrap();
        let verified = loaded.verify(&EngineOptions::default()).unwrap();
        assert!(verified.passed && verified.images.len() == 1, "{verified:?}");
    }
}

#[test]
fn a_monitor_survives_restarts_and_knows_its_model() {
    let bench = Bench::new(4);
    let [patchcore, padim] = [0, 1].map(|method| bench.fit(&bench.configs()[method]));
    let path = bench.path("monitor.json");
    let open = |detector: &Detector| Monitor::open(&path, detector, Reference::Collected(20), 0.05);
    let mut monitor = open(&patchcore).unwrap();
    for at in 0..30 {
        monitor.observe(1.0 + at as f32 * 0.01, None).unwrap();
    }
    monitor.save().unwrap();
    let again = open(&patchcore).unwrap();
    assert_eq!(again.drift(), monitor.drift());
    assert_eq!((again.drift().missing(), again.drift().watched()), (0, 10));
    assert!(open(&padim).err().unwrap().to_string().contains("another model"));
    let updated = patchcore.update(&Files::training(&bench.dataset), &FitOptions::default()).unwrap();
    assert!(open(&updated).is_err());
    std::fs::write(&path, "{}").unwrap();
    assert!(open(&patchcore).err().unwrap().to_string().contains("monitor.json"));
    let absent = Monitor::open(&bench.path("no/such/place"), &patchcore, Reference::Auto, 0.05);
    assert!(absent.err().unwrap().to_string().contains("no/such"));
    let wrong = Monitor::open(&bench.path("new.json"), &patchcore, Reference::Auto, 2.0);
    assert!(wrong.is_err() && !bench.path("new.json").exists());
}
