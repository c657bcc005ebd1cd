//! Gabor filters (Kumar and Pang 2002): a wave of length lambda and direction theta under a Gaussian, both phases.
//!
//! The Gaussian is round (gamma = 1), which makes the complex filter a product of one along x and one along y,
//! exp(-x^2 / 2 sigma^2) exp(i w x cos theta) and exp(-y^2 / 2 sigma^2) exp(i w y sin theta), for every direction. Mirrored directions
//! theta and pi - theta share all of their passes. The mean of the real part is removed by a Gaussian, which is separable too, so a
//! constant image gives 0.

use super::Size;
use super::convolve::{horizontal, separable, vertical};
use super::edges::magnitude;

/// Standard deviations at which a filter is cut.
const CUT: f64 = 3.0;

/// Standard deviation by wavelength: a bandwidth of one octave.
const SIGMA: f64 = 0.56;

/// One-dimensional factors of a filter: even (cosine) and odd (sine) taps, and the plain Gaussian, which sums to 1.
struct Taps {
    even: Vec<f32>,
    odd: Vec<f32>,
    /// Mean of the wave under the Gaussian: what the even filter answers to a constant.
    mean: f64,
}

fn taps(wavelength: f64, share: f64) -> Taps {
    let sigma = SIGMA * wavelength;
    let radius = (CUT * sigma).ceil() as isize;
    let gauss: Vec<f64> = (-radius..=radius).map(|x| (-0.5 * (x as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = gauss.iter().sum();
    let phase = |x: isize| std::f64::consts::TAU / wavelength * share * x as f64;
    let wave = |of: fn(f64) -> f64| -> Vec<f64> {
        (-radius..=radius).zip(&gauss).map(|(x, gauss)| of(phase(x)) * gauss / sum).collect()
    };
    let (even, odd) = (wave(f64::cos), wave(f64::sin));
    let mean = even.iter().sum();
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    Taps { even: single(even), odd: single(odd), mean }
}

/// Magnitudes of the responses to waves of `wavelength` pixels in `orientations` directions k pi / orientations.
///
/// Filters sum to at most 1 in absolute value under a Gaussian that sums to 1; an image in [0, 1] gives values in [0, 1].
///
/// # Panics
/// If the plane is not of that size.
pub fn magnitudes(plane: &[f32], size: Size, wavelength: f32, orientations: usize) -> Vec<Vec<f32>> {
    let wavelength = f64::from(wavelength);
    let gauss = taps(wavelength, 0.0).even;
    let smooth = separable(plane, size, &gauss, &gauss);
    let mut found = vec![Vec::new(); orientations];
    for index in 0..=orientations / 2 {
        let angle = std::f64::consts::PI * index as f64 / orientations as f64;
        let (along, across) = (taps(wavelength, angle.cos()), taps(wavelength, angle.sin()));
        let (even, odd) = (horizontal(plane, size, &along.even), horizontal(plane, size, &along.odd));
        let even_even = vertical(&even, size, &across.even);
        let odd_odd = vertical(&odd, size, &across.odd);
        let even_odd = vertical(&even, size, &across.odd);
        let odd_even = vertical(&odd, size, &across.even);
        let mean = (along.mean * across.mean) as f32;
        // cos(a + b) = cos a cos b - sin a sin b; the mirrored direction turns the sign of a.
        let pair = |sign: f32| {
            let real: Vec<f32> = even_even
                .iter()
                .zip(&odd_odd)
                .zip(&smooth)
                .map(|((even, odd), smooth)| even - sign * odd - mean * smooth)
                .collect();
            let imaginary: Vec<f32> =
                odd_even.iter().zip(&even_odd).map(|(odd, even)| sign * odd + even).collect();
            magnitude(&real, &imaginary)
        };
        found[index] = pair(1.0);
        if index > 0 && 2 * index != orientations {
            found[orientations - index] = pair(-1.0);
        }
    }
    found
}
