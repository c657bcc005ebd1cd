//! Gaussian blur.

use crate::simd::{Kernel, Lanes, widest};

/// What a blur sees beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// The mirror image with the edge pixel repeated (d c b a | a b c d); scipy calls it "reflect".
    Repeat,
    /// The mirror image without repeating the edge pixel (d c b | a b c d); PyTorch calls it "reflect".
    Mirror,
}

impl Border {
    /// The pixel of a line of `length` that stands for position `index`, however far outside.
    pub(crate) fn fold(self, index: isize, length: usize) -> usize {
        let length = length as isize;
        let (period, last) = match self {
            Self::Repeat => (2 * length, 2 * length - 1),
            Self::Mirror if length == 1 => return 0,
            Self::Mirror => (2 * length - 2, 2 * length - 2),
        };
        let index = index.rem_euclid(period);
        (if index < length { index } else { last - index }) as usize
    }
}

/// The weights of a Gaussian cut at 4 sigma: 2 int(4 sigma + 0.5) + 1 values with sum 1.
pub fn gaussian_weights(sigma: f32) -> Vec<f32> {
    let radius = (4.0 * f64::from(sigma) + 0.5) as isize;
    let weight = |offset: isize| (-0.5 * (offset as f64 / f64::from(sigma)).powi(2)).exp();
    let weights: Vec<f64> = (-radius..=radius).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

/// The blur of [`gaussian_blur`] along a line of `length` values as a matrix, `length` x `length`: a row holds the weights of a blurred value.
///
/// # Panics
/// If `length` is 0 or `sigma` is not above 0.
pub fn blur_matrix(length: usize, sigma: f32, border: Border) -> Vec<f32> {
    assert!(length > 0 && sigma > 0.0, "a blur has a width");
    let weights = gaussian_weights(sigma);
    let radius = weights.len() / 2;
    let mut matrix = vec![0.0f64; length * length];
    for (at, row) in matrix.chunks_exact_mut(length).enumerate() {
        for (offset, &weight) in weights.iter().enumerate() {
            row[border.fold((at + offset) as isize - radius as isize, length)] += f64::from(weight);
        }
    }
    matrix.into_iter().map(|weight| weight as f32).collect()
}

/// Blurs a map of (height, width) with a Gaussian of standard deviation `sigma` in pixels, cut at 4 sigma.
///
/// # Panics
/// If the length of `map` is not that of `size`, or `sigma` is not above 0.
pub fn gaussian_blur(map: &[f32], size: (usize, usize), sigma: f32, border: Border) -> Vec<f32> {
    assert_eq!(map.len(), size.0 * size.1, "a map has height x width values");
    assert!(sigma > 0.0, "a blur has a width");
    widest(Blur { map, size, weights: &gaussian_weights(sigma), border })
}

struct Blur<'a> {
    map: &'a [f32],
    size: (usize, usize),
    weights: &'a [f32],
    border: Border,
}

impl Kernel for Blur<'_> {
    type Output = Vec<f32>;

    /// Rows first, then columns. The compiler widens the plain loops to the vectors of the machine; every pixel's sum runs over the
    /// weights in one order, so the bits are the same on all.
    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<f32> {
        let (height, width) = self.size;
        let radius = self.weights.len() / 2;
        let fold = |index: usize, length: usize| self.border.fold(index as isize - radius as isize, length);
        let columns: Vec<usize> = (0..width + 2 * radius).map(|x| fold(x, width)).collect();
        let mut padded = vec![0.0f32; columns.len()];
        let mut across = vec![0.0f32; self.map.len()];
        for (row, target) in self.map.chunks_exact(width.max(1)).zip(across.chunks_exact_mut(width.max(1))) {
            for (value, &column) in padded.iter_mut().zip(&columns) {
                *value = row[column];
            }
            for (offset, &weight) in self.weights.iter().enumerate() {
                add_scaled(target, &padded[offset..offset + width], weight);
            }
        }
        let mut blurred = vec![0.0f32; self.map.len()];
        for (y, target) in blurred.chunks_exact_mut(width.max(1)).enumerate() {
            for (offset, &weight) in self.weights.iter().enumerate() {
                let near = fold(y + offset, height);
                add_scaled(target, &across[near * width..][..width], weight);
            }
        }
        blurred
    }
}

#[inline(always)]
fn add_scaled(target: &mut [f32], source: &[f32], weight: f32) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += weight * source;
    }
}
