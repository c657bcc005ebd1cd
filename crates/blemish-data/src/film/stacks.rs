//! Files of several pictures: animated GIF, multi-page TIFF.

use super::{EachFrame, frame_name};
use crate::error::{DataError, ImageFault};
use crate::reader::{Pixels, ReadOptions, RgbImage, decode_image, extension, read_file};
use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// Most pictures of a file, so that a chain in circles ends.
const MOST: usize = 1_000_000;

fn options() -> ReadOptions {
    ReadOptions { minimum_side: 1, ..ReadOptions::default() }
}

/// Whether there are two pictures at least.
pub(super) fn has_several(path: &Path) -> bool {
    match extension(path).as_str() {
        "gif" => std::fs::File::open(path)
            .ok()
            .and_then(|file| GifDecoder::new(BufReader::new(file)).ok())
            .is_some_and(|decoder| decoder.into_frames().take(2).filter(Result::is_ok).count() == 2),
        _ => std::fs::File::open(path).ok().is_some_and(|mut file| pages(&mut file, 2).len() == 2),
    }
}

/// The frames of an animated GIF, what is transparent over black.
pub(super) fn gif(path: &Path, each: &mut EachFrame<'_>) -> Result<(), DataError> {
    let bytes = read_file(path, &options()).map_err(|fault| DataError::image(path, fault))?;
    let damaged = |error: image::ImageError| {
        DataError::image(path, ImageFault::Damaged { format: "GIF", detail: error.to_string() })
    };
    let decoder = GifDecoder::new(Cursor::new(&bytes[..])).map_err(damaged)?;
    for frame in decoder.into_frames() {
        let picture = frame.map_err(damaged)?.into_buffer();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let over_black = |pixel: &image::Rgba<u8>| {
            let [red, green, blue, alpha] = pixel.0.map(u16::from);
            [red, green, blue].map(|value| (value * alpha / 255) as u8)
        };
        let values = picture.pixels().flat_map(over_black).collect();
        each(&RgbImage { height, width, pixels: Pixels::U8(values) })?;
    }
    Ok(())
}

/// The pages of a TIFF file.
///
/// Each is read as the first one of a file whose head points to it.
pub(super) fn tiff(path: &Path, each: &mut EachFrame<'_>) -> Result<(), DataError> {
    let options = options();
    let mut bytes = read_file(path, &options).map_err(|fault| DataError::image(path, fault))?;
    let pages = pages(&mut Cursor::new(&bytes), MOST);
    for (number, page) in pages.into_iter().enumerate() {
        let Some(head) = Head::of(&bytes) else { break };
        head.point_to(&mut bytes, page);
        let frame = decode_image(&bytes, &options)
            .map_err(|fault| DataError::image(&frame_name(path, number + 1), fault))?;
        each(&frame)?;
    }
    Ok(())
}

/// How the numbers of a TIFF file are stored.
#[derive(Clone, Copy)]
struct Head {
    is_big_endian: bool,
    /// BigTIFF, whose offsets have 8 bytes.
    is_big: bool,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.get(..4)? {
            [b'I', b'I', kind @ (42 | 43), 0] => Some(Self { is_big_endian: false, is_big: *kind == 43 }),
            [b'M', b'M', 0, kind @ (42 | 43)] => Some(Self { is_big_endian: true, is_big: *kind == 43 }),
            _ => None,
        }
    }

    /// Where the offset of the first directory stands, and its bytes.
    fn first(self) -> (u64, usize) {
        if self.is_big { (8, 8) } else { (4, 4) }
    }

    fn number(self, bytes: &[u8]) -> u64 {
        let digit = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.is_big_endian { bytes.iter().fold(0, digit) } else { bytes.iter().rev().fold(0, digit) }
    }

    fn point_to(self, bytes: &mut [u8], page: u64) {
        let (at, length) = self.first();
        let place = &mut bytes[at as usize..at as usize + length];
        if self.is_big_endian {
            place.copy_from_slice(&page.to_be_bytes()[8 - length..]);
        } else {
            place.copy_from_slice(&page.to_le_bytes()[..length]);
        }
    }
}

/// Where the directories of the pages begin, at most so many; those before the first fault.
fn pages(file: &mut (impl Read + Seek), most: usize) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    let mut read = |at: u64, length: usize| -> Option<Vec<u8>> {
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    let Some(head) = read(0, 4).and_then(|bytes| Head::of(&bytes)) else { return found };
    let (at, length) = head.first();
    let (counted, entry) = if head.is_big { (8, 20) } else { (2, 12) };
    let mut next = read(at, length).map_or(0, |bytes| head.number(&bytes));
    let mut seen = std::collections::HashSet::new();
    while next != 0 && found.len() < most && seen.insert(next) {
        let Some(entries) = read(next, counted).map(|bytes| head.number(&bytes)) else { break };
        found.push(next);
        let Some(at) = entries.checked_mul(entry).and_then(|size| next.checked_add(size + counted as u64))
        else {
            break;
        };
        next = read(at, length).map_or(0, |bytes| head.number(&bytes));
    }
    found
}
