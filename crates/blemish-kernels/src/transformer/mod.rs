//! Transformers on the CPU: what frozen vision and language transformers spend their time in.
//!
//! Tokens are rows: n tokens of `width` values each are a row-major n x width slice. Several sequences of one length lie one after the
//! other. All functions write into memory of the caller's, and take `is_parallel`: whether work is split over the threads of the current pool.
//!
//! | part | gives |
//! |---|---|
//! | [`Linear`] | x W^T + b with packed weights and a non-linearity, or added to what is there |
//! | [`layer_norm`] | every row to mean 0 and variance 1, scaled and shifted |
//! | [`attention`] | softmax(scale Q K^T + mask) V for every head, without the matrix of all scores |
//! | [`add`], [`gate`] | residual sums, gated non-linearities |
//! | [`maps`] | the same on feature maps whose pixels are tokens |
//!
//! A linear map costs n x in x out multiply-adds, attention 2 n m width; neither waits for memory, since pieces of the operands are used
//! from the caches many times. The memory of attention is bounded: keys and values once more, and [`QUERIES`] rows of scores a thread.
//!
//! Every output is accumulated in one fixed order: the same bits for every vector width, block, number of threads and of sequences.

mod attention;
mod linear;
pub mod maps;
mod pointwise;
#[cfg(test)]
mod tests;

pub use crate::conv::Activation;
pub use attention::{Heads, Mask, QUERIES, Tokens, attention};
pub use linear::Linear;
pub use pointwise::{add, gate, layer_norm};
