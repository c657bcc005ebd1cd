//! Swin (arXiv 2103.14030): a transformer whose blocks attend within windows, shifted by half a window in every other block.

use super::config::{EPSILON, SwinConfig};
use crate::layers::{Activation, Linear, Norm, Perceptron, squares, through};
use crate::parameters::Parameters;
use blemish_kernels::transformer::{Heads, Mask, Tokens, attention};

/// What is added to the score of a query and a key that are neighbours only because the shift went around the border.
const STRANGERS: f32 = -100.0;

#[derive(Debug)]
pub(super) struct Swin {
    patch: usize,
    patches: Linear,
    norm: Norm,
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    blocks: Vec<Block>,
    /// Of the stages whose maps are given.
    out: Option<Norm>,
    merge: Option<(Norm, Linear)>,
}

#[derive(Debug)]
struct Block {
    before: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    window: usize,
    shift: usize,
    /// For windows within, at the right border, at the lower one, and at both: heads x tokens x tokens. Without a shift only the first.
    biases: Vec<Vec<f32>>,
    after: Norm,
    perceptron: Perceptron,
}

/// Rows of a map and its height and width.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Map {
    pub rows: Vec<f32>,
    pub size: (usize, usize),
}

impl Swin {
    /// `outputs` names the stages whose maps are given, counted from 1.
    pub fn load(config: &SwinConfig, outputs: &[usize], parameters: &Parameters<'_, '_>) -> Self {
        let embeddings = parameters.at("embeddings");
        let last = config.depths.len() - 1;
        let stages = (0..=last).map(|stage| {
            let width = config.width << stage;
            let at = parameters.at(format!("encoder.layers.{stage}"));
            let blocks = (0..config.depths[stage])
                .map(|block| {
                    let shift = if block % 2 == 1 { config.window / 2 } else { 0 };
                    Block::load(config, width, config.heads[stage], shift, &at.at(format!("blocks.{block}")))
                })
                .collect::<_>();
            let name = format!("hidden_states_norms.stage{}", stage + 1);
            let out = match outputs.contains(&(stage + 1)) {
                true => Some(parameters.norm(&name, width, EPSILON)),
                false => None,
            };
            let merge = match stage < last {
                true => Some((
                    at.norm("downsample.norm", 4 * width, EPSILON),
                    at.linear_without_bias("downsample.reduction", 4 * width, 2 * width),
                )),
                false => None,
            };
            Stage { blocks, out, merge }
        });
        Self {
            patch: config.patch,
            patches: embeddings.patches("patch_embeddings.projection", 3, config.patch, config.width),
            norm: embeddings.norm("norm", config.width, EPSILON),
            stages: stages.collect::<_>(),
        }
    }

    /// Maps of a normalised image, 3 x height x width.
    pub fn apply(&self, planes: &[f32], size: (usize, usize)) -> Vec<Map> {
        let (planes, (height, width)) = filled(planes, size, self.patch);
        let rows = through(&self.patches, &squares(&planes, [3, height, width], self.patch));
        let mut map =
            Map { rows: self.norm.forward(&rows, true), size: (height / self.patch, width / self.patch) };
        let mut maps = Vec::new();
        for stage in &self.stages {
            for block in &stage.blocks {
                block.apply(&mut map);
            }
            if let Some(norm) = &stage.out {
                maps.push(Map { rows: norm.forward(&map.rows, true), size: map.size });
            }
            if let Some((norm, linear)) = &stage.merge {
                let merged = merged(&map);
                map = Map { rows: through(linear, &norm.forward(&merged.rows, true)), size: merged.size };
            }
        }
        maps
    }
}

/// Planes with zeros to the right and below, so that sides are multiples of `side`.
fn filled(planes: &[f32], (height, width): (usize, usize), side: usize) -> (Vec<f32>, (usize, usize)) {
    let to = (height.next_multiple_of(side), width.next_multiple_of(side));
    let mut out = vec![0.0; planes.len() / (height * width) * to.0 * to.1];
    for (target, plane) in out.chunks_exact_mut(to.0 * to.1).zip(planes.chunks_exact(height * width)) {
        for (target, row) in target.chunks_exact_mut(to.1).zip(plane.chunks_exact(width)) {
            target[..width].copy_from_slice(row);
        }
    }
    (out, to)
}

/// Four neighbours side by side: upper left, lower left, upper right, lower right; zeros beyond the border.
fn merged(map: &Map) -> Map {
    let (height, width) = map.size;
    let length = map.rows.len() / (height * width);
    let to = (height.div_ceil(2), width.div_ceil(2));
    let mut rows = vec![0.0; 4 * to.0 * to.1 * length];
    for (cell, row) in rows.chunks_exact_mut(4 * length).enumerate() {
        for (part, target) in row.chunks_exact_mut(length).enumerate() {
            let (y, x) = (cell / to.1 * 2 + part % 2, cell % to.1 * 2 + part / 2);
            if y < height && x < width {
                target.copy_from_slice(&map.rows[(y * width + x) * length..][..length]);
            }
        }
    }
    Map { rows, size: to }
}

impl Block {
    fn load(
        config: &SwinConfig,
        width: usize,
        heads: usize,
        shift: usize,
        parameters: &Parameters<'_, '_>,
    ) -> Self {
        let window = config.window;
        let own = parameters.at("attention.self");
        let entries = (2 * window - 1) * (2 * window - 1);
        let table = own.take("relative_position_bias_table", &[entries, heads]);
        let hidden = config.spread * width;
        Self {
            before: parameters.norm("layernorm_before", width, EPSILON),
            query: own.linear("query", width, width),
            key: own.linear("key", width, width),
            value: own.linear("value", width, width),
            out: parameters.linear("attention.output.dense", width, width),
            heads,
            window,
            shift,
            biases: biases(&table, heads, window, shift),
            after: parameters.norm("layernorm_after", width, EPSILON),
            perceptron: Perceptron {
                first: parameters.linear("intermediate.dense", width, hidden),
                second: parameters.linear("output.dense", hidden, width),
                activation: Activation::Gelu,
            },
        }
    }

    fn apply(&self, map: &mut Map) {
        let width = self.out.inputs();
        let windows = Windows { size: map.size, side: self.window, shift: self.shift, width };
        let rows = windows.split(&self.before.forward(&map.rows, true));
        let [query, key, value] = [&self.query, &self.key, &self.value].map(|map| through(map, &rows));
        let sizes = Heads::new(self.heads, width / self.heads, self.window * self.window);
        let mut found = vec![0.0; rows.len()];
        let tokens = [&query, &key, &value].map(|rows| Tokens::new(rows, width));
        attention(sizes, tokens, |window| Mask::Bias(self.bias(&windows, window)), &mut found, true);
        self.out.add_to(&windows.join(&found), &mut map.rows, true);
        let normed = self.after.forward(&map.rows, true);
        self.perceptron.add_to(&normed, &mut map.rows);
    }

    fn bias(&self, windows: &Windows, window: usize) -> &[f32] {
        let (down, across) = windows.count();
        let kind = match self.shift {
            0 => 0,
            _ => usize::from(window % across == across - 1) + 2 * usize::from(window / across == down - 1),
        };
        &self.biases[kind]
    }
}

/// Relative positions of every pair of tokens of a window, and for shifted windows at a border what keeps the sides of it apart.
fn biases(table: &[f32], heads: usize, side: usize, shift: usize) -> Vec<Vec<f32>> {
    let length = side * side;
    let mut within = Vec::with_capacity(heads * length * length);
    for head in 0..heads {
        for query in 0..length {
            for key in 0..length {
                let down = query / side + side - 1 - key / side;
                let across = query % side + side - 1 - key % side;
                within.push(table[(down * (2 * side - 1) + across) * heads + head]);
            }
        }
    }
    if shift == 0 {
        return vec![within];
    }
    // In the last windows the first side - shift tokens of a line are the map's last, the others came around from its first.
    let is_around = |place: usize| place >= side - shift;
    (0..4)
        .map(|kind| {
            let (at_right, at_bottom) = (kind % 2 == 1, kind / 2 == 1);
            let part =
                |token: usize| (at_right && is_around(token % side), at_bottom && is_around(token / side));
            let mut bias = within.clone();
            for (pair, value) in bias.iter_mut().enumerate() {
                let (query, key) = (pair / length % length, pair % length);
                if part(query) != part(key) {
                    *value += STRANGERS;
                }
            }
            bias
        })
        .collect()
}

/// Windows over a map, shifted around its border, zeros where it does not fill the last ones.
struct Windows {
    size: (usize, usize),
    side: usize,
    shift: usize,
    width: usize,
}

impl Windows {
    /// Windows from top to bottom, and from left to right.
    fn count(&self) -> (usize, usize) {
        (self.size.0.div_ceil(self.side), self.size.1.div_ceil(self.side))
    }

    /// Calls `each` with every cell of the map and its place among the windows.
    fn cells(&self, mut each: impl FnMut(usize, usize)) {
        let (down, across) = self.count();
        let (height, width) = (down * self.side, across * self.side);
        for y in 0..self.size.0 {
            let to_y = (y + height - self.shift) % height;
            for x in 0..self.size.1 {
                let to_x = (x + width - self.shift) % width;
                let window = to_y / self.side * across + to_x / self.side;
                let place = (window * self.side + to_y % self.side) * self.side + to_x % self.side;
                each(y * self.size.1 + x, place);
            }
        }
    }

    fn split(&self, rows: &[f32]) -> Vec<f32> {
        let (down, across) = self.count();
        let mut windows = vec![0.0; down * across * self.side * self.side * self.width];
        self.cells(|cell, place| {
            windows[place * self.width..][..self.width]
                .copy_from_slice(&rows[cell * self.width..][..self.width]);
        });
        windows
    }

    fn join(&self, windows: &[f32]) -> Vec<f32> {
        let mut rows = vec![0.0; self.size.0 * self.size.1 * self.width];
        self.cells(|cell, place| {
            rows[cell * self.width..][..self.width]
                .copy_from_slice(&windows[place * self.width..][..self.width]);
        });
        rows
    }
}
