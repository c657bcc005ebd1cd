use super::*;
use crate::synth::{Generator, Look};

const SIZE: (usize, usize) = (96, 128);

/// A synthetic good image as planes.
fn good(look: Look, number: u64, size: (usize, usize)) -> Vec<f32> {
    let image = Generator::new(look, 1, size).unwrap().good(number);
    let crate::reader::Pixels::U8(bytes) = &image.pixels else { panic!("synthetic images have 8 bits") };
    let channel = |channel: usize| bytes.iter().skip(channel).step_by(3).map(|&byte| f32::from(byte) / 255.0);
    (0..3).flat_map(channel).collect()
}

#[test]
fn every_kind_changes_exactly_what_its_mask_marks() {
    let image = good(Look::Fabric, 0, SIZE);
    let foreign = [good(Look::Print, 3, SIZE), good(Look::Metal, 4, SIZE)];
    let textures = Textures::of_images(foreign.iter().map(Vec::as_slice), SIZE);
    for kind in Kind::ALL {
        for (stream, textures) in [(0, None), (1, Some(&textures)), (2, None), (3, Some(&textures))] {
            let made = make_defect(&image, SIZE, &DefectRequest::new(kind, 5, stream), textures).unwrap();
            assert!(made.mask.marked.iter().filter(|&&marked| marked).count() >= 4, "{kind:?}");
            for (at, &is_marked) in made.mask.marked.iter().enumerate() {
                let change = (0..3).map(|c| {
                    let at = c * SIZE.0 * SIZE.1 + at;
                    (image[at] - made.pixels[at]).abs()
                });
                let change = change.fold(0.0, f32::max);
                assert!(if is_marked { change > VISIBLE } else { change == 0.0 }, "{kind:?}: {change}");
            }
            assert!(made.pixels.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
}

#[test]
fn seed_and_stream_fix_a_defect() {
    let image = good(Look::Metal, 0, SIZE);
    for kind in Kind::ALL {
        let made = |seed, stream| make_defect(&image, SIZE, &DefectRequest::new(kind, seed, stream), None);
        assert_eq!(made(1, 2), made(1, 2));
        assert_ne!(made(1, 2), made(1, 3), "{kind:?}");
        assert_ne!(made(1, 2), made(2, 2), "{kind:?}");
    }
}

/// An image on which every move of a patch is seen: noise.
fn noise(size: (usize, usize)) -> Vec<f32> {
    let mut random = Random::new(1, 2, 3);
    (0..3 * size.0 * size.1).map(|_| random.unit()).collect()
}

fn area(kind: Kind, image: &[f32], size: (usize, usize), stream: u64) -> (usize, usize, usize) {
    let made = make_defect(image, size, &DefectRequest::new(kind, 7, stream), None).unwrap();
    let marked = |at: &usize| made.mask.marked[*at];
    let all: Vec<usize> = (0..size.0 * size.1).filter(marked).collect();
    let span = |of: &dyn Fn(usize) -> usize| {
        let places = all.iter().map(|&at| of(at));
        places.clone().max().unwrap() - places.min().unwrap() + 1
    };
    (all.len(), span(&|at| at / size.1), span(&|at| at % size.1))
}

#[test]
fn cut_and_pasted_rectangles_have_the_published_sizes() {
    let size = (256, 256);
    let image = noise(size);
    let (mut smallest, mut largest) = (1.0f32, 0.0f32);
    for stream in 0..60 {
        let (marked, height, width) = area(Kind::CutPaste, &image, size, stream);
        // On noise nearly every pixel of the rectangle changes, and few hit their own place.
        let share = (height * width) as f32 / (256.0 * 256.0);
        assert!((0.019..=0.153).contains(&share), "{share}");
        assert!(marked as f32 > 0.9 * (height * width) as f32);
        let aspect = width as f32 / height as f32;
        assert!((0.28..=3.5).contains(&aspect), "{aspect}");
        (smallest, largest) = (smallest.min(share), largest.max(share));
    }
    assert!(smallest < 0.04 && largest > 0.12, "{smallest} {largest}");
}

#[test]
fn scars_have_the_published_sizes_and_grow_with_the_image() {
    for (side, scale) in [(256, 1.0f32), (512, 2.0)] {
        let image = noise((side, side));
        for stream in 0..40 {
            let (marked, height, width) = area(Kind::Scar, &image, (side, side), stream);
            let (shortest, longest) = (2.0 * 10.0 * scale * scale, 16.0 * 25.0 * scale * scale);
            assert!((0.7 * shortest..=1.1 * longest).contains(&(marked as f32)), "{marked}");
            let most = scale * (25.0f32.powi(2) + 16.0f32.powi(2)).sqrt() + 2.0;
            assert!(height as f32 <= most && width as f32 <= most, "{height} x {width}");
        }
    }
}

#[test]
fn without_jitter_a_pasted_rectangle_holds_colours_of_the_image_only() {
    // Two levels, in one large patch each: what is pasted is one of them, or lies between them at its edge.
    let image: Vec<f32> = (0..3 * 64 * 64).map(|at| if at % 64 < 32 { 0.25 } else { 0.75 }).collect();
    let request = DefectRequest { jitter: ColourJitter::NONE, ..DefectRequest::new(Kind::CutPaste, 1, 1) };
    let made = make_defect(&image, (64, 64), &request, None).unwrap();
    assert!(made.pixels.iter().all(|value| (0.25..=0.75).contains(value)));
}

#[test]
fn grey_images_stay_grey() {
    let image = good(Look::Metal, 0, SIZE);
    let plane = SIZE.0 * SIZE.1;
    let grey: Vec<f32> = image[..plane].repeat(3);
    let coloured = good(Look::Print, 0, SIZE);
    let textures = Textures::of_images([coloured.as_slice()], SIZE);
    for kind in Kind::ALL {
        let made = make_defect(&grey, SIZE, &DefectRequest::new(kind, 1, 1), Some(&textures)).unwrap();
        assert!(made.pixels[..plane] == made.pixels[plane..2 * plane]);
        assert!(made.pixels[..plane] == made.pixels[2 * plane..]);
    }
}

#[test]
fn nothing_is_cut_out_of_a_single_colour() {
    let flat = vec![0.5; 3 * 64 * 64];
    let request = DefectRequest { jitter: ColourJitter::NONE, ..DefectRequest::new(Kind::CutPaste, 1, 1) };
    assert_eq!(make_defect(&flat, (64, 64), &request, None), None);
}

#[test]
fn perlin_noise_is_zero_on_its_lattice_smooth_bounded_and_without_a_mean() {
    let noise = Perlin::new((8, 8), 3, 4);
    for y in -2..10 {
        for x in -2..10 {
            assert_eq!(noise.at(y as f32, x as f32), 0.0);
        }
    }
    let (mut sum, mut most, mut count) = (0.0f64, 0.0f32, 0);
    for stream in 0..20 {
        let field = Perlin::new((8, 8), 3, stream).field((128, 128));
        sum += field.iter().map(|&value| f64::from(value)).sum::<f64>();
        count += field.len();
        most = field.iter().fold(most, |most, value| most.max(value.abs()));
    }
    assert!((sum / f64::from(count as u32)).abs() < 0.02, "{}", sum / f64::from(count as u32));
    assert!(most <= 1.0 && most > 0.6, "{most}");
    // A step of 1/1000 of a cell changes little, also across the lattice's lines and its repeating ends.
    for step in 0..9000 {
        let x = step as f32 / 1000.0;
        assert!((noise.at(2.37, x) - noise.at(2.37, x + 0.001)).abs() < 0.01);
        assert!((noise.at(x, 5.61) - noise.at(x + 0.001, 5.61)).abs() < 0.01);
    }
    assert_eq!(noise.at(1.5, 1.5), Perlin::new((8, 8), 3, 4).at(1.5, 1.5));
    assert_ne!(noise.at(1.5, 1.5), Perlin::new((8, 8), 3, 5).at(1.5, 1.5));
}

#[test]
fn a_texture_covers_the_noise_above_a_half_only() {
    // White on black: what is marked is where noise was high.
    let black = vec![0.0; 3 * 64 * 64];
    let white = vec![1.0; 3 * 64 * 64];
    let textures = Textures::of_images([white.as_slice()], (64, 64));
    let shares: Vec<f32> = (0..40)
        .filter_map(|stream| {
            let request = DefectRequest::new(Kind::Texture, 1, stream);
            let made = make_defect(&black, (64, 64), &request, Some(&textures))?;
            Some(made.mask.marked.iter().filter(|&&marked| marked).count() as f32 / 4096.0)
        })
        .collect();
    assert!(shares.len() > 20);
    let mean = shares.iter().sum::<f32>() / shares.len() as f32;
    assert!((0.01..0.35).contains(&mean), "{mean}");
}

#[test]
fn textures_come_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let generator = Generator::new(Look::Print, 0, (64, 96)).unwrap();
    for number in 0..3 {
        let path = folder.path().join(format!("{number}.png"));
        crate::synth::write::write_image(&path, &generator.good(number)).unwrap();
    }
    let textures = Textures::of_folder(folder.path(), (32, 40), 2).unwrap();
    assert_eq!(textures.len(), 2);
    assert!(Textures::of_folder(&folder.path().join("none"), (32, 40), 2).is_err());
    let image = noise((32, 40));
    let request = DefectRequest::new(Kind::Texture, 2, 2);
    assert!(make_defect(&image, (32, 40), &request, Some(&textures)).is_some());
}

#[test]
fn jitter_changes_within_its_bounds() {
    let image = good(Look::Fabric, 0, SIZE);
    let mut changed = image.clone();
    ColourJitter::NONE.apply(&mut changed, 1, 1);
    assert!(image.iter().zip(&changed).all(|(a, b)| (a - b).abs() < 1e-6));
    ColourJitter { brightness: 0.4, contrast: 0.0, saturation: 0.0 }.apply(&mut changed, 1, 1);
    let ratios = image.iter().zip(&changed).filter(|(a, b)| **a > 0.05 && **b < 0.99).map(|(a, b)| b / a);
    let (low, high) = ratios.fold((f32::MAX, 0.0f32), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
    assert!(high - low < 1e-3 && (0.6..=1.4).contains(&low) && (low - 1.0).abs() > 0.01, "{low} {high}");
}
