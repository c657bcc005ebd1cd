//! One image file in, one [`RgbImage`] at its native depth out, or a clear reason why not.
//!
//! The format is decided by content, never by the file's name. Grey is repeated over three channels, alpha is dropped,
//! palettes are looked up, and the EXIF orientation is applied, so that pixels stand as a viewer shows them. Depth is kept
//! (8 bit, 16 bit, float), because [`crate::transform`] resizes before it converts.
//!
//! Decoders meet hostile input here: the memory they may take is limited, and a panic inside one becomes an error.

mod container;
mod decode;
mod orient;
mod tiff;

#[cfg(test)]
pub(crate) mod tests;

use crate::error::{DataError, ImageFault};
use crate::mask::Mask;
pub(crate) use container::looks_like_image;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// An RGB image as stored in its file: interleaved, row-major, red first, upright.
#[derive(Clone, Debug, PartialEq)]
pub struct RgbImage {
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// H x W x 3 samples.
    pub pixels: Pixels,
}

/// The samples of an [`RgbImage`] at the depth of its file.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 8 bit, white is 255.
    U8(Vec<u8>),
    /// 16 bit, white is 65,535.
    U16(Vec<u16>),
    /// Measured values, white is 1 (once the value range is applied).
    F32(Vec<f32>),
}

/// How files are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadOptions {
    /// The values that map to black and white in images of measured values (float, signed or 32-bit integer samples);
    /// values outside are clamped. `None` accepts only values within [0, 1]. 8- and 16-bit images ignore it.
    pub value_range: Option<(f32, f32)>,
    /// Images with a shorter side are refused. In pixels.
    pub minimum_side: usize,
    /// The most bytes that decoding one image may take.
    pub memory_limit: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { value_range: None, minimum_side: 8, memory_limit: 1 << 30 }
    }
}

/// Reads one image.
///
/// # Errors
/// [`DataError::Image`] with the [`ImageFault`]: unreadable, empty, foreign, truncated, damaged, too small, too large, or
/// with values outside the range.
pub fn read_image(path: &Path, options: &ReadOptions) -> Result<RgbImage, DataError> {
    image_from_file(path, options).map_err(|fault| DataError::image(path, fault))
}

/// Height and width of an upright image, from the head of its file.
///
/// # Errors
/// As for [`read_image`], as far as the head tells.
pub fn read_size(path: &Path, options: &ReadOptions) -> Result<(usize, usize), DataError> {
    decode::size(path, options).map_err(|fault| DataError::image(path, fault))
}

/// Reads one binary mask: a pixel is marked if any of its colour channels is not zero.
///
/// # Errors
/// [`DataError::Image`] as for [`read_image`], without a range or a smallest size.
pub fn read_mask(path: &Path) -> Result<Mask, DataError> {
    mask_from_file(path).map_err(|fault| DataError::image(path, fault))
}

fn image_from_file(path: &Path, options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    image_from_bytes(&read_file(path, options)?, options)
}

fn mask_from_file(path: &Path) -> Result<Mask, ImageFault> {
    let options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
    mask_from_bytes(&read_file(path, &options)?, &options)
}

/// The image in a file's bytes, with its values in range.
pub(crate) fn image_from_bytes(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let mut image = decode::decode(bytes, options)?;
    if let Pixels::F32(values) = &mut image.pixels {
        scale_values(values, options.value_range)?;
    }
    Ok(image)
}

/// The mask in a file's bytes.
pub(crate) fn mask_from_bytes(bytes: &[u8], options: &ReadOptions) -> Result<Mask, ImageFault> {
    let image = decode::decode(bytes, options)?;
    let marked = match &image.pixels {
        Pixels::U8(values) => values.chunks_exact(3).map(|rgb| rgb.iter().any(|&value| value != 0)).collect(),
        Pixels::U16(values) => {
            values.chunks_exact(3).map(|rgb| rgb.iter().any(|&value| value != 0)).collect()
        }
        Pixels::F32(values) => {
            values.chunks_exact(3).map(|rgb| rgb.iter().any(|&value| value != 0.0)).collect()
        }
    };
    Ok(Mask { height: image.height, width: image.width, marked })
}

fn read_file(path: &Path, options: &ReadOptions) -> Result<Vec<u8>, ImageFault> {
    let unreadable = |error: std::io::Error| ImageFault::Unreadable(error.to_string());
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(ImageFault::NotAFile);
    }
    if metadata.len() > options.memory_limit {
        return Err(ImageFault::TooLarge { limit_mib: options.memory_limit >> 20 });
    }
    std::fs::read(path).map_err(unreadable)
}

/// Maps measured values to [0, 1], or tells what they are if no range was given and they are not there already.
fn scale_values(values: &mut [f32], range: Option<(f32, f32)>) -> Result<(), ImageFault> {
    let count = values.iter().filter(|value| !value.is_finite()).count();
    if count > 0 {
        return Err(ImageFault::NotFinite { count });
    }
    if let Some((black, white)) = range {
        let scale = 1.0 / (white - black);
        if !(scale.is_finite() && scale > 0.0) {
            return Err(ImageFault::Transform(format!("the value range {black},{white} does not rise")));
        }
        values.iter_mut().for_each(|value| *value = ((*value - black) * scale).clamp(0.0, 1.0));
        return Ok(());
    }
    let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if lowest < 0.0 || highest > 1.0 {
        return Err(ImageFault::OutOfRange { lowest, highest });
    }
    Ok(())
}
