//! Bringing an image onto a reference: phase correlation for whole pixels, then Gauss-Newton refinement of an affine map (inverse
//! compositional Lucas-Kanade, Baker and Matthews, IJCV 2004) from coarse to fine.
//!
//! Brightness may differ: every step fits a gain and an offset between the two images first.

use super::convolve::blur;
use super::fourier::{Plan, tapered};
use super::{Size, check};

/// A map from the reference's pixels to the image's: (y, x) -> (a y + b x + c, d y + e x + f), about the image's origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// [a, b, c, d, e, f].
    pub terms: [f64; 6],
}

impl Affine {
    /// Where everything stays.
    pub const IDENTITY: Self = Self { terms: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0] };

    /// A shift: the reference's pixel (y, x) lies at (y + dy, x + dx) of the image.
    pub fn shift(dy: f64, dx: f64) -> Self {
        Self { terms: [1.0, 0.0, dy, 0.0, 1.0, dx] }
    }

    /// Where a point of the reference lies in the image.
    pub fn at(&self, y: f64, x: f64) -> (f64, f64) {
        let [a, b, c, d, e, f] = self.terms;
        (a * y + b * x + c, d * y + e * x + f)
    }

    /// First `inner`, then this.
    pub fn after(&self, inner: &Self) -> Self {
        let [a, b, c, d, e, f] = self.terms;
        let [p, q, r, s, t, u] = inner.terms;
        Self {
            terms: [
                a * p + b * s,
                a * q + b * t,
                a * r + b * u + c,
                d * p + e * s,
                d * q + e * t,
                d * r + e * u + f,
            ],
        }
    }

    /// The map back; `None` if it flattens the plane.
    pub fn inverse(&self) -> Option<Self> {
        let [a, b, c, d, e, f] = self.terms;
        let area = a * e - b * d;
        if area.abs() < 1e-9 {
            return None;
        }
        let (a, b, d, e) = (e / area, -b / area, -d / area, a / area);
        Some(Self { terms: [a, b, -(a * c + b * f), d, e, -(d * c + e * f)] })
    }

    /// The same map between images of half the size, or twice with `factor` 2.
    fn scaled(&self, factor: f64) -> Self {
        // Pixel centres: y' = (y + 0.5) factor - 0.5.
        let [a, b, c, d, e, f] = self.terms;
        let centre = 0.5 * factor - 0.5;
        Self { terms: [a, b, factor * c + centre * (1.0 - a - b), d, e, factor * f + centre * (1.0 - d - e)] }
    }
}

/// What may differ between image and reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// A shift.
    Shift,
    /// A shift, rotation, scale and shear.
    Affine,
}

/// Share of the mean magnitude from which on a frequency counts in full.
const PRESENT: f32 = 0.1;

/// The whole-pixel shift of `image` against `reference` by phase correlation (Kuglin and Hines 1975).
///
/// # Panics
/// If a plane is not of that size.
pub fn phase_correlation(reference: &[f32], image: &[f32], size: Size) -> (isize, isize) {
    let (mut reference, padded) = tapered(reference, size);
    let (mut image, _) = tapered(image, size);
    let plan = Plan::new(padded);
    let fixed = plan.forward(&mut reference);
    let mut product = plan.forward(&mut image);
    product.iter_mut().zip(&fixed).for_each(|(value, fixed)| *value *= fixed.conj());
    // Frequencies that neither picture holds have no phase worth counting: their magnitude is not raised to 1.
    let mean = product.iter().map(|value| value.norm_sqr().sqrt()).sum::<f32>() / product.len() as f32;
    let floor = (PRESENT * mean).max(f32::MIN_POSITIVE);
    product.iter_mut().for_each(|value| *value /= value.norm_sqr().sqrt().max(floor));
    let peaks = plan.inverse(product);
    let best = (0..peaks.len()).fold(0, |best, at| if peaks[at] > peaks[best] { at } else { best });
    let wrap = |at: usize, length: usize| {
        if at > length / 2 { at as isize - length as isize } else { at as isize }
    };
    (wrap(best / padded.1, padded.0), wrap(best % padded.1, padded.1))
}

/// Levels of the pyramid, and the shorter side below which there are no more.
const LEVELS: usize = 4;
const LEAST_SIDE: usize = 24;

/// Steps a level, and the movement of the corners, in pixels, below which a level is done.
const STEPS: usize = 30;
const STILL: f64 = 1e-3;

/// The map from the reference to the image that makes them most alike, with sub-pixel precision; starts at the phase correlation.
///
/// Falls back to the whole-pixel shift where the refinement makes things worse, and to no movement where that is better still.
///
/// # Panics
/// If a plane is not of that size.
pub fn register(reference: &[f32], image: &[f32], size: Size, motion: Motion) -> Affine {
    let (dy, dx) = phase_correlation(reference, image, size);
    let shift = Affine::shift(dy as f64, dx as f64);
    let start = best(reference, image, size, [Affine::IDENTITY, shift]);
    let mut pyramid = vec![(reference.to_vec(), image.to_vec(), size)];
    while pyramid.len() < LEVELS {
        let (fixed, moving, size) = &pyramid[pyramid.len() - 1];
        if size.0.min(size.1) / 2 < LEAST_SIDE {
            break;
        }
        let next = (halve(fixed, *size), halve(moving, *size), (size.0 / 2, size.1 / 2));
        pyramid.push(next);
    }
    let mut map = start;
    (1..pyramid.len()).for_each(|_| map = map.scaled(0.5));
    for (level, (fixed, moving, size)) in pyramid.iter().enumerate().rev() {
        map = refine(fixed, moving, *size, map, motion);
        if level > 0 {
            map = map.scaled(2.0);
        }
    }
    best(reference, image, size, [start, map])
}

/// The map under which the images correlate most; the first of equals.
fn best(reference: &[f32], image: &[f32], size: Size, maps: [Affine; 2]) -> Affine {
    let [first, second] = maps.map(|map| (correlation(reference, image, size, &map), map));
    if second.0 > first.0 { second.1 } else { first.1 }
}

/// Half the size, blurred against aliasing.
fn halve(plane: &[f32], (height, width): Size) -> Vec<f32> {
    let soft = blur(plane, (height, width), 0.8);
    (0..height / 2)
        .flat_map(|y| {
            let (upper, lower) = (&soft[2 * y * width..][..width], &soft[(2 * y + 1) * width..][..width]);
            (0..width / 2)
                .map(move |x| 0.25 * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]))
        })
        .collect()
}

/// Calls `each` with the index of every reference pixel that falls into the image, and the value there.
fn sample(image: &[f32], (height, width): Size, map: &Affine, mut each: impl FnMut(usize, f32)) {
    let (last_y, last_x) = ((height - 1) as f64, (width - 1) as f64);
    for y in 0..height {
        for x in 0..width {
            let (at_y, at_x) = map.at(y as f64, x as f64);
            if at_y >= 0.0 && at_x >= 0.0 && at_y <= last_y && at_x <= last_x {
                each(y * width + x, bilinear(image, (height, width), at_y, at_x));
            }
        }
    }
}

/// The value at a point inside the image.
fn bilinear(image: &[f32], (height, width): Size, y: f64, x: f64) -> f32 {
    let (top, left) = (y as usize, x as usize);
    let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
    let (down, across) = ((y - top as f64) as f32, (x - left as f64) as f32);
    let row =
        |y: usize| image[y * width + left] + (image[y * width + right] - image[y * width + left]) * across;
    row(top) + (row(bottom) - row(top)) * down
}

/// Correlation coefficient over the pixels that both images have; -1 if that is less than a quarter of the image.
fn correlation(reference: &[f32], image: &[f32], size: Size, map: &Affine) -> f64 {
    let mut sums = Sums::default();
    sample(image, size, map, |index, value| sums.add(f64::from(value), f64::from(reference[index])));
    if sums.count < reference.len() as f64 / 4.0 {
        return -1.0;
    }
    let (a, b, both) = sums.scatter();
    both / (a * b).sqrt().max(1e-12)
}

#[derive(Default)]
struct Sums {
    count: f64,
    a: f64,
    b: f64,
    aa: f64,
    bb: f64,
    ab: f64,
}

impl Sums {
    fn add(&mut self, a: f64, b: f64) {
        self.count += 1.0;
        self.a += a;
        self.b += b;
        self.aa += a * a;
        self.bb += b * b;
        self.ab += a * b;
    }

    /// Scatter of a, of b, and of both.
    fn scatter(&self) -> (f64, f64, f64) {
        let n = self.count.max(1.0);
        (self.aa - self.a * self.a / n, self.bb - self.b * self.b / n, self.ab - self.a * self.b / n)
    }

    /// Gain and offset that bring a nearest to b.
    fn line(&self) -> (f64, f64) {
        let (a, _, both) = self.scatter();
        let gain = if a > 1e-12 { both / a } else { 1.0 };
        (gain, (self.b - gain * self.a) / self.count.max(1.0))
    }
}

/// Gauss-Newton on one level.
fn refine(reference: &[f32], image: &[f32], size: Size, start: Affine, motion: Motion) -> Affine {
    let (height, width) = size;
    let unknowns = if motion == Motion::Shift { 2 } else { 6 };
    // Coordinates about the centre and of order 1, so that the normal equations are well conditioned.
    let (centre_y, centre_x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
    let scale = 2.0 / height.max(width) as f64;
    let (slope_y, slope_x) = slopes(reference, size);
    let steepest = |index: usize| -> [f64; 6] {
        let y = ((index / width) as f64 - centre_y) * scale;
        let x = ((index % width) as f64 - centre_x) * scale;
        let (down, across) = (f64::from(slope_y[index]), f64::from(slope_x[index]));
        [down, across, down * y, down * x, across * y, across * x]
    };
    let mut map = start;
    for _ in 0..STEPS {
        let mut seen = Vec::with_capacity(reference.len());
        let mut sums = Sums::default();
        sample(image, size, &map, |index, value| {
            sums.add(f64::from(value), f64::from(reference[index]));
            seen.push((index, value));
        });
        if seen.len() < reference.len() / 4 {
            return start;
        }
        let (gain, offset) = sums.line();
        let mut normal = [[0.0f64; 7]; 6];
        for &(index, value) in &seen {
            let slopes = steepest(index);
            let error = gain * f64::from(value) + offset - f64::from(reference[index]);
            for row in 0..unknowns {
                for column in row..unknowns {
                    normal[row][column] += slopes[row] * slopes[column];
                }
                normal[row][6] += slopes[row] * error;
            }
        }
        let Some(step) = solve(&mut normal, unknowns) else { return map };
        let [dy, dx, yy, yx, xy, xx] = step;
        let (yy, yx, xy, xx) = (yy * scale, yx * scale, xy * scale, xx * scale);
        let increment = Affine {
            terms: [
                1.0 + yy,
                yx,
                dy - yy * centre_y - yx * centre_x,
                xy,
                1.0 + xx,
                dx - xy * centre_y - xx * centre_x,
            ],
        };
        let Some(back) = increment.inverse() else { return map };
        map = map.after(&back);
        let moved = step.iter().fold(0.0f64, |most, part| most.max(part.abs()));
        if moved < STILL {
            break;
        }
    }
    map
}

/// Central differences.
fn slopes(plane: &[f32], size: Size) -> (Vec<f32>, Vec<f32>) {
    let taps = [-0.5, 0.0, 0.5];
    (super::convolve::vertical(plane, size, &taps), super::convolve::horizontal(plane, size, &taps))
}

/// Solves the symmetric system whose upper triangle and right side (column 6) are given.
fn solve(normal: &mut [[f64; 7]; 6], unknowns: usize) -> Option<[f64; 6]> {
    for row in 0..unknowns {
        for column in 0..row {
            normal[row][column] = normal[column][row];
        }
    }
    for pivot in 0..unknowns {
        if normal[pivot][pivot].abs() < 1e-12 {
            return None;
        }
        for row in pivot + 1..unknowns {
            let factor = normal[row][pivot] / normal[pivot][pivot];
            for column in (pivot..unknowns).chain([6]) {
                normal[row][column] -= factor * normal[pivot][column];
            }
        }
    }
    let mut found = [0.0; 6];
    for row in (0..unknowns).rev() {
        let known: f64 = (row + 1..unknowns).map(|column| normal[row][column] * found[column]).sum();
        found[row] = (normal[row][6] - known) / normal[row][row];
    }
    Some(found)
}

/// The image seen through a map, in the reference's frame (bilinear), and which pixels it covers; the others repeat its border.
///
/// # Panics
/// If the plane is not of that size.
pub fn warp(image: &[f32], size: Size, map: &Affine) -> (Vec<f32>, Vec<bool>) {
    check(image, size);
    let (height, width) = size;
    let (last_y, last_x) = ((height - 1) as f64, (width - 1) as f64);
    let mut values = Vec::with_capacity(image.len());
    let mut covered = Vec::with_capacity(image.len());
    for y in 0..height {
        for x in 0..width {
            let (at_y, at_x) = map.at(y as f64, x as f64);
            let inside = (at_y.clamp(0.0, last_y), at_x.clamp(0.0, last_x));
            covered.push(inside == (at_y, at_x));
            values.push(bilinear(image, size, inside.0, inside.1));
        }
    }
    (values, covered)
}
