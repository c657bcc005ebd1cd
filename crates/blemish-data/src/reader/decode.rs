//! From bytes to pixels: TIFF through [`super::tiff`], all else through [`super::common`].

use super::options::ReadOptions;
use super::pixels::RgbImage;
use super::{common, container, tiff};
use crate::error::ImageFault;
use image::ImageFormat;
use std::io::{BufRead, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The upright RGB image in `bytes`, measured values not yet scaled.
pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let format = container::sniff(bytes)?;
    guarded(format, || match format {
        ImageFormat::Tiff => tiff::decode(bytes, options),
        ImageFormat::Jpeg => common::decode_jpeg(bytes, options),
        _ => common::decode(format, bytes, options),
    })
}

/// Height and width of the upright image, from its head, within the limits. `whole` is all there is of it for messages, if known.
pub(super) fn size(
    mut input: impl BufRead + Seek,
    whole: &[u8],
    options: &ReadOptions,
) -> Result<(usize, usize), ImageFault> {
    let unreadable = |error: std::io::Error| ImageFault::Unreadable(error.to_string());
    let mut head = Vec::new();
    (&mut input).take(container::HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
    let format = container::sniff(&head)?;
    input.rewind().map_err(unreadable)?;
    guarded(format, || match format {
        ImageFormat::Tiff => tiff::size(input, whole, options),
        _ => common::size(format, input, whole, options),
    })
}

/// Turns a panic of a decoder into an error: a bug there must not end a run over thousands of files. No state outlives the closure.
fn guarded<T>(format: ImageFormat, work: impl FnOnce() -> Result<T, ImageFault>) -> Result<T, ImageFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let detail = "its decoder gave up unexpectedly".to_string();
        Err(ImageFault::Reader { format: container::name(format), detail })
    })
}
