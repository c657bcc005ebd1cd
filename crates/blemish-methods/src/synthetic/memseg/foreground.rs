//! Where the product is: the part of an image that made-up defects lie in.

use super::config::{Foreground, MemSegConfig, NAME};
use crate::shared::defects::Foreground as Place;
use crate::shared::kept::Kept;
use blemish_core::error::Error;
use blemish_data::{Mask, ReadOptions, Transform};
use blemish_kernels::image::morphology::{Element, close, open};
use std::path::Path;

/// Images whose median is taken, at most.
const MOST: usize = 64;

/// Share of the border that shows one grey where that is the background.
const BACKGROUND: f64 = 0.9;

/// Least share of the images that a foreground covers; less is taken for none.
const LEAST: f64 = 0.002;

/// Greys that are told apart.
const LEVELS: usize = 256;

/// Sides over which specks and holes reach that are not kept.
const SPECK: usize = 128;

/// A rule for images of one size, within a region of interest.
#[derive(Clone, Debug)]
pub(super) struct Foregrounds {
    pub(super) rule: Place,
    size: (usize, usize),
    /// Where to look, H x W; everywhere where there is none.
    region: Option<Mask>,
}

/// Brightness of an image of 3 x H x W values in [0, 1].
fn greys(image: &[f32]) -> Vec<f32> {
    let plane = image.len() / 3;
    let (red, others) = image.split_at(plane);
    let (green, blue) = others.split_at(plane);
    red.iter().zip(green).zip(blue).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect()
}

/// The median over some images, evenly chosen, of every value: 3 x H x W.
pub(super) fn median_image(images: &Kept) -> Vec<f32> {
    let count = images.len().min(MOST);
    let rows: Vec<&[f32]> = (0..count).map(|at| images.row(0, at * images.len() / count)).collect();
    let mut values = vec![0.0f32; count];
    (0..images.sizes()[0].values())
        .map(|at| {
            values.iter_mut().zip(&rows).for_each(|(value, row)| *value = row[at]);
            *values.select_nth_unstable_by(count / 2, f32::total_cmp).1
        })
        .collect()
}

/// Otsu's threshold: it splits greys in [0, 1] into two classes whose means lie furthest apart, weighted by their sizes. `None` for greys
/// that are all alike.
fn otsu(greys: &[f32]) -> Option<f32> {
    let mut counts = [0.0f64; LEVELS];
    for grey in greys {
        counts[((grey * (LEVELS - 1) as f32).round() as usize).min(LEVELS - 1)] += 1.0;
    }
    let all: f64 = counts.iter().sum();
    let sum: f64 = counts.iter().enumerate().map(|(level, count)| level as f64 * count).sum();
    let (mut below, mut sum_below) = (0.0, 0.0);
    let mut best: Option<(f64, usize, usize)> = None;
    for (level, &count) in counts.iter().enumerate().take(LEVELS - 1) {
        below += count;
        sum_below += level as f64 * count;
        let above = all - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let apart = sum_below / below - (sum - sum_below) / above;
        let found = below * above * apart * apart;
        match &mut best {
            // Between two classes that nothing lies between, the middle.
            Some((most, _, last)) if found == *most => *last = level,
            Some((most, ..)) if found < *most => {}
            _ => best = Some((found, level, level)),
        }
    }
    best.map(|(_, first, last)| (first + last + 1) as f32 / 2.0 / (LEVELS - 1) as f32)
}

/// The rule that the median of good images of H x W suggests.
fn automatic(median: &[f32], (height, width): (usize, usize)) -> Place {
    let greys = greys(median);
    let Some(threshold) = otsu(&greys) else { return Place::Everywhere };
    let rim = (height.min(width) / 64).max(1);
    let is_border = |at: usize| {
        let (y, x) = (at / width, at % width);
        y < rim || x < rim || y + rim >= height || x + rim >= width
    };
    let (mut bright, mut all) = (0usize, 0usize);
    for (_, grey) in greys.iter().enumerate().filter(|(at, _)| is_border(*at)) {
        bright += usize::from(*grey > threshold);
        all += 1;
    }
    let share = bright as f64 / all.max(1) as f64;
    match share {
        ..=0.1 => Place::Brighter(threshold),
        BACKGROUND.. => Place::Darker(threshold),
        _ => Place::Everywhere,
    }
}

/// A mask from a file, at the size of the images.
fn given(path: &Path, (height, width): (usize, usize)) -> Result<Place, Error> {
    let fail = |reason: String| Error::Setting {
        key: "foreground_mask".into(),
        reason,
        help: "give an image that is bright where the product is and dark elsewhere".into(),
    };
    let unreadable = |error: String| fail(format!("the mask cannot be read: {error}"));
    let image = blemish_data::read_image(path, &ReadOptions::default())
        .map_err(|error| unreadable(error.to_string()))?;
    let planes = Transform::resize_to(height, width).apply(&image);
    let planes = planes.map_err(|fault| unreadable(fault.to_string()))?;
    let marked: Vec<bool> = greys(&planes.pixels).into_iter().map(|grey| grey > 0.5).collect();
    if !marked.contains(&true) {
        return Err(fail(format!("the foreground is empty: `{}` is bright nowhere", path.display())));
    }
    Ok(Place::Fixed(marked))
}

impl Foregrounds {
    /// Of the good images.
    ///
    /// # Errors
    /// [`Error::Setting`] for a mask that cannot be read or that is empty; [`Error::Fit`] where what is found is as good as empty.
    pub(super) fn of(
        config: &MemSegConfig,
        images: &Kept,
        median: &[f32],
        region: Option<Mask>,
    ) -> Result<Self, Error> {
        let size = images.sizes()[0].grid();
        let rule = match (&config.foreground_mask, config.foreground) {
            (Some(path), _) => given(path, size)?,
            (None, Foreground::Whole) => Place::Everywhere,
            (None, Foreground::Auto) => automatic(median, size),
        };
        let found = Self { rule, size, region };
        let count = images.len().min(MOST);
        let share = |at: usize| {
            let mask = found.mask(images.row(0, at * images.len() / count));
            mask.iter().filter(|&&inside| inside).count() as f64 / mask.len().max(1) as f64
        };
        let share = (0..count).map(share).sum::<f64>() / count as f64;
        if share < LEAST {
            let reason = format!(
                "the foreground is empty: {} leaves {:.2} % of the images to make defects in; set foreground=whole, or give a mask \
                 by foreground_mask",
                found.describe(),
                100.0 * share
            );
            return Err(Error::Fit { method: NAME, reason });
        }
        Ok(found)
    }

    /// Where the product is in an image of 3 x H x W values, H x W.
    pub(super) fn mask(&self, image: &[f32]) -> Vec<bool> {
        let (height, width) = self.size;
        let mut mask = self.rule.of(image).unwrap_or_else(|| vec![true; height * width]);
        if matches!(self.rule, Place::Brighter(_) | Place::Darker(_)) {
            let plane: Vec<f32> = mask.into_iter().map(|inside| f32::from(u8::from(inside))).collect();
            let element = Element::disc((height.min(width) / SPECK).max(1));
            let plane = open(&close(&plane, self.size, &element), self.size, &element);
            mask = plane.into_iter().map(|value| value > 0.5).collect();
        }
        if let Some(region) = &self.region {
            mask.iter_mut().zip(&region.marked).for_each(|(inside, &looked_at)| *inside &= looked_at);
        }
        mask
    }

    /// The rule in words.
    pub(super) fn describe(&self) -> String {
        match &self.rule {
            Place::Everywhere => "the whole image".into(),
            Place::Fixed(_) => "the mask that was given".into(),
            Place::Brighter(limit) => format!("what is brighter than grey level {:.0}", limit * 255.0),
            Place::Darker(limit) => format!("what is no brighter than grey level {:.0}", limit * 255.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three equal planes.
    fn grey_image(plane: Vec<f32>) -> Vec<f32> {
        plane.repeat(3)
    }

    /// A square of one grey on another.
    fn square(inside: f32, outside: f32) -> Vec<f32> {
        let is_inside = |at: usize| (8..24).contains(&(at / 32)) && (8..24).contains(&(at % 32));
        grey_image((0..1024).map(|at| if is_inside(at) { inside } else { outside }).collect())
    }

    #[test]
    fn the_threshold_lies_between_two_greys() {
        let threshold = otsu(&[vec![0.2; 30], vec![0.8; 10]].concat()).unwrap();
        assert!((threshold - 0.5).abs() < 0.01, "{threshold}");
        assert_eq!(otsu(&[0.4; 9]), None);
    }

    #[test]
    fn the_border_says_which_side_is_background() {
        let size = (32, 32);
        for (inside, outside) in [(0.9, 0.1), (0.1, 0.9)] {
            let image = square(inside, outside);
            let rule = automatic(&image, size);
            assert_eq!(matches!(rule, Place::Brighter(_)), inside > outside, "{rule:?}");
            let mask = Foregrounds { rule, size, region: None }.mask(&image);
            // A disc does not reach into corners.
            let is_corner = |at: usize| [8, 23].contains(&(at / 32)) && [8, 23].contains(&(at % 32));
            assert!((0..1024).all(|at| mask[at] == (image[at] == inside && !is_corner(at))));
        }
    }

    #[test]
    fn a_surface_that_shows_both_greys_at_the_border_is_product_as_a_whole() {
        let stripes = grey_image((0..1024).map(|at| if at % 8 < 4 { 0.3 } else { 0.6 }).collect());
        assert_eq!(automatic(&stripes, (32, 32)), Place::Everywhere);
        assert_eq!(automatic(&grey_image(vec![0.5; 1024]), (32, 32)), Place::Everywhere);
    }

    #[test]
    fn specks_are_no_product_and_the_region_of_interest_bounds_it() {
        let mut image = square(0.9, 0.1);
        for channel in 0..3 {
            image[channel * 1024 + 33] = 0.9;
            image[channel * 1024 + 16 * 32 + 16] = 0.1;
        }
        let rule = Place::Brighter(0.5);
        let whole = Foregrounds { rule: rule.clone(), size: (32, 32), region: None };
        assert_eq!(whole.mask(&image), whole.mask(&square(0.9, 0.1)));
        let marked = (0..1024).map(|at| at % 32 < 10).collect();
        let region = Some(Mask { height: 32, width: 32, marked });
        let mask = Foregrounds { rule, size: (32, 32), region }.mask(&image);
        // Two columns without the two corners, into which a disc does not reach.
        assert_eq!(mask.iter().filter(|&&inside| inside).count(), 16 * 2 - 2);
    }

    #[test]
    fn a_mask_is_read_at_the_size_of_the_images_and_must_not_be_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        let pixel = |x: u32, _| image::Luma([if x < 8 { 255u8 } else { 0 }]);
        image::GrayImage::from_fn(16, 16, pixel).save(&path).unwrap();
        let Place::Fixed(mask) = given(&path, (32, 32)).unwrap() else { panic!("no mask") };
        assert!((0..1024).all(|at| mask[at] == (at % 32 < 16)));
        image::GrayImage::new(16, 16).save(&path).unwrap();
        let message = given(&path, (32, 32)).unwrap_err().to_string();
        assert!(message.contains("foreground is empty"), "{message}");
        assert!(given(&folder.path().join("none.png"), (32, 32)).is_err());
    }
}
