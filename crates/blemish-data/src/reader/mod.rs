//! One image in, from a file or from bytes, one [`RgbImage`] at its native depth out, or a clear reason why not.
//!
//! The format is decided by content, never by the file's name. Grey is repeated over three channels, alpha is dropped,
//! palettes are looked up, and the EXIF orientation is applied, so that pixels stand as a viewer shows them. Depth is kept
//! (8 bit, 16 bit, float), because [`crate::transform`] resizes before it converts.
//!
//! Decoders meet hostile input here: size and memory are checked on the head of a file before anything is decoded, and a panic
//! inside a decoder becomes an error.

mod common;
mod container;
mod decode;
mod jpeg;
mod options;
mod orient;
mod pixels;
mod rows;
mod tiff;

#[cfg(test)]
pub(crate) mod tests;

use crate::error::{DataError, ImageFault};
use crate::mask::Mask;
pub(crate) use container::{EXTENSIONS, FORMATS, extension, has_image_name, looks_like_image, stem};
pub use options::{ReadOptions, set_default_limits};
pub use pixels::{Pixels, RgbImage};
pub use rows::PixelFormat;
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

/// The image in the bytes of a PNG, JPEG, TIFF, BMP, WebP, PNM or GIF file (of a GIF the first frame), measured values mapped to [0, 1].
///
/// # Errors
/// The [`ImageFault`]: empty, foreign, truncated, damaged, too small, too large, or with values outside the range.
pub fn decode_image(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    if bytes.len() as u64 > options.memory_limit {
        return Err(options.too_large());
    }
    decode::decode(bytes, options)?.scaled(options)
}

/// The binary mask in the bytes of an image file: a pixel is marked if any of its colour channels is not zero.
///
/// Of the options only the limits of pixels and memory apply: a mask may be small and hold any values.
///
/// # Errors
/// As [`decode_image`].
pub fn decode_mask(bytes: &[u8], options: &ReadOptions) -> Result<Mask, ImageFault> {
    fn marked<T: Copy + PartialEq>(values: &[T], zero: T) -> Vec<bool> {
        values.chunks_exact(3).map(|rgb| rgb.iter().any(|&value| value != zero)).collect()
    }
    let options = ReadOptions { minimum_side: 1, ..options.clone() };
    let image = decode::decode(bytes, &options)?;
    let marked = match &image.pixels {
        Pixels::U8(values) => marked(values, 0),
        Pixels::U16(values) => marked(values, 0),
        Pixels::F32(values) => marked(values, 0.0),
    };
    Ok(Mask { height: image.height, width: image.width, marked })
}

/// Height and width of the upright image in the bytes of an image file, from its head, within the limits.
///
/// # Errors
/// As [`decode_image`], as far as the head shows.
pub fn image_size(bytes: &[u8], options: &ReadOptions) -> Result<(usize, usize), ImageFault> {
    decode::size(Cursor::new(bytes), bytes, options)
}

/// Reads one image.
///
/// # Errors
/// [`DataError::Image`] with the [`ImageFault`]: unreadable, or as [`decode_image`].
pub fn read_image(path: &Path, options: &ReadOptions) -> Result<RgbImage, DataError> {
    let read = || decode_image(&read_file(path, options)?, options);
    read().map_err(|fault| DataError::image(path, fault))
}

/// Height and width of an upright image, from the head of its file, within the limits.
///
/// # Errors
/// As for [`read_image`], as far as the head shows.
pub fn read_size(path: &Path, options: &ReadOptions) -> Result<(usize, usize), DataError> {
    let head = || {
        let file = File::open(path).map_err(unreadable)?;
        decode::size(BufReader::new(file), &[], options)
    };
    let size = match head() {
        // Only the whole file shows what is wrong with it.
        Err(ImageFault::Unreadable(_) | ImageFault::Truncated { .. } | ImageFault::Damaged { .. }) => {
            read_file(path, options).and_then(|bytes| image_size(&bytes, options))
        }
        size => size,
    };
    size.map_err(|fault| DataError::image(path, fault))
}

/// Reads one binary mask; see [`decode_mask`].
///
/// # Errors
/// [`DataError::Image`] as for [`read_image`], without a range or a smallest size.
pub fn read_mask(path: &Path) -> Result<Mask, DataError> {
    let options = ReadOptions::default();
    let read = || decode_mask(&read_file(path, &options)?, &options);
    read().map_err(|fault| DataError::image(path, fault))
}

/// The bytes of an image file.
///
/// # Errors
/// [`ImageFault`] if it cannot be read, is no file, or takes more memory than allowed.
pub(crate) fn read_file(path: &Path, options: &ReadOptions) -> Result<Vec<u8>, ImageFault> {
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(ImageFault::NotAFile);
    }
    if metadata.len() > options.memory_limit {
        return Err(options.too_large());
    }
    std::fs::read(path).map_err(unreadable)
}

fn unreadable(error: std::io::Error) -> ImageFault {
    ImageFault::Unreadable(error.to_string())
}
