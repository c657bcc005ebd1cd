//! PNG, JPEG, BMP, WebP, PNM and GIF through the `image` crate, JPEG after a look by [`super::jpeg`].

use super::options::ReadOptions;
use super::pixels::{Pixels, RgbImage, rgb_of};
use super::{container, jpeg, orient};
use crate::error::ImageFault;
use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::{BufRead, Cursor, ErrorKind, Seek};

/// The upright RGB image in a JPEG file that is known to be complete.
pub(super) fn decode_jpeg(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let checked = jpeg::Checked::new(bytes)?;
    let fault = |error: ImageError| fault_of(ImageFormat::Jpeg, bytes, options, error);
    // The head decides about the limits before all of the data is walked over.
    open(ImageFormat::Jpeg, Cursor::new(bytes), options, fault)?;
    let (readable, is_sound) = checked.readable(options)?;
    decode(ImageFormat::Jpeg, &readable, options).map_err(|fault| match fault {
        ImageFault::Damaged { format, detail } if is_sound => ImageFault::Reader { format, detail },
        fault => fault,
    })
}

/// Height and width of the upright image, from its head, within the limits. `whole` is all there is of it for messages, if known.
pub(super) fn size(
    format: ImageFormat,
    input: impl BufRead + Seek,
    whole: &[u8],
    options: &ReadOptions,
) -> Result<(usize, usize), ImageFault> {
    let fault = |error: ImageError| fault_of(format, whole, options, error);
    let (_, head) = open(format, input, options, fault)?;
    let (width, height) = head.size;
    Ok(orient::upright_size((height as usize, width as usize), head.orientation.to_exif()))
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

/// The upright RGB image in a file of any other format.
pub(super) fn decode(
    format: ImageFormat,
    bytes: &[u8],
    options: &ReadOptions,
) -> Result<RgbImage, ImageFault> {
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
            None => {
                let detail = container::one_line(&error.to_string());
                match container::is_sound(format, bytes) {
                    Some(true) => ImageFault::Reader { format: name, detail },
                    Some(false) => ImageFault::Damaged { format: name, detail },
                    None => {
                        let detail = format!("{detail}, or of a kind that this program does not read");
                        ImageFault::Damaged { format: name, detail }
                    }
                }
            }
        },
    }
}
