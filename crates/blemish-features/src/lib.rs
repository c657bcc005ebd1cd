//! Frozen feature backbones: one description each, several executors.

pub mod error;
pub mod graph;

pub use error::FeatureError;
pub use graph::{Executor, FeatureMap, Graph, Normalization, Tensor, Weights};
