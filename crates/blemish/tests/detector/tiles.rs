//! Tiles and input sizes as a user of the library meets them.

use crate::support::{Bench, SIDE};
use blemish::data::Files;
use blemish::data::{Label, Sample, Tiling, Transform, open_dataset};
use blemish::features::EngineOptions;
use blemish::{Detector, DetectorConfig, Error, FitOptions, TileModels, TileOptions};
use image::{DynamicImage, GenericImageView};
use serde_json::json;

fn tiled(mut config: DetectorConfig, side: usize, overlap: usize, models: TileModels) -> DetectorConfig {
    let tiling = Tiling { height: side, width: side, overlap };
    config.tiles = Some(TileOptions { tiling, models, per_image: None });
    config.transform = None;
    config
}

/// The four quarters of an image, row by row.
fn quarters(image: &DynamicImage) -> Vec<DynamicImage> {
    let half = SIDE as u32 / 2;
    [(0, 0), (half, 0), (0, half), (half, half)].map(|(x, y)| image.crop_imm(x, y, half, half)).into()
}

/// The pixels of a quarter within a map of the whole.
fn quarter(map: &[f32], number: usize) -> Vec<f32> {
    let half = SIDE / 2;
    let (top, left) = (number / 2 * half, number % 2 * half);
    (top..top + half).flat_map(|y| map[y * SIDE + left..][..half].to_vec()).collect()
}

#[test]
fn tiles_without_overlap_are_as_good_as_images_cut_by_hand() {
    let bench = Bench::new(3);
    let cut = bench.path("cut");
    std::fs::create_dir(&cut).unwrap();
    for (number, sample) in bench.dataset.train.iter().enumerate() {
        for (part, quarter) in quarters(&image::open(&sample.path).unwrap()).iter().enumerate() {
            quarter.save(cut.join(format!("{number}-{part}.png"))).unwrap();
        }
    }
    let by_hand = open_dataset(&cut, &Default::default()).unwrap();
    for settings in [json!({"image_score": "max"}), json!({"image_score": "reweighted"})] {
        let config = bench.config("patchcore", settings);
        let whole = DetectorConfig { transform: Some(Transform::native()), ..config.clone() };
        let parts = Detector::fit(&whole, &Files::training(&by_hand), &FitOptions::default()).unwrap();
        let detector = bench.fit(&tiled(config, SIDE / 2, 0, TileModels::Shared));
        for sample in &bench.dataset.test {
            let scored = detector.score_file(&sample.path).unwrap();
            let mut highest = f32::NEG_INFINITY;
            for (number, part) in quarters(&image::open(&sample.path).unwrap()).iter().enumerate() {
                let path = bench.path("part.png");
                part.save(&path).unwrap();
                let alone = parts.score_file(&path).unwrap();
                assert_eq!(alone.map.values, quarter(&scored.map.values, number));
                highest = highest.max(alone.score);
            }
            assert_eq!(scored.score, highest, "an image is as bad as its worst tile");
        }
    }
}

#[test]
fn a_method_without_a_rule_scores_by_the_merged_map() {
    let bench = Bench::new(4);
    let detector =
        bench.fit(&tiled(bench.config("padim", json!({"dimensions": 12})), 32, 12, TileModels::Each));
    let scored = detector.score_file(bench.first_test_image()).unwrap();
    assert_eq!(scored.score, scored.map.values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
}

#[test]
fn images_of_any_size_share_a_model_and_small_ones_are_mirrored() {
    let mut bench = Bench::new(3);
    let original = image::open(bench.first_test_image()).unwrap();
    let save = |image: DynamicImage, name: &str| {
        image.save(bench.path(name)).unwrap();
        bench.path(name)
    };
    let wide = save(original.crop_imm(0, 0, 64, 50), "wide.png");
    let small = save(original.crop_imm(3, 5, 20, 11), "small.png");
    let deep = save(DynamicImage::ImageRgb16(original.to_rgb16()), "deep.png");
    let detector = {
        bench.dataset.train.push(Sample { label: Label::Good, ..Sample::unlabelled(&wide) });
        bench.fit(&tiled(bench.config("patchcore", json!({})), 32, 8, TileModels::Shared))
    };
    for path in [&wide, &small] {
        let scored = detector.score_file(path).unwrap();
        let (width, height) = image::open(path).unwrap().dimensions();
        assert_eq!((scored.map.width, scored.map.height), (width as usize, height as usize));
        assert!(scored.score.is_finite());
    }
    // 16 bits of the same picture are the same picture.
    let (eight, sixteen) = (detector.score_file(bench.first_test_image()), detector.score_file(&deep));
    assert_eq!(eight.unwrap().map, sixteen.unwrap().map);
}

#[test]
fn models_of_places_refuse_images_of_another_size() {
    let mut bench = Bench::new(3);
    let path = bench.path("other.png");
    image::open(bench.first_test_image()).unwrap().crop_imm(0, 0, 64, 60).save(&path).unwrap();
    let config = tiled(bench.config("padim", json!({"dimensions": 4})), 32, 8, TileModels::Each);
    let detector = bench.fit(&config);
    let error = detector.score_file(&path).unwrap_err();
    assert!(matches!(&error, Error::Score { reason } if reason.contains("64x60")), "{error}");
    bench.dataset.train.push(Sample::unlabelled(&path));
    let error = bench.try_fit(&config, &FitOptions::default()).err().unwrap().to_string();
    assert!(error.contains("other.png") && error.contains("share one model"), "{error}");
    // Brought to one size they fit.
    let resized = DetectorConfig { transform: Some(Transform::resize_to(64, 64)), ..config };
    assert!(bench.fit(&resized).score_file(&path).is_ok());
}

#[test]
fn impossible_tiles_and_sizes_are_refused_before_any_work() {
    let bench = Bench::new(1);
    let config = bench.config("patchcore", json!({}));
    for (config, words) in [
        (tiled(config.clone(), 32, 32, TileModels::Shared), "overlap smaller"),
        (tiled(config.clone(), 8, 0, TileModels::Shared), "16 to 4096"),
        (DetectorConfig { input_sizes: vec![64, 20_000], ..config }, "8192"),
    ] {
        let error = bench.try_fit(&config, &FitOptions::default()).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn tiles_outside_the_region_of_interest_have_no_model() {
    let bench = Bench::new(3);
    let mask = bench.path("left.png");
    image::GrayImage::from_fn(8, 8, |x, _| image::Luma([if x < 3 { 255 } else { 0 }])).save(&mask).unwrap();
    let mut config = tiled(bench.config("padim", json!({"dimensions": 4})), 32, 0, TileModels::Each);
    config.transform = Some(Transform::native().with_region_of_interest(&mask).unwrap());
    let path = bench.path("places.blemish");
    bench.fit(&config).save(&path).unwrap();
    let (_, state) = blemish::file::format::read(&path).unwrap();
    let places: Vec<bool> = (0..4)
        .map(|tile| state.tensors().keys().any(|name| name.starts_with(&format!("tile.{tile}."))))
        .collect();
    assert_eq!(places, [true, false, true, false]);
    let scored =
        Detector::load(&path, &EngineOptions::default()).unwrap().score_file(bench.first_test_image());
    let map = scored.unwrap().map;
    assert!(map.values.chunks(SIDE).all(|row| row[24..].iter().all(|&value| value == 0.0)));
    assert!(map.values.iter().any(|&value| value > 0.0));
}

#[test]
fn several_sizes_are_averaged_in_units_of_their_spread_on_good_images() {
    let bench = Bench::new(4);
    let config = bench.config("patchcore", json!({"coreset_ratio": 0.2}));
    let several = bench.fit(&DetectorConfig { input_sizes: vec![32, 64], ..config.clone() });
    let header = several.header();
    assert_eq!(header.views.len(), 2);
    let path = bench.first_test_image();
    let scored = several.score_file(path).unwrap();
    assert_eq!((scored.map.height, scored.map.width), (64, 64), "maps have the size of the largest input");
    let mut expected = 0.0;
    for (view, side) in header.views.iter().zip([64, 32]) {
        let alone = DetectorConfig { transform: Some(Transform::resize_to(side, side)), ..config.clone() };
        let score = bench.fit(&alone).score_file(path).unwrap().score;
        let (mean, deviation) = view.spread.unwrap().score;
        expected += 0.5 * (score - mean) / deviation;
    }
    assert!((scored.score - expected).abs() < 1e-4 * expected.abs().max(1.0), "{} {expected}", scored.score);
    // On the good images themselves scores have mean 0.
    let train = bench.dataset.train.iter().map(|sample| several.score_file(&sample.path).unwrap().score);
    assert!(train.sum::<f32>().abs() < 1e-3);
}
