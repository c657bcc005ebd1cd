//! What the camera looks at, and the camera: colours in [0, 1], light, optics and sensor noise.

use super::noise::Noise;
use super::random::Random;

/// Linear RGB in [0, 1].
pub(crate) type Colour = [f32; 3];

/// A picture before the camera: H x W colours, row-major.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<Colour>,
}

/// Variance of the sensor's own noise, and of its photon noise per unit of brightness.
const READ_NOISE: f32 = 0.000_016;
const SHOT_NOISE: f32 = 0.000_045;

/// Standard deviation of the sensor's noise at a brightness in [0, 1].
pub(crate) fn sensor_noise(brightness: f32) -> f32 {
    (READ_NOISE + SHOT_NOISE * brightness.max(0.0)).sqrt()
}

impl Canvas {
    /// A picture whose pixel at (y, x) is `paint(y, x)`.
    pub(crate) fn paint(
        (height, width): (usize, usize),
        mut paint: impl FnMut(usize, usize) -> Colour,
    ) -> Self {
        let mut pixels = Vec::with_capacity(height * width);
        for y in 0..height {
            pixels.extend((0..width).map(|x| paint(y, x)));
        }
        Self { height, width, pixels }
    }

    /// Height and width.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Covers each pixel with `colour` by the opacity that `cover(y, x)` gives.
    pub(crate) fn cover(&mut self, colour: Colour, cover: impl Fn(usize, usize) -> f32) {
        self.change(|y, x, pixel| {
            let opacity = cover(y, x).clamp(0.0, 1.0);
            if opacity > 0.0 {
                *pixel = mix(*pixel, colour, opacity);
            }
        });
    }

    /// Changes each pixel in place.
    pub(crate) fn change(&mut self, mut change: impl FnMut(usize, usize, &mut Colour)) {
        for (y, row) in self.pixels.chunks_exact_mut(self.width).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                change(y, x, pixel);
            }
        }
    }

    /// The lens: a blur of about 0.6 pixels.
    pub(crate) fn through_lens(mut self) -> Self {
        const SIDE: f32 = 0.18;
        let blend = |before: Colour, here: Colour, after: Colour| -> Colour {
            std::array::from_fn(|c| SIDE * (before[c] + after[c]) + (1.0 - 2.0 * SIDE) * here[c])
        };
        let (height, width) = self.size();
        let source = self.pixels.clone();
        self.change(|y, x, pixel| {
            let row = &source[y * width..(y + 1) * width];
            *pixel = blend(row[x.saturating_sub(1)], row[x], row[(x + 1).min(width - 1)]);
        });
        let source = self.pixels.clone();
        self.change(|y, x, pixel| {
            let at = |y: usize| source[y * width + x];
            *pixel = blend(at(y.saturating_sub(1)), at(y), at((y + 1).min(height - 1)));
        });
        self
    }

    /// The sensor: noise and 8 bits; H x W x 3.
    pub(crate) fn expose(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.pixels.len() * 3);
        for value in self.pixels.as_flattened() {
            let noisy = value + random.normal() * sensor_noise(*value);
            bytes.push((noisy.clamp(0.0, 1.0) * 255.0).round() as u8);
        }
        bytes
    }
}

/// From `one` to `other` by `share` in [0, 1].
pub(crate) fn mix(one: Colour, other: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| one[c] + (other[c] - one[c]) * share)
}

/// A colour times a brightness.
pub(crate) fn lit(colour: Colour, brightness: f32) -> Colour {
    colour.map(|value| value * brightness)
}

/// Lights the scene: a lamp whose strength, side and evenness differ a little from picture to picture.
pub(crate) fn light(canvas: &mut Canvas, random: &mut Random) {
    let (height, width) = canvas.size();
    let gain = 1.0 + 0.025 * random.normal();
    let (slope_y, slope_x) = (0.05 * random.normal(), 0.05 * random.normal());
    let vignette = random.range(0.04, 0.10);
    let uneven =
        Noise::new(random, (height, width), (height as f32 / 3.0, width as f32 / 3.0)).field((height, width));
    canvas.change(|y, x, pixel| {
        let v = (y as f32 + 0.5) / height as f32 * 2.0 - 1.0;
        let u = (x as f32 + 0.5) / width as f32 * 2.0 - 1.0;
        let unevenness = 0.012 * uneven[y * width + x];
        let brightness = gain + slope_y * v + slope_x * u - vignette * (v * v + u * u) * 0.5 + unevenness;
        *pixel = lit(*pixel, brightness);
    });
}
