//! What several methods are made of.

pub(crate) mod bank;
pub(crate) mod embedding;
pub(crate) mod encoder;
pub(crate) mod tensors;
pub(crate) mod trainer;
pub(crate) mod training_features;
