//! Analytic cases of the models of normality, and what the family promises: colour counts, aligned parts may move, sizes may vary.

use super::bank::Filter;
use super::config::{Align, ClassicalConfig, Colour, ModelChoice};
use super::expert::planes_of;
use super::learn::Builder;
use super::normality::Normality;
use super::planes::planes;
use super::responses::Features;
use super::{Classical, FilterMember, StatisticalMember, StructuralMember};
use crate::contract::Small;
use crate::testing::score;
use crate::testing::{Images, image_batch};
use blemish_core::error::Error;
use blemish_core::method::{FitContext, Method};
use blemish_data::ImageBatch;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new("statistical", &[("centres", "4")]),
    Small::new("structural", &[("centres", "50")]),
    Small::new("filter", &[("scales", "2")]),
];

fn batch(size: (usize, usize), pixels: &[f32]) -> ImageBatch {
    image_batch(size, &[pixels.to_vec()])
}

fn fit<M: super::Member>(config: &ClassicalConfig, images: &Images) -> Result<Classical<M>, Error> {
    let context = FitContext::new(1, None);
    Classical::<M>::fit(config, images, &context)
}

/// A grey scene that a function of (y, x) gives, as RGB.
fn scene((height, width): (usize, usize), of: impl Fn(f64, f64) -> f64) -> Vec<f32> {
    let plane: Vec<f32> =
        (0..height * width).map(|i| of((i / width) as f64, (i % width) as f64) as f32).collect();
    plane.repeat(3)
}

/// Reproducible noise in [-0.5, 0.5].
fn noise(seed: usize, at: usize) -> f64 {
    let mixed =
        (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed >> 40) as f64 / (1u64 << 24) as f64 - 0.5
}

fn features(rows: &[f32], channels: usize, grid: (usize, usize)) -> Features {
    Features { grid, step: 1, channels, rows: rows.to_vec() }
}

fn learn(model: ModelChoice, filter: Filter, config: &ClassicalConfig, seen: Vec<Features>) -> Normality {
    let mut builder = Builder::new(model);
    let count = seen.len();
    for (index, features) in seen.into_iter().enumerate() {
        let inside = vec![true; features.grid.0 * features.grid.1];
        let mut random = ChaCha8Rng::seed_from_u64(index as u64);
        builder.add(Builder::thin(model, features, &inside, count, &mut random)).unwrap();
    }
    builder.finish(filter, model, config, 0, &|| false).unwrap()
}

#[test]
fn a_position_model_of_identical_images_measures_in_units_of_its_floor() {
    let image = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
    let same = || features(&image, 1, (2, 3));
    let model = learn(
        ModelChoice::Position,
        Filter::Pixel,
        &ClassicalConfig::default(),
        vec![same(), same(), same()],
    );
    assert_eq!(model.distances(&same(), 0).unwrap(), [0.0; 6]);
    let mut changed = image;
    changed[4] += 0.1;
    let found = model.distances(&features(&changed, 1, (2, 3)), 0).unwrap();
    assert!((found[4] - 0.1 / (2.0 / 255.0)).abs() < 1e-3, "{found:?}");
    assert!(found.iter().enumerate().all(|(at, value)| at == 4 || *value == 0.0));
    // A shift by one pixel is no defect with a tolerance of one.
    let moved = features(&[0.1, 0.1, 0.2, 0.4, 0.4, 0.5], 1, (2, 3));
    assert_eq!(model.distances(&moved, 1).unwrap()[..2], [0.0, 0.0]);
    assert!(model.distances(&features(&image, 1, (3, 2)), 0).unwrap_err().to_string().contains("3x2"));
}

#[test]
fn a_gaussian_measures_standard_deviations_and_shrinkage_forgets_correlation() {
    // Two channels of variance 1 and 4 that always go together; n - 1 = 3.
    let seen = features(&[-1.0, -2.0, 1.0, 2.0, -1.0, -2.0, 1.0, 2.0], 2, (2, 2));
    let config = ClassicalConfig { shrinkage: 1.0, ..ClassicalConfig::default() };
    let model = learn(ModelChoice::Gaussian, Filter::Gabor, &config, vec![seen]);
    let found = model.distances(&features(&[2.0, 0.0, 0.0, 4.0], 2, (1, 2)), 0).unwrap();
    // Variances are 4/3 and 16/3, and a thousandth more.
    let expected = (3.0f32 / 1.001).sqrt();
    assert!(found.iter().all(|value| (value - expected).abs() < 1e-4), "{found:?} for {expected}");
}

#[test]
fn histograms_are_compared_with_the_nearest_of_the_means() {
    let seen = features(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0], 2, (2, 2));
    let config = ClassicalConfig { centres: Some(2), ..ClassicalConfig::default() };
    let model = learn(ModelChoice::Histogram, Filter::Histogram, &config, vec![seen]);
    let found = model.distances(&features(&[1.0, 0.0, 0.5, 0.5], 2, (1, 2)), 0).unwrap();
    // 0.5 (0.5^2 / 1.5 + 0.5^2 / 0.5)
    assert!(found[0].abs() < 1e-6 && (found[1] - 1.0 / 3.0).abs() < 1e-5, "{found:?}");
}

#[test]
fn a_bank_gives_the_distance_to_the_nearest_and_looks_flat_patches_up() {
    let seen = features(&[0.0, 0.0, 0.4, 0.8, 1.0, 1.0], 2, (1, 3));
    let model = learn(ModelChoice::Bank, Filter::Patches, &ClassicalConfig::default(), vec![seen]);
    let found = model.distances(&features(&[1.0, 1.0, 0.4, 0.5, 0.6, 0.6], 2, (1, 3)), 0).unwrap();
    let root = 2.0f32.sqrt();
    // The flat patch (0.6, 0.6) is nearest to (0.4, 0.8).
    let expected = [0.0, 0.3 / root, (2.0 * 0.04f32).sqrt() / root];
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 2e-3), "{found:?}");
}

#[test]
fn the_image_itself_as_a_model_gives_deviations() {
    let found = Normality::Image.distances(&features(&[0.0, 0.0, 0.0, 4.0], 1, (2, 2)), 0).unwrap();
    assert!((found[3] - 3.0f32.sqrt()).abs() < 1e-5, "{found:?}");
}

#[test]
fn a_coloured_stain_of_the_same_brightness_is_seen() {
    let size = (64, 64);
    let good = |seed: usize| {
        let plane = |channel: usize| (0..4096).map(move |i| (0.5 + 0.05 * noise(seed + channel, i)) as f32);
        (size, (0..3).flat_map(plane).collect::<Vec<f32>>())
    };
    let images = Images::new((0..12).map(|i| good(10 * i)).collect(), None);
    let mut stained = good(1000).1;
    for i in (0..4096).filter(|i| (20..36).contains(&(i / 64)) && (30..46).contains(&(i % 64))) {
        // 0.299 x 0.1 = 0.2623 x 0.114: brightness stays.
        stained[i] += 0.1;
        stained[2 * 4096 + i] -= 0.1 * 0.299 / 0.114;
    }
    for (colour, is_seen) in [(Colour::Auto, true), (Colour::Grey, false)] {
        let config = ClassicalConfig { bank: Some("histogram".into()), colour, ..ClassicalConfig::default() };
        let model = fit::<StatisticalMember>(&config, &images).unwrap();
        let score =
            |pixels: &[f32]| score(&model, None, &batch(size, pixels)).unwrap()[0].image_score.unwrap();
        assert_eq!(score(&stained) > 2.0 * score(&good(2000).1), is_seen, "{colour:?}");
    }
}

#[test]
fn images_of_any_size_are_taken_except_where_positions_count() {
    let weave = |seed: usize, size: (usize, usize)| {
        let wave = |y: f64, x: f64| {
            0.5 + 0.2 * (y * 0.9).sin() * (x * 1.1).sin() + 0.05 * noise(seed, (y * 997.0 + x) as usize)
        };
        (size, scene(size, wave))
    };
    let images = Images::new((0..12).map(|i| weave(i, (60 + 4 * (i % 3), 70 + i))).collect(), None);
    let model = fit::<FilterMember>(&ClassicalConfig::default(), &images).unwrap();
    let (size, mut pixels) = weave(99, (50, 81));
    let good = score(&model, None, &batch(size, &pixels)).unwrap().pop().unwrap();
    assert_eq!((good.height, good.width, good.values.len()), (50, 81, 50 * 81));
    for y in 20..30 {
        pixels
            .chunks_exact_mut(81)
            .enumerate()
            .filter(|(row, _)| row % 50 == y)
            .for_each(|(_, row)| row[40..50].fill(1.0));
    }
    let bad = score(&model, None, &batch(size, &pixels)).unwrap().pop().unwrap();
    assert!(bad.image_score > good.image_score);
    let worst = (0..bad.values.len()).max_by(|&a, &b| bad.values[a].total_cmp(&bad.values[b])).unwrap();
    assert!((15..35).contains(&(worst / 81)) && (35..55).contains(&(worst % 81)), "{worst}");
    let config = ClassicalConfig { model: ModelChoice::Position, ..ClassicalConfig::default() };
    let message = fit::<FilterMember>(&config, &images).err().unwrap().to_string();
    assert!(message.contains("resize all images to one size"), "{message}");
}

#[test]
fn a_registered_part_may_lie_elsewhere_and_its_defect_is_shown_where_it_is() {
    let size = (72, 80);
    let part = |dy: f64, dx: f64, hole: bool| {
        scene(size, |y, x| {
            let (y, x) = (y - dy, x - dx);
            let bars =
                if ((x - 20.0) / 6.0).rem_euclid(3.0) < 1.0 && (15.0..55.0).contains(&y) { 0.8 } else { 0.2 };
            let disc = (y - 36.0).hypot(x - 40.0) < 9.0;
            let missing = hole && (y - 30.0).hypot(x - 22.0) < 4.0;
            (if missing {
                0.5
            } else if disc {
                1.0
            } else {
                bars
            }) + 0.01 * noise(3, (y * 97.0 + x * 13.0).abs() as usize)
        })
    };
    let images =
        Images::new((0..6).map(|i| (size, part(i as f64 - 3.0, 2.0 - i as f64, false))).collect(), None);
    // The edges are hard, as no lens makes them, so half a pixel is much.
    let config =
        ClassicalConfig { bank: Some("template".into()), tolerance: 1, ..ClassicalConfig::default() };
    let model = fit::<StructuralMember>(&config, &images).unwrap();
    assert_eq!(model.config().align, Some(Align::Affine));
    let good = score(&model, None, &batch(size, &part(3.4, -2.6, false))).unwrap().pop().unwrap();
    let bad = score(&model, None, &batch(size, &part(3.4, -2.6, true))).unwrap().pop().unwrap();
    assert!(
        bad.image_score.unwrap() > 2.0 * good.image_score.unwrap(),
        "{:?} {:?}",
        bad.image_score,
        good.image_score
    );
    let worst = (0..bad.values.len()).max_by(|&a, &b| bad.values[a].total_cmp(&bad.values[b])).unwrap();
    let (y, x) = ((worst / 80) as f64 - 33.4, (worst % 80) as f64 - 19.4);
    assert!(y.hypot(x) < 7.0, "the defect is shown {y}, {x} pixels away");
}

#[test]
fn planes_keep_brightness_first_and_opponent_colours_vanish_on_grey() {
    let found = planes(&[0.2, 0.4, 0.2, 0.4, 0.2, 0.4], (1, 2), Colour::Opponent, None);
    assert!(
        (found.planes[0][0] - 0.2).abs() < 1e-6 && found.planes[1..].iter().flatten().all(|v| v.abs() < 1e-6)
    );
    let reference = super::expert::Reference { size: (2, 2), values: vec![0.0; 4].into() };
    let config = ClassicalConfig { align: Some(Align::Shift), ..ClassicalConfig::default() };
    assert!(planes_of(&config, Some(&reference), &[0.0; 18], (2, 3)).is_err());
}

#[test]
fn every_filter_has_a_name_and_is_found_by_it() {
    for (name, filter) in Filter::ALL {
        assert_eq!(filter.name(), name);
        assert_eq!(Filter::parse(name).unwrap(), [filter]);
        assert!(filter.model(ModelChoice::Auto).is_ok());
    }
}
