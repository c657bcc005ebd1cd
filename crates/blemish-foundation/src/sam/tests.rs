//! Equality with transformers' SamModel on seeded random weights (`tests/golden/make_sam.py`), and what is refused.

use super::{Point, Sam, SamConfig, SamPrompt, TinyVitConfig};
use crate::golden::Golden;

fn pair(values: &[f32]) -> [f32; 2] {
    [values[0], values[1]]
}

fn compare(golden: &Golden, sam: &Sam) {
    let image = sam.look(golden.values("image"), golden.size("image")).unwrap();
    golden.close(image.rows(), "embedding");
    let bounds = golden.values("box").first_chunk().copied();
    let points: Vec<Point> = golden
        .values("points")
        .chunks(2)
        .zip(golden.values("labels"))
        .map(|(at, label)| Point { at: pair(at), is_inside: *label == 1.0 })
        .collect();
    let mask = Some(golden.values("rough").to_vec());
    for (name, prompt, has_alternatives) in [
        ("box", SamPrompt { bounds, ..SamPrompt::default() }, false),
        ("points", SamPrompt { points: points.clone(), ..SamPrompt::default() }, true),
        ("all", SamPrompt { points, bounds, mask }, false),
    ] {
        let masks = sam.masks(&image, std::slice::from_ref(&prompt), has_alternatives).unwrap().remove(0);
        golden.close(&masks.logits.concat(), &format!("{name}.logits"));
        golden.close(&masks.quality, &format!("{name}.quality"));
        if name == "box" {
            golden.close(&sam.at_image_size(&image, &masks.logits[0]), "box.full");
        }
    }
}

#[test]
fn masks_are_those_of_transformers() {
    let golden = Golden::read("sam");
    compare(&golden, &Sam::load(SamConfig::smallest(), golden.weights()).unwrap());
}

#[test]
fn masks_are_those_of_transformers_at_the_published_width() {
    let Some(mut golden) = Golden::published("sam") else { return };
    let weights = golden.take_weights();
    let config = SamConfig::recognize(&weights).unwrap();
    assert_eq!(config, SamConfig::base());
    compare(&golden, &Sam::load(config, weights).unwrap());
}

/// The sizes of the committed golden file of MobileSAM's encoder.
fn tiny_mobile() -> SamConfig {
    let encoder = TinyVitConfig {
        widths: vec![8, 12, 16, 24],
        depths: vec![1, 1, 2, 1],
        heads: vec![1, 2, 4, 3],
        windows: vec![3, 5, 3, 4],
    };
    SamConfig { patch: 16, tiny: Some(encoder), ..SamConfig::smallest() }
}

#[test]
fn the_small_encoder_is_that_of_timm() {
    let golden = Golden::read("mobile_sam");
    // Prompts and decoder are those of the other golden file.
    let own = |name: &String| name.starts_with("image_encoder.");
    let others = super::names::original(Golden::read("sam").weights());
    let weights = golden.weights().into_iter().chain(others.into_iter().filter(|(name, _)| !own(name)));
    let sam = Sam::load(tiny_mobile(), weights.collect()).unwrap();
    let image = sam.look(golden.values("image"), golden.size("image")).unwrap();
    golden.close(image.rows(), "embedding");
}

#[test]
fn a_mask_does_not_depend_on_the_other_prompts() {
    let golden = Golden::read("sam");
    let sam = Sam::load(SamConfig::smallest(), golden.weights()).unwrap();
    let image = sam.look(golden.values("image"), golden.size("image")).unwrap();
    let prompt = |left: f32| SamPrompt { bounds: Some([left, 2.0, 40.0, 30.0]), ..SamPrompt::default() };
    let both = sam.masks(&image, &[prompt(3.0), prompt(9.0)], false).unwrap();
    assert_eq!(sam.masks(&image, &[prompt(9.0)], false).unwrap(), both[1..]);
    assert_ne!(both[0], both[1]);
}

#[test]
fn a_tensor_that_is_missing_or_misshapen_is_named() {
    let golden = Golden::read("sam");
    let name = "vision_encoder.layers.1.attn.rel_pos_h";
    let refused = |state| Sam::load(SamConfig::smallest(), state).unwrap_err().to_string();
    let mut state = golden.weights();
    let mut tensor = state.remove(name).unwrap();
    let missing = refused(state.clone());
    assert!(missing.contains(name) && missing.contains("1 missing"), "{missing}");
    tensor.shape[0] += 1;
    state.insert(name.into(), tensor);
    let misshapen = refused(state);
    assert!(misshapen.contains(&format!("`{name}` has shape 24x8, but tiny needs 23x8")), "{misshapen}");
}

#[test]
fn wrong_sizes_are_refused() {
    let golden = Golden::read("sam");
    let sam = Sam::load(SamConfig::smallest(), golden.weights()).unwrap();
    assert!(sam.look(&[0.0; 5], (1, 2)).is_err());
    // Smaller than a patch is enlarged like every other.
    let image = sam.look(&[0.5; 6], (1, 2)).unwrap();
    let rough = SamPrompt { mask: Some(vec![0.0; 9]), ..SamPrompt::default() };
    let message = sam.masks(&image, &[rough], false).unwrap_err().to_string();
    assert!(message.contains("48 x 48"), "{message}");
}
