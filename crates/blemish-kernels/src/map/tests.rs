//! Known values, and the blur against its definition.

use super::{
    Border, gaussian_blur, gaussian_weights, resize_aligned, resize_antialiased, resize_bilinear,
    resize_nearest,
};

#[test]
fn bilinear_has_half_pixel_centres() {
    assert_eq!(resize_bilinear(&[0.0, 1.0], (1, 2), (1, 4)), [0.0, 0.25, 0.75, 1.0]);
    assert_eq!(resize_bilinear(&[0.0, 1.0], (2, 1), (4, 1)), [0.0, 0.25, 0.75, 1.0]);
    assert_eq!(resize_bilinear(&[1.0, 2.0, 3.0, 4.0], (1, 4), (1, 2)), [1.5, 3.5]);
}

#[test]
fn antialiased_means_every_cell_counts() {
    // Triangles of width 4 around 1 and 3, cut off at the border: weights 3/7, 3/7, 1/7 and their mirror image.
    let halved = resize_antialiased(&[7.0, 0.0, 0.0, 14.0], (1, 4), (1, 2));
    assert!((halved[0] - 3.0).abs() < 1e-6 && (halved[1] - 6.0).abs() < 1e-6, "{halved:?}");
    assert_eq!(resize_antialiased(&[7.0, 0.0, 0.0, 14.0], (4, 1), (2, 1)), halved);
    // Growing is plain interpolation.
    let map: Vec<f32> = (0..12).map(|i| (i * i) as f32).collect();
    let (ours, plain) = (resize_antialiased(&map, (3, 4), (5, 9)), resize_bilinear(&map, (3, 4), (5, 9)));
    assert!(ours.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn nearest_is_constant_on_aligned_blocks() {
    let ramp: Vec<f32> = (0..196).map(|i| i as f32).collect();
    let large = resize_nearest(&ramp, (14, 14), (56, 56));
    assert!((0..3136).all(|i| large[i] == ramp[i / 56 / 4 * 14 + i % 56 / 4]));
    assert_eq!(resize_nearest(&[1.0, 2.0, 3.0], (1, 3), (1, 2)), [1.0, 2.0]);
}

#[test]
fn an_impulse_keeps_its_mass_and_has_the_known_centre() {
    let mut map = vec![0.0; 64 * 64];
    map[32 * 64 + 32] = 1.0;
    let blurred = gaussian_blur(&map, (64, 64), 4.0, Border::Mirror);
    assert!((blurred.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    assert!((blurred[32 * 64 + 32] - 0.009_947_888).abs() < 1e-8);
    assert_eq!(gaussian_weights(4.0).len(), 33);
}

#[test]
fn borders_mirror_with_and_without_the_edge_however_small_the_map() {
    let line = |border: Border, length: usize| (-5..5).map(|i| border.fold(i, length)).collect::<Vec<_>>();
    assert_eq!(line(Border::Repeat, 3), [1, 2, 2, 1, 0, 0, 1, 2, 2, 1]);
    assert_eq!(line(Border::Mirror, 3), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0]);
    assert_eq!(line(Border::Mirror, 1), [0; 10]);
    for border in [Border::Repeat, Border::Mirror] {
        assert!((gaussian_blur(&[3.0], (1, 1), 2.0, border)[0] - 3.0).abs() < 1e-5);
        assert!(
            gaussian_blur(&[2.0; 15], (3, 5), 4.0, border).iter().all(|value| (value - 2.0).abs() < 1e-5)
        );
    }
}

#[test]
fn blur_equals_the_plain_double_sum() {
    let (height, width, sigma) = (7, 11, 1.3);
    let map: Vec<f32> = (0..77).map(|i| ((i * 29) % 23) as f32).collect();
    let weights = gaussian_weights(sigma);
    let radius = weights.len() / 2;
    for border in [Border::Repeat, Border::Mirror] {
        let blurred = gaussian_blur(&map, (height, width), sigma, border);
        for y in 0..height {
            for x in 0..width {
                let mut sum = 0.0;
                for (i, wy) in weights.iter().enumerate() {
                    for (j, wx) in weights.iter().enumerate() {
                        let sy = border.fold((y + i) as isize - radius as isize, height);
                        let sx = border.fold((x + j) as isize - radius as isize, width);
                        sum += f64::from(wy * wx) * f64::from(map[sy * width + sx]);
                    }
                }
                assert!((f64::from(blurred[y * width + x]) - sum).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn aligned_corners_keep_the_corner_cells() {
    let resized = resize_aligned(&[0.0, 1.0, 0.0, 1.0], (2, 2), (2, 3));
    assert_eq!(resized, [0.0, 0.5, 1.0, 0.0, 0.5, 1.0]);
    assert_eq!(resize_aligned(&[3.0], (1, 1), (2, 2)), [3.0; 4]);
}
