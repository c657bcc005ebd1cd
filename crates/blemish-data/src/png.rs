//! Small lossless pictures inside other files: PNG in memory.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageFormat, ImageReader};
use std::io::Cursor;

/// PNG of a height x width picture given as three planes of bytes, red first; grey pictures take a third. The same bytes every time.
///
/// # Errors
/// The encoder's reason, if the planes do not fit the size.
pub fn encode_planar(planes: &[u8], height: usize, width: usize) -> Result<Vec<u8>, String> {
    let cells = height * width;
    if planes.len() != 3 * cells {
        return Err(format!("{} values are not 3 planes of {width}x{height}", planes.len()));
    }
    let (red, rest) = planes.split_at(cells);
    let (green, blue) = rest.split_at(cells);
    let is_grey = red == green && red == blue;
    let interleaved: Vec<u8>;
    let (pixels, colour) = if is_grey {
        (red, ExtendedColorType::L8)
    } else {
        interleaved = (0..cells).flat_map(|cell| [red[cell], green[cell], blue[cell]]).collect();
        (&interleaved[..], ExtendedColorType::Rgb8)
    };
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive)
        .write_image(pixels, width as u32, height as u32, colour)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The planes, height and width of a picture that [`encode_planar`] made.
///
/// # Errors
/// The decoder's reason, if the bytes are not such a picture or a side is above [`crate::transform::MAXIMUM_SIDE`].
pub fn decode_planar(bytes: &[u8]) -> Result<(Vec<u8>, usize, usize), String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(crate::transform::MAXIMUM_SIDE as u32);
    limits.max_image_height = Some(crate::transform::MAXIMUM_SIDE as u32);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| error.to_string())?.into_rgb8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = image.into_raw();
    let planes = (0..3).flat_map(|channel| pixels[channel..].iter().step_by(3).copied()).collect();
    Ok((planes, height, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_back_bit_for_bit() {
        let colour: Vec<u8> = (0..3 * 35).map(|i| (i * 37 % 251) as u8).collect();
        let grey: Vec<u8> = colour[..35].repeat(3);
        for planes in [&colour, &grey] {
            let bytes = encode_planar(planes, 5, 7).unwrap();
            assert_eq!(decode_planar(&bytes).unwrap(), (planes.clone(), 5, 7));
        }
        assert!(encode_planar(&grey, 5, 7).unwrap().len() < encode_planar(&colour, 5, 7).unwrap().len());
        assert!(encode_planar(&grey, 5, 6).is_err());
        assert!(decode_planar(b"\x89PNG and so on").is_err() && decode_planar(&[]).is_err());
    }
}
