//! Images and detectors that the examples share.

use blemish::data::{MemoryImage, Pixels, RgbImage, Source, Transform};
use blemish::entry::MethodEntry;
use blemish::features::EngineOptions;
use blemish::method::{Family, MethodInfo};
use blemish::{CalibrationConfig, Detector, DetectorConfig, Error, FitOptions, ScoreOptions, Scored};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Side of the images, in pixels.
pub const SIDE: usize = 32;

/// Settings of a method without any.
#[derive(Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NoSettings {}

/// What a method is, when only its name matters.
pub const fn info(name: &'static str, family: Family) -> MethodInfo {
    MethodInfo { name, summary: "", advice: "", citation: "", family }
}

/// An image of one colour.
pub fn plain(colour: [u8; 3]) -> MemoryImage {
    let pixels = Pixels::U8(colour.repeat(SIDE * SIDE));
    MemoryImage::new(RgbImage { height: SIDE, width: SIDE, pixels })
}

/// Grey stripes with some noise; a spot is a chequered square in rows 8 to 15, columns 16 to 23.
pub fn stripes(number: usize, has_spot: bool) -> MemoryImage {
    let grey = |at: usize| {
        let (y, x) = (at / SIDE, at % SIDE);
        let noise = ((at * 7919 + number * 104_729) % 997) % 12;
        let is_spot = has_spot && (8..16).contains(&y) && (16..24).contains(&x);
        let chequer = if (x + y) % 2 == 0 { 240 } else { 10 };
        if is_spot { chequer } else { (100 + 40 * ((x / 4) % 2) + noise) as u8 }
    };
    let pixels = Pixels::U8((0..SIDE * SIDE).flat_map(|at| [grey(at); 3]).collect());
    MemoryImage::new(RgbImage { height: SIDE, width: SIDE, pixels })
}

/// A fit at the images' own size.
pub fn fit(entry: &'static dyn MethodEntry, good: &dyn Source, folds: usize) -> Result<Detector, Error> {
    let calibration = CalibrationConfig { folds, false_alarm: 0.2, ..Default::default() };
    let transform = Some(Transform::resize_to(SIDE, SIDE));
    let config = DetectorConfig { transform, calibration, seed: 5, ..DetectorConfig::default() };
    Detector::fit_with(entry, &config, good, &FitOptions::default())
}

/// Scores of all images of a source, in batches of so many.
pub fn scores_in(detector: &Detector, images: &dyn Source, batch_size: usize) -> Result<Vec<Scored>, Error> {
    let mut all = Vec::new();
    let options = ScoreOptions { batch_size, ..ScoreOptions::default() };
    detector.score_source(images, &options, |one| {
        all.push(one.scored);
        Ok::<(), Error>(())
    })?;
    Ok(all)
}

/// Scores of all images of a source.
pub fn scores(detector: &Detector, images: &dyn Source) -> Vec<Scored> {
    scores_in(detector, images, 8).unwrap()
}

/// The detector after its way through the bytes of a model file; it verifies and scores the same.
pub fn stored(entry: &'static dyn MethodEntry, detector: &Detector, images: &dyn Source) -> Detector {
    let bytes = Arc::new(detector.to_bytes().unwrap());
    let loaded = Detector::from_bytes_with(entry, bytes, &EngineOptions::default()).unwrap();
    assert_eq!(scores(&loaded, images), scores(detector, images));
    let verified = loaded.verify(&EngineOptions::default()).unwrap();
    assert!(verified.passed && !verified.images.is_empty(), "{verified:?}");
    loaded
}

/// Row and column of the hottest pixel.
pub fn hottest(scored: &Scored) -> (usize, usize) {
    let values = &scored.map.values;
    let at = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
    (at / scored.map.width, at % scored.map.width)
}

/// That the spot of stripes is seen where it is.
pub fn finds_the_spot(detector: &Detector) {
    let probes =
        blemish::data::Memory::new([stripes(40, false), stripes(41, true), stripes(42, false)]).unwrap();
    let found = scores(detector, &probes);
    let (y, x) = hottest(&found[1]);
    assert!(
        found[1].score > found[0].score.max(found[2].score),
        "{:?}",
        found.iter().map(|one| one.score).collect::<Vec<_>>()
    );
    assert!((8..16).contains(&y) && (16..24).contains(&x), "{y}, {x}");
}
