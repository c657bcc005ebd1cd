//! PaDiM: one Gaussian per position of the feature grid.
//!
//! Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization", arXiv 2011.08785. Channels of
//! several layers are joined, `d` of them drawn once at random, and every position gets the mean and covariance of its `d` values over
//! the good images; the score is the Mahalanobis distance. One pass over the images, a model whose size does not depend on their
//! number; needs aligned parts and a few tens of images.
//!
//! Flow: feature maps -> [`gather`] (drawn channels on one grid) -> streaming mean and covariance -> Cholesky factors -> distances.

mod config;
mod gather;
#[cfg(test)]
mod tests;

pub use config::{PadimConfig, Precision, Variant};

use crate::error::Error;
use crate::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use crate::method::{FitContext, Method, MethodInfo, Needs, TrainingSet};
use crate::region::cells_inside;
use crate::state::{Shared, State};
use blemish_data::{ImageBatch, Transform};
use blemish_features::Backbone;
use blemish_kernels::gaussian::{GaussianAccumulator, PositionGaussians};
use gather::{draw_channels, gather};
use std::sync::Arc;

const NAME: &str = "padim";

/// A fitted PaDiM.
pub struct Padim {
    config: PadimConfig,
    backbone: Arc<Backbone>,
    /// Drawn channels of the layers' concatenation, ascending.
    channels: Shared<u32>,
    height: usize,
    width: usize,
    gaussians: PositionGaussians<Shared<f32>, Shared<u16>>,
}
