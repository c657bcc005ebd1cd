//! Grounding DINO (arXiv 2303.05499): boxes from phrases.
//!
//! ```text
//! caption -> BERT, phrases apart -> a row a token (once a caption)
//! image -> Swin, three maps and a fourth at half the size -> rows (once an image)
//! both -> encoder: each looks at the other, then at itself
//!      -> the cells most like any token propose boxes -> decoder: boxes look at text and image and move
//!      -> a box and a score for each token
//! ```
//!
//! A phrase ends at a full stop. Weights are those of transformers' files (`IDEA-Research/grounding-dino-tiny`) or of the authors'
//! checkpoint (`groundingdino_swint_ogc.pth`), told apart by their names.

mod boxes;
mod config;
mod decoder;
mod deformable;
mod encoder;
mod image;
mod names;
mod phrases;
mod places;
mod swin;
#[cfg(test)]
mod tests;

pub use config::{GroundingConfig, SwinConfig};
pub use image::GroundingImage;

use crate::bert::{Bert, BertText, bias_of};
use crate::layers::{Activation, Attention, Chain, Linear, Norm, Perceptron, through};
use crate::parameters::{Parameters, read};
use blemish_features::{FeatureError, StateDict};
use boxes::{highest, proposals, sigmoid};
use config::EPSILON;
use decoder::Decoder;
use encoder::EncoderLayer;
use image::ImagePart;
use phrases::Phrases;

/// A Grounding DINO, ready to run.
#[derive(Debug)]
pub struct GroundingDino {
    config: GroundingConfig,
    bert: Bert,
    text_projection: Linear,
    image: ImagePart,
    encoder: Vec<EncoderLayer>,
    proposing: Linear,
    proposing_norm: Norm,
    proposing_box: Chain,
    /// What every box begins with.
    queries: Vec<f32>,
    decoder: Decoder,
}

/// A caption that the network has read, for any number of images.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundingText {
    tokens: Vec<u32>,
    /// A row a token.
    rows: Vec<f32>,
}

impl GroundingText {
    /// From what [`Self::tokens`] and [`Self::rows`] gave.
    pub fn new(tokens: Vec<u32>, rows: Vec<f32>) -> Self {
        Self { tokens, rows }
    }

    /// Numbers of its tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// What the network made of them, a row a token.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }
}

/// A box with its scores.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundingBox {
    /// Centre x, centre y, width, height, as shares of the image's sides.
    pub bounds: [f32; 4],
    /// How much it shows what each token of the caption says, in [0, 1].
    pub scores: Vec<f32>,
}

impl GroundingBox {
    /// The score of its best token.
    pub fn score(&self) -> f32 {
        self.scores.iter().copied().fold(0.0, f32::max)
    }

    /// Which tokens of the caption score above a threshold, without those that end phrases.
    pub fn phrase(&self, tokens: &[u32], threshold: f32) -> Vec<usize> {
        let scored = tokens.iter().zip(&self.scores).enumerate();
        let counts = |(token, score): (&u32, &f32)| *score > threshold && !phrases::is_end(*token);
        scored.filter(|(_, pair)| counts(*pair)).map(|(place, _)| place).collect()
    }
}

impl GroundingDino {
    /// A network from its weights, with the names of either; names of tensors that it has no use for are ignored.
    ///
    /// # Errors
    /// [`FeatureError::WeightsMismatch`] with every tensor that is missing or misshapen.
    pub fn load(config: GroundingConfig, state: StateDict) -> Result<Self, FeatureError> {
        let state = names::unified(state);
        read(&config.name.clone(), "transformers'", &state, |root| {
            let parameters = root.at("model");
            let width = config.width;
            let encoder = (0..config.encoder_depth)
                .map(|index| EncoderLayer::load(&config, &parameters.at(format!("encoder.layers.{index}"))));
            Self {
                bert: Bert::read(config.bert.clone(), &parameters.at("text_backbone")),
                text_projection: parameters.linear("text_projection", config.bert.width, width),
                image: ImagePart::load(&config, &parameters),
                encoder: encoder.collect(),
                proposing: parameters.linear("enc_output", width, width),
                proposing_norm: parameters.norm("enc_output_norm", width, EPSILON),
                proposing_box: head(&parameters.at("encoder_output_bbox_embed"), [width, width, width, 4]),
                queries: parameters.take("query_position_embeddings.weight", &[config.boxes, width]),
                decoder: Decoder::load(&config, &parameters.at("decoder"), root),
                config,
            }
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &GroundingConfig {
        &self.config
    }

    /// Reads a caption, given as tokens with `[CLS]` before and `[SEP]` behind.
    ///
    /// # Errors
    /// [`FeatureError::Prompt`] for an empty caption, one that is too long, or unknown tokens.
    pub fn read(&self, tokens: &[u32]) -> Result<GroundingText, FeatureError> {
        let most = self.config.most_tokens;
        if tokens.len() > most {
            let reason =
                format!("it has {} tokens, at most {most} can be read; part it into several", tokens.len());
            return Err(FeatureError::Prompt { reason });
        }
        let phrases = Phrases::of(tokens);
        let text =
            BertText { places: Some(&phrases.places), seen: Some(&phrases.seen), ..BertText::new(tokens) };
        let rows = through(&self.text_projection, &self.bert.encode(text)?);
        Ok(GroundingText { tokens: tokens.to_vec(), rows })
    }

    /// Looks at an image, 3 x H x W in [0, 1], red first.
    ///
    /// # Errors
    /// [`FeatureError::BadInput`] if the values are not as many as that.
    pub fn look(&self, rgb: &[f32], (height, width): (usize, usize)) -> Result<GroundingImage, FeatureError> {
        if rgb.len() != 3 * height * width || rgb.is_empty() {
            return Err(FeatureError::BadInput { found: rgb.len(), size: [1, height, width] });
        }
        Ok(self.image.look(rgb, (height, width)))
    }

    /// Boxes for a caption, as many as the network gives, best proposals first.
    pub fn detect(&self, image: &GroundingImage, text: &GroundingText) -> Vec<GroundingBox> {
        let width = self.config.width;
        let phrases = Phrases::of(&text.tokens);
        let points = image.points();
        let places = places::of_tokens(&phrases.places, width);
        let scene = encoder::Scene {
            image_places: &image.places,
            points: &points,
            levels: &image.levels,
            text_places: &places,
            text_bias: &bias_of(&phrases.seen),
        };
        let (mut rows, mut words) = (image.rows.clone(), text.rows.clone());
        for layer in &self.encoder {
            layer.apply(&mut rows, &mut words, &scene);
        }
        // How much a row shows of each token.
        let likeness = Linear::new(text.tokens.len(), width, &words, None);
        let boxes = self.propose(&rows, &image.levels, &likeness);
        let queries = self.queries[..boxes.len() * width].to_vec();
        let scene = decoder::Scene { image: &rows, levels: &image.levels, text: &words };
        let (rows, boxes) = self.decoder.apply(queries, boxes, &scene);
        let scores = through(&likeness, &rows);
        boxes
            .into_iter()
            .zip(scores.chunks_exact(text.tokens.len()))
            .map(|(bounds, scores)| GroundingBox {
                bounds,
                scores: scores.iter().map(|x| sigmoid(*x)).collect(),
            })
            .collect()
    }

    /// The boxes of the cells that are most like any token (language-guided query selection).
    fn propose(&self, rows: &[f32], levels: &[(usize, usize)], likeness: &Linear) -> Vec<[f32; 4]> {
        let width = self.config.width;
        let proposals = proposals(levels);
        let mut kept = rows.to_vec();
        for (row, _) in
            kept.chunks_exact_mut(width).zip(&proposals).filter(|(_, proposal)| proposal.is_none())
        {
            row.fill(0.0);
        }
        let candidates = self.proposing_norm.forward(&through(&self.proposing, &kept), true);
        let scores: Vec<f32> = through(likeness, &candidates)
            .chunks_exact(likeness.outputs())
            .map(|scores| scores.iter().copied().fold(f32::NEG_INFINITY, f32::max))
            .collect();
        let chosen = highest(&scores, self.config.boxes);
        let rows: Vec<f32> =
            chosen.iter().flat_map(|cell| &candidates[cell * width..][..width]).copied().collect();
        let changes = self.proposing_box.apply(&rows);
        let (changes, _) = changes.as_chunks::<4>();
        chosen
            .iter()
            .zip(changes)
            .map(|(cell, change)| match proposals[*cell] {
                Some(start) => std::array::from_fn(|at| sigmoid(start[at] + change[at])),
                None => [1.0; 4],
            })
            .collect()
    }
}

/// Attention of rows of `width` values.
fn multihead(parameters: &Parameters<'_, '_>, width: usize, heads: usize) -> Attention {
    Attention {
        query: parameters.linear("query", width, width),
        key: parameters.linear("key", width, width),
        value: parameters.linear("value", width, width),
        out: parameters.linear("out_proj", width, width),
        heads,
    }
}

/// From rows of `width` values to `hidden` and back, rectified between.
fn perceptron(parameters: &Parameters<'_, '_>, width: usize, hidden: usize) -> Perceptron {
    Perceptron {
        first: parameters.linear("fc1", width, hidden),
        second: parameters.linear("fc2", hidden, width),
        activation: Activation::Relu,
    }
}

/// Maps between rows of these lengths, with rectifiers between.
fn head<const N: usize>(parameters: &Parameters<'_, '_>, lengths: [usize; N]) -> Chain {
    let maps = lengths.windows(2).enumerate();
    Chain(maps.map(|(index, pair)| parameters.linear(&format!("layers.{index}"), pair[0], pair[1])).collect())
}
