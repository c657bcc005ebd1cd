//! Filters against SciPy, scikit-image, PyWavelets and OpenCV; `golden/make_image.py` makes the values.

use blemish_kernels::image::binary_patterns::uniform_patterns;
use blemish_kernels::image::convolve::blur;
use blemish_kernels::image::cooccurrence::image_features;
use blemish_kernels::image::distance::Distance;
use blemish_kernels::image::edges::{canny, laplacian, laplacian_of_gaussian, sobel, sobel_magnitude};
use blemish_kernels::image::fourier::{Plan, phase_only, spectral_residual};
use blemish_kernels::image::gabor::magnitudes;
use blemish_kernels::image::morphology::{Element, close, dilate, erode, open};
use blemish_kernels::image::registration::{Motion, register};
use blemish_kernels::image::wavelet::Wavelet;
use safetensors::SafeTensors;

const SIZE: (usize, usize) = (40, 48);

struct Golden<'a>(SafeTensors<'a>);

impl Golden<'_> {
    fn read() -> Self {
        let bytes = include_bytes!("golden/image.safetensors");
        Self(SafeTensors::deserialize(bytes).unwrap())
    }

    fn get(&self, name: &str) -> Vec<f32> {
        let bytes = self.0.tensor(name).unwrap().data();
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

/// Greatest difference, relative to the greatest golden value, over pixels at least `margin` from the border.
fn difference(found: &[f32], golden: &[f32], margin: usize) -> f32 {
    assert_eq!(found.len(), golden.len());
    let (height, width) = SIZE;
    let inside = |at: &usize| {
        let (y, x) = (at / width, at % width);
        y >= margin && x >= margin && y + margin < height && x + margin < width
    };
    let greatest = golden.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    (0..found.len()).filter(inside).map(|at| (found[at] - golden[at]).abs()).fold(0.0, f32::max) / greatest
}

fn assert_same(name: &str, found: &[f32], golden: &Golden<'_>) {
    let apart = difference(found, &golden.get(name), 0);
    println!("{name}: {apart:.1e}");
    assert!(apart < 1e-5, "{name} is {apart} apart");
}

#[test]
fn convolutions_and_edges_agree_with_scipy_and_opencv() {
    let golden = Golden::read();
    let image = golden.get("image");
    assert_same("blur", &blur(&image, SIZE, 1.7), &golden);
    assert_same("sobel", &sobel_magnitude(&image, SIZE), &golden);
    assert_same("laplacian", &laplacian(&image, SIZE), &golden);
    assert_same("log", &laplacian_of_gaussian(&image, SIZE, 2.0), &golden);
    let levels: Vec<f32> = image.iter().map(|value| value * 256.0).collect();
    let (dy, dx) = sobel(&levels, SIZE);
    let edges: Vec<f32> =
        canny(&dy, &dx, SIZE, 60.0, 150.0).iter().map(|&is_edge| f32::from(u8::from(is_edge))).collect();
    assert_same("canny", &edges, &golden);
}

#[test]
fn gabor_magnitudes_agree_with_a_full_convolution_by_scikit_images_kernels() {
    let golden = Golden::read();
    for (wavelength, count) in [(4.0, 6), (8.0, 4)] {
        let found = magnitudes(&golden.get("image"), SIZE, wavelength, count);
        for (index, found) in found.iter().enumerate() {
            assert_same(&format!("gabor.{wavelength}.{index}"), found, &golden);
        }
    }
}

#[test]
fn morphology_agrees_with_scipy_to_the_bit() {
    let golden = Golden::read();
    let image = golden.get("image");
    let (disc, rectangle) = (Element::disc(3), Element::rectangle(3, 5));
    let line = Element::line(7, std::f64::consts::FRAC_PI_4);
    for (name, found) in [
        ("erode.disc3", erode(&image, SIZE, &disc)),
        ("open.disc3", open(&image, SIZE, &disc)),
        ("close.rect", close(&image, SIZE, &rectangle)),
        ("dilate.line45", dilate(&image, SIZE, &line)),
    ] {
        assert!(found == golden.get(name), "{name}");
    }
}

#[test]
fn binary_patterns_agree_with_scikit_image() {
    let golden = Golden::read();
    let levels: Vec<f32> = golden.get("image").iter().map(|value| value * 256.0).collect();
    for (points, radius) in [(8, 1.0), (16, 2.0), (24, 3.0)] {
        let found = uniform_patterns(&levels, SIZE, points, radius, 0.0);
        let found: Vec<f32> = found.into_iter().map(f32::from).collect();
        assert_eq!(difference(&found, &golden.get(&format!("lbp.{points}")), 4), 0.0, "{points} points");
    }
}

#[test]
fn cooccurrence_agrees_with_scikit_image() {
    let golden = Golden::read();
    let labels: Vec<u8> = golden.get("image").iter().map(|value| (value * 8.0) as u8).collect();
    // scikit-image counts angles downwards.
    let offsets = [(0, 2), (1, 1), (2, 0), (1, -1)];
    for (expected, offset) in golden.get("glcm").chunks(6).zip(offsets) {
        let found = image_features(&labels, SIZE, 8, offset);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5 * expected.abs(), "{found} for {expected} at {offset:?}");
        }
    }
}

#[test]
fn undecimated_wavelets_agree_with_pywavelets() {
    let golden = Golden::read();
    let image = golden.get("image");
    for (name, wavelet) in [("haar", Wavelet::Haar), ("db2", Wavelet::Daubechies)] {
        let (details, rest) = wavelet.transform(&image, SIZE, 3);
        for (level, details) in details.iter().enumerate() {
            // Half of the widest filter reaches over the border, where PyWavelets wraps around.
            let margin = if level == 2 { 18 } else { 9 };
            for (band, found) in ["h", "v", "d"].into_iter().zip(details.bands()) {
                let name = format!("{name}.{}.{band}", level + 1);
                let apart = difference(found, &golden.get(&name), margin);
                assert!(apart < 1e-5, "{name} is {apart} apart");
            }
        }
        assert!(difference(&rest, &golden.get(&format!("{name}.3.a")), 18) < 1e-5);
    }
}

#[test]
fn fourier_methods_agree_with_numpy() {
    let golden = Golden::read();
    let (image, plan) = (golden.get("image"), Plan::new(SIZE));
    assert_same("phase", &phase_only(&image, &plan), &golden);
    assert_same("spectral", &spectral_residual(&image, &plan), &golden);
}

#[test]
fn histogram_distances_agree_with_scipy() {
    let golden = Golden::read();
    let histograms = golden.get("histograms");
    let (a, b) = histograms.split_at(20);
    let kinds = [Distance::ChiSquare, Distance::LogLikelihood, Distance::EarthMover, Distance::Hellinger];
    for (kind, expected) in kinds.into_iter().zip(golden.get("distances")) {
        let found = kind.between(a, b);
        assert!((found - expected).abs() < 1e-5 * expected, "{kind:?}: {found} for {expected}");
    }
}

/// Interpolation differs (linear here, splines there), so the map is compared by where it sends the corners, in pixels.
#[test]
fn an_affine_map_made_with_scipy_is_found_to_a_twentieth_of_a_pixel() {
    let golden = Golden::read();
    let size = (96, 96);
    let found = register(&golden.get("reference"), &golden.get("moved"), size, Motion::Affine);
    let terms: Vec<f64> = golden.get("affine").into_iter().map(f64::from).collect();
    for (y, x) in [(0.0, 0.0), (0.0, 95.0), (95.0, 0.0), (95.0, 95.0)] {
        let (at_y, at_x) = found.at(y, x);
        let expected = (terms[0] * y + terms[1] * x + terms[2], terms[3] * y + terms[4] * x + terms[5]);
        let apart = (at_y - expected.0).hypot(at_x - expected.1);
        assert!(apart < 0.05, "({y}, {x}) lands {apart} pixels away");
    }
}
