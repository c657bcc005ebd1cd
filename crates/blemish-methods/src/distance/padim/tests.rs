//! Agreement with anomalib's own model code, and round trips.

use super::config::{PadimConfig, Precision, Variant};
use super::positions::{PositionModel, Positions};
use crate::contract::Small;
use crate::testing::{batch, golden, maps, relative_difference};
use blemish_core::map::{BlurBorder, Interpolation, MapStage};

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new("padim", &[("dimensions", "20")]),
    Small::new("padim", &[("dimensions", "20"), ("precision", "half")]),
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
    for (precision, tolerance) in [(Precision::Single, 1e-3), (Precision::Half, 2e-3)] {
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
    for precision in [Precision::Single, Precision::Half] {
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
