//! Large networks trained on images and texts, for methods that detect from words or with hardly any good images.
//!
//! They run on the CPU with the transformer kernels of `blemish-kernels`. What is a plain backbone, feature maps of an image, is in
//! `blemish-features`; here are the networks that are more than that.
//!
//! | module | gives |
//! |---|---|
//! | [`text`] | tokenizers: byte pairs (CLIP), word pieces (BERT) |
//! | [`clip`] | images and texts in one space |
//! | [`sam`] | masks from boxes and points |
//! | [`bert`] | texts as vectors a token |
//! | [`grounding`] | boxes from phrases |

pub mod bert;
pub mod clip;
#[cfg(test)]
mod golden;
pub mod grounding;
mod layers;
mod parameters;
pub mod sam;
pub mod text;
