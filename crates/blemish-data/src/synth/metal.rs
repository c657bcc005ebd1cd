//! Brushed metal: fine streaks along one direction, and the bright band that such a surface makes of a lamp.

use super::Defect;
use super::canvas::{Canvas, Colour, lit, mix};
use super::defects::{ScratchLook, StainLook, place, scratch, stain};
use super::noise::{Noise, smoothstep};
use super::random::Random;
use super::shape::{Blob, Curve};

/// What all sheets of one metal share.
pub(crate) struct Sheet {
    colour: Colour,
}

const COLOURS: [Colour; 3] = [[0.60, 0.615, 0.63], [0.66, 0.60, 0.50], [0.56, 0.56, 0.57]];

/// Layers of streaks: (across, along) in pixels at 256 pixels a side, and their contrast.
const STREAKS: [(f32, f32, f32); 4] =
    [(0.85, 34.0, 0.042), (1.6, 90.0, 0.028), (5.0, 200.0, 0.017), (22.0, 320.0, 0.014)];

/// A shallow dent: a bump in the normals.
struct Dent {
    centre: (f32, f32),
    radius: (f32, f32),
    depth: f32,
}

impl Sheet {
    /// The metal of a set.
    pub(crate) fn new(seed: u64) -> Self {
        Self { colour: COLOURS[(seed % COLOURS.len() as u64) as usize] }
    }

    /// A sheet, lying and lit a little differently each time.
    pub(crate) fn paint(
        &self,
        random: &mut Random,
        size: (usize, usize),
        defect: Option<(Defect, &mut Random)>,
    ) -> Canvas {
        let unit = size.0.min(size.1) as f32 / 256.0;
        let Some((defect, fault)) = defect else { return self.brushed(random, size, None) };
        if defect == Defect::Dent {
            let radius = fault.range(9.0, 22.0) * unit;
            let dent = Dent {
                centre: place(fault, size, 0.16),
                radius: (radius, radius * fault.range(0.85, 1.3)),
                depth: fault.range(0.75, 1.15) * fault.sign(),
            };
            return self.brushed(random, size, Some(&dent));
        }
        let mut canvas = self.brushed(random, size, None);
        match defect {
            Defect::Scratch => {
                let (angle, length) = (fault.range(0.15, 2.99), fault.range(40.0, 130.0) * unit);
                let centre = place(fault, size, 0.2);
                let curve = Curve::wander(fault, centre, angle, length, 0.35).centred(centre);
                let is_bright = fault.chance(0.6);
                let ground = if is_bright { lit(self.colour, 1.4) } else { lit(self.colour, 0.45) };
                let look = ScratchLook { ground, opacity: fault.range(0.4, 0.7), lips: 0.16 };
                let half_width = (fault.range(0.55, 1.25) * unit).max(0.55);
                scratch(&mut canvas, fault, &curve, half_width, &look);
            }
            Defect::Pits => self.pits(&mut canvas, fault, unit),
            _ => {
                let centre = place(fault, size, 0.16);
                let radius = fault.range(10.0, 28.0) * unit;
                let blob = Blob::new(fault, size, centre, radius, 0.14);
                let depth = fault.range(0.68, 0.86);
                let look = StainLook { tint: [depth, depth, depth * 0.95], softness: 0.22, rim: 0.62 };
                stain(&mut canvas, fault, &blob, &look);
            }
        }
        canvas
    }

    fn brushed(&self, random: &mut Random, size: (usize, usize), dent: Option<&Dent>) -> Canvas {
        let unit = size.0.min(size.1) as f32 / 256.0;
        let slope = 0.012 * random.normal();
        let layers = STREAKS.map(|(across, along, contrast)| {
            let spacing = ((across * unit).max(0.8), along * unit);
            (Noise::new(random, (size.0 + size.1 / 16, size.1), spacing), contrast)
        });
        let band = (0.5 + 0.05 * random.normal(), random.range(0.42, 0.50), random.range(0.28, 0.34));
        let lean = 0.06 * random.normal();
        Canvas::paint(size, |y, x| {
            let (mut row, column) = (y as f32 + slope * x as f32 + size.1 as f32 / 32.0, x as f32);
            let (mut tilt, mut glare) = (0.0, 0.0);
            if let Some(dent) = dent {
                let v = (y as f32 - dent.centre.0) / dent.radius.0;
                let u = (x as f32 - dent.centre.1) / dent.radius.1;
                let bump = dent.depth * (-(v * v + u * u)).exp();
                // The slopes turn the surface towards or away from the lamp and shift the streaks a little.
                tilt = -u * bump;
                glare = -v * bump;
                row += 1.2 * unit * v * bump;
            }
            let position = column / size.1 as f32 + lean * (y as f32 / size.0 as f32 - 0.5);
            let from_band = (position - band.0 - 0.22 * tilt) / band.1;
            let highlight = band.2 * (-from_band * from_band).exp();
            let grain: f32 = layers.iter().map(|(noise, contrast)| contrast * noise.at(row, column)).sum();
            let brightness = 0.86 + highlight + 0.31 * glare + 0.12 * tilt;
            lit(self.colour, brightness * (1.0 + grain))
        })
    }

    /// Corrosion: a loose group of small dark pits with a faint bloom around them.
    fn pits(&self, canvas: &mut Canvas, random: &mut Random, unit: f32) {
        let size = canvas.size();
        let centre = place(random, size, 0.18);
        let spread = random.range(6.0, 15.0) * unit;
        let bloom = Blob::new(random, size, centre, spread * 1.25, 0.2);
        let rust: Colour = [0.42, 0.30, 0.21];
        let strength = random.range(0.16, 0.34);
        canvas.cover(rust, |y, x| strength * smoothstep(-0.25 * spread, 0.9 * spread, bloom.depth(y, x)));
        let count = 4 + random.index(7);
        for _ in 0..count {
            let at = (centre.0 + spread * 0.6 * random.normal(), centre.1 + spread * 0.6 * random.normal());
            let radius = (random.range(0.9, 3.1) * unit).max(0.7);
            let pit = Blob::new(random, size, at, radius, 0.2);
            let ground = mix(rust, [0.10, 0.09, 0.085], random.range(0.45, 0.9));
            canvas.cover(ground, |y, x| 0.9 * smoothstep(-0.8, 0.9, pit.depth(y, x)));
        }
    }
}
