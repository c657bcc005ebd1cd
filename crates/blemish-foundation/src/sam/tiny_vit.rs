//! The image encoder of MobileSAM (arXiv 2306.14289): TinyViT (arXiv 2207.10666), convolutions first, then attention within windows.

use super::config::{SamConfig, TinyVitConfig};
use super::encoder::{Neck, Tiles};
use crate::layers::{Activation, Conv, Linear, Norm, Perceptron, through};
use crate::parameters::Parameters;
use blemish_kernels::transformer::{Heads, Mask, Tokens, add, attention};

/// Epsilon of its norms, of rows and of batches.
const EPSILON: f32 = 1e-5;
/// How much wider the convolutional blocks are inside.
const EXPANSION: usize = 4;

#[derive(Debug)]
pub(super) struct TinyVit {
    side: usize,
    stem: [Conv; 2],
    blocks: Vec<Convolutional>,
    stages: Vec<Stage>,
    neck: Neck,
}

/// 1x1, depthwise 3x3, 1x1, and what came in.
#[derive(Debug)]
struct Convolutional([Conv; 3]);

/// Fewer or wider rows, then blocks.
#[derive(Debug)]
struct Stage {
    merge: [Conv; 3],
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    norm: Norm,
    /// Queries, keys and values of all heads side by side.
    joined: Linear,
    out: Linear,
    heads: usize,
    window: usize,
    /// heads x tokens x tokens.
    bias: Vec<f32>,
    local: Conv,
    perceptron_norm: Norm,
    perceptron: Perceptron,
}

impl TinyVit {
    pub fn load(config: &SamConfig, tiny: &TinyVitConfig, parameters: &Parameters<'_, '_>) -> Self {
        let widths = &tiny.widths;
        let conv = |name: &str, sizes: [usize; 3], stride, groups| {
            folded(&parameters.at(name), sizes, stride, groups)
        };
        let first = widths[0];
        let blocks = (0..tiny.depths[0]).map(|block| {
            let at = |conv| format!("layers.0.blocks.{block}.{conv}");
            let inner = EXPANSION * first;
            Convolutional([
                conv(&at("conv1"), [first, inner, 1], 1, 1),
                conv(&at("conv2"), [inner, inner, 3], 1, inner),
                conv(&at("conv3"), [inner, first, 1], 1, 1),
            ])
        });
        let stages = (1..widths.len()).map(|stage| {
            let (from, width) = (widths[stage - 1], widths[stage]);
            // The last stage keeps the grid, so that there is a row a patch of 16 pixels.
            let stride = if stage + 1 == widths.len() { 1 } else { 2 };
            let at = |conv| format!("layers.{}.downsample.{conv}", stage - 1);
            let merge = [
                conv(&at("conv1"), [from, width, 1], 1, 1),
                conv(&at("conv2"), [width, width, 3], stride, width),
                conv(&at("conv3"), [width, width, 1], 1, 1),
            ];
            let blocks = (0..tiny.depths[stage]).map(|block| {
                let at = parameters.at(format!("layers.{stage}.blocks.{block}"));
                Block::load(&at, width, tiny.heads[stage], tiny.windows[stage])
            });
            Stage { merge, blocks: blocks.collect() }
        });
        Self {
            side: config.side,
            stem: [
                conv("patch_embed.seq.0", [3, first / 2, 3], 2, 1),
                conv("patch_embed.seq.2", [first / 2, first, 3], 2, 1),
            ],
            blocks: blocks.collect(),
            stages: stages.collect(),
            neck: Neck::load(&parameters.at("neck"), widths[widths.len() - 1], config.embedding),
        }
    }

    /// The embedding of a normalised image, 3 x side x side: a row a patch of 16 pixels.
    pub fn apply(&self, planes: &[f32]) -> Vec<f32> {
        let area = self.side * self.side;
        let pixels = (0..area).flat_map(|pixel| [0, 1, 2].map(|channel| planes[channel * area + pixel]));
        let (rows, size) = self.stem[0].apply(pixels.collect(), (self.side, self.side), Activation::Gelu);
        let (mut rows, mut size) = self.stem[1].apply(rows, size, Activation::None);
        for block in &self.blocks {
            rows = block.apply(rows, size);
        }
        for stage in &self.stages {
            let [first, second, third] = &stage.merge;
            (rows, size) = first.apply(rows, size, Activation::Gelu);
            (rows, size) = second.apply(rows, size, Activation::Gelu);
            (rows, size) = third.apply(rows, size, Activation::None);
            for block in &stage.blocks {
                rows = block.apply(rows, size.0);
            }
        }
        self.neck.apply(&rows, size.0)
    }
}

impl Convolutional {
    fn apply(&self, rows: Vec<f32>, size: (usize, usize)) -> Vec<f32> {
        let [first, second, third] = &self.0;
        let (inner, _) = first.apply(rows.clone(), size, Activation::Gelu);
        let (inner, _) = second.apply(inner, size, Activation::Gelu);
        let (mut out, _) = third.apply(inner, size, Activation::None);
        add(&mut out, &rows);
        Activation::Gelu.apply(&mut out);
        out
    }
}

impl Block {
    fn load(parameters: &Parameters<'_, '_>, width: usize, heads: usize, window: usize) -> Self {
        let attn = parameters.at("attn");
        let (head, length) = (width / heads, window * window);
        let biases = attn.take("attention_biases", &[heads, length]);
        let mut bias = Vec::with_capacity(heads * length * length);
        for of_head in biases.chunks_exact(length) {
            for query in 0..length {
                let place = |key: usize| {
                    let down = (query / window).abs_diff(key / window);
                    down * window + (query % window).abs_diff(key % window)
                };
                bias.extend((0..length).map(|key| of_head[place(key)]));
            }
        }
        let qkv = attn.at("qkv");
        // Head by head in the file, kind by kind here.
        let order: Vec<usize> = (0..3 * width)
            .map(|row| row % width / head * 3 * head + row / width * head + row % head)
            .collect();
        let weight = qkv.take("weight", &[3 * width, width]);
        let turned: Vec<f32> =
            order.iter().flat_map(|row| &weight[row * width..][..width]).copied().collect();
        let of_file = qkv.take("bias", &[3 * width]);
        let turned_bias: Vec<f32> = order.iter().map(|row| of_file[*row]).collect();
        let mlp = parameters.at("mlp");
        Self {
            norm: attn.norm("layer_norm", width, EPSILON),
            joined: Linear::new(3 * width, width, &turned, Some(&turned_bias)),
            out: attn.linear("proj", width, width),
            heads,
            window,
            bias,
            local: folded(&parameters.at("local_conv"), [width, width, 3], 1, width),
            perceptron_norm: mlp.norm("layer_norm", width, EPSILON),
            perceptron: Perceptron {
                first: mlp.linear("fc1", width, 4 * width),
                second: mlp.linear("fc2", 4 * width, width),
                activation: Activation::Gelu,
            },
        }
    }

    fn apply(&self, mut rows: Vec<f32>, grid: usize) -> Vec<f32> {
        let width = self.out.inputs();
        let tiles = Tiles { grid, side: self.window, width };
        // Zeros beyond the border are normalised as well.
        let windows = self.norm.forward(&tiles.split(&rows), true);
        let joined = through(&self.joined, &windows);
        let sizes = Heads::new(self.heads, width / self.heads, self.window * self.window);
        let mut found = vec![0.0; windows.len()];
        attention(sizes, Tokens::split(&joined, width), |_| Mask::Bias(&self.bias), &mut found, true);
        add(&mut rows, &tiles.join(&through(&self.out, &found)));
        let (mut rows, _) = self.local.apply(rows, (grid, grid), Activation::None);
        self.perceptron.add_to(&self.perceptron_norm.forward(&rows, true), &mut rows);
        rows
    }
}

/// A convolution of [inputs, outputs, kernel] with the batch norm behind it folded in.
fn folded(
    parameters: &Parameters<'_, '_>,
    [inputs, outputs, kernel]: [usize; 3],
    stride: usize,
    groups: usize,
) -> Conv {
    let taps = inputs / groups * kernel * kernel;
    let mut weight = parameters.take("c.weight", &[outputs, inputs / groups, kernel, kernel]);
    let batch = parameters.at("bn");
    let [gain, bias, mean, variance] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| batch.take(name, &[outputs]));
    let scale: Vec<f32> =
        gain.iter().zip(&variance).map(|(gain, variance)| gain / (variance + EPSILON).sqrt()).collect();
    for (taps, scale) in weight.chunks_exact_mut(taps).zip(&scale) {
        taps.iter_mut().for_each(|value| *value *= scale);
    }
    let bias: Vec<f32> =
        bias.iter().zip(&mean).zip(&scale).map(|((bias, mean), scale)| bias - mean * scale).collect();
    Conv::new([inputs, outputs, kernel], stride, groups, &weight, &bias)
}
