//! From bytes to pixels: PNG, JPEG, BMP and WebP through the `image` crate, TIFF through [`super::tiff`].

use super::{Pixels, ReadOptions, RgbImage, container, orient, tiff};
use crate::error::ImageFault;
use image::error::ImageError;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The upright RGB image in `bytes`, measured values not yet scaled.
pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let format = container::sniff(bytes)?;
    if format == ImageFormat::Jpeg
        && let Some(ends) = container::truncation(format, bytes)
    {
        return Err(ImageFault::Truncated { format: container::name(format), ends });
    }
    // A bug in a decoder must not end a run over thousands of files; no state outlives the closure.
    catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Tiff => tiff::decode(bytes, options),
        _ => decode_common(format, bytes, options),
    }))
    .unwrap_or_else(|_| {
        let detail = "its decoder gave up unexpectedly".to_string();
        Err(ImageFault::Damaged { format: container::name(format), detail })
    })
}

/// Height and width of the upright image in a file, without decoding it.
pub(super) fn size(path: &Path, options: &ReadOptions) -> Result<(usize, usize), ImageFault> {
    let unreadable = |error: std::io::Error| ImageFault::Unreadable(error.to_string());
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut head = Vec::new();
    (&mut file).take(container::HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
    let format = container::sniff(&head)?;
    file.rewind().map_err(unreadable)?;
    let probe = || match format {
        ImageFormat::Tiff => tiff::size(file, options),
        _ => {
            let fault = |error: ImageError| fault_of(format, &head, options, error);
            let mut decoder = ImageReader::with_format(file, format).into_decoder().map_err(fault)?;
            let (width, height) = decoder.dimensions();
            let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
            Ok(orient::upright_size((height as usize, width as usize), orientation.to_exif()))
        }
    };
    catch_unwind(AssertUnwindSafe(probe)).unwrap_or_else(|_| {
        let detail = "its decoder gave up unexpectedly".to_string();
        Err(ImageFault::Damaged { format: container::name(format), detail })
    })
}

/// Refuses images that are too small to judge or too large to hold: `bytes_per_pixel` is the larger of file's and result's.
pub(super) fn check_size(
    (width, height): (u32, u32),
    bytes_per_pixel: u64,
    options: &ReadOptions,
) -> Result<(), ImageFault> {
    let (width, height, minimum) = (width as usize, height as usize, options.minimum_side.max(1));
    if width < minimum || height < minimum {
        return Err(ImageFault::TooSmall { width, height, minimum });
    }
    let needed = (width as u64).saturating_mul(height as u64).saturating_mul(bytes_per_pixel);
    if needed > options.memory_limit {
        return Err(ImageFault::TooLarge { limit_mib: options.memory_limit >> 20 });
    }
    Ok(())
}

/// Interleaved RGB out of interleaved pixels of `channels` samples each: the first three, or the first one repeated.
pub(super) fn rgb_of<T: Copy>(samples: Vec<T>, channels: usize) -> Vec<T> {
    match channels {
        3 => samples,
        1 => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
        2 => samples.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
        _ => samples.chunks_exact(channels).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
    }
}

fn decode_common(format: ImageFormat, bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let fault = |error: ImageError| fault_of(format, bytes, options, error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(options.memory_limit);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    let result = 3 * u64::from(color.bytes_per_pixel()) / u64::from(color.channel_count());
    check_size((width, height), result.max(u64::from(color.bytes_per_pixel())), options)?;
    // Broken EXIF data beside a sound picture is no reason to refuse it.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(fault)?;
    let channels = usize::from(color.channel_count());
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
        ImageError::Limits(_) => ImageFault::TooLarge { limit_mib: options.memory_limit >> 20 },
        ImageError::Unsupported(error) => {
            let detail = one_line(&error.to_string());
            ImageFault::Unsupported { format: name, detail }
        }
        error => match container::truncation(format, bytes) {
            Some(ends) => ImageFault::Truncated { format: name, ends },
            None if matches!(&error, ImageError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof) => {
                let ends = format!("ends after {} bytes", container::grouped(bytes.len() as u64));
                ImageFault::Truncated { format: name, ends }
            }
            None => ImageFault::Damaged { format: name, detail: one_line(&error.to_string()) },
        },
    }
}

/// A decoder's message without line breaks and its closing full stop.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_string()
}
