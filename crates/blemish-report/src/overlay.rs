//! A heat map laid over its image.

use crate::colour::colormap;
use crate::error::ReportError;
use crate::picture::Picture;
use blemish_kernels::map::resize_bilinear;
use std::borrow::Cow;
use std::ops::Range;

/// Opacity of the heat map where the score is at the top of the range.
///
/// The opacity rises from 0 with the score, so that what is normal stays as the camera saw it and only the rest is coloured.
pub const OPACITY: f32 = 0.7;

/// Lays an anomaly map over a picture.
///
/// `map` holds the scores of h x w = `map_size` and is resized bilinearly to the picture. A score s becomes t = (s - low) /
/// (high - low), clamped to [0, 1]; the pixel becomes (1 - a) * pixel + a * colour(t) with a = [`OPACITY`] * t.
/// If `range` = (low, high) has two equal ends, scores above them show at full strength and the others not at all.
///
/// # Errors
/// [`ReportError`] if sizes do not fit, scores are not finite, or the range does not rise.
pub fn overlay(
    picture: &Picture,
    map: &[f32],
    map_size: (usize, usize),
    range: (f32, f32),
) -> Result<Picture, ReportError> {
    draw_over(picture.clone(), (0..picture.height, 0..picture.width), map, map_size, range)
}

/// Like [`overlay`], on the picture itself, for a map that covers only the given rows and columns of it (such as a centre crop).
///
/// For an image that a caller holds, make the picture with [`Picture::from_rows`] or [`Picture::from_image`].
///
/// # Errors
/// As for [`overlay`], and [`ReportError::Region`] if the region is empty or leaves the picture.
pub fn draw_over(
    picture: Picture,
    covered: (Range<usize>, Range<usize>),
    map: &[f32],
    map_size: (usize, usize),
    range: (f32, f32),
) -> Result<Picture, ReportError> {
    draw_with(OPACITY, picture, covered, map, map_size, range)
}

/// Like [`draw_over`], with another opacity at the top of the range than [`OPACITY`], from 0 to 1.
///
/// # Errors
/// As for [`draw_over`].
pub fn draw_with(
    most: f32,
    mut picture: Picture,
    (rows, columns): (Range<usize>, Range<usize>),
    map: &[f32],
    map_size: (usize, usize),
    (low, high): (f32, f32),
) -> Result<Picture, ReportError> {
    ReportError::check_size("picture", picture.rgb.len(), picture.size(), 3)?;
    check_map(map, map_size)?;
    if !(low.is_finite() && high.is_finite() && low <= high) {
        return Err(ReportError::Range { low, high });
    }
    check_region(&rows, &columns, picture.size())?;
    let size = (rows.len(), columns.len());
    let scores =
        if map_size == size { Cow::Borrowed(map) } else { Cow::Owned(resize_bilinear(map, map_size, size)) };
    for (y, line) in rows.zip(scores.chunks_exact(columns.len())) {
        for (x, &score) in columns.clone().zip(line) {
            let strength = if high > low {
                ((score - low) / (high - low)).clamp(0.0, 1.0)
            } else {
                f32::from(score > low)
            };
            let opacity = most * strength;
            for (byte, colour) in picture.pixel_mut(y, x).iter_mut().zip(colormap(strength)) {
                *byte = (f32::from(*byte) * (1.0 - opacity) + f32::from(colour) * opacity).round() as u8;
            }
        }
    }
    Ok(picture)
}

/// A map of part of an image as one of the whole image of (height, width) pixels, `elsewhere` where it does not reach.
///
/// `map` holds the scores of h x w = `map_size` over the given rows and columns; every pixel takes its nearest score. A map that covers
/// the whole image stays as it is, at its own size. Returns the scores and their (height, width).
///
/// # Errors
/// [`ReportError`] if sizes do not fit or the region is empty or leaves the image.
pub fn extended(
    map: &[f32],
    map_size: (usize, usize),
    (rows, columns): (Range<usize>, Range<usize>),
    (height, width): (usize, usize),
    elsewhere: f32,
) -> Result<(Vec<f32>, (usize, usize)), ReportError> {
    ReportError::check_size("anomaly map", map.len(), map_size, 1)?;
    check_region(&rows, &columns, (height, width))?;
    if (rows.len(), columns.len()) == (height, width) {
        return Ok((map.to_vec(), map_size));
    }
    let mut values = vec![elsewhere; height * width];
    for y in rows.clone() {
        for x in columns.clone() {
            let near_y = (y - rows.start) * map_size.0 / rows.len();
            let near_x = (x - columns.start) * map_size.1 / columns.len();
            values[y * width + x] = map[near_y * map_size.1 + near_x];
        }
    }
    Ok((values, (height, width)))
}

/// Checks that a region has pixels and lies inside of (height, width).
pub(crate) fn check_region(
    rows: &Range<usize>,
    columns: &Range<usize>,
    (height, width): (usize, usize),
) -> Result<(), ReportError> {
    let is_inside = |span: &Range<usize>, extent: usize| !span.is_empty() && span.end <= extent;
    if is_inside(rows, height) && is_inside(columns, width) {
        return Ok(());
    }
    let (Range { start: top, end: bottom }, Range { start: left, end: right }) =
        (rows.clone(), columns.clone());
    Err(ReportError::Region { top, bottom, left, right, height, width })
}

/// Checks a map's size and that all its values can be drawn.
pub(crate) fn check_map(map: &[f32], size: (usize, usize)) -> Result<(), ReportError> {
    ReportError::check_size("anomaly map", map.len(), size, 1)?;
    match map.iter().filter(|score| !score.is_finite()).count() {
        0 => Ok(()),
        count => Err(ReportError::NotFinite { count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(size: (usize, usize), value: u8) -> Picture {
        Picture::new(vec![value; size.0 * size.1 * 3], size).unwrap()
    }

    #[test]
    fn each_pixel_is_the_stated_blend() {
        let picture = grey((1, 3), 100);
        let drawn = overlay(&picture, &[1.0, 2.0, 3.0], (1, 3), (1.0, 3.0)).unwrap();
        let blend =
            |share: f32, colour: u8| (100.0 * (1.0 - share) + f32::from(colour) * share).round() as u8;
        assert_eq!(drawn.rgb[..3], [100, 100, 100]);
        assert_eq!(drawn.rgb[3..6], colormap(0.5).map(|colour| blend(0.35, colour)));
        assert_eq!(drawn.rgb[6..], colormap(1.0).map(|colour| blend(0.7, colour)));
    }

    #[test]
    fn map_is_resized_to_the_picture_with_half_pixel_centres() {
        let fine = overlay(&grey((1, 4), 0), &[0.0, 0.25, 0.75, 1.0], (1, 4), (0.0, 1.0)).unwrap();
        let coarse = overlay(&grey((1, 4), 0), &[0.0, 1.0], (1, 2), (0.0, 1.0)).unwrap();
        assert_eq!(coarse, fine);
    }

    #[test]
    fn scores_beyond_the_range_saturate_and_an_empty_range_separates() {
        let picture = grey((1, 2), 50);
        let inside = overlay(&picture, &[0.0, 1.0], (1, 2), (0.0, 1.0)).unwrap();
        assert_eq!(overlay(&picture, &[-9.0, 9.0], (1, 2), (0.0, 1.0)).unwrap(), inside);
        assert_eq!(overlay(&picture, &[2.0, 2.1], (1, 2), (2.0, 2.0)).unwrap(), inside);
    }

    #[test]
    fn a_map_of_a_crop_leaves_the_rest_alone() {
        let picture = grey((3, 3), 10);
        let drawn = draw_over(picture.clone(), (1..2, 1..3), &[1.0], (1, 1), (0.0, 1.0)).unwrap();
        let changed: Vec<bool> = drawn.rgb.chunks_exact(3).map(|pixel| pixel != [10; 3]).collect();
        assert_eq!(changed, [false, false, false, false, true, true, false, false, false]);
        let error = draw_over(picture, (1..4, 0..3), &[1.0], (1, 1), (0.0, 1.0)).unwrap_err();
        assert!(error.to_string().contains("1..4"), "{error}");
    }

    #[test]
    fn wrong_sizes_ranges_and_values_are_errors() {
        let picture = grey((2, 2), 0);
        let fails = |map: &[f32], size, range| overlay(&picture, map, size, range).unwrap_err().to_string();
        assert!(fails(&[0.0; 5], (2, 3), (0.0, 1.0)).contains("needs 6"));
        assert!(fails(&[], (0, 3), (0.0, 1.0)).contains("0 values"));
        assert!(fails(&[0.0; 4], (usize::MAX, 2), (0.0, 1.0)).contains("4 values"));
        assert!(fails(&[0.0; 4], (2, 2), (1.0, 0.0)).contains("does not rise"));
        assert!(fails(&[0.0; 4], (2, 2), (f32::NAN, 0.0)).contains("does not rise"));
        assert!(fails(&[f32::NAN, 0.0, 0.0, f32::INFINITY], (2, 2), (0.0, 1.0)).contains("2 values"));
    }

    #[test]
    fn a_map_of_a_crop_extends_to_the_image_by_nearest_scores() {
        // Columns 1 to 4 of a row of 6, two scores: each covers two pixels.
        let (values, size) = extended(&[5.0, 7.0], (1, 2), (0..1, 1..5), (1, 6), -1.0).unwrap();
        assert_eq!((values, size), (vec![-1.0, 5.0, 5.0, 7.0, 7.0, -1.0], (1, 6)));
        let whole = extended(&[5.0, 7.0], (1, 2), (0..1, 0..6), (1, 6), -1.0).unwrap();
        assert_eq!(whole, (vec![5.0, 7.0], (1, 2)));
        assert!(extended(&[5.0, 7.0], (1, 2), (0..1, 3..7), (1, 6), -1.0).is_err());
        assert!(extended(&[5.0], (1, 2), (0..1, 1..5), (1, 6), -1.0).is_err());
    }
}
