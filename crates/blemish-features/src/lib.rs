//! Frozen feature backbones: one description each, several executors.
//!
//! A network is described once ([`networks`], as a [`graph`]); its tensors come from torchvision's or timm's files ([`weights`],
//! [`mod@assemble`]); engines run it ([`executors`]), through an ONNX graph in memory ([`onnx`]) or natively. [`Backbone`] puts the
//! pieces together: images in, feature maps at named taps out.

pub mod assemble;
pub mod backbone;
pub mod error;
pub mod executors;
pub mod graph;
pub mod networks;
pub mod onnx;
mod positions;
pub mod transformer;
#[cfg(test)]
mod vit_tests;
pub mod weights;

pub use assemble::assemble;
pub use backbone::{Backbone, BackboneSource, BackboneSpec, BackboneState, GraphMap};
pub use error::FeatureError;
#[cfg(feature = "burn")]
pub use executors::burn::{device as burn_device, interpreter as burn_graph};
pub use executors::{Device, Engine, EngineOptions};
pub use graph::{Executor, FeatureMap, Graph, Normalization, StateDict, Tensor, Weights};
pub use networks::{Architecture, ImageText, TapInfo};
