//! From the pieces of a TIFF file to RGB pixels at the depth that fits its samples.

use super::directory::{Kind, Meaning, Picture};
use super::pieces;
use crate::error::ImageFault;
use crate::reader::options::ReadOptions;
use crate::reader::pixels::{Pixels, RgbImage};
use half::f16;
use tiff::tags::ByteOrder;

/// Reads all pieces.
///
/// # Errors
/// [`ImageFault::Damaged`] naming the piece.
pub(super) fn read(file: &[u8], picture: &Picture, options: &ReadOptions) -> Result<RgbImage, ImageFault> {
    let source = Source { file, picture, options };
    let is_inverted = picture.meaning == Meaning::Grey { white_is_zero: true };
    let highest = (1_u64 << picture.bits.min(63)) - 1;
    let shade = move |value: u64| if is_inverted { highest - value } else { value };
    let bits = picture.bits;
    let pixels = match (picture.kind, bits) {
        (Kind::Unsigned, 8) => match &picture.meaning {
            Meaning::Palette(colours) => Pixels::U8(looked_up(source.fill(|row, at| row[at])?, colours)),
            _ if is_inverted => Pixels::U8(source.fill(|row, at| !row[at])?),
            _ => Pixels::U8(source.fill(|row, at| row[at])?),
        },
        (Kind::Unsigned, ..8) => match &picture.meaning {
            Meaning::Palette(colours) => {
                Pixels::U8(looked_up(source.fill(|row, at| packed(row, at, bits) as u8)?, colours))
            }
            _ => Pixels::U8(source.fill(|row, at| (shade(packed(row, at, bits)) * 255 / highest) as u8)?),
        },
        (Kind::Unsigned, 16) => {
            let value = source.whole(u16::from_le_bytes, u16::from_be_bytes);
            Pixels::U16(source.fill(|row, at| if is_inverted { !value(row, at) } else { value(row, at) })?)
        }
        (Kind::Unsigned, 9..16) => {
            Pixels::U16(source.fill(|row, at| (shade(packed(row, at, bits)) * 65_535 / highest) as u16)?)
        }
        (Kind::Unsigned, 32) => {
            let value = source.whole(u32::from_le_bytes, u32::from_be_bytes);
            Pixels::F32(
                source.fill(|row, at| if is_inverted { !value(row, at) } else { value(row, at) } as f32)?,
            )
        }
        (Kind::Unsigned, _) => {
            let value = source.whole(u64::from_le_bytes, u64::from_be_bytes);
            Pixels::F32(
                source.fill(|row, at| if is_inverted { !value(row, at) } else { value(row, at) } as f32)?,
            )
        }
        (Kind::Signed, 8) => Pixels::F32(source.fill(|row, at| f32::from(row[at] as i8))?),
        (Kind::Signed, 16) => {
            let value = source.whole(i16::from_le_bytes, i16::from_be_bytes);
            Pixels::F32(source.fill(|row, at| f32::from(value(row, at)))?)
        }
        (Kind::Signed, 32) => {
            let value = source.whole(i32::from_le_bytes, i32::from_be_bytes);
            Pixels::F32(source.fill(|row, at| value(row, at) as f32)?)
        }
        (Kind::Signed, _) => {
            let value = source.whole(i64::from_le_bytes, i64::from_be_bytes);
            Pixels::F32(source.fill(|row, at| value(row, at) as f32)?)
        }
        (Kind::Float, 16) => {
            let value = source.whole(f16::from_le_bytes, f16::from_be_bytes);
            let value = |row: &[u8], at| f32::from(value(row, at));
            Pixels::F32(
                source.fill(|row, at| if is_inverted { 1.0 - value(row, at) } else { value(row, at) })?,
            )
        }
        (Kind::Float, 32) => {
            let value = source.whole(f32::from_le_bytes, f32::from_be_bytes);
            Pixels::F32(
                source.fill(|row, at| if is_inverted { 1.0 - value(row, at) } else { value(row, at) })?,
            )
        }
        (Kind::Float, _) => {
            let value = source.whole(f64::from_le_bytes, f64::from_be_bytes);
            Pixels::F32(
                source
                    .fill(|row, at| if is_inverted { 1.0 - value(row, at) } else { value(row, at) } as f32)?,
            )
        }
    };
    Ok(RgbImage { height: picture.height, width: picture.width, pixels })
}

struct Source<'a> {
    file: &'a [u8],
    picture: &'a Picture,
    options: &'a ReadOptions,
}

impl Source<'_> {
    /// Interleaved RGB; `sample` takes a sample out of a row by its number.
    fn fill<T: Copy + Default>(&self, sample: impl Fn(&[u8], usize) -> T) -> Result<Vec<T>, ImageFault> {
        let picture = self.picture;
        let Picture { height, width, piece: (high, wide), .. } = *picture;
        let mut out = vec![T::default(); 3 * height * width];
        let (across, down) = picture.pieces();
        let colours = if matches!(picture.meaning, Meaning::Rgb | Meaning::Ycbcr) { 3 } else { 1 };
        let planes = if picture.is_planar { colours } else { 1 };
        let step = picture.samples_in_piece();
        for number in 0..planes * across * down {
            let (plane, place) = (number / (across * down), number % (across * down));
            let (top, left) = (place / across * high, place % across * wide);
            let rows = high.min(height - top);
            let columns = wide.min(width - left);
            // Tiles are stored whole, the last strip is not.
            let stored = if picture.is_tiled { high } else { rows };
            let piece = pieces::read(self.file, picture, number, stored, self.options)?;
            for (y, row) in piece.chunks_exact(picture.row_bytes()).take(rows).enumerate() {
                let start = 3 * ((top + y) * width + left);
                let target = out[start..start + 3 * columns].as_chunks_mut::<3>().0;
                match (colours, picture.is_planar) {
                    (3, true) => {
                        target.iter_mut().enumerate().for_each(|(x, rgb)| rgb[plane] = sample(row, x));
                    }
                    (3, false) => target.iter_mut().enumerate().for_each(|(x, rgb)| {
                        *rgb = [0, 1, 2].map(|colour| sample(row, x * step + colour));
                    }),
                    _ => target.iter_mut().enumerate().for_each(|(x, rgb)| *rgb = [sample(row, x * step); 3]),
                }
            }
        }
        Ok(out)
    }

    /// Takes samples of N whole bytes out of a row in the file's byte order.
    fn whole<T, const N: usize>(
        &self,
        little: fn([u8; N]) -> T,
        big: fn([u8; N]) -> T,
    ) -> impl Fn(&[u8], usize) -> T + use<T, N> {
        let read = if self.picture.order == ByteOrder::LittleEndian { little } else { big };
        move |row, at| read(row.as_chunks::<N>().0[at])
    }
}

/// Sample `at` of a row whose samples have `bits` bits each, the highest first.
fn packed(row: &[u8], at: usize, bits: usize) -> u64 {
    let mut value = 0;
    for bit in at * bits..(at + 1) * bits {
        value = value << 1 | u64::from(row[bit / 8] >> (7 - bit % 8) & 1);
    }
    value
}

/// The colours of indices (each three times), 8 bit.
///
/// Colour maps have 16 bits, yet some writers fill in 8: if no value is above 255, its values are taken for such, as libtiff does.
fn looked_up(mut indices: Vec<u8>, colours: &[u16]) -> Vec<u8> {
    let shift = if colours.iter().all(|&value| value < 256) { 0 } else { 8 };
    let count = colours.len() / 3;
    for pixel in indices.as_chunks_mut::<3>().0 {
        *pixel =
            [0, 1, 2].map(|colour| (colours[colour * count + usize::from(pixel[colour])] >> shift) as u8);
    }
    indices
}
