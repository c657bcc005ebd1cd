//! What a file is by its first bytes, and whether it is all there.

use crate::error::ImageFault;
use flate2::Crc;
use image::ImageFormat;
use std::path::Path;

/// How the names of files end that are taken for images in folders.
pub(crate) const EXTENSIONS: [&str; 13] =
    ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "gif", "pnm", "pbm", "pgm", "ppm", "pam"];

/// Whether a file has the extension of an image.
pub(crate) fn has_image_name(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(path).as_str())
}

/// The extension in lower case, or nothing.
pub(crate) fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// The name without its extension.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The formats that are read, in words.
pub(crate) const FORMATS: &str = "PNG, JPEG, BMP, TIFF, WebP, GIF and PNM";

/// How many bytes [`sniff`] looks at.
pub(super) const HEAD: usize = 64;

/// The supported image format of these bytes.
///
/// # Errors
/// [`ImageFault::Empty`], or [`ImageFault::Foreign`] with a guess of what it is instead.
pub(super) fn sniff(bytes: &[u8]) -> Result<ImageFormat, ImageFault> {
    if bytes.is_empty() {
        return Err(ImageFault::Empty);
    }
    supported(bytes).ok_or_else(|| ImageFault::Foreign { found: foreign(bytes) })
}

/// True if the first bytes of a file are those of a supported image format.
pub(crate) fn looks_like_image(head: &[u8]) -> bool {
    supported(head).is_some()
}

fn supported(bytes: &[u8]) -> Option<ImageFormat> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some(ImageFormat::Png),
        [0xFF, 0xD8, 0xFF, ..] => Some(ImageFormat::Jpeg),
        // 42 is TIFF, 43 is BigTIFF.
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(ImageFormat::Tiff),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageFormat::WebP),
        // Any text may begin with "BM"; the size of the second header (12 to 124 bytes) decides.
        [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, 12..=124, 0, 0, 0, ..] => Some(ImageFormat::Bmp),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(ImageFormat::Gif),
        // Any text may begin with "P5"; a line break or space, then a number or a comment decide.
        [b'P', b'1'..=b'6', rest @ ..] if begins_with_number(rest) => Some(ImageFormat::Pnm),
        [b'P', b'7', b'\n', ..] => Some(ImageFormat::Pnm),
        _ => None,
    }
}

fn begins_with_number(bytes: &[u8]) -> bool {
    let Some((b' ' | b'\t' | b'\r' | b'\n', rest)) = bytes.split_first() else { return false };
    rest.iter()
        .find(|byte| !byte.is_ascii_whitespace())
        .is_some_and(|&byte| byte == b'#' || byte.is_ascii_digit())
}

/// A guess, for the message, at what a file that is not a supported image holds.
fn foreign(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(HEAD)];
    let known: [(&[u8], &str); 10] = [
        (b"%PDF", "a PDF document"),
        (b"\0\0\0\x0CjP  ", "a JPEG 2000 picture"),
        (b"\xFF\x4F\xFF\x51", "a JPEG 2000 picture"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1F\x8B", "a gzip archive"),
        (b"version https://git-lfs", "a Git LFS pointer (run `git lfs pull`)"),
        (b"<svg", "an SVG drawing"),
        (b"<!DOCTYPE", "a web page"),
        (b"<html", "a web page"),
        (b"\x93NUMPY", "a NumPy array"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*name).to_string();
    }
    if head.get(4..8) == Some(b"ftyp") {
        return match head.get(8..12) {
            Some(b"avif" | b"avis") => "an AVIF picture".into(),
            Some(b"heic" | b"heix" | b"mif1" | b"msf1") => "a HEIF picture".into(),
            _ => "a HEIF, AVIF or video file".into(),
        };
    }
    // The look at the head only may cut the last character.
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    let is_text = text.is_some_and(|text| !text.contains(|c: char| c.is_control() && !c.is_whitespace()));
    if is_text { "text".into() } else { "an unknown binary file".into() }
}

/// The name of a format in messages.
pub(super) fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Pnm => "PNM",
        _ => "image",
    }
}

/// How a file shows that it stops early; `None` if its structure is complete or does not show it.
pub(super) fn truncation(format: ImageFormat, bytes: &[u8]) -> Option<String> {
    match format {
        ImageFormat::Png => png_truncation(bytes),
        ImageFormat::WebP => declared_truncation(bytes, little_endian(bytes, 4)?.saturating_add(8)),
        ImageFormat::Bmp => declared_truncation(bytes, little_endian(bytes, 2)?),
        _ => None,
    }
}

fn little_endian(bytes: &[u8], at: usize) -> Option<u64> {
    let field: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u64::from(u32::from_le_bytes(field)))
}

fn declared_truncation(bytes: &[u8], declared: u64) -> Option<String> {
    let length = bytes.len() as u64;
    (declared > length).then(|| format!("ends after {} of {} bytes", grouped(length), grouped(declared)))
}

/// PNG is a list of chunks (length, name, data, checksum) that `IEND` closes.
fn png_truncation(bytes: &[u8]) -> Option<String> {
    let mut at = 8;
    while let Some(header) = bytes.get(at..at + 8) {
        if &header[4..] == b"IEND" {
            return None;
        }
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        at = at.saturating_add(length).saturating_add(12);
    }
    Some(format!("ends after {} bytes, before its end mark", grouped(bytes.len() as u64)))
}

/// Whether all chunks of a PNG match their checksums: then the file is as it was written, whatever a decoder says.
fn is_sound_png(bytes: &[u8]) -> bool {
    let mut at = 8;
    while let Some(&[a, b, c, d]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(end) = at.checked_add(8).and_then(|start| start.checked_add(length)) else { return false };
        let (Some(body), Some(stated)) = (bytes.get(at + 4..end), bytes.get(end..end + 4)) else {
            return false;
        };
        let mut checksum = Crc::new();
        checksum.update(body);
        if stated != checksum.sum().to_be_bytes() {
            return false;
        }
        if body.starts_with(b"IEND") {
            return true;
        }
        at = end + 4;
    }
    false
}

/// Whether the structure of a file shows that it is as it was written, so that a failure is that of the reader; `None` for formats that
/// do not show it.
pub(super) fn is_sound(format: ImageFormat, bytes: &[u8]) -> Option<bool> {
    match format {
        ImageFormat::Png => Some(is_sound_png(bytes)),
        // Its data was walked over before.
        ImageFormat::Jpeg => Some(false),
        _ => None,
    }
}

/// A number with commas between the thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A decoder's message without line breaks and its closing full stop.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_string()
}
