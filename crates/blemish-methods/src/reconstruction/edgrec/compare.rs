//! How an image differs from its reconstruction: in gradients, and in colours.

use super::config::{Colours, EdgRecConfig};
use crate::shared::box_mean::{Outside, box_mean};
use blemish_kernels::image::morphology::{Element, dilate, erode};
use blemish_kernels::map::resize_bilinear;
use std::sync::LazyLock;

/// Height and width.
pub(super) type Size = (usize, usize);

/// Keeps the similarity of flat parts from being a matter of noise.
pub(super) const C: f32 = 0.0026;

/// What pixels are multiplied by before their colours are compared, so that reconstructions up to 1.41 stay within 8 bits.
pub(super) const GAIN: f32 = 180.0;

/// Shares of red, green and blue in grey.
pub(super) const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// The morphological gradient of the grey image, H x W, of 3 x H x W values: the largest value in a square around each pixel less the
/// smallest; what lies outside does not count.
pub(super) fn edges(image: &[f32], size: Size, side: usize) -> Vec<f32> {
    let plane = size.0 * size.1;
    let [red, green, blue] = GREY;
    let grey: Vec<f32> = (0..plane)
        .map(|at| red * image[at] + green * image[plane + at] + blue * image[2 * plane + at])
        .collect();
    let square = Element::rectangle(side, side);
    let (largest, smallest) = (dilate(&grey, size, &square), erode(&grey, size, &square));
    largest.into_iter().zip(smallest).map(|(largest, smallest)| largest - smallest).collect()
}

/// Magnitude of the gradient by Prewitt's kernels over 3, with zeros outside.
fn gradient(plane: &[f32], (height, width): Size) -> Vec<f32> {
    let value = |y: usize, x: usize| {
        // Counted from 1, so that what lies outside has a number.
        let is_inside = (1..=height).contains(&y) && (1..=width).contains(&x);
        if is_inside { plane[(y - 1) * width + x - 1] } else { 0.0 }
    };
    let magnitude = |at: usize| {
        let (y, x) = (at / width, at % width);
        let column = |x: usize| value(y, x) + value(y + 1, x) + value(y + 2, x);
        let row = |y: usize| value(y, x) + value(y, x + 1) + value(y, x + 2);
        let (across, down) = ((column(x) - column(x + 2)) / 3.0, (row(y) - row(y + 2)) / 3.0);
        (across * across + down * down + 1e-12).sqrt()
    };
    (0..plane.len()).map(magnitude).collect()
}

/// Similarity of two gradients.
pub(super) fn similarity(g: f32, h: f32) -> f32 {
    (2.0 * g * h + C) / (g * g + h * h + C + 1e-12)
}

/// Means of 2 x 2 pixels.
fn halved(plane: &[f32], (height, width): Size) -> Vec<f32> {
    let (rows, columns) = (height / 2, width / 2);
    let mean = |at: usize| {
        let first = at / columns * 2 * width + at % columns * 2;
        (plane[first] + plane[first + 1] + plane[first + width] + plane[first + width + 1]) / 4.0
    };
    (0..rows * columns).map(mean).collect()
}

/// 1 - the similarity of gradients at several scales, averaged over channels, H x W, of two images of 3 x H x W values.
pub(super) fn gradient_difference(image: &[f32], other: &[f32], size: Size, scales: usize) -> Vec<f32> {
    let plane = size.0 * size.1;
    let mut difference = vec![1.0f32; plane];
    let share = 1.0 / (3 * scales.max(1)) as f32;
    for (one, two) in image.chunks_exact(plane).zip(other.chunks_exact(plane)) {
        let (mut one, mut two, mut at) = (one.to_vec(), two.to_vec(), size);
        for scale in 0..scales {
            if scale > 0 {
                (one, two) = (halved(&one, at), halved(&two, at));
                at = (at.0 / 2, at.1 / 2);
            }
            let (g, h) = (gradient(&one, at), gradient(&two, at));
            let map: Vec<f32> = g.into_iter().zip(h).map(|(g, h)| similarity(g, h)).collect();
            let map = if scale > 0 { resize_bilinear(&map, at, size) } else { map };
            difference.iter_mut().zip(map).for_each(|(difference, value)| *difference -= share * value);
        }
    }
    difference
}

/// From linear red, green and blue to X, Y and Z.
pub(super) const XYZ: [[f64; 3]; 3] =
    [[0.412_453, 0.357_580, 0.180_423], [0.212_671, 0.715_160, 0.072_169], [0.019_334, 0.119_193, 0.950_227]];

/// X, Y and Z of white under D65.
pub(super) const WHITE: [f64; 3] = [0.950_456, 1.0, 1.088_754];

/// Light of an sRGB value.
fn linear(value: f64) -> f64 {
    if value > 0.04045 { ((value + 0.055) / 1.055).powf(2.4) } else { value / 12.92 }
}

/// The cube root that CIELAB takes, straight near 0.
fn root(t: f64) -> f64 {
    if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 }
}

/// a and b of CIELAB, of sRGB values in [0, 1].
fn lab(colour: [f32; 3]) -> [f32; 2] {
    let light = colour.map(|value| linear(f64::from(value)));
    let of = |row: usize| root((0..3).map(|c| XYZ[row][c] * light[c]).sum::<f64>() / WHITE[row]);
    let [x, y, z] = [of(0), of(1), of(2)];
    [500.0 * (x - y), 200.0 * (y - z)].map(|value| value as f32)
}

/// The tables by which OpenCV finds a and b of 8-bit colours in whole numbers: light in 3 more bits, roots in 15 bits.
static TABLES: LazyLock<([i32; 256], Vec<i32>)> = LazyLock::new(|| {
    let light = std::array::from_fn(|level| (2040.0 * linear(level as f64 / 255.0)).round() as i32);
    (light, (0..3072).map(|at| (32_768.0 * root(f64::from(at) / 2040.0)).round() as i32).collect())
});

/// a and b of CIELAB in 8 bits, with 0 at 128, as OpenCV rounds them.
pub(super) fn lab_levels(levels: [u8; 3]) -> [u8; 2] {
    let (lights, roots) = &*TABLES;
    let light = levels.map(|level| lights[usize::from(level)]);
    let of = |row: usize| {
        let sum: i32 = (0..3).map(|c| (4096.0 * XYZ[row][c] / WHITE[row]).round() as i32 * light[c]).sum();
        roots[(((sum + 2048) >> 12) as usize).min(roots.len() - 1)]
    };
    let [x, y, z] = [of(0), of(1), of(2)];
    [500 * (x - y), 200 * (y - z)].map(|value| ((value + (128 << 15) + (1 << 14)) >> 15).clamp(0, 255) as u8)
}

/// Squared differences of a and b, at most 255, H x W.
fn colour_difference(image: &[f32], other: &[f32], plane: usize, colours: Colours) -> Vec<f32> {
    let of = |image: &[f32], at: usize| [image[at], image[plane + at], image[2 * plane + at]];
    let difference = |at: usize| match colours {
        Colours::Clean => {
            let scaled = |image| lab(of(image, at).map(|value| value.clamp(0.0, 1.0) * GAIN / 255.0));
            let ([a, b], [c, d]) = (scaled(image), scaled(other));
            ((a - c) * (a - c) + (b - d) * (b - d)).min(255.0)
        }
        Colours::Compat => {
            // Levels beyond 8 bits begin anew.
            let levels = |image| lab_levels(of(image, at).map(|value| (value * GAIN) as i32 as u8));
            let ([a, b], [c, d]) = (levels(image), levels(other));
            let square = |x: u8, y: u8| x.wrapping_sub(y).wrapping_mul(x.wrapping_sub(y));
            f32::from(square(a, c).wrapping_add(square(b, d)))
        }
    };
    (0..plane).map(difference).collect()
}

/// The colour term: mean squared differences of colours, times the weight.
pub(super) fn colour_term(image: &[f32], other: &[f32], size: Size, config: &EdgRecConfig) -> Vec<f32> {
    let difference = colour_difference(image, other, size.0 * size.1, config.colours);
    let mut means = box_mean(&difference, size, config.colour_window, Outside::Mirror);
    for mean in &mut means {
        let rounded = if config.colours == Colours::Compat { mean.round_ties_even() } else { *mean };
        *mean = rounded * config.colour_weight;
    }
    means
}

/// The anomaly map, H x W, of an image and its reconstruction.
pub(super) fn map(image: &[f32], other: &[f32], size: Size, config: &EdgRecConfig) -> Vec<f32> {
    let gradients = gradient_difference(image, other, size, config.scales);
    let gradients = box_mean(&gradients, size, config.gradient_window, Outside::Zeros);
    if config.colour_weight == 0.0 {
        return gradients;
    }
    let colours = colour_term(image, other, size, config);
    gradients.into_iter().zip(colours).map(|(gradient, colour)| gradient + colour).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_core::preset::Preset;

    const SIZE: Size = (32, 48);

    fn grey(of: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let plane: Vec<f32> = (0..SIZE.0 * SIZE.1).map(|at| of(at / SIZE.1, at % SIZE.1)).collect();
        plane.repeat(3)
    }

    #[test]
    fn edges_of_a_constant_are_nothing_and_those_of_a_step_two_pixels_wide() {
        assert!(edges(&grey(|_, _| 0.4), SIZE, 3).iter().all(|&edge| edge == 0.0));
        let found = edges(&grey(|_, x| f32::from(u8::from(x >= 20))), SIZE, 3);
        for (at, edge) in found.into_iter().enumerate() {
            let expected = f32::from(u8::from([19, 20].contains(&(at % SIZE.1))));
            assert!((edge - expected).abs() < 1e-6, "{at}: {edge}");
        }
        // Grey is what the eye sees of colours.
        let plane = SIZE.0 * SIZE.1;
        let red: Vec<f32> =
            (0..3 * plane).map(|at| f32::from(u8::from(at < plane && at % SIZE.1 >= 20))).collect();
        assert!((edges(&red, SIZE, 3)[20] - 0.299).abs() < 1e-6);
    }

    #[test]
    fn a_change_of_hue_alone_is_not_seen_by_the_network() {
        let plane = SIZE.0 * SIZE.1;
        let image = grey(|y, x| 0.3 + 0.01 * ((y * x) % 7) as f32);
        let mut tinted = image.clone();
        // More red and less green, such that the grey stays.
        for at in 100..300 {
            tinted[at] += 0.1;
            tinted[plane + at] -= 0.1 * 0.299 / 0.587;
        }
        let (one, other) = (edges(&image, SIZE, 3), edges(&tinted, SIZE, 3));
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6));
        let config = EdgRecConfig::of(Preset::Paper);
        let found = map(&image, &tinted, SIZE, &config);
        assert!(found.iter().copied().fold(0.0, f32::max) > 0.01);
    }

    #[test]
    fn equal_images_do_not_differ() {
        let image = grey(|y, x| ((y * 7 + x * 13) % 29) as f32 / 29.0);
        for colours in [Colours::Clean, Colours::Compat] {
            let config = EdgRecConfig { colours, ..EdgRecConfig::of(Preset::Paper) };
            let found = map(&image, &image, SIZE, &config);
            assert!(found.iter().all(|value| value.abs() < 2e-6));
            assert!(colour_term(&image, &image, SIZE, &config).iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn gradients_and_their_similarity_have_the_values_of_the_specification() {
        assert!((1.0 - similarity(0.1, 0.0) - 0.793_65).abs() < 1e-5);
        let ramp: Vec<f32> = (0..SIZE.0 * SIZE.1).map(|at| 0.01 * (at % SIZE.1) as f32).collect();
        let found = gradient(&ramp, SIZE);
        assert!((found[10 * SIZE.1 + 20] - 0.02).abs() < 1e-6);
        let slope: Vec<f32> = (0..SIZE.0 * SIZE.1).map(|at| 0.01 * (at / SIZE.1) as f32).collect();
        assert!((gradient(&slope, SIZE)[10 * SIZE.1 + 20] - 0.02).abs() < 1e-6);
        // At the border zeros come in.
        let ones = gradient(&vec![1.0; SIZE.0 * SIZE.1], SIZE);
        assert!((ones[10 * SIZE.1] - 1.0).abs() < 1e-6 && ones[10 * SIZE.1 + 20] < 1e-5);
        // A ramp against nothing: 1 - c / (g^2 + c) at both scales, whose second has slopes of twice the size.
        let flat = vec![0.5; 3 * SIZE.0 * SIZE.1];
        let found = gradient_difference(&grey(|_, x| 0.01 * x as f32), &flat, SIZE, 2)[15 * SIZE.1 + 20];
        let unlike = |g: f32| 1.0 - similarity(g, 1e-6);
        assert!((found - (unlike(0.02) + unlike(0.04)) / 2.0).abs() < 1e-5, "{found}");
    }

    #[test]
    fn squared_differences_of_colours_saturate_or_wrap() {
        // 8-bit differences of 16 and of 15 levels in a.
        let square = |x: u8| x.wrapping_mul(x);
        assert_eq!((square(16), square(15)), (0, 225));
        // Far apart: red and green.
        let plane = 16 * 16;
        let of = |colour: [f32; 3]| colour.iter().flat_map(|&value| vec![value; plane]).collect::<Vec<_>>();
        let (red, green) = (of([1.0, 0.0, 0.0]), of([0.0, 1.0, 0.0]));
        let clean = EdgRecConfig::of(Preset::Paper);
        let term = colour_term(&red, &green, (16, 16), &clean);
        assert!(term.iter().all(|value| (value - 0.255).abs() < 1e-6));
        let compat = EdgRecConfig { colours: Colours::Compat, ..clean.clone() };
        let ([a, b], [c, d]) = (lab_levels([180, 0, 0]), lab_levels([0, 180, 0]));
        let squares = (i32::from(a) - i32::from(c)).pow(2) + (i32::from(b) - i32::from(d)).pow(2);
        let term = colour_term(&red, &green, (16, 16), &compat);
        assert!(squares > 255 && (term[0] - 0.001 * (squares % 256) as f32).abs() < 1e-6);
        // Where a alone differs by s levels: s^2 for the small, 255 or what is left of 256 for the large.
        for (steps, clean_term, compat_term) in [(15u8, 0.225, 0.225), (16, 0.255, 0.0)] {
            let squared = f32::from(steps).powi(2);
            assert!((0.001 * squared.min(255.0) - clean_term).abs() < 1e-6);
            assert!((0.001 * f32::from(square(steps)) - compat_term).abs() < 1e-6);
        }
    }

    #[test]
    fn colours_have_known_places() {
        let near = |found: [f32; 2], a: f32, b: f32| {
            assert!((found[0] - a).abs() < 0.1 && (found[1] - b).abs() < 0.1, "{found:?}");
        };
        near(lab([1.0, 1.0, 1.0]), 0.0, 0.0);
        near(lab([1.0, 0.0, 0.0]), 80.1, 67.2);
        near(lab([0.0, 0.0, 1.0]), 79.2, -107.9);
        assert_eq!(lab_levels([0, 0, 0]), [128, 128]);
    }
}
