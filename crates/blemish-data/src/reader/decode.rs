//! From bytes to pixels: PNG, JPEG, BMP and WebP through the `image` crate, TIFF through [`super::tiff`].

use super::options::ReadOptions;
use super::pixels::{Pixels, RgbImage, rgb_of};
use super::{container, orient, tiff};
use crate::error::ImageFault;
use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::{BufRead, Cursor, ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The upright RGB image in `bytes`, measured values not yet scaled.
pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let format = container::sniff(bytes)?;
    if format == ImageFormat::Jpeg
        && let Some(ends) = container::truncation(format, bytes)
    {
        return Err(ImageFault::Truncated { format: container::name(format), ends });
    }
    guarded(format, || match format {
        ImageFormat::Tiff => tiff::decode(bytes, options),
        _ => decode_common(format, bytes, options),
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
        _ => {
            let fault = |error: ImageError| fault_of(format, whole, options, error);
            let (_, head) = open(format, input, options, fault)?;
            let (width, height) = head.size;
            Ok(orient::upright_size((height as usize, width as usize), head.orientation.to_exif()))
        }
    })
}

/// Turns a panic of a decoder into an error: a bug there must not end a run over thousands of files. No state outlives the closure.
fn guarded<T>(format: ImageFormat, work: impl FnOnce() -> Result<T, ImageFault>) -> Result<T, ImageFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let detail = "its decoder gave up unexpectedly".to_string();
        Err(ImageFault::Damaged { format: container::name(format), detail })
    })
}

/// What the head of a file says.
struct Head {
    /// Width and height as stored.
    size: (u32, u32),
    channels: usize,
    orientation: Orientation,
}

/// A decoder that has read the head, which is within the limits.
fn open<'a>(
    format: ImageFormat,
    input: impl BufRead + Seek + 'a,
    options: &ReadOptions,
    fault: impl Fn(ImageError) -> ImageFault,
) -> Result<(impl ImageDecoder + 'a, Head), ImageFault> {
    let mut reader = ImageReader::with_format(input, format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(options.memory_limit);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (size, color) = (decoder.dimensions(), decoder.color_type());
    let result = 3 * u64::from(color.bytes_per_pixel()) / u64::from(color.channel_count());
    options.check_head(size, result.max(u64::from(color.bytes_per_pixel())))?;
    // A sound picture with broken EXIF data is still read.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let channels = usize::from(color.channel_count());
    Ok((decoder, Head { size, channels, orientation }))
}

fn decode_common(format: ImageFormat, bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let fault = |error: ImageError| fault_of(format, bytes, options, error);
    let (decoder, Head { size: (width, height), channels, orientation }) =
        open(format, Cursor::new(bytes), options, fault)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(fault)?;
    let pixels = match picture {
        DynamicImage::ImageLuma8(picture) => Pixels::U8(rgb_of(picture.into_raw(), channels)),
        DynamicImage::ImageLumaA8(picture) => Pixels::U8(rgb_of(picture.into_raw(), channels)),
        DynamicImage::ImageRgb8(picture) => Pixels::U8(rgb_of(picture.into_raw(), channels)),
        DynamicImage::ImageRgba8(picture) => Pixels::U8(rgb_of(picture.into_raw(), channels)),
        DynamicImage::ImageLuma16(picture) => Pixels::U16(rgb_of(picture.into_raw(), channels)),
        DynamicImage::ImageLumaA16(picture) => Pixels::U16(rgb_of(picture.into_raw(), channels)),
        DynamicImage::ImageRgb16(picture) => Pixels::U16(rgb_of(picture.into_raw(), channels)),
        DynamicImage::ImageRgba16(picture) => Pixels::U16(rgb_of(picture.into_raw(), channels)),
        other => Pixels::F32(other.into_rgb32f().into_raw()),
    };
    let image = RgbImage { height: height as usize, width: width as usize, pixels };
    Ok(orient::upright(image, orientation.to_exif()))
}

fn fault_of(format: ImageFormat, bytes: &[u8], options: &ReadOptions, error: ImageError) -> ImageFault {
    let name = container::name(format);
    match error {
        ImageError::Limits(_) => options.too_large(),
        ImageError::Unsupported(error) => {
            let detail = container::one_line(&error.to_string());
            ImageFault::Unsupported { format: name, detail }
        }
        error => match container::truncation(format, bytes) {
            Some(ends) => ImageFault::Truncated { format: name, ends },
            None if matches!(&error, ImageError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof) => {
                let ends = format!("ends after {} bytes", container::grouped(bytes.len() as u64));
                ImageFault::Truncated { format: name, ends }
            }
            None => ImageFault::Damaged { format: name, detail: container::one_line(&error.to_string()) },
        },
    }
}
