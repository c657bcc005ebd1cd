//! Models as ONNX graphs, run by rten, and by others where a Python with them is named.

use crate::export_settings::{fanogan, ganomaly, settings, uncalibrated_settings, vae};
use crate::support::{Bench, SIDE};
use blemish::data::{Pixels, RgbImage, Transform, read_image};
use blemish::export::{Depth, ExportOptions, Exported, GraphImages, Layout, second_file};
use blemish::features::executors::{Fed, FedTensor, GivenTensor, ModelSource, WholeModel};
use blemish::features::{BackboneSpec, Engine, EngineOptions};
use blemish::registry::methods;
use blemish::{CalibrationConfig, Detector, DetectorConfig, Error, ScoreOptions, TileModels, TileOptions};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// The Python that has onnx, onnxruntime, openvino, anomalib or openvino-model-api, or some of them.
const PYTHON: &str = "BLEMISH_TEST_PYTHON";

fn rten() -> EngineOptions {
    EngineOptions { engine: Engine::Rten, ..EngineOptions::default() }
}

fn export(detector: &Detector, options: &ExportOptions) -> Exported {
    detector.export(options, &rten()).unwrap()
}

fn tensor() -> ExportOptions {
    ExportOptions::default()
}

fn pictures(images: GraphImages) -> ExportOptions {
    ExportOptions { images, ..ExportOptions::default() }
}

fn uncalibrated(config: DetectorConfig) -> DetectorConfig {
    DetectorConfig { calibration: CalibrationConfig { folds: 0, ..CalibrationConfig::default() }, ..config }
}

/// A model of the graph on rten.
fn load(exported: &Exported) -> WholeModel {
    WholeModel::load(ModelSource::Bytes(exported.model().encode()), &rten()).unwrap()
}

fn run(graph: &WholeModel, shape: &[usize], values: Fed<'_>, outputs: &[&str]) -> Vec<GivenTensor> {
    graph.run(&[FedTensor { name: "image", shape: shape.to_vec(), values }], outputs).unwrap()
}

fn refusal(detector: &Detector, options: &ExportOptions) -> String {
    match detector.export(options, &rten()) {
        Err(error @ Error::Export { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was exported"),
    }
}

#[test]
fn graphs_score_as_their_models_whatever_the_settings() {
    let (bench, mut failed) = (Bench::new(6), Vec::new());
    let calibrated = settings().into_iter().map(|pair| (pair, true));
    let all = calibrated.chain(uncalibrated_settings().into_iter().map(|pair| (pair, false)));
    for ((method, settings), calibrates) in all {
        let config = Bench::with_two_folds(&bench.config(method, settings.clone()));
        for config in calibrates.then_some(config.clone()).into_iter().chain([uncalibrated(config)]) {
            let exported = export(&bench.fit(&config), &tensor());
            if !exported.parity.passed {
                failed.push(format!("{method} {settings}: {:#?}", exported.parity));
            }
            assert!(exported.parity.images.iter().any(|image| image.name.ends_with("of a batch")));
            let is_calibrated = config.calibration.folds > 0;
            let expected: &[&str] =
                if is_calibrated { &["score", "p_value", "anomalous", "map"] } else { &["score", "map"] };
            assert_eq!(exported.model().outputs(), expected);
            assert!(!exported.model().operators().contains(&"Resize"));
            println!(
                "{method} {settings}, {} folds: scores {:.1e} of {:.1e}, maps {:.1e}",
                config.calibration.folds,
                exported.parity.largest_score_difference,
                exported.parity.allowed_score_difference,
                exported.parity.largest_map_difference
            );
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn crops_regions_other_shapes_several_sizes_and_ensembles_are_part_of_the_graph() {
    let bench = Bench::new(6);
    let mask = bench.path("roi.png");
    image::GrayImage::from_fn(40, 30, |x, y| image::Luma([if x > 8 && y < 22 { 255 } else { 0 }]))
        .save(&mask)
        .unwrap();
    let plain = bench.config("patchcore", json!({"coreset_ratio": 0.1}));
    let with = |transform: Transform| DetectorConfig { transform: Some(transform), ..plain.clone() };
    let region = Transform::resize_to(64, 96).with_region_of_interest(&mask).unwrap();
    let several = DetectorConfig { input_sizes: vec![64, 32], ..plain.clone() };
    let ensemble = DetectorConfig {
        ensemble: vec![bench.backbone("other.onnx"), BackboneSpec::default()],
        ..plain.clone()
    };
    let padim =
        DetectorConfig { transform: Some(region.clone()), ..bench.config("padim", json!({"dimensions": 8})) };
    let sized = GraphImages::Sized { height: 70, width: 90 };
    let square = Transform::resize_to(SIDE, SIDE).with_region_of_interest(&mask).unwrap();
    let inside = |method: &str, settings: Value| DetectorConfig {
        transform: Some(square.clone()),
        ..uncalibrated(bench.config(method, settings))
    };
    for (config, images) in [
        (inside("vae", vae(json!({"score": "top"}))), vec![GraphImages::Tensor]),
        (
            inside("draem", json!({"repair_width": 4, "segment_width": 4, "steps": 10, "batch": 4})),
            vec![GraphImages::Tensor],
        ),
        (
            inside("memseg", json!({"memory": 4, "width": 4, "steps": 10, "batch": 4})),
            vec![GraphImages::Tensor],
        ),
        (inside("ganomaly", ganomaly(json!({"score": "combined"}))), vec![GraphImages::Tensor]),
        (
            inside("mnad", json!({"width": 4, "memory": 5, "steps": 10, "score": "frame"})),
            vec![GraphImages::Tensor],
        ),
        (with(region.clone()), vec![GraphImages::Tensor, sized, GraphImages::Any]),
        (padim, vec![GraphImages::Tensor, GraphImages::Any]),
        (with(Transform::resize_to(96, 64)), vec![GraphImages::Tensor, GraphImages::Any]),
        (
            with(Transform::shorter_side(72).with_crop(64, 64)),
            vec![GraphImages::Tensor, sized, GraphImages::Any],
        ),
        (with(Transform::shorter_side(64)), vec![GraphImages::Tensor, sized]),
        (several, vec![sized, GraphImages::Any]),
        (ensemble, vec![GraphImages::Tensor, sized]),
    ] {
        let detector = bench.fit(&config);
        for images in images {
            let exported = export(&detector, &pictures(images));
            let parity = &exported.parity;
            assert!(parity.passed, "{:?} {images}: {parity:#?}", config.transform);
            if let Some(pixels) = parity.pixels {
                assert!(pixels.share <= 3e-3 && pixels.steps <= 1.01, "{images}: {pixels:?}");
            }
        }
    }
}

#[test]
fn a_bank_that_holds_the_image_is_at_no_distance() {
    let bench = Bench::new(4);
    // The embedded backbone's features are large, and the expanded form of their distances cancels.
    let config = DetectorConfig {
        backbone: BackboneSpec::default(),
        ..bench.config("patchcore", json!({"coreset_ratio": 1.0, "sigma": 0.0}))
    };
    let detector = bench.fit(&config);
    let graph = load(&export(&detector, &tensor()));
    let image = read_image(&bench.dataset.train[0].path, &Default::default()).unwrap();
    let native = detector.score_image(&image, &ScoreOptions::default()).unwrap();
    assert_eq!(native.map.values.iter().copied().fold(0.0, f32::max), 0.0);
    let planes = detector.transform().apply(&image).unwrap().pixels;
    let given = run(&graph, &[1, 3, SIDE, SIDE], Fed::F32(&planes), &["score", "map"]);
    // The engine's features differ from the native ones in their last bits; the distance to them is as small, and far below what cancels.
    let highest = given[1].values.iter().copied().fold(0.0, f64::max);
    assert!(highest < 1e-3, "{highest}");
}

#[test]
fn images_score_the_same_alone_and_in_batches_of_any_size() {
    let bench = Bench::new(6);
    for (method, settings) in [
        ("patchcore", json!({"coreset_ratio": 0.1})),
        ("padim", json!({"dimensions": 9})),
        ("fapm", json!({"regions": 3})),
    ] {
        let detector = bench.fit(&bench.config(method, settings));
        let graph = load(&export(&detector, &tensor()));
        let images: Vec<Vec<f32>> = bench
            .dataset
            .test
            .iter()
            .map(|sample| {
                detector
                    .transform()
                    .apply(&read_image(&sample.path, &Default::default()).unwrap())
                    .unwrap()
                    .pixels
            })
            .collect();
        let scores: Vec<f32> = bench
            .dataset
            .test
            .iter()
            .map(|sample| detector.score_file(&sample.path).unwrap().score)
            .collect();
        for count in [1, 2, 3, 7] {
            let fed: Vec<f32> = (0..count).flat_map(|at| images[at % images.len()].clone()).collect();
            let given = run(&graph, &[count, 3, SIDE, SIDE], Fed::F32(&fed), &["score", "map"]);
            assert_eq!(given[1].shape, [count, SIDE, SIDE]);
            for (at, score) in given[0].values.iter().enumerate() {
                let own = f64::from(scores[at % images.len()]);
                assert!(
                    (score - own).abs() < 1e-4 * own.abs(),
                    "{method}, {at} of {count}: {score} for {own}"
                );
            }
        }
    }
}

#[test]
fn another_threshold_may_be_fed_and_moves_no_score() {
    // rten takes no value for what has one already.
    if !WholeModel::has_ort() {
        println!("skipped: ONNX Runtime's library is not found (ORT_DYLIB_PATH)");
        return;
    }
    let bench = Bench::new(6);
    let detector = bench.fit(&bench.config("patchcore", json!({"coreset_ratio": 0.1})));
    let graph = WholeModel::load(
        ModelSource::Bytes(export(&detector, &tensor()).model().encode()),
        &EngineOptions { engine: Engine::Ort, ..EngineOptions::default() },
    )
    .unwrap();
    let planes = detector.transform().load(bench.first_test_image()).unwrap().pixels;
    let decide = |threshold: Option<f32>| {
        let limit = [threshold.unwrap_or_default()];
        let mut inputs =
            vec![FedTensor { name: "image", shape: vec![1, 3, SIDE, SIDE], values: Fed::F32(&planes) }];
        if threshold.is_some() {
            inputs.push(FedTensor { name: "threshold", shape: vec![1], values: Fed::F32(&limit) });
        }
        let given = graph.run(&inputs, &["score", "anomalous"]).unwrap();
        (given[0].values[0], given[1].values[0] > 0.5)
    };
    let (score, decided) = decide(None);
    let known = detector.calibration().unwrap().image_threshold.unwrap();
    assert_eq!(decided, score > f64::from(known));
    assert_eq!(decide(Some(score as f32 - 0.5)), (score, true));
    assert_eq!(decide(Some(score as f32 + 0.5)), (score, false));
}

#[test]
fn resizes_of_any_size_are_those_of_the_transform() {
    let bench = Bench::new(4);
    let detector = bench.fit(&uncalibrated(bench.config("patchcore", json!({"coreset_ratio": 0.1}))));
    let exported = export(&detector, &pictures(GraphImages::Any));
    let pixels = exported.parity.pixels.unwrap();
    assert!(exported.parity.passed && pixels.share <= 3e-3 && pixels.steps <= 1.01, "{:?}", exported.parity);
    // The sizes that the proof tries, beside those of the stored images.
    for size in ["640x512", "1080x1920", "2000x3000", "100x300", "257x255", "255x257"] {
        assert!(exported.parity.images.iter().any(|image| image.name.ends_with(size)), "{size}");
    }
    let graph = load(&exported);
    // Grey as three equal channels.
    let grey: Vec<u8> = (0..80 * 120).flat_map(|at| [(at * 7 % 251) as u8; 3]).collect();
    let image = RgbImage { height: 80, width: 120, pixels: Pixels::U8(grey.clone()) };
    let own = f64::from(detector.score_image(&image, &ScoreOptions::default()).unwrap().score);
    let given = run(&graph, &[1, 80, 120, 3], Fed::U8(&grey), &["score"]);
    assert!((given[0].values[0] - own).abs() < 1e-2 * own, "{} for {own}", given[0].values[0]);
    // A side of one pixel, which the readers of files refuse.
    let short = FedTensor { name: "image", shape: vec![1, 1, 4000, 3], values: Fed::U8(&[0; 12_000]) };
    match graph.run(&[short], &["score"]) {
        Err(_) => {}
        Ok(given) => assert!(!given[0].values[0].is_finite()),
    }
    let words = refusal(&detector, &pictures(GraphImages::Sized { height: 1, width: 4000 }));
    assert!(words.contains("4000x1"), "{words}");
}

#[test]
fn altered_and_damaged_graphs_are_found() {
    let bench = Bench::new(6);
    let detector = bench.fit(&bench.config("patchcore", json!({"coreset_ratio": 0.1})));
    let exported = export(&detector, &tensor());
    let path = bench.path("graph.onnx");
    let check = |detector: &Detector| detector.check_export(&path, &rten());
    assert_eq!(exported.write(&path).unwrap(), std::slice::from_ref(&path));
    assert!(check(&detector).unwrap().passed);
    let altered = exported.model().clone().perturbed("patchcore/bank", 0.01);
    std::fs::write(&path, altered.encode()).unwrap();
    let parity = check(&detector).unwrap();
    assert!(
        !parity.passed && parity.largest_score_difference > parity.allowed_score_difference,
        "{parity:?}"
    );
    // In two files.
    let (graph, constants) = exported.model().clone().split("graph.onnx.data");
    std::fs::write(&path, &graph).unwrap();
    std::fs::write(second_file(&path), &constants).unwrap();
    assert!(check(&detector).unwrap().passed);
    let bytes = exported.model().encode();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(check(&detector).unwrap_err().to_string().contains("damaged"));
    std::fs::write(&path, &bytes).unwrap();
    let other = bench.fit(&bench.config("padim", json!({"dimensions": 4})));
    assert!(check(&other).unwrap_err().to_string().contains("another model"));
    std::fs::copy(bench.path("tiny.onnx"), &path).unwrap();
    assert!(check(&detector).unwrap_err().to_string().contains("no graph that blemish exported"));
}

#[test]
fn what_has_no_graph_says_why() {
    let bench = Bench::new(4);
    for entry in methods() {
        if let Err(reason) = entry.exports() {
            assert!(reason.len() > 20 && !reason.ends_with('.'), "{}: {reason}", entry.info().name);
        }
    }
    let filter = bench.fit(&uncalibrated(bench.config("filter", json!({"bank": "sobel"}))));
    let words = refusal(&filter, &tensor());
    assert!(words.contains("filter") && words.contains("no graph"), "{words}");
    let patchcore = uncalibrated(bench.config("patchcore", json!({"coreset_ratio": 0.1})));
    let tiling = blemish::data::Tiling { height: 32, width: 32, overlap: 12 };
    let tiles = Some(TileOptions { tiling, models: TileModels::Shared, per_image: None });
    let words = refusal(&bench.fit(&DetectorConfig { tiles, ..patchcore.clone() }), &tensor());
    assert!(words.contains("tiles"), "{words}");
    let words =
        refusal(&bench.fit(&DetectorConfig { input_sizes: vec![64, 32], ..patchcore.clone() }), &tensor());
    assert!(words.contains("--input any"), "{words}");
    let words = refusal(&bench.fit(&patchcore), &ExportOptions { layout: Layout::Anomalib, ..tensor() });
    assert!(words.contains("calibrate"), "{words}");
    let free = DetectorConfig { transform: Some(Transform::shorter_side(64)), ..patchcore };
    let words = refusal(&bench.fit(&free), &pictures(GraphImages::Any));
    assert!(words.contains("--input WxH"), "{words}");
}

#[test]
fn settings_that_leave_no_graph_say_why() {
    let bench = Bench::new(4);
    for (method, settings, word) in [
        ("vae", vae(json!({"map": "kl_gradient"})), "gradients"),
        ("mnad", json!({"width": 4, "memory": 3, "steps": 2, "update": true}), "update=false"),
        ("edgrec", json!({"width": 4, "steps": 2, "batch": 2, "colours": "compat"}), "colours=clean"),
    ] {
        let words = refusal(&bench.fit(&uncalibrated(bench.config(method, settings))), &tensor());
        assert!(words.contains(word), "{words}");
    }
}

#[test]
fn halved_tables_are_measured_and_words_need_another_engine() {
    let bench = Bench::new(6);
    let detector = bench.fit(&bench.config("patchcore", json!({"coreset_ratio": 0.1})));
    let half = export(&detector, &ExportOptions { half_tables: true, ..tensor() });
    assert!(half.parity.passed && half.parity.largest_score_difference > 0.0, "{:?}", half.parity);
    assert!(half.model().constant_bytes() < export(&detector, &tensor()).model().constant_bytes());
    let words = ExportOptions { depth: Depth::Sixteen, ..pictures(GraphImages::Any) };
    let error = detector.export(&words, &rten()).err().unwrap().to_string();
    assert!(error.contains("16-bit"), "{error}");
    if WholeModel::has_ort() {
        assert!(detector.export(&words, &EngineOptions::default()).unwrap().parity.passed);
    }
}

#[test]
fn texts_say_what_the_graph_is_of() {
    let bench = Bench::new(6);
    let detector = bench.fit(&bench.config("patchcore", json!({"coreset_ratio": 0.1})));
    let exported = export(&detector, &tensor());
    let text = |name: &str| exported.model().text(name).unwrap_or_default().to_owned();
    assert_eq!(text("blemish.identity"), detector.identity());
    assert_eq!((text("blemish.method").as_str(), text("blemish.input").as_str()), ("patchcore", "tensor"));
    let known = detector.calibration().unwrap();
    assert_eq!(text("blemish.threshold").parse().ok(), known.image_threshold);
    let calibration: Value = serde_json::from_str(&text("blemish.calibration")).unwrap();
    assert_eq!(calibration["image_scores"].as_array().unwrap().len(), known.images());
    let parity: blemish::export::Parity = serde_json::from_str(&text("blemish.parity")).unwrap();
    assert!(parity.passed && parity.engine.starts_with("rten"));
    assert!(text("blemish.precision").contains("INFERENCE_PRECISION_HINT"));
}

#[test]
fn others_run_the_graphs_as_promised() {
    let Some(python) = std::env::var_os(PYTHON) else {
        println!("skipped: {PYTHON} names no Python with onnx, onnxruntime, openvino and others");
        return;
    };
    let bench = Bench::new(6);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/detector/exports.py");
    let embedded = |method: &str, settings: Value| DetectorConfig {
        backbone: BackboneSpec::default(),
        ..bench.config(method, settings)
    };
    let any = pictures(GraphImages::Any);
    let anomalib = ExportOptions { layout: Layout::Anomalib, ..any };
    let cases = [
        ("patchcore", embedded("patchcore", json!({"coreset_ratio": 0.1})), vec![tensor(), any, anomalib]),
        ("max", embedded("patchcore", json!({"coreset_ratio": 0.1, "variant": "official"})), vec![tensor()]),
        ("padim", embedded("padim", json!({"dimensions": 20})), vec![tensor(), any]),
        ("padim-official", bench.config("padim", json!({"variant": "official"})), vec![tensor()]),
        ("fapm", embedded("fapm", json!({"regions": 2})), vec![tensor()]),
        ("cfa", bench.config("cfa", json!({"epochs": 1})), vec![tensor()]),
        (
            "vae",
            bench.config("vae", vae(json!({"sspcab": true, "map": "mixed", "score": "top"}))),
            vec![tensor(), any],
        ),
        (
            "draem",
            uncalibrated(
                bench
                    .config("draem", json!({"repair_width": 4, "segment_width": 4, "steps": 30, "batch": 4})),
            ),
            vec![tensor()],
        ),
        (
            "memseg",
            uncalibrated(embedded("memseg", json!({"memory": 4, "width": 4, "steps": 2, "batch": 4}))),
            vec![tensor()],
        ),
        ("csflow", bench.config("csflow", json!({"blocks": 2, "hidden": 8, "steps": 4})), vec![tensor()]),
        ("ganomaly", bench.config("ganomaly", ganomaly(json!({}))), vec![tensor()]),
        ("mnad", bench.config("mnad", json!({"width": 4, "memory": 5, "steps": 10})), vec![tensor()]),
        (
            "edgrec",
            uncalibrated(bench.config("edgrec", json!({"width": 4, "steps": 30, "batch": 4}))),
            vec![tensor()],
        ),
        (
            "fanogan",
            uncalibrated(bench.config("fanogan", fanogan(json!({"latent": 8, "architecture": "residual"})))),
            vec![tensor()],
        ),
    ];
    for (name, config, exports) in cases {
        let detector = bench.fit(&config);
        for options in exports {
            let exported = export(&detector, &options);
            assert!(exported.parity.passed, "{name}: {:?}", exported.parity);
            let graph = bench.path("graph.onnx");
            let folder = bench.path(&format!("{name}-{}-{}", options.images, options.layout));
            exported.write(&graph).unwrap();
            detector.write_selftest(&exported, &folder).unwrap();
            let run = Command::new(&python)
                .arg(&script)
                .arg(&graph)
                .arg(&folder)
                .current_dir(bench.path("."))
                .output()
                .unwrap();
            let said =
                format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
            println!("{name} {} {}:\n{said}", options.images, options.layout);
            assert!(run.status.success(), "{name} {} {}:\n{said}", options.images, options.layout);
        }
    }
}
