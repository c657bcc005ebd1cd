//! The weights that come with the crate: the trunk of EfficientNet-Lite0 up to stride 16, dense convolutions in half
//! precision.
//!
//! `assets/README.md` says where they are from and how `cargo xtask embed-weights` makes them; their licence (Apache-2.0) lies
//! beside them.

use std::path::Path;

use crate::graph::{Graph, Weights};
use crate::{FeatureError, weights};

const NAME: &str = "efficientnet_lite0-trunk.safetensors";
const ASSET: &[u8] = include_bytes!("../../assets/efficientnet_lite0-trunk.safetensors");

/// The embedded weights of `graph`, EfficientNet-Lite0 whole or cut; nothing if it reaches deeper than they do (stage 5).
///
/// # Errors
/// [`FeatureError`] if the asset is damaged, which only a broken build can bring about.
pub fn embedded_weights(graph: &Graph) -> Result<Option<Weights>, FeatureError> {
    let mut trunk = weights::read_safetensors(ASSET, Path::new(NAME))?;
    Ok(graph.tensor_shapes().map(|(name, _)| trunk.remove_entry(&name)).collect())
}
