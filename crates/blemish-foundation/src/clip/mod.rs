//! CLIP: images and texts as vectors in one space.
//!
//! Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, arXiv 2103.00020. An image tower and a
//! text tower, both transformers, were trained so that an image and its caption lie near each other; the cosine of two embeddings says how
//! well a text fits an image.
//!
//! ```text
//! image 3 x S x S ─> patches ─> + class token, positions ─> norm ─> blocks ─> norm ─> class token ─> projection ─> E values
//! text ─> byte pairs ─> + positions ─> blocks (each token sees those before it) ─> norm ─> last token ─> projection ─> E values
//! ```
//!
//! [`Clip`] holds both towers; [`ImageTower`] also embeds windows of an image. Weight files of OpenAI's and open_clip's networks are read under
//! open_clip's names or those of transformers' `CLIPModel`; a TorchScript archive is not, so save the state dict of one.

mod form;
mod image;
mod names;
mod random;
#[cfg(test)]
mod tests;
mod text;

pub use form::{BlocksForm, Form, ImageForm, TextForm};
pub use image::{ImageEmbedding, ImageTower};
pub use text::TextTower;

use crate::text::{BytePairs, TextError};
use blemish_features::transformer::{Block, BlockNames, BlockSizes, TensorReader};
use blemish_features::{FeatureError, ImageText, StateDict};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Added to variances by all norms.
const BLOCK_EPSILON: f32 = 1e-5;

/// The blocks of either tower.
fn read_blocks(reader: &mut TensorReader<'_>, form: BlocksForm) -> Vec<Block> {
    let sizes = BlockSizes {
        width: form.width,
        heads: form.heads,
        hidden: 4 * form.width,
        epsilon: BLOCK_EPSILON,
        activation: form.activation,
        ..BlockSizes::default()
    };
    let names = |layer| BlockNames::open_clip(&format!("transformer.resblocks.{layer}"));
    (0..form.layers).map(|layer| Block::read(reader, &names(layer), sizes)).collect()
}

/// Both towers of a CLIP.
pub struct Clip {
    name: String,
    image: Arc<ImageTower>,
    text: TextTower,
    /// Embeddings of prompts that were asked for before: fits of a calibration ask for the same ones.
    known: Mutex<BTreeMap<String, Vec<f32>>>,
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clip").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Clip {
    /// A network of this form from the tensors of a weight file; `name` is for messages and models.
    ///
    /// # Errors
    /// [`FeatureError::WeightsMismatch`] naming every tensor that is missing or misshapen.
    pub fn new(name: &str, form: &Form, state: StateDict) -> Result<Self, FeatureError> {
        let towers = names::towers(name, form, state)?;
        Ok(Self {
            name: name.to_owned(),
            text: TextTower::new(name, form.text, &towers.text)?,
            image: Arc::new(ImageTower::new(name, form.image, Arc::new(towers.image))?),
            known: Mutex::default(),
        })
    }

    /// A known network from a weight file, or from the weight store where none is given.
    ///
    /// # Errors
    /// [`FeatureError::NoWeights`] where there is neither, else what reading them says.
    pub fn load(network: ImageText, weights: Option<&Path>) -> Result<Self, FeatureError> {
        let path = network.weight_file(weights)?;
        let state = blemish_features::weights::read_state_dict(&path)?;
        Self::new(network.name(), &Form::of(network), state).map_err(|error| error.in_file(&path))
    }

    /// A tiny network with random weights, always the same: it runs in moments and knows nothing. For tests.
    pub fn tiny() -> Self {
        Self::random(&Form::tiny(), 1)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The image tower.
    pub fn image(&self) -> &Arc<ImageTower> {
        &self.image
    }

    /// The text tower.
    pub fn text(&self) -> &TextTower {
        &self.text
    }

    /// The embeddings of texts, not normalised.
    ///
    /// # Errors
    /// [`TextError`] for a text that is empty or longer than the network reads.
    pub fn embed_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, TextError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<&String> = {
            let known = known();
            texts.iter().filter(|text| !known.contains_key(*text)).collect()
        };
        new.sort();
        new.dedup();
        let prompt = |text: &&String| BytePairs::clip().prompt(text, self.text.form().context);
        let prompts = new.iter().map(prompt).collect::<Result<Vec<_>, _>>()?;
        // Not under the lock: threads that help here may ask for texts themselves.
        let embeddings = self.text.embed(&prompts);
        let mut known = known();
        known.extend(new.into_iter().cloned().zip(embeddings));
        Ok(texts.iter().map(|text| known[text].clone()).collect())
    }
}
