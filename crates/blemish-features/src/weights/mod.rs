//! Weight files: torchvision's and timm's state dicts, and the local store of them.
//!
//! Three formats are known by their content: safetensors, PyTorch's zip (since 1.6) and PyTorch's older bare pickle. Pickles are
//! programs; here only the handful of instructions that build tensors is understood and nothing is ever executed. No crate
//! does that without bringing a tensor framework along: the general pickle readers cannot follow PyTorch's persistent ids.

mod catalogue;
mod hub;
mod numbers;
mod pickle;
mod prompted;
#[cfg(feature = "pull")]
mod pull;
#[cfg(all(test, feature = "pull"))]
mod pull_tests;
mod safe;
mod store;
#[cfg(test)]
mod tests;
mod torch;

pub(crate) use catalogue::published;
pub use catalogue::{CatalogueEntry, catalogue};
pub use hub::Hub;
pub use prompted::{prompted_names, recognize_prompted};
pub(crate) use safe::read_safetensors;
pub use store::{Check, StoreEntry, WeightStore, prompted_file};

use crate::FeatureError;
use crate::graph::StateDict;
use std::fs::File;
use std::io::{self, Read, Seek};
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

/// Bytes of the largest weight file that is read.
const MOST_BYTES: u64 = 1 << 35;

/// As [`read_state_dict`], from an open file; `path` is for messages.
///
/// The file is read whole: one that another program shortens meanwhile would end a process that had mapped it.
fn read_open(mut file: &File, path: &Path) -> Result<StateDict, FeatureError> {
    let io = |source| FeatureError::Io { path: path.to_owned(), source };
    let length = file.metadata().map_err(io)?.len();
    match length {
        0 => return Err(FeatureError::weight_file(path, "the file is empty")),
        1..=MOST_BYTES => {}
        _ => return Err(FeatureError::weight_file(path, "it is larger than the weights of any backbone")),
    }
    // Behind what was just written.
    file.rewind().map_err(io)?;
    let mut bytes = Vec::new();
    file.take(HEAD as u64).read_to_end(&mut bytes).map_err(io)?;
    // Before memory is taken for something else.
    Form::of(&bytes, path)?;
    let out_of_memory = |error| io(io::Error::new(io::ErrorKind::OutOfMemory, error));
    bytes.try_reserve_exact((length as usize).saturating_sub(bytes.len())).map_err(out_of_memory)?;
    file.take(length.saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes).map_err(io)?;
    read_bytes(&bytes, path)
}

/// As [`read_state_dict`], from memory; `path` is for messages.
///
/// # Errors
/// [`FeatureError::WeightFile`].
pub(crate) fn read_bytes(bytes: &[u8], path: &Path) -> Result<StateDict, FeatureError> {
    match Form::of(bytes, path)? {
        Form::Zip => torch::read_zip(bytes, path),
        Form::Pickle => torch::read_legacy(bytes, path),
        Form::Safetensors => read_safetensors(bytes, path),
    }
}

/// Bytes that tell the form of a weight file.
const HEAD: usize = 9;

/// The form of a weight file.
enum Form {
    Zip,
    Pickle,
    Safetensors,
}

impl Form {
    /// By the first [`HEAD`] bytes.
    fn of(bytes: &[u8], path: &Path) -> Result<Self, FeatureError> {
        match bytes {
            [b'P', b'K', 3, 4, ..] => Ok(Self::Zip),
            [0x80, 0x02..=0x05, ..] => Ok(Self::Pickle),
            [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Self::Safetensors),
            _ => Err(FeatureError::weight_file(
                path,
                "it is neither safetensors nor a PyTorch file; bring a state dict in .pth or .safetensors",
            )),
        }
    }
}
