//! What every method owes its users, whatever it computes.

use crate::support::{Bench, SIDE};
use blemish::data::Files;
use blemish::data::Transform;
use blemish::features::EngineOptions;
use blemish::{Detector, Error, FitOptions, Observer, ScoreOptions, ScoredImage};
use image::{GrayImage, Luma};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn the_model_depends_on_the_seed_alone() {
    let bench = Bench::new(5);
    for config in bench.configs().iter().map(Bench::with_two_folds) {
        let reference = bench.saved(&bench.fit(&config));
        for (threads, batch_size) in [(1, 3), (3, 1)] {
            let engine = EngineOptions { threads: Some(threads), ..EngineOptions::default() };
            let options = FitOptions { engine, batch_size, ..FitOptions::default() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let detector = pool.install(|| bench.try_fit(&config, &options)).unwrap();
            assert!(bench.saved(&detector) == reference, "{threads} threads, batches of {batch_size}");
        }
        let other = bench.fit(&blemish::DetectorConfig { seed: 4, ..config.clone() });
        assert!(bench.saved(&other) != reference, "{}: the seed must matter", config.method);
    }
}

#[test]
fn a_memory_limit_changes_nothing_but_memory() {
    let bench = Bench::new(5);
    for config in bench.paths().iter().map(Bench::with_two_folds) {
        let reference = bench.saved(&bench.fit(&config));
        let scratch = Some(bench.path(""));
        let options = FitOptions { memory_limit: Some(40_000), scratch, ..FitOptions::default() };
        let limited = bench.try_fit(&config, &options).unwrap();
        assert!(bench.saved(&limited) == reference, "{}", config.method);
    }
}

#[test]
fn an_image_scores_the_same_in_any_company() {
    let bench = Bench::new(3);
    for config in bench.configs() {
        let detector = bench.fit(&config);
        if detector.header().views.len() > 1 || config.tiles.is_some() {
            // Such models score images, not batches; in what batches tiles go is tested below.
            assert!(matches!(detector.score(&batch_of_one(&bench, &detector)), Err(Error::Score { .. })));
            continue;
        }
        let alone: Vec<_> =
            bench.dataset.test.iter().map(|sample| detector.score_file(&sample.path).unwrap()).collect();
        let images: Vec<_> = bench
            .dataset
            .test
            .iter()
            .map(|sample| detector.transform().load(&sample.path).unwrap())
            .collect();
        let mut batch = images[0].clone();
        batch.count = images.len();
        batch.pixels = images.iter().flat_map(|image| image.pixels.iter().copied()).collect();
        for (together, alone) in detector.score(&batch).unwrap().iter().zip(&alone) {
            assert_eq!((together.score, &together.map.values), (alone.score, &alone.map.values));
        }
    }
}

fn batch_of_one(bench: &Bench, detector: &Detector) -> blemish::data::ImageBatch {
    detector.transform().load(bench.first_test_image()).unwrap()
}

#[test]
fn scores_do_not_depend_on_batches_and_threads() {
    let bench = Bench::new(3);
    for config in bench.configs() {
        let detector = bench.fit(&config);
        let all = |batch_size, threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut scores = Vec::new();
            let options = ScoreOptions { batch_size, ..ScoreOptions::default() };
            let each = |one: ScoredImage| {
                scores.push((one.index, one.scored.score, one.scored.map.values));
                Ok::<(), Error>(())
            };
            pool.install(|| detector.score_source(&Files::test(&bench.dataset), &options, each)).unwrap();
            scores
        };
        let alone = all(1, 1);
        assert_eq!(alone.len(), bench.dataset.test.len());
        assert!(alone == all(5, 2) && alone == all(64, 3), "{}", config.method);
        for (index, score, _) in alone {
            assert_eq!(detector.score_file(&bench.dataset.test[index].path).unwrap().score, score);
        }
    }
}

#[test]
fn no_images_and_one_image() {
    let mut bench = Bench::new(1);
    for config in bench.configs() {
        let detector = bench.fit(&config);
        let good = detector.score_file(&bench.dataset.train[0].path).unwrap();
        assert!(good.score.is_finite());
    }
    bench.dataset.train.clear();
    for config in bench.configs() {
        let error = bench.try_fit(&config, &FitOptions::default()).err().unwrap();
        assert!(error.to_string().contains("no training images"), "{error}");
    }
}

/// Outside the region of interest nothing is seen: neither learnt nor scored.
#[test]
fn a_region_of_interest_hides_the_rest() {
    let bench = Bench::new(3);
    let mask = bench.path("left.png");
    let left = |x: u32, _| Luma([if (x as usize) < SIDE / 2 { 255 } else { 0 }]);
    GrayImage::from_fn(SIDE as u32, SIDE as u32, left).save(&mask).unwrap();
    let original = image::open(bench.first_test_image()).unwrap().to_rgb8();
    let spoilt = |columns: std::ops::Range<u32>, name: &str| {
        let mut image = original.clone();
        for (x, _, pixel) in image.enumerate_pixels_mut() {
            if columns.contains(&x) {
                *pixel = image::Rgb([255, 0, 0]);
            }
        }
        let path = bench.path(name);
        image.save(&path).unwrap();
        path
    };
    let (inside, outside) = (spoilt(8..24, "inside.png"), spoilt(40..64, "outside.png"));
    for mut config in bench.configs() {
        let transform = Transform::resize_to(SIDE, SIDE).with_region_of_interest(&mask).unwrap();
        config.transform = Some(transform);
        let detector = bench.fit(&config);
        let score = |path: &std::path::Path| detector.score_file(path).unwrap();
        let (good, inside, outside) = (score(bench.first_test_image()), score(&inside), score(&outside));
        assert_eq!(good.score, outside.score, "{}", config.method);
        assert!(inside.score > 1.5 * good.score, "{}: {} {}", config.method, inside.score, good.score);
        let right = |map: &blemish::AnomalyMap| {
            map.values.chunks(SIDE).flat_map(|row| row[SIDE / 2 + 1..].to_vec()).fold(0.0f32, f32::max)
        };
        assert_eq!(right(&inside.map), 0.0, "{}", config.method);
        // The region is part of the model.
        let path = bench.path("region.blemish");
        detector.save(&path).unwrap();
        let loaded = Detector::load(&path, &EngineOptions::default()).unwrap();
        assert_eq!(loaded.score_file(bench.first_test_image()).unwrap().score, good.score);
    }
}

#[test]
fn wrong_settings_are_named_before_any_work() {
    let bench = Bench::new(1);
    for (method, settings, words) in [
        ("patchcore", json!({"coreset_ratio": 2.0}), "coreset_ratio"),
        ("patchcore", json!({"coreset_ration": 0.1}), "coreset_ratio"),
        ("patchcore", json!({"patch_size": 4}), "patch_size"),
        ("padim", json!({"dimensions": 0}), "dimensions"),
        ("padim", json!({"dimensions": 17}), "16"),
        ("padim", json!({"precision": "double"}), "precision"),
        ("filter", json!({"bank": "gabor+cabor"}), "cabor"),
        ("filter", json!({"bank": "gabor+gabor"}), "twice"),
        ("filter", json!({"bank": ""}), "wavelet_residual"),
        ("filter", json!({"bank": "gabor", "model": "histogram"}), "gabor"),
        ("statistical", json!({"window": 16}), "24 or 40"),
        ("structural", json!({"distance": "manhattan"}), "chi_square"),
        ("padime", json!({}), "patchcore"),
    ] {
        let error = bench.try_fit(&bench.config(method, settings), &FitOptions::default()).err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
    }
}

struct CancelAfter(AtomicUsize);

impl Observer for CancelAfter {
    fn is_cancelled(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

#[test]
fn a_fit_can_be_cancelled_at_any_point() {
    let bench = Bench::new(4);
    for config in bench.configs() {
        for after in 0..3 {
            let observer = CancelAfter(AtomicUsize::new(after));
            let options = FitOptions { batch_size: 1, observer: &observer, ..FitOptions::default() };
            let result = bench.try_fit(&config, &options);
            assert!(matches!(result, Err(Error::Interrupted)), "{} after {after}", config.method);
        }
    }
}

#[test]
fn images_that_cannot_be_read_are_left_out_of_counts_and_digest() {
    let mut bench = Bench::new(5);
    let options = FitOptions { skip_bad: true, ..FitOptions::default() };
    let configs = [
        bench.config("patchcore", json!({"coreset_ratio": 0.1})),
        bench.config("filter", json!({"bank": "sobel"})),
        bench.config("fastflow", json!({"steps": 2, "blocks": 1, "hidden_ratio": 0.1})),
    ];
    let fitted: Vec<Detector> =
        configs.iter().map(|config| bench.try_fit(config, &options).unwrap()).collect();
    // It may go away after it was listed; the last in the order, so that the others keep their places.
    let gone = bench.path("set/train/good/zzz.png");
    bench.dataset.train.push(blemish::data::Sample::unlabelled(&gone));
    for (config, whole) in configs.iter().zip(&fitted) {
        let detector = bench.try_fit(config, &options).unwrap();
        assert_eq!(detector.skipped().len(), 1, "{}", config.method);
        assert_eq!(detector.skipped()[0].path, gone);
        assert_eq!(detector.header().data.digest, whole.header().data.digest, "{}", config.method);
        if config.method != "fastflow" {
            // One that trains for long has dealt out what it holds back before it has read anything.
            assert_eq!(detector.header().data.images, 5, "{}", config.method);
        }
    }
    let updatable = bench.config("patchcore", json!({"coreset_ratio": 0.1, "updatable": true}));
    let detector = bench.try_fit(&updatable, &options).unwrap();
    let updated = detector.update(&Files::training(&bench.dataset), &options).unwrap();
    assert_eq!((updated.header().data.images, updated.skipped().len()), (10, 1));
}
