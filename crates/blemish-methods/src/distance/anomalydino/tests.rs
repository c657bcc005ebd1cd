//! The cases of the specification, and each mode against the plainest way of computing it.

use super::config::{AnomalyDinoConfig, Mode, NAME, Thinning};
use super::gather::Gathering;
use super::memory::Memory;
use super::patches::Patches;
use super::thin::thinned;
use super::tiles::{Span, spans, tiled_maps};
use super::turn::turned;
use super::{AnomalyDino, brightness, mean_of_highest};
use crate::contract::Small;
use crate::testing::{Images, backbone};
use blemish_core::check::Scene;
use blemish_core::error::Error;
use blemish_core::input::Input;
use blemish_core::method::{FitContext, LeaveOneOut, Method, Pass, Stored, TrainingSet};
use blemish_core::needs::Reads;
use blemish_core::state::{State, StateTensor};
use blemish_features::{Device, FeatureMap};
use std::ops::Range;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(NAME, &[("rotations", "2"), ("bank_max", "150")]),
    Small::new(NAME, &[("mode", "multilayer"), ("images", "6")]),
    Small::new(NAME, &[("mode", "tiled"), ("tile", "64"), ("tile_overlap", "0"), ("bank_max", "120")]),
    Small::new(NAME, &[("mode", "retrieval"), ("similar_images", "6"), ("radius", "2")]),
    Small::new(NAME, &[("mode", "batch")]),
];

/// Maps of 4 channels on a grid of 5 x 6, different for each seed.
fn map(seed: usize) -> FeatureMap {
    let value = |i: usize| (((i + 1) * (seed * 37 + 11) * 7919) % 1013) as f32 / 1013.0 - 0.4;
    FeatureMap { channels: 4, height: 5, width: 6, data: (0..120).map(value).collect() }
}

fn patches(seed: usize, is_unit: bool) -> Patches {
    Patches::of(&[map(seed)], 0, is_unit)
}

fn memory(config: &AnomalyDinoConfig, images: &[Patches]) -> Memory {
    let context = FitContext::new(3, None);
    let mut gathering = Gathering::new(config, &context);
    for (image, patches) in images.iter().enumerate() {
        gathering.push(image, patches, &|size| vec![true; size[0] * size[1]]).unwrap();
    }
    gathering.finish(images.len()).unwrap()
}

fn of_mode(mode: Mode) -> AnomalyDinoConfig {
    AnomalyDinoConfig { mode, ..AnomalyDinoConfig::default() }
}

#[test]
fn the_score_is_one_minus_the_cosine_whatever_the_length() {
    let row = |values: [f32; 2]| {
        // Two cells, since one alone would stand for the whole image.
        let data = vec![values[0], values[0], values[1], values[1]];
        Patches::of(&[FeatureMap { channels: 2, height: 1, width: 2, data }], 0, true)
    };
    let config = of_mode(Mode::Dino);
    let memory = memory(&config, &[row([1.0, 0.0])]);
    for factor in [1.0, 3.0] {
        let scores = memory.scores(&config, &row([0.8 * factor, 0.6 * factor]), None).unwrap();
        assert!(scores.iter().all(|score| (score - 0.2).abs() < 1e-6), "{scores:?}");
    }
}

#[test]
fn the_image_score_is_the_mean_of_the_highest_hundredth() {
    for (count, highest) in [(1024, 10), (784, 7), (256, 2), (30, 1)] {
        let scores: Vec<f32> = (0..count).map(|i| ((i * 577) % count) as f32).collect();
        let mean = (0..highest).map(|i| (count - 1 - i) as f32).sum::<f32>() / highest as f32;
        assert_eq!(mean_of_highest(&scores, 0.01), mean);
    }
}

#[test]
fn images_of_the_bank_score_zero_in_every_mode() {
    for mode in [Mode::Dino, Mode::Multilayer, Mode::Tiled, Mode::Retrieval] {
        let config = of_mode(mode);
        let images = [0, 1, 2].map(|seed| patches(seed, config.has_unit_rows()));
        let memory = memory(&config, &images);
        for image in &images {
            assert!(memory.scores(&config, image, None).unwrap().iter().all(|&score| score <= 1e-6));
        }
    }
}

#[test]
fn unscaled_distances_are_divided_by_the_length() {
    let config = of_mode(Mode::Tiled);
    let memory = memory(&config, &[patches(0, false)]);
    let mut moved = map(0);
    moved.data[..30].iter_mut().for_each(|value| *value += 1000.0);
    let scores = memory.scores(&config, &Patches::of(&[moved], 0, false), None).unwrap();
    // 1000 away in one of 4 values, but for what patches differ among themselves.
    assert!(scores.iter().all(|score| (score - 250.0).abs() < 1.0), "{scores:?}");
}

#[test]
fn layers_are_averaged_and_brought_to_the_finest_grid() {
    let config = of_mode(Mode::Multilayer);
    let coarse =
        |factor: f32| FeatureMap { channels: 2, height: 1, width: 2, data: vec![1.0, 1.0, factor, factor] };
    let of = |seed, factor| Patches::of(&[map(seed), coarse(factor)], 0, true);
    let memory = memory(&config, &[of(0, 0.0)]);
    let both = memory.scores(&config, &of(1, 1.0), None).unwrap();
    let fine = memory.scores(&config, &of(1, 0.0), None).unwrap();
    // The coarse layer alone gives 1 - cos 45 degrees everywhere.
    let deep = 1.0 - 0.5f32.sqrt();
    for (both, fine) in both.iter().zip(fine) {
        assert!((both - (fine + 0.5 * deep)).abs() < 1e-6);
    }
}

#[test]
fn retrieval_at_one_place_of_one_image_compares_places() {
    let config = AnomalyDinoConfig { radius: Some(0), similar_images: 1, ..of_mode(Mode::Retrieval) };
    let images = [patches(0, true), patches(1, true)];
    let memory = memory(&config, &images);
    let test = patches(2, true);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let similar = usize::from(dot(&images[1].whole, &test.whole) > dot(&images[0].whole, &test.whole));
    let scores = memory.scores(&config, &test, None).unwrap();
    let rows = test.layers[0].rows.chunks(4).zip(images[similar].layers[0].rows.chunks(4));
    for (score, (a, b)) in scores.iter().zip(rows) {
        assert!((score - (1.0 - dot(a, b))).abs() < 1e-6);
    }
}

#[test]
fn retrieval_without_limits_is_the_plain_bank() {
    let retrieval = AnomalyDinoConfig { radius: None, ..of_mode(Mode::Retrieval) };
    let images = [0, 1, 2].map(|seed| patches(seed, true));
    let test = patches(7, true);
    let dino = of_mode(Mode::Dino);
    let found = memory(&retrieval, &images).scores(&retrieval, &test, None).unwrap();
    assert_eq!(found, memory(&dino, &images).scores(&dino, &test, None).unwrap());
    // A radius takes neighbours away, and so cannot bring patches nearer.
    let near = AnomalyDinoConfig { radius: Some(1), ..retrieval };
    let limited = memory(&near, &images).scores(&near, &test, None).unwrap();
    assert!(limited.iter().zip(&found).all(|(limited, found)| limited >= found) && limited != found);
}

#[test]
fn leaving_an_image_out_is_a_fit_without_it() {
    let images = [0, 1, 2, 3].map(|seed| patches(seed, true));
    for mode in [Mode::Dino, Mode::Multilayer, Mode::Retrieval, Mode::Batch] {
        let config = AnomalyDinoConfig { similar_images: 2, ..of_mode(mode) };
        let all = memory(&config, &images);
        assert!(all.knows_owners());
        for left in 0..images.len() {
            let others: Vec<Patches> =
                (0..4).filter(|&i| i != left).map(|seed| patches(seed, true)).collect();
            let expected = memory(&config, &others).scores(&config, &images[left], None).unwrap();
            assert_eq!(all.scores(&config, &images[left], Some(left)).unwrap(), expected, "{mode:?}");
        }
    }
    assert!(!memory(&of_mode(Mode::Dino), &images[..1]).knows_owners());
}

/// Two cells of one direction, so many degrees from the first axis.
fn direction(degrees: f32) -> Patches {
    let (y, x) = degrees.to_radians().sin_cos();
    Patches::of(&[FeatureMap { channels: 2, height: 1, width: 2, data: vec![x, x, y, y] }], 0, true)
}

#[test]
fn a_batch_scores_by_the_nearest_third_of_the_other_images() {
    let config = of_mode(Mode::Batch);
    let score = |images: &[Patches], image: &Patches, left_out| -> f32 {
        let scores = memory(&config, images).scores(&config, image, left_out).unwrap();
        assert!(scores.iter().all(|score| *score == scores[0]), "{scores:?}");
        scores[0]
    };
    let mean = |degrees: &[f32]| {
        degrees.iter().map(|angle| 1.0 - angle.to_radians().cos()).sum::<f32>() / degrees.len() as f32
    };
    // Of 11 images an image has 10 others: the mean of floor(0.3 x 10) = 3.
    let images: Vec<Patches> = (0..11).map(|i| direction(7.0 * i as f32)).collect();
    for left_out in [None, Some(0)] {
        assert!((score(&images, &images[0], left_out) - mean(&[7.0, 14.0, 21.0])).abs() < 1e-6);
        let left_out = left_out.map(|_| 5);
        assert!((score(&images, &images[5], left_out) - mean(&[7.0, 7.0, 14.0])).abs() < 1e-6);
    }
    // A new image has all 11, of which 0.3 are 3 as well; of two others it is one at least.
    assert!((score(&images, &direction(-7.0), None) - mean(&[7.0, 14.0, 21.0])).abs() < 1e-6);
    assert!((score(&images[..3], &images[2], None) - mean(&[7.0])).abs() < 1e-6);
    // A copy does not speak for its image, and where all are copies none is odd.
    let copies = [direction(0.0), direction(0.0), direction(30.0), direction(50.0)];
    assert!((score(&copies, &copies[0], None) - mean(&[30.0])).abs() < 1e-6);
    assert!(score(&copies[..2], &copies[0], None) <= 1e-6);
    let all = AnomalyDinoConfig { batch_share: 1.0, ..config.clone() };
    let found = memory(&all, &images[..3]).scores(&all, &images[0], None).unwrap();
    assert!((found[0] - mean(&[7.0, 14.0])).abs() < 1e-6);
}

#[test]
fn a_batch_of_one_is_refused() {
    let config = of_mode(Mode::Batch);
    let context = FitContext::new(3, Some(backbone(&[8, 16])));
    let scene = Scene::default();
    let one = Images::new(scene.good()[..1].to_vec(), context.backbone.clone());
    let error = AnomalyDino::fit(&config, &one, &context).err().unwrap().to_string();
    assert!(error.contains("at least two"), "{error}");
}

/// The share of pairs of a defective and a good image whose scores are in order.
fn auroc(scores: &[f32], is_defective: impl Fn(usize) -> bool) -> f64 {
    let pairs = (0..scores.len()).flat_map(|bad| (0..scores.len()).map(move |good| (bad, good)));
    let pairs: Vec<(usize, usize)> =
        pairs.filter(|&(bad, good)| is_defective(bad) && !is_defective(good)).collect();
    let in_order = pairs.iter().filter(|&&(bad, good)| scores[bad] > scores[good]).count();
    in_order as f64 / pairs.len() as f64
}

#[test]
fn a_batch_finds_its_defects_where_a_bank_of_the_same_images_does_not() {
    let (scene, is_defective) = (Scene::default(), |image: usize| image % 5 == 2);
    let side = (scene.side, scene.side);
    let images: Vec<_> = (0..20).map(|image| (side, scene.image(image, is_defective(image)))).collect();
    let context = FitContext::new(3, Some(backbone(&[8, 16])));
    let set = Images::new(images, context.backbone.clone());
    let ranks = |mode, is_left_out: bool| {
        let model = AnomalyDino::fit(&of_mode(mode), &set, &context).unwrap();
        let mut found = Vec::new();
        set.for_each(Pass::MAPS, &mut |input| {
            let scored = if is_left_out { model.score_left_out(input)? } else { model.score(input)? };
            found.extend(scored.into_iter().filter_map(|scored| scored.image_score));
            Ok(())
        })
        .unwrap();
        (auroc(&found, is_defective), found)
    };
    let (batch, unaided) = ranks(Mode::Batch, false);
    assert_eq!(batch, 1.0, "{unaided:?}");
    // Images of the batch are left out by themselves.
    assert_eq!(ranks(Mode::Batch, true).1, unaided);
    // A bank of the same images knows every one of them, and tells no more where each is left out.
    let (bank, scores) = ranks(Mode::Dino, false);
    assert!(bank < batch, "{scores:?}");
    let (bank, scores) = ranks(Mode::Dino, true);
    assert!(bank <= batch, "{scores:?}");
}

fn bits(model: &AnomalyDino) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let state = model.state();
    let tensor = |(name, tensor): (&String, &StateTensor)| {
        (name.clone(), tensor.shape.clone(), tensor.values.bytes().to_vec())
    };
    state.tensors().iter().map(tensor).collect()
}

/// A model as it comes out of its file.
fn reloaded(model: &AnomalyDino, context: &FitContext<'_>) -> AnomalyDino {
    let (config, state) = (model.config().clone(), model.state());
    AnomalyDino::restore(Stored { config, state, backbone: context.backbone.clone(), device: Device::Cpu })
        .unwrap()
}

#[test]
fn an_update_and_a_merge_are_the_fit_on_all_images() {
    let good = Scene::default().good();
    for config in [
        of_mode(Mode::Dino),
        AnomalyDinoConfig { rotations: 2, ..of_mode(Mode::Dino) },
        of_mode(Mode::Multilayer),
        AnomalyDinoConfig { similar_images: 2, ..of_mode(Mode::Retrieval) },
        of_mode(Mode::Batch),
        AnomalyDinoConfig { tile: 64, tile_overlap: 0, ..of_mode(Mode::Tiled) },
    ] {
        let strides: &[usize] = if config.mode == Mode::Dino { &[16] } else { &[8, 16] };
        let context = FitContext::new(3, Some(backbone(strides)));
        let set = |images: Range<usize>| Images::new(good[images].to_vec(), context.backbone.clone());
        let fit = |images| AnomalyDino::fit(&config, &set(images), &context).unwrap();
        let whole = fit(0..6);
        let updated = reloaded(&fit(0..2), &context).update(&set(2..6), &context).unwrap();
        assert_eq!(bits(&updated), bits(&whole), "{:?}", config.mode);
        let again = fit(0..2).update(&set(2..3), &context).unwrap().update(&set(3..6), &context).unwrap();
        assert_eq!(bits(&again), bits(&whole), "{:?}", config.mode);
        assert_eq!(updated.coverage(), whole.coverage());
        // Parts are brightened on their own.
        if config.mode != Mode::Tiled {
            let merged = AnomalyDino::merge(&[&fit(0..2), &fit(2..4), &fit(4..6)], &context).unwrap();
            assert_eq!(bits(&merged), bits(&whole), "{:?}", config.mode);
        }
        let Some(able) = updated.leave_one_out() else {
            assert_eq!(config.mode, Mode::Tiled);
            continue;
        };
        let scores = |able: &dyn LeaveOneOut| {
            let mut found = Vec::new();
            set(0..6)
                .for_each(Pass { reads: Reads::Both, shuffle: None }, &mut |input| {
                    found.extend(able.score_left_out(input)?.into_iter().map(|scored| scored.values));
                    Ok(())
                })
                .unwrap();
            found
        };
        let found = scores(able);
        assert_eq!(found, scores(&whole));
        assert!(found.iter().flatten().all(|&score| score > 0.0), "{:?} knows an image", config.mode);
    }
}

#[test]
fn a_thinned_bank_is_thinned_again_and_chosen_images_are_chosen_again() {
    let good = Scene::default().good();
    let context = FitContext::new(3, Some(backbone(&[8, 16])));
    let set = |images: Range<usize>| Images::new(good[images].to_vec(), context.backbone.clone());
    let update = |config: &AnomalyDinoConfig| {
        AnomalyDino::fit(config, &set(0..3), &context).unwrap().update(&set(3..6), &context).unwrap()
    };
    let of_images = |model: &AnomalyDino, layer: usize| -> Vec<(usize, usize)> {
        model.memory.layers[layer].images().map(|(image, entries)| (image, entries.len())).collect()
    };
    for thinning in [Thinning::KCentre, Thinning::Density] {
        let config =
            AnomalyDinoConfig { bank_max: 40, thinning: Some(thinning), ..of_mode(Mode::Multilayer) };
        let model = update(&config);
        // 12 x 12 and 6 x 6 patches an image; both halves have a say.
        for layer in [0, 1] {
            let found = of_images(&model, layer);
            assert_eq!(found.iter().map(|(_, count)| count).sum::<usize>(), 40);
            assert!(found.iter().any(|(image, _)| *image < 3) && found.iter().any(|(image, _)| *image >= 3));
        }
    }
    let config = AnomalyDinoConfig { images: Some(2), ..of_mode(Mode::Multilayer) };
    let (model, whole) = (update(&config), AnomalyDino::fit(&config, &set(0..6), &context).unwrap());
    for model in [&model, &whole] {
        assert_eq!(of_images(model, 0).len(), 2);
        assert_eq!((model.memory.images(), model.memory.wholes().count()), (6, 2));
    }
    // Old images are kept where they differ most: a good one and a black one stay, whatever of the same comes.
    let black = vec![((96, 96), vec![0.0; 3 * 96 * 96]), good[0].clone()];
    let odd = AnomalyDino::fit(&config, &Images::new(black, context.backbone.clone()), &context).unwrap();
    let odd = odd.update(&set(1..6), &context).unwrap();
    assert!(of_images(&odd, 0).iter().any(|(image, _)| *image == 0), "{:?}", of_images(&odd, 0));
}

#[test]
fn a_model_that_does_not_know_its_images_does_not_learn_on() {
    let context = FitContext::new(3, Some(backbone(&[16])));
    let config = of_mode(Mode::Dino);
    let set = Images::new(Scene::default().good(), context.backbone.clone());
    let model = AnomalyDino::fit(&config, &set, &context).unwrap();
    // As an older program wrote it.
    let mut state = State::default();
    for (name, tensor) in model.state().tensors().iter().filter(|(name, _)| !name.ends_with("starts")) {
        state.insert(name.clone(), tensor.clone());
    }
    let backbone = context.backbone.clone();
    let old = AnomalyDino::restore(Stored { config, state, backbone, device: Device::Cpu }).unwrap();
    assert!(old.leave_one_out().is_none());
    let error = old.update(&set, &context).err().unwrap();
    assert!(matches!(error, Error::Living { .. }) && error.to_string().contains("fit it again"), "{error}");
}

#[test]
fn tiles_cover_a_side_and_meet_in_the_middle_of_what_they_share() {
    let span = |start, kept| Span { start, kept };
    // 1022 and 518 pixels of patches of 14, 70 shared.
    assert_eq!(spans(73, 37, 5), [span(0, 0..28), span(18, 10..28), span(36, 10..37)]);
    // 1400 and 640 pixels of patches of 16, 128 shared.
    assert_eq!(spans(87, 40, 8), [span(0, 0..32), span(23, 9..32), span(47, 8..40)]);
    assert_eq!(spans(30, 37, 5), [span(0, 0..30)]);
    for (side, tile, overlap) in [(100, 10, 0), (57, 8, 3), (41, 40, 8), (90, 9, 4)] {
        let places =
            spans(side, tile, overlap).into_iter().flat_map(|span| span.kept.map(move |at| span.start + at));
        assert_eq!(places.collect::<Vec<usize>>(), (0..side).collect::<Vec<usize>>());
    }
}

#[test]
fn one_tile_gives_the_maps_of_the_image_and_several_cover_it() {
    let backbone = backbone(&[8, 16]);
    let image: Vec<f32> = (0..3 * 96 * 128).map(|i| ((i * 7919) % 997) as f32 / 997.0).collect();
    let whole = backbone.extract(&image, [1, 96, 128]).unwrap();
    assert_eq!(tiled_maps(&backbone, &image, [96, 128], [128, 32]).unwrap(), whole);
    let tiled = tiled_maps(&backbone, &image, [96, 128], [64, 16]).unwrap();
    for (at, (tiled, whole)) in tiled.iter().zip(&whole).enumerate() {
        assert_eq!((tiled.height, tiled.width), (whole.height, whole.width));
        // Every cell comes from some tile, those of the first tile unchanged.
        let cells = tiled.height * tiled.width;
        let is_filled =
            |cell: usize| (0..tiled.channels).any(|channel| tiled.data[channel * cells + cell] != 0.0);
        assert!((0..cells).all(is_filled));
        let corner: Vec<f32> =
            (0..3 * 64).flat_map(|row| &image[(row / 64 * 96 + row % 64) * 128..][..64]).copied().collect();
        let alone = backbone.extract(&corner, [1, 64, 64]).unwrap().remove(at);
        for channel in 0..tiled.channels {
            assert_eq!(tiled.data[channel * cells], alone.data[channel * alone.height * alone.width]);
        }
    }
    assert!(tiled_maps(&backbone, &image, [96, 128], [8, 0]).is_err());
}

#[test]
fn a_turn_by_nothing_is_the_image_and_by_a_quarter_moves_its_pixels() {
    let planes: Vec<f32> = (0..2 * 9).map(|i| i as f32 * 0.1).collect();
    let same = turned(&planes, [3, 3], 0.0);
    assert!(planes.iter().zip(&same).all(|(a, b)| a.to_bits() == b.to_bits()));
    let quarter = turned(&planes[..9], [3, 3], 90.0);
    // Counter-clockwise: the right column becomes the top row.
    for (found, expected) in quarter.iter().zip([0.2, 0.5, 0.8, 0.1, 0.4, 0.7, 0.0, 0.3, 0.6]) {
        assert!((found - expected).abs() < 1e-6, "{quarter:?}");
    }
    // Nothing but the image comes in from outside.
    let turned = turned(&[0.5; 40], [4, 10], 33.0);
    assert!(turned.iter().all(|&value| (value - 0.5).abs() < 1e-6));
}

#[test]
fn both_ways_of_thinning_keep_their_number_and_what_is_rare() {
    // 300 rows in a crowd and 20 far from it and each other.
    let crowd = (0..300).flat_map(|i: usize| [(i * 31 % 97) as f32 * 1e-3, (i * 17 % 89) as f32 * 1e-3]);
    let rare = (0..20).flat_map(|i: usize| [10.0 + 5.0 * i as f32, -3.0 * i as f32]);
    let rows: Vec<f32> = crowd.chain(rare).collect();
    let context = FitContext::new(5, None);
    let keep = |most, thinning| thinned(&rows, 2, most, thinning, 5, &context).unwrap();
    for thinning in [Thinning::KCentre, Thinning::Density] {
        let kept = keep(40, thinning);
        assert_eq!(kept.len(), 40);
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        let rare = kept.iter().filter(|&&row| row >= 300).count();
        // By chance there would be two or three. A row alone stays with a chance of a half, as it counts itself.
        let least = if thinning == Thinning::KCentre { 20 } else { 7 };
        assert!(rare >= least, "{thinning:?} keeps {rare} of 20");
        assert_eq!(kept, keep(40, thinning));
        assert_eq!(keep(320, thinning).len(), 320);
    }
}

#[test]
fn brightness_depends_on_seed_and_image_alone() {
    let factors: Vec<f32> = (0..200).map(|image| brightness(7, image, 0.2)).collect();
    assert!(factors.iter().all(|factor| (0.8..=1.2).contains(factor)));
    assert!(factors.iter().any(|factor| *factor < 0.85) && factors.iter().any(|factor| *factor > 1.15));
    assert_eq!(factors[13], brightness(7, 13, 0.2));
    assert_eq!(brightness(7, 13, 0.0), 1.0);
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let retrieval = of_mode(Mode::Retrieval);
    for (config, key) in [
        (AnomalyDinoConfig { tile: 64, tile_overlap: 64, ..of_mode(Mode::Tiled) }, "tile_overlap"),
        (AnomalyDinoConfig { rotations: 8, ..retrieval.clone() }, "rotations"),
        (AnomalyDinoConfig { neighbours: 2, ..retrieval }, "neighbours"),
        (AnomalyDinoConfig { neighbours: 2, ..of_mode(Mode::Batch) }, "neighbours"),
        (AnomalyDinoConfig { images: Some(0), ..AnomalyDinoConfig::default() }, "images"),
    ] {
        match config.check() {
            Err(Error::Setting { key: found, .. }) => assert_eq!(found, key),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_mask_gives_the_background_no_score() {
    let config = AnomalyDinoConfig { mask: true, ..AnomalyDinoConfig::default() };
    let model =
        AnomalyDino { memory: memory(&config, &[patches(0, true)]), config: config.clone(), backbone: None };
    // An object of 6 x 6 cells in the middle of 14 x 14, told apart by the first channel.
    let is_object = |i: usize| (4..10).contains(&(i / 14)) && (4..10).contains(&(i % 14));
    let first = (0..196).map(|i| if is_object(i) { 40.0 } else { -20.0 - (i % 5) as f32 });
    let others = (0..3 * 196).map(|i| ((i * 7919) % 101) as f32 * 0.01);
    let map = FeatureMap { channels: 4, height: 14, width: 14, data: first.chain(others).collect() };
    let batch = blemish_core::feature_batch::FeatureBatch {
        count: 1,
        height: 196,
        width: 196,
        maps: vec![map],
        region_of_interest: None,
    };
    let masked = model.score(&Input::of_maps(&batch)).unwrap().remove(0);
    let open = AnomalyDino { config: AnomalyDinoConfig { mask: false, ..config }, ..model };
    let all = open.score(&Input::of_maps(&batch)).unwrap().remove(0);
    for (i, (masked, all)) in masked.values.iter().zip(&all.values).enumerate() {
        let is_front = (3..11).contains(&(i / 14)) && (3..11).contains(&(i % 14));
        assert_eq!(*masked, if is_front { *all } else { 0.0 }, "cell {i}");
        assert!(*all > 0.0);
    }
    assert!(masked.image_score <= all.image_score);
}
