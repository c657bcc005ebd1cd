//! What a file is by its first bytes, and whether it is all there.

use crate::error::ImageFault;
use image::ImageFormat;

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
        _ => None,
    }
}

/// A guess, for the message, at what a file that is not a supported image holds.
fn foreign(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(HEAD)];
    let known: [(&[u8], &str); 9] = [
        (b"%PDF", "a PDF document"),
        (b"GIF8", "a GIF picture"),
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
        return "a HEIF, AVIF or video file".into();
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
        _ => "image",
    }
}

/// How a file shows that it stops early; `None` if its structure is complete or does not show it.
pub(super) fn truncation(format: ImageFormat, bytes: &[u8]) -> Option<String> {
    match format {
        ImageFormat::Png => png_truncation(bytes),
        ImageFormat::Jpeg => jpeg_truncation(bytes),
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

/// JPEG is a list of segments; after a scan's header follows coded data in which FF is always followed by 00 or a restart
/// mark, so the end mark FF D9 cannot be mistaken. The decoder fills the missing part with grey without a word, which
/// would look like a defect; hence this walk.
fn jpeg_truncation(bytes: &[u8]) -> Option<String> {
    let mut at = 2;
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (0xFF, 0xD9) => return None,
            // Padding, stuffed bytes, restart marks and start marks stand alone.
            (0xFF, 0xFF) => at += 1,
            (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => at += 2,
            (0xFF, _) => {
                let length =
                    bytes.get(at + 2..at + 4).map_or(2, |field| u16::from_be_bytes([field[0], field[1]]));
                at += 2 + usize::from(length);
            }
            _ => at += 1,
        }
    }
    Some(format!("ends after {} bytes, before its end mark", grouped(bytes.len() as u64)))
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
