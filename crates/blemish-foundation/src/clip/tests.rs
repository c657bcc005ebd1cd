//! Against open_clip and transformers; `tests/golden/make_clip.py` makes the files.

use super::*;
use blemish_features::transformer::Activation;
use blemish_features::weights::read_state_dict;
use std::path::PathBuf;

/// Weights, inputs and outputs.
struct Golden(StateDict);

impl Golden {
    fn read(path: &Path) -> Self {
        Self(read_state_dict(path).unwrap())
    }

    fn of(name: &str) -> Self {
        Self::read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name))
    }

    fn weights(&mut self) -> StateDict {
        let (weights, values) =
            std::mem::take(&mut self.0).into_iter().partition(|(name, _)| name.starts_with("weights."));
        self.0 = values;
        StateDict::into_iter(weights)
            .map(|(name, tensor)| (name["weights.".len()..].to_owned(), tensor))
            .collect()
    }

    fn values(&self, name: &str) -> &[f32] {
        &self.0[name].data
    }

    fn count(&self) -> usize {
        self.0["images"].shape[0]
    }

    /// Image `at` in [0, 1] or what is beyond: the network's input without its normalisation.
    fn image(&self, at: usize) -> Vec<f32> {
        let shape = &self.0["images"].shape;
        let (plane, Normalization { mean, std }) = (shape[2] * shape[3], ImageForm::NORMALIZATION);
        let image = &self.values("images")[at * 3 * plane..][..3 * plane];
        image.iter().enumerate().map(|(at, value)| value * std[at / plane] + mean[at / plane]).collect()
    }

    fn texts(&self) -> Vec<Vec<u32>> {
        let length = self.0["texts"].shape[1];
        let prompt = |row: &[f32]| row.iter().map(|token| *token as u32).filter(|token| *token > 0).collect();
        self.values("texts").chunks_exact(length).map(prompt).collect()
    }

    /// The largest difference from stored values, as a share of the largest of them.
    fn off(&self, ours: &[f32], name: &str) -> f32 {
        let theirs = self.values(name);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let largest = theirs.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let off = ours.iter().zip(theirs).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest;
        println!("{name} within {off:.1e}");
        off
    }

    fn close(&self, ours: &[f32], name: &str) {
        let off = self.off(ours, name);
        assert!(off < 1e-4, "{name}: {off:.1e} off");
    }
}

use blemish_features::Normalization;

const TINY: Form = {
    let activation = Activation::Gelu;
    let image = BlocksForm { layers: 3, width: 32, heads: 2, activation };
    let text = BlocksForm { layers: 2, width: 24, heads: 2, activation };
    Form {
        image: ImageForm { size: 40, patch: 8, blocks: image, embedding: 16 },
        text: TextForm { context: 12, vocabulary: 60, blocks: text, embedding: 16 },
    }
};

/// All windows of scale x scale tokens.
fn windows(grid: usize, scale: usize) -> Vec<Vec<usize>> {
    let starts = || 0..=grid - scale;
    let window = |top: usize, left: usize| {
        (top..top + scale).flat_map(|y| (left..left + scale).map(move |x| y * grid + x)).collect()
    };
    starts().flat_map(|top| starts().map(move |left| window(top, left))).collect()
}

fn compare(golden: &Golden, clip: &Clip, scales: &[usize]) {
    let grid = clip.image().form().grid();
    let lists: Vec<Vec<Vec<usize>>> = scales.iter().map(|&scale| windows(grid, scale)).collect();
    let all: Vec<ImageEmbedding> = (0..golden.count())
        .map(|at| clip.image().embed(&golden.image(at), &lists, !scales.is_empty()).unwrap())
        .collect();
    let joined = |of: &dyn Fn(&ImageEmbedding) -> Vec<f32>| all.iter().flat_map(of).collect::<Vec<f32>>();
    golden.close(&joined(&|one| one.image.clone()), "image");
    for (list, scale) in scales.iter().enumerate() {
        golden.close(&joined(&|one| one.windows[list].clone()), &format!("windows.{scale}"));
    }
    if !scales.is_empty() {
        golden.close(&joined(&|one| one.patches.clone()), "patches");
    }
    golden.close(&clip.text().embed(&golden.texts()).concat(), "text");
}

#[test]
fn both_towers_and_windows_are_those_of_open_clip() {
    let mut golden = Golden::of("clip.safetensors");
    let clip = Clip::new("tiny", &TINY, golden.weights()).unwrap();
    compare(&golden, &clip, &[2, 3, 5]);
}

#[test]
fn both_towers_are_those_of_transformers_with_its_names_and_openai_gelu() {
    let mut golden = Golden::of("clip_transformers.safetensors");
    let mut form = TINY;
    form.image.blocks = BlocksForm { layers: 2, activation: Activation::QuickGelu, ..form.image.blocks };
    form.text.blocks.activation = Activation::QuickGelu;
    let clip = Clip::new("tiny", &form, golden.weights()).unwrap();
    compare(&golden, &clip, &[]);
}

#[test]
fn the_published_width_is_open_clips() {
    let Some(folder) = std::env::var_os("BLEMISH_GOLDEN_PUBLISHED") else {
        println!("skipped: BLEMISH_GOLDEN_PUBLISHED names no folder with clip.safetensors");
        return;
    };
    let mut golden = Golden::read(&Path::new(&folder).join("clip.safetensors"));
    let clip = Clip::new("published", &Form::of(ImageText::ClipVitB16Plus240), golden.weights()).unwrap();
    compare(&golden, &clip, &[2, 3]);
}

#[test]
fn a_window_of_the_whole_grid_is_the_image_and_threads_change_nothing() {
    let clip = Clip::tiny();
    let size = clip.image().form().size;
    let rgb: Vec<f32> = (0..3 * size * size).map(|at| (at * 7919 % 1009) as f32 / 1009.0).collect();
    let lists = [windows(6, 6), windows(6, 2)];
    let embed = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| clip.image().embed(&rgb, &lists, false).unwrap())
    };
    let one = embed(1);
    assert_eq!(one.windows[0], one.image);
    assert!(one.patches.is_empty());
    assert_eq!(embed(3), one);
    // Patches come with the last block of all tokens, the class token being the same.
    let with_patches = clip.image().embed(&rgb, &lists, true).unwrap();
    assert_eq!((with_patches.image, with_patches.patches.len()), (one.image, 36 * 32));
    assert!(clip.image().embed(&rgb[1..], &lists, false).is_err());
}

#[test]
fn equal_texts_are_equal_and_all_keep_their_order() {
    let clip = Clip::tiny();
    let texts = ["a photo of a nut", "a photo of a metal nut", "a photo of a nut"].map(str::to_owned);
    let embeddings = clip.embed_texts(&texts).unwrap();
    assert!(embeddings[0] == embeddings[2] && embeddings[0] != embeddings[1]);
    assert_eq!(clip.embed_texts(&texts[1..2]).unwrap()[0], embeddings[1]);
    assert!(clip.embed_texts(&[String::new()]).unwrap_err().to_string().contains("empty"));
    assert!(clip.embed_texts(&["nut ".repeat(400)]).unwrap_err().to_string().contains("75 at most"));
}

#[test]
fn a_missing_and_a_misshapen_tensor_are_named_by_the_names_of_the_file() {
    let files = [
        ("clip.safetensors", "visual.transformer.resblocks.1.attn.in_proj_weight", "text_projection"),
        (
            "clip_transformers.safetensors",
            "vision_model.encoder.layers.1.self_attn.k_proj.weight",
            "text_projection.weight",
        ),
    ];
    for (file, missing, misshapen) in files {
        let mut state = Golden::of(file).weights();
        let mut form = TINY;
        form.image.blocks.layers = 2 + usize::from(file == "clip.safetensors");
        state.remove(missing).unwrap();
        state.get_mut(misshapen).unwrap().shape = vec![7];
        let message = Clip::new("tiny", &form, state).err().unwrap().to_string();
        assert!(message.contains(missing) && message.contains(misshapen), "{message}");
    }
    let missing =
        Clip::load(ImageText::ClipVitB32, Some(Path::new("/nowhere/clip.pt"))).err().unwrap().to_string();
    assert!(missing.contains("/nowhere/clip.pt"), "{missing}");
}

#[test]
fn names_of_trainings_on_several_gpus_are_read() {
    let mut golden = Golden::of("clip.safetensors");
    let state =
        golden.weights().into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
    let clip = Clip::new("tiny", &TINY, state).unwrap();
    golden.close(&clip.text().embed(&golden.texts()).concat(), "text");
}

#[test]
fn a_tower_is_restored_from_its_tensors_and_nonsense_is_none() {
    let clip = Clip::tiny();
    let tensors = StateDict::clone(clip.image().tensors());
    let again = ImageTower::restore("again", clip.image().make(), tensors.clone()).unwrap().unwrap();
    assert_eq!(again.form(), clip.image().form());
    assert!(ImageTower::restore("none", [2, 0, 0], tensors.clone()).is_none());
    assert!(ImageTower::restore("none", [2, 2, 9], tensors.clone()).is_none());
    assert!(ImageTower::restore("none", [usize::MAX, 2, 0], tensors.clone()).is_none());
    assert!(ImageTower::restore("more", [3, 2, 0], tensors).unwrap().is_err());
}
