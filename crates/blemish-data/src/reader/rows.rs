//! Images from pixels that another program holds: borrowed rows of any usual format, copied once.

use super::pixels::{Pixels, RgbImage, check_finite};
use crate::error::ImageFault;

/// How the pixels of borrowed rows lie in memory. Samples of 16 and 32 bit are in the machine's byte order and need no alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Red, green, blue; 8 bit each.
    Rgb8,
    /// Blue, green, red; 8 bit each (OpenCV, Windows bitmaps).
    Bgr8,
    /// Red, green, blue and an alpha that is dropped; 8 bit each.
    Rgba8,
    /// Blue, green, red and an alpha that is dropped; 8 bit each.
    Bgra8,
    /// Grey of 8 bit.
    Grey8,
    /// Grey of 16 bit, white is 65,535.
    Grey16,
    /// Red, green, blue; 16 bit each.
    Rgb16,
    /// All rows of red, then of green, then of blue; 8 bit.
    PlanarRgb8,
    /// Grey of 32-bit floats: within [0, 1], or measured values where a value range is set.
    GreyFloat,
    /// Red, green, blue as [`Self::GreyFloat`].
    RgbFloat,
}

impl PixelFormat {
    /// Bytes of one row without padding; of one plane for [`Self::PlanarRgb8`].
    pub fn row_bytes(self, width: usize) -> usize {
        self.pixel_bytes().saturating_mul(width)
    }

    fn pixel_bytes(self) -> usize {
        match self {
            Self::Grey8 | Self::PlanarRgb8 => 1,
            Self::Grey16 => 2,
            Self::Rgb8 | Self::Bgr8 => 3,
            Self::Rgba8 | Self::Bgra8 | Self::GreyFloat => 4,
            Self::Rgb16 => 6,
            Self::RgbFloat => 12,
        }
    }
}

impl RgbImage {
    /// An image of height x width (`size`) from rows that begin `stride` bytes apart, copied once.
    ///
    /// Padding after the last row may be there or not. Floats outside [0, 1] are accepted here and judged when the image is read,
    /// with the value range that then applies, as those of files are.
    ///
    /// # Errors
    /// [`ImageFault::Pixels`] if size, stride, format and the number of bytes contradict each other; [`ImageFault::NotFinite`].
    pub fn from_rows(
        bytes: &[u8],
        size: (usize, usize),
        stride: usize,
        format: PixelFormat,
    ) -> Result<Self, ImageFault> {
        if format == PixelFormat::PlanarRgb8 {
            let (height, width) = size;
            let rows = height.checked_mul(3).ok_or_else(|| too_large(size))?;
            Rows::new(bytes, (rows, width), stride, format)?;
            // Both products are at most the length that was checked.
            let plane = height * stride;
            let planes = [&bytes[..plane], &bytes[plane..2 * plane], &bytes[2 * plane..]];
            return Self::from_planes(planes, size, stride, PixelFormat::Grey8);
        }
        let rows = Rows::new(bytes, size, stride, format)?;
        let pixels = match format {
            PixelFormat::Rgb8 => Pixels::U8(rows.pixels(|pixel: [u8; 3]| pixel)),
            PixelFormat::Bgr8 => Pixels::U8(rows.pixels(|[blue, green, red]: [u8; 3]| [red, green, blue])),
            PixelFormat::Rgba8 => {
                Pixels::U8(rows.pixels(|[red, green, blue, _]: [u8; 4]| [red, green, blue]))
            }
            PixelFormat::Bgra8 => {
                Pixels::U8(rows.pixels(|[blue, green, red, _]: [u8; 4]| [red, green, blue]))
            }
            PixelFormat::Grey8 | PixelFormat::PlanarRgb8 => {
                Pixels::U8(rows.pixels(|[grey]: [u8; 1]| [grey; 3]))
            }
            PixelFormat::Grey16 => Pixels::U16(rows.pixels(|grey: [u8; 2]| [u16::from_ne_bytes(grey); 3])),
            PixelFormat::Rgb16 => Pixels::U16(
                rows.pixels(|[a, b, c, d, e, f]: [u8; 6]| [[a, b], [c, d], [e, f]].map(u16::from_ne_bytes)),
            ),
            PixelFormat::GreyFloat => {
                Pixels::F32(finite(rows.pixels(|grey: [u8; 4]| [f32::from_ne_bytes(grey); 3]))?)
            }
            PixelFormat::RgbFloat => {
                Pixels::F32(finite(rows.pixels(|[a, b, c, d, e, f, g, h, i, j, k, l]: [u8; 12]| {
                    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(f32::from_ne_bytes)
                }))?)
            }
        };
        let (height, width) = size;
        Ok(Self { height, width, pixels })
    }

    /// An image from three planes (red, green, blue) that lie anywhere, each of `format`, which must be grey.
    ///
    /// # Errors
    /// As [`Self::from_rows`].
    pub fn from_planes(
        planes: [&[u8]; 3],
        size: (usize, usize),
        stride: usize,
        format: PixelFormat,
    ) -> Result<Self, ImageFault> {
        let rows = |plane| Rows::new(plane, size, stride, format);
        let [red, green, blue] = planes;
        let planes = [rows(red)?, rows(green)?, rows(blue)?];
        let pixels = match format {
            PixelFormat::Grey8 => Pixels::U8(interleaved(planes, |[grey]: [u8; 1]| grey)),
            PixelFormat::Grey16 => Pixels::U16(interleaved(planes, u16::from_ne_bytes)),
            PixelFormat::GreyFloat => Pixels::F32(finite(interleaved(planes, f32::from_ne_bytes))?),
            other => {
                let reason = format!("a plane cannot hold {other:?}; give planes of a grey format");
                return Err(ImageFault::Pixels(reason));
            }
        };
        let (height, width) = size;
        Ok(Self { height, width, pixels })
    }
}

/// Rows whose length is known to be right.
#[derive(Clone, Copy)]
struct Rows<'a> {
    bytes: &'a [u8],
    height: usize,
    width: usize,
    stride: usize,
    row_bytes: usize,
}

impl<'a> Rows<'a> {
    fn new(
        bytes: &'a [u8],
        (height, width): (usize, usize),
        stride: usize,
        format: PixelFormat,
    ) -> Result<Self, ImageFault> {
        let wrong = |reason: String| Err(ImageFault::Pixels(reason));
        if height == 0 || width == 0 {
            return wrong(format!("an image of {width}x{height} pixels is empty; give its width and height"));
        }
        let row_bytes = format.row_bytes(width);
        if stride < row_bytes {
            return wrong(format!(
                "its rows are {stride} bytes apart, but {width} pixels of {format:?} take {row_bytes}; give the stride in bytes, \
                 which must be positive"
            ));
        }
        let most = height.checked_mul(stride);
        // Twelve bytes are the most that a pixel takes as it comes and as it goes.
        let fits = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(12));
        let (Some(most), Some(_)) = (most, fits) else { return Err(too_large((height, width))) };
        let least = most - stride + row_bytes;
        if !(least..=most).contains(&bytes.len()) {
            let needed = if least == most { format!("{most}") } else { format!("{least} to {most}") };
            return wrong(format!(
                "it has {} bytes, but {height} rows of {stride} bytes take {needed}; check width, height, stride and format",
                bytes.len()
            ));
        }
        Ok(Self { bytes, height, width, stride, row_bytes })
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..self.row_bytes]
    }

    /// Interleaved RGB; `convert` takes the N bytes of a pixel.
    fn pixels<T: Copy + Default, const N: usize>(&self, convert: impl Fn([u8; N]) -> [T; 3]) -> Vec<T> {
        let mut out = vec![T::default(); 3 * self.height * self.width];
        for (y, target) in out.chunks_exact_mut(3 * self.width).enumerate() {
            let (pixels, _) = self.row(y).as_chunks::<N>();
            let (target, _) = target.as_chunks_mut::<3>();
            for (rgb, pixel) in target.iter_mut().zip(pixels) {
                *rgb = convert(*pixel);
            }
        }
        out
    }
}

/// Interleaved RGB of three planes of N bytes a sample.
fn interleaved<T: Copy + Default, const N: usize>(
    planes: [Rows<'_>; 3],
    convert: impl Fn([u8; N]) -> T,
) -> Vec<T> {
    let [Rows { height, width, .. }, ..] = planes;
    let mut out = vec![T::default(); 3 * height * width];
    for (y, target) in out.chunks_exact_mut(3 * width).enumerate() {
        let [red, green, blue] = planes.map(|plane| plane.row(y).as_chunks::<N>().0);
        let (target, _) = target.as_chunks_mut::<3>();
        for (((rgb, red), green), blue) in target.iter_mut().zip(red).zip(green).zip(blue) {
            *rgb = [convert(*red), convert(*green), convert(*blue)];
        }
    }
    out
}

fn finite(values: Vec<f32>) -> Result<Vec<f32>, ImageFault> {
    check_finite(&values)?;
    Ok(values)
}

fn too_large((height, width): (usize, usize)) -> ImageFault {
    ImageFault::Pixels(format!(
        "an image of {width}x{height} pixels does not fit into memory; give its true size"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    const ALL: [PixelFormat; 10] = [
        PixelFormat::Rgb8,
        PixelFormat::Bgr8,
        PixelFormat::Rgba8,
        PixelFormat::Bgra8,
        PixelFormat::Grey8,
        PixelFormat::Grey16,
        PixelFormat::Rgb16,
        PixelFormat::PlanarRgb8,
        PixelFormat::GreyFloat,
        PixelFormat::RgbFloat,
    ];

    /// Where the sample of a channel begins, by the definition of each format.
    fn offset(
        format: PixelFormat,
        stride: usize,
        height: usize,
        (y, x, channel): (usize, usize, usize),
    ) -> usize {
        let row = y * stride;
        match format {
            PixelFormat::Rgb8 => row + 3 * x + channel,
            PixelFormat::Bgr8 => row + 3 * x + 2 - channel,
            PixelFormat::Rgba8 => row + 4 * x + channel,
            PixelFormat::Bgra8 => row + 4 * x + 2 - channel,
            PixelFormat::Grey8 => row + x,
            PixelFormat::Grey16 => row + 2 * x,
            PixelFormat::Rgb16 => row + 6 * x + 2 * channel,
            PixelFormat::PlanarRgb8 => channel * height * stride + row + x,
            PixelFormat::GreyFloat => row + 4 * x,
            PixelFormat::RgbFloat => row + 12 * x + 4 * channel,
        }
    }

    /// Random rows, each sample a number in [0, 1] where it is read as a float.
    fn random_rows(random: &mut ChaCha8Rng, format: PixelFormat, length: usize) -> Vec<u8> {
        let is_float = matches!(format, PixelFormat::GreyFloat | PixelFormat::RgbFloat);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next_u32() as u8).collect();
        if is_float {
            let (samples, _) = bytes.as_chunks_mut::<4>();
            samples.iter_mut().for_each(|sample| {
                *sample = (random.next_u32() as f32 / u32::MAX as f32).to_ne_bytes();
            });
        }
        bytes
    }

    #[test]
    fn every_format_agrees_with_a_lookup_of_single_samples() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for round in 0..40 {
            for format in ALL {
                let below = |random: &mut ChaCha8Rng, limit: u32| (random.next_u32() % limit) as usize;
                let (height, width) = (1 + below(&mut random, 7), 1 + below(&mut random, 9));
                // Strides of floats keep to fours, so that what is written as floats is read as such.
                let stride = format.row_bytes(width) + 4 * below(&mut random, 3);
                let rows = if format == PixelFormat::PlanarRgb8 { 3 * height } else { height };
                let padding = stride - format.row_bytes(width);
                let length = rows * stride - if round % 2 == 0 { padding } else { 0 };
                let bytes = random_rows(&mut random, format, length);
                let image = RgbImage::from_rows(&bytes, (height, width), stride, format).unwrap();
                assert_eq!((image.height, image.width), (height, width));
                image.check_pixels().unwrap();
                for at in 0..3 * height * width {
                    let place = (at / 3 / width, at / 3 % width, at % 3);
                    let from = &bytes[offset(format, stride, height, place)..];
                    let is_same = match &image.pixels {
                        Pixels::U8(values) => values[at] == from[0],
                        Pixels::U16(values) => values[at] == u16::from_ne_bytes([from[0], from[1]]),
                        Pixels::F32(values) => {
                            values[at] == f32::from_ne_bytes([from[0], from[1], from[2], from[3]])
                        }
                    };
                    assert!(is_same, "{format:?} {place:?}");
                }
            }
        }
    }

    #[test]
    fn planes_that_lie_apart_are_interleaved() {
        let size = (2, 3);
        let plane = |start: u8| (start..start + 7).collect::<Vec<u8>>();
        let (red, green, blue) = (plane(0), plane(100), plane(200));
        let image = RgbImage::from_planes([&red, &green, &blue], size, 4, PixelFormat::Grey8).unwrap();
        let expected = [0, 1, 2, 4, 5, 6].map(|at| [at, at + 100, at + 200]).concat();
        assert_eq!(image.pixels, Pixels::U8(expected));
        let wide: Vec<u8> = [1_u16, 2, 3, 4, 5, 6].iter().flat_map(|value| value.to_ne_bytes()).collect();
        let image = RgbImage::from_planes([&wide, &wide, &wide], size, 6, PixelFormat::Grey16).unwrap();
        assert_eq!(image.pixels, Pixels::U16([1, 2, 3, 4, 5, 6].map(|value| [value; 3]).concat()));
        let error =
            RgbImage::from_planes([&red, &green, &blue[1..]], size, 4, PixelFormat::Grey8).unwrap_err();
        assert!(error.to_string().contains("6 bytes"), "{error}");
        let error = RgbImage::from_planes([&red, &red, &red], (2, 1), 4, PixelFormat::Rgb8).unwrap_err();
        assert!(error.to_string().contains("grey format"), "{error}");
    }

    #[test]
    fn what_contradicts_itself_is_said_with_its_numbers() {
        let said = |length: usize, size, stride, format| {
            RgbImage::from_rows(&vec![0; length], size, stride, format).unwrap_err().to_string()
        };
        use PixelFormat::{Bgra8, GreyFloat, PlanarRgb8, Rgb8};
        for size in [(0, 5), (5, 0)] {
            assert!(said(0, size, 15, Rgb8).contains("is empty"));
        }
        assert!(said(90, (6, 5), 14, Rgb8).contains("14 bytes apart, but 5 pixels of Rgb8 take 15"));
        assert!(said(90, (6, 5), 0, Rgb8).contains("0 bytes apart"));
        assert!(said(94, (6, 5), 16, Rgb8).contains("94 bytes, but 6 rows of 16 bytes take 95 to 96"));
        assert!(said(97, (6, 5), 16, Rgb8).contains("97 bytes"));
        assert!(said(89, (6, 5), 15, Rgb8).contains("take 90;"));
        assert!(said(119, (6, 5), 20, Bgra8).contains("119 bytes"));
        assert!(said(90, (6, 5), 6, PlanarRgb8).contains("18 rows of 6 bytes take 107 to 108"));
        let huge = usize::MAX / 2;
        for size in [(huge, 4), (4, huge), (huge, 1)] {
            assert!(said(0, size, usize::MAX, Rgb8).contains("does not fit into memory"), "{size:?}");
            assert!(said(0, size, usize::MAX, PlanarRgb8).contains("does not fit into memory"), "{size:?}");
        }
        let floats: Vec<u8> =
            [0.5, f32::NAN, 2.0, f32::INFINITY].iter().flat_map(|value| value.to_ne_bytes()).collect();
        let fault = RgbImage::from_rows(&floats, (2, 2), 8, GreyFloat).unwrap_err();
        assert_eq!(fault, ImageFault::NotFinite { count: 2 * 3 });
        let image = RgbImage::from_rows(&floats[8..12], (1, 1), 4, GreyFloat).unwrap();
        assert_eq!(
            image.pixels,
            Pixels::F32(vec![2.0; 3]),
            "measured values are judged with the range they are read with"
        );
    }
}
