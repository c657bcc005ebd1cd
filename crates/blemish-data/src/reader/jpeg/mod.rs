//! JPEG: what surrounds the `image` crate's decoder.
//!
//! The decoder fills what a file lacks with grey or noise, misreads sequential files of several scans, and takes hours for thousands
//! of scans, all without a word. So the segments are looked at first ([`outline`]), the coded data is walked over to see that it is
//! all there ([`entropy`]), and several sequential scans are put into one without loss ([`rewrite`]).

mod bits;
mod entropy;
mod file;
mod frame;
mod outline;
mod rewrite;

#[cfg(test)]
mod tests;

use super::container::grouped;
use super::options::ReadOptions;
use crate::error::ImageFault;
use entropy::Stop;
use outline::{FORMAT, Outline};
use std::borrow::Cow;

/// What can be said of a file before it is decoded.
pub(super) struct Checked<'a> {
    bytes: &'a [u8],
    outline: Outline,
}

impl<'a> Checked<'a> {
    /// Looks at the segments.
    ///
    /// # Errors
    /// [`ImageFault::Truncated`] without an end mark, [`ImageFault::Unsupported`] for kinds that are not read.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, ImageFault> {
        let outline = Outline::of(bytes);
        outline.check_kind()?;
        match truncation(bytes, &outline) {
            Some(ends) => Err(ImageFault::Truncated { format: FORMAT, ends }),
            None => Ok(Self { bytes, outline }),
        }
    }

    /// The file as the decoder reads it rightly, once its size is known to be within the limits; and whether all of it is known to be
    /// there and to make sense.
    ///
    /// # Errors
    /// [`ImageFault::Truncated`] or [`ImageFault::Damaged`] if picture data is missing or makes no sense; [`ImageFault::TooLarge`].
    pub(super) fn readable(&self, options: &ReadOptions) -> Result<(Cow<'a, [u8]>, bool), ImageFault> {
        self.outline.check_memory(options)?;
        let is_split = self.outline.is_split;
        match file::read(self.bytes, is_split) {
            Ok(walked) if is_split => {
                let file = rewrite::one_scan(self.bytes, &walked).ok_or_else(odd_scans)?;
                Ok((Cow::Owned(file), true))
            }
            Ok(_) => Ok((Cow::Borrowed(self.bytes), true)),
            Err(Stop::Short(ends)) => Err(ImageFault::Truncated { format: FORMAT, ends }),
            Err(Stop::Wrong(detail)) => Err(ImageFault::Damaged { format: FORMAT, detail }),
            // The decoder has the last word on what is odd but not known to be wrong, unless it would misread it.
            Err(Stop::NoTable) if is_split => Err(odd_scans()),
            Err(Stop::NoTable) => Ok((Cow::Borrowed(self.bytes), false)),
        }
    }
}

fn odd_scans() -> ImageFault {
    ImageFault::Unsupported { format: FORMAT, detail: "several scans with unusual tables or values".into() }
}

/// Whether the file stops before its end mark.
fn truncation(bytes: &[u8], outline: &Outline) -> Option<String> {
    (!outline.is_complete)
        .then(|| format!("ends after {} bytes, before its end mark", grouped(bytes.len() as u64)))
}
