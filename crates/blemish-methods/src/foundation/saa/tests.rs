//! The whole method on tiny networks with random weights, and every error once. What needs no network is in `logic_tests`.

use super::*;
use crate::contract::Small;
use crate::testing::{Golden, backbone, image_batch};
use blemish_core::check::Images;
use blemish_features::weights::read_state_dict;
use blemish_features::{FeatureMap, StateDict, Tensor};
use blemish_foundation::text::WordPiece;

/// What the settings call the tiny networks of the golden files.
pub(super) const DETECTOR: &str = "tiny_detector";
pub(super) const SEGMENTER: &str = "tiny_segmenter";

/// Networks with random weights find nothing; what is tried is everything else.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        NAME,
        &[
            ("detector", DETECTOR),
            ("segmenter", SEGMENTER),
            ("embed_weights", "true"),
            ("saliency_side", "64"),
        ],
    )
    .untaught(),
    Small::new(
        NAME,
        &[
            ("detector", DETECTOR),
            ("segmenter", SEGMENTER),
            ("variant", "plain"),
            ("prompts", "[\"black hole\"]"),
        ],
    )
    .untaught(),
];

/// The weights of a tiny network that nobody has trained.
pub(super) fn tiny_weights(name: &str) -> Option<StateDict> {
    let file = match name {
        DETECTOR => "grounding",
        SEGMENTER => "sam",
        _ => return None,
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../blemish-foundation/tests/golden/");
    let all = read_state_dict(format!("{folder}{file}.safetensors").as_ref()).unwrap();
    let own = |(name, tensor): (String, Tensor)| Some((name.strip_prefix("weights.")?.to_owned(), tensor));
    Some(all.into_iter().filter_map(own).collect())
}

/// The marks of BERT's vocabulary at their places, a few words, and fillers.
pub(super) fn tiny_vocabulary() -> WordPiece {
    let mut lines: Vec<String> = (0..1032).map(|number| format!("filler{number}")).collect();
    for (place, token) in [(100, "[UNK]"), (101, "[CLS]"), (102, "[SEP]"), (1012, "."), (1029, "?")] {
        lines[place] = token.into();
    }
    for (place, word) in ["object", "defect", "damage", "flaw", "on", "black", "hole"].iter().enumerate() {
        lines[200 + place] = (*word).into();
    }
    WordPiece::new(&lines.join("\n")).unwrap()
}

fn tiny() -> SaaConfig {
    SaaConfig {
        detector: DETECTOR.into(),
        segmenter: SEGMENTER.into(),
        saliency_side: Some(64),
        ..SaaConfig::default()
    }
}

fn context() -> FitContext<'static> {
    FitContext::new(0, Some(backbone(&[4, 8, 16])))
}

fn fit(config: &SaaConfig) -> Result<Saa, Error> {
    Saa::fit(config, &Images::new(Vec::new(), None), &context())
}

fn image(seed: usize) -> Vec<f32> {
    (0..3 * 48 * 64).map(|at| ((at * 7919 + seed * 104_729) % 1009) as f32 / 1009.0).collect()
}

fn score(model: &Saa) -> Vec<f32> {
    model.score(&Input::of_images(&image_batch((48, 64), &[image(3)]))).unwrap().remove(0).values
}

#[test]
fn maps_are_those_of_the_specification_on_the_networks_of_transformers() {
    let golden = Golden::read("saa");
    let (shape, rgb) = golden.values("image");
    let image = Image { rgb: &rgb, size: (shape[1], shape[2]) };
    let maps: Vec<FeatureMap> = (1..4)
        .map(|layer| {
            let (shape, data) = golden.values(&format!("layer{layer}"));
            FeatureMap { channels: shape[0], height: shape[1], width: shape[2], data }
        })
        .collect();
    let config = SaaConfig { box_threshold: 0.6, text_threshold: 0.55, saliency_count: 40, ..tiny() };
    let several = SaaConfig { objects: 2, most_anomalies: 900, largest_area: 1.0, ..config.clone() };
    let plain =
        SaaConfig { variant: Variant::Plain, prompts: vec!["black hole | hole".into()], ..config.clone() };
    for (name, config) in [("single", config), ("several", several), ("plain", plain)] {
        let model = fit(&config).unwrap();
        let features = (config.exponent() > 0.0).then(|| Features::join(&maps));
        let ours = model.score_by(image, || Ok(features)).unwrap().values;
        let theirs = golden.values(name).1;
        // A pixel on the edge of a mask may fall to either side of it.
        let differs = ours.iter().zip(&theirs).filter(|(a, b)| (**a - **b).abs() > 1e-4 * b.abs().max(0.1));
        let (differing, most) = (differs.count(), theirs.len() / 1000);
        println!("{name}: {differing} of {} pixels differ", theirs.len());
        assert!(differing <= most, "{name}: {differing} of {} pixels differ", theirs.len());
        assert!(theirs.iter().any(|value| *value > 0.0));
    }
}

#[test]
fn maps_are_made_of_masks_whose_scores_saliency_raises() {
    let config = SaaConfig { largest_area: 1.0, most_anomalies: 900, ..tiny() };
    let [raised, plain] = [3.0, 0.0].map(|saliency_exponent| {
        let config = SaaConfig { saliency_exponent, ..config.clone() };
        score(&fit(&config).unwrap())
    });
    assert!(plain.iter().any(|value| *value > 0.0), "no mask was found");
    assert!(raised.iter().zip(&plain).all(|(raised, plain)| raised >= plain));
    assert!(raised.iter().zip(&plain).any(|(raised, plain)| raised > plain));
    // One mask alone gives one value.
    let one = score(&fit(&SaaConfig { most_anomalies: 1, ..config }).unwrap());
    let mut levels: Vec<u32> = one.iter().map(|value| value.to_bits()).collect();
    levels.sort_unstable();
    levels.dedup();
    assert!(levels.len() <= 2 && levels.iter().any(|level| *level != 0), "{} levels", levels.len());
}

#[test]
fn several_objects_are_compared_with_each_other() {
    let model = fit(&SaaConfig { objects: 2, largest_area: 1.0, ..tiny() }).unwrap();
    assert!(score(&model).iter().all(|value| value.is_finite()));
}

#[test]
fn boxes_that_show_the_object_are_left_out() {
    let config = SaaConfig { prompts: vec!["black hole | hole".into()], largest_area: 1.0, ..tiny() };
    // Every token of a box scores above 0, so that every box shows the hole.
    let filtered = SaaConfig { text_threshold: 0.0, ..config };
    assert!(score(&fit(&filtered).unwrap()).iter().all(|value| *value == 0.0));
    let open = SaaConfig { prompts: vec!["black hole | crack".into()], ..filtered };
    assert!(score(&fit(&open).unwrap()).iter().any(|value| *value > 0.0));
}

#[test]
fn nothing_found_gives_a_map_of_zeros() {
    let model = fit(&SaaConfig { box_threshold: 1.0, ..tiny() }).unwrap();
    assert!(score(&model).iter().all(|value| *value == 0.0));
}

#[test]
fn a_model_finds_its_networks_by_digest_and_says_what_it_misses() {
    let model = fit(&tiny()).unwrap();
    assert!(!model.state().tensors().keys().any(|name| name.starts_with("detector.")));
    let stored = |config: SaaConfig| Stored {
        config,
        state: model.state(),
        backbone: context().backbone,
        device: blemish_features::Device::Cpu,
    };
    let again = Saa::restore(stored(tiny())).unwrap();
    assert_eq!(score(&again), score(&model));
    let moved = SaaConfig { detector: "moved.safetensors".into(), ..tiny() };
    let message = Saa::restore(stored(moved)).err().unwrap().to_string();
    assert!(message.contains("moved.safetensors") && message.contains("embed_weights"), "{message}");
}

#[test]
fn prompts_and_files_that_cannot_be_used_are_named() {
    let refused = |config: SaaConfig| fit(&config).err().unwrap().to_string();
    let long = refused(SaaConfig { prompts: vec!["hole ".repeat(400)], ..tiny() });
    assert!(long.contains("prompts") && long.contains("at most 16"), "{long}");
    let empty = refused(SaaConfig { prompts: vec![String::new()], ..tiny() });
    assert!(empty.contains("no words"), "{empty}");
    let absent = refused(SaaConfig { detector: "/nowhere/detector.pth".into(), ..tiny() });
    assert!(absent.contains("/nowhere/detector.pth"), "{absent}");
    let words = SaaConfig { vocabulary: Some("/nowhere/vocab.txt".into()), ..SaaConfig::default() };
    let words = vocabulary(&words).err().unwrap().to_string();
    assert!(words.contains("/nowhere/vocab.txt") && words.contains("bert-base-uncased"), "{words}");
    let small = FitContext { memory_limit: Some(1000), ..context() };
    let memory = Saa::fit(&tiny(), &Images::new(Vec::new(), None), &small).err().unwrap().to_string();
    assert!(memory.contains("1000 are allowed"), "{memory}");
}
