//! Undecimated (a trous) orthonormal wavelets: Haar and Daubechies' filter of four taps ("Daubechies-4", called db2 in some libraries).
//!
//! Level j filters with taps 2^(j - 1) apart, so all bands keep the image's size and move with it. Band energies are features of a
//! texture; what a band contributes to the image is its analysis followed by the mirrored synthesis, and all contributions add up to
//! the image again.

use super::Size;
use super::convolve::separable;

/// A wavelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wavelet {
    /// Two taps: averages and differences of neighbours.
    Haar,
    /// Four taps: ramps vanish too.
    Daubechies,
}

/// Details of one level. Horizontal details are differences down the columns (they show horizontal lines), vertical ones along rows.
#[derive(Clone, Debug)]
pub struct Details {
    /// Low-pass along rows, high-pass down columns.
    pub horizontal: Vec<f32>,
    /// High-pass along rows, low-pass down columns.
    pub vertical: Vec<f32>,
    /// High-pass both ways.
    pub diagonal: Vec<f32>,
}

impl Details {
    /// The three bands.
    pub fn bands(&self) -> [&[f32]; 3] {
        [&self.horizontal, &self.vertical, &self.diagonal]
    }
}

impl Wavelet {
    /// Low-pass taps: sum sqrt 2, sum of squares 1.
    pub fn low_pass(self) -> Vec<f32> {
        match self {
            Self::Haar => vec![std::f32::consts::FRAC_1_SQRT_2; 2],
            Self::Daubechies => {
                let (q, scale) = (3.0f64.sqrt(), 4.0 * 2.0f64.sqrt());
                [1.0 + q, 3.0 + q, 3.0 - q, 1.0 - q].map(|tap| (tap / scale) as f32).to_vec()
            }
        }
    }

    /// High-pass taps: (-1)^k times the low-pass ones in reverse order.
    pub fn high_pass(self) -> Vec<f32> {
        let low = self.low_pass();
        let sign = |at: usize| if at.is_multiple_of(2) { 1.0 } else { -1.0 };
        low.iter().rev().enumerate().map(|(at, tap)| sign(at) * tap).collect()
    }

    /// Details of levels 1 to `levels`, and what is left.
    ///
    /// # Panics
    /// If the plane is not of that size.
    pub fn transform(self, plane: &[f32], size: Size, levels: usize) -> (Vec<Details>, Vec<f32>) {
        let mut rest = plane.to_vec();
        let details = (0..levels)
            .map(|level| {
                let (low, high) =
                    (spread(&self.low_pass(), level, false), spread(&self.high_pass(), level, false));
                let details = Details {
                    horizontal: separable(&rest, size, &high, &low),
                    vertical: separable(&rest, size, &low, &high),
                    diagonal: separable(&rest, size, &high, &high),
                };
                rest = separable(&rest, size, &low, &low);
                details
            })
            .collect();
        (details, rest)
    }

    /// What each band contributes to the image, level by level (horizontal, vertical, diagonal), and last what the rest contributes.
    /// Their sum is the image, but for a margin as wide as the filters.
    ///
    /// # Panics
    /// If the plane is not of that size.
    pub fn contributions(self, plane: &[f32], size: Size, levels: usize) -> Vec<Vec<f32>> {
        let (details, rest) = self.transform(plane, size, levels);
        let (low, high) = (self.low_pass(), self.high_pass());
        // Down the levels: mirrored taps, a quarter a level since nothing was decimated.
        let back = |band: &[f32], level: usize, vertical: &[f32], horizontal: &[f32]| {
            let mut band =
                separable(band, size, &spread(vertical, level, true), &spread(horizontal, level, true));
            for lower in (0..level).rev() {
                let taps = spread(&low, lower, true);
                band = separable(&band, size, &taps, &taps);
            }
            let scale = 0.25f32.powi(level as i32 + 1);
            band.iter_mut().for_each(|value| *value *= scale);
            band
        };
        let mut all = Vec::with_capacity(3 * levels + 1);
        for (level, details) in details.iter().enumerate() {
            all.push(back(&details.horizontal, level, &high, &low));
            all.push(back(&details.vertical, level, &low, &high));
            all.push(back(&details.diagonal, level, &high, &high));
        }
        if levels > 0 {
            all.push(back(&rest, levels - 1, &low, &low));
        }
        all
    }
}

/// Taps 2^level apart, filled up with zeros to an odd length whose centre is tap n / 2 - 1; or, mirrored, their adjoint.
fn spread(taps: &[f32], level: usize, is_mirrored: bool) -> Vec<f32> {
    let gap = 1 << level;
    let (before, after) = (taps.len() / 2 - 1, taps.len() / 2);
    let mut filter = vec![0.0; 2 * after.max(before) * gap + 1];
    let centre = filter.len() / 2;
    for (at, &tap) in taps.iter().enumerate() {
        let offset = (at as isize - before as isize) * gap as isize;
        let offset = if is_mirrored { -offset } else { offset };
        filter[centre.strict_add_signed(offset)] = tap;
    }
    filter
}
