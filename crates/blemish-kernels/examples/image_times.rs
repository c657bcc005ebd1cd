//! CPU milliseconds of filters on 256 x 256 pixels, one thread, as JSON: medians over rounds. For `benches/classical/compare.py`.

use blemish_kernels::image::binary_patterns::uniform_patterns;
use blemish_kernels::image::convolve::blur;
use blemish_kernels::image::cooccurrence;
use blemish_kernels::image::edges::{canny, laplacian, laplacian_of_gaussian, sobel, sobel_magnitude};
use blemish_kernels::image::fourier::{Plan, phase_only, spectral_residual, tapered};
use blemish_kernels::image::gabor::magnitudes;
use blemish_kernels::image::morphology::{Element, open};
use blemish_kernels::image::registration::{Motion, register};
use blemish_kernels::image::wavelet::Wavelet;
use blemish_kernels::image::windows::{Windows, equal_bins, quantise};
use std::hint::black_box;
use std::time::Instant;

const SIZE: (usize, usize) = (256, 256);

/// Least time over repetitions: what the machine takes when nobody else is at work.
fn milliseconds(repeats: usize, mut work: impl FnMut()) -> f64 {
    work();
    let once = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..repeats).map(once).fold(f64::INFINITY, f64::min)
}

fn main() {
    // The same picture as in compare.py.
    let picture: Vec<f32> =
        (0..SIZE.0 * SIZE.1).map(|i| ((i * 7919 + i * i % 613) % 251) as f32 / 255.0).collect();
    let moved: Vec<f32> =
        (0..SIZE.0 * SIZE.1).map(|i| picture[(i + 3 * SIZE.1 + 2) % picture.len()]).collect();
    let (soft, soft_moved) = (blur(&picture, SIZE, 3.0), blur(&moved, SIZE, 3.0));
    let edges: Vec<f32> = (1..16).map(|level| level as f32 / 16.0).collect();
    let Ok(windows) = Windows::new(24, 8) else { return };
    let image = picture.as_slice();
    let times = [
        (
            "histogram",
            milliseconds(200, || {
                black_box(windows.histograms(&equal_bins(image, 64), SIZE, 64));
            }),
        ),
        ("sobel", milliseconds(200, || drop(black_box(sobel_magnitude(image, SIZE))))),
        ("laplacian", milliseconds(200, || drop(black_box(laplacian(image, SIZE))))),
        (
            "laplacian_of_gaussian",
            milliseconds(200, || {
                drop(black_box(laplacian_of_gaussian(image, SIZE, 2.0)));
            }),
        ),
        (
            "canny",
            milliseconds(50, || {
                let (dy, dx) = sobel(&blur(image, SIZE, 1.4), SIZE);
                black_box(canny(&dy, &dx, SIZE, 0.1, 0.25));
            }),
        ),
        ("gabor", milliseconds(20, || drop(black_box(magnitudes(image, SIZE, 8.0, 8))))),
        ("wavelet", milliseconds(50, || drop(black_box(Wavelet::Haar.transform(image, SIZE, 3))))),
        ("opening", milliseconds(100, || drop(black_box(open(image, SIZE, &Element::disc(5)))))),
        ("lbp", milliseconds(50, || drop(black_box(uniform_patterns(image, SIZE, 24, 3.0, 0.0))))),
        (
            "glcm",
            milliseconds(10, || {
                let labels = quantise(image, &edges);
                black_box(cooccurrence::features(&labels, SIZE, 16, &[1], windows));
            }),
        ),
        (
            "spectral_residual",
            milliseconds(100, || {
                let (faded, padded) = tapered(image, SIZE);
                black_box(spectral_residual(&faded, &Plan::new(padded)));
            }),
        ),
        (
            "phase_only",
            milliseconds(100, || {
                let (faded, padded) = tapered(image, SIZE);
                black_box(phase_only(&faded, &Plan::new(padded)));
            }),
        ),
        (
            "registration",
            milliseconds(5, || {
                black_box(register(&soft, &soft_moved, SIZE, Motion::Affine));
            }),
        ),
    ];
    let entries: Vec<String> = times.iter().map(|(name, time)| format!("\"{name}\": {time:.4}")).collect();
    println!("{{{}}}", entries.join(", "));
}
