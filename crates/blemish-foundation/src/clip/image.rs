//! The image tower: an image, its patches and any windows of it as vectors.
//!
//! A window is a few of the image's tokens with the class token, the others left out: they keep what they were given for their place in
//! the image (positional embedding), and see each other only. The first layer norm and the first block's queries, keys and values are the
//! same in all windows and the whole image, so they are computed once and gathered; of the last block only the class token goes on where
//! nothing else is asked for.

use super::form::{BlocksForm, ImageForm};
use super::{BLOCK_EPSILON, read_blocks};
use blemish_features::transformer::{Activation, Block, Heads, Linear, Mask, Norm, TensorReader, Tokens};
use blemish_features::{FeatureError, StateDict};
use blemish_kernels::transformer::attention;
use rayon::prelude::*;
use std::sync::Arc;

/// Tokens that go through the blocks together: enough to use weights often, few enough for the caches.
const TOKENS: usize = 1024;

/// A CLIP image tower.
pub struct ImageTower {
    form: ImageForm,
    tensors: Arc<StateDict>,
    patches: Linear,
    /// One row a token, that of the class token first, with the class embedding added.
    positions: Vec<f32>,
    first: Norm,
    blocks: Vec<Block>,
    last: Norm,
    projection: Linear,
}

/// What an image is to an image tower.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageEmbedding {
    /// The embedding of the whole image, not normalised.
    pub image: Vec<f32>,
    /// For each list of windows their embeddings, windows x embedding, not normalised.
    pub windows: Vec<Vec<f32>>,
    /// The tokens of the patches behind the last norm, before the projection: tokens x width, row by row. Empty where not asked for.
    pub patches: Vec<f32>,
}

/// Tokens before the first block, shared by all windows.
struct Start {
    /// tokens x width, the class token first.
    rows: Vec<f32>,
    /// tokens x 3 width: queries, keys and values of the first block.
    qkv: Vec<f32>,
}

impl ImageTower {
    /// From tensors under open_clip's names, without `visual.`.
    ///
    /// # Errors
    /// [`FeatureError::WeightsMismatch`].
    pub fn new(name: &str, form: ImageForm, tensors: Arc<StateDict>) -> Result<Self, FeatureError> {
        let ImageForm { patch, blocks, embedding, .. } = form;
        let width = blocks.width;
        let mut reader = TensorReader::new(name, "open_clip", &tensors);
        let conv = reader.tensor("conv1.weight", &[width, 3, patch, patch]);
        let mut positions =
            reader.tensor("positional_embedding", &[1 + form.grid() * form.grid(), width]).into_owned();
        let class = reader.tensor("class_embedding", &[width]);
        positions.iter_mut().zip(class.iter()).for_each(|(position, class)| *position += class);
        let tower = Self {
            form,
            patches: Linear::new(width, 3 * patch * patch, &conv, None),
            positions,
            first: reader.norm("ln_pre", width, BLOCK_EPSILON),
            blocks: read_blocks(&mut reader, blocks),
            last: reader.norm("ln_post", width, BLOCK_EPSILON),
            projection: reader.linear_transposed("proj", embedding, width),
            tensors: tensors.clone(),
        };
        reader.finish()?;
        Ok(tower)
    }

    /// Its sizes.
    pub fn form(&self) -> &ImageForm {
        &self.form
    }

    /// The tensors it was made of, under open_clip's names without `visual.`.
    pub fn tensors(&self) -> &Arc<StateDict> {
        &self.tensors
    }

    /// A tower from its tensors, as [`Self::tensors`] gave them, and its [`Self::make`]: all other sizes follow from shapes. `None` if these are
    /// no tower's.
    pub fn restore(
        name: &str,
        [layers, heads, activation]: [usize; 3],
        tensors: StateDict,
    ) -> Option<Result<Self, FeatureError>> {
        let shape = |name: &str| tensors.get(name).map(|tensor| tensor.shape.as_slice());
        let &[width, 3, patch, _] = shape("conv1.weight")? else { return None };
        let &[places, _] = shape("positional_embedding")? else { return None };
        let &[_, embedding] = shape("proj")? else { return None };
        let grid = places.checked_sub(1)?.isqrt();
        let activation = [Activation::Gelu, Activation::QuickGelu].into_iter().nth(activation)?;
        // More layers than tensors are no tower's, and would take long to miss.
        let is_sound = [width, patch, grid, layers, heads, embedding].iter().all(|&number| number > 0)
            && 1 + grid * grid == places
            && layers <= tensors.len()
            && width.is_multiple_of(heads)
            && tensors.values().all(|tensor| tensor.shape.iter().product::<usize>() == tensor.data.len());
        if !is_sound {
            return None;
        }
        let blocks = BlocksForm { layers, width, heads, activation };
        let form = ImageForm { size: grid.checked_mul(patch)?, patch, blocks, embedding };
        Some(Self::new(name, form, Arc::new(tensors)))
    }

    /// What the shapes of its tensors do not tell: the numbers of layers and of heads, and 0 for exact GELU or 1 for OpenAI's.
    pub fn make(&self) -> [usize; 3] {
        let BlocksForm { layers, heads, activation, .. } = self.form.blocks;
        [layers, heads, usize::from(activation == Activation::QuickGelu)]
    }

    /// An image, its windows, and its patches if `with_patches`.
    ///
    /// `rgb` is 3 x size x size in [0, 1]; normalisation happens here. Each list holds windows of one length: the numbers of their tokens
    /// in the grid, row by row. The same bits on any number of threads of the current pool.
    ///
    /// # Errors
    /// [`FeatureError::BadInput`] if the number of values is another.
    ///
    /// # Panics
    /// If a window holds a token that the grid has not, or the windows of a list differ in length.
    pub fn embed(
        &self,
        rgb: &[f32],
        lists: &[Vec<Vec<usize>>],
        with_patches: bool,
    ) -> Result<ImageEmbedding, FeatureError> {
        let ImageForm { size, embedding, blocks, .. } = self.form;
        if rgb.len() != 3 * size * size {
            return Err(FeatureError::BadInput { found: rgb.len(), size: [1, size, size] });
        }
        let start = self.start(rgb);
        let grid = self.form.grid();
        let whole = [(0..grid * grid).collect::<Vec<usize>>()];
        let mut rows = self.run(&start, &whole, with_patches);
        self.last.apply_in_place(&mut rows, &mut Vec::new(), true);
        let patches = rows.split_off(blocks.width);
        let image = self.projection.forward(&rows, Activation::None, false);
        let windows = |list: &Vec<Vec<usize>>| {
            let mut classes = self.run(&start, list, false);
            self.last.apply_in_place(&mut classes, &mut Vec::new(), true);
            let embeddings = self.projection.forward(&classes, Activation::None, true);
            debug_assert_eq!(embeddings.len(), list.len() * embedding);
            embeddings
        };
        Ok(ImageEmbedding { image, windows: lists.iter().map(windows).collect(), patches })
    }

    /// The tokens of an image as they enter the first block, and what that block's attention makes of each.
    fn start(&self, rgb: &[f32]) -> Start {
        let (width, tokens) = (self.form.blocks.width, self.positions.len() / self.form.blocks.width);
        let mut embedded = self.positions.clone();
        let (_, places) = embedded.split_at_mut(width);
        self.patches.add_to(&self.cut(rgb), places, true);
        let rows = self.first.forward(&embedded, true);
        let qkv = match self.blocks.first() {
            Some(block) => {
                block.attention.qkv.forward(&block.norm1.forward(&rows, true), Activation::None, true)
            }
            None => Vec::new(),
        };
        debug_assert_eq!(rows.len(), tokens * width);
        Start { rows, qkv }
    }

    /// The patches of a normalised image, one a row: tokens x (3 x patch x patch).
    fn cut(&self, rgb: &[f32]) -> Vec<f32> {
        let ImageForm { size, patch, .. } = self.form;
        let (grid, normalization) = (self.form.grid(), ImageForm::NORMALIZATION);
        let mut rows = Vec::with_capacity(grid * grid * 3 * patch * patch);
        for token in 0..grid * grid {
            let (top, left) = (token / grid * patch, token % grid * patch);
            for (channel, plane) in rgb.chunks_exact(size * size).enumerate() {
                let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
                for y in top..top + patch {
                    rows.extend(plane[y * size + left..][..patch].iter().map(|value| (value - mean) / std));
                }
            }
        }
        rows
    }

    /// Sends windows of one length through all blocks, before the last norm: all of their rows, the class token's first, or that one alone.
    fn run(&self, start: &Start, windows: &[Vec<usize>], keeps_all: bool) -> Vec<f32> {
        let width = self.form.blocks.width;
        let length = 1 + windows.first().map_or(0, Vec::len);
        assert!(
            windows.iter().all(|window| window.len() + 1 == length),
            "the windows of a list have one length"
        );
        let threads = rayon::current_num_threads();
        let together = (TOKENS / length).clamp(1, windows.len().div_ceil(threads).max(1));
        let kept = if keeps_all { length * width } else { width };
        let mut out = vec![0.0; windows.len() * kept];
        let is_split = windows.len().div_ceil(together) >= threads;
        let work = |(windows, out): (&[Vec<usize>], &mut [f32])| {
            let rows = gather(&start.rows, windows, width);
            let qkv = gather(&start.qkv, windows, 3 * width);
            self.run_gathered(rows, qkv, length, keeps_all, !is_split, out);
        };
        if is_split {
            windows.par_chunks(together).zip(out.par_chunks_mut(together * kept)).for_each(work);
        } else {
            windows.chunks(together).zip(out.chunks_mut(together * kept)).for_each(work);
        }
        out
    }

    /// The same for sequences whose first queries, keys and values are known.
    fn run_gathered(
        &self,
        mut rows: Vec<f32>,
        mut qkv: Vec<f32>,
        length: usize,
        keeps_all: bool,
        is_parallel: bool,
        out: &mut [f32],
    ) {
        let width = self.form.blocks.width;
        let (mut normed, mut attended, mut inner) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
        for (layer, block) in self.blocks.iter().enumerate() {
            if layer > 0 {
                normed.resize(rows.len(), 0.0);
                block.norm1.apply(&rows, &mut normed, is_parallel);
                block.attention.qkv.apply(&normed, Activation::None, &mut qkv, is_parallel);
            }
            let count = block.attention.heads;
            let [query, key, value] = Tokens::split(&qkv, width);
            let is_last = layer + 1 == self.blocks.len() && !keeps_all;
            let (heads, query) = match is_last {
                true => (
                    Heads::cross(count, width / count, 1, length),
                    Tokens { pitch: 3 * width * length, ..query },
                ),
                false => (Heads::new(count, width / count, length), query),
            };
            if is_last {
                // From here on a sequence is its class token.
                rows = rows.chunks_exact(length * width).flat_map(|rows| &rows[..width]).copied().collect();
            }
            attended.resize(rows.len(), 0.0);
            attention(heads, [query, key, value], |_| Mask::None, &mut attended, is_parallel);
            block.attention.projection.add_to(&attended, &mut rows, is_parallel);
            normed.resize(rows.len(), 0.0);
            block.norm2.apply(&rows, &mut normed, is_parallel);
            block.feed_forward.add_to(&normed, &mut rows, &mut inner, is_parallel);
        }
        out.copy_from_slice(&rows[..out.len()]);
    }
}

/// The rows of the class token and of each window's tokens, window after window.
fn gather(rows: &[f32], windows: &[Vec<usize>], width: usize) -> Vec<f32> {
    let row = |token: usize| &rows[token * width..][..width];
    let of_window = |window: &Vec<usize>| window.iter().map(|token| token + 1).collect::<Vec<_>>();
    let tokens = windows.iter().flat_map(|window| std::iter::once(0).chain(of_window(window)));
    tokens.flat_map(row).copied().collect()
}
