//! The analytic cases of the specification and agreement with anomalib's own model code.

use super::config::{ImageScore, Variant};
use super::{NAME, PatchCoreConfig, Scorer};
use crate::contract::Small;
use crate::shared::bank::Bank;
use crate::shared::embedding::embed;
use crate::testing::{batch, golden, relative_difference};
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::map::BlurBorder;
use blemish_core::state::Shared;
use std::sync::Arc;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(NAME, &[("coreset_ratio", "0.1")]),
    Small::new(NAME, &[("variant", "official"), ("coreset_ratio", "0.1"), ("target_dimension", "64")]),
];

fn scorer(config: PatchCoreConfig, entries: Shared<f32>, dimensions: usize) -> Scorer {
    Scorer { config, bank: Bank::new(NAME, entries, dimensions, None).unwrap() }
}

#[test]
fn maps_and_scores_agree_with_anomalib_given_its_bank() {
    let golden = golden();
    let (shape, entries) = golden.f32("patchcore.bank", 2).unwrap();
    let scorer = scorer(PatchCoreConfig::default(), entries, shape[1]);
    let test = batch(&golden, "patchcore.test", &["layer2", "layer3"], 3);
    let scored = scorer.score(&test).unwrap();
    let stage = blemish_core::map::MapStage {
        interpolation: scorer.config.interpolation(),
        sigma: 4.0,
        border: BlurBorder::Mirror,
    };
    let finished: Vec<_> = scored.into_iter().map(|patches| stage.finish(patches, 64, 64, None)).collect();
    let map: Vec<f32> = finished.iter().flat_map(|scored| scored.map.values.clone()).collect();
    let scores: Vec<f32> = finished.iter().map(|scored| scored.score).collect();
    assert!(relative_difference(&map, &golden.f32("patchcore.map", 3).unwrap().1) < 1e-3);
    assert!(relative_difference(&scores, &golden.f32("patchcore.score", 1).unwrap().1) < 1e-3);
}

#[test]
fn a_bank_of_all_patches_scores_its_own_images_zero() {
    let golden = golden();
    let test = batch(&golden, "patchcore.test", &["layer2", "layer3"], 3);
    for variant in [Variant::Anomalib, Variant::Official] {
        let config = PatchCoreConfig { variant, target_dimension: 40, ..PatchCoreConfig::default() };
        let embedding = embed(config.aggregation(), &test.maps, 3);
        let scorer = scorer(config, embedding.rows.into(), embedding.dimensions);
        for scored in scorer.score(&test).unwrap() {
            assert!(scored.values.iter().all(|&value| value == 0.0));
            assert_eq!(scored.image_score, Some(0.0));
        }
    }
}

#[test]
fn official_scores_are_squared_distances_and_their_maximum() {
    let golden = golden();
    let (shape, entries) = golden.f32("patchcore.bank", 2).unwrap();
    let test = batch(&golden, "patchcore.test", &["layer2", "layer3"], 3);
    let score = |config: PatchCoreConfig| scorer(config, entries.clone(), shape[1]).score(&test).unwrap();
    // patch_size 1 and target lengths equal to the channels make both variants embed alike.
    let root =
        PatchCoreConfig { image_score: Some(ImageScore::Max), patch_size: 1, ..PatchCoreConfig::default() };
    let plain = score(root);
    for patches in &plain {
        let worst = patches.values.iter().copied().fold(0.0, f32::max);
        assert_eq!(patches.image_score, Some(worst));
    }
    let weighted = score(PatchCoreConfig { patch_size: 1, ..PatchCoreConfig::default() });
    assert_eq!(plain[0].values, weighted[0].values);
    assert!(weighted[0].image_score < plain[0].image_score);
}

#[test]
fn what_lies_outside_the_region_neither_scores_nor_counts() {
    let golden = golden();
    let (shape, entries) = golden.f32("patchcore.bank", 2).unwrap();
    let scorer = scorer(PatchCoreConfig::default(), entries, shape[1]);
    let test = batch(&golden, "patchcore.test", &["layer2", "layer3"], 3);
    // The planted defect of image 1 lies in rows 3..6 of 16: the lower half does not see it.
    let marked = (0..64 * 64).map(|pixel| pixel / 64 >= 32).collect();
    let region = blemish_data::Mask { height: 64, width: 64, marked };
    let lower = FeatureBatch { region_of_interest: Some(Arc::new(region)), ..test.clone() };
    let (all, lower) = (scorer.score(&test).unwrap(), scorer.score(&lower).unwrap());
    assert!(lower[1].values[..8 * 16].iter().all(|&value| value == 0.0));
    assert_eq!(lower[1].values[8 * 16..], all[1].values[8 * 16..]);
    assert!(lower[1].image_score < all[1].image_score);
}
