//! The outline of a safetensors file: where its tensors start and end. Tells foreign, truncated and damaged files apart.

use blemish_core::error::Error;
use safetensors::tensor::{Metadata, SafeTensors};
use std::path::Path;

/// Bytes at the beginning of a file that [`of`] looks at.
pub(super) const FIRST: usize = 16;

/// The longest header that the format allows, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// Where things lie in a file.
pub(super) struct Outline {
    /// The first byte of its tensors; at most the file's length.
    pub(super) start: u64,
}

/// The outline of a file of `length` bytes that begins with `first`, [`FIRST`] bytes or more where it has so many.
///
/// # Errors
/// [`Error::NotAModel`], [`Error::Truncated`].
pub(super) fn of(path: &Path, first: &[u8], length: u64) -> Result<Outline, Error> {
    let foreign = |reason: &str| Error::NotAModel { path: path.to_owned(), reason: reason.to_owned() };
    if first.is_empty() {
        return Err(foreign("it is empty"));
    }
    if let Some(kind) = kind_of(first) {
        return Err(foreign(&format!("it looks like {kind}")));
    }
    let Some((header, rest)) = first.split_first_chunk::<8>() else {
        return Err(foreign("it is too short"));
    };
    let header = u64::from_le_bytes(*header);
    if rest.first() != Some(&b'{') || header > LONGEST_HEADER {
        return Err(foreign("its first bytes are not those of a safetensors file"));
    }
    let start = 8 + header;
    match length < start {
        true => Err(Error::Truncated { path: path.to_owned(), found: length, expected: start }),
        false => Ok(Outline { start }),
    }
}

/// Checks that a file of `length` bytes ends where its header, whose text is `text`, says that its tensors end.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Corrupt`].
pub(super) fn check_extent(path: &Path, text: &[u8], start: u64, length: u64) -> Result<(), Error> {
    let corrupt = |reason: String| Error::Corrupt { path: path.to_owned(), reason };
    let metadata: Metadata =
        serde_json::from_slice(text).map_err(|error| corrupt(format!("its header is damaged ({error})")))?;
    let expected = start.saturating_add(metadata.data_len() as u64);
    if length < expected {
        return Err(Error::Truncated { path: path.to_owned(), found: length, expected });
    }
    match length - expected {
        0 => Ok(()),
        more => Err(corrupt(format!("it goes on for {more} bytes after its end"))),
    }
}

/// What a file in memory says of its tensors, and where they start.
///
/// # Errors
/// As [`of`] and [`check_extent`].
pub(super) fn metadata(path: &Path, bytes: &[u8]) -> Result<(Metadata, usize), Error> {
    let length = bytes.len() as u64;
    // The start is at most the length, so it fits an usize.
    let start = of(path, bytes, length)?.start as usize;
    check_extent(path, &bytes[8..start], start as u64, length)?;
    // The library repeats the checks of offsets, shapes and sizes.
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
    Ok((metadata, start))
}

fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 7] = [
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"PK\x03\x04", "a zip archive (perhaps PyTorch weights)"),
        (b"\x80\x02", "a Python pickle (perhaps PyTorch weights)"),
        (b"BM", "a BMP image"),
        (b"II*\0", "a TIFF image"),
        (b"\x08", "an ONNX graph"),
    ];
    // A safetensors header may well be 8 bytes modulo 256 long: its ninth byte decides.
    if bytes.get(8) == Some(&b'{') {
        return None;
    }
    KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind)
}
