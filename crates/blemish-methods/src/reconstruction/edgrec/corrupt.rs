//! What the edges of training images are taken from: the image, or its corrupted twin.

use super::config::{EdgRecConfig, Source};
use crate::shared::augment::seed_of;
use crate::shared::defects::{DefectSample, Maker, Simulated};
use blemish_data::Mask;
use blemish_data::synth::kit::{MadeDefect, Operation, Rate, Simulation};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sides of a part that is put elsewhere, in parts of the height.
const PART: (f32, f32) = (0.8, 0.9);

/// Half of the samples stay good, a quarter gets a part of itself elsewhere, a quarter a texture.
pub(super) struct Corruption {
    /// Share of samples with a defect.
    defects: f32,
    /// Share of those that are parts of the image.
    cut_paste: f32,
    /// The others.
    pub(super) simulated: Simulated,
}

impl Corruption {
    pub(super) fn new(config: &EdgRecConfig, seed: u64) -> Self {
        let simulation = Simulation { rate: Rate::Chance(1.0), keeps_grey: false, ..Simulation::draem() };
        let mut operations = simulation.operations.clone();
        if config.source == Source::Training {
            operations.extend([Operation::Hue, Operation::ChannelDropout]);
        }
        Self {
            defects: config.defects,
            cut_paste: config.cut_paste,
            simulated: Simulated {
                simulation: Simulation { operations, ..simulation },
                textures: None,
                foreground: Default::default(),
                seed,
            },
        }
    }
}

impl Maker for Corruption {
    fn seed(&self) -> u64 {
        self.simulated.seed
    }

    fn lay(&self, good: &[f32], size: (usize, usize), number: u64) -> DefectSample {
        let mut random = ChaCha8Rng::seed_from_u64(seed_of(self.seed(), number).wrapping_add(1));
        let is_moved = random.random::<f32>() < self.cut_paste;
        if random.random::<f32>() >= self.defects {
            return DefectSample::of(good, None);
        }
        match is_moved {
            true => DefectSample::of(good, Some(moved(good, size, &mut random))),
            false => self.simulated.lay(good, size, number),
        }
    }
}

/// A part of the image, turned around its upper left corner, put elsewhere; black comes in from outside the part.
fn moved(good: &[f32], (height, width): (usize, usize), random: &mut impl Rng) -> MadeDefect {
    let mut side = || (random.random_range(PART.0..PART.1) * height as f32) as usize;
    let (rows, columns) = (side().max(1), side().max(1));
    let (top, left) = (random.random_range(0..height), random.random_range(0..width));
    // What reaches beyond the image is cut off.
    let (rows, columns) = (rows.min(height - top), columns.min(width - left));
    let angle = random.random_range(-std::f32::consts::PI..std::f32::consts::PI);
    let (to_top, to_left) =
        (random.random_range(0..=height - rows), random.random_range(0..=width - columns));
    let (sine, cosine) = angle.sin_cos();
    let mut pixels = good.to_vec();
    let mut marked = vec![false; height * width];
    let plane = height * width;
    for at in 0..rows * columns {
        let (y, x) = (at / columns, at % columns);
        let to = (to_top + y) * width + to_left + x;
        marked[to] = true;
        let (v, u) = (cosine * y as f32 - sine * x as f32, sine * y as f32 + cosine * x as f32);
        let (above, before) = (v.floor(), u.floor());
        let (down, across) = (v - above, u - before);
        let value = |channel: usize, y: f32, x: f32| {
            let is_inside = y >= 0.0 && x >= 0.0 && (y as usize) < rows && (x as usize) < columns;
            let from = |y: f32, x: f32| (top + y as usize) * width + left + x as usize;
            if is_inside { good[channel * plane + from(y, x)] } else { 0.0 }
        };
        for channel in 0..3 {
            let upper =
                value(channel, above, before) * (1.0 - across) + value(channel, above, before + 1.0) * across;
            let lower = value(channel, above + 1.0, before) * (1.0 - across)
                + value(channel, above + 1.0, before + 1.0) * across;
            pixels[channel * plane + to] = upper * (1.0 - down) + lower * down;
        }
    }
    MadeDefect { pixels, mask: Mask { height, width, marked } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_data::synth::kit::Textures;

    const SIZE: (usize, usize) = (32, 40);

    fn image() -> Vec<f32> {
        (0..3 * SIZE.0 * SIZE.1).map(|at| 0.1 + 0.8 * (at * 31 % 211) as f32 / 211.0).collect()
    }

    #[test]
    fn half_of_the_samples_stay_good_and_both_branches_come_alike_often() {
        let mut corruption = Corruption::new(&EdgRecConfig::default(), 3);
        corruption.simulated.textures = Some(Textures::made_up(SIZE, 6, 1));
        let good = image();
        let plane = SIZE.0 * SIZE.1;
        let (mut clean, mut moved) = (0.0, 0.0);
        for number in 0..10_000 {
            let sample = corruption.lay(&good, SIZE, number);
            let marked = sample.mask.iter().sum::<f32>();
            clean += f32::from(u8::from(marked == 0.0));
            // Parts put elsewhere are rectangles.
            let rows = sample.mask.chunks(SIZE.1).map(|row| row.iter().sum::<f32>()).collect::<Vec<_>>();
            let widest = rows.iter().copied().fold(0.0, f32::max);
            let is_rectangle = marked > 0.0 && rows.iter().all(|&sum| sum == 0.0 || sum == widest);
            moved += f32::from(u8::from(is_rectangle && marked > 60.0));
            if number < 300 {
                let outside = (0..3 * plane).filter(|at| sample.mask[at % plane] == 0.0);
                for at in outside {
                    assert_eq!(sample.image[at].to_bits(), good[at].to_bits());
                }
            }
        }
        // And textures with empty masks, 6 % of a quarter.
        assert!((clean / 10_000.0 - 0.5f32).abs() < 0.035, "{clean}");
        assert!((0.18..0.27).contains(&(moved / 10_000.0)), "{moved}");
    }

    #[test]
    fn parts_lie_within_the_image_and_hold_its_values() {
        let good = vec![0.5; 3 * SIZE.0 * SIZE.1];
        for seed in 0..200 {
            let made = moved(&good, SIZE, &mut ChaCha8Rng::seed_from_u64(seed));
            assert!(made.mask.marked.contains(&true));
            assert!(made.pixels.iter().all(|value| (0.0..=0.500_001).contains(value)));
        }
    }

    #[test]
    fn numbers_fix_samples() {
        let corruption =
            Corruption::new(&EdgRecConfig { cut_paste: 1.0, defects: 1.0, ..EdgRecConfig::default() }, 3);
        let sample = |number| corruption.lay(&image(), SIZE, number);
        assert_eq!(sample(4), sample(4));
        assert_ne!(sample(4), sample(5));
    }
}
