//! The segments of a JPEG file before anything is decoded: what kind it is, how many scans it has, whether it ends.

use crate::error::ImageFault;
use crate::reader::container::grouped;
use crate::reader::options::ReadOptions;

pub(super) const FORMAT: &str = "JPEG";

/// Up to this many scans a file is decoded whatever its size; usual encoders write at most a dozen.
const USUAL_SCANS: u64 = 32;
/// The most scans times pixels that are decoded beyond that: each such step takes about a nanosecond, so this is a few seconds.
const MOST_WORK: u64 = 1 << 31;

/// What the segments say.
pub(super) struct Outline {
    /// Whether the end mark is there.
    pub(super) is_complete: bool,
    /// Whether the picture is in several scans though it is not progressive.
    pub(super) is_split: bool,
    is_progressive: bool,
    scans: u64,
    pixels: u64,
    /// Why this kind is not read.
    unread: Option<String>,
}

impl Outline {
    /// Walks over the segments. After a scan's header follows coded data in which FF is always followed by 00 or a restart mark, so
    /// that the end mark FF D9 cannot be mistaken.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut outline = Self {
            is_complete: false,
            is_split: false,
            is_progressive: false,
            scans: 0,
            pixels: 0,
            unread: None,
        };
        let mut at = 2;
        while at + 1 < bytes.len() {
            match (bytes[at], bytes[at + 1]) {
                (0xFF, 0xD9) => {
                    outline.is_complete = true;
                    break;
                }
                // Padding, stuffed bytes, restart marks and start marks stand alone.
                (0xFF, 0xFF) => at += 1,
                (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => at += 2,
                (0xFF, mark) => {
                    let length =
                        bytes.get(at + 2..at + 4).map_or(2, |field| u16::from_be_bytes([field[0], field[1]]));
                    let body = bytes.get(at + 4..).unwrap_or_default();
                    match mark {
                        0xDA => outline.scans += 1,
                        // The frame's header; C4, C8 and CC are other things.
                        0xC0..=0xCF if !matches!(mark, 0xC4 | 0xC8 | 0xCC) => {
                            outline.take_frame(mark, body);
                            outline.is_progressive = mark == 0xC2;
                        }
                        _ => {}
                    }
                    at += 2 + usize::from(length);
                }
                _ => at += bytes[at..].iter().position(|&byte| byte == 0xFF).unwrap_or(bytes.len()).max(1),
            }
        }
        outline.is_split = !outline.is_progressive && outline.scans > 1;
        outline
    }

    fn take_frame(&mut self, mark: u8, body: &[u8]) {
        let &[precision, height, low_height, width, low_width, ..] = body else { return };
        let side = |high, low| u64::from(u16::from_be_bytes([high, low]));
        self.pixels = self.pixels.max(side(height, low_height) * side(width, low_width));
        let kind = match mark {
            0xC3 | 0xC7 | 0xCB | 0xCF => Some("lossless coding".to_owned()),
            0xC5 | 0xC6 | 0xCD | 0xCE => Some("hierarchical frames".to_owned()),
            0xC9 | 0xCA => Some("arithmetic coding".to_owned()),
            _ => (precision != 8).then(|| format!("{precision} bits a sample")),
        };
        self.unread = self.unread.take().or(kind);
    }

    /// Checks that there is memory for all coefficients where they must be held, 16 bit each beside the result's 8.
    ///
    /// # Errors
    /// [`ImageFault::TooLarge`].
    pub(super) fn check_memory(&self, options: &ReadOptions) -> Result<(), ImageFault> {
        let needed = if self.is_progressive || self.is_split { 9 } else { 3 };
        options.check_memory(self.pixels.saturating_mul(needed))
    }

    /// Checks that the file is of a kind that is read, in a time that a person waits.
    ///
    /// # Errors
    /// [`ImageFault::Unsupported`] with the kind.
    pub(super) fn check_kind(&self) -> Result<(), ImageFault> {
        let unsupported = |detail| Err(ImageFault::Unsupported { format: FORMAT, detail });
        if let Some(kind) = &self.unread {
            return unsupported(kind.clone());
        }
        if self.scans > USUAL_SCANS && self.scans.saturating_mul(self.pixels) > MOST_WORK {
            let (scans, pixels) = (grouped(self.scans), grouped(self.pixels));
            return unsupported(format!("{scans} scans of {pixels} pixels, which take too long to decode"));
        }
        Ok(())
    }
}
