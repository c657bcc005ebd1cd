//! Section 10 of the specification, anomalib's WinCLIP, and every error once.

use super::prompts::{ANOMALOUS, NORMAL};
use super::*;
use crate::contract::Small;
use crate::testing::{Golden, image_batch};
use blemish_core::check::Images;
use blemish_features::Tensor;
use blemish_foundation::clip::{BlocksForm, Form, ImageForm, TextForm};
use blemish_kernels::map::resize_bilinear;
use blemish_kernels::transformer::Activation;

/// On a tiny network with random weights, which knows no words: what it finds, it finds by the good images.
pub(crate) const SMALL: &[Small] = &[
    Small::new(NAME, &[("shots", "4"), ("object", "metal_nut")]).untaught(),
    Small::new(NAME, &[("shots", "0"), ("scales", "[2]"), ("stride", "2")]).untaught(),
];

fn close(ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() <= tolerance, "{ours}, not {theirs}");
    }
}

fn image(size: usize, seed: usize) -> Vec<f32> {
    (0..3 * size * size).map(|at| ((at * 7919 + seed * 104_729) % 1009) as f32 / 1009.0).collect()
}

fn context() -> FitContext<'static> {
    FitContext { image_text: Some(Arc::new(Clip::tiny())), ..FitContext::new(0, None) }
}

fn fit(config: &WinClipConfig, images: &[Vec<f32>]) -> Result<WinClip, Error> {
    let good = images.iter().map(|image| ((96, 96), image.clone())).collect();
    WinClip::fit(config, &Images::new(good, None), &context())
}

fn score(model: &WinClip, images: &[Vec<f32>]) -> Vec<PatchScores> {
    model.score(&Input::of_images(&image_batch((96, 96), images))).unwrap()
}

#[test]
fn there_are_154_prompts_of_good_and_88_of_defective_objects() {
    let count = |config: WinClipConfig| config.prompts().unwrap().map(|prompts| prompts.len());
    assert_eq!(count(WinClipConfig::default()), [154, 88]);
    let template_set = TemplateSet::Anomalib;
    assert_eq!(count(WinClipConfig { template_set, ..Default::default() }), [147, 84]);
    let templates = TemplateSet::Paper.templates();
    let distinct: std::collections::BTreeSet<&String> = templates.iter().collect();
    assert_eq!(distinct.len(), 22);
    let anomalib = template_set.templates();
    assert!(anomalib.iter().all(|template| template.ends_with('.')));
    let twice = |template: &&String| *template == "a jpeg corrupted photo of the {}.";
    assert_eq!(anomalib.iter().filter(twice).count(), 2);
    let [good, bad] =
        WinClipConfig { object: Some("metal_nut".into()), ..Default::default() }.prompts().unwrap();
    assert_eq!(good[0], "a cropped photo of the metal nut");
    assert_eq!(good[153], "a photo of a metal nut without damage for anomaly detection");
    assert_eq!(bad[22], "a cropped photo of the metal nut with flaw");
    assert_eq!((NORMAL.len(), ANOMALOUS.len()), (7, 4));
}

#[test]
fn states_and_templates_are_the_users_and_nonsense_is_refused_by_its_setting() {
    let own = |key: &str, value: &str| {
        let pairs = [(key.to_owned(), value.to_owned())];
        blemish_core::settings::parse::<WinClipConfig>(&pairs)
            .and_then(|settings| blemish_core::settings::typed::<WinClipConfig>(&settings))
            .and_then(|config| Ok((config.prompts()?, config)))
    };
    let ([good, bad], _) = own("states_normal", r#"["clean {}"]"#).unwrap();
    assert_eq!((good.len(), bad.len(), good[0].as_str()), (22, 88, "a cropped photo of the clean object"));
    let ([good, _], _) = own("templates", r#"["{}", "an x-ray of a {}"]"#).unwrap();
    assert_eq!((good.len(), good[3].as_str()), (14, "an x-ray of a flawless object"));
    for (key, value) in [
        ("states_anomalous", "[]"),
        ("states_normal", r#"["perfect"]"#),
        ("templates", r#"["a photo"]"#),
        ("object", " _ "),
    ] {
        let message = own(key, value).err().unwrap().to_string();
        assert!(message.contains(&format!("`{key}`")), "{message}");
    }
}

#[test]
fn a_cosine_becomes_a_probability_by_the_temperature() {
    assert!((probability(0.30, 0.25, 0.07) - 0.328_652_55).abs() < 1e-6);
    assert!((probability(0.30, 0.25, 0.01) - 0.006_692_851).abs() < 1e-7);
}

#[test]
fn windows_become_tokens_by_the_harmonic_mean() {
    let map = Windows::new(3, 2, 1).harmonic(&[0.2, 0.4, 0.6, 0.8]);
    close(&map, &[0.2, 0.266_667, 0.4, 0.3, 0.384, 0.533_333, 0.6, 0.685_714, 0.8], 1e-6);
    // The most normal window there can be makes its tokens normal, whatever the others say.
    assert_eq!(Windows::new(3, 2, 1).harmonic(&[0.0, 0.4, 0.6, 0.8])[4], 0.0);
    close(&over_scales(0.5, &[vec![0.2], vec![0.25]], 1), &[0.272_727], 1e-6);
}

#[test]
fn every_token_is_covered_whatever_the_stride() {
    for (grid, scale, stride) in [(15, 2, 1), (15, 3, 1), (15, 2, 2), (15, 3, 4), (7, 7, 3), (5, 1, 2)] {
        let windows = Windows::new(grid, scale, stride);
        assert!(
            windows.harmonic(&vec![0.5; windows.tokens.len()]).iter().all(|value| (value - 0.5).abs() < 1e-6)
        );
    }
    let count = |scale| Windows::new(15, scale, 1).tokens.len();
    assert_eq!((count(2), count(3), count(15)), (196, 169, 1));
}

#[test]
fn a_feature_is_at_0_from_itself_at_1_from_its_opposite_and_halfway_from_what_is_at_right_angles() {
    let memory = |rows: Vec<f32>| Memory::new(vec![vec![rows]], &[2]);
    let to = |rows: &[f32]| memory(vec![0.6, 0.8]).associations(&[rows.to_vec()], &[false])[0].clone();
    close(&to(&[0.6, 0.8, -0.6, -0.8, -0.8, 0.6]), &[0.0, 1.0, 0.5], 1e-6);
    let two = Memory::new(vec![vec![vec![1.0, 0.0]], vec![vec![0.0, 1.0]]], &[2]);
    close(&two.associations(&[vec![1.0, 0.0]], &[false, false])[0], &[0.0], 1e-6);
    close(&two.associations(&[vec![1.0, 0.0]], &[true, false])[0], &[0.5], 1e-6);
    assert_eq!(two.same_as(&[vec![0.0, 1.0]]), [false, true]);
}

#[test]
fn a_window_of_the_whole_grid_scores_as_the_image() {
    let config = WinClipConfig { scales: vec![6], shots: 0, ..Default::default() };
    let scores = score(&fit(&config, &[]).unwrap(), &[image(96, 1)]);
    let image_score = scores[0].image_score.unwrap();
    close(&scores[0].values, &[image_score; 36], 1e-6);
}

#[test]
fn a_good_image_itself_is_at_no_distance_and_scores_half_of_what_words_say() {
    let images: Vec<Vec<f32>> = (0..3).map(|seed| image(96, seed)).collect();
    let few = fit(&WinClipConfig::default(), &images).unwrap();
    let zero = fit(&WinClipConfig { shots: 0, ..Default::default() }, &images).unwrap();
    for (few, zero) in score(&few, &images).iter().zip(score(&zero, &images)) {
        assert!((few.image_score.unwrap() - zero.image_score.unwrap() / 2.0).abs() < 1e-6);
        let halves: Vec<f32> = zero.values.iter().map(|value| value / 2.0).collect();
        close(&few.values, &halves, 1e-6);
    }
}

#[test]
fn left_out_a_good_image_scores_as_if_it_had_not_been_there() {
    let images: Vec<Vec<f32>> = (0..3).map(|seed| image(96, seed)).collect();
    let all = fit(&WinClipConfig::default(), &images).unwrap();
    let others = fit(&WinClipConfig::default(), &images[1..]).unwrap();
    let batch = image_batch((96, 96), &images[..1]);
    let left_out = all.leave_one_out().unwrap().score_left_out(&Input::of_images(&batch)).unwrap();
    assert_eq!(left_out, score(&others, &images[..1]));
    // An image that is not among them loses nothing.
    let batch = image_batch((96, 96), &[image(96, 9)]);
    let unseen = all.leave_one_out().unwrap().score_left_out(&Input::of_images(&batch)).unwrap();
    assert_eq!(unseen, score(&all, &[image(96, 9)]));
    assert!(
        fit(&WinClipConfig { shots: 1, ..Default::default() }, &images).unwrap().leave_one_out().is_none()
    );
}

#[test]
fn the_object_is_what_is_said_else_the_category_and_shots_are_spread_evenly() {
    let images: Vec<Vec<f32>> = (0..5).map(|seed| image(96, seed)).collect();
    let model = fit(&WinClipConfig { shots: 2, ..Default::default() }, &images).unwrap();
    assert_eq!((model.config.object.as_deref(), model.memory.len()), (Some("images"), 2));
    let own = [image(96, 0), image(96, 2)].map(|image| {
        let looked = model.look(&image_batch((96, 96), &[image]), 0, true).unwrap();
        model.memory.same_as(&looked.unit)
    });
    assert_eq!(own, [[true, false], [false, true]]);
    let said = WinClipConfig { object: Some("bolt".into()), shots: 0, ..Default::default() };
    assert_ne!(fit(&said, &images).unwrap().prototypes, model.prototypes);
}

#[test]
fn errors_name_what_to_change() {
    let words = |config: WinClipConfig| fit(&config, &[]).err().unwrap().to_string();
    let long = WinClipConfig { object: Some("very ".repeat(400)), ..Default::default() };
    let message = words(long);
    assert!(message.contains("`object`") && message.contains("75 at most"), "{message}");
    let message = words(WinClipConfig { scales: vec![2, 7], ..Default::default() });
    assert!(message.contains("`scales`") && message.contains("1 to 6"), "{message}");
    let none =
        WinClip::fit(&WinClipConfig::default(), &Images::new(Vec::new(), None), &FitContext::new(0, None));
    assert!(none.err().unwrap().to_string().contains("images and texts"));
    let model = fit(&WinClipConfig::default(), &[]).unwrap();
    let other = image_batch((48, 48), &[image(48, 0)]);
    let message = model.score(&Input::of_images(&other)).unwrap_err().to_string();
    assert!(message.contains("96x96"), "{message}");
    let limited = FitContext { memory_limit: Some(1000), ..context() };
    let good = Images::new(vec![((96, 96), image(96, 0))], None);
    let message = WinClip::fit(&WinClipConfig::default(), &good, &limited).err().unwrap().to_string();
    assert!(message.contains("shots"), "{message}");
}

/// The network of a golden file: of its token embedding only some rows are there.
fn golden_network(golden: &Golden, form: &Form) -> Clip {
    let mut state = golden.weights();
    let width = form.text.blocks.width;
    let mut rows = vec![0.0; form.text.vocabulary * width];
    let known = state.remove("token_embedding.weight").unwrap().data;
    for (row, id) in known.chunks_exact(width).zip(golden.values("token_rows").1) {
        rows[id as usize * width..][..width].copy_from_slice(row);
    }
    let shape = vec![form.text.vocabulary, width];
    state.insert("token_embedding.weight".into(), Tensor { shape, data: rows });
    Clip::new("golden", form, state).unwrap()
}

/// Images of a golden file in [0, 1] or what is beyond.
fn golden_images(golden: &Golden, name: &str) -> (usize, Vec<Vec<f32>>) {
    let (shape, values) = golden.values(name);
    let plane = shape[2] * shape[3];
    let normalization = ImageForm::NORMALIZATION;
    let plain = |image: &[f32]| {
        let value = |(at, value): (usize, &f32)| {
            value * normalization.std[at / plane] + normalization.mean[at / plane]
        };
        image.iter().enumerate().map(value).collect()
    };
    (shape[2], values.chunks_exact(3 * plane).map(plain).collect())
}

/// Maps, by their range if `by_range`, and scores of anomalib's model.
fn compare(golden: &Golden, form: &Form, by_range: bool) {
    let clip = Arc::new(golden_network(golden, form));
    let (size, references) = golden_images(golden, "references");
    let (_, images) = golden_images(golden, "images");
    let off = |ours: &[f32], name: &str| {
        let theirs = golden.values(name).1;
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let [least, most] = [f32::min, f32::max].map(|of| theirs.iter().copied().reduce(of).unwrap());
        // Maps vary little around a value, single scores have no range.
        let scale = if by_range && name.ends_with("map") { most - least } else { most };
        let off = ours.iter().zip(&theirs).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / scale;
        println!("{name} within {off:.1e}");
        assert!(off < 1e-3, "{name}: {off:.1e} off");
    };
    for (name, shots) in [("zero", 0), ("few", 2)] {
        let config = WinClipConfig {
            object: Some("metal nut".into()),
            template_set: TemplateSet::Anomalib,
            shots,
            ..Default::default()
        };
        let good = references.iter().map(|image| ((size, size), image.clone())).collect();
        let context = FitContext { image_text: Some(clip.clone()), ..FitContext::new(0, None) };
        let model = WinClip::fit(&config, &Images::new(good, None), &context).unwrap();
        if shots == 0 {
            let stored = golden.values("prototypes").1;
            let width = stored.len() / 2;
            for (ours, theirs) in model.prototypes.iter().zip(normalized(stored, width).chunks_exact(width)) {
                close(ours, theirs, 1e-5);
            }
        }
        let found = model.score(&Input::of_images(&image_batch((size, size), &images))).unwrap();
        let grid = (found[0].height, found[0].width);
        let maps: Vec<f32> =
            found.iter().flat_map(|one| resize_bilinear(&one.values, grid, (size, size))).collect();
        let scores: Vec<f32> = found.iter().filter_map(|one| one.image_score).collect();
        off(&maps, &format!("{name}.map"));
        off(&scores, &format!("{name}.score"));
    }
}

#[test]
fn maps_and_scores_are_those_of_anomalib_with_the_same_weights() {
    let blocks = |layers, width| BlocksForm { layers, width, heads: 2, activation: Activation::Gelu };
    let form = Form {
        image: ImageForm { size: 48, patch: 8, blocks: blocks(2, 32), embedding: 16 },
        text: TextForm { context: 77, vocabulary: BytePairs::COUNT, blocks: blocks(2, 24), embedding: 16 },
    };
    compare(&Golden::read("winclip"), &form, true);
}

#[test]
fn the_published_network_gives_anomalibs_maps_and_scores() {
    if let Some(golden) = Golden::published("winclip") {
        compare(&golden, &Form::of(blemish_features::ImageText::ClipVitB16Plus240), false);
    }
}
