//! Edges: Sobel gradients, the Laplacian of Gaussian, and Canny's thin, connected edges (Canny, PAMI 1986).

use super::convolve::{blur, separable};
use super::{Size, check};
use crate::map::Border;
use crate::simd::{Kernel, Lanes, widest};

/// Sobel's derivatives (d/dy, d/dx): taps 1 2 1 across and -1 0 1 along.
///
/// # Panics
/// If the plane is not of that size.
pub fn sobel(plane: &[f32], size: Size) -> (Vec<f32>, Vec<f32>) {
    let (smooth, slope) = ([1.0, 2.0, 1.0], [-1.0, 0.0, 1.0]);
    (separable(plane, size, &slope, &smooth), separable(plane, size, &smooth, &slope))
}

/// Length of Sobel's gradient; 4 beside a unit step.
///
/// # Panics
/// If the plane is not of that size.
pub fn sobel_magnitude(plane: &[f32], size: Size) -> Vec<f32> {
    let (dy, dx) = sobel(plane, size);
    magnitude(&dy, &dx)
}

/// sqrt(a^2 + b^2), value by value.
///
/// # Panics
/// If the lengths differ.
pub fn magnitude(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "two parts of one vector field");
    widest(Magnitude(a, b))
}

struct Magnitude<'a>(&'a [f32], &'a [f32]);

impl Kernel for Magnitude<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        self.0.iter().zip(self.1).map(|(a, b)| (a * a + b * b).sqrt()).collect()
    }
}

/// The Laplacian with four neighbours: their sum less four times the pixel.
///
/// # Panics
/// If the plane is not of that size.
pub fn laplacian(plane: &[f32], size: Size) -> Vec<f32> {
    check(plane, size);
    widest(Laplacian { plane, size })
}

struct Laplacian<'a> {
    plane: &'a [f32],
    size: Size,
}

impl Kernel for Laplacian<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        let (height, width) = self.size;
        let fold = |at: usize, length: usize| Border::Mirror.fold(at as isize - 1, length);
        let row = |y: usize| &self.plane[fold(y, height) * width..][..width];
        let mut out = Vec::with_capacity(self.plane.len());
        for y in 0..height {
            let (up, here, down) = (row(y), row(y + 1), row(y + 2));
            let one = |x: usize| {
                (up[x] + down[x]) + (here[fold(x, width)] + here[fold(x + 2, width)]) - 4.0 * here[x]
            };
            out.push(one(0));
            let sides = here.iter().zip(here.iter().skip(2)).zip(here.iter().skip(1));
            let others = up.iter().zip(down).skip(1);
            out.extend(
                sides
                    .zip(others)
                    .map(|(((left, right), middle), (up, down))| (up + down) + (left + right) - 4.0 * middle),
            );
            if width > 1 {
                out.push(one(width - 1));
            }
        }
        out
    }
}

/// sigma^2 times the Laplacian of the image blurred by `sigma`: spots and lines about sigma wide answer alike at every scale.
///
/// # Panics
/// If the plane is not of that size.
pub fn laplacian_of_gaussian(plane: &[f32], size: Size, sigma: f32) -> Vec<f32> {
    // The two commute on a mirrored image, and differences taken first lose fewer digits.
    let mut response = blur(&laplacian(plane, size), size, sigma);
    response.iter_mut().for_each(|value| *value *= sigma * sigma);
    response
}

/// Canny's edges from derivatives: maxima of the gradient's length across the edge, at least `low` and connected (eight neighbours)
/// to one above `high`.
///
/// The direction across is rounded to a multiple of 45 degrees, ties between two equal neighbours go to the first; pixels on the
/// image's border are no edges unless they are maxima against the absent neighbour's 0. Equals OpenCV's `Canny` with `L2gradient`.
///
/// # Panics
/// If the derivatives are not of that size.
pub fn canny(dy: &[f32], dx: &[f32], size: Size, low: f32, high: f32) -> Vec<bool> {
    check(dy, size);
    check(dx, size);
    let (height, width) = size;
    let strength = magnitude(dy, dx);
    let at = |y: isize, x: isize| {
        let inside = y >= 0 && x >= 0 && y < height as isize && x < width as isize;
        if inside { strength[y as usize * width + x as usize] } else { 0.0 }
    };
    // tan 22.5 degrees
    let flat = std::f32::consts::SQRT_2 - 1.0;
    let mut kept = vec![0u8; strength.len()];
    let mut waiting = Vec::new();
    for y in 0..height as isize {
        for x in 0..width as isize {
            let index = y as usize * width + x as usize;
            let here = strength[index];
            if here <= low {
                continue;
            }
            let (gy, gx) = (dy[index].abs(), dx[index].abs());
            let is_maximum = if gy < gx * flat {
                here > at(y, x - 1) && here >= at(y, x + 1)
            } else if gy > gx * (flat + 2.0) {
                here > at(y - 1, x) && here >= at(y + 1, x)
            } else {
                let side = if (dy[index] < 0.0) != (dx[index] < 0.0) { -1 } else { 1 };
                here > at(y - 1, x - side) && here > at(y + 1, x + side)
            };
            if is_maximum {
                kept[index] = 1;
                if here > high {
                    kept[index] = 2;
                    waiting.push(index);
                }
            }
        }
    }
    while let Some(index) = waiting.pop() {
        let (y, x) = (index / width, index % width);
        for near_y in y.saturating_sub(1)..(y + 2).min(height) {
            for near_x in x.saturating_sub(1)..(x + 2).min(width) {
                let near = near_y * width + near_x;
                if kept[near] == 1 {
                    kept[near] = 2;
                    waiting.push(near);
                }
            }
        }
    }
    kept.into_iter().map(|kept| kept == 2).collect()
}
