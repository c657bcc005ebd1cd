//! The weights that come with the crate: the trunks of EfficientNet-Lite0 and -Lite2 up to stride 16, dense convolutions in half
//! precision.
//!
//! `assets/README.md` says where they are from and how `cargo xtask embed-weights` makes them; their licence (Apache-2.0) lies
//! beside them.

use blemish_data::digest::hexadecimal;
use sha2::{Digest, Sha256};
use std::path::Path;

use crate::graph::{Graph, Weights};
use crate::networks::Architecture;
use crate::{FeatureError, weights};

/// The networks whose weights are here.
pub const EMBEDDED: [Architecture; 2] = [Architecture::EfficientNetLite0, Architecture::EfficientNetLite2];

/// Files of [`EMBEDDED`], in its order. A static, since every compiled part of the crate that names a constant holds a copy of its own.
static ASSETS: [&[u8]; 2] = [
    include_bytes!("../../assets/efficientnet_lite0-trunk.safetensors"),
    include_bytes!("../../assets/efficientnet_lite2-trunk.safetensors"),
];

/// The embedded networks, each with the SHA-256 of its file in hexadecimal.
pub fn embedded_digests() -> [(Architecture, String); EMBEDDED.len()] {
    std::array::from_fn(|at| (EMBEDDED[at], hexadecimal(&Sha256::digest(ASSETS[at]))))
}

/// The embedded weights of `graph`, one of [`EMBEDDED`] whole or cut; nothing if it is another network or reaches deeper than they do
/// (stage 5).
///
/// # Errors
/// [`FeatureError`] if the asset is damaged, which only a broken build can bring about.
pub fn embedded_weights(graph: &Graph) -> Result<Option<Weights>, FeatureError> {
    let Some(index) = EMBEDDED.iter().position(|network| network.name() == graph.name) else {
        return Ok(None);
    };
    let mut trunk = weights::read_safetensors(ASSETS[index], Path::new(&graph.name))?;
    Ok(graph.tensor_shapes().map(|(name, _)| trunk.remove_entry(&name)).collect())
}
