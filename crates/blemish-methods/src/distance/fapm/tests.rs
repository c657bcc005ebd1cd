//! The cases of the specification, and that fitting, storing, updating and merging keep what they promise.

use super::config::{Correspondence, FapmConfig, Sizing, Weighting};
use super::regions::Regions;
use super::{Fapm, far, image_score};
use crate::contract::Small;
use crate::shared::embedding::{neighbourhood_mean, patch_major};
use crate::shared::map_size::MapSize;
use crate::testing::{Images, backbone, image_batch, score};
use blemish_core::method::{FitContext, Method, Stored};
use blemish_features::{Backbone, Device};
use blemish_kernels::knn::MemoryBank;
use std::sync::Arc;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[Small::new("fapm", &[("regions", "3")])];

const SIDE: usize = 64;

fn context(backbone: &Arc<Backbone>) -> FitContext<'static> {
    FitContext::new(1, Some(backbone.clone()))
}

/// Vertical stripes with a little noise of its own.
fn image(number: usize) -> Vec<f32> {
    let plane: Vec<f32> = (0..SIDE * SIDE)
        .map(|at| {
            let noise = ((at * 7919 + number * 104_729) % 997) as f32 / 997.0 * 0.1;
            0.4 + 0.2 * ((at % SIDE) as f32 * 0.5).sin() + noise
        })
        .collect();
    plane.repeat(3)
}

fn images(numbers: std::ops::Range<usize>) -> Images<'static> {
    images_seen_by(&backbone(&[8, 16]), numbers)
}

fn images_seen_by(backbone: &Arc<Backbone>, numbers: std::ops::Range<usize>) -> Images<'static> {
    Images::new(numbers.map(|number| ((SIDE, SIDE), image(number))).collect(), Some(backbone.clone()))
}

fn sizes(fine: usize, coarse: usize) -> [MapSize; 2] {
    [fine, coarse].map(|side| MapSize { channels: 8, height: side, width: side })
}

#[test]
fn cells_lie_in_the_regions_of_the_specification() {
    let regions = Regions::new(&sizes(28, 14), 7, 0, Correspondence::Position).unwrap();
    let region = 7 + 2;
    let fine = regions.cells[0][region].iter().position(|&cell| cell == 5 * 28 + 9).unwrap();
    let coarse = regions.cells[1][region].iter().position(|&cell| cell == 2 * 14 + 4).unwrap();
    // In-block (1, 1) of 4 x 4 and (0, 0) of 2 x 2.
    assert_eq!((fine, coarse), (4 + 1, 0));
    assert_eq!(regions.partners[1][region][fine], coarse);
    assert!(regions.cells.iter().zip([16, 4]).all(|(layer, size)| layer.iter().all(|own| own.len() == size)));
    assert_eq!(regions.partners[0][region], (0..16).collect::<Vec<_>>());
    // The released code goes with the rows: fine row r with coarse cell r.
    let released = Regions::new(&sizes(28, 14), 7, 0, Correspondence::Released).unwrap();
    assert_eq!(released.partners[1][region], [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
    assert_eq!(regions.partners[1][region], [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]);
}

/// Every cell lies in just one region, also where the sides do not divide.
#[test]
fn regions_cover_every_cell_once_and_margins_reach_out() {
    for (fine, coarse, count) in [(28, 14, 7), (32, 16, 7), (16, 16, 3)] {
        let regions = Regions::new(&sizes(fine, coarse), count, 0, Correspondence::Position).unwrap();
        for (layer, side) in [fine, coarse].into_iter().enumerate() {
            let mut cells: Vec<usize> = regions.cells[layer].concat();
            cells.sort_unstable();
            assert_eq!(cells, (0..side * side).collect::<Vec<_>>());
        }
    }
    let wide = Regions::new(&sizes(28, 14), 7, 1, Correspondence::Position).unwrap();
    let pool = &wide.pools[0];
    // 6 x 6 fine cells in a corner, 8 x 8 in the middle; the cells that are scored stay.
    assert_eq!((pool[0].len(), pool[24].len(), wide.cells[0][24].len()), (36, 64, 16));
    assert!(Regions::new(&sizes(28, 14), 15, 0, Correspondence::Position).unwrap_err().contains("too few"));
    assert!(Regions::new(&sizes(27, 14), 7, 0, Correspondence::Position).unwrap_err().contains("multiple"));
}

#[test]
fn regions_above_the_mean_radius_are_far() {
    assert_eq!(far(&[1.0, 1.0, 1.0, 5.0], 1.0), [false, false, false, true]);
    assert_eq!(far(&[2.0, 2.0], 1.0), [false, false]);
}

#[test]
fn image_scores_follow_the_two_weightings() {
    let near = [1.0, 2.0, 3.0, 4.0];
    assert!((image_score(1.0, &near, Weighting::Official) - 0.356_086).abs() < 1e-6);
    assert!((image_score(1.0, &near, Weighting::Nearest) - 0.967_941).abs() < 1e-6);
    for weighting in [Weighting::Official, Weighting::Nearest] {
        assert_eq!(image_score(2.0, &[200.0; 4], weighting), 1.5);
    }
}

/// One region of one layer with all features is PatchCore's nearest neighbour on that layer.
#[test]
fn one_region_is_a_nearest_neighbour_search_in_one_bank() {
    let backbone = backbone(&[8]);
    let config =
        FapmConfig { regions: 1, sizing: Sizing::Uniform, coreset_ratio: 1.0, ..FapmConfig::default() };
    let model = Fapm::fit(&config, &images_seen_by(&backbone, 0..3), &context(&backbone)).unwrap();
    let probe = image_batch((SIDE, SIDE), &[image(7)]);
    let rows = |number: usize| {
        let maps = backbone.extract(&image(number), [1, SIDE, SIDE]).unwrap();
        neighbourhood_mean(&patch_major(&maps[0], 0), 3)
    };
    let bank: Vec<f32> = (0..3).flat_map(|number| rows(number).rows).collect();
    let query = rows(7);
    let expected = MemoryBank::new(bank, query.dimensions).unwrap().search(&query.rows, 1).unwrap();
    assert_eq!(score(&model, Some(&backbone), &probe).unwrap()[0].values, expected.distances());
}

#[test]
fn training_images_score_zero_when_every_feature_is_kept() {
    let backbone = backbone(&[8, 16]);
    let config = FapmConfig { regions: 2, coreset_ratio: 1.0, ..FapmConfig::default() };
    let model = Fapm::fit(&config, &images(0..3), &context(&backbone)).unwrap();
    for scored in score(&model, Some(&backbone), &image_batch((SIDE, SIDE), &[image(0), image(2)])).unwrap() {
        assert!(scored.values.iter().all(|&value| value == 0.0));
    }
}

/// Of four regions one is noisy: it alone keeps twice the share.
#[test]
fn spread_out_regions_keep_more() {
    let backbone = backbone(&[8]);
    let uneven = |number: usize| {
        let plane: Vec<f32> = (0..SIDE * SIDE)
            .map(|at| {
                let (y, x) = (at / SIDE, at % SIDE);
                let is_noisy = y >= SIDE / 2 && x >= SIDE / 2;
                let noise = ((at * 7919 + number * 104_729) % 997) as f32 / 997.0;
                if is_noisy { noise } else { 0.5 + 0.01 * noise }
            })
            .collect();
        ((SIDE, SIDE), plane.repeat(3))
    };
    let train = Images::new((0..8).map(uneven).collect(), Some(backbone.clone()));
    let config = FapmConfig { regions: 2, margin: 0, coreset_ratio: 0.125, ..FapmConfig::default() };
    let model = Fapm::fit(&config, &train, &context(&backbone)).unwrap();
    let lengths: Vec<usize> = model.memory.banks[0].iter().map(|bank| bank.len()).collect();
    // 8 images x 16 cells: an eighth is 16. The regions between see something of the noise, the opposite one nothing.
    assert_eq!((lengths[0], lengths[3]), (16, 32));
    let radius = |at: usize| model.memory.banks[0][at].covering_radius().unwrap();
    assert!(radius(3) > radius(0));
    let uniform = FapmConfig { sizing: Sizing::Uniform, ..config };
    let model = Fapm::fit(&uniform, &train, &context(&backbone)).unwrap();
    assert!(model.memory.banks[0].iter().all(|bank| bank.len() == 16));
}

#[test]
fn few_images_still_give_the_neighbours_asked_for() {
    let backbone = backbone(&[8, 16]);
    let model =
        Fapm::fit(&FapmConfig { regions: 2, ..FapmConfig::default() }, &images(0..2), &context(&backbone));
    // 2 images x 4 cells of the deep layer: int(0.8) = 0 without the floor of k = 4.
    assert!(model.unwrap().memory.banks[1].iter().all(|bank| bank.len() >= 4));
}

#[test]
fn a_restored_model_scores_alike_alone_and_in_a_batch() {
    let backbone = backbone(&[8, 16]);
    let config = FapmConfig { regions: 2, ..FapmConfig::default() };
    let model = Fapm::fit(&config, &images(0..4), &context(&backbone)).unwrap();
    let again = Fapm::restore(Stored {
        config: config.clone(),
        state: model.state(),
        backbone: Some(backbone.clone()),
        device: Device::Cpu,
    })
    .unwrap();
    let both = score(&model, Some(&backbone), &image_batch((SIDE, SIDE), &[image(8), image(9)])).unwrap();
    assert_eq!(score(&again, Some(&backbone), &image_batch((SIDE, SIDE), &[image(8)])).unwrap()[0], both[0]);
    assert_eq!(score(&again, Some(&backbone), &image_batch((SIDE, SIDE), &[image(9)])).unwrap()[0], both[1]);
    let mut state = model.state();
    state.set_f32("layer.1.region.3.bank", &[1, 2], vec![0.0, 1.0]);
    state.set_f32("layer.1.region.3.coverage.reserve", &[0, 2], Vec::new());
    let error = Fapm::restore(Stored { config, state, backbone: Some(backbone), device: Device::Cpu })
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("layer.1.region.3.bank"), "{error}");
}

#[test]
fn other_sizes_are_refused_with_words() {
    let backbone = backbone(&[8, 16]);
    let config = FapmConfig { regions: 2, ..FapmConfig::default() };
    let model = Fapm::fit(&config, &images(0..2), &context(&backbone)).unwrap();
    let other = image_batch((96, 96), &[vec![0.5; 3 * 96 * 96]]);
    assert!(score(&model, Some(&backbone), &other).unwrap_err().to_string().contains("12x12"));
    let many = FapmConfig { regions: 7, ..FapmConfig::default() };
    let error = Fapm::fit(&many, &images(0..2), &context(&backbone)).err().unwrap().to_string();
    assert!(error.contains("set fewer regions"), "{error}");
}

/// With every feature kept, updating and merging give the bank of all images.
#[test]
fn updates_and_merges_know_all_images() {
    let backbone = backbone(&[8, 16]);
    let config = FapmConfig { regions: 2, coreset_ratio: 1.0, ..FapmConfig::default() };
    let fit = |numbers| Fapm::fit(&config, &images(numbers), &context(&backbone)).unwrap();
    let probe = image_batch((SIDE, SIDE), &[image(20)]);
    let probed = |model: &Fapm| score(model, Some(&backbone), &probe).unwrap();
    let whole = probed(&fit(0..6));
    let updated = fit(0..3).update(&images(3..6), &context(&backbone)).unwrap();
    let merged = Fapm::merge(&[&fit(0..3), &fit(3..6)], &context(&backbone)).unwrap();
    assert_eq!(probed(&updated), whole);
    assert_eq!(probed(&merged), whole);
    assert!(updated.coverage().contains("8 banks"));
}

#[test]
fn a_part_in_the_wrong_region_is_found() {
    let backbone = backbone(&[8, 16]);
    let spotted = |number: usize, (row, column): (usize, usize)| {
        let mut pixels = image(number);
        for channel in 0..3 {
            for y in row..row + 12 {
                for x in column..column + 12 {
                    pixels[(channel * SIDE + y) * SIDE + x] = 0.9;
                }
            }
        }
        pixels
    };
    // Every good image has a spot at the top left; the bad one has it at the bottom right.
    let train = Images::new(
        (0..6).map(|number| ((SIDE, SIDE), spotted(number, (8, 8)))).collect(),
        Some(backbone.clone()),
    );
    let config = FapmConfig { regions: 2, ..FapmConfig::default() };
    let model = Fapm::fit(&config, &train, &context(&backbone)).unwrap();
    let score = |pixels: Vec<f32>| {
        score(&model, Some(&backbone), &image_batch((SIDE, SIDE), &[pixels])).unwrap().remove(0)
    };
    let (good, bad) = (score(spotted(30, (8, 8))), score(spotted(31, (44, 44))));
    assert!(bad.image_score > good.image_score.map(|score| 2.0 * score));
    let worst = (0..64).max_by(|&a, &b| bad.values[a].total_cmp(&bad.values[b])).unwrap();
    assert!(worst / 8 >= 4 && worst % 8 >= 4, "{worst}");
}
