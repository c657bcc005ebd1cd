//! Grey-level morphology with flat elements of any shape.
//!
//! An element is a set of horizontal runs. The running maximum of a row over n pixels is made by doubling, ceil(log2 n) comparisons of
//! whole vectors, once for each length that occurs; the dilation is the maximum of shifted rows of these. For discs and lines up to
//! some thirty pixels this is less work than van Herk's three comparisons, which do not vectorise along a row and serve straight
//! lines only. Pixels beyond the border do not count.

use super::{Size, check};
use crate::simd::{Kernel, Lanes, widest};
use std::collections::BTreeMap;

/// A flat element: horizontal runs around its centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// (row, first column, length), relative to the centre.
    runs: Vec<(isize, isize, usize)>,
}

impl Element {
    /// An element of single pixels (dy, dx); they are joined to runs.
    pub fn from_offsets(mut offsets: Vec<(isize, isize)>) -> Self {
        offsets.sort_unstable();
        offsets.dedup();
        let mut runs: Vec<(isize, isize, usize)> = Vec::new();
        for (y, x) in offsets {
            match runs.last_mut() {
                Some((row, start, length)) if *row == y && *start + *length as isize == x => *length += 1,
                _ => runs.push((y, x, 1)),
            }
        }
        Self { runs }
    }

    /// All pixels at most `radius` from the centre.
    pub fn disc(radius: usize) -> Self {
        let reach = radius as isize;
        let inside = |&(y, x): &(isize, isize)| y * y + x * x <= reach * reach;
        Self::from_offsets(grid(reach, reach).filter(inside).collect())
    }

    /// A rectangle of odd sides.
    pub fn rectangle(height: usize, width: usize) -> Self {
        Self::from_offsets(grid(height as isize / 2, width as isize / 2).collect())
    }

    /// A line about `length` pixels long through the centre at `angle` radians, upwards from the x axis.
    pub fn line(length: usize, angle: f64) -> Self {
        let reach = length as isize / 2;
        let (rise, run) = (-angle.sin(), angle.cos());
        // One pixel for every step along the longer direction leaves no gaps.
        let step = 1.0 / rise.abs().max(run.abs());
        let most = (reach as f64 / step).round() as isize;
        let offset = |at: isize| {
            let place = |part: f64| (at as f64 * step * part).round() as isize;
            (place(rise), place(run))
        };
        Self::from_offsets((-most..=most).map(offset).collect())
    }

    fn mirrored(&self) -> Self {
        let turned = |&(y, x, length): &(isize, isize, usize)| (-y, 1 - x - length as isize, length);
        Self { runs: self.runs.iter().map(turned).collect() }
    }

    /// Columns that runs reach to either side of the centre.
    fn reach(&self) -> usize {
        let ends = self.runs.iter().map(|&(_, x, n)| x.unsigned_abs().max((x + n as isize).unsigned_abs()));
        ends.max().unwrap_or(0)
    }
}

fn grid(rows: isize, columns: isize) -> impl Iterator<Item = (isize, isize)> {
    (-rows..=rows).flat_map(move |y| (-columns..=columns).map(move |x| (y, x)))
}

/// The greatest value under the element, mirrored at its centre, around every pixel.
///
/// # Panics
/// If the plane is not of that size.
pub fn dilate(plane: &[f32], size: Size, element: &Element) -> Vec<f32> {
    extreme(plane, size, &element.mirrored(), 1.0)
}

/// The least value under the element around every pixel.
///
/// # Panics
/// If the plane is not of that size.
pub fn erode(plane: &[f32], size: Size, element: &Element) -> Vec<f32> {
    extreme(plane, size, element, -1.0)
}

/// Erosion, then dilation: bright details that do not hold the element vanish.
///
/// # Panics
/// If the plane is not of that size.
pub fn open(plane: &[f32], size: Size, element: &Element) -> Vec<f32> {
    dilate(&erode(plane, size, element), size, element)
}

/// Dilation, then erosion: dark details that do not hold the element vanish.
///
/// # Panics
/// If the plane is not of that size.
pub fn close(plane: &[f32], size: Size, element: &Element) -> Vec<f32> {
    erode(&dilate(plane, size, element), size, element)
}

/// Maximum of sign x values, times sign.
fn extreme(plane: &[f32], size: Size, element: &Element, sign: f32) -> Vec<f32> {
    check(plane, size);
    widest(Extreme { plane, size, element, sign })
}

struct Extreme<'a> {
    plane: &'a [f32],
    size: Size,
    element: &'a Element,
    sign: f32,
}

impl Kernel for Extreme<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        let (height, width) = self.size;
        let aside = self.element.reach();
        let stride = width + 2 * aside;
        let mut lengths: Vec<usize> = self.element.runs.iter().map(|run| run.2).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut running: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        for &length in &lengths {
            running.insert(length, vec![f32::NEG_INFINITY; height * stride]);
        }
        let mut line = vec![f32::NEG_INFINITY; stride];
        for (y, row) in self.plane.chunks_exact(width).enumerate() {
            line.fill(f32::NEG_INFINITY);
            for (target, value) in line[aside..].iter_mut().zip(row) {
                *target = self.sign * value;
            }
            // `line` holds maxima of `covered` pixels from each column on.
            let mut covered = 1;
            for (&length, target) in &mut running {
                while 2 * covered <= length {
                    widen(&mut line, covered);
                    covered *= 2;
                }
                let target = &mut target[y * stride..][..stride];
                let shift = length - covered;
                let (near, far) = (&line[..stride - shift], &line[shift..]);
                for ((target, near), far) in target.iter_mut().zip(near).zip(far) {
                    *target = if near > far { *near } else { *far };
                }
            }
        }
        let mut out = vec![f32::NEG_INFINITY; height * width];
        let runs: Vec<(isize, isize, &[f32])> =
            self.element.runs.iter().map(|&(y, x, length)| (y, x, running[&length].as_slice())).collect();
        for (y, target) in out.chunks_exact_mut(width).enumerate() {
            for &(dy, dx, source) in &runs {
                let from = y as isize + dy;
                if from < 0 || from >= height as isize {
                    continue;
                }
                let start = from as usize * stride + (aside as isize + dx) as usize;
                for (target, value) in target.iter_mut().zip(&source[start..start + width]) {
                    *target = if *value > *target { *value } else { *target };
                }
            }
            target.iter_mut().for_each(|value| *value *= self.sign);
        }
        out
    }
}

/// Maxima of twice as many pixels, in place: column x reads x and x + `by`, which is not yet written.
#[inline(always)]
fn widen(line: &mut [f32], by: usize) {
    for x in 0..line.len() - by {
        let far = line[x + by];
        line[x] = if far > line[x] { far } else { line[x] };
    }
}
