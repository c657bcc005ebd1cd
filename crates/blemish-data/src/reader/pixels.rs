//! The pixels of one image, and whether they are what they should be.

use super::options::ReadOptions;
use crate::error::ImageFault;
use std::borrow::Cow;

/// An upright RGB image at its native depth: interleaved, row-major, red first.
#[derive(Clone, Debug, PartialEq)]
pub struct RgbImage {
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// H x W x 3 samples.
    pub pixels: Pixels,
}

/// The samples of an [`RgbImage`] at its native depth.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 8 bit, white is 255.
    U8(Vec<u8>),
    /// 16 bit, white is 65,535.
    U16(Vec<u16>),
    /// Measured values, white is 1 (once the value range is applied).
    F32(Vec<f32>),
}

impl Pixels {
    fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }
}

impl RgbImage {
    /// Checks that there are height x width x 3 samples.
    ///
    /// # Errors
    /// [`ImageFault::Pixels`] with the numbers.
    pub fn check_pixels(&self) -> Result<(), ImageFault> {
        let needed = self.height.checked_mul(self.width).and_then(|pixels| pixels.checked_mul(3));
        if needed == Some(self.pixels.len()) {
            return Ok(());
        }
        Err(ImageFault::Pixels(format!(
            "it holds {} samples, but {}x{} pixels have 3 each; give the image's true size",
            self.pixels.len(),
            self.width,
            self.height
        )))
    }

    /// The image as [`super::decode_image`] gives one: within the limits of side and pixels, measured values mapped to [0, 1] and
    /// 16-bit values to their full range where a range is given for them.
    /// Nothing is copied unless values must be mapped.
    ///
    /// # Errors
    /// [`ImageFault`]: wrong number of samples, too small, too many pixels, values that are not finite or out of range.
    pub fn as_read(&self, options: &ReadOptions) -> Result<Cow<'_, Self>, ImageFault> {
        self.check_pixels()?;
        options.check_side(self.height, self.width)?;
        let pixels = match &self.pixels {
            Pixels::U16(values) => {
                let Some(scale) = scale_of_16_bit(options)? else { return Ok(Cow::Borrowed(self)) };
                Pixels::U16(values.iter().map(|&value| scale.of_16_bit(value)).collect())
            }
            Pixels::F32(values) => {
                let Some(scale) = scale_of(values, options.value_range)? else {
                    return Ok(Cow::Borrowed(self));
                };
                Pixels::F32(values.iter().map(|&value| scale.of(value)).collect())
            }
            Pixels::U8(_) => return Ok(Cow::Borrowed(self)),
        };
        Ok(Cow::Owned(Self { pixels, ..*self }))
    }

    /// Maps values to their range in place, as [`Self::as_read`] does.
    pub(super) fn scaled(mut self, options: &ReadOptions) -> Result<Self, ImageFault> {
        match &mut self.pixels {
            Pixels::U16(values) => {
                if let Some(scale) = scale_of_16_bit(options)? {
                    values.iter_mut().for_each(|value| *value = scale.of_16_bit(*value));
                }
            }
            Pixels::F32(values) => {
                if let Some(scale) = scale_of(values, options.value_range)? {
                    values.iter_mut().for_each(|value| *value = scale.of(*value));
                }
            }
            Pixels::U8(_) => {}
        }
        Ok(self)
    }
}

/// How measured values become shades.
struct Scale {
    black: f32,
    factor: f32,
}

impl Scale {
    fn of(&self, value: f32) -> f32 {
        ((value - self.black) * self.factor).clamp(0.0, 1.0)
    }

    fn of_16_bit(&self, value: u16) -> u16 {
        (self.of(f32::from(value)) * 65_535.0).round() as u16
    }

    fn new((black, white): (f32, f32)) -> Result<Self, ImageFault> {
        let factor = 1.0 / (white - black);
        if !(factor.is_finite() && factor > 0.0) {
            return Err(ImageFault::Transform(format!("the value range {black},{white} does not rise")));
        }
        Ok(Self { black, factor })
    }
}

/// How to map 16-bit values; `None` if no range is given for them.
fn scale_of_16_bit(options: &ReadOptions) -> Result<Option<Scale>, ImageFault> {
    options.value_range.filter(|_| options.ranges_16_bit).map(Scale::new).transpose()
}

/// How to map measured values to [0, 1]; `None` if they are there already and no range was given.
fn scale_of(values: &[f32], range: Option<(f32, f32)>) -> Result<Option<Scale>, ImageFault> {
    check_finite(values)?;
    if let Some(range) = range {
        return Scale::new(range).map(Some);
    }
    let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if lowest < 0.0 || highest > 1.0 {
        return Err(ImageFault::OutOfRange { lowest, highest });
    }
    Ok(None)
}

/// Checks that no value is NaN or infinite.
pub(super) fn check_finite(values: &[f32]) -> Result<(), ImageFault> {
    match values.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(()),
        count => Err(ImageFault::NotFinite { count }),
    }
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
