//! TIFF: grey, RGB and palette; 1 to 16 bit, and measured values (float of 16, 32 or 64 bit, signed or 32-bit integers); strips or
//! tiles, interleaved or planar. The first picture of a file is read.
//!
//! The `tiff` crate reads the directory ([`directory`]). Strips and tiles are decompressed here ([`pieces`]), since the crate cuts
//! sound LZW tiles short, panics on planar tiles, and knows neither palettes nor reversed bits.

mod directory;
mod fault;
mod jpeg;
mod pieces;
mod predictor;
mod samples;

#[cfg(test)]
mod tests;

use super::container::grouped;
use super::options::ReadOptions;
use super::orient;
use super::pixels::RgbImage;
use crate::error::ImageFault;
use directory::{Compression, Picture};
use fault::{FORMAT, fault_of};
use std::io::{Cursor, Read, Seek};
use tiff::decoder::Decoder;

/// The upright RGB image in a TIFF file, measured values as they are.
pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let fault = |error| fault_of(bytes, options, error);
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(fault)?;
    let picture = Picture::of(&mut decoder, bytes, options)?;
    check_complete(bytes, &picture)?;
    let image = samples::read(bytes, &picture, options)?;
    Ok(orient::upright(image, picture.orientation))
}

/// Height and width of the upright image in a TIFF file, within the limits; `whole` is all of the file for messages, if known.
pub(super) fn size(
    file: impl Read + Seek,
    whole: &[u8],
    options: &ReadOptions,
) -> Result<(usize, usize), ImageFault> {
    let mut decoder = Decoder::new(file).map_err(|error| fault_of(whole, options, error))?;
    let picture = Picture::of(&mut decoder, whole, options)?;
    Ok(orient::upright_size((picture.height, picture.width), picture.orientation))
}

/// Tells early and with figures if the file ends before its pixel data does.
fn check_complete(bytes: &[u8], picture: &Picture) -> Result<(), ImageFault> {
    // Pieces that are not compressed are checked by the length that they must have; the stated one is often too large.
    if picture.compression == Compression::None {
        return Ok(());
    }
    let end =
        picture.offsets.iter().zip(&picture.lengths).map(|(&at, &length)| at.saturating_add(length)).max();
    let Some(end) = end.filter(|&end| end > bytes.len() as u64) else { return Ok(()) };
    let (length, end) = (grouped(bytes.len() as u64), grouped(end));
    Err(ImageFault::Truncated {
        format: FORMAT,
        ends: format!("ends after {length} of at least {end} bytes"),
    })
}
