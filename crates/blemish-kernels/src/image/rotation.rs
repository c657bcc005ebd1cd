//! Rotation about the centre on the same canvas, and reduction to every second or fourth pixel; of both, what brings gradients back.
//!
//! Pixels are points at whole coordinates, the centre is that of the outermost ones, and angles turn counter-clockwise. Multiples of 90
//! degrees lose nothing on a square canvas.

use super::registration::{Affine, warp};
use super::{Size, check};

/// What lies outside the canvas before the rotation.
const OUTSIDE: u32 = u32::MAX;

/// A rotation by nearest neighbours, whose corners are 0; one for all planes of a size.
pub struct Rotation {
    /// For each pixel the one it is taken from.
    sources: Vec<u32>,
    size: Size,
}

/// From a pixel of the rotated canvas to where it was before.
fn origin((height, width): Size, degrees: f64) -> Affine {
    // Quarter turns are exact.
    let exact = |value: f64| if value.abs() < 1e-15 { 0.0 } else { value };
    let (sin, cos) = (exact(degrees.to_radians().sin()), exact(degrees.to_radians().cos()));
    let (y, x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
    Affine { terms: [cos, sin, y - cos * y - sin * x, -sin, cos, x + sin * y - cos * x] }
}

impl Rotation {
    /// By an angle in degrees.
    pub fn new((height, width): Size, degrees: f64) -> Self {
        let map = origin((height, width), degrees);
        let mut sources = Vec::with_capacity(height * width);
        for y in 0..height {
            for x in 0..width {
                let (at_y, at_x) = map.at(y as f64, x as f64);
                let (at_y, at_x) = (at_y.round_ties_even(), at_x.round_ties_even());
                let is_inside = at_y >= 0.0 && at_x >= 0.0 && at_y < height as f64 && at_x < width as f64;
                let source = at_y as usize * width + at_x as usize;
                sources.push(if is_inside { source as u32 } else { OUTSIDE });
            }
        }
        Self { sources, size: (height, width) }
    }

    /// Appends the rotated plane to `out`.
    ///
    /// # Panics
    /// If the plane is not of the size this was made for.
    pub fn apply(&self, plane: &[f32], out: &mut Vec<f32>) {
        check(plane, self.size);
        // The value for the corners lies beyond the end of the plane.
        out.extend(self.sources.iter().map(|&source| plane.get(source as usize).copied().unwrap_or(0.0)));
    }
}

/// The plane before a rotation by `degrees`: turned back, bilinear, 0 where nothing is known.
///
/// # Panics
/// If the plane is not of that size.
pub fn rotate_back(plane: &[f32], size: Size, degrees: f64) -> Vec<f32> {
    let (mut values, covered) = warp(plane, size, &origin(size, -degrees));
    values.iter_mut().zip(covered).filter(|(_, covered)| !covered).for_each(|(value, _)| *value = 0.0);
    values
}

/// Size after [`thin`].
pub fn thinned((height, width): Size, step: usize) -> Size {
    (height / step, width / step)
}

/// Appends every `step`-th pixel of every `step`-th row to `out`, from the first on: nearest reduction by a whole factor.
///
/// # Panics
/// If the plane is not of that size.
pub fn thin(plane: &[f32], size: Size, step: usize, out: &mut Vec<f32>) {
    check(plane, size);
    let (height, width) = thinned(size, step);
    for row in plane.chunks_exact(size.1).step_by(step).take(height) {
        out.extend(row.iter().step_by(step).take(width));
    }
}

/// Adds a thinned plane to the pixels it was taken from: the transpose of [`thin`].
///
/// # Panics
/// If the planes are not of these sizes.
pub fn add_thinned(thin: &[f32], step: usize, plane: &mut [f32], size: Size) {
    check(plane, size);
    let (height, width) = thinned(size, step);
    check(thin, (height, width));
    for (row, thin) in plane.chunks_exact_mut(size.1).step_by(step).zip(thin.chunks_exact(width)) {
        row.iter_mut().step_by(step).zip(thin).for_each(|(value, thin)| *value += thin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotated(plane: &[f32], size: Size, degrees: f64) -> Vec<f32> {
        let mut out = Vec::new();
        Rotation::new(size, degrees).apply(plane, &mut out);
        out
    }

    #[test]
    fn quarter_turns_are_exact_and_counter_clockwise() {
        let plane = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(rotated(&plane, (2, 2), 0.0), plane);
        assert_eq!(rotated(&plane, (2, 2), 90.0), [2.0, 4.0, 1.0, 3.0]);
        assert_eq!(rotated(&plane, (2, 2), -180.0), [4.0, 3.0, 2.0, 1.0]);
        let plane: Vec<f32> = (0..36).map(|i| i as f32 + 1.0).collect();
        for degrees in [90.0, 180.0, 270.0, -90.0] {
            assert_eq!(rotate_back(&rotated(&plane, (6, 6), degrees), (6, 6), degrees), plane);
        }
    }

    #[test]
    fn corners_are_zero() {
        let turned = rotated(&[1.0; 81], (9, 9), 45.0);
        assert_eq!([turned[0], turned[8], turned[72], turned[80]], [0.0; 4]);
        assert_eq!(turned[40], 1.0);
        // An upright canvas, turned by 90 degrees, loses its ends.
        assert_eq!(rotated(&[1.0, 2.0, 3.0], (3, 1), 90.0), [0.0, 2.0, 0.0]);
    }

    #[test]
    fn turning_back_finds_a_smooth_spot() {
        let size = (41, 33);
        let spot = |y: f64, x: f64| (-((y - 27.0).powi(2) + (x - 12.0).powi(2)) / 18.0).exp() as f32;
        let plane: Vec<f32> = (0..41 * 33).map(|i| spot((i / 33) as f64, (i % 33) as f64)).collect();
        let back = rotate_back(&rotated(&plane, size, 33.0), size, 33.0);
        let worst = back.iter().zip(&plane).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(worst < 0.15, "{worst}");
    }

    #[test]
    fn thinning_takes_every_nth_pixel_and_its_transpose_puts_it_back() {
        let plane: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let mut out = Vec::new();
        thin(&plane, (4, 5), 2, &mut out);
        assert_eq!(out, [0.0, 2.0, 10.0, 12.0]);
        let mut sum = vec![1.0; 20];
        add_thinned(&out, 2, &mut sum, (4, 5));
        let expected = (0..20).map(|i| if [2, 10, 12].contains(&i) { i as f32 + 1.0 } else { 1.0 });
        assert!(sum.into_iter().eq(expected));
    }
}
