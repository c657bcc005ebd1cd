//! One block of a transformer.

use super::{Activation, BlockNames, FeedForward, Mask, Norm, SelfAttention, TensorReader};

/// Where norms lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// x + f(norm(x)), as vision transformers and CLIP.
    #[default]
    Before,
    /// norm(x + f(x)), as BERT.
    After,
}

/// Sizes and kinds of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockSizes {
    /// Values a token.
    pub width: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Values between the maps of the second half.
    pub hidden: usize,
    /// Added to variances by the norms.
    pub epsilon: f32,
    /// Between the maps of the second half.
    pub activation: Activation,
    /// Where norms lie.
    pub order: Order,
}

impl Default for BlockSizes {
    /// ViT-B of CLIP in open_clip.
    fn default() -> Self {
        let (epsilon, activation) = (1e-5, Activation::Gelu);
        Self { width: 768, heads: 12, hidden: 3072, epsilon, activation, order: Order::Before }
    }
}

/// Attention and feed-forward part, each added to what came in.
#[derive(Clone, Debug)]
pub struct Block {
    /// The norm of the attention.
    pub norm1: Norm,
    /// The first half.
    pub attention: SelfAttention,
    /// The norm of the second half.
    pub norm2: Norm,
    /// The second half.
    pub feed_forward: FeedForward,
    /// Where the norms lie.
    pub order: Order,
}

/// Memory that blocks use one after the other.
#[derive(Debug, Default)]
pub struct Space {
    normed: Vec<f32>,
    inner: [Vec<f32>; 2],
}

impl Block {
    /// Reads a block by these names.
    pub fn read(reader: &mut TensorReader<'_>, names: &BlockNames, sizes: BlockSizes) -> Self {
        let BlockSizes { width, heads, hidden, epsilon, activation, order } = sizes;
        Self {
            norm1: reader.norm(&names.norm1, width, epsilon),
            attention: SelfAttention::read(
                reader,
                &names.qkv,
                &names.projection,
                names.scale1.as_deref(),
                [width, heads],
            ),
            norm2: reader.norm(&names.norm2, width, epsilon),
            feed_forward: FeedForward::read(
                reader,
                &names.feed_forward,
                names.scale2.as_deref(),
                [width, hidden],
                activation,
            ),
            order,
        }
    }

    /// Sends rows, (sequences x `length`) x width, through the block; `mask` is given for each sequence by its number.
    ///
    /// # Panics
    /// If the rows are not whole sequences of the block's width.
    pub fn forward<'m>(
        &self,
        rows: &mut [f32],
        length: usize,
        mask: impl Fn(usize) -> Mask<'m> + Sync,
        space: &mut Space,
        is_parallel: bool,
    ) {
        let Space { normed, inner } = space;
        normed.resize(rows.len(), 0.0);
        match self.order {
            Order::Before => {
                self.norm1.apply(rows, normed, is_parallel);
                self.attention.add_to(normed, length, mask, rows, inner, is_parallel);
                self.norm2.apply(rows, normed, is_parallel);
                self.feed_forward.add_to(normed, rows, inner, is_parallel);
            }
            Order::After => {
                normed.copy_from_slice(rows);
                self.attention.add_to(normed, length, mask, rows, inner, is_parallel);
                self.norm1.apply_in_place(rows, normed, is_parallel);
                normed.copy_from_slice(rows);
                self.feed_forward.add_to(normed, rows, inner, is_parallel);
                self.norm2.apply_in_place(rows, normed, is_parallel);
            }
        }
    }
}
