//! What is known of a tensor without computing it.

use super::super::proto::TensorMessage;
use std::sync::Arc;

/// Tensors of at most so many whole or decimal numbers are followed by value: shapes, axes, scales.
pub(super) const MOST_NUMBERS: usize = 4096;

/// Bytes of an element as counted here: engines hold floats and whole numbers in four (ONNX Runtime some whole numbers in eight).
const ELEMENT_BYTES: u64 = 4;

/// What is known of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Its sizes, or bounds of them.
    pub(super) shape: Vec<u64>,
    /// Whether the sizes are exact; else they are bounds from above.
    pub(super) is_exact: bool,
    /// Whether its values do not depend on the pixels, so that an engine may compute them early and keep them.
    pub(super) is_constant: bool,
    /// Its values, where they are few and known.
    pub(super) numbers: Option<Arc<Numbers>>,
}

/// The values of a small tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers {
    /// Whole numbers, or decimal ones of single precision.
    pub(super) are_whole: bool,
    pub(super) values: Vec<f64>,
}

impl Numbers {
    /// Values that engines are sure to have, too: what leaves their whole numbers or is no number is not known.
    pub(super) fn checked(are_whole: bool, values: Vec<f64>) -> Option<Arc<Self>> {
        let is_sure = |value: &f64| value.is_finite() && (!are_whole || value.abs() <= f64::from(i32::MAX));
        (values.len() <= MOST_NUMBERS && values.iter().all(is_sure))
            .then(|| Arc::new(Self { are_whole, values }))
    }
}

impl Known {
    /// A tensor of which the sizes are known.
    pub(super) fn of(shape: Vec<u64>) -> Self {
        Self { shape, is_exact: true, is_constant: false, numbers: None }
    }

    /// A list of whole numbers.
    pub(super) fn list(values: &[u64]) -> Self {
        let numbers = Numbers::checked(true, values.iter().map(|&value| value as f64).collect());
        Self { numbers, ..Self::of(vec![values.len() as u64]) }
    }

    /// The same sizes with other values.
    pub(super) fn with(&self, numbers: Option<Arc<Numbers>>) -> Self {
        Self { numbers, ..self.clone() }
    }

    /// Number of elements, as far as it can be written down.
    pub(super) fn elements(&self) -> u64 {
        product(&self.shape)
    }

    /// Bytes that an engine takes for it.
    pub(super) fn bytes(&self) -> u64 {
        self.elements().saturating_mul(ELEMENT_BYTES)
    }

    /// Its values as whole numbers.
    pub(super) fn whole(&self) -> Option<Vec<i64>> {
        let numbers = self.numbers.as_ref().filter(|numbers| numbers.are_whole)?;
        Some(numbers.values.iter().map(|&value| value as i64).collect())
    }

    /// Its values as decimal numbers.
    pub(super) fn decimals(&self) -> Option<Vec<f64>> {
        Some(self.numbers.as_ref()?.values.clone())
    }
}

/// The product, or the largest number where it is larger.
pub(super) fn product(sizes: &[u64]) -> u64 {
    // A zero counts wherever it stands.
    if sizes.contains(&0) { 0 } else { sizes.iter().fold(1, |product, &size| product.saturating_mul(size)) }
}

/// The single-precision number nearest to a value, as engines keep it.
pub(super) fn single(value: f64) -> f64 {
    f64::from(value as f32)
}

/// A constant of the file.
///
/// # Errors
/// In words, if it does not hold the numbers that its shape says.
pub(super) fn constant(tensor: &TensorMessage) -> Result<Known, String> {
    let shape: Option<Vec<u64>> = tensor.dims.iter().map(|&size| u64::try_from(size).ok()).collect();
    let shape = shape.ok_or_else(|| format!("the constant `{}` has a negative size", tensor.name))?;
    if tensor.data_location != 0 {
        return Err(format!("the constant `{}` keeps its numbers in another file", tensor.name));
    }
    let raw = &tensor.raw_data;
    let bytes = match tensor.data_type {
        7 | 11 | 13 => 8,
        1 | 6 | 12 => 4,
        4 | 5 | 10 | 16 => 2,
        _ => 1,
    };
    let listed = [
        raw.len() / bytes,
        tensor.float_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.double_data.len(),
    ];
    let held = listed.into_iter().max().unwrap_or(0) as u64;
    let elements = product(&shape);
    // Numbers of 4 bits and texts come in other ways, which no engine reads here.
    if elements > held {
        return Err(format!("the constant `{}` is to have {elements} numbers and holds {held}", tensor.name));
    }
    let numbers = if elements as usize <= MOST_NUMBERS { numbers(tensor, elements as usize) } else { None };
    Ok(Known { numbers, is_constant: true, ..Known::of(shape) })
}

fn numbers(tensor: &TensorMessage, count: usize) -> Option<Arc<Numbers>> {
    fn each<const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        raw.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect()
    }
    let raw = &tensor.raw_data;
    let (are_whole, mut values) = match (tensor.data_type, raw.is_empty()) {
        (1, true) => (false, tensor.float_data.iter().map(|&value| f64::from(value)).collect()),
        (1, false) => (false, each(raw, |bytes| f64::from(f32::from_le_bytes(bytes)))),
        (7, true) => (true, tensor.int64_data.iter().map(|&value| value as f64).collect()),
        (7, false) => (true, each(raw, |bytes| i64::from_le_bytes(bytes) as f64)),
        (2 | 3 | 6 | 9, true) => (true, tensor.int32_data.iter().map(|&value| f64::from(value)).collect()),
        (6, false) => (true, each(raw, |bytes| f64::from(i32::from_le_bytes(bytes)))),
        (2 | 9, false) => (true, each(raw, |[byte]: [u8; 1]| f64::from(byte))),
        (3, false) => (true, each(raw, |[byte]: [u8; 1]| f64::from(byte as i8))),
        // Engines keep these in different precisions; whole ones are the same in all.
        (11, _) => {
            let values: Vec<f64> =
                if raw.is_empty() { tensor.double_data.clone() } else { each(raw, f64::from_le_bytes) };
            if values.iter().any(|value| single(*value) != *value) {
                return None;
            }
            (false, values)
        }
        _ => return None,
    };
    values.truncate(count);
    // The largest whole numbers stand for "to the end" and are not computed with, so they stay.
    (values.len() == count && values.iter().all(|value| !value.is_nan()))
        .then(|| Arc::new(Numbers { are_whole, values }))
}
