//! Fourier methods: spectral residual, phase-only transform, and spectra of tiles that are learnt from good images.
//!
//! Whole-image transforms taper the border (a cosine over a sixteenth of the side) and pad to sizes without large primes. Learnt
//! spectra work on tiles of T x T pixels that overlap by half under the root of a Hann window, once before and once after the
//! transform: the weights add up to 1, so an image of any size passes unchanged if no frequency is touched. A tile's magnitudes do not
//! depend on where the pattern lies in it, so their mean over good tiles describes the texture.

use super::{Padded, Size, check};
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

type Value = Complex<f32>;

/// Two-dimensional transforms of real images of one size. The half spectrum is stored transposed: (W / 2 + 1) rows of H values.
pub struct Plan {
    size: Size,
    rows: Arc<dyn RealToComplex<f32>>,
    rows_back: Arc<dyn ComplexToReal<f32>>,
    columns: Arc<dyn Fft<f32>>,
    columns_back: Arc<dyn Fft<f32>>,
}

impl Plan {
    /// Transforms of images of `size`.
    pub fn new(size: Size) -> Self {
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        Self {
            size,
            rows: real.plan_fft_forward(size.1),
            rows_back: real.plan_fft_inverse(size.1),
            columns: complex.plan_fft_forward(size.0),
            columns_back: complex.plan_fft_inverse(size.0),
        }
    }

    /// Bins of the half spectrum: (W / 2 + 1) x H.
    pub fn bins(&self) -> usize {
        (self.size.1 / 2 + 1) * self.size.0
    }

    /// The half spectrum of an image, transposed.
    pub fn forward(&self, image: &mut [f32]) -> Vec<Value> {
        let (height, width) = self.size;
        let half = width / 2 + 1;
        let mut line = vec![Value::default(); half];
        let mut scratch = self.rows.make_scratch_vec();
        let mut spectrum = vec![Value::default(); half * height];
        for (y, row) in image.chunks_exact_mut(width).enumerate() {
            // Lengths are the plan's own, which is the sole error.
            let _ = self.rows.process_with_scratch(row, &mut line, &mut scratch);
            for (x, &value) in line.iter().enumerate() {
                spectrum[x * height + y] = value;
            }
        }
        self.columns.process(&mut spectrum);
        spectrum
    }

    /// The image of a half spectrum, divided by H W.
    pub fn inverse(&self, mut spectrum: Vec<Value>) -> Vec<f32> {
        let (height, width) = self.size;
        self.columns_back.process(&mut spectrum);
        let mut line = vec![Value::default(); width / 2 + 1];
        let mut scratch = self.rows_back.make_scratch_vec();
        let mut image = vec![0.0f32; height * width];
        let scale = 1.0 / (height * width) as f32;
        let last = line.len() - 1;
        for (y, row) in image.chunks_exact_mut(width).enumerate() {
            for (x, value) in line.iter_mut().enumerate() {
                *value = spectrum[x * height + y];
            }
            // Rounding leaves something there that the next step does not take.
            line[0].im = 0.0;
            if width.is_multiple_of(2) {
                line[last].im = 0.0;
            }
            let _ = self.rows_back.process_with_scratch(&mut line, row, &mut scratch);
            row.iter_mut().for_each(|value| *value *= scale);
        }
        image
    }

    /// Means of a half spectrum's plane over 3 x 3 bins, wrapping around as spectra do.
    fn means(&self, plane: &[f32]) -> Vec<f32> {
        let (height, width) = self.size;
        let half = width / 2 + 1;
        // Bins beyond the half are those of the opposite frequency, whose magnitude is the same.
        let opposite = |x: usize, y: usize| plane[x * height + (height - y) % height];
        let value = |x: isize, y: usize| match x {
            -1 => opposite(1 % half.max(1), y),
            x if (x as usize) < half => plane[x as usize * height + y],
            x => opposite((width - x as usize) % width, y),
        };
        let mut across = vec![0.0f32; plane.len()];
        for x in 0..half {
            let target = &mut across[x * height..][..height];
            if x > 0 && x + 1 < half {
                let row = |x: usize| &plane[x * height..][..height];
                for (y, target) in target.iter_mut().enumerate() {
                    *target = row(x - 1)[y] + row(x)[y] + row(x + 1)[y];
                }
            } else {
                for (y, target) in target.iter_mut().enumerate() {
                    let x = x as isize;
                    *target = value(x - 1, y) + value(x, y) + value(x + 1, y);
                }
            }
        }
        let mut means = vec![0.0f32; plane.len()];
        for (target, row) in means.chunks_exact_mut(height).zip(across.chunks_exact(height)) {
            for y in 0..height {
                target[y] = (row[(y + height - 1) % height] + row[y] + row[(y + 1) % height]) / 9.0;
            }
        }
        means
    }
}

/// What magnitudes are floored at before their logarithm.
const FLOOR: f32 = 1e-8;

/// The saliency of Hou and Zhang (CVPR 2007): |IFFT(exp(R + i phase))|^2, R = L - mean3x3(L), L = ln(|F| + 1e-8). Not smoothed.
///
/// The image is taken as it is; see [`tapered`].
///
/// # Panics
/// If the plane is not of the plan's size.
pub fn spectral_residual(plane: &[f32], plan: &Plan) -> Vec<f32> {
    check(plane, plan.size);
    let mut spectrum = plan.forward(&mut plane.to_vec());
    let logarithms: Vec<f32> = spectrum.iter().map(|value| (value.norm_sqr().sqrt() + FLOOR).ln()).collect();
    for ((value, &own), mean) in spectrum.iter_mut().zip(&logarithms).zip(plan.means(&logarithms)) {
        // exp(L - mean) in the phase of the value: the magnitude |F| + 1e-8 is exp(L).
        let length = value.norm_sqr().sqrt();
        let scale = (own - mean).exp() / length.max(f32::MIN_POSITIVE);
        *value = if length > 0.0 { *value * scale } else { Value::new((own - mean).exp(), 0.0) };
    }
    let mut saliency = plan.inverse(spectrum);
    saliency.iter_mut().for_each(|value| *value *= *value);
    saliency
}

/// The phase-only transform of Aiger and Talbot (2010): IFFT(F / (|F| + 1e-12)). What repeats vanishes. Not smoothed, with sign.
///
/// # Panics
/// If the plane is not of the plan's size.
pub fn phase_only(plane: &[f32], plan: &Plan) -> Vec<f32> {
    check(plane, plan.size);
    let mut spectrum = plan.forward(&mut plane.to_vec());
    for value in &mut spectrum {
        *value /= value.norm_sqr().sqrt() + 1e-12;
    }
    plan.inverse(spectrum)
}

/// The least size of at least `length` without a prime factor above 5.
pub fn smooth_length(length: usize) -> usize {
    let is_smooth = |mut n: usize| {
        for prime in [2, 3, 5] {
            while n.is_multiple_of(prime) {
                n /= prime;
            }
        }
        n == 1
    };
    (length.max(1)..).find(|&n| is_smooth(n)).unwrap_or(length)
}

/// The image less its mean, faded out at its border and padded with zeros to smooth lengths, so that the border makes no cross in the
/// spectrum; with the padded size.
///
/// # Panics
/// If the plane is not of that size.
pub fn tapered(plane: &[f32], (height, width): Size) -> (Vec<f32>, Size) {
    check(plane, (height, width));
    let padded = (smooth_length(height), smooth_length(width));
    let mean = (plane.iter().map(|&value| f64::from(value)).sum::<f64>() / plane.len() as f64) as f32;
    let fade = |length: usize| -> Vec<f32> {
        let margin = (length / 16).max(1) as f32;
        let weight = |at: usize| {
            let inside = (at.min(length - 1 - at) as f32 + 0.5) / margin;
            if inside < 1.0 { 0.5 - 0.5 * (std::f32::consts::PI * inside).cos() } else { 1.0 }
        };
        (0..length).map(weight).collect()
    };
    let (rows, columns) = (fade(height), fade(width));
    let mut image = vec![0.0f32; padded.0 * padded.1];
    for (y, (target, row)) in image.chunks_exact_mut(padded.1).zip(plane.chunks_exact(width)).enumerate() {
        for ((target, value), weight) in target.iter_mut().zip(row).zip(&columns) {
            *target = (value - mean) * weight * rows[y];
        }
    }
    (image, padded)
}

/// Overlapping tiles of an image, and their spectra.
pub struct Tiles {
    side: usize,
    plan: Plan,
    /// Root of the Hann window, side values.
    window: Vec<f32>,
}

impl Tiles {
    /// Tiles of `side` x `side` pixels (even) every `side` / 2 pixels.
    pub fn new(side: usize) -> Self {
        let window =
            (0..side).map(|at| (std::f32::consts::PI * (at as f32 + 0.5) / side as f32).sin()).collect();
        Self { side, plan: Plan::new((side, side)), window }
    }

    /// Bins of a tile's half spectrum.
    pub fn bins(&self) -> usize {
        self.plan.bins()
    }

    /// Calls `each` with the logarithms ln(|F| + 0.01) of every tile; the floor keeps what is empty from ruling the mean.
    ///
    /// # Panics
    /// If the plane is not of that size.
    pub fn logarithms(&self, plane: &[f32], size: Size, mut each: impl FnMut(&[f32])) {
        self.for_each(plane, size, |spectrum, _| {
            let logarithms: Vec<f32> =
                spectrum.iter().map(|value| (value.norm_sqr().sqrt() + TILE_FLOOR).ln()).collect();
            each(&logarithms);
        });
    }

    /// The image with every bin of every tile's spectrum multiplied by its weight, put together again.
    ///
    /// # Panics
    /// If the plane is not of that size or the weights are not one a bin.
    pub fn filter(&self, plane: &[f32], (height, width): Size, weights: &[f32]) -> Vec<f32> {
        assert_eq!(weights.len(), self.bins(), "a weight a bin");
        let mut out = vec![0.0f32; height * width];
        let half = self.side as isize / 2;
        self.for_each(plane, (height, width), |spectrum, (top, left)| {
            let weighted = spectrum.iter().zip(weights).map(|(value, weight)| value * weight).collect();
            let tile = self.plan.inverse(weighted);
            for (y, row) in tile.chunks_exact(self.side).enumerate() {
                let at = top * half + y as isize - half;
                if !(0..height as isize).contains(&at) {
                    continue;
                }
                let target = &mut out[at as usize * width..][..width];
                let start = left * half - half;
                let skip = (-start).max(0) as usize;
                let first = start.max(0) as usize;
                let values = row.iter().zip(&self.window).skip(skip);
                for (target, (value, weight)) in target[first.min(width)..].iter_mut().zip(values) {
                    *target += value * weight * self.window[y];
                }
            }
        });
        out
    }

    /// Calls `each` with the spectrum and the place (in half tiles) of every tile; the image is mirrored beyond its border.
    fn for_each(&self, plane: &[f32], (height, width): Size, mut each: impl FnMut(&[Value], (isize, isize))) {
        let half = self.side / 2;
        let padded = Padded::mirrored(plane, (height, width), self.side);
        let mut tile = vec![0.0f32; self.side * self.side];
        for top in 0..height.div_ceil(half) + 1 {
            for left in 0..width.div_ceil(half) + 1 {
                for (y, target) in tile.chunks_exact_mut(self.side).enumerate() {
                    let row = padded.row(
                        0,
                        (top * half + y) as isize - half as isize,
                        left as isize * half as isize - half as isize,
                        self.side,
                    );
                    for ((target, value), weight) in target.iter_mut().zip(row).zip(&self.window) {
                        *target = value * weight * self.window[y];
                    }
                }
                let spectrum = self.plan.forward(&mut tile);
                each(&spectrum, (top as isize, left as isize));
            }
        }
    }
}

/// Floor of a tile's magnitudes: far below a grey level's, far above rounding.
const TILE_FLOOR: f32 = 1e-2;
