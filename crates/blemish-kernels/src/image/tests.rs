//! Analytic cases that a reader can check by hand; `tests/golden_image.rs` compares with other implementations.

use super::binary_patterns::uniform_patterns;
use super::convolve::separable;
use super::cooccurrence::image_features;
use super::distance::Distance;
use super::edges::{canny, sobel, sobel_magnitude};
use super::fourier::{Plan, Tiles, phase_only, smooth_length};
use super::gabor::magnitudes;
use super::morphology::{Element, close, dilate, erode, open};
use super::registration::{Affine, Motion, phase_correlation, register, warp};
use super::wavelet::Wavelet;
use super::windows::{Windows, equal_bins, quantise};

fn close_to(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 1e-5 * expected.abs().max(1.0)
}

/// Made-up pixels in [0, 1].
fn noise((height, width): (usize, usize)) -> Vec<f32> {
    (0..height * width).map(|i| ((i * 7919 + i * i % 613) % 1009) as f32 / 1009.0).collect()
}

#[test]
fn cooccurrence_features_of_a_small_image_are_those_of_the_book() {
    let labels = [0, 0, 1, 0, 0, 1, 0, 2, 2];
    let found = image_features(&labels, (3, 3), 3, (0, 1));
    let expected = [1.0, 0.666_667, 0.7, 0.208_333, 1.676_235, 0.307_692];
    assert!(found.iter().zip(expected).all(|(&found, expected)| close_to(found, expected)), "{found:?}");
    assert_eq!(image_features(&[1; 4], (2, 2), 3, (0, 1)), [0.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
}

#[test]
fn histogram_distances_are_those_computed_by_hand() {
    let (a, b) = ([0.5, 0.5, 0.0], [0.25, 0.25, 0.5]);
    assert!(close_to(Distance::ChiSquare.between(&a, &b), 0.333_333));
    assert!(close_to(Distance::EarthMover.between(&a, &b), 0.75));
    assert!(close_to(Distance::Hellinger.between(&a, &b), 0.541_196));
    assert!(close_to(Distance::LogLikelihood.between(&a, &b), 2.0 * 2.0f32.ln()));
    for distance in [Distance::ChiSquare, Distance::EarthMover, Distance::Hellinger, Distance::LogLikelihood]
    {
        assert!(distance.between(&a, &a) < 1e-5);
    }
}

#[test]
fn uniform_patterns_count_the_brighter_neighbours() {
    let size = (5, 8);
    let code = |plane: &[f32], x: usize| uniform_patterns(plane, size, 8, 1.0, 0.0)[2 * 8 + x];
    assert_eq!(code(&[0.5; 40], 3), 8, "a constant patch");
    let mut spot = [0.0; 40];
    spot[2 * 8 + 3] = 1.0;
    assert_eq!(code(&spot, 3), 0, "a bright centre");
    let step: Vec<f32> = (0..40).map(|i| if i % 8 >= 4 { 1.0 } else { 0.0 }).collect();
    assert_eq!(code(&step, 4), 5, "the first bright column");
    assert_eq!(code(&step, 3), 8, "the last dark column");
    assert_eq!(
        uniform_patterns(&[0.5; 40], size, 8, 1.0, 0.01)[20],
        0,
        "noise below the threshold is no pattern"
    );
}

#[test]
fn sobel_gives_4_beside_a_unit_step() {
    let step: Vec<f32> = (0..60).map(|i| if i % 10 >= 5 { 1.0 } else { 0.0 }).collect();
    let found = sobel_magnitude(&step, (6, 10));
    for (at, value) in found.into_iter().enumerate() {
        assert_eq!(value, if [4, 5].contains(&(at % 10)) { 4.0 } else { 0.0 });
    }
}

#[test]
fn canny_makes_one_thin_line_of_a_step_and_drops_what_is_weak() {
    let step: Vec<f32> = (0..80).map(|i| if i % 10 >= 5 { 1.0 } else { 0.0 }).collect();
    let (dy, dx) = sobel(&step, (8, 10));
    let edges = canny(&dy, &dx, (8, 10), 1.0, 3.0);
    for row in edges.chunks(10) {
        assert_eq!(row.iter().filter(|is_edge| **is_edge).count(), 1);
    }
    assert!(!canny(&dy, &dx, (8, 10), 1.0, 5.0).contains(&true));
}

#[test]
fn haar_and_daubechies_filters_have_their_moments() {
    let (details, rest) = Wavelet::Haar.transform(&[1.0, 2.0, 3.0, 4.0], (2, 2), 1);
    // Average, horizontal, vertical and diagonal differences; signs follow the high-pass taps (+, -).
    assert!(close_to(rest[0], 5.0) && close_to(details[0].vertical[0], -1.0));
    assert!(close_to(details[0].horizontal[0], -2.0) && close_to(details[0].diagonal[0], 0.0));
    let (low, high) = (Wavelet::Daubechies.low_pass(), Wavelet::Daubechies.high_pass());
    assert!(close_to(low.iter().sum(), 2.0f32.sqrt()));
    assert!(close_to(low.iter().map(|tap| tap * tap).sum(), 1.0));
    assert!(high.iter().sum::<f32>().abs() < 1e-6, "constants vanish");
    let ramp: f32 = high.iter().enumerate().map(|(at, tap)| at as f32 * tap).sum();
    assert!(ramp.abs() < 1e-6, "ramps vanish");
}

#[test]
fn contributions_of_all_bands_add_up_to_the_image() {
    let size = (48, 56);
    let image = noise(size);
    for wavelet in [Wavelet::Haar, Wavelet::Daubechies] {
        let bands = wavelet.contributions(&image, size, 2);
        assert_eq!(bands.len(), 7);
        for y in 12..36 {
            for x in 12..44 {
                let at = y * size.1 + x;
                let sum: f32 = bands.iter().map(|band| band[at]).sum();
                assert!((sum - image[at]).abs() < 1e-5, "{wavelet:?} at {y}, {x}: {sum} for {}", image[at]);
            }
        }
    }
}

#[test]
fn openings_take_away_what_does_not_hold_the_element() {
    let size = (9, 9);
    let element = Element::rectangle(3, 3);
    let tophat = |plane: &[f32]| -> Vec<f32> {
        plane.iter().zip(open(plane, size, &element)).map(|(value, opened)| value - opened).collect()
    };
    let mut pixel = [0.0; 81];
    pixel[40] = 1.0;
    assert_eq!(tophat(&pixel), pixel);
    let mut block = [0.0; 81];
    for y in 3..6 {
        block[y * 9 + 3..y * 9 + 6].fill(1.0);
    }
    assert_eq!(tophat(&block), [0.0; 81]);
    // The border does not count, so a constant image stays what it is.
    assert_eq!(close(&[0.3; 81], size, &Element::disc(4)), [0.3; 81]);
}

#[test]
fn dilation_is_erosion_of_the_negative_and_openings_are_idempotent() {
    let size = (21, 34);
    let image = noise(size);
    let negative: Vec<f32> = image.iter().map(|value| -value).collect();
    for element in [Element::disc(1), Element::disc(4), Element::line(9, 0.6), Element::rectangle(1, 7)] {
        let eroded = erode(&negative, size, &element);
        let dilated: Vec<f32> = dilate(&image, size, &element).iter().map(|value| -value).collect();
        assert_eq!(eroded, dilated);
        let opened = open(&image, size, &element);
        assert_eq!(open(&opened, size, &element), opened);
        assert!(opened.iter().zip(&image).all(|(opened, value)| opened <= value));
    }
}

#[test]
fn gabor_filters_are_silent_on_a_constant_and_loudest_on_their_own_wave() {
    let size = (64, 64);
    for energy in magnitudes(&vec![0.7; 64 * 64], size, 8.0, 6) {
        assert!(energy.iter().all(|value| value.abs() < 1e-6));
    }
    let angle = std::f32::consts::PI / 4.0;
    let wave = |i: usize| {
        let along = (i % 64) as f32 * angle.cos() + (i / 64) as f32 * angle.sin();
        (std::f32::consts::TAU * along / 8.0).cos()
    };
    let image: Vec<f32> = (0..64 * 64).map(wave).collect();
    let middle: Vec<f32> =
        magnitudes(&image, size, 8.0, 8).iter().map(|energy| energy[32 * 64 + 32]).collect();
    let best = (0..8).max_by(|&a, &b| middle[a].total_cmp(&middle[b]));
    assert_eq!(best, Some(2), "{middle:?}");
    assert!(close_to((middle[2] - 0.5).abs() * 0.01, 0.0), "half the amplitude passes: {middle:?}");
}

#[test]
fn phase_only_finds_the_impulse_and_the_changed_pixel() {
    let size = (16, 20);
    let plan = Plan::new(size);
    for height in [0.5, 7.0] {
        let mut impulse = vec![0.0; 320];
        impulse[5 * 20 + 9] = height;
        let found = phase_only(&impulse, &plan);
        assert!(close_to(found[5 * 20 + 9], 1.0));
        assert!(found.iter().enumerate().all(|(at, value)| at == 109 || value.abs() < 1e-5));
    }
    let mut texture: Vec<f32> =
        (0..320).map(|i| (std::f32::consts::TAU * (i % 20) as f32 / 5.0).cos()).collect();
    texture[7 * 20 + 3] += 0.5;
    let found = phase_only(&texture, &plan);
    let worst = (0..320).max_by(|&a, &b| found[a].abs().total_cmp(&found[b].abs()));
    assert_eq!(worst, Some(7 * 20 + 3));
}

#[test]
fn tiles_give_the_image_back_when_no_frequency_is_touched() {
    for size in [(50, 37), (32, 64), (9, 16)] {
        let image = noise(size);
        let tiles = Tiles::new(32);
        let same = tiles.filter(&image, size, &vec![1.0; tiles.bins()]);
        assert!(same.iter().zip(&image).all(|(same, value)| (same - value).abs() < 1e-5));
    }
    assert_eq!([97, 128, 1, 7].map(smooth_length), [100, 128, 1, 8]);
}

#[test]
fn windows_sum_what_lies_in_them() {
    let size = (7, 10);
    let image = noise(size);
    let windows = Windows::new(6, 2).unwrap();
    assert_eq!(windows.grid(size), (4, 5));
    let (means, most) = (windows.means(&image, size), windows.maxima(&image, size));
    let labels = equal_bins(&image, 8);
    let histograms = windows.histograms(&labels, size, 8);
    for row in 0..4 {
        for column in 0..5 {
            let inside = |i: &usize| {
                let (y, x) = ((i / 10 / 2) as isize, (i % 10 / 2) as isize);
                (y - row).abs() <= 1 && (x - column).abs() <= 1
            };
            let pixels: Vec<usize> = (0..70).filter(inside).collect();
            let at = (row * 5 + column) as usize;
            let mean = pixels.iter().map(|&i| image[i]).sum::<f32>() / pixels.len() as f32;
            assert!(close_to(means[at], mean));
            assert_eq!(most[at], pixels.iter().map(|&i| image[i]).fold(0.0, f32::max));
            for bin in 0..8 {
                let count = pixels.iter().filter(|&&i| usize::from(labels[i]) == bin).count();
                assert_eq!(histograms[at * 8 + bin], count as f32);
            }
        }
    }
    assert!(Windows::new(8, 2).is_err() && Windows::new(0, 1).is_err());
    assert_eq!(quantise(&[0.1, 0.5, 0.9], &[0.3, 0.5]), [0, 2, 2]);
}

#[test]
fn shifts_are_found_whole_and_refined() {
    let size = (64, 80);
    // Soft discs here and there: smooth, but with something at every frequency that a lens would pass.
    let scene = |y: f64, x: f64| {
        let disc = |i: usize| {
            let (top, left) = ((i * 37 % 71) as f64, (i * 53 % 89) as f64);
            1.0 / (1.0 + (((y - top).hypot(x - left) - 3.0 - (i % 5) as f64) * 2.0).exp())
        };
        (0..24).map(disc).sum::<f64>() as f32
    };
    let view = |dy: f64, dx: f64, gain: f32| -> Vec<f32> {
        (0..64 * 80).map(|i| gain * scene((i / 80) as f64 - dy, (i % 80) as f64 - dx) + 0.1).collect()
    };
    let reference = view(0.0, 0.0, 1.0);
    assert_eq!(phase_correlation(&reference, &view(3.0, -5.0, 0.7), size), (3, -5));
    let map = register(&reference, &view(2.3, -4.6, 0.7), size, Motion::Shift);
    let (y, x) = map.at(0.0, 0.0);
    assert!((y - 2.3).abs() < 0.02 && (x + 4.6).abs() < 0.02, "{map:?}");
    assert_eq!(register(&reference, &reference, size, Motion::Affine).terms, Affine::IDENTITY.terms);
}

#[test]
fn a_map_and_its_inverse_cancel_and_warping_by_whole_pixels_copies() {
    let map = Affine { terms: [1.1, 0.2, 3.0, -0.1, 0.9, -2.0] };
    let (y, x) = map.inverse().unwrap().after(&map).at(5.0, 7.0);
    assert!((y - 5.0).abs() < 1e-9 && (x - 7.0).abs() < 1e-9);
    let image = noise((6, 8));
    let (moved, covered) = warp(&image, (6, 8), &Affine::shift(1.0, 2.0));
    assert_eq!(moved[0], image[8 + 2]);
    assert_eq!(covered.iter().filter(|covered| **covered).count(), 5 * 6);
}

#[test]
fn separable_filters_do_the_same_on_any_width_of_image() {
    // Widths around those of the vectors take different ways through the code.
    for width in [1, 2, 15, 16, 63, 64, 65, 80, 131] {
        let size = (5, width);
        let image = noise(size);
        let found = separable(&image, size, &[0.25, 0.5, 0.25], &[-1.0, 0.5, 2.0]);
        let fold = |at: isize, length: usize| crate::map::Border::Mirror.fold(at, length);
        for y in 0..5isize {
            for x in 0..width as isize {
                let mut sum = 0.0f64;
                for (dy, v) in [0.25, 0.5, 0.25].into_iter().enumerate() {
                    for (dx, h) in [-1.0, 0.5, 2.0].into_iter().enumerate() {
                        let near = fold(y + dy as isize - 1, 5) * width + fold(x + dx as isize - 1, width);
                        sum += v * h * f64::from(image[near]);
                    }
                }
                let got = f64::from(found[(y * width as isize + x) as usize]);
                assert!((got - sum).abs() < 1e-6, "{got} for {sum}");
            }
        }
    }
}
