//! The published simulation, by the numbers of its description.

use super::operations::{Operation, apply_some};
use super::perlin::Perlin;
use super::picture::Picture;
use super::simulation::{Rate, Simulation};
use super::texture::Textures;
use super::{Random, planes_of};
use crate::synth::canvas::Canvas;
use std::f32::consts::PI;

const SIDE: usize = 256;

fn close(found: f32, expected: f32, tolerance: f32) {
    assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
}

#[test]
fn open_noise_has_the_values_of_the_specification() {
    let noise = Perlin::of_angles((1, 1), &[0.0, PI / 2.0, PI, 1.5 * PI]);
    let expected = [
        [0.0, -0.109_795, -0.353_553, -0.316_955],
        [0.426_750, 0.295_511, -0.066_982, -0.207_160],
        [std::f32::consts::FRAC_1_SQRT_2, 0.633_910, 0.353_553, 0.073_197],
        [0.426_750, 0.469_639, 0.493_732, 0.295_511],
    ];
    for (found, expected) in noise.field((4, 4)).iter().zip(expected.as_flattened()) {
        close(*found, *expected, 2e-6);
    }
    // All gradients to the middle of the cell.
    let to_middle = Perlin::of_angles((1, 1), &[0.25 * PI, -0.25 * PI, 0.75 * PI, -0.75 * PI]);
    close(to_middle.at(0.5, 0.5), 1.0, 1e-6);
    assert_eq!(noise.at(0.0, 0.0), 0.0);
}

#[test]
fn open_noise_varies_as_much_as_the_specification_says() {
    let (mut squares, mut count) = (0.0f64, 0.0f64);
    for stream in 0..400 {
        let field = Perlin::draw_open((4, 4), &mut Random::new(2, 1, stream)).field((64, 64));
        squares += field.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
        count += field.len() as f64;
    }
    let variance = squares / count;
    assert!((variance - 0.093_062).abs() < 0.003, "{variance}");
}

/// Share of marked pixels of `draws` masks before they are turned, and share of masks without any.
fn areas(draws: u64, cells: impl Fn(&mut Random) -> (usize, usize)) -> (f32, f32) {
    let (mut area, mut empty) = (0.0, 0.0);
    for stream in 0..draws {
        let mut random = Random::new(3, 1, stream);
        let lattice = cells(&mut random);
        let field = Perlin::draw_open(lattice, &mut random).field((SIDE, SIDE));
        let marked = field.iter().filter(|&&value| value > 0.5).count();
        area += marked as f32 / (SIDE * SIDE) as f32 / draws as f32;
        empty += f32::from(u8::from(marked == 0)) / draws as f32;
    }
    (area, empty)
}

#[test]
fn masks_are_as_large_and_as_often_empty_as_the_specification_says() {
    let (area, empty) = areas(1000, |random| (1 << random.index(6), 1 << random.index(6)));
    close(area, 0.0546, 0.15 * 0.0546);
    close(empty, 0.050, 0.3 * 0.050);
    let (_, coarsest) = areas(300, |_| (1, 1));
    close(coarsest, 0.65, 0.1);
    let (_, coarse) = areas(300, |_| (2, 2));
    close(coarse, 0.16, 0.07);
    let (fine, none) = areas(60, |_| (8, 8));
    close(fine, 0.054, 0.006);
    assert_eq!(none, 0.0);
}

/// A coloured ramp, 3 x H x W.
fn ramp((height, width): (usize, usize)) -> Vec<f32> {
    let value = |channel: usize, y: usize, x: usize| {
        [y as f32 / height as f32, x as f32 / width as f32, 0.25][channel] * 0.9
    };
    let at = |channel| (0..height * width).map(move |at| value(channel, at / width, at % width));
    (0..3).flat_map(at).collect()
}

fn certain() -> Simulation {
    Simulation { rate: Rate::Chance(1.0), ..Simulation::draem() }
}

#[test]
fn turned_masks_are_a_little_smaller_and_emptier() {
    let size = (128, 128);
    let image = ramp(size);
    let black = Textures::of_images([&vec![0.0; 3 * 128 * 128][..]], size);
    let simulation = Simulation { texture_operations: 0, ..certain() };
    let masks: Vec<f32> = (0..2000)
        .map(|number| {
            let made = simulation.simulate(&image, size, (5, number), Some(&black), None);
            let marked = made.map_or(0, |made| made.mask.marked.iter().filter(|&&marked| marked).count());
            marked as f32 / 16384.0
        })
        .collect();
    close(masks.iter().sum::<f32>() / 2000.0, 0.048, 0.15 * 0.048);
    close(masks.iter().filter(|&&area| area == 0.0).count() as f32 / 2000.0, 0.056, 0.02);
}

#[test]
fn half_of_the_samples_stay_good_and_turns_are_exact() {
    let size = (16, 16);
    let image = ramp(size);
    let made = |simulation: &Simulation, number| simulation.simulate(&image, size, (1, number), None, None);
    let draem = Simulation::draem();
    let (mut good, mut empty) = (0.0f32, 0.0f32);
    for number in 0..8000 {
        good += f32::from(u8::from(made(&draem, number).is_none()));
        empty += f32::from(u8::from(made(&certain(), number).is_none()));
    }
    // Those that stay good, less those of the others whose mask is empty.
    close((good - 0.5 * empty) / 8000.0, 0.5, 0.02);
    let memseg = Simulation::memseg();
    assert!((0..100).all(|number| made(&memseg, 2 * number).is_none()));
    assert!((0..100).filter(|&number| made(&memseg, 2 * number + 1).is_some()).count() > 70);
}

#[test]
fn the_texture_shows_within_the_mask_by_its_share_and_nothing_changes_outside() {
    let size = (64, 48);
    let image = ramp(size);
    let plane = size.0 * size.1;
    let texture = [vec![0.2; plane], vec![0.6; plane], vec![1.0; plane]].concat();
    let textures = Textures::of_images([&texture[..]], size);
    for (beta, share) in [((0.5, 0.5), 0.5), ((0.0, 0.0), 0.0), ((0.85, 0.85), 0.85)] {
        let simulation = Simulation { beta, texture_operations: 0, ..certain() };
        for number in 0..20 {
            let Some(made) = simulation.simulate(&image, size, (2, number), Some(&textures), None) else {
                continue;
            };
            for at in 0..3 * plane {
                if made.mask.marked[at % plane] {
                    close(made.pixels[at], (1.0 - share) * texture[at] + share * image[at], 1e-6);
                } else {
                    assert_eq!(made.pixels[at].to_bits(), image[at].to_bits());
                }
            }
        }
    }
    // Between a fifth and all of the texture, and all of that.
    let draem = Simulation { texture_operations: 0, ..certain() };
    let shares: Vec<f32> = (0..400)
        .filter_map(|number| {
            let made = draem.simulate(&vec![0.0; 3 * plane], size, (3, number), Some(&textures), None)?;
            let at = made.mask.marked.iter().position(|&marked| marked)?;
            // Black is grey, so what is laid over it is: 0.6 is the mean of the texture.
            Some(made.pixels[at] / 0.6)
        })
        .collect();
    let (low, high) = shares.iter().fold((1.0f32, 0.0f32), |(low, high), &s| (low.min(s), high.max(s)));
    assert!((0.2..0.22).contains(&low) && (0.98..=1.0001).contains(&high), "{low} {high}");
}

#[test]
fn defects_keep_to_the_foreground() {
    let size = (64, 64);
    let image = ramp(size);
    let left: Vec<bool> = (0..64 * 64).map(|at| at % 64 < 20).collect();
    let mut any = false;
    for number in 0..50 {
        if let Some(made) = certain().simulate(&image, size, (1, number), None, Some(&left)) {
            any = true;
            assert!(made.mask.marked.iter().zip(&left).all(|(marked, inside)| !marked || *inside));
        }
    }
    assert!(any);
    assert_eq!(certain().simulate(&image, size, (1, 0), None, Some(&[false; 64 * 64])), None);
}

#[test]
fn seed_and_number_fix_a_sample_and_grey_stays_grey() {
    let size = (64, 64);
    let image = ramp(size);
    let textures = Textures::made_up(size, 12, 4);
    let made = |seed, number| certain().simulate(&image, size, (seed, number), Some(&textures), None);
    assert_eq!(made(1, 2), made(1, 2));
    assert!(made(1, 2) != made(1, 3) && made(1, 2) != made(2, 2));
    let grey = image[..64 * 64].repeat(3);
    let is_grey = |pixels: &[f32]| {
        let (red, rest) = pixels.split_at(64 * 64);
        rest.chunks(64 * 64).all(|channel| channel == red)
    };
    let coloured = Simulation { keeps_grey: false, ..certain() };
    let of = |simulation: &Simulation| {
        (0..20)
            .filter_map(|n| simulation.simulate(&grey, size, (1, n), Some(&textures), None))
            .collect::<Vec<_>>()
    };
    assert!(of(&certain()).iter().all(|made| is_grey(&made.pixels)));
    assert!(of(&coloured).iter().any(|made| !is_grey(&made.pixels)));
}

/// Distinct pixels.
fn picture((height, width): (usize, usize)) -> Picture {
    let pixels = (0..height * width).map(|at| [(at % 251) as u8, (at / 251) as u8, (at * 7 % 256) as u8]);
    Picture { height, width, pixels: pixels.collect() }
}

#[test]
fn cells_change_places_and_no_pixel_is_lost() {
    let whole = picture((32, 48));
    let order: Vec<usize> = (0..64).collect();
    assert_eq!(whole.rearranged((8, 8), &order), whole);
    let reversed: Vec<usize> = (0..64).rev().collect();
    let changed = whole.rearranged((8, 8), &reversed);
    // The first cell, 4 x 6, shows the last one.
    assert_eq!(changed.pixels[0], whole.pixels[28 * 48 + 42]);
    assert_eq!(changed.pixels[3 * 48 + 5], whole.pixels[31 * 48 + 47]);
    let sorted = |picture: &Picture| {
        let mut pixels = picture.pixels.clone();
        pixels.sort_unstable();
        pixels
    };
    assert_eq!(sorted(&changed), sorted(&whole));
    let uneven = picture((33, 50));
    assert_eq!(sorted(&uneven.rearranged((8, 8), &reversed)), sorted(&uneven));
    // A picture smaller than its grid.
    assert_eq!(picture((4, 4)).rearranged((8, 8), &reversed), picture((4, 4)));
}

#[test]
fn structure_is_the_image_itself_in_disorder() {
    let size = (64, 64);
    let image = ramp(size);
    let simulation = Simulation { beta: (0.0, 0.0), structure: 1.0, structure_operations: 0, ..certain() };
    let level = |value: f32| (value * 255.0).round() as u8;
    let colours = |planes: &[f32], at: usize| [0, 1, 2].map(|channel| level(planes[channel * 4096 + at]));
    let own: std::collections::HashSet<[u8; 3]> = (0..4096).map(|at| colours(&image, at)).collect();
    let textures = Textures::made_up(size, 2, 1);
    let mut moved = 0;
    for number in 0..20 {
        if let Some(made) = simulation.simulate(&image, size, (4, number), Some(&textures), None) {
            let marked = (0..4096).filter(|&at| made.mask.marked[at]);
            for at in marked {
                assert!(own.contains(&colours(&made.pixels, at)));
                moved += usize::from(colours(&made.pixels, at) != colours(&image, at));
            }
        }
    }
    assert!(moved > 500, "{moved}");
}

/// What an operation makes of levels 0 to 255 in all three channels, 64 pixels a row.
fn applied(operation: Operation, stream: u64) -> Picture {
    let pixels = (0..=255u8).map(|level| [level; 3]).collect();
    let mut picture = Picture { height: 16, width: 16, pixels };
    operation.apply(&mut picture, &mut Random::new(1, 9, stream));
    picture
}

#[test]
fn operations_do_what_they_are_called() {
    let levels = |operation, stream| -> Vec<[u8; 3]> { applied(operation, stream).pixels };
    let identity: Vec<[u8; 3]> = (0..=255u8).map(|level| [level; 3]).collect();
    let negative: Vec<[u8; 3]> = (0..=255u8).map(|level| [255 - level; 3]).collect();
    assert_eq!(levels(Operation::Invert, 0), negative);
    let mut solarised = 0;
    for stream in 0..60 {
        let found = levels(Operation::Gamma, stream);
        assert_eq!((found[0], found[255]), ([0; 3], [255; 3]));
        assert!(found.windows(2).all(|pair| (0..3).all(|c| pair[0][c] <= pair[1][c])));
        let gamma = |c: usize| (f32::from(found[128][c]) / 255.0).ln() / (128.0f32 / 255.0).ln();
        assert!((0..3).all(|c| (0.48..2.05).contains(&gamma(c))));

        let found = levels(Operation::Brightness, stream);
        let slope = (f32::from(found[150][0]) - f32::from(found[100][0])) / 50.0;
        let offset = f32::from(found[100][0]) - slope * 100.0;
        assert!((0.77..1.23).contains(&slope) && offset.abs() < 33.0, "{slope} {offset}");

        let found = levels(Operation::Solarise, stream);
        let first = found.iter().zip(&identity).position(|(found, level)| found != level);
        if let Some(first) = first {
            solarised += 1;
            assert!((32..=128).contains(&first), "{first}");
            assert_eq!(found[first..], negative[first..]);
        }

        let found = levels(Operation::Posterise, stream);
        let bits = found.iter().map(|pixel| pixel[0]).collect::<std::collections::BTreeSet<_>>().len();
        assert!(bits.is_power_of_two() && (2..=256).contains(&bits));
        assert!(found.iter().zip(&identity).all(|(found, level)| found[0] <= level[0]));

        let found = levels(Operation::AutoContrast, stream);
        let black = found.iter().filter(|pixel| pixel[0] == 0).count();
        assert!((1..=53).contains(&black) && found[255] == [255; 3], "{black}");

        let kept = levels(Operation::ChannelDropout, stream)[200];
        assert!(kept.iter().all(|level| [0, 200].contains(level)) && kept.contains(&200));
        // Grey has no hue.
        assert_eq!(levels(Operation::Hue, stream), identity);
    }
    assert!((18..=42).contains(&solarised), "{solarised}");
}

#[test]
fn equalised_levels_are_alike_often() {
    // Three quarters of the pixels dark, one quarter brighter.
    let pixels = (0..4096usize).map(|at| [(if at % 4 == 0 { 100 + at / 64 } else { at / 256 }) as u8; 3]);
    let mut picture = Picture { height: 64, width: 64, pixels: pixels.collect() };
    Operation::Equalise.apply(&mut picture, &mut Random::new(1, 1, 1));
    let below = picture.pixels.iter().filter(|pixel| pixel[0] < 128).count() as f32 / 4096.0;
    close(below, 0.5, 0.06);
    let mut flat = Picture { height: 2, width: 2, pixels: vec![[7, 8, 9]; 4] };
    Operation::Equalise.apply(&mut flat, &mut Random::new(1, 1, 1));
    assert_eq!(flat.pixels, vec![[7, 8, 9]; 4]);
}

#[test]
fn hue_turns_and_saturation_moves() {
    let one = |pixel, operation: Operation, stream| {
        let mut picture = Picture { height: 1, width: 1, pixels: vec![pixel] };
        operation.apply(&mut picture, &mut Random::new(1, 1, stream));
        picture.pixels[0]
    };
    for stream in 0..40 {
        // 0 to 90 of 255 levels are 0 to 127 degrees: red to a bluish green, as bright and as pure.
        let [red, green, blue] = one([255, 0, 0], Operation::Hue, stream);
        assert!(red.max(green).max(blue) == 255 && red.min(green).min(blue) == 0 && blue < 40);
        let moved = one([100, 100, 200], Operation::HueAndSaturation, stream);
        let (most, least) = (*moved.iter().max().unwrap(), *moved.iter().min().unwrap());
        assert_eq!(most, 200);
        let saturation = 1.0 - f32::from(least) / 200.0;
        assert!((0.5 - 0.21..=0.5 + 0.21).contains(&saturation), "{saturation}");
    }
    assert_eq!(one([0, 0, 0], Operation::HueAndSaturation, 1), [0, 0, 0]);
}

#[test]
fn sharpness_keeps_flat_pictures_and_scales_edges() {
    let mut flat = Picture { height: 5, width: 5, pixels: vec![[90; 3]; 25] };
    Operation::Sharpness.apply(&mut flat, &mut Random::new(1, 1, 1));
    assert_eq!(flat.pixels, vec![[90; 3]; 25]);
    let mut middle = Vec::new();
    for stream in 0..50 {
        let mut point = Picture { height: 5, width: 5, pixels: vec![[100; 3]; 25] };
        point.pixels[12] = [126; 3];
        Operation::Sharpness.apply(&mut point, &mut Random::new(1, 1, stream));
        middle.push(point.pixels[12][0]);
        assert_eq!(point.pixels[..5], [[100; 3]; 5]);
    }
    // Smoothed: 100 + 26 * 5 / 13 = 110; beyond the picture: 126 + 16 = 142.
    assert!(middle.iter().all(|level| (110..=142).contains(level)));
    assert!(*middle.iter().min().unwrap() < 114 && *middle.iter().max().unwrap() > 138);
}

#[test]
fn turned_pictures_are_black_where_nothing_comes_in() {
    let white = Picture { height: 64, width: 64, pixels: vec![[255; 3]; 4096] };
    let turned = white.turned(PI / 4.0);
    assert_eq!((turned.pixels[0], turned.pixels[32 * 64 + 32]), ([0; 3], [255; 3]));
    // A quarter turn: (y, x) comes from (middle - x, y), so the first row is the first column from below.
    let (whole, quarter) = (picture((5, 5)), picture((5, 5)).turned(PI / 2.0));
    for x in 0..5 {
        let (found, expected) = (quarter.pixels[x], whole.pixels[(4 - x) * 5]);
        assert!((0..3).all(|c| found[c].abs_diff(expected[c]) <= 1), "{found:?} instead of {expected:?}");
    }
}

#[test]
fn three_different_operations_are_drawn() {
    // Inverting twice would give the picture back; different operations never do.
    let whole = picture((16, 16));
    for stream in 0..30 {
        let mut changed = whole.clone();
        let operations = [Operation::Invert, Operation::Rotate];
        apply_some(&mut changed, &operations, 2, &mut Random::new(1, 1, stream));
        assert_ne!(changed, whole);
        let mut same = whole.clone();
        apply_some(&mut same, &operations, 0, &mut Random::new(1, 1, stream));
        assert_eq!(same, whole);
    }
}

#[test]
fn made_up_textures_differ_and_have_contrast() {
    let size = (48, 64);
    let textures = Textures::made_up(size, 36, 7);
    assert_eq!(textures.len(), 36);
    for number in 0..36 {
        let values = textures.values(number);
        assert_eq!(values.len(), 3 * 48 * 64);
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let spread = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32;
        assert!(spread.sqrt() > 0.02, "texture {number} is flat: {spread}");
        assert!((0..number).all(|other| textures.values(other) != values));
    }
    let again = Textures::made_up(size, 36, 7);
    assert!((0..36).all(|number| again.values(number) == textures.values(number)));
    assert_ne!(Textures::made_up(size, 1, 8).values(0), textures.values(0));
    assert_eq!(Textures::most((100, 100), 1_200_000), 10);
}

#[test]
fn pictures_keep_levels() {
    let canvas = Canvas::paint((2, 3), |y, x| [y as f32, x as f32 / 2.0, 0.5]);
    let picture = Picture::of(&canvas);
    assert_eq!(picture.pixels[5], [255, 255, 128]);
    assert_eq!(picture.colour(3, 4), [1.0, 128.0 / 255.0, 128.0 / 255.0]);
    assert_eq!(planes_of(&canvas).len(), 18);
}
