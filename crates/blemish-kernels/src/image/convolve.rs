//! Separable correlation.

use super::{Size, check};
use crate::map::Border;
use crate::simd::{Kernel, LANES, Lanes, widest};

/// Vectors of results that are summed side by side, to hide latency.
const SIDE: usize = 4;

/// Correlates columns with `vertical` and rows with `horizontal` (odd lengths, centred), the image mirrored beyond its border.
///
/// Each sum runs over the taps in order with fused multiply-add, so the bits are the same on every machine.
///
/// # Panics
/// If the plane is not of that size or a filter has an even number of taps.
pub fn separable(plane: &[f32], size: Size, vertical: &[f32], horizontal: &[f32]) -> Vec<f32> {
    check(plane, size);
    assert!(vertical.len() % 2 == 1 && horizontal.len() % 2 == 1, "filters have a centre");
    widest(Separable { plane, size, vertical, horizontal })
}

/// Correlates columns alone.
///
/// # Panics
/// As [`separable`].
pub fn vertical(plane: &[f32], size: Size, taps: &[f32]) -> Vec<f32> {
    separable(plane, size, taps, &[1.0])
}

/// Correlates rows alone.
///
/// # Panics
/// As [`separable`].
pub fn horizontal(plane: &[f32], size: Size, taps: &[f32]) -> Vec<f32> {
    separable(plane, size, &[1.0], taps)
}

/// A Gaussian blur of standard deviation `sigma`, cut at 4 sigma; nothing for 0.
///
/// # Panics
/// If the plane is not of that size.
pub fn blur(plane: &[f32], size: Size, sigma: f32) -> Vec<f32> {
    if sigma <= 0.0 {
        return plane.to_vec();
    }
    let taps = crate::map::gaussian_weights(sigma);
    separable(plane, size, &taps, &taps)
}

struct Separable<'a> {
    plane: &'a [f32],
    size: Size,
    vertical: &'a [f32],
    horizontal: &'a [f32],
}

impl Kernel for Separable<'_> {
    type Output = Vec<f32>;

    /// A row at a time: down the columns into a row that stays in the cache, then along it.
    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        let (height, width) = self.size;
        let (above, aside) = (self.vertical.len() / 2, self.horizontal.len() / 2);
        let fold = |at: usize, reach: usize, length: usize| {
            Border::Mirror.fold(at as isize - reach as isize, length)
        };
        let rows: Vec<&[f32]> =
            (0..height + 2 * above).map(|y| &self.plane[fold(y, above, height) * width..][..width]).collect();
        let margin: Vec<(usize, usize)> =
            (0..aside).map(|x| (fold(x, aside, width), fold(width + aside + x, aside, width))).collect();
        let mut line = vec![0.0f32; width + 2 * aside];
        let mut target = vec![0.0f32; self.plane.len()];
        for (y, target) in target.chunks_exact_mut(width).enumerate() {
            let middle = &mut line[aside..aside + width];
            match self.vertical {
                [one] if *one == 1.0 => middle.copy_from_slice(rows[y]),
                taps => weighted::<V>(middle, taps, &rows[y..y + taps.len()]),
            }
            for (x, &(left, right)) in margin.iter().enumerate() {
                line[x] = line[aside + left];
                line[aside + width + x] = line[aside + right];
            }
            match self.horizontal {
                [one] if *one == 1.0 => target.copy_from_slice(&line),
                taps => {
                    let shifted: Vec<&[f32]> = (0..taps.len()).map(|tap| &line[tap..tap + width]).collect();
                    weighted::<V>(target, taps, &shifted);
                }
            }
        }
        target
    }
}

/// target\[x\] = sum over the taps of weight x source\[x\]; sources are as long as the target.
#[inline(always)]
fn weighted<V: Lanes>(target: &mut [f32], taps: &[f32], sources: &[&[f32]]) {
    const BLOCK: usize = SIDE * LANES;
    let (blocks, rest) = target.as_chunks_mut::<BLOCK>();
    let first = blocks.len() * BLOCK;
    for (block, target) in blocks.iter_mut().enumerate() {
        let mut sums = [V::splat(0.0); SIDE];
        for (source, &weight) in sources.iter().zip(taps) {
            let Some(source) = source[block * BLOCK..].first_chunk::<BLOCK>() else { continue };
            let weight = V::splat(weight);
            for (sum, chunk) in sums.iter_mut().zip(source.as_chunks::<LANES>().0) {
                *sum = V::load(chunk).mul_add(weight, *sum);
            }
        }
        for (target, sum) in target.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
            *target = sum.store();
        }
    }
    for (index, target) in rest.chunks_mut(LANES).enumerate() {
        let at = first + index * LANES;
        let mut sum = V::splat(0.0);
        for (source, &weight) in sources.iter().zip(taps) {
            let mut chunk = [0.0; LANES];
            chunk[..target.len()].copy_from_slice(&source[at..at + target.len()]);
            sum = V::load(&chunk).mul_add(V::splat(weight), sum);
        }
        target.copy_from_slice(&sum.store()[..target.len()]);
    }
}
