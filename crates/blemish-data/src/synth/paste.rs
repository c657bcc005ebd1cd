//! Made-up defects on real images: scratches, spots, foreign texture, and places that are shifted, blurred or paler than they were.
//!
//! They serve to judge detectors where no defective images exist. They do not imitate any real defect; a detector that sees many
//! kinds of them, faint and strong, small and large, tends to see others too. The idea of pasting is that of CutPaste (Li et al.,
//! arXiv 2104.04015) and DRAEM (Zavrtanik et al., arXiv 2108.07610); kinds and strengths here are our own.

use super::canvas::{Canvas, Colour, lit, mix};
use super::defects::{ScratchLook, scratch};
use super::noise::{Noise, smoothstep};
use super::random::Random;
use super::shape::{Blob, Curve};
use crate::mask::Mask;
use crate::reader::{Pixels, RgbImage};
use crate::synth::DefectiveImage;

/// A kind of made-up defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pasted {
    /// A groove, darker or lighter than the surface.
    Scratch,
    /// A ragged spot of one colour.
    Spot,
    /// A ragged patch cut from elsewhere in the image, turned by a quarter or a half.
    Foreign,
    /// A patch that has moved by a few pixels.
    Shift,
    /// A patch out of focus.
    Blur,
    /// A patch with less contrast and another brightness.
    Pale,
}

impl Pasted {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Scratch, Self::Spot, Self::Foreign, Self::Shift, Self::Blur, Self::Pale];

    /// Its name, also of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Spot => "spot",
            Self::Foreign => "foreign",
            Self::Shift => "shift",
            Self::Blur => "blur",
            Self::Pale => "pale",
        }
    }
}

/// How a defect is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PasteOptions {
    /// Its kind.
    pub kind: Pasted,
    /// How strong it is, 0 (hardly there) to 1 (plain).
    pub strength: f32,
    /// Its radius (of a scratch a quarter of its length) relative to the image's shorter side.
    pub size: f32,
    /// Fixes it, together with `stream`.
    pub seed: u64,
    /// Number of the defect in its set.
    pub stream: u64,
}

/// A change of less than this, of 1, does not belong to the mask: two grey levels of 8 bits.
const VISIBLE: f32 = 2.5 / 255.0;
/// Places drawn, of which the busiest is taken: parts lie on empty backgrounds, and defects lie on parts.
const PLACES: usize = 10;
/// Attempts at something visible, each stronger than the one before.
const ATTEMPTS: usize = 6;

/// Lays a defect over an image; the mask marks the pixels that it changed visibly.
///
/// The result has 8 bits. `None` if no visible defect results, as on an image of a single colour.
pub fn paste_defect(image: &RgbImage, options: &PasteOptions) -> Option<DefectiveImage> {
    let good = canvas_of(image);
    let size @ (height, width) = good.size();
    let mut random = Random::new(options.seed, 0xdefec7, options.stream);
    let enough = (height * width / 20_000).max(6);
    for attempt in 0..ATTEMPTS {
        let strength = (options.strength + 0.15 * attempt as f32).min(1.0);
        let radius = (options.size * height.min(width) as f32).max(2.0);
        let centre = busiest_place(&good, &mut random, radius);
        let mut changed = good.clone();
        lay(&mut changed, &good, &mut random, options.kind, centre, radius, strength);
        let marked: Vec<bool> = good.pixels.iter().zip(&changed.pixels).map(differs).collect();
        if marked.iter().filter(|&&is_marked| is_marked).count() >= enough {
            let bytes = changed.pixels.as_flattened().iter().map(|value| (value * 255.0).round() as u8);
            let image = RgbImage { height, width, pixels: Pixels::U8(bytes.collect()) };
            return Some(DefectiveImage { image, mask: Mask { height: size.0, width: size.1, marked } });
        }
    }
    None
}

/// The 8-bit version of an image, as its defective twins have it.
pub fn eight_bits(image: &RgbImage) -> RgbImage {
    let pixels = canvas_of(image).pixels;
    let bytes = pixels.as_flattened().iter().map(|value| (value * 255.0).round() as u8).collect();
    RgbImage { height: image.height, width: image.width, pixels: Pixels::U8(bytes) }
}

fn canvas_of(image: &RgbImage) -> Canvas {
    let unit = |index: usize| match &image.pixels {
        Pixels::U8(values) => f32::from(values[index]) / 255.0,
        Pixels::U16(values) => f32::from(values[index]) / 65_535.0,
        Pixels::F32(values) => values[index].clamp(0.0, 1.0),
    };
    Canvas::paint((image.height, image.width), |y, x| {
        let start = 3 * (y * image.width + x);
        [unit(start), unit(start + 1), unit(start + 2)]
    })
}

fn differs((one, other): (&Colour, &Colour)) -> bool {
    one.iter().zip(other).any(|(one, other)| (one - other).abs() > VISIBLE)
}

fn grey(colour: Colour) -> f32 {
    (colour[0] + colour[1] + colour[2]) / 3.0
}

/// Of several random places the one around which brightness varies most.
fn busiest_place(canvas: &Canvas, random: &mut Random, radius: f32) -> (f32, f32) {
    let (height, width) = canvas.size();
    let margin = |extent: usize| (radius / extent as f32).clamp(0.02, 0.45);
    let places: Vec<(f32, f32)> = (0..PLACES)
        .map(|_| {
            let (my, mx) = (margin(height), margin(width));
            (random.range(my, 1.0 - my) * height as f32, random.range(mx, 1.0 - mx) * width as f32)
        })
        .collect();
    let activity = |&(y, x): &(f32, f32)| {
        let values: Vec<f32> = ring(canvas, (y, x), radius).map(grey).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        values.iter().map(|value| (value - mean).powi(2)).sum::<f32>()
    };
    places
        .iter()
        .copied()
        .max_by(|one, other| activity(one).total_cmp(&activity(other)))
        .unwrap_or((height as f32 / 2.0, width as f32 / 2.0))
}

/// Colours on a grid of 9 x 9 points within `radius` of a place.
fn ring(canvas: &Canvas, (y, x): (f32, f32), radius: f32) -> impl Iterator<Item = Colour> + '_ {
    (0..81).map(move |step| {
        let (dy, dx) = ((step / 9) as f32 / 4.0 - 1.0, (step % 9) as f32 / 4.0 - 1.0);
        nearest(canvas, y + dy * radius, x + dx * radius)
    })
}

/// The colour at the pixel nearest to a point, the border repeated.
fn nearest(canvas: &Canvas, y: f32, x: f32) -> Colour {
    let clamp = |value: f32, extent: usize| (value.round().max(0.0) as usize).min(extent - 1);
    canvas.pixels[clamp(y, canvas.height) * canvas.width + clamp(x, canvas.width)]
}

fn lay(
    canvas: &mut Canvas,
    good: &Canvas,
    random: &mut Random,
    kind: Pasted,
    centre: (f32, f32),
    radius: f32,
    strength: f32,
) {
    if kind == Pasted::Scratch {
        return scratched(canvas, random, centre, radius, strength);
    }
    let size = canvas.size();
    let blob = Blob::new(random, size, centre, radius, 0.16);
    let edge = (0.12 * radius).max(1.0);
    // What the patch becomes at full cover, from the good image.
    let patch: Box<dyn Fn(usize, usize, Colour) -> Colour> = match kind {
        Pasted::Scratch | Pasted::Spot => {
            let here = nearest(good, centre.0, centre.1);
            let goal = if grey(here) > 0.5 { random.range(0.0, 0.3) } else { random.range(0.7, 1.0) };
            // What a grey camera sees has no tint.
            let is_grey =
                ring(good, centre, radius).all(|colour| colour[0] == colour[1] && colour[1] == colour[2]);
            let tint = if is_grey { 0.0 } else { 0.05 };
            let colour = [goal; 3].map(|value: f32| (value + tint * random.normal()).clamp(0.0, 1.0));
            let opacity = 0.12 + 0.7 * strength;
            let texture = Noise::new(random, size, (radius.max(3.0) / 2.0, radius.max(3.0) / 2.0));
            Box::new(move |y, x, before| {
                let uneven = 1.0 + 0.08 * texture.at(y as f32, x as f32);
                mix(before, lit(colour, uneven), opacity)
            })
        }
        Pasted::Foreign => {
            let from = busiest_place(good, random, radius);
            let turns = 1 + random.index(3);
            let opacity = 0.35 + 0.65 * strength;
            Box::new(move |y, x, before| {
                let (dy, dx) = (y as f32 - centre.0, x as f32 - centre.1);
                let (dy, dx) = [(dy, dx), (dx, -dy), (-dy, -dx), (-dx, dy)][turns];
                mix(before, nearest(good, from.0 + dy, from.1 + dx), opacity)
            })
        }
        Pasted::Shift => {
            let angle = random.range(0.0, std::f32::consts::TAU);
            let far = 1.5 + (0.15 + 0.45 * strength) * radius;
            let (dy, dx) = (far * angle.sin(), far * angle.cos());
            Box::new(move |y, x, _| nearest(good, y as f32 - dy, x as f32 - dx))
        }
        Pasted::Blur => {
            let reach = ((0.06 + 0.2 * strength) * radius).clamp(1.0, 12.0).round() as i32;
            Box::new(move |y, x, _| mean_around(good, y, x, reach))
        }
        Pasted::Pale => {
            let colours: Vec<Colour> = ring(good, centre, radius).collect();
            let mean: Colour = std::array::from_fn(|c| {
                colours.iter().map(|colour| colour[c]).sum::<f32>() / colours.len() as f32
            });
            let brighter = if grey(mean) > 0.6 { -1.0 } else { 1.0 } * (0.03 + 0.22 * strength);
            let contrast = 1.0 - 0.75 * strength;
            Box::new(move |_, _, before| {
                std::array::from_fn(|c| mean[c] + (before[c] - mean[c]) * contrast + brighter)
            })
        }
    };
    canvas.change(|y, x, pixel| {
        let cover = smoothstep(-edge, edge, blob.depth(y, x));
        if cover > 0.0 {
            *pixel = mix(*pixel, patch(y, x, *pixel), cover).map(|value| value.clamp(0.0, 1.0));
        }
    });
}

fn scratched(canvas: &mut Canvas, random: &mut Random, centre: (f32, f32), radius: f32, strength: f32) {
    let angle = random.range(0.0, std::f32::consts::TAU);
    let curve = Curve::wander(random, centre, angle, 4.0 * radius, 0.9).centred(centre);
    let here = grey(nearest(canvas, centre.0, centre.1));
    let ground = if here > 0.5 { random.range(0.0, 0.25) } else { random.range(0.75, 1.0) };
    let look = ScratchLook { ground: [ground; 3], opacity: 0.15 + 0.7 * strength, lips: 0.25 * strength };
    let half_width = (0.05 * radius * random.range(0.7, 1.5)).max(0.8);
    scratch(canvas, random, &curve, half_width, &look);
    canvas.pixels.iter_mut().for_each(|pixel| *pixel = pixel.map(|value| value.clamp(0.0, 1.0)));
}

/// The mean colour of the square of `reach` pixels around a pixel.
fn mean_around(canvas: &Canvas, y: usize, x: usize, reach: i32) -> Colour {
    let mut sum = [0.0; 3];
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let colour = nearest(canvas, (y as i32 + dy) as f32, (x as i32 + dx) as f32);
            sum = std::array::from_fn(|c| sum[c] + colour[c]);
        }
    }
    let side = (2 * reach + 1) as f32;
    sum.map(|value| value / (side * side))
}

#[cfg(test)]
mod tests {
    use super::super::{Generator, Look};
    use super::*;

    fn options(kind: Pasted) -> PasteOptions {
        PasteOptions { kind, strength: 0.5, size: 0.08, seed: 3, stream: 7 }
    }

    #[test]
    fn every_kind_changes_just_what_its_mask_marks() {
        let image = Generator::new(Look::Fabric, 1, (96, 128)).unwrap().good(0);
        let Pixels::U8(before) = &image.pixels else { panic!("synthetic images have 8 bits") };
        for kind in Pasted::ALL {
            let made = paste_defect(&image, &options(kind)).unwrap();
            let Pixels::U8(after) = &made.image.pixels else { panic!("pasted images have 8 bits") };
            let pixels = before.chunks_exact(3).zip(after.chunks_exact(3)).zip(&made.mask.marked);
            let area = made.mask.marked.iter().filter(|&&marked| marked).count();
            assert!((6..96 * 128 / 4).contains(&area), "{}: {area} pixels", kind.name());
            for ((before, after), &is_marked) in pixels {
                let change = before.iter().zip(after).map(|(b, a)| b.abs_diff(*a)).max().unwrap();
                // The mask is made before rounding to 8 bits.
                assert!(if is_marked { change >= 2 } else { change <= 3 }, "{}: {change}", kind.name());
            }
        }
    }

    #[test]
    fn the_seed_and_the_stream_fix_a_defect() {
        let image = Generator::new(Look::Metal, 1, (64, 64)).unwrap().good(0);
        let made = paste_defect(&image, &options(Pasted::Spot));
        assert_eq!(made, paste_defect(&image, &options(Pasted::Spot)));
        assert_ne!(made, paste_defect(&image, &PasteOptions { stream: 8, ..options(Pasted::Spot) }));
        assert_ne!(made, paste_defect(&image, &PasteOptions { seed: 4, ..options(Pasted::Spot) }));
    }

    #[test]
    fn stronger_defects_change_more() {
        let image = Generator::new(Look::Print, 1, (96, 96)).unwrap().good(0);
        for kind in [Pasted::Spot, Pasted::Scratch, Pasted::Pale] {
            let change = |strength| {
                let made = paste_defect(&image, &PasteOptions { strength, ..options(kind) }).unwrap();
                let (Pixels::U8(a), Pixels::U8(b)) = (&image.pixels, &made.image.pixels) else { panic!() };
                a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
            };
            assert!(change(0.9) > change(0.1), "{}", kind.name());
        }
    }

    #[test]
    fn what_cannot_be_seen_is_not_made() {
        let flat = RgbImage { height: 64, width: 64, pixels: Pixels::U16(vec![30_000; 64 * 64 * 3]) };
        assert_eq!(paste_defect(&flat, &options(Pasted::Shift)), None);
        assert_eq!(paste_defect(&flat, &options(Pasted::Blur)), None);
        assert!(paste_defect(&flat, &options(Pasted::Spot)).is_some());
    }
}
