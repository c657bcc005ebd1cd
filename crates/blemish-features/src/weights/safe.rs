//! safetensors files.

use super::numbers::Number;
use crate::FeatureError;
use crate::graph::{StateDict, Tensor};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// The tensors of a safetensors file in memory; `path` is for messages.
///
/// # Errors
/// [`FeatureError::WeightFile`].
pub(crate) fn read_safetensors(bytes: &[u8], path: &Path) -> Result<StateDict, FeatureError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        FeatureError::weight_file(
            path,
            format!("its safetensors header does not fit its content ({error}); copy it again"),
        )
    })?;
    file.iter()
        .map(|(name, view)| {
            let number = number(view.dtype()).ok_or_else(|| {
                FeatureError::weight_file(
                    path,
                    format!("tensor `{name}` has the unsupported type {:?}", view.dtype()),
                )
            })?;
            Ok((name.to_owned(), Tensor { shape: view.shape().to_vec(), data: number.read(view.data()) }))
        })
        .collect()
}

fn number(dtype: Dtype) -> Option<Number> {
    Some(match dtype {
        Dtype::F64 => Number::F64,
        Dtype::F32 => Number::F32,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::I64 => Number::I64,
        Dtype::I32 => Number::I32,
        Dtype::I16 => Number::I16,
        Dtype::I8 => Number::I8,
        Dtype::U8 | Dtype::BOOL => Number::U8,
        _ => return None,
    })
}
