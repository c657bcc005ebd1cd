//! Agreement with anomalib's own model code, and round trips.

use super::config::{PadimConfig, Precision, Variant};
use super::positions::{PositionModel, Positions};
use crate::contract::Small;
use crate::testing::{batch, golden, maps, relative_difference};
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::map::{BlurBorder, Interpolation, MapStage};
use blemish_features::FeatureMap;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new("padim", &[("dimensions", "20")]),
    Small::new("padim", &[("dimensions", "20"), ("precision", "half")]),
    Small::new("padim", &[("dimensions", "20"), ("precision", "single")]),
];

const LAYERS: [&str; 3] = ["layer1", "layer2", "layer3"];

fn fitted(config: PadimConfig) -> PositionModel {
    let golden = golden();
    let channels = golden.u32("padim.channels", 1).unwrap().1.to_vec();
    let mut positions = Positions::new(channels, 16, 16).unwrap();
    positions.add(&maps(&golden, "padim.train", &LAYERS), 8).unwrap();
    positions.finish(config).unwrap()
}

#[test]
fn maps_and_scores_agree_with_anomalib_given_its_channels() {
    let golden = golden();
    let test = batch(&golden, "padim.test", &LAYERS, 3);
    for (precision, tolerance) in
        [(Precision::Single, 1e-3), (Precision::Half, 2e-3), (Precision::Byte, 1e-2)]
    {
        let model = fitted(PadimConfig { precision, ..PadimConfig::default() });
        let stage =
            MapStage { interpolation: Interpolation::Bilinear, sigma: 4.0, border: BlurBorder::Mirror };
        let scored = model.score(&test).unwrap();
        let finished: Vec<_> =
            scored.into_iter().map(|patches| stage.finish(patches, 64, 64, None)).collect();
        let map: Vec<f32> = finished.iter().flat_map(|scored| scored.map.values.clone()).collect();
        let scores: Vec<f32> = finished.iter().map(|scored| scored.score).collect();
        assert!(relative_difference(&map, &golden.f32("padim.map", 3).unwrap().1) < tolerance);
        assert!(relative_difference(&scores, &golden.f32("padim.score", 1).unwrap().1) < tolerance);
    }
}

#[test]
fn a_restored_model_scores_the_same() {
    let test = batch(&golden(), "padim.test", &LAYERS, 3);
    for precision in [Precision::Single, Precision::Half, Precision::Byte] {
        let config = PadimConfig { precision, variant: Variant::Official, ..PadimConfig::default() };
        let model = fitted(config.clone());
        let restored = PositionModel::restore(config, &model.state()).unwrap();
        assert_eq!(model.score(&test).unwrap(), restored.score(&test).unwrap());
    }
}

#[test]
fn another_grid_is_refused_with_the_sizes() {
    let mut test = batch(&golden(), "padim.test", &LAYERS, 3);
    test.maps.rotate_left(1);
    let message = fitted(PadimConfig::default()).score(&test).unwrap_err().to_string();
    assert!(message.contains("8x8") && message.contains("16x16"), "{message}");
}

/// Fewer images than would be needed to see all dimensions, so that what a rounded factor says of an image of the fit is magnified a hundredfold.
#[test]
fn what_is_stored_in_bytes_leaves_out_as_a_fit_in_single_precision_would() {
    let (images, dimensions, size) = (60, 48, 2);
    let mut state = 9u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let all: Vec<Vec<f32>> =
        (0..images).map(|_| (0..dimensions * size * size).map(|_| noise()).collect()).collect();
    let maps = |of: &[Vec<f32>]| {
        vec![FeatureMap { channels: dimensions, height: size, width: size, data: of.concat() }]
    };
    let batch = |of: &[Vec<f32>]| FeatureBatch {
        count: of.len(),
        height: 8,
        width: 8,
        maps: maps(of),
        region_of_interest: None,
    };
    let fit = |of: &[Vec<f32>], precision| {
        let mut positions = Positions::new((0..dimensions as u32).collect(), size, size).unwrap();
        positions.add(&maps(of), of.len()).unwrap();
        positions.finish(PadimConfig { precision, ..PadimConfig::default() }).unwrap()
    };
    let model = fit(&all, Precision::Byte);
    let most = ((images - 1) as f32 / (images - 2) as f32).sqrt();
    let alone = model.score_left_out(&batch(&all[..1])).unwrap();
    let without = fit(&all[1..], Precision::Single).score(&batch(&all[..1])).unwrap();
    for (found, expected) in alone[0].values.iter().zip(&without[0].values) {
        let ratio = found / expected;
        assert!(ratio > 0.98 && ratio < 1.02 * most, "{ratio}");
    }
    let together = model.score_left_out_together(&batch(&all[..3])).unwrap();
    let without = fit(&all[3..], Precision::Single).score(&batch(&all[..3])).unwrap();
    let most = ((images - 1) as f32 / (images - 4) as f32).sqrt();
    for (found, expected) in together.iter().zip(&without) {
        for (found, expected) in found.values.iter().zip(&expected.values) {
            let ratio = found / expected;
            assert!(ratio > 0.98 && ratio < 1.02 * most, "{ratio}");
        }
    }
}
