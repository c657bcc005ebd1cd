//! TIFF through the `tiff` crate: grey, RGB and palette; 1 to 16 bit, and measured values (float of 16, 32 or 64 bit,
//! signed or 32-bit integers); strips or tiles, interleaved or planar. The first picture of a file is read.

use super::container::{self, one_line};
use super::options::ReadOptions;
use super::orient;
use super::pixels::{Pixels, RgbImage, rgb_of};
use crate::error::ImageFault;
use std::io::{Cursor, ErrorKind, Read, Seek};
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

const FORMAT: &str = "TIFF";
/// `PhotometricInterpretation` of a palette picture, and of grey with black as zero.
const PALETTE: u16 = 3;
const BLACK_IS_ZERO: u16 = 1;

/// The upright RGB image in a TIFF file, measured values as they are.
pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let mut decoder = open(bytes, options)?;
    let fault = |error| fault_of(bytes, options, error);
    let photometric = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).map_err(fault)?;
    if photometric != Some(PALETTE) {
        return decode_direct(bytes, options, decoder);
    }
    // The crate does not know palettes. The indices of a palette picture are stored just as grey is, so it is
    // presented as grey and looked up afterwards.
    let colors = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(fault)?;
    let depth = decoder.find_tag_unsigned_vec::<u16>(Tag::BitsPerSample).map_err(fault)?;
    if depth.as_deref() != Some(&[8]) || colors.len() != 3 * 256 {
        return Err(unsupported("a palette of other than 256 colours"));
    }
    let grey = as_grey(bytes).ok_or_else(|| unsupported("a palette in BigTIFF"))?;
    let decoder = open(&grey, options)?;
    let mut image = decode_direct(&grey, options, decoder)?;
    let Pixels::U8(values) = &mut image.pixels else {
        return Err(unsupported("a palette with wide indices"));
    };
    for pixel in values.chunks_exact_mut(3) {
        let index = usize::from(pixel[0]);
        // The colour map holds all reds, then greens, then blues, of 16 bit each.
        for (channel, value) in pixel.iter_mut().enumerate() {
            *value = (colors[256 * channel + index] >> 8) as u8;
        }
    }
    Ok(image)
}

/// Height and width of the upright image in a TIFF file, within the limits; `whole` is all of the file for messages, if known.
pub(super) fn size(
    file: impl Read + Seek,
    whole: &[u8],
    options: &ReadOptions,
) -> Result<(usize, usize), ImageFault> {
    let fault = |error| fault_of(whole, options, error);
    let mut decoder = Decoder::new(file).map_err(fault)?;
    let (width, height) = decoder.dimensions().map_err(fault)?;
    let photometric = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).map_err(fault)?;
    let bytes_per_pixel = match photometric {
        Some(PALETTE) => 3,
        _ => bytes_per_pixel(decoder.colortype().map_err(fault)?)?,
    };
    options.check_head((width, height), bytes_per_pixel)?;
    let orientation = decoder.find_tag_unsigned::<u16>(Tag::Orientation).ok().flatten().unwrap_or(1);
    Ok(orient::upright_size((height as usize, width as usize), u8::try_from(orientation).unwrap_or(1)))
}

/// The larger of the file's and the result's.
fn bytes_per_pixel(color: ColorType) -> Result<u64, ImageFault> {
    Ok(u64::from(color.bit_depth().div_ceil(8)) * channels_of(color)?.max(3) as u64)
}

fn open<'a>(bytes: &'a [u8], options: &ReadOptions) -> Result<Decoder<Cursor<&'a [u8]>>, ImageFault> {
    let limit = usize::try_from(options.memory_limit).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = limit;
    limits.intermediate_buffer_size = limit;
    let decoder = Decoder::new(Cursor::new(bytes)).map_err(|error| fault_of(bytes, options, error))?;
    Ok(decoder.with_limits(limits))
}

fn decode_direct(
    bytes: &[u8],
    options: &ReadOptions,
    mut decoder: Decoder<Cursor<&[u8]>>,
) -> Result<RgbImage, ImageFault> {
    let fault = |error| fault_of(bytes, options, error);
    let (width, height) = decoder.dimensions().map_err(fault)?;
    let color = decoder.colortype().map_err(fault)?;
    let channels = channels_of(color)?;
    options.check_head((width, height), bytes_per_pixel(color)?)?;
    check_complete(bytes, &mut decoder)?;
    let orientation = decoder.find_tag_unsigned::<u16>(Tag::Orientation).ok().flatten().unwrap_or(1);
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples).map_err(fault)?;
    let size = (height as usize, width as usize);
    let count = size.0 * size.1;
    if color.bit_depth() < 8 {
        let row_bytes = layout.row_stride.map_or(0, |stride| stride.get());
        let DecodingResult::U8(packed) = &samples else {
            return Err(unsupported("signed samples of few bits"));
        };
        samples = DecodingResult::U8(unpacked(packed, size, color.bit_depth(), row_bytes)?);
    }
    let planes = if layout.planes > 1 { channels } else { 1 };
    let pixels = pixels_of(samples, count, channels, planes)?;
    let image = RgbImage { height: size.0, width: size.1, pixels };
    Ok(orient::upright(image, u8::try_from(orientation).unwrap_or(1)))
}

/// Samples per pixel of the kinds that are read.
fn channels_of(color: ColorType) -> Result<usize, ImageFault> {
    let depth_is_known = |depth: u8| matches!(depth, 8 | 16 | 32 | 64);
    match color {
        ColorType::Gray(1 | 2 | 4) => Ok(1),
        ColorType::Gray(depth) if depth_is_known(depth) => Ok(1),
        ColorType::GrayA(depth) | ColorType::Multiband { bit_depth: depth, num_samples: 2 }
            if depth_is_known(depth) =>
        {
            Ok(2)
        }
        ColorType::RGB(depth) if depth_is_known(depth) => Ok(3),
        ColorType::RGBA(depth) if depth_is_known(depth) => Ok(4),
        other => Err(unsupported(&format!("{other:?}"))),
    }
}

/// Tells early and with figures if the file ends before its pixel data does.
fn check_complete(bytes: &[u8], decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<(), ImageFault> {
    for (offsets, lengths) in
        [(Tag::StripOffsets, Tag::StripByteCounts), (Tag::TileOffsets, Tag::TileByteCounts)]
    {
        let (Ok(Some(offsets)), Ok(Some(lengths))) =
            (decoder.find_tag_unsigned_vec::<u64>(offsets), decoder.find_tag_unsigned_vec::<u64>(lengths))
        else {
            continue;
        };
        let end = offsets.iter().zip(&lengths).map(|(&at, &length)| at.saturating_add(length)).max();
        if let Some(end) = end.filter(|&end| end > bytes.len() as u64) {
            let ends = format!(
                "ends after {} of at least {} bytes",
                container::grouped(bytes.len() as u64),
                container::grouped(end)
            );
            return Err(ImageFault::Truncated { format: FORMAT, ends });
        }
    }
    Ok(())
}

/// Samples of 1, 2 or 4 bits, packed by rows, as 8-bit grey.
fn unpacked(
    packed: &[u8],
    (height, width): (usize, usize),
    depth: u8,
    row_bytes: usize,
) -> Result<Vec<u8>, ImageFault> {
    let per_byte = 8 / usize::from(depth);
    let highest = (1_u16 << depth) - 1;
    if row_bytes < width.div_ceil(per_byte) || packed.len() < height * row_bytes {
        return Err(damaged("too few samples"));
    }
    let mut out = Vec::with_capacity(height * width);
    for row in packed.chunks_exact(row_bytes).take(height) {
        out.extend((0..width).map(|x| {
            let shift = 8 - usize::from(depth) * (x % per_byte + 1);
            let sample = u16::from(row[x / per_byte] >> shift) & highest;
            (sample * 255 / highest) as u8
        }));
    }
    Ok(out)
}

fn pixels_of(
    samples: DecodingResult,
    count: usize,
    channels: usize,
    planes: usize,
) -> Result<Pixels, ImageFault> {
    let layout = (count, channels, planes);
    Ok(match samples {
        DecodingResult::U8(values) => Pixels::U8(rgb(values, layout)?),
        DecodingResult::U16(values) => Pixels::U16(rgb(values, layout)?),
        DecodingResult::F32(values) => Pixels::F32(rgb(values, layout)?),
        DecodingResult::F64(values) => Pixels::F32(rgb(measured(values, |value| value as f32), layout)?),
        DecodingResult::F16(values) => Pixels::F32(rgb(measured(values, f32::from), layout)?),
        DecodingResult::U32(values) => Pixels::F32(rgb(measured(values, |value| value as f32), layout)?),
        DecodingResult::U64(values) => Pixels::F32(rgb(measured(values, |value| value as f32), layout)?),
        DecodingResult::I8(values) => Pixels::F32(rgb(measured(values, f32::from), layout)?),
        DecodingResult::I16(values) => Pixels::F32(rgb(measured(values, f32::from), layout)?),
        DecodingResult::I32(values) => Pixels::F32(rgb(measured(values, |value| value as f32), layout)?),
        DecodingResult::I64(values) => Pixels::F32(rgb(measured(values, |value| value as f32), layout)?),
    })
}

fn measured<T>(values: Vec<T>, convert: impl Fn(T) -> f32) -> Vec<f32> {
    values.into_iter().map(convert).collect()
}

/// Interleaved RGB of samples that are interleaved (`planes` is 1) or stored channel by channel.
fn rgb<T: Copy>(
    mut samples: Vec<T>,
    (count, channels, planes): (usize, usize, usize),
) -> Result<Vec<T>, ImageFault> {
    if samples.len() < count * channels {
        return Err(damaged("too few samples"));
    }
    samples.truncate(count * channels);
    if planes > 1 {
        samples = (0..count)
            .flat_map(|at| (0..channels).map(move |channel| (at, channel)))
            .map(|(at, channel)| samples[channel * count + at])
            .collect();
    }
    Ok(rgb_of(samples, channels))
}

/// A copy of a classic TIFF file whose first directory says "grey" where it said "palette"; `None` for other files.
fn as_grey(bytes: &[u8]) -> Option<Vec<u8>> {
    let little = bytes.first()? == &b'I';
    let short = |at: usize| -> Option<u16> {
        let field: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(field) } else { u16::from_be_bytes(field) })
    };
    let long = |at: usize| -> Option<u32> {
        let field: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(field) } else { u32::from_be_bytes(field) })
    };
    if short(2)? != 42 {
        return None;
    }
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    let entry = (0..entries)
        .map(|index| directory + 2 + 12 * index)
        .find(|&at| short(at) == Some(Tag::PhotometricInterpretation.to_u16()))?;
    short(entry + 8).filter(|&value| value == PALETTE)?;
    let grey = if little { BLACK_IS_ZERO.to_le_bytes() } else { BLACK_IS_ZERO.to_be_bytes() };
    let mut copy = bytes.to_vec();
    copy.get_mut(entry + 8..entry + 10)?.copy_from_slice(&grey);
    Some(copy)
}

fn unsupported(detail: &str) -> ImageFault {
    ImageFault::Unsupported { format: FORMAT, detail: detail.into() }
}

fn damaged(detail: &str) -> ImageFault {
    ImageFault::Damaged { format: FORMAT, detail: detail.into() }
}

fn fault_of(bytes: &[u8], options: &ReadOptions, error: TiffError) -> ImageFault {
    match error {
        TiffError::LimitsExceeded => options.too_large(),
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            let ends = format!("ends after {} bytes", container::grouped(bytes.len() as u64));
            ImageFault::Truncated { format: FORMAT, ends }
        }
        TiffError::UnsupportedError(error) => unsupported(&one_line(&error.to_string())),
        error => damaged(&one_line(&error.to_string())),
    }
}
