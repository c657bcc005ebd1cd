//! The text tower: prompts as vectors.

use super::form::TextForm;
use super::{BLOCK_EPSILON, read_blocks};
use blemish_features::transformer::{Activation, Encoder, Linear, Mask, TensorReader};
use blemish_features::{FeatureError, StateDict};
use std::collections::BTreeMap;

/// A CLIP text tower.
pub struct TextTower {
    form: TextForm,
    /// vocabulary x width.
    tokens: Vec<f32>,
    /// context x width.
    positions: Vec<f32>,
    encoder: Encoder,
    projection: Linear,
}

impl TextTower {
    /// From tensors under open_clip's names.
    ///
    /// # Errors
    /// [`FeatureError::WeightsMismatch`].
    pub fn new(name: &str, form: TextForm, tensors: &StateDict) -> Result<Self, FeatureError> {
        let TextForm { context, vocabulary, blocks, embedding } = form;
        let width = blocks.width;
        let mut reader = TensorReader::new(name, "open_clip", tensors);
        let blocks = read_blocks(&mut reader, blocks);
        let tower = Self {
            form,
            tokens: reader.tensor("token_embedding.weight", &[vocabulary, width]).into_owned(),
            positions: reader.tensor("positional_embedding", &[context, width]).into_owned(),
            encoder: Encoder { blocks, last: Some(reader.norm("ln_final", width, BLOCK_EPSILON)) },
            projection: reader.linear_transposed("text_projection", embedding, width),
        };
        reader.finish()?;
        Ok(tower)
    }

    /// Its sizes.
    pub fn form(&self) -> &TextForm {
        &self.form
    }

    /// The embedding of each prompt, not normalised; prompts are tokens from the first to the one that ends the text.
    ///
    /// A token sees those before it only, so what open_clip fills up behind the end changes nothing and is left out. Prompts of one length
    /// go together. The same bits on any number of threads of the current pool.
    ///
    /// # Panics
    /// If a prompt is empty, longer than the context, or holds a token that is not in the vocabulary.
    pub fn embed(&self, prompts: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let width = self.form.blocks.width;
        let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, prompt) in prompts.iter().enumerate() {
            by_length.entry(prompt.len()).or_default().push(number);
        }
        let mut embeddings = vec![Vec::new(); prompts.len()];
        for (length, numbers) in by_length {
            let tokens = numbers
                .iter()
                .flat_map(|&number| prompts[number].iter().zip(self.positions.chunks_exact(width)));
            let mut rows: Vec<f32> = tokens
                .flat_map(|(&token, position)| {
                    let token = &self.tokens[token as usize * width..][..width];
                    token.iter().zip(position).map(|(token, position)| token + position)
                })
                .collect();
            assert_eq!(
                rows.len(),
                numbers.len() * length * width,
                "a prompt is at most as long as the context"
            );
            self.encoder.forward(&mut rows, length, |_| Mask::Causal, true);
            for (rows, &number) in rows.chunks_exact(length * width).zip(&numbers) {
                let last = &rows[(length - 1) * width..];
                embeddings[number] = self.projection.forward(last, Activation::None, false);
            }
        }
        embeddings
    }
}
