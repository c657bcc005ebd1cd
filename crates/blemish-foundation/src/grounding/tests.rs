//! Equality with transformers' GroundingDinoForObjectDetection on seeded random weights (`tests/golden/make_grounding.py`), and what is
//! refused.

use super::{GroundingConfig, GroundingDino, GroundingText};
use crate::golden::Golden;

fn tokens(golden: &Golden) -> Vec<u32> {
    golden.values("tokens").iter().map(|token| *token as u32).collect()
}

/// Compares all boxes but at most `swapped` of them: of cells whose scores differ by less than rounding either may come first, and begins
/// with the other's query then.
fn compare(golden: &Golden, network: &GroundingDino, swapped: usize) {
    let text = network.read(&tokens(golden)).unwrap();
    golden.close(text.rows(), "text");
    let image = network.look(golden.values("image"), golden.size("image")).unwrap();
    golden.close(&image.rows, "levels");
    let found = network.detect(&image, &text);
    let (scores, boxes) = (golden.values("scores"), golden.values("boxes"));
    let off = |ours: &[f32], theirs: &[f32]| {
        ours.iter().zip(theirs).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()))
    };
    let mut all: Vec<f32> = found
        .iter()
        .zip(scores.chunks(text.tokens().len()).zip(boxes.chunks(4)))
        .map(|(found, (scores, bounds))| off(&found.scores, scores).max(off(&found.bounds, bounds)))
        .collect();
    assert_eq!(all.len() * 4, boxes.len());
    all.sort_by(f32::total_cmp);
    let (same, others) = all.split_at(all.len() - swapped);
    println!(
        "boxes and scores within {:.1e}, but {swapped}, which are within {others:?}",
        same[same.len() - 1]
    );
    assert!(same[same.len() - 1] <= 1e-4, "{:?}", &same[same.len().saturating_sub(9)..]);
}

#[test]
fn boxes_are_those_of_transformers() {
    let golden = Golden::read("grounding");
    compare(&golden, &GroundingDino::load(GroundingConfig::smallest(), golden.weights()).unwrap(), 0);
}

#[test]
fn boxes_are_those_of_transformers_at_the_published_width() {
    let Some(mut golden) = Golden::published("grounding") else { return };
    let weights = golden.take_weights();
    compare(&golden, &GroundingDino::load(GroundingConfig::tiny(), weights).unwrap(), 4);
}

#[test]
fn the_authors_names_are_read_as_well() {
    let golden = Golden::read("grounding");
    let original = super::names::tests::original(&golden.weights());
    assert!(original.contains_key("module.transformer.encoder.text_layers.1.self_attn.in_proj_weight"));
    assert!(original.contains_key("module.backbone.0.layers.1.blocks.0.attn.qkv.bias"));
    compare(&golden, &GroundingDino::load(GroundingConfig::smallest(), original).unwrap(), 0);
}

#[test]
fn a_caption_that_was_read_before_gives_the_same_boxes() {
    let golden = Golden::read("grounding");
    let network = GroundingDino::load(GroundingConfig::smallest(), golden.weights()).unwrap();
    let image = network.look(golden.values("image"), golden.size("image")).unwrap();
    let text = network.read(&tokens(&golden)).unwrap();
    let kept = GroundingText::new(text.tokens().to_vec(), text.rows().to_vec());
    assert_eq!(network.detect(&image, &kept), network.detect(&image, &text));
}

#[test]
fn a_phrase_is_the_tokens_that_score_high_without_full_stops() {
    let golden = Golden::read("grounding");
    let network = GroundingDino::load(GroundingConfig::smallest(), golden.weights()).unwrap();
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
    let network = GroundingDino::load(GroundingConfig::smallest(), golden.weights()).unwrap();
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
    let missing = GroundingDino::load(GroundingConfig::smallest(), state.clone()).unwrap_err().to_string();
    assert!(missing.contains(name) && missing.contains("1 missing"), "{missing}");
    tensor.shape.reverse();
    state.insert(name.into(), tensor);
    let message = GroundingDino::load(GroundingConfig::smallest(), state).unwrap_err().to_string();
    assert!(message.contains(&format!("`{name}` has shape 32x64, but tiny needs 64x32")), "{message}");
}
