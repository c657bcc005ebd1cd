//! JPEG inside TIFF: a piece is a file whose tables may stand apart and whose colours the directory explains.

use super::directory::{Meaning, Picture};
use super::fault::damaged;
use crate::error::ImageFault;
use crate::reader::common::decode_jpeg;
use crate::reader::options::ReadOptions;
use crate::reader::pixels::Pixels;

/// Adobe's segment, by which decoders know whether colours are RGB (0) or YCbCr (1).
fn adobe(transform: u8) -> [u8; 16] {
    [0xFF, 0xEE, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, transform]
}

/// Decodes a piece into `rows` rows of interleaved 8-bit samples.
///
/// # Errors
/// [`ImageFault`] as for a JPEG file.
pub(super) fn read(
    stored: &[u8],
    picture: &Picture,
    rows: usize,
    out: &mut [u8],
    options: &ReadOptions,
) -> Result<(), ImageFault> {
    let samples = picture.samples_in_piece();
    let mut file = vec![0xFF, 0xD8];
    if samples == 3 {
        file.extend(adobe(u8::from(picture.meaning == Meaning::Ycbcr)));
    }
    if let Some(tables) = &picture.jpeg_tables {
        let inner = tables.strip_prefix(&[0xFF, 0xD8]).unwrap_or(tables);
        file.extend_from_slice(inner.strip_suffix(&[0xFF, 0xD9]).unwrap_or(inner));
    }
    file.extend_from_slice(stored.strip_prefix(&[0xFF, 0xD8]).unwrap_or(stored));
    let options = ReadOptions { minimum_side: 1, maximum_pixels: None, ..options.clone() };
    let image = decode_jpeg(&file, &options)?;
    let Pixels::U8(values) = &image.pixels else { return Err(damaged("a JPEG piece that is not of 8 bit")) };
    let width = picture.piece.1;
    if image.width != width || image.height < rows {
        let (found, needed) = ((image.width, image.height), (width, rows));
        return Err(damaged(&format!("a JPEG piece of {found:?} pixels instead of {needed:?}")));
    }
    match samples {
        3 => out.copy_from_slice(&values[..out.len()]),
        _ => out.iter_mut().zip(values.iter().step_by(3)).for_each(|(target, &grey)| *target = grey),
    }
    Ok(())
}
