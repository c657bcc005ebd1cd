//! The street that all clips of a set show, and what drives on it.

use crate::synth::canvas::{Canvas, Colour, lit, mix};
use crate::synth::noise::Noise;
use crate::synth::random::Random;

/// Lanes, from the top.
pub(super) const LANES: usize = 2;

const ASPHALT: Colour = [0.34, 0.34, 0.36];
const GRASS: Colour = [0.25, 0.38, 0.20];
const KERB: Colour = [0.62, 0.61, 0.58];
const PAINT: Colour = [0.85, 0.85, 0.80];
const GLASS: Colour = [0.10, 0.13, 0.16];

/// Colours of cars.
pub(super) const COLOURS: [Colour; 6] = [
    [0.75, 0.16, 0.14],
    [0.16, 0.28, 0.62],
    [0.86, 0.86, 0.87],
    [0.12, 0.12, 0.14],
    [0.62, 0.64, 0.66],
    [0.80, 0.66, 0.18],
];

/// The empty street.
pub(super) struct Street {
    ground: Canvas,
    /// Pixels of one unit; the street is 128 units high.
    unit: f32,
}

/// A rectangle with round corners: centre (y, x), half height and half width, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outline {
    pub(super) centre: (f32, f32),
    pub(super) half: (f32, f32),
    pub(super) corner: f32,
}

impl Outline {
    /// How much of the pixel at (y, x) it covers, 0 to 1.
    pub(super) fn cover(&self, y: f32, x: f32) -> f32 {
        let beyond = |at: f32, centre: f32, half: f32| ((at - centre).abs() - half + self.corner).max(0.0);
        let (dy, dx) = (beyond(y, self.centre.0, self.half.0), beyond(x, self.centre.1, self.half.1));
        (0.5 - (dy.hypot(dx) - self.corner)).clamp(0.0, 1.0)
    }

    /// Whether another one comes nearer than a margin.
    pub(super) fn meets(&self, other: &Self, margin: f32) -> bool {
        let near = |a: f32, b: f32, half: f32| (a - b).abs() < half + margin;
        near(self.centre.0, other.centre.0, self.half.0 + other.half.0)
            && near(self.centre.1, other.centre.1, self.half.1 + other.half.1)
    }
}

impl Street {
    /// The street of a set.
    pub(super) fn new(random: &mut Random, size: (usize, usize)) -> Self {
        let unit = size.0 as f32 / 128.0;
        let coarse = Noise::new(random, size, (14.0 * unit, 14.0 * unit)).field(size);
        let fine = Noise::new(random, size, (1.6 * unit, 1.6 * unit)).field(size);
        let (top, bottom) = (26.0 * unit, 102.0 * unit);
        let ground = Canvas::paint(size, |y, x| {
            let at = y * size.1 + x;
            let row = y as f32 + 0.5;
            let from_edge = (row - top).abs().min((row - bottom).abs());
            let base = if from_edge < 2.5 * unit {
                KERB
            } else if row < top || row > bottom {
                GRASS
            } else {
                ASPHALT
            };
            lit(base, 1.0 + 0.05 * coarse[at] + 0.035 * fine[at])
        });
        let mut street = Self { ground, unit };
        street.mark();
        street
    }

    /// Dashes between the lanes, every one 12 units long.
    fn mark(&mut self) {
        let (unit, width) = (self.unit, self.ground.width as f32);
        let mut left = 4.0 * unit;
        while left < width {
            let dash = Outline {
                centre: (64.0 * unit, left + 6.0 * unit),
                half: (1.1 * unit, 6.0 * unit),
                corner: 0.0,
            };
            draw(&mut self.ground, &dash, PAINT);
            left += 26.0 * unit;
        }
    }

    /// Pixels of one unit.
    pub(super) fn unit(&self) -> f32 {
        self.unit
    }

    /// Height and width in pixels.
    pub(super) fn size(&self) -> (usize, usize) {
        self.ground.size()
    }

    /// The middle of a lane, in pixels from the top.
    pub(super) fn lane(&self, lane: usize) -> f32 {
        (45.0 + 38.0 * lane as f32) * self.unit
    }

    /// The empty street under light of this strength.
    pub(super) fn lit(&self, brightness: f32) -> Canvas {
        let mut canvas = self.ground.clone();
        canvas.change(|_, _, pixel| *pixel = lit(*pixel, brightness));
        canvas
    }
}

/// Covers what an outline covers.
fn draw(canvas: &mut Canvas, outline: &Outline, colour: Colour) {
    let (height, width) = canvas.size();
    let span = |centre: f32, half: f32, end: usize| {
        let first = (centre - half - 1.0).max(0.0) as usize;
        let last = (centre + half + 2.0).clamp(0.0, end as f32) as usize;
        first..last
    };
    for y in span(outline.centre.0, outline.half.0, height) {
        for x in span(outline.centre.1, outline.half.1, width) {
            let opacity = outline.cover(y as f32 + 0.5, x as f32 + 0.5);
            let pixel = &mut canvas.pixels[y * width + x];
            *pixel = mix(*pixel, colour, opacity);
        }
    }
}

/// A car that looks to the right or, turned, to the left.
pub(super) fn draw_car(canvas: &mut Canvas, body: &Outline, colour: Colour, is_turned: bool) {
    let ahead = if is_turned { -1.0 } else { 1.0 };
    draw(canvas, body, colour);
    let part = |along: f32, half: (f32, f32)| Outline {
        centre: (body.centre.0, body.centre.1 + ahead * along * body.half.1),
        half: (half.0 * body.half.0, half.1 * body.half.1),
        corner: 0.15 * body.half.0,
    };
    draw(canvas, &part(0.30, (0.78, 0.14)), GLASS);
    draw(canvas, &part(-0.62, (0.72, 0.09)), GLASS);
    draw(canvas, &part(-0.16, (0.74, 0.28)), lit(colour, 1.12));
}

/// A thing that is no car: a ball with a band.
pub(super) fn draw_ball(canvas: &mut Canvas, ball: &Outline) {
    draw(canvas, ball, [0.92, 0.36, 0.62]);
    let band = Outline { half: (0.25 * ball.half.0, 0.9 * ball.half.1), corner: 0.0, ..*ball };
    draw(canvas, &band, [0.97, 0.95, 0.30]);
}
