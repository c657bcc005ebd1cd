//! Regions of an anomaly map above a threshold, measured in pixels of the original image.
//!
//! The map may be coarser than the image and cover only a part of it; a [`Frame`] says which. Regions are 8-connected on the map's
//! grid, and every measure is brought to the image's pixels, where pixel (y, x) spans y..y+1 and x..x+1.

use crate::components::label;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The part of an image that a map covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Rows of the image.
    pub rows: Range<usize>,
    /// Columns of the image.
    pub columns: Range<usize>,
}

/// A connected region above the threshold; all places and sizes in pixels of the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Area in pixels, holes left out.
    pub area: f64,
    /// The smallest box of whole pixels around it.
    #[serde(rename = "box")]
    pub bounds: Bounds,
    /// Centre of mass of its area, every part weighing the same.
    pub centroid: Point,
    /// Its highest score.
    pub peak: Peak,
    /// Mean of its scores.
    pub mean_score: f64,
    /// Its outer border as a polygon, clockwise; holes are left out.
    #[serde(skip)]
    pub outline: Vec<Point>,
}

/// A box of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// A place, with fractions of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// From the left edge.
    pub x: f64,
    /// From the upper edge.
    pub y: f64,
}

/// The highest score of a region.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Column.
    pub x: usize,
    /// Row.
    pub y: usize,
    /// The score.
    pub score: f32,
}

/// What is summed up of a region while the map is walked over.
#[derive(Clone)]
struct Sums {
    first: usize,
    count: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    y: f64,
    x: f64,
    scores: f64,
    peak: (f32, usize),
}

/// The regions of a height x width map where the score is above `threshold`, the highest peak first; those with an area under
/// `minimum_area` pixels of the image are left out.
///
/// # Panics
/// If the map does not hold height x width values.
pub fn find_regions(
    map: &[f32],
    (height, width): (usize, usize),
    threshold: f32,
    frame: &Frame,
    minimum_area: f64,
) -> Vec<Region> {
    assert_eq!(map.len(), height * width, "a map of {height}x{width}");
    let mask: Vec<bool> = map.iter().map(|&score| score > threshold).collect();
    if !mask.contains(&true) {
        return Vec::new();
    }
    let (labels, count) = label(&mask, width);
    let scale = (frame.rows.len() as f64 / height as f64, frame.columns.len() as f64 / width as f64);
    let mut regions: Vec<Region> = sum_up(map, &labels, count, width)
        .into_iter()
        .filter(|sums| sums.count as f64 * scale.0 * scale.1 >= minimum_area)
        .map(|sums| {
            let outline = outline(&labels, (height, width), sums.first);
            place(&sums, &outline, width, scale, frame)
        })
        .collect();
    regions.sort_by(|a, b| b.peak.score.total_cmp(&a.peak.score));
    regions
}

fn sum_up(map: &[f32], labels: &[u32], count: usize, width: usize) -> Vec<Sums> {
    let mut all: Vec<Option<Sums>> = vec![None; count];
    for (pixel, (&score, &label)) in map.iter().zip(labels).enumerate().filter(|(_, (_, label))| **label > 0)
    {
        let (y, x) = (pixel / width, pixel % width);
        let sums = all[label as usize - 1].get_or_insert(Sums {
            first: pixel,
            count: 0,
            rows: y..y,
            columns: x..x,
            y: 0.0,
            x: 0.0,
            scores: 0.0,
            peak: (score, pixel),
        });
        sums.count += 1;
        sums.rows.end = y + 1;
        sums.columns = sums.columns.start.min(x)..sums.columns.end.max(x + 1);
        sums.y += y as f64 + 0.5;
        sums.x += x as f64 + 0.5;
        sums.scores += f64::from(score);
        if score > sums.peak.0 {
            sums.peak = (score, pixel);
        }
    }
    all.into_iter().flatten().collect()
}

/// From the map's grid to the image's pixels.
fn place(sums: &Sums, outline: &[(usize, usize)], width: usize, scale: (f64, f64), frame: &Frame) -> Region {
    let row = |y: f64| frame.rows.start as f64 + y * scale.0;
    let column = |x: f64| frame.columns.start as f64 + x * scale.1;
    let count = sums.count as f64;
    let (top, bottom) = (row(sums.rows.start as f64).floor(), row(sums.rows.end as f64).ceil());
    let (left, right) = (column(sums.columns.start as f64).floor(), column(sums.columns.end as f64).ceil());
    let middle = |cell: usize| cell as f64 + 0.5;
    Region {
        area: count * scale.0 * scale.1,
        bounds: Bounds {
            x: left as usize,
            y: top as usize,
            width: (right - left) as usize,
            height: (bottom - top) as usize,
        },
        centroid: Point { x: column(sums.x / count), y: row(sums.y / count) },
        peak: Peak {
            x: column(middle(sums.peak.1 % width)) as usize,
            y: row(middle(sums.peak.1 / width)) as usize,
            score: sums.peak.0,
        },
        mean_score: sums.scores / count,
        outline: outline.iter().map(|&(y, x)| Point { x: column(x as f64), y: row(y as f64) }).collect(),
    }
}

/// The outer border of the region whose first pixel in row-major order is `first`: corners (y, x) of the grid, clockwise, only where the
/// direction turns.
fn outline(labels: &[u32], (height, width): (usize, usize), first: usize) -> Vec<(usize, usize)> {
    /// Right, down, left, up.
    const STEPS: [(isize, isize); 4] = [(0, 1), (1, 0), (0, -1), (-1, 0)];
    /// From a corner, the pixels ahead on the left and on the right hand of each direction.
    const AHEAD: [[(isize, isize); 2]; 4] =
        [[(-1, 0), (0, 0)], [(0, 0), (0, -1)], [(0, -1), (-1, -1)], [(-1, -1), (-1, 0)]];
    let own = labels[first];
    let is_inside = |(y, x): (isize, isize), (dy, dx): (isize, isize)| {
        let (y, x) = (y + dy, x + dx);
        y >= 0
            && x >= 0
            && (y as usize) < height
            && (x as usize) < width
            && labels[y as usize * width + x as usize] == own
    };
    let start = ((first / width) as isize, (first % width) as isize);
    let (mut corner, mut direction) = (start, 0);
    let mut corners = vec![(start.0 as usize, start.1 as usize)];
    loop {
        corner = (corner.0 + STEPS[direction].0, corner.1 + STEPS[direction].1);
        if corner == start && direction == 3 {
            return corners;
        }
        let [left, right] = AHEAD[direction].map(|pixel| is_inside(corner, pixel));
        // Turning left first keeps regions together that touch at a corner.
        let turn = if left { 3 } else { usize::from(!right) };
        if turn != 0 {
            corners.push((corner.0 as usize, corner.1 as usize));
        }
        direction = (direction + turn) % 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(height: usize, width: usize) -> Frame {
        Frame { rows: 0..height, columns: 0..width }
    }

    fn map(rows: &[&str]) -> (Vec<f32>, (usize, usize)) {
        let digits = rows.concat();
        (digits.bytes().map(|digit| f32::from(digit - b'0')).collect(), (rows.len(), rows[0].len()))
    }

    /// Twice the signed area of a polygon; positive if it runs clockwise with y downwards.
    fn doubled_area(outline: &[Point]) -> f64 {
        let next = outline.iter().cycle().skip(1);
        outline.iter().zip(next).map(|(a, b)| a.x * b.y - b.x * a.y).sum()
    }

    #[test]
    fn measures_of_an_l_are_those_by_hand() {
        let (values, size) = map(&["00000", "02000", "02300", "00040"]);
        let regions = find_regions(&values, size, 1.0, &whole(4, 5), 0.0);
        assert_eq!(regions.len(), 1, "diagonals connect");
        let region = &regions[0];
        assert_eq!((region.area, region.mean_score), (4.0, 11.0 / 4.0));
        assert_eq!(region.bounds, Bounds { x: 1, y: 1, width: 3, height: 3 });
        assert_eq!(region.peak, Peak { x: 3, y: 3, score: 4.0 });
        assert_eq!(region.centroid, Point { x: 9.0 / 4.0, y: 10.0 / 4.0 });
        assert_eq!(doubled_area(&region.outline), 8.0);
        assert_eq!(region.outline[0], Point { x: 1.0, y: 1.0 });
    }

    #[test]
    fn a_score_at_the_threshold_is_not_above_it_and_peaks_come_in_order() {
        let (values, size) = map(&["50900", "00000", "22222"]);
        let peaks = |threshold| -> Vec<f32> {
            let found = find_regions(&values, size, threshold, &whole(3, 5), 0.0);
            found.iter().map(|region| region.peak.score).collect()
        };
        assert_eq!(peaks(1.0), [9.0, 5.0, 2.0]);
        assert_eq!(peaks(2.0), [9.0, 5.0]);
        assert!(peaks(9.0).is_empty());
        let large = find_regions(&values, size, 1.0, &whole(3, 5), 2.0);
        assert_eq!(large.len(), 1, "small areas are left out");
        assert_eq!(large[0].area, 5.0);
    }

    /// A map of 2 x 2 over rows 10..30 and columns 100..104: each cell is 10 x 2 pixels.
    #[test]
    fn places_are_in_pixels_of_the_image() {
        let frame = Frame { rows: 10..30, columns: 100..104 };
        let regions = find_regions(&[0.0, 0.0, 0.0, 7.0], (2, 2), 1.0, &frame, 20.0);
        let region = &regions[0];
        assert_eq!(region.area, 20.0);
        assert_eq!(region.bounds, Bounds { x: 102, y: 20, width: 2, height: 10 });
        assert_eq!(region.centroid, Point { x: 103.0, y: 25.0 });
        assert_eq!((region.peak.x, region.peak.y), (103, 25));
        let corners: Vec<(f64, f64)> = region.outline.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(corners, [(102.0, 20.0), (104.0, 20.0), (104.0, 30.0), (102.0, 30.0)]);
        assert!(find_regions(&[0.0, 0.0, 0.0, 7.0], (2, 2), 1.0, &frame, 20.1).is_empty());
    }

    #[test]
    fn the_outline_of_a_ring_leaves_its_hole_to_the_area() {
        let (values, size) = map(&["111", "101", "111"]);
        let region = &find_regions(&values, size, 0.5, &whole(3, 3), 0.0)[0];
        assert_eq!((region.area, doubled_area(&region.outline)), (8.0, 18.0));
    }

    proptest! {
        /// The outline encloses the region and its holes, so at least its area and at most its box.
        #[test]
        fn outlines_close_around_their_regions(values in prop::collection::vec(0u8..3, 42)) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let regions = find_regions(&values, (6, 7), 1.0, &whole(6, 7), 0.0);
            let total: f64 = regions.iter().map(|region| region.area).sum();
            prop_assert_eq!(total as usize, values.iter().filter(|&&value| value > 1.0).count());
            for region in regions {
                let enclosed = doubled_area(&region.outline) / 2.0;
                let bounds = region.bounds;
                prop_assert!(enclosed >= region.area && enclosed <= (bounds.width * bounds.height) as f64);
                for point in region.outline {
                    prop_assert!(point.x >= bounds.x as f64 && point.x <= (bounds.x + bounds.width) as f64);
                    prop_assert!(point.y >= bounds.y as f64 && point.y <= (bounds.y + bounds.height) as f64);
                }
            }
        }
    }
}
