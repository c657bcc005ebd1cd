//! The prompt encoder: points, boxes and rough masks as rows.

use super::config::SamConfig;
use crate::layers::{Activation, Linear, Norm, squares, through};
use crate::parameters::Parameters;
use std::f32::consts::TAU;

/// Epsilon of its norms.
const EPSILON: f32 = 1e-6;

/// A point of the image and what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Column and row, in pixels of the image.
    pub at: [f32; 2],
    /// Whether it lies on what is looked for, or beside it.
    pub is_inside: bool,
}

/// What a mask is asked for by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamPrompt {
    /// Points on or beside what is looked for.
    pub points: Vec<Point>,
    /// The box around it: left, top, right, bottom, in pixels of the image.
    pub bounds: Option<[f32; 4]>,
    /// Logits of a rough mask, 4 x 4 values a patch of the network's square image, such as an earlier answer.
    pub mask: Option<Vec<f32>>,
}

#[derive(Debug)]
pub(super) struct PromptEncoder {
    side: usize,
    grid: usize,
    /// 2 x embedding / 2.
    frequencies: Vec<f32>,
    /// Beside, on, upper left corner, lower right corner.
    kinds: [Vec<f32>; 4],
    no_point: Vec<f32>,
    no_mask: Vec<f32>,
    mask: MaskEmbedding,
}

#[derive(Debug)]
struct MaskEmbedding {
    first: Linear,
    first_norm: Norm,
    second: Linear,
    second_norm: Norm,
    third: Linear,
}

impl PromptEncoder {
    pub fn load(config: &SamConfig, parameters: &Parameters<'_, '_>) -> Self {
        let SamConfig { embedding, mask_channels, .. } = *config;
        let row = |name: &str| parameters.take(name, &[1, embedding]);
        let mask = parameters.at("mask_embed");
        let third = mask.at("conv3");
        let weight = third.take("weight", &[embedding, mask_channels, 1, 1]);
        Self {
            side: config.side,
            grid: config.grid(),
            frequencies: parameters.take("shared_embedding.positional_embedding", &[2, embedding / 2]),
            kinds: [
                row("point_embed.0.weight"),
                row("point_embed.1.weight"),
                row("point_embed.2.weight"),
                row("point_embed.3.weight"),
            ],
            no_point: row("not_a_point_embed.weight"),
            no_mask: row("no_mask_embed.weight"),
            mask: MaskEmbedding {
                first: mask.patches("conv1", 1, 2, mask_channels / 4),
                first_norm: mask.norm("layer_norm1", mask_channels / 4, EPSILON),
                second: mask.patches("conv2", mask_channels / 4, 2, mask_channels),
                second_norm: mask.norm("layer_norm2", mask_channels, EPSILON),
                third: Linear::new(
                    embedding,
                    mask_channels,
                    &weight,
                    Some(&third.take("bias", &[embedding])),
                ),
            },
        }
    }

    /// Sines and cosines of a place, given as shares of the image's sides: random Fourier features (arXiv 2006.10739).
    fn place(&self, [x, y]: [f32; 2]) -> Vec<f32> {
        let (x, y) = (2.0 * x - 1.0, 2.0 * y - 1.0);
        let (across, down) = self.frequencies.split_at(self.frequencies.len() / 2);
        let angles: Vec<f32> = across.iter().zip(down).map(|(a, d)| TAU * y.mul_add(*d, x * a)).collect();
        // In double precision, whose last bits do not reach the result.
        let sines = angles.iter().map(|angle| f64::from(*angle).sin() as f32);
        sines.chain(angles.iter().map(|angle| f64::from(*angle).cos() as f32)).collect()
    }

    /// Where the patches lie, a row each.
    pub fn patch_places(&self) -> Vec<f32> {
        let share = |index: usize| (index as f32 + 0.5) / self.grid as f32;
        (0..self.grid * self.grid)
            .flat_map(|patch| self.place([share(patch % self.grid), share(patch / self.grid)]))
            .collect()
    }

    /// A row a point and a corner; `scale` brings pixels of the image to those of the network's. Points without a box are followed by a
    /// row that says so.
    pub fn sparse(&self, prompt: &SamPrompt, scale: [f32; 2]) -> Vec<f32> {
        // A pixel's centre is half a pixel from its corner.
        let share = |at: [f32; 2]| [0, 1].map(|axis| at[axis].mul_add(scale[axis], 0.5) / self.side as f32);
        let mut rows = Vec::new();
        let mut push = |at: [f32; 2], kind: usize| {
            let place = self.place(share(at));
            rows.extend(place.iter().zip(&self.kinds[kind]).map(|(place, kind)| place + kind));
        };
        for point in &prompt.points {
            push(point.at, usize::from(point.is_inside));
        }
        match prompt.bounds {
            Some([left, top, right, bottom]) => {
                push([left, top], 2);
                push([right, bottom], 3);
            }
            None if !prompt.points.is_empty() => rows.extend_from_slice(&self.no_point),
            None => {}
        }
        rows
    }

    /// What is added to every patch's row.
    pub fn dense(&self, prompt: &SamPrompt) -> Vec<f32> {
        match &prompt.mask {
            None => self.no_mask.repeat(self.grid * self.grid),
            Some(mask) => self.mask.apply(mask, 4 * self.grid),
        }
    }
}

impl MaskEmbedding {
    fn apply(&self, mask: &[f32], side: usize) -> Vec<f32> {
        let rows = through(&self.first, &squares(mask, [1, side, side], 2));
        let mut rows = self.first_norm.forward(&rows, true);
        Activation::Gelu.apply(&mut rows);
        let planes = planes_of(&rows, self.first.outputs());
        let rows = through(&self.second, &squares(&planes, [self.first.outputs(), side / 2, side / 2], 2));
        let mut rows = self.second_norm.forward(&rows, true);
        Activation::Gelu.apply(&mut rows);
        through(&self.third, &rows)
    }
}

/// Rows of `channels` values as planes.
fn planes_of(rows: &[f32], channels: usize) -> Vec<f32> {
    (0..channels).flat_map(|channel| rows.iter().skip(channel).step_by(channels).copied()).collect()
}
