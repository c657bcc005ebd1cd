//! Random changes of training images that leave them good: mirrored, turned, shifted, cut, with other colours.
//!
//! One seed fixes a change; the same change moves an image and all planes that belong to it (map, mask), and only the image's colours.

use super::trainer::gaussian;
use blemish_data::synth::kit::ColourJitter;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Eigenvalues, then eigenvectors in columns, of the colours of ImageNet (Krizhevsky et al. 2012), for lighting noise.
const COLOURS: ([f32; 3], [[f32; 3]; 3]) = (
    [0.2175, 0.0188, 0.0045],
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
);

/// What lies beyond the border of an image that is turned or shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// The nearest pixel of the border.
    Border,
    /// Zeros.
    Zeros,
}

/// How far training images may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// Every second one is mirrored left to right.
    pub mirrored: bool,
    /// Every second one is mirrored top to bottom.
    pub flipped: bool,
    /// Share that is turned.
    pub turned: f64,
    /// The largest angle either way, in degrees; 0 turns none.
    pub rotation: f32,
    /// The longest way down or up, right or left, in parts of the sides; 0 shifts none.
    pub shift: f32,
    /// What comes in from outside.
    pub beyond: Beyond,
    /// Height and width of a part that is cut out at a random place; `None` keeps the whole.
    pub crop: Option<(usize, usize)>,
    /// Standard deviation of noise along the principal colours of ImageNet; 0 adds nothing.
    pub lighting: f32,
    /// Change of brightness, contrast and saturation.
    pub jitter: ColourJitter,
}

/// Where the pixels of a changed image come from.
struct Motion {
    mirrored: bool,
    flipped: bool,
    sine: f32,
    cosine: f32,
    /// Rows and columns.
    shift: (f32, f32),
    /// First row and column of what is cut out.
    corner: (usize, usize),
}

impl Augmentation {
    /// Nothing changes.
    pub const NONE: Self = Self {
        mirrored: false,
        flipped: false,
        turned: 1.0,
        rotation: 0.0,
        shift: 0.0,
        beyond: Beyond::Border,
        crop: None,
        lighting: 0.0,
        jitter: ColourJitter::NONE,
    };

    /// Height and width of changed images.
    pub fn output_size(&self, (height, width): (usize, usize)) -> (usize, usize) {
        self.crop.map_or((height, width), |(rows, columns)| (rows.min(height), columns.min(width)))
    }

    /// Planes of `size` after a change that `seed` fixes: any number of planes, red, green and blue in [0, 1] first.
    ///
    /// Values between pixels are interpolated bilinearly, so a mask's border may soften where images are turned or shifted.
    ///
    /// # Panics
    /// If there are no three planes of that size.
    pub fn apply(&self, planes: &[f32], size: (usize, usize), seed: u64) -> Vec<f32> {
        let (plane, output) = (size.0 * size.1, self.output_size(size));
        assert!(
            plane > 0 && planes.len() >= 3 * plane,
            "{} values are not an image of {size:?}",
            planes.len()
        );
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let motion = self.draw(size, &mut random);
        let mut changed: Vec<f32> = planes
            .chunks_exact(plane)
            .flat_map(|plane| motion.apply(plane, size, output, self.beyond))
            .collect();
        let image = &mut changed[..3 * output.0 * output.1];
        if self.lighting > 0.0 {
            light(image, self.lighting, &mut random);
        }
        if self.jitter != ColourJitter::NONE {
            self.jitter.apply(image, seed, 0);
        }
        changed
    }

    /// Draws for what may change only.
    fn draw(&self, (height, width): (usize, usize), random: &mut impl Rng) -> Motion {
        let mirrored = self.mirrored && coin(random);
        let flipped = self.flipped && coin(random);
        let is_turned =
            self.rotation > 0.0 && (self.turned >= 1.0 || random.random_range(0.0..1.0) < self.turned);
        let angle = if is_turned { random.random_range(-self.rotation..self.rotation) } else { 0.0 };
        let (sine, cosine) = angle.to_radians().sin_cos();
        let shift = match self.shift > 0.0 {
            true => {
                let mut along = |side: usize| random.random_range(-self.shift..self.shift) * side as f32;
                (along(height), along(width))
            }
            false => (0.0, 0.0),
        };
        let corner = match self.crop {
            Some(_) => {
                let (rows, columns) = self.output_size((height, width));
                (random.random_range(0..=height - rows), random.random_range(0..=width - columns))
            }
            None => (0, 0),
        };
        Motion { mirrored, flipped, sine, cosine, shift, corner }
    }
}

fn coin(random: &mut impl Rng) -> bool {
    random.random_range(0..2u32) == 1
}

impl Motion {
    fn apply(
        &self,
        plane: &[f32],
        (height, width): (usize, usize),
        (rows, columns): (usize, usize),
        beyond: Beyond,
    ) -> Vec<f32> {
        let (sine, cosine) = (self.sine, self.cosine);
        let middle = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
        let inside = |value: f32, side: usize| match beyond {
            Beyond::Border => value.clamp(0.0, (side - 1) as f32),
            Beyond::Zeros => value.clamp(-1.0, side as f32),
        };
        let value = |y: isize, x: isize| match beyond {
            Beyond::Border => plane[(y as usize).min(height - 1) * width + (x as usize).min(width - 1)],
            Beyond::Zeros => {
                let is_inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
                if is_inside { plane[y as usize * width + x as usize] } else { 0.0 }
            }
        };
        let mut changed = Vec::with_capacity(rows * columns);
        for at in 0..rows * columns {
            let (y, x) = (at / columns + self.corner.0, at % columns + self.corner.1);
            let (y, x) = (
                if self.flipped { height - 1 - y } else { y },
                if self.mirrored { width - 1 - x } else { x },
            );
            let (dy, dx) = (y as f32 - middle.0, x as f32 - middle.1);
            let y = inside(cosine * dy - sine * dx + middle.0 + self.shift.0, height);
            let x = inside(sine * dy + cosine * dx + middle.1 + self.shift.1, width);
            let (top, left) = (y.floor(), x.floor());
            let (down, across) = (y - top, x - left);
            let (top, left) = (top as isize, left as isize);
            let upper = value(top, left) + (value(top, left + 1) - value(top, left)) * across;
            let lower = value(top + 1, left) + (value(top + 1, left + 1) - value(top + 1, left)) * across;
            changed.push(upper + (lower - upper) * down);
        }
        changed
    }
}

/// Adds what changed lighting does to every pixel of an image alike, along the principal colours.
fn light(image: &mut [f32], deviation: f32, random: &mut impl Rng) {
    let amounts: [f32; 3] = std::array::from_fn(|_| gaussian(random) * deviation);
    let plane = image.len() / 3;
    for (channel, plane) in image.chunks_exact_mut(plane).enumerate() {
        let (values, vectors) = (COLOURS.0, COLOURS.1[channel]);
        let light: f32 = (0..3).map(|i| vectors[i] * values[i] * amounts[i]).sum();
        plane.iter_mut().for_each(|value| *value = (*value + light).clamp(0.0, 1.0));
    }
}

/// A seed of its own for each number of a stream.
pub fn seed_of(seed: u64, number: u64) -> u64 {
    seed ^ number.wrapping_add(1).rotate_left(20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (3, 4);

    /// Red, green, blue and a plane of whole numbers, 0 to 11, over 100.
    fn planes() -> Vec<f32> {
        (0..4).flat_map(|_| (0..12).map(|at| at as f32 / 100.0)).collect()
    }

    /// What seeds make of the last plane, in whole numbers.
    fn found(augmentation: Augmentation, seeds: u64) -> Vec<Vec<u32>> {
        let plane = augmentation.output_size(SIZE).0 * augmentation.output_size(SIZE).1;
        let one = |seed| {
            let changed = augmentation.apply(&planes(), SIZE, seed);
            assert_eq!(changed.len(), 4 * plane);
            assert_eq!(changed[..plane], changed[3 * plane..], "planes move alike");
            changed[3 * plane..].iter().map(|value| (value * 100.0).round() as u32).collect()
        };
        let mut found: Vec<Vec<u32>> = (0..seeds).map(one).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn nothing_changes_where_nothing_may() {
        assert_eq!(Augmentation::NONE.apply(&planes(), SIZE, 7), planes());
    }

    #[test]
    fn mirrors_give_the_four_pictures_there_are() {
        let augmentation = Augmentation { mirrored: true, flipped: true, ..Augmentation::NONE };
        let expected = [
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8],
            [8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3],
            [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
        ];
        assert_eq!(found(augmentation, 40), expected.map(Vec::from));
    }

    #[test]
    fn a_part_may_be_cut_out_anywhere() {
        let augmentation = Augmentation { crop: Some((2, 3)), ..Augmentation::NONE };
        let parts = [[0, 1, 2, 4, 5, 6], [1, 2, 3, 5, 6, 7], [4, 5, 6, 8, 9, 10], [5, 6, 7, 9, 10, 11]];
        assert_eq!(found(augmentation, 40), parts.map(Vec::from));
        let whole = Augmentation { crop: Some((9, 9)), ..Augmentation::NONE };
        assert_eq!(found(whole, 3), [(0..12).collect::<Vec<_>>()]);
    }

    #[test]
    fn turns_and_shifts_move_by_known_ways() {
        let motion = |angle: f32, shift| {
            let (sine, cosine) = angle.to_radians().sin_cos();
            Motion { mirrored: false, flipped: false, sine, cosine, shift, corner: (0, 0) }
        };
        let square: Vec<f32> = (1..=9).map(|value| value as f32).collect();
        let moved = |motion: Motion, beyond| {
            let found = motion.apply(&square, (3, 3), (3, 3), beyond);
            found.into_iter().map(|value| (value * 4.0).round() / 4.0).collect::<Vec<f32>>()
        };
        // A quarter turn: the rows are the square's columns, the last one first.
        let turned = moved(motion(-90.0, (0.0, 0.0)), Beyond::Border);
        assert_eq!(turned, [3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 1.0, 4.0, 7.0]);
        // Half a pixel to the right, one down: from (y + 1, x + 1 / 2).
        let shifted = moved(motion(0.0, (1.0, 0.5)), Beyond::Border);
        assert_eq!(shifted, [4.5, 5.5, 6.0, 7.5, 8.5, 9.0, 7.5, 8.5, 9.0]);
        let shifted = moved(motion(0.0, (1.0, 0.5)), Beyond::Zeros);
        assert_eq!(shifted, [4.5, 5.5, 3.0, 7.5, 8.5, 4.5, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_share_and_the_range_of_turns_are_kept() {
        let augmentation = Augmentation { turned: 0.3, rotation: 90.0, shift: 0.25, ..Augmentation::NONE };
        let motions: Vec<Motion> =
            (0..2000).map(|seed| augmentation.draw(SIZE, &mut ChaCha8Rng::seed_from_u64(seed))).collect();
        let turned = motions.iter().filter(|motion| motion.sine != 0.0).count();
        assert!((540..660).contains(&turned), "{turned} of 2000");
        assert!(motions.iter().all(|motion| motion.cosine > -1e-6));
        assert!(motions.iter().all(|motion| motion.shift.0.abs() <= 0.75 && motion.shift.1.abs() <= 1.0));
        assert!(motions.iter().any(|motion| motion.shift.1 < -0.9));
    }

    #[test]
    fn only_colours_of_the_image_change() {
        let augmentation =
            Augmentation { lighting: 0.1, jitter: ColourJitter::even(0.4), ..Augmentation::NONE };
        let changed = augmentation.apply(&planes(), SIZE, 5);
        assert_eq!(changed[36..], planes()[36..]);
        assert_ne!(changed[..36], planes()[..36]);
        assert!(changed.iter().all(|value| (0.0..=1.0).contains(value)));
        assert_eq!(changed, augmentation.apply(&planes(), SIZE, 5));
        assert_ne!(changed, augmentation.apply(&planes(), SIZE, 6));
        // Lighting alone moves a whole channel by one amount.
        let grey = vec![0.5; 36];
        let lit = Augmentation { lighting: 0.1, ..Augmentation::NONE }.apply(&grey, SIZE, 5);
        assert!(
            lit.chunks(12).all(|channel| channel.iter().all(|&value| value == channel[0] && value != 0.5))
        );
    }
}
