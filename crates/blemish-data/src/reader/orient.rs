//! The EXIF orientation: which corner of the stored picture is the top left one.

use super::pixels::{Pixels, RgbImage};

/// The picture as a viewer shows it; `orientation` is the EXIF value, and anything but 2 to 8 leaves it as it is.
pub(super) fn upright(image: RgbImage, orientation: u8) -> RgbImage {
    if !(2..=8).contains(&orientation) {
        return image;
    }
    let size = (image.height, image.width);
    // From 5 on, rows become columns.
    let (height, width) = if orientation >= 5 { (size.1, size.0) } else { size };
    let pixels = match &image.pixels {
        Pixels::U8(values) => Pixels::U8(turned(values, size, orientation)),
        Pixels::U16(values) => Pixels::U16(turned(values, size, orientation)),
        Pixels::F32(values) => Pixels::F32(turned(values, size, orientation)),
    };
    RgbImage { height, width, pixels }
}

/// Height and width of the picture as a viewer shows it.
pub(super) fn upright_size((height, width): (usize, usize), orientation: u8) -> (usize, usize) {
    if (5..=8).contains(&orientation) { (width, height) } else { (height, width) }
}

fn turned<T: Copy>(values: &[T], (height, width): (usize, usize), orientation: u8) -> Vec<T> {
    let (out_height, out_width) = if orientation >= 5 { (width, height) } else { (height, width) };
    let mut out = Vec::with_capacity(values.len());
    for y in 0..out_height {
        for x in 0..out_width {
            let (from_y, from_x) = match orientation {
                2 => (y, width - 1 - x),
                3 => (height - 1 - y, width - 1 - x),
                4 => (height - 1 - y, x),
                5 => (x, y),
                6 => (height - 1 - x, y),
                7 => (height - 1 - x, width - 1 - y),
                _ => (x, width - 1 - y),
            };
            let at = 3 * (from_y * width + from_x);
            out.extend_from_slice(&values[at..at + 3]);
        }
    }
    out
}
