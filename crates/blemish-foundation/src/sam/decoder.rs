//! The mask decoder: tokens of a prompt and the image look at each other, then tokens become filters of masks.

use super::config::SamConfig;
use crate::layers::{Activation, Attention, Chain, Linear, Norm, Perceptron, sum, through};
use crate::parameters::Parameters;
use blemish_kernels::transformer::{Mask, add};

/// Epsilon of the norms of tokens, and of the norm of the enlarged map.
const EPSILON: f32 = 1e-5;
const MAP_EPSILON: f32 = 1e-6;

#[derive(Debug)]
pub(super) struct MaskDecoder {
    grid: usize,
    embedding: usize,
    /// The token of quality, then those of the masks.
    own: Vec<f32>,
    layers: Vec<Layer>,
    last: Attention,
    last_norm: Norm,
    /// Both double the sides of a map: 4 pixels a row.
    enlarge: [Linear; 2],
    enlarge_norm: Norm,
    filters: Vec<Chain>,
    quality: Chain,
}

#[derive(Debug)]
struct Layer {
    is_first: bool,
    among: Attention,
    to_image: Attention,
    perceptron: Perceptron,
    to_tokens: Attention,
    norms: [Norm; 4],
}

/// Masks of a prompt: logits of `side` x `side` values each, and how good the network takes them to be.
#[derive(Clone, Debug, PartialEq)]
pub struct SamMasks {
    /// Rows and columns of a mask on the network's square image.
    pub side: usize,
    /// Above 0 is inside.
    pub logits: Vec<Vec<f32>>,
    /// Estimated overlap (intersection over union) of each mask.
    pub quality: Vec<f32>,
}

impl MaskDecoder {
    pub fn load(config: &SamConfig, parameters: &Parameters<'_, '_>) -> Self {
        let SamConfig { embedding, decoder_heads: heads, .. } = *config;
        let masks = config.alternatives + 1;
        let mut own = parameters.take("iou_token.weight", &[1, embedding]);
        own.extend(parameters.take("mask_tokens.weight", &[masks, embedding]));
        let transformer = parameters.at("transformer");
        let layers = (0..config.decoder_depth)
            .map(|index| Layer::load(config, index == 0, &transformer.at(format!("layers.{index}"))))
            .collect();
        let filters = (0..masks)
            .map(|index| {
                let at = parameters.at(format!("output_hypernetworks_mlps.{index}"));
                chain(&at, [embedding, embedding, embedding / 8], 3)
            })
            .collect();
        let quality = [embedding, config.quality_hidden, masks];
        Self {
            grid: config.grid(),
            embedding,
            own,
            layers,
            last: attention(&transformer.at("final_attn_token_to_image"), embedding, embedding / 2, heads),
            last_norm: transformer.norm("layer_norm_final_attn", embedding, EPSILON),
            enlarge: [
                doubling(&parameters.at("upscale_conv1"), embedding, embedding / 4),
                doubling(&parameters.at("upscale_conv2"), embedding / 4, embedding / 8),
            ],
            enlarge_norm: parameters.norm("upscale_layer_norm", embedding / 4, MAP_EPSILON),
            filters,
            quality: chain(&parameters.at("iou_prediction_head"), quality, config.quality_depth),
        }
    }

    /// Masks of one prompt. `image` holds the image's rows with what the prompt says of all patches added, `places` where they lie,
    /// `prompt` the prompt's rows. Either the one mask of clear prompts, or the alternatives.
    pub fn apply(&self, image: Vec<f32>, places: &[f32], prompt: &[f32], has_alternatives: bool) -> SamMasks {
        let start = [&self.own, prompt].concat();
        let (mut tokens, mut image) = (start.clone(), image);
        for layer in &self.layers {
            layer.apply(&mut tokens, &mut image, &start, places);
        }
        let found = self.last.apply(&sum(&tokens, &start), &sum(&image, places), &image, Mask::None);
        add(&mut tokens, &found);
        let tokens = self.last_norm.forward(&tokens, true);
        let token = |index: usize| &tokens[index * self.embedding..][..self.embedding];
        let chosen = if has_alternatives { 1..self.filters.len() } else { 0..1 };
        let quality = self.quality.apply(token(0))[chosen.clone()].to_vec();
        let map = self.enlarged(&image);
        let filters: Vec<f32> =
            chosen.clone().flat_map(|mask| self.filters[mask].apply(token(1 + mask))).collect();
        let filter = Linear::new(chosen.len(), self.embedding / 8, &filters, None);
        let values = through(&filter, &map);
        let count = chosen.len();
        let logits = (0..count).map(|mask| values.iter().skip(mask).step_by(count).copied().collect());
        SamMasks { side: 4 * self.grid, logits: logits.collect(), quality }
    }

    /// The image's rows at four times the grid.
    fn enlarged(&self, image: &[f32]) -> Vec<f32> {
        let mut rows = doubled(&through(&self.enlarge[0], image), self.grid);
        rows = self.enlarge_norm.forward(&rows, true);
        Activation::Gelu.apply(&mut rows);
        let mut rows = doubled(&through(&self.enlarge[1], &rows), 2 * self.grid);
        Activation::Gelu.apply(&mut rows);
        rows
    }
}

impl Layer {
    fn load(config: &SamConfig, is_first: bool, parameters: &Parameters<'_, '_>) -> Self {
        let SamConfig { embedding, decoder_heads: heads, decoder_hidden, .. } = *config;
        let norm = |name| parameters.norm(name, embedding, EPSILON);
        let across = |name| attention(&parameters.at(name), embedding, embedding / 2, heads);
        Self {
            is_first,
            among: attention(&parameters.at("self_attn"), embedding, embedding, heads),
            to_image: across("cross_attn_token_to_image"),
            perceptron: Perceptron {
                first: parameters.linear("mlp.lin1", embedding, decoder_hidden),
                second: parameters.linear("mlp.lin2", decoder_hidden, embedding),
                activation: Activation::Relu,
            },
            to_tokens: across("cross_attn_image_to_token"),
            norms: [norm("layer_norm1"), norm("layer_norm2"), norm("layer_norm3"), norm("layer_norm4")],
        }
    }

    fn apply(&self, tokens: &mut Vec<f32>, image: &mut Vec<f32>, start: &[f32], places: &[f32]) {
        if self.is_first {
            *tokens = self.among.apply(tokens, tokens, tokens, Mask::None);
        } else {
            let placed = sum(tokens, start);
            let found = self.among.apply(&placed, &placed, tokens, Mask::None);
            add(tokens, &found);
        }
        *tokens = self.norms[0].forward(tokens, true);
        let placed_image = sum(image, places);
        let found = self.to_image.apply(&sum(tokens, start), &placed_image, image, Mask::None);
        add(tokens, &found);
        *tokens = self.norms[1].forward(tokens, true);
        let found = self.perceptron.apply(tokens);
        add(tokens, &found);
        *tokens = self.norms[2].forward(tokens, true);
        let found = self.to_tokens.apply(&placed_image, &sum(tokens, start), tokens, Mask::None);
        add(image, &found);
        *image = self.norms[3].forward(image, true);
    }
}

fn attention(parameters: &Parameters<'_, '_>, width: usize, inner: usize, heads: usize) -> Attention {
    Attention {
        query: parameters.linear("q_proj", width, inner),
        key: parameters.linear("k_proj", width, inner),
        value: parameters.linear("v_proj", width, inner),
        out: parameters.linear("out_proj", inner, width),
        heads,
    }
}

/// Maps from `input` over `hidden` to `output` values, `depth` of them.
fn chain(parameters: &Parameters<'_, '_>, [input, hidden, output]: [usize; 3], depth: usize) -> Chain {
    let mut maps = vec![parameters.linear("proj_in", input, hidden)];
    for index in 0..depth.saturating_sub(2) {
        maps.push(parameters.linear(&format!("layers.{index}"), hidden, hidden));
    }
    maps.push(parameters.linear("proj_out", hidden, output));
    Chain(maps)
}

/// A transposed convolution of 2x2 pixels and step 2 as a map of rows to four pixels each.
fn doubling(parameters: &Parameters<'_, '_>, inputs: usize, outputs: usize) -> Linear {
    let weight = parameters.take("weight", &[inputs, outputs, 2, 2]);
    let bias = parameters.take("bias", &[outputs]);
    let mut turned = Vec::with_capacity(weight.len());
    for pixel in 0..4 {
        for output in 0..outputs {
            turned.extend((0..inputs).map(|input| weight[(input * outputs + output) * 4 + pixel]));
        }
    }
    Linear::new(4 * outputs, inputs, &turned, Some(&bias.repeat(4)))
}

/// Rows of four pixels each as rows of one, on a grid of twice the side.
fn doubled(rows: &[f32], grid: usize) -> Vec<f32> {
    let four = rows.len() / (grid * grid);
    let one = four / 4;
    let mut out = Vec::with_capacity(rows.len());
    for y in 0..2 * grid {
        for x in 0..2 * grid {
            let from = (y / 2 * grid + x / 2) * four + (y % 2 * 2 + x % 2) * one;
            out.extend_from_slice(&rows[from..from + one]);
        }
    }
    out
}
