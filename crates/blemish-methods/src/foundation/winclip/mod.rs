//! WinCLIP: defects by their words, with no good images or a handful.
//!
//! Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", CVPR 2023, arXiv 2303.14814. CLIP embeds images and texts in
//! one space. Two prototypes, the means of many prompts for a good object ("a photo of a flawless metal nut") and for a defective one, say
//! how anomalous an image is; windows of the image, each sent through the image tower by itself, say where. With a few good images
//! (WinCLIP+) the distance to their features counts as well. Nothing is trained. Pick it for a cold start; where defects are small or the
//! object is one that the web does not know, a handful of good images and another method do better.
//!
//! ```text
//! p      = exp(s_a / T) / (exp(s_n / T) + exp(s_a / T))     s: cosine of an embedding to the prototype of good (n) and defective (a)
//! M_s    = n / sum of 1 / p_w over the n windows w of scale s that cover a token
//! M      = (S + 1) / (1 / p_image + sum over the S scales of 1 / M_s)
//! d(f)   = (1 - greatest cosine of f to the good images' features) / 2
//! W      = mean of d of the patches and, as M_s from p, of the windows of each scale
//! zero-shot: map M, image score p_image;   with good images: map (M + W) / 2, image score (p_image + max W) / 2
//! ```
//!
//! Flow: states and templates -> `prompts` -> text tower -> two prototypes; image -> image tower -> image, windows, patches -> `windows`
//! (harmonic means), `memory` (good images) -> patch scores. The text tower is needed for the fit alone: a model holds the two prototypes, the
//! image tower and the features of the good images.
//!
//! Which network: `clip_vit_b_16_plus_240` as published, or `clip_vit_b_32`, `clip_vit_b_16`, `clip_vit_l_14` with OpenAI's weights. None of them
//! comes with the program. A fit without good images has no threshold until it is calibrated with some; with two or more the features of
//! each are left out while it is scored.
//!
//! Accuracy was not measured: no published CLIP weights were at hand. What is shown is that maps and scores are those of anomalib's WinCLIP with
//! the same random weights: with those of the published size a score to 1.2e-4 and a map to 1.2e-3 of its range. `benches/foundation.py` measures it where weights can be had, beside the paper's figures.
//!
//! On one core of a shared machine an image took 7.5 s with all windows, with anomalib 7.8 s: both spend it in products of matrices, and only the
//! first block's projections and the last block's other tokens are saved. `stride=2` takes about a quarter.
//!
//! # Deviations
//! - The image embedding is of the whole image. The paper averages several crops, of which no code is public; re-implementations without them
//!   stay about one point of image AUROC below it on MVTec AD.
//! - T = 0.07 as in the public codes; the paper takes the one that CLIP learnt, 0.01.
//! - Both sides of an image are resized to the network's size, the paper resizes the shorter one: the same for square images.
//! - Patches that good images are compared by are behind the last norm, as in anomalib.
//! - Underscores in the object's name become blanks, as words are what the text tower knows.
//! - With a stride above 1, windows lie at the far border too, so that every token is covered.
//! - Texts that were decoded by a wrong code page are not repaired before they are split into tokens; open_clip does so by a package.

mod config;
mod memory;
mod prompts;
#[cfg(test)]
pub(crate) mod tests;
mod windows;

pub use config::WinClipConfig;
pub use prompts::TemplateSet;

use crate::shared::tensors::tensors_below;
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, LeaveOneOut, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::region::cells_inside;
use blemish_core::state::{Shared, State, StateError, Storage};
use blemish_data::{Filter, ImageBatch, Transform};
use blemish_features::{FeatureError, StateDict};
use blemish_foundation::clip::{Clip, ImageEmbedding, ImageTower};
use blemish_foundation::text::{BytePairs, TextError};
use config::NAME;
use memory::{Memory, normalized, unit};
use std::sync::Arc;
use windows::{Windows, over_scales, probability};

/// Prefix of the image tower's tensors.
const NETWORK: &str = "network.";

/// A fitted WinCLIP.
pub struct WinClip {
    config: WinClipConfig,
    network: Arc<ImageTower>,
    windows: Vec<Windows>,
    /// Of good and of defective objects, of length 1.
    prototypes: [Vec<f32>; 2],
    memory: Memory,
}

/// What a fit keeps of an image.
struct Looked {
    embedding: ImageEmbedding,
    /// Empty where nothing is compared.
    unit: Vec<Vec<f32>>,
}

impl WinClip {
    fn with(
        config: WinClipConfig,
        network: Arc<ImageTower>,
        prototypes: [Vec<f32>; 2],
        memory: Memory,
    ) -> Result<Self, Error> {
        let grid = network.form().grid();
        config.check_scales(grid)?;
        let windows = config.scales.iter().map(|&scale| Windows::new(grid, scale, config.stride)).collect();
        Ok(Self { config, network, windows, prototypes, memory })
    }

    /// Values of a feature of each kind, patches first.
    fn widths(&self) -> Vec<usize> {
        let form = self.network.form();
        std::iter::once(form.blocks.width).chain(self.windows.iter().map(|_| form.embedding)).collect()
    }

    /// Features an image of each kind, patches first.
    fn counts(&self) -> Vec<usize> {
        let grid = self.network.form().grid();
        std::iter::once(grid * grid).chain(self.windows.iter().map(|windows| windows.tokens.len())).collect()
    }

    /// Bytes that a memory of so many good images takes, packed and not.
    fn memory_bytes(&self, images: usize) -> u64 {
        let values: usize = self.widths().iter().zip(self.counts()).map(|(width, count)| width * count).sum();
        (2 * 4 * images * values) as u64
    }

    /// What the network makes of an image of a batch.
    fn look(&self, batch: &ImageBatch, at: usize, compares: bool) -> Result<Looked, Error> {
        let form = self.network.form();
        if (batch.height, batch.width) != (form.size, form.size) {
            let size = form.size;
            let (found, wanted) = (format!("{}x{}", batch.width, batch.height), format!("{size}x{size}"));
            return Err(FeatureError::FixedSize { network: NAME.into(), wanted, found }.into());
        }
        let lists: Vec<Vec<Vec<usize>>> = self.windows.iter().map(|windows| windows.tokens.clone()).collect();
        let embedding = self.network.embed(batch.image(at), &lists, compares)?;
        let unit = if compares { unit(&embedding, form.blocks.width) } else { Vec::new() };
        Ok(Looked { embedding, unit })
    }

    /// The probability of a defect for each row of embeddings.
    fn probabilities(&self, embeddings: &[f32]) -> Vec<f32> {
        let width = self.network.form().embedding;
        let rows = normalized(embeddings.to_vec(), width);
        let cosine =
            |row: &[f32], prototype: &[f32]| row.iter().zip(prototype).map(|(a, b)| a * b).sum::<f32>();
        let [normal, anomalous] = &self.prototypes;
        rows.chunks_exact(width)
            .map(|row| {
                probability(cosine(row, normal), cosine(row, anomalous), self.config.temperature as f32)
            })
            .collect()
    }

    /// Patch scores of an image; `left_out` says of each good image whether it does not count.
    fn judge(&self, looked: &Looked, left_out: &[bool], inside: &[bool]) -> PatchScores {
        let grid = self.network.form().grid();
        let image = self.probabilities(&looked.embedding.image)[0];
        let windows = self.windows.iter().zip(&looked.embedding.windows);
        let maps: Vec<Vec<f32>> =
            windows.map(|(windows, embeddings)| windows.harmonic(&self.probabilities(embeddings))).collect();
        let by_words = over_scales(image, &maps, grid * grid);
        let has_references = left_out.contains(&false);
        let (values, score) = match has_references {
            false => (by_words, image),
            true => {
                let by_look = self.association_map(looked, left_out);
                let worst = by_look.iter().zip(inside).filter(|(_, inside)| **inside);
                let worst = worst.fold(0.0_f32, |worst, (value, _)| worst.max(*value));
                let both = by_words.iter().zip(&by_look).map(|(words, look)| (words + look) / 2.0);
                (both.collect(), (image + worst) / 2.0)
            }
        };
        PatchScores { height: grid, width: grid, values, image_score: Some(score) }
    }

    /// W: the mean over patches and scales of how far an image's features are from the good images'.
    fn association_map(&self, looked: &Looked, left_out: &[bool]) -> Vec<f32> {
        let mut kinds = self.memory.associations(&looked.unit, left_out).into_iter();
        let mut sum = kinds.next().unwrap_or_default();
        for (windows, scores) in self.windows.iter().zip(kinds) {
            sum.iter_mut().zip(windows.harmonic(&scores)).for_each(|(sum, value)| *sum += value);
        }
        let count = (self.windows.len() + 1) as f32;
        sum.iter().map(|sum| sum / count).collect()
    }

    fn score_with(
        &self,
        input: &Input<'_>,
        left_out: impl Fn(&Looked) -> Vec<bool>,
    ) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let grid = self.network.form().grid();
        let inside = cells_inside(input.region(), grid, grid);
        let one = |at: usize| {
            let looked = self.look(batch, at, self.memory.len() > 0)?;
            Ok(self.judge(&looked, &left_out(&looked), &inside))
        };
        (0..batch.count).map(one).collect()
    }
}

impl LeaveOneOut for WinClip {
    /// An image's own features are known by being the same to the bit, as those of a copy of it are.
    fn score_left_out(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_with(input, |looked| self.memory.same_as(&looked.unit))
    }
}

impl Method for WinClip {
    type Config = WinClipConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "CLIP embeddings of the image and its windows beside those of prompts for good and for damaged objects",
        advice: "for a cold start with no good images or a handful, where a word or two name the object; coarse maps, blind to small \
                 defects, and bring CLIP's weights; from ten good images on patchcore is faster and finds more",
        citation: "Jeong et al., WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation, CVPR 2023, arXiv 2303.14814",
        family: Family::Foundation,
    };

    const EXPORT: Export<Self> =
        Export::Missing("its windows over a network of images and texts have no graph yet");

    fn needs(_: &WinClipConfig) -> Needs {
        Needs::of_image_text()
    }

    fn default_transform(_: &WinClipConfig) -> Transform {
        Transform::resize_to(240, 240).with_filter(Filter::Bicubic)
    }

    fn fit(config: &WinClipConfig, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let clip = context.require_image_text(NAME)?;
        let mut config = config.clone();
        if let (None, [only]) = (&config.object, good.categories())
            && !only.replace('_', " ").trim().is_empty()
        {
            config.object = Some(only.clone());
        }
        config.object.get_or_insert_with(|| "object".into());
        let prototypes = prototypes(&config, &clip, context)?;
        let form = clip.image().form();
        let widths: Vec<usize> =
            std::iter::once(form.blocks.width).chain(config.scales.iter().map(|_| form.embedding)).collect();
        let mut model =
            Self::with(config, clip.image().clone(), prototypes, Memory::new(Vec::new(), &widths))?;
        let shots = model.config.shots.min(good.len());
        if shots == 0 {
            return Ok(model);
        }
        let bytes = model.memory_bytes(shots);
        if let Some(limit) = context.memory_limit.filter(|limit| *limit < bytes) {
            let reason = format!(
                "the features of {shots} good images take {bytes} bytes, and {limit} are allowed; keep fewer (shots)"
            );
            return Err(Error::Fit { method: NAME, reason });
        }
        // Evenly over the set, whose neighbours are often alike.
        let mut chosen = (0..shots).map(|shot| shot * good.len() / shots).peekable();
        let mut images = Vec::with_capacity(shots);
        let mut seen = 0;
        context.observer.stage("embedding good images", Some(shots as u64));
        good.for_each(Pass::IMAGES, &mut |input| {
            let batch = input.images()?;
            for at in 0..batch.count {
                if chosen.next_if_eq(&seen).is_some() {
                    context.check_cancelled()?;
                    images.push(model.look(batch, at, true)?.unit);
                    context.observer.advance(1);
                }
                seen += 1;
            }
            Ok(())
        })?;
        context.check_cancelled()?;
        model.memory = Memory::new(images, &widths);
        Ok(model)
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_with(input, |_| vec![false; self.memory.len()])
    }

    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
        // Without the only one there would be none, and scores of another kind.
        (self.memory.len() != 1).then_some(self)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        let [normal, anomalous] = &self.prototypes;
        state.set_f32("prototypes", &[2, normal.len()], [normal.as_slice(), anomalous].concat());
        self.memory.store(&mut state);
        let make = self.network.make().map(|number| number as u32);
        state.set_u32("network_make", &[make.len()], make.to_vec());
        for (name, tensor) in self.network.tensors().iter() {
            let held: Arc<Held> =
                Arc::new(Held { tensors: self.network.tensors().clone(), name: name.clone() });
            if let Some(values) = Shared::within(&Storage::Memory(held), 0, tensor.data.len()) {
                state.set_f32(&format!("{NETWORK}{name}"), &tensor.shape, values);
            }
        }
        state
    }

    fn config(&self) -> &WinClipConfig {
        &self.config
    }

    fn restore(stored: Stored<WinClipConfig>) -> Result<Self, Error> {
        let Stored { config, mut state, .. } = stored;
        let make = state.u32("network_make", 1)?.1;
        let tensors = tensors_below(NETWORK, &mut state)?;
        let network = match &make[..] {
            &[layers, heads, activation] => {
                ImageTower::restore(NAME, [layers, heads, activation].map(|number| number as usize), tensors)
            }
            _ => None,
        };
        let wrong = |reason: &str| StateError { name: NETWORK.into(), reason: reason.into() };
        let network = network
            .ok_or_else(|| wrong("does not describe an image tower"))?
            .map_err(|error| wrong(&format!("is not whole: {error}")))?;
        let embedding = network.form().embedding;
        let (shape, values) = state.f32("prototypes", 2)?;
        if shape != [2, embedding] {
            let reason = format!("has shape {shape:?}, but the network needs [2, {embedding}]");
            return Err(StateError { name: "prototypes".into(), reason }.into());
        }
        let (normal, anomalous) = values.split_at(embedding);
        let prototypes = [normal.to_vec(), anomalous.to_vec()];
        let mut model = Self::with(config, Arc::new(network), prototypes, Memory::new(Vec::new(), &[]))?;
        let shapes: Vec<[usize; 2]> =
            model.counts().into_iter().zip(model.widths()).map(|(count, width)| [count, width]).collect();
        model.memory = Memory::restore(&state, &shapes)?;
        Ok(model)
    }
}

/// A tensor of a network as bytes that a state shares.
struct Held {
    tensors: Arc<StateDict>,
    name: String,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.tensors.get(&self.name).map_or(&[], |tensor| bytemuck::cast_slice(&tensor.data))
    }
}

/// The mean embeddings of the prompts for good and for defective objects, of length 1.
fn prototypes(config: &WinClipConfig, clip: &Clip, context: &FitContext<'_>) -> Result<[Vec<f32>; 2], Error> {
    let groups = config.prompts()?;
    context.observer.stage("embedding prompts", None);
    let mut prototypes = [Vec::new(), Vec::new()];
    for (prototype, prompts) in prototypes.iter_mut().zip(&groups) {
        context.check_cancelled()?;
        let embeddings = clip.embed_texts(prompts).map_err(|error| unusable(error, config))?;
        let mut sum = vec![0.0_f32; clip.text().form().embedding];
        for embedding in &embeddings {
            sum.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += value);
        }
        let count = embeddings.len() as f32;
        let mean: Vec<f32> = sum.iter().map(|sum| sum / count).collect();
        let width = mean.len();
        *prototype = normalized(mean, width);
    }
    Ok(prototypes)
}

/// Which setting made a prompt that the text tower cannot read: the object, if it alone is too long, else a state or a template.
fn unusable(error: TextError, config: &WinClipConfig) -> Error {
    let most = match &error {
        TextError::TooLong { most, .. } => *most,
        TextError::Empty { .. } | TextError::Vocabulary { .. } => 0,
    };
    let object = config.object.as_deref().unwrap_or_default();
    let is_object = BytePairs::clip().encode(object).len() > most / 2;
    let key = if is_object { "object" } else { "templates" };
    Error::Setting { key: key.into(), reason: error.to_string(), help: "use fewer words".into() }
}
