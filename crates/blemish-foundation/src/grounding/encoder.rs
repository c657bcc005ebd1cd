//! The encoder: image and text look at each other, then each at itself.

use super::config::{EPSILON, GroundingConfig};
use super::deformable::{Deformable, Start};
use super::{multihead, perceptron};
use crate::layers::{Attention, Linear, Norm, Perceptron, sum, through};
use crate::parameters::Parameters;
use blemish_kernels::transformer::{Heads, Mask, Tokens, add, attention};

#[derive(Debug)]
pub(super) struct EncoderLayer {
    fusion: Fusion,
    text: TextLayer,
    image: ImageLayer,
}

/// What all layers of an encoder look at beside the rows.
pub(super) struct Scene<'a> {
    /// Where the cells of the image lie, a row each.
    pub image_places: &'a [f32],
    /// The same as points.
    pub points: &'a [[f32; 2]],
    /// Height and width of every level.
    pub levels: &'a [(usize, usize)],
    /// Where tokens lie in their phrases, a row each.
    pub text_places: &'a [f32],
    /// What is added to the scores of pairs of tokens.
    pub text_bias: &'a [f32],
}

impl EncoderLayer {
    pub fn load(config: &GroundingConfig, parameters: &Parameters<'_, '_>) -> Self {
        Self {
            fusion: Fusion::load(config, &parameters.at("fusion_layer")),
            text: TextLayer::load(config, &parameters.at("text_enhancer_layer")),
            image: ImageLayer::load(config, &parameters.at("deformable_layer")),
        }
    }

    pub fn apply(&self, image: &mut Vec<f32>, text: &mut Vec<f32>, scene: &Scene<'_>) {
        self.fusion.apply(image, text);
        self.text.apply(text, scene);
        self.image.apply(image, scene);
    }
}

/// Attention of the image to the text and back with one table of scores. What comes out is added to the normalised rows.
#[derive(Debug)]
struct Fusion {
    heads: usize,
    image_norm: Norm,
    text_norm: Norm,
    image_key: Linear,
    text_key: Linear,
    image_value: Linear,
    text_value: Linear,
    image_out: Linear,
    text_out: Linear,
    /// How much of every value is added.
    image_share: Vec<f32>,
    text_share: Vec<f32>,
}

impl Fusion {
    fn load(config: &GroundingConfig, parameters: &Parameters<'_, '_>) -> Self {
        let (width, inner) = (config.width, config.encoder_hidden / 2);
        let attn = parameters.at("attn");
        let into = |name| attn.linear(name, width, inner);
        let back = |name| attn.linear(name, inner, width);
        Self {
            heads: config.encoder_heads / 2,
            image_norm: parameters.norm("layer_norm_vision", width, EPSILON),
            text_norm: parameters.norm("layer_norm_text", width, EPSILON),
            image_key: into("vision_proj"),
            text_key: into("text_proj"),
            image_value: into("values_vision_proj"),
            text_value: into("values_text_proj"),
            image_out: back("out_vision_proj"),
            text_out: back("out_text_proj"),
            image_share: parameters.take("vision_param", &[width]),
            text_share: parameters.take("text_param", &[width]),
        }
    }

    fn apply(&self, image: &mut Vec<f32>, text: &mut Vec<f32>) {
        let (image_rows, text_rows) =
            (self.image_norm.forward(image, true), self.text_norm.forward(text, true));
        let (image_key, text_key) =
            (through(&self.image_key, &image_rows), through(&self.text_key, &text_rows));
        let looked = |query: &[f32], key: &[f32], value: Vec<f32>| {
            let width = self.image_key.outputs();
            let sizes = Heads::cross(self.heads, width / self.heads, query.len() / width, key.len() / width);
            let mut found = vec![0.0; query.len()];
            let tokens = [query, key, &value].map(|rows| Tokens::new(rows, width));
            attention(sizes, tokens, |_| Mask::None, &mut found, true);
            found
        };
        let for_image = looked(&image_key, &text_key, through(&self.text_value, &text_rows));
        let for_text = looked(&text_key, &image_key, through(&self.image_value, &image_rows));
        *image = shared(image_rows, &through(&self.image_out, &for_image), &self.image_share);
        *text = shared(text_rows, &through(&self.text_out, &for_text), &self.text_share);
    }
}

/// rows + share x change, value by value.
fn shared(mut rows: Vec<f32>, change: &[f32], share: &[f32]) -> Vec<f32> {
    for (row, change) in rows.chunks_exact_mut(share.len()).zip(change.chunks_exact(share.len())) {
        for ((value, change), share) in row.iter_mut().zip(change).zip(share) {
            *value += share * change;
        }
    }
    rows
}

/// What follows the attention in a layer, of texts as of images.
#[derive(Debug)]
struct Rest {
    after_attention: Norm,
    perceptron: Perceptron,
    after: Norm,
}

impl Rest {
    fn load(parameters: &Parameters<'_, '_>, [first, last]: [&str; 2], [width, hidden]: [usize; 2]) -> Self {
        Self {
            after_attention: parameters.norm(first, width, EPSILON),
            perceptron: perceptron(parameters, width, hidden),
            after: parameters.norm(last, width, EPSILON),
        }
    }

    /// The rows that a layer makes of rows and of what its attention has found for them.
    fn apply(&self, rows: &mut [f32], found: &[f32]) -> Vec<f32> {
        add(rows, found);
        let mut normed = self.after_attention.forward(rows, true);
        let changed = self.perceptron.apply(&normed);
        add(&mut normed, &changed);
        self.after.forward(&normed, true)
    }
}

#[derive(Debug)]
struct TextLayer {
    attention: Attention,
    rest: Rest,
}

impl TextLayer {
    fn load(config: &GroundingConfig, parameters: &Parameters<'_, '_>) -> Self {
        let (width, hidden) = (config.width, config.encoder_hidden / 2);
        Self {
            attention: multihead(&parameters.at("self_attn"), width, config.encoder_heads / 2),
            rest: Rest::load(parameters, ["layer_norm_before", "layer_norm_after"], [width, hidden]),
        }
    }

    fn apply(&self, rows: &mut Vec<f32>, scene: &Scene<'_>) {
        let placed = sum(rows, scene.text_places);
        let found = self.attention.apply(&placed, &placed, rows, Mask::Bias(scene.text_bias));
        *rows = self.rest.apply(rows, &found);
    }
}

#[derive(Debug)]
struct ImageLayer {
    attention: Deformable,
    rest: Rest,
}

impl ImageLayer {
    fn load(config: &GroundingConfig, parameters: &Parameters<'_, '_>) -> Self {
        let (width, hidden) = (config.width, config.encoder_hidden);
        let own = parameters.at("self_attn");
        Self {
            attention: Deformable::load(&own, width, config.encoder_heads, config.points),
            rest: Rest::load(parameters, ["self_attn_layer_norm", "final_layer_norm"], [width, hidden]),
        }
    }

    fn apply(&self, rows: &mut Vec<f32>, scene: &Scene<'_>) {
        let placed = sum(rows, scene.image_places);
        let found = self.attention.apply(&placed, Start::Points(scene.points), rows, scene.levels);
        *rows = self.rest.apply(rows, &found);
    }
}
