//! WinCLIP through the detector, on a tiny network with random weights.

use blemish::data::{Memory, MemoryImage, Pixels, RgbImage};
use blemish::features::EngineOptions;
use blemish::{CalibrationConfig, Detector, DetectorConfig, FitOptions};
use blemish_foundation::clip::Clip;
use std::sync::Arc;

fn image(seed: u32) -> RgbImage {
    let value = |at: u32| ((at / 7 * 31 + seed * 97 + at * at % 251) % 256) as u8;
    RgbImage { height: 120, width: 100, pixels: Pixels::U8((0..120 * 100 * 3).map(value).collect()) }
}

fn config(settings: serde_json::Value) -> DetectorConfig {
    DetectorConfig {
        method: "winclip".into(),
        settings: settings.as_object().unwrap().clone(),
        image_text: Some(Arc::new(Clip::tiny())),
        ..DetectorConfig::default()
    }
}

#[test]
fn words_alone_make_a_model_file_that_scores_without_a_text_tower_and_takes_a_calibration() {
    let none = Memory::new([]).unwrap();
    let config = config(serde_json::json!({ "object": "metal_nut" }));
    let detector = Detector::fit(&config, &none, &FitOptions::default()).unwrap();
    assert!(detector.calibration().is_none() && detector.header().data.images == 0);
    assert_eq!(detector.header().settings["object"], "metal_nut");
    let bytes = Arc::new(detector.to_bytes().unwrap());
    let loaded = Detector::from_bytes(bytes, &EngineOptions::default()).unwrap();
    let verdict = loaded.judge("a", &image(1)).unwrap();
    assert!(verdict.decision.is_none() && (0.0..=1.0).contains(&verdict.score));
    assert_eq!(detector.judge("a", &image(1)).unwrap().score, verdict.score);
    assert!(loaded.verify(&EngineOptions::default()).unwrap().passed);
}

#[test]
fn good_images_are_left_out_one_by_one_to_calibrate_and_count_in_scores() {
    let good = Memory::new((0..6).map(|seed| MemoryImage::new(image(seed)))).unwrap();
    let config = config(serde_json::json!({ "shots": 4 }));
    let detector = Detector::fit(&config, &good, &FitOptions::default()).unwrap();
    let calibration = detector.calibration().unwrap();
    assert_eq!(calibration.images(), 6);
    // A copy of a good image that is kept is at no distance, so it scores below all that calibrated.
    let own = detector.judge("own", &image(0)).unwrap();
    assert_eq!(calibration.p_value(own.score), 1.0, "{own:?}");
    assert!(own.decision.is_some());
    let uncalibrated =
        DetectorConfig { calibration: CalibrationConfig { folds: 0, ..Default::default() }, ..config };
    let same = Detector::fit(&uncalibrated, &good, &FitOptions::default()).unwrap();
    assert_eq!(same.judge("own", &image(0)).unwrap().score, own.score);
}
