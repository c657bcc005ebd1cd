use super::config::{Attention, Difference, Selection};
use super::fit::{plan, widths};
use super::last_stage::LastStage;
use super::memory::{Layers, check_taps};
use super::network::{Seen, Widths};
use super::*;
use crate::contract::Small;
use crate::shared::map_size::MapSize;
use crate::testing::{Images, backbone, image_batch, score};
use blemish_core::check::Scene;
use blemish_core::entry::Fitted;
use blemish_nn::weights::{self, trained_values};
use blemish_nn::{Device, Module, Tensor, TensorData};

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(NAME, &[("width", "6"), ("steps", "8"), ("batch", "4"), ("memory", "4"), ("rate", "0.005")])
        .untaught(),
    Small::new(
        NAME,
        &[
            ("variant", "fragments"),
            ("width", "6"),
            ("steps", "6"),
            ("batch", "4"),
            ("memory", "3"),
            ("rate", "0.005"),
        ],
    )
    .untaught(),
];

fn layers(sizes: &[(usize, usize)], has_stem: bool) -> Layers {
    let size = |&(channels, side): &(usize, usize)| MapSize { channels, height: side, width: side };
    Layers { sizes: sizes.iter().map(size).collect(), has_stem }
}

/// The network of these layers with a last stage of its own.
fn network(config: &MemSegConfig, widths: &Widths, init: &mut Init) -> Network {
    let deepest = *widths.levels.last().unwrap();
    let last_stage = (LastStage::own(deepest, init), 2 * deepest);
    Network::new(config, widths, last_stage, init)
}

#[test]
fn the_published_network_has_the_published_numbers_of_weights() {
    let config = MemSegConfig::of(Preset::Paper);
    let widths = Widths { stem: Some(64), levels: vec![64, 128, 256] };
    let network = network(&config, &widths, &mut Init::blank(&Device::flex().autodiff()));
    assert_eq!(trained_values(&network.fusion), 5_825_312);
    assert_eq!(trained_values(&network.decoder), 2_043_890);
    assert_eq!(trained_values(&network.last_stage), 8_393_728);
    assert_eq!(trained_values(&network), 16_262_930);
}

/// Zeros of these sizes.
fn zeros(layers: &Layers, side: usize) -> Seen {
    let device = Device::flex();
    let map =
        |channels: usize, size: &MapSize| Tensor::zeros([1, channels, size.height, size.width], &device);
    Seen {
        stem: layers.has_stem.then(|| map(layers.sizes[0].channels, &layers.sizes[0])),
        information: layers.levels().iter().map(|size| map(2 * size.channels, size)).collect(),
        spatial: layers.levels().iter().map(|size| map(1, size)).collect(),
        size: [side, side],
    }
}

#[test]
fn maps_have_the_size_of_the_image_at_every_size_and_with_any_layers() {
    let config = MemSegConfig { width: 6, ..MemSegConfig::default() };
    for variant in [Variant::Reimplementation, Variant::Fragments] {
        let config = MemSegConfig { variant, ..config.clone() };
        for (sizes, has_stem, side) in [
            (&[(3, 128), (2, 64), (3, 32), (4, 16)][..], true, 256),
            (&[(3, 144), (2, 72), (3, 36), (4, 18)], true, 288),
            (&[(3, 61), (2, 31), (3, 16), (4, 8)], true, 121),
            (&[(2, 16), (3, 8)], false, 64),
        ] {
            let layers = layers(sizes, has_stem);
            let network = network(&config, &widths(&layers), &mut Init::new(1, &Device::flex()));
            let logits = network.forward(&zeros(&layers, side), Phase::Scoring);
            assert_eq!(logits.dims(), [1, 2, side, side]);
        }
    }
}

/// A memory of images of a constant each, of three levels.
fn constant_memory(values: &[f32]) -> Memory {
    let layers = layers(&[(2, 8), (3, 4), (4, 2)], false);
    let item = |size: &MapSize| values.iter().flat_map(|&value| vec![value; size.values()]).collect();
    let items = layers.levels().iter().map(item).collect();
    Memory::new(layers, values.len(), items)
}

fn constant_features(value: f32) -> Vec<Vec<f32>> {
    layers(&[(2, 8), (3, 4), (4, 2)], false).levels().iter().map(|size| vec![value; size.values()]).collect()
}

fn compare(
    memory: &Memory,
    features: &[Vec<f32>],
    config: &MemSegConfig,
    hidden: Option<usize>,
) -> memory::Compared {
    let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
    memory.compare(&features, &config.rules(), hidden)
}

#[test]
fn an_image_is_compared_with_the_nearest_and_differences_multiply_from_deep_to_shallow() {
    let memory = constant_memory(&[0.0, 1.0]);
    let config = MemSegConfig::default();
    let found = compare(&memory, &constant_features(0.6), &config, None);
    assert_eq!(found.items, [1, 1, 1]);
    for (level, expected) in [(2, 0.16f32), (1, 0.0256), (0, 0.004_096)] {
        let (features, differences) = found.information[level].split_at(found.information[level].len() / 2);
        assert!(features.iter().all(|&value| value == 0.6));
        assert!(differences.iter().all(|&value| (value - 0.16).abs() < 1e-6));
        assert!(
            found.spatial[level].iter().all(|&value| (value - expected).abs() < 1e-6 * expected.max(0.1))
        );
    }
    // Absolute differences; the other image where the nearest is hidden; scales divide.
    let absolute = MemSegConfig { difference: Some(Difference::Absolute), ..config.clone() };
    let found = compare(&memory, &constant_features(0.6), &absolute, Some(1));
    assert_eq!(found.items, [0, 0, 0]);
    assert!((found.spatial[0][0] - 0.216).abs() < 1e-6);
    let scaled = memory.scaled(vec![0.004_096, 0.5, 1.0]);
    let found = compare(&scaled, &constant_features(0.6), &config, None);
    let [one, two, three] = [0, 1, 2].map(|level| found.spatial[level][0]);
    assert!((one - 1.0).abs() < 1e-5 && (two - 0.0512).abs() < 1e-6 && (three - 0.16).abs() < 1e-6);
}

#[test]
fn a_joint_choice_is_one_for_all_levels() {
    // The first image is nearest in the two deep levels, the second by more in the shallow one.
    let layers = layers(&[(2, 8), (3, 4), (4, 2)], false);
    let item = |level: usize, values: [f32; 2]| -> Vec<f32> {
        values.iter().flat_map(|&value| vec![value; layers.levels()[level].values()]).collect()
    };
    let items = vec![item(0, [3.0, 0.0]), item(1, [0.0, 1.0]), item(2, [0.0, 1.0])];
    let memory = Memory::new(layers.clone(), 2, items);
    let joint = MemSegConfig::default();
    assert_eq!(compare(&memory, &constant_features(0.0), &joint, None).items, [1, 1, 1]);
    let each = MemSegConfig { selection: Some(Selection::PerLevel), ..joint };
    assert_eq!(compare(&memory, &constant_features(0.0), &each, None).items, [1, 0, 0]);
}

#[test]
fn an_image_of_the_memory_shows_no_difference_and_skips_are_zero() {
    let layers = layers(&[(2, 16), (2, 8), (3, 4), (4, 2)], true);
    let value = |at: usize, item: usize| ((at * 7919 + item * 104_729) % 997) as f32 / 997.0;
    let item =
        |size: &MapSize, item: usize| -> Vec<f32> { (0..size.values()).map(|at| value(at, item)).collect() };
    let items = layers.levels().iter().map(|size| (0..3).flat_map(|number| item(size, number)).collect());
    let memory = Memory::new(layers.clone(), 3, items.collect());
    for variant in [Variant::Reimplementation, Variant::Fragments] {
        let config = MemSegConfig { variant, width: 6, ..MemSegConfig::default() };
        let features: Vec<Vec<f32>> = layers.levels().iter().map(|size| item(size, 2)).collect();
        let found = compare(&memory, &features, &config, None);
        assert_eq!(found.items, [2, 2, 2]);
        assert!(
            found.information.iter().all(|both| both[both.len() / 2..].iter().all(|&value| value == 0.0))
        );
        assert!(found.spatial.iter().flatten().all(|&value| value == 0.0));
        let device = Device::flex();
        let tensor = |values: &[f32], channels: usize, size: &MapSize| {
            Tensor::from_data(
                TensorData::new(values.to_vec(), [1, channels, size.height, size.width]),
                &device,
            )
        };
        let levels = || layers.levels().iter().enumerate();
        let seen = Seen {
            stem: zeros(&layers, 32).stem,
            information: levels()
                .map(|(level, size)| tensor(&found.information[level], 2 * size.channels, size))
                .collect(),
            spatial: levels().map(|(level, size)| tensor(&found.spatial[level], 1, size)).collect(),
            size: [32, 32],
        };
        let network = network(&config, &widths(&layers), &mut Init::new(1, &device));
        for skip in network.fusion.forward(&seen, Phase::Scoring) {
            assert!(values_of(skip).unwrap().iter().all(|&value| value == 0.0));
        }
    }
}

#[test]
fn attention_weighs_what_was_seen_or_stands_alone() {
    // What was seen is 0.5 everywhere: weighing it halves what the next convolution is given.
    let layers = layers(&[(2, 8)], false);
    let config = |attention| MemSegConfig { attention: Some(attention), width: 4, ..MemSegConfig::default() };
    let fused = |attention| {
        let network = network(&config(attention), &widths(&layers), &mut Init::new(5, &Device::flex()));
        let ones = |channels| Tensor::ones([1, channels, 8, 8], &Device::flex());
        let seen = Seen { information: vec![ones(4) * 0.5], spatial: vec![ones(1)], ..zeros(&layers, 32) };
        let bare = Seen { spatial: vec![ones(1)], ..zeros(&layers, 32) };
        let biases = values_of(network.fusion.forward(&bare, Phase::Scoring).remove(0)).unwrap();
        let found = values_of(network.fusion.forward(&seen, Phase::Scoring).remove(0)).unwrap();
        (found, biases)
    };
    let (gated, _) = fused(Attention::Gated);
    let (weights, _) = fused(Attention::Weights);
    assert_ne!(gated, weights);
    // Nothing seen, nothing gated: all that is left of a gated level are the biases of the two last convolutions, alike inside.
    let (_, bare) = fused(Attention::Gated);
    let inside = |channel: usize, at: usize| bare[channel * 64 + at];
    assert!((0..2).all(|channel| (inside(channel, 27) - inside(channel, 36)).abs() < 1e-6));
}

#[test]
fn the_score_is_the_mean_of_the_largest_values() {
    let map =
        |ones: usize| (0..400).map(|at| if at * 7 % 400 < ones { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
    assert_eq!(mean_of_largest(map(100), 100), 1.0);
    assert_eq!(mean_of_largest(map(50), 100), 0.5);
    assert_eq!(mean_of_largest(vec![0.25, 0.75], 100), 0.5);
    assert_eq!(mean_of_largest(Vec::new(), 100), 0.0);
    // Softmax of two is the sigmoid of the difference.
    let p = probabilities(&[0.0, 100.0, 3f32.ln(), 0.0]);
    assert!((p[0] - 0.75).abs() < 1e-6 && p[1] < 1e-6);
}

#[test]
fn rates_rise_over_a_tenth_and_fall_to_a_thirtieth() {
    let plan = plan(&MemSegConfig::of(Preset::Paper));
    assert_eq!(plan.steps, 5000);
    let at = |step| plan.schedule.at(step, plan.steps);
    assert!((at(0) - 3e-4).abs() < 1e-12 && at(250) > at(0) && at(499) > at(250));
    assert!((at(500) - 2.93e-3).abs() < 1e-5 && (at(5000) - 1e-4).abs() < 1e-12);
}

#[test]
fn layers_are_told_apart_by_their_strides() {
    assert_eq!(check_taps(&[2, 4, 8, 16]).unwrap(), (true, false));
    assert_eq!(check_taps(&[4, 8, 16, 32]).unwrap(), (false, true));
    assert_eq!(check_taps(&[2, 4, 8, 16, 32]).unwrap(), (true, true));
    assert_eq!(check_taps(&[8, 16]).unwrap(), (false, false));
    for wrong in [&[][..], &[2], &[4, 16], &[32], &[16, 8]] {
        assert!(check_taps(wrong).is_err(), "{wrong:?}");
    }
}

fn fit_scene(config: &MemSegConfig, strides: &[usize], count: usize) -> Result<MemSeg, Error> {
    let backbone = backbone(strides);
    let images = Images::new(Scene { count, ..Scene::default() }.good(), Some(backbone.clone()));
    MemSeg::fit(config, &images, &FitContext::new(3, Some(backbone)))
}

fn small() -> MemSegConfig {
    MemSegConfig { width: 4, steps: 3, batch: 2, memory: 2, ..MemSegConfig::default() }
}

#[test]
fn one_good_image_gives_a_model_that_is_finite() {
    let model = fit_scene(&MemSegConfig { memory: 30, ..small() }, &[2, 4, 8, 16], 1).unwrap();
    assert_eq!(model.memory.count, 1);
    let scene = Scene::default();
    let batch = image_batch((96, 96), &[scene.image(0, false), scene.image(5, true)]);
    let scores = score(&model, Some(&backbone(&[2, 4, 8, 16])), &batch).unwrap();
    assert!(scores.iter().all(PatchScores::is_finite));
    assert_eq!((scores[0].height, scores[0].width), (96, 96));
}

#[test]
fn images_of_another_size_than_the_memorys_are_refused() {
    let model = fit_scene(&small(), &[2, 4, 8, 16], 4).unwrap();
    let other = Scene { side: 128, ..Scene::default() }.image(0, false);
    let error = score(&model, Some(&backbone(&[2, 4, 8, 16])), &image_batch((128, 128), &[other]));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("size of the fit"), "{message}");
}

#[test]
fn a_backbone_without_a_stem_will_do() {
    let model = fit_scene(&small(), &[4, 8, 16], 4).unwrap();
    assert!(!model.memory.layers().has_stem);
    let state = Fitted::state(&model);
    assert!(state.tensors().keys().all(|name| !name.contains("stem.")), "{:?}", state.tensors().keys());
}

/// The memory holds the backbone's features to the bit after a training, so what is compared with it goes on to be like it; and only what lies
/// behind the frozen part has learned.
#[test]
fn the_frozen_part_stays_frozen() {
    let backbone = backbone(&[2, 4, 8, 16]);
    let before = backbone.digest().to_owned();
    let model = fit_scene(&small(), &[2, 4, 8, 16], 4).unwrap();
    assert_eq!(backbone.digest(), before);
    // An image of the memory finds itself there without any difference.
    let scene = Scene::default();
    let same = (0..4).filter(|&number| {
        let batch = image_batch((96, 96), &[scene.image(number, false)]);
        let maps = blemish_core::feature_batch::FeatureBatch::extract(&backbone, &batch).unwrap();
        let features: Vec<&[f32]> = maps.maps[1..].iter().map(|map| &map.data[..]).collect();
        let found = model.memory.compare(&features, &model.config.rules(), None);
        found.spatial.iter().flatten().all(|&value| value == 0.0)
    });
    assert_eq!(same.count(), 2);
}

/// A last stage that is the backbone's own: what it is given are the features of the level before.
#[test]
fn the_backbones_own_layers_can_be_the_last_stage() {
    let whole = backbone(&[8, 16]);
    let device = Device::flex().autodiff();
    let stage = LastStage::of_backbone(&whole, &Init::new(0, &device)).unwrap();
    assert!(trained_values(&stage) > 10_000);
    let image = Scene::default().image(0, false);
    let maps = whole.extract(&image, [1, 96, 96]).unwrap();
    let shape = [1, maps[0].channels, maps[0].height, maps[0].width];
    let x = Tensor::from_data(TensorData::new(maps[0].data.clone(), shape), &device);
    let found = values_of(stage.forward(x, Phase::Training)).unwrap();
    assert!(crate::testing::relative_difference(&found, &maps[1].data) < 1e-4);
    assert!(weights::collect(&stage.valid()).keys().all(|name| name.starts_with("Backbone.")));
}
