//! What values the images of a set hold, where that is not plain from their depth.

use crate::error::{DataError, ImageFault};
use crate::reader::{Pixels, ReadOptions, RgbImage};
use crate::source::Source;
use std::sync::Arc;

/// Images that are looked at, spread evenly over the source.
const MOST_IMAGES: usize = 24;
/// Images that show whether the set is one of 8 bit.
const FIRST_IMAGES: usize = 2;
/// Share of an image's samples that its darkest and its brightest may be, each: hot and dead pixels.
const SHARE: f64 = 0.001;
/// From so many images on, the most extreme one does not count.
const ENOUGH: usize = 8;
/// Steps of the histogram of an image.
const STEPS: usize = 1 << 16;

/// What values the images of a source hold, by a sample of them: 16 bit or measured.
///
/// The range is robust and the same in every run: of each image the darkest and brightest thousandth do not count, of eight images or
/// more the darkest and the brightest one do not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueSurvey {
    /// How many images were looked at.
    pub images: usize,
    /// Whether values are measured (float, signed, 32 bit); otherwise they are of 16 bit.
    pub are_measured: bool,
    /// The darkest value.
    pub lowest: f32,
    /// The brightest value.
    pub highest: f32,
}

impl ValueSurvey {
    /// Looks at images of `source`; `None` if they are of 8 bit or cannot be read, which reading them for a purpose tells.
    pub fn of(source: &dyn Source) -> Option<Self> {
        let count = source.len().min(MOST_IMAGES);
        let mut spans: Vec<(bool, f32, f32)> = Vec::new();
        for number in 0..count {
            if number >= FIRST_IMAGES && spans.is_empty() {
                return None;
            }
            spans.extend(span(source, number * source.len() / count));
        }
        // Of a mixed set, what there is more of.
        let measured = spans.iter().filter(|span| span.0).count();
        let are_measured = 2 * measured > spans.len();
        spans.retain(|span| span.0 == are_measured);
        let sorted = |value: fn(&(bool, f32, f32)) -> f32| {
            let mut values: Vec<f32> = spans.iter().map(value).collect();
            values.sort_unstable_by(f32::total_cmp);
            values
        };
        let (lowest, highest) = (sorted(|span| span.1), sorted(|span| span.2));
        let left_out = usize::from(spans.len() >= ENOUGH);
        let (&lowest, &highest) =
            (lowest.get(left_out)?, highest.get(highest.len().checked_sub(1 + left_out)?)?);
        Some(Self { images: spans.len(), are_measured, lowest, highest })
    }

    /// The values to take for black and white; `None` if values are as their depth says.
    ///
    /// 16-bit values that begin near 0 have the range of the camera's depth, such as 0 to 4,095; others reach a tenth beyond what was seen.
    pub fn range(&self) -> Option<(f32, f32)> {
        let Self { are_measured, lowest, highest, .. } = *self;
        let is_unit = are_measured && lowest >= 0.0 && highest <= 1.0;
        if is_unit || highest <= lowest {
            return None;
        }
        let begins_at_zero = lowest >= 0.0 && lowest < highest / 4.0;
        if !are_measured && begins_at_zero {
            let white = (8..16).map(|bits| f32::from((1_u16 << bits) - 1)).find(|&white| highest <= white)?;
            return Some((0.0, white));
        }
        let margin = (highest - lowest) / 10.0;
        match are_measured {
            true => Some((if begins_at_zero { 0.0 } else { lowest - margin }, highest + margin)),
            false => Some(((lowest - margin).floor().max(0.0), (highest + margin).ceil().min(65_535.0))),
        }
    }

    /// Whether 16-bit values use less than a quarter of what 16 bits hold, so that images are all but of one shade.
    pub fn is_small_part(&self) -> bool {
        !self.are_measured && self.highest - self.lowest < 65_535.0 / 4.0
    }
}

/// Whether the values of an image are measured, and its darkest and brightest ones; `None` for 8 bit and what cannot be read.
fn span(source: &dyn Source, index: usize) -> Option<(bool, f32, f32)> {
    let options = ReadOptions::default();
    let (image, (black, white)) = match source.read(index, &options) {
        Ok(image) => (image, (0.0, 1.0)),
        Err(DataError::Image { fault: ImageFault::OutOfRange { lowest, highest }, .. }) => {
            let range = (lowest, if highest > lowest { highest } else { lowest + 1.0 });
            (source.read(index, &ReadOptions { value_range: Some(range), ..options }).ok()?, range)
        }
        Err(_) => return None,
    };
    let (steps, are_measured) = histogram(&image)?;
    let total: u64 = steps.iter().sum();
    let few = (total as f64 * SHARE) as u64;
    let low = first_beyond(few, steps.iter().enumerate())?;
    let high = first_beyond(few, steps.iter().enumerate().rev())?;
    let value = |step: usize| match are_measured {
        true => black + (white - black) * (step as f32 / (STEPS - 1) as f32),
        false => step as f32,
    };
    Some((are_measured, value(low), value(high)))
}

/// The step at which more than `few` samples have been passed.
fn first_beyond<'a>(few: u64, steps: impl Iterator<Item = (usize, &'a u64)>) -> Option<usize> {
    let mut passed = 0;
    steps.into_iter().find_map(|(step, count)| {
        passed += count;
        (passed > few).then_some(step)
    })
}

/// How many samples an image has of each value, or of each step between 0 and 1; and whether they are measured.
fn histogram(image: &Arc<RgbImage>) -> Option<(Vec<u64>, bool)> {
    let mut steps = vec![0_u64; STEPS];
    match &image.pixels {
        Pixels::U8(_) => return None,
        Pixels::U16(values) => values.iter().for_each(|&value| steps[usize::from(value)] += 1),
        Pixels::F32(values) => {
            values.iter().for_each(|&value| steps[(value * (STEPS - 1) as f32).round() as usize] += 1);
        }
    }
    Some((steps, matches!(image.pixels, Pixels::F32(_))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Memory, MemoryImage};

    /// 16-bit images of 20 x 20 whose values run from `low` to `high`, the last one with some others.
    fn survey(low: u16, high: u16, odd: u16) -> Option<ValueSurvey> {
        let image = |number: usize| {
            let mut values: Vec<u16> =
                (0..1200_u32).map(|at| (u32::from(low) + at * u32::from(high - low) / 1199) as u16).collect();
            if number == 9 {
                values.fill(odd);
            }
            // A hot pixel.
            values[7] = 65_535;
            RgbImage { height: 20, width: 20, pixels: Pixels::U16(values) }
        };
        ValueSurvey::of(&memory((0..10).map(image).collect()))
    }

    fn memory(images: Vec<RgbImage>) -> Memory {
        Memory::new(images.into_iter().map(|image| MemoryImage::new(image).good())).unwrap()
    }

    #[test]
    fn twelve_bits_in_sixteen_are_found_despite_hot_pixels_and_one_odd_image() {
        let found = survey(12, 3_900, 65_000).unwrap();
        assert!(found.is_small_part());
        assert_eq!(found.range(), Some((0.0, 4_095.0)));
        assert!((found.lowest - 12.0).abs() < 8.0 && (found.highest - 3_900.0).abs() < 8.0, "{found:?}");
    }

    #[test]
    fn values_far_from_zero_get_a_margin_and_whole_ranges_none() {
        assert_eq!(survey(30_000, 34_000, 30_000).unwrap().range(), Some((29_603.0, 34_400.0)));
        let whole = survey(0, 65_535, 0).unwrap();
        assert!(!whole.is_small_part() && whole.range().is_none());
    }

    #[test]
    fn measured_values_get_their_range_and_eight_bits_none() {
        let floats = |scale: f32| {
            let values = (0..1200).map(|at| at as f32 * scale).collect();
            RgbImage { height: 20, width: 20, pixels: Pixels::F32(values) }
        };
        let (black, white) = ValueSurvey::of(&memory(vec![floats(1.0)])).unwrap().range().unwrap();
        assert!(black == 0.0 && (white - 1.1 * 1199.0).abs() < 3.0, "{white}");
        assert_eq!(ValueSurvey::of(&memory(vec![floats(0.0008)])).unwrap().range(), None);
        let bytes = RgbImage { height: 20, width: 20, pixels: Pixels::U8(vec![9; 1200]) };
        assert_eq!(ValueSurvey::of(&memory(vec![bytes])), None);
    }
}
