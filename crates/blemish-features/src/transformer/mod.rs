//! Transformers on rows of tokens, from the tensors of a weight file: what CLIP's towers, BERT and SAM are made of.
//!
//! A network reads its tensors with a [`TensorReader`], which notes everything that is missing or misshapen and says so at the end, in one
//! error. [`BlockNames`] knows what the packages call the parts of a block; [`Block::read`] makes one of them, and an [`Encoder`] runs a list of
//! blocks on any number of sequences of one length. Networks of another make-up take the parts, [`Norm`], [`SelfAttention`] and
//! [`FeedForward`], or [`Linear`] and [`attention`](blemish_kernels::transformer::attention) themselves.
//!
//! ```no_run
//! # use blemish_features::transformer::*;
//! # fn tower(state: &blemish_features::StateDict, rows: &mut [f32]) -> Result<(), blemish_features::FeatureError> {
//! let mut reader = TensorReader::new("clip", "open_clip's", state);
//! let sizes = BlockSizes { width: 512, heads: 8, hidden: 2048, ..BlockSizes::default() };
//! let blocks = (0..12).map(|i| Block::read(&mut reader, &BlockNames::open_clip(&format!("transformer.resblocks.{i}")), sizes));
//! let encoder = Encoder { blocks: blocks.collect(), last: Some(reader.norm("ln_final", 512, 1e-5)) };
//! reader.finish()?;
//! encoder.forward(rows, 77, |_| Mask::Causal, true);
//! # Ok(()) }
//! ```

mod block;
mod encoder;
mod names;
mod parts;
mod reader;
#[cfg(test)]
mod tests;

pub use blemish_kernels::transformer::{Activation, Heads, Linear, Mask, Tokens};
pub use block::{Block, BlockSizes, Order, Space};
pub use encoder::Encoder;
pub use names::{BlockNames, FeedForwardNames, QkvNames};
pub use parts::{FeedForward, Norm, SelfAttention};
pub use reader::TensorReader;
