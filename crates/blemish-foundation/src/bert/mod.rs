//! BERT (arXiv 1810.04805): texts as vectors, one a token.
//!
//! ```text
//! token + kind of sentence + place -> layer norm
//!       -> depth x (attention among the tokens, layer norm, perceptron, layer norm) -> a row a token
//! ```
//!
//! The norms stand behind the sums. Weights are those of transformers' files, with the prefix `bert.` or without.

#[cfg(test)]
mod tests;

use crate::parameters::{Parameters, read};
use blemish_features::transformer::{Activation, BlockNames, BlockSizes, Encoder, Mask, Norm, Order};
use blemish_features::{FeatureError, StateDict};
use blemish_kernels::transformer::add;
use serde::{Deserialize, Serialize};

/// Epsilon of its norms.
const EPSILON: f32 = 1e-12;

/// Sizes of a BERT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Name for messages.
    pub name: String,
    /// Number of different tokens.
    pub vocabulary: usize,
    /// Length of a token's row.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Length of the rows between the two maps of a block.
    pub hidden: usize,
    /// Most tokens of a text.
    pub positions: usize,
}

impl BertConfig {
    /// `bert-base-uncased`: 110 million parameters.
    pub fn base() -> Self {
        Self {
            name: "bert_base_uncased".into(),
            vocabulary: 30522,
            width: 768,
            depth: 12,
            heads: 12,
            hidden: 3072,
            positions: 512,
        }
    }
}

/// Kinds of sentences.
const KINDS: usize = 2;

/// A BERT, ready to run.
#[derive(Debug)]
pub struct Bert {
    config: BertConfig,
    words: Vec<f32>,
    places: Vec<f32>,
    kinds: Vec<f32>,
    norm: Norm,
    encoder: Encoder,
}

/// A text as BERT takes it.
#[derive(Clone, Copy, Debug)]
pub struct BertText<'a> {
    /// Numbers of its tokens.
    pub tokens: &'a [u32],
    /// The place of each token; `None` counts them.
    pub places: Option<&'a [usize]>,
    /// The kind of sentence of each token, 0 or 1; `None` is all 0.
    pub kinds: Option<&'a [usize]>,
    /// Which tokens each sees: n x n, or n for all alike; `None` is all.
    pub seen: Option<&'a [bool]>,
}

impl<'a> BertText<'a> {
    /// Tokens that see each other.
    pub fn new(tokens: &'a [u32]) -> Self {
        Self { tokens, places: None, kinds: None, seen: None }
    }
}

impl Bert {
    /// A network from its weights; names of tensors that it has no use for are ignored.
    ///
    /// # Errors
    /// [`FeatureError::WeightsMismatch`] with every tensor that is missing or misshapen.
    pub fn load(config: BertConfig, state: &StateDict) -> Result<Self, FeatureError> {
        let is_prefixed = state.keys().any(|name| name.starts_with("bert.embeddings."));
        read(&config.name.clone(), "transformers'", state, |parameters| match is_prefixed {
            true => Self::read(config, &parameters.at("bert")),
            false => Self::read(config, parameters),
        })
    }

    /// As a part of another network.
    pub(crate) fn read(config: BertConfig, parameters: &Parameters<'_, '_>) -> Self {
        let BertConfig { vocabulary, width, positions, heads, hidden, .. } = config;
        let embeddings = parameters.at("embeddings");
        let sizes = BlockSizes {
            width,
            heads,
            hidden,
            epsilon: EPSILON,
            activation: Activation::Gelu,
            order: Order::After,
        };
        let blocks = (0..config.depth).map(|index| {
            let names = BlockNames::bert(&parameters.full(&format!("encoder.layer.{index}")));
            parameters.block(&names, sizes)
        });
        Self {
            words: embeddings.take("word_embeddings.weight", &[vocabulary, width]),
            places: embeddings.take("position_embeddings.weight", &[positions, width]),
            kinds: embeddings.take("token_type_embeddings.weight", &[KINDS, width]),
            norm: embeddings.norm("LayerNorm", width, EPSILON),
            encoder: Encoder { blocks: blocks.collect(), last: None },
            config,
        }
    }

    /// Its sizes.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The rows of a text's tokens, n x width.
    ///
    /// # Errors
    /// [`FeatureError::Prompt`] for an empty text, one that is too long, or tokens that are not in the vocabulary.
    pub fn encode(&self, text: BertText<'_>) -> Result<Vec<f32>, FeatureError> {
        self.check(&text)?;
        let count = text.tokens.len();
        let row = |table: &[f32], at: usize| table[at * self.config.width..][..self.config.width].to_vec();
        let mut rows = Vec::with_capacity(count * self.config.width);
        for (index, &token) in text.tokens.iter().enumerate() {
            let mut sum = row(&self.words, token as usize);
            add(&mut sum, &row(&self.kinds, text.kinds.map_or(0, |kinds| kinds[index])));
            add(&mut sum, &row(&self.places, text.places.map_or(index, |places| places[index])));
            rows.extend(sum);
        }
        let mut rows = self.norm.forward(&rows, true);
        let bias: Option<Vec<f32>> = text.seen.filter(|seen| seen.len() != count).map(bias_of);
        let mask = match (&bias, text.seen) {
            (Some(bias), _) => Mask::Bias(bias),
            (None, Some(seen)) => Mask::Keys(seen),
            (None, None) => Mask::None,
        };
        self.encoder.forward(&mut rows, count, |_| mask, true);
        Ok(rows)
    }

    fn check(&self, text: &BertText<'_>) -> Result<(), FeatureError> {
        let refuse = |reason: String| Err(FeatureError::Prompt { reason });
        let count = text.tokens.len();
        if count == 0 {
            return refuse("it has no words".into());
        }
        if count > self.config.positions {
            return refuse(format!("it has {count} tokens, at most {} can be read", self.config.positions));
        }
        if let Some(token) = text.tokens.iter().find(|token| **token as usize >= self.config.vocabulary) {
            return refuse(format!("token {token} is not among the {} known", self.config.vocabulary));
        }
        let fits = |values: Option<&[usize]>, most| {
            values.is_none_or(|values| values.len() == count && values.iter().all(|value| *value < most))
        };
        let seen = text.seen.is_none_or(|seen| seen.len() == count || seen.len() == count * count);
        if !fits(text.places, self.config.positions) || !fits(text.kinds, KINDS) || !seen {
            return refuse("its places, kinds and masks are not those of its tokens".into());
        }
        Ok(())
    }
}

/// Zero where a token is seen, minus infinity where it is not.
pub(crate) fn bias_of(seen: &[bool]) -> Vec<f32> {
    seen.iter().map(|seen| if *seen { 0.0 } else { f32::NEG_INFINITY }).collect()
}
