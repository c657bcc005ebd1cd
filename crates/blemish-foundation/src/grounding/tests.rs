//! Equality with transformers' GroundingDinoForObjectDetection on seeded random weights (`tests/golden/make_grounding.py`), and what is
//! refused.

use super::{GroundingConfig, GroundingDino, GroundingText, SwinConfig};
use crate::bert::BertConfig;
use crate::golden::Golden;

/// The sizes of the committed golden file.
fn tiny() -> GroundingConfig {
    GroundingConfig {
        name: "tiny".into(),
        sides: (67, 120),
        swin: SwinConfig {
            patch: 4,
            width: 4,
            depths: vec![2, 2, 1, 1],
            heads: vec![1, 2, 2, 4],
            window: 3,
            spread: 2,
        },
        bert: BertConfig {
            name: "tiny".into(),
            vocabulary: 1032,
            width: 8,
            depth: 1,
            heads: 2,
            hidden: 12,
            positions: 20,
        },
        width: 32,
        encoder_depth: 2,
        encoder_hidden: 24,
        encoder_heads: 4,
        decoder_depth: 2,
        decoder_hidden: 24,
        decoder_heads: 4,
        points: 2,
        boxes: 12,
        most_tokens: 16,
    }
}

fn tokens(golden: &Golden) -> Vec<u32> {
    golden.values("tokens").iter().map(|token| *token as u32).collect()
}

fn compare(golden: &Golden, network: &GroundingDino, tolerance: f32) {
    let text = network.read(&tokens(golden)).unwrap();
    golden.close(text.rows(), "text");
    let image = network.look(golden.values("image"), golden.size("image")).unwrap();
    golden.close_to(&image.rows, "levels", tolerance);
    let found = network.detect(&image, &text);
    let scores: Vec<f32> = found.iter().flat_map(|found| found.scores.clone()).collect();
    golden.close_to(&scores, "scores", tolerance);
    let boxes: Vec<f32> = found.iter().flat_map(|found| found.bounds).collect();
    golden.close_to(&boxes, "boxes", tolerance);
}

#[test]
fn boxes_are_those_of_transformers() {
    let golden = Golden::read("grounding");
    compare(&golden, &GroundingDino::load(tiny(), golden.weights()).unwrap(), 1e-4);
}

#[test]
fn boxes_are_those_of_transformers_at_the_published_width() {
    let Some(mut golden) = Golden::published("grounding") else { return };
    let weights = golden.take_weights();
    compare(&golden, &GroundingDino::load(GroundingConfig::tiny(), weights).unwrap(), 1e-4);
}

#[test]
fn the_authors_names_are_read_as_well() {
    let golden = Golden::read("grounding");
    let original = super::names::tests::original(&golden.weights());
    assert!(original.contains_key("module.transformer.encoder.text_layers.1.self_attn.in_proj_weight"));
    assert!(original.contains_key("module.backbone.0.layers.1.blocks.0.attn.qkv.bias"));
    compare(&golden, &GroundingDino::load(tiny(), original).unwrap(), 1e-4);
}

#[test]
fn a_caption_that_was_read_before_gives_the_same_boxes() {
    let golden = Golden::read("grounding");
    let network = GroundingDino::load(tiny(), golden.weights()).unwrap();
    let image = network.look(golden.values("image"), golden.size("image")).unwrap();
    let text = network.read(&tokens(&golden)).unwrap();
    let kept = GroundingText::new(text.tokens().to_vec(), text.rows().to_vec());
    assert_eq!(network.detect(&image, &kept), network.detect(&image, &text));
}

#[test]
fn a_phrase_is_the_tokens_that_score_high_without_full_stops() {
    let golden = Golden::read("grounding");
    let network = GroundingDino::load(tiny(), golden.weights()).unwrap();
    let image = network.look(golden.values("image"), golden.size("image")).unwrap();
    let tokens = tokens(&golden);
    let found = &network.detect(&image, &network.read(&tokens).unwrap())[0];
    assert_eq!(found.score(), found.scores.iter().copied().fold(0.0, f32::max));
    assert_eq!(found.phrase(&tokens, 0.0), [1, 2, 3, 5, 7, 8]);
    assert!(found.phrase(&tokens, 1.0).is_empty());
}

#[test]
fn captions_and_images_that_cannot_be_used_are_refused() {
    let golden = Golden::read("grounding");
    let network = GroundingDino::load(tiny(), golden.weights()).unwrap();
    for (tokens, words) in
        [(vec![], "no words"), (vec![7; 400], "at most 16"), (vec![101, 5000, 102], "5000")]
    {
        let message = network.read(&tokens).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    assert!(network.look(&[0.0; 4], (1, 1)).is_err());
    // A single pixel is enlarged like every image.
    let image = network.look(&[0.2, 0.4, 0.6], (1, 1)).unwrap();
    let found = network.detect(&image, &network.read(&tokens(&golden)).unwrap());
    assert!(
        found.iter().all(|found| found.scores.iter().chain(&found.bounds).all(|value| value.is_finite()))
    );
}

#[test]
fn a_tensor_that_is_missing_or_misshapen_is_named() {
    let golden = Golden::read("grounding");
    let name = "model.decoder.layers.1.encoder_attn.sampling_offsets.weight";
    let mut state = golden.weights();
    let mut tensor = state.remove(name).unwrap();
    let missing = GroundingDino::load(tiny(), state.clone()).unwrap_err().to_string();
    assert!(missing.contains(name) && missing.contains("1 missing"), "{missing}");
    tensor.shape.reverse();
    state.insert(name.into(), tensor);
    let message = GroundingDino::load(tiny(), state).unwrap_err().to_string();
    assert!(message.contains(&format!("`{name}` has shape 32x64, but tiny needs 64x32")), "{message}");
}
