//! The decoder: boxes look at each other, at the text and at the image, and move.

use super::boxes::moved;
use super::config::{EPSILON, GroundingConfig};
use super::deformable::{Deformable, Start};
use super::{head, multihead, perceptron, places};
use crate::layers::{Attention, Chain, Norm, Perceptron, sum};
use crate::parameters::Parameters;
use blemish_kernels::transformer::{Mask, add};

#[derive(Debug)]
pub(super) struct Decoder {
    width: usize,
    layers: Vec<Layer>,
    /// Places of boxes as rows.
    placing: Chain,
    norm: Norm,
}

#[derive(Debug)]
struct Layer {
    among: Attention,
    after_among: Norm,
    to_text: Attention,
    after_text: Norm,
    to_image: Deformable,
    after_image: Norm,
    perceptron: Perceptron,
    after: Norm,
    /// How far boxes move.
    moving: Chain,
}

/// What boxes look at.
pub(super) struct Scene<'a> {
    pub image: &'a [f32],
    pub levels: &'a [(usize, usize)],
    pub text: &'a [f32],
}

impl Decoder {
    /// `root` is where the maps of moving boxes lie: one for all layers, or one each.
    pub fn load(
        config: &GroundingConfig,
        parameters: &Parameters<'_, '_>,
        root: &Parameters<'_, '_>,
    ) -> Self {
        let width = config.width;
        let is_shared = !root.has("bbox_embed.1.layers.0.weight");
        let mut moving: Vec<Chain> = Vec::new();
        for index in 0..config.decoder_depth {
            moving.push(match moving.first() {
                Some(first) if is_shared => first.clone(),
                _ => head(&root.at(format!("bbox_embed.{index}")), [width, width, width, 4]),
            });
        }
        let layers = moving
            .into_iter()
            .enumerate()
            .map(|(index, moving)| Layer::load(config, &parameters.at(format!("layers.{index}")), moving))
            .collect();
        Self {
            width,
            layers,
            placing: head(&parameters.at("reference_points_head"), [2 * width, width, width]),
            norm: parameters.norm("layer_norm", width, EPSILON),
        }
    }

    /// Rows of boxes as the last layer leaves them, and the boxes. `rows` and `boxes` are what they begin with.
    pub fn apply(
        &self,
        mut rows: Vec<f32>,
        mut boxes: Vec<[f32; 4]>,
        scene: &Scene<'_>,
    ) -> (Vec<f32>, Vec<[f32; 4]>) {
        for (index, layer) in self.layers.iter().enumerate() {
            let placed = self.placing.apply(&places::of_boxes(&boxes, self.width));
            rows = layer.apply(rows, &placed, &boxes, scene);
            if index + 1 < self.layers.len() {
                boxes = moved(&boxes, &layer.moving.apply(&rows));
            }
        }
        let rows = self.norm.forward(&rows, true);
        if let Some(layer) = self.layers.last() {
            boxes = moved(&boxes, &layer.moving.apply(&rows));
        }
        (rows, boxes)
    }
}

impl Layer {
    fn load(config: &GroundingConfig, parameters: &Parameters<'_, '_>, moving: Chain) -> Self {
        let GroundingConfig { width, decoder_heads: heads, decoder_hidden: hidden, .. } = *config;
        let norm = |name| parameters.norm(name, width, EPSILON);
        Self {
            among: multihead(&parameters.at("self_attn"), width, heads),
            after_among: norm("self_attn_layer_norm"),
            to_text: multihead(&parameters.at("encoder_attn_text"), width, heads),
            after_text: norm("encoder_attn_text_layer_norm"),
            to_image: Deformable::load(&parameters.at("encoder_attn"), width, heads, config.points),
            after_image: norm("encoder_attn_layer_norm"),
            perceptron: perceptron(parameters, width, hidden),
            after: norm("final_layer_norm"),
            moving,
        }
    }

    fn apply(&self, mut rows: Vec<f32>, placed: &[f32], boxes: &[[f32; 4]], scene: &Scene<'_>) -> Vec<f32> {
        let query = sum(&rows, placed);
        let found = self.among.apply(&query, &query, &rows, Mask::None);
        add(&mut rows, &found);
        let mut rows = self.after_among.forward(&rows, true);
        let found = self.to_text.apply(&sum(&rows, placed), scene.text, scene.text, Mask::None);
        add(&mut rows, &found);
        let mut rows = self.after_text.forward(&rows, true);
        let found = self.to_image.apply(&sum(&rows, placed), Start::Boxes(boxes), scene.image, scene.levels);
        add(&mut rows, &found);
        let mut rows = self.after_image.forward(&rows, true);
        let changed = self.perceptron.apply(&rows);
        add(&mut rows, &changed);
        self.after.forward(&rows, true)
    }
}
