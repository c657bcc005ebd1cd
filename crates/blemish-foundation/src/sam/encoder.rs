//! The image encoder: a vision transformer whose blocks attend within windows, a few of them to the whole image.

use super::config::SamConfig;
use super::relative::Relative;
use crate::layers::{Activation, Conv, Linear, Norm, Perceptron, squares, through};
use crate::parameters::Parameters;
use blemish_kernels::transformer::{Heads, Mask, Tokens, add, attention};

/// Epsilon of its norms.
const EPSILON: f32 = 1e-6;

/// Image in, rows of an embedding out, one a patch.
#[derive(Debug)]
pub(super) struct ImageEncoder {
    side: usize,
    patch: usize,
    patches: Linear,
    position: Vec<f32>,
    blocks: Vec<Block>,
    neck: Neck,
}

#[derive(Debug)]
struct Block {
    before: Norm,
    /// Queries, keys and values side by side.
    joined: Linear,
    out: Linear,
    heads: usize,
    relative: Relative,
    /// Side of the windows; `None` attends to all.
    window: Option<usize>,
    after: Norm,
    perceptron: Perceptron,
}

/// From the encoder's rows to those of the embedding.
#[derive(Debug)]
pub(super) struct Neck {
    narrow: Linear,
    first: Norm,
    mix: Conv,
    second: Norm,
}

impl ImageEncoder {
    pub fn load(config: &SamConfig, parameters: &Parameters<'_, '_>) -> Self {
        let SamConfig { width, embedding, .. } = *config;
        let grid = config.grid();
        let blocks = (0..config.depth)
            .map(|index| Block::load(config, index, &parameters.at(format!("layers.{index}"))))
            .collect();
        Self {
            side: config.side,
            patch: config.patch,
            patches: parameters.patches("patch_embed.projection", 3, config.patch, width),
            position: parameters.take("pos_embed", &[1, grid, grid, width]),
            blocks,
            neck: Neck::load(&parameters.at("neck"), width, embedding),
        }
    }

    /// The embedding of a normalised image, 3 x side x side: a row a patch.
    pub fn apply(&self, planes: &[f32]) -> Vec<f32> {
        let grid = self.side / self.patch;
        let mut rows = through(&self.patches, &squares(planes, [3, self.side, self.side], self.patch));
        add(&mut rows, &self.position);
        for block in &self.blocks {
            block.apply(&mut rows, grid);
        }
        self.neck.apply(&rows, grid)
    }
}

impl Neck {
    pub fn load(parameters: &Parameters<'_, '_>, width: usize, embedding: usize) -> Self {
        let narrow = parameters.at("conv1").take("weight", &[embedding, width, 1, 1]);
        let mix = parameters.at("conv2").take("weight", &[embedding, embedding, 3, 3]);
        Self {
            narrow: Linear::new(embedding, width, &narrow, None),
            first: parameters.norm("layer_norm1", embedding, EPSILON),
            mix: Conv::new([embedding, embedding, 3], 1, 1, &mix, &vec![0.0; embedding]),
            second: parameters.norm("layer_norm2", embedding, EPSILON),
        }
    }

    pub fn apply(&self, rows: &[f32], grid: usize) -> Vec<f32> {
        let rows = self.first.forward(&through(&self.narrow, rows), true);
        let (rows, _) = self.mix.apply(rows, (grid, grid), Activation::None);
        self.second.forward(&rows, true)
    }
}

impl Block {
    fn load(config: &SamConfig, index: usize, parameters: &Parameters<'_, '_>) -> Self {
        let SamConfig { width, heads, hidden, .. } = *config;
        let window = (!config.global.contains(&index)).then_some(config.window);
        let attn = parameters.at("attn");
        Self {
            before: parameters.norm("layer_norm1", width, EPSILON),
            joined: attn.linear("qkv", width, 3 * width),
            out: attn.linear("proj", width, width),
            heads,
            relative: Relative::load(&attn, window.unwrap_or(config.grid()), width / heads),
            window,
            after: parameters.norm("layer_norm2", width, EPSILON),
            perceptron: Perceptron {
                first: parameters.linear("mlp.lin1", width, hidden),
                second: parameters.linear("mlp.lin2", hidden, width),
                activation: Activation::Gelu,
            },
        }
    }

    fn apply(&self, rows: &mut [f32], grid: usize) {
        let width = self.out.inputs();
        let normed = self.before.forward(rows, true);
        let found = match self.window {
            None => self.attend(&normed, grid),
            Some(side) => {
                let windows = Tiles { grid, side, width };
                windows.join(&self.attend(&windows.split(&normed), side))
            }
        };
        self.out.add_to(&found, rows, true);
        self.perceptron.add_to(&self.after.forward(rows, true), rows);
    }

    /// Attention within squares of side x side rows, which follow each other.
    fn attend(&self, rows: &[f32], side: usize) -> Vec<f32> {
        let width = self.out.inputs();
        let length = side * side;
        let joined = through(&self.joined, rows);
        let sizes = Heads::new(self.heads, width / self.heads, length);
        let biases = self.relative.biases(&joined, 3 * width, self.heads);
        let mut found = vec![0.0; rows.len()];
        let mask = |sequence: usize| {
            let (rows, columns) = &biases[sequence];
            Mask::Grid { rows, columns }
        };
        attention(sizes, Tokens::split(&joined, width), mask, &mut found, true);
        found
    }
}

/// Windows over a square grid of rows, the last ones filled up with zeros.
pub(super) struct Tiles {
    pub grid: usize,
    pub side: usize,
    pub width: usize,
}

impl Tiles {
    /// Calls `each` with the first row on the grid and among the windows of every run of rows that lie in one line of a window, and its
    /// length.
    fn runs(&self, mut each: impl FnMut(usize, usize, usize)) {
        let across = self.grid.div_ceil(self.side);
        for y in 0..self.grid {
            for window in 0..across {
                let x = window * self.side;
                let index = y / self.side * across + window;
                let row = (index * self.side + y % self.side) * self.side;
                each(y * self.grid + x, row, self.side.min(self.grid - x));
            }
        }
    }

    pub fn split(&self, rows: &[f32]) -> Vec<f32> {
        let across = self.grid.div_ceil(self.side);
        let mut windows = vec![0.0; across * across * self.side * self.side * self.width];
        self.runs(|from, to, length| {
            let length = length * self.width;
            windows[to * self.width..][..length].copy_from_slice(&rows[from * self.width..][..length]);
        });
        windows
    }

    pub fn join(&self, windows: &[f32]) -> Vec<f32> {
        let mut rows = vec![0.0; self.grid * self.grid * self.width];
        self.runs(|to, from, length| {
            let length = length * self.width;
            rows[to * self.width..][..length].copy_from_slice(&windows[from * self.width..][..length]);
        });
        rows
    }
}
