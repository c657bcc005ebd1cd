//! The Gaussians of a grid: feature maps in, distances out.

use super::NAME;
use super::config::{PadimConfig, Precision, Variant};
use super::gather::gather;
use crate::error::Error;
use crate::map::PatchScores;
use crate::region::cells_inside;
use crate::state::{Shared, State};
use blemish_data::Mask;
use blemish_features::FeatureMap;
use blemish_kernels::gaussian::{GaussianAccumulator, PositionGaussians};
