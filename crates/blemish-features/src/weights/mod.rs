//! Weight files: torchvision's and timm's state dicts, and the local store of them.
//!
//! Three formats are known by their content: safetensors, PyTorch's zip (since 1.6) and PyTorch's older bare pickle. Pickles are
//! programs; here only the handful of instructions that build tensors is understood and nothing is ever executed. No crate
//! does that without bringing a tensor framework along: the general pickle readers cannot follow PyTorch's persistent ids.

mod catalogue;
mod hub;
mod numbers;
mod pickle;
#[cfg(feature = "pull")]
mod pull;
#[cfg(all(test, feature = "pull"))]
mod pull_tests;
mod safe;
mod store;
#[cfg(test)]
mod tests;
mod torch;

pub use catalogue::{CatalogueEntry, catalogue};
pub use hub::Hub;
pub(crate) use safe::read_safetensors;
pub use store::{Check, StoreEntry, WeightStore};

use crate::FeatureError;
use crate::graph::StateDict;
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

/// Reads the tensors of a `.safetensors`, `.pth` or `.pt` file by their names there; numbers become 32-bit floats.
///
/// # Errors
/// [`FeatureError::WeightFile`] for a damaged, foreign or unsupported file; [`FeatureError::Io`].
pub fn read_state_dict(path: &Path) -> Result<StateDict, FeatureError> {
    let io = |source| FeatureError::Io { path: path.to_owned(), source };
    // Opening a pipe waits for its other end, and a device may have none.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        let reason = "it is a folder, pipe or device; bring a state dict in .pth or .safetensors";
        return Err(FeatureError::weight_file(path, reason));
    }
    read_open(&File::open(path).map_err(io)?, path)
}

/// As [`read_state_dict`], from an open file; `path` is for messages.
fn read_open(file: &File, path: &Path) -> Result<StateDict, FeatureError> {
    let io = |source| FeatureError::Io { path: path.to_owned(), source };
    if file.metadata().map_err(io)?.len() == 0 {
        return Err(FeatureError::weight_file(path, "the file is empty"));
    }
    // Safety: read-only; a file that another program shortens meanwhile is outside what any reader can guard against.
    let map = unsafe { Mmap::map(file) }.map_err(io)?;
    read_bytes(&map, path)
}

/// As [`read_state_dict`], from memory; `path` is for messages.
///
/// # Errors
/// [`FeatureError::WeightFile`].
pub(crate) fn read_bytes(bytes: &[u8], path: &Path) -> Result<StateDict, FeatureError> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => torch::read_zip(bytes, path),
        [0x80, 0x02..=0x05, ..] => torch::read_legacy(bytes, path),
        [_, _, _, _, _, _, _, _, b'{', ..] => read_safetensors(bytes, path),
        _ => Err(FeatureError::weight_file(
            path,
            "it is neither safetensors nor a PyTorch file; bring a state dict in .pth or .safetensors",
        )),
    }
}
