//! Random changes of colour.

use super::pixels::brightness;
use crate::synth::random::Random;

/// How far colours may change: factors of brightness, contrast and saturation within 1 - x to 1 + x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourJitter {
    /// Of all values.
    pub brightness: f32,
    /// Of differences from the mean brightness.
    pub contrast: f32,
    /// Of differences from a pixel's own brightness.
    pub saturation: f32,
}

impl ColourJitter {
    /// Nothing changes.
    pub const NONE: Self = Self::even(0.0);

    /// The same for all three.
    pub const fn even(most: f32) -> Self {
        Self { brightness: most, contrast: most, saturation: most }
    }

    /// Changes an image of 3 x H x W values in [0, 1] in place, fixed by `(seed, stream)`.
    pub fn apply(&self, planes: &mut [f32], seed: u64, stream: u64) {
        let change = self.draw(&mut Random::new(seed, 0x1a3e, stream));
        let plane = planes.len() / 3;
        let colour = |planes: &[f32], at: usize| std::array::from_fn(|channel| planes[channel * plane + at]);
        let mean = (0..plane).map(|at| brightness(colour(planes, at))).sum::<f32>() / plane.max(1) as f32;
        for at in 0..plane {
            let changed = change.of(colour(planes, at), mean);
            (0..3).for_each(|channel| planes[channel * plane + at] = changed[channel]);
        }
    }

    pub(super) fn draw(&self, random: &mut Random) -> Change {
        let mut factor = |most: f32| random.range(1.0 - most, 1.0 + most);
        Change {
            brightness: factor(self.brightness),
            contrast: factor(self.contrast),
            saturation: factor(self.saturation),
        }
    }
}

/// One change of colour.
pub(super) struct Change {
    brightness: f32,
    contrast: f32,
    saturation: f32,
}

impl Change {
    /// A colour of an image of that mean brightness.
    pub(super) fn of(&self, colour: [f32; 3], mean: f32) -> [f32; 3] {
        let own = brightness(colour);
        colour.map(|value| {
            let saturated = own + (value - own) * self.saturation;
            ((mean + (saturated - mean) * self.contrast) * self.brightness).clamp(0.0, 1.0)
        })
    }
}
