//! A printed part: a moulded plate with digits, a logo, a bar code and contact pads, laid under the camera by hand.

use super::Defect;
use super::canvas::{Canvas, Colour, lit, mix};
use super::defects::{ScratchLook, StainLook, scratch, stain};
use super::noise::{Noise, smoothstep};
use super::random::Random;
use super::shape::{Blob, Curve};
use std::f32::consts::TAU;

/// Lengths here are in units of 1/256 of the picture's shorter side; (0, 0) is the middle of the plate.
type Point = (f32, f32);

#[derive(Clone, Copy)]
enum Shape {
    /// A box with half height, half width and corner radius.
    Box(Point, f32),
    /// A ring with mean radius and half thickness; a disc if they are equal.
    Ring(f32, f32),
    /// The outline of a box: half height, half width, corner radius, half thickness.
    Frame(Point, f32, f32),
}

/// A printed shape. Marks of one group (a digit, the logo) go missing or astray together.
#[derive(Clone, Copy)]
struct Mark {
    centre: Point,
    shape: Shape,
    ink: Colour,
    group: usize,
}

/// What all parts of one set share.
pub(crate) struct Artwork {
    plate: Colour,
    marks: Vec<Mark>,
    groups: usize,
}

const PLATE: Point = (84.0, 106.0);
const PLATE_CORNER: f32 = 12.0;
const TRAY: Colour = [0.155, 0.16, 0.17];
const BLACK: Colour = [0.095, 0.10, 0.125];
const GOLD: Colour = [0.72, 0.58, 0.31];
const PLATES: [(Colour, Colour); 3] = [
    ([0.78, 0.775, 0.745], [0.66, 0.15, 0.13]),
    ([0.66, 0.69, 0.71], [0.13, 0.28, 0.58]),
    ([0.76, 0.74, 0.66], [0.10, 0.42, 0.33]),
];

/// Which segments (top, upper left, upper right, middle, lower left, lower right, bottom) make a digit.
const DIGITS: [u8; 10] = [
    0b1110111, 0b0010010, 0b1011101, 0b1011011, 0b0111010, 0b1101011, 0b1101111, 0b1010010, 0b1111111,
    0b1111011,
];

impl Artwork {
    /// The part of a set: which digits and bars it bears is drawn from `random`.
    pub(crate) fn new(seed: u64, random: &mut Random) -> Self {
        let (plate, accent) = PLATES[(seed % PLATES.len() as u64) as usize];
        let mut art = Self { plate, marks: Vec::new(), groups: 0 };
        let frame = Shape::Frame((PLATE.0 - 10.0, PLATE.1 - 10.0), 7.0, 0.85);
        art.marks.push(Mark { centre: (0.0, 0.0), shape: frame, ink: BLACK, group: 0 });
        art.groups = 1;
        art.group(&[
            ((-42.0, -62.0), Shape::Ring(17.0, 3.4), accent),
            ((-42.0, -62.0), Shape::Ring(3.8, 3.8), accent),
            ((-42.0, -62.0), Shape::Box((2.0, 12.0), 1.0), accent),
        ]);
        for place in 0..5 {
            art.digit((-44.0, -24.0 + 22.0 * place as f32), random.index(10));
        }
        let mut x = -34.0;
        while x < 78.0 {
            let half = random.range(2.2, 6.5);
            art.group(&[((-16.0, x + half), Shape::Box((1.9, half), 0.6), BLACK)]);
            x += 2.0 * half + 3.6;
        }
        let mut x = -82.0;
        while x < 14.0 {
            let half = random.range(0.9, 2.5);
            art.group(&[((17.0, x + half), Shape::Box((17.0, half), 0.2), BLACK)]);
            x += 2.0 * half + random.range(2.2, 4.8);
        }
        for (y, x) in [(8.0, 38.0), (8.0, 62.0), (34.0, 38.0), (34.0, 62.0)] {
            art.group(&[((y, x), Shape::Ring(7.5, 7.5), GOLD), ((y, x), Shape::Ring(9.4, 0.8), BLACK)]);
        }
        art.group(&[((56.0, -58.0), Shape::Box((6.0, 24.0), 2.5), accent)]);
        for place in 0..6 {
            let x = -18.0 + 17.0 * place as f32;
            art.group(&[((56.0, x), Shape::Box((1.6, 5.5), 0.8), BLACK)]);
        }
        art
    }

    fn group(&mut self, marks: &[(Point, Shape, Colour)]) {
        let group = self.groups;
        self.marks.extend(marks.iter().map(|&(centre, shape, ink)| Mark { centre, shape, ink, group }));
        self.groups += 1;
    }

    fn digit(&mut self, (y, x): Point, digit: usize) {
        let (across, down) = (Shape::Box((1.7, 5.6), 1.2), Shape::Box((5.4, 1.7), 1.2));
        let segments = [
            ((y - 12.0, x), across),
            ((y - 6.0, x - 6.4), down),
            ((y - 6.0, x + 6.4), down),
            ((y, x), across),
            ((y + 6.0, x - 6.4), down),
            ((y + 6.0, x + 6.4), down),
            ((y + 12.0, x), across),
        ];
        let lines = DIGITS[digit % DIGITS.len()];
        let lit = segments.iter().enumerate().filter(|(bit, _)| lines >> (6 - bit) & 1 == 1);
        let marks: Vec<_> = lit.map(|(_, &(centre, shape))| (centre, shape, BLACK)).collect();
        self.group(&marks);
    }

    /// A part, lying, printed and lit a little differently each time.
    pub(crate) fn paint(
        &self,
        random: &mut Random,
        size: (usize, usize),
        defect: Option<(Defect, &mut Random)>,
    ) -> Canvas {
        let pose = Pose::new(random, size);
        let mut canvas = self.plate_on_tray(random, size, &pose);
        let ink = Ink::new(random, size, pose.unit);
        let mut prints: Vec<Print> = self.marks.iter().map(|&mark| Print::of(mark)).collect();
        let Some((defect, random)) = defect else {
            ink.apply(&mut canvas, &pose, &prints, None);
            return canvas;
        };
        let mut wiped = None;
        match defect {
            Defect::Missing => wiped = self.lose(random, size, &pose, &mut prints),
            Defect::Misprint => self.misplace(random, &mut prints),
            Defect::Smear => self.smear(random, &mut prints),
            _ => {}
        }
        ink.apply(&mut canvas, &pose, &prints, wiped.as_ref());
        let on_plate = |random: &mut Random, share: f32| {
            let point = (random.range(-share, share) * PLATE.0, random.range(-share, share) * PLATE.1);
            pose.to_picture(point)
        };
        match defect {
            Defect::Scratch => {
                let (angle, length) = (random.range(0.0, TAU), random.range(34.0, 96.0) * pose.unit);
                let centre = on_plate(random, 0.6);
                let curve = Curve::wander(random, centre, angle, length, 0.5).centred(centre);
                let ground = if random.chance(0.6) { lit(self.plate, 1.14) } else { lit(self.plate, 0.5) };
                let look = ScratchLook { ground, opacity: random.range(0.6, 0.9), lips: 0.14 };
                let half_width = (random.range(0.6, 1.4) * pose.unit).max(0.55);
                scratch(&mut canvas, random, &curve, half_width, &look);
            }
            Defect::Stain => {
                let centre = on_plate(random, 0.7);
                let radius = random.range(8.0, 20.0) * pose.unit;
                let blob = Blob::new(random, size, centre, radius, 0.15);
                let depth = random.range(0.62, 0.82);
                let tint = [depth * 1.02, depth * 0.94, depth * 0.80];
                stain(&mut canvas, random, &blob, &StainLook { tint, softness: 0.2, rim: 0.4 });
            }
            _ => {}
        }
        canvas
    }

    /// A group other than the frame; the larger of two candidates, since there are many small ones.
    fn pick_group(&self, random: &mut Random) -> usize {
        let candidates = [1 + random.index(self.groups - 1), 1 + random.index(self.groups - 1)];
        let extent = |group: usize| -> f32 {
            self.marks.iter().filter(|mark| mark.group == group).map(|mark| mark.shape.reach()).sum()
        };
        if extent(candidates[0]) >= extent(candidates[1]) { candidates[0] } else { candidates[1] }
    }

    /// Removes a group, or wipes a part of the print off; returns where it was wiped.
    fn lose(
        &self,
        random: &mut Random,
        size: (usize, usize),
        pose: &Pose,
        prints: &mut Vec<Print>,
    ) -> Option<Blob> {
        let group = self.pick_group(random);
        if random.chance(0.6) {
            prints.retain(|print| print.mark.group != group);
            return None;
        }
        let centre =
            self.marks.iter().find(|mark| mark.group == group).map_or((0.0, 0.0), |mark| mark.centre);
        let centre = pose.to_picture(centre);
        let radius = random.range(6.0, 13.0) * pose.unit;
        Some(Blob::new(random, size, centre, radius, 0.2))
    }

    /// Prints a group beside its place, or twice.
    fn misplace(&self, random: &mut Random, prints: &mut Vec<Print>) {
        let group = self.pick_group(random);
        let (angle, distance) = (random.range(0.0, TAU), random.range(2.6, 6.5));
        let shift = (angle.sin() * distance, angle.cos() * distance);
        let is_double = random.chance(0.4);
        let of_group = |print: &&mut Print| print.mark.group == group;
        if !is_double {
            prints.iter_mut().filter(of_group).for_each(|print| print.shift = shift);
            return;
        }
        let opacity = random.range(0.35, 0.6);
        let twins: Vec<Print> =
            prints.iter_mut().filter(of_group).map(|print| Print { shift, opacity, ..*print }).collect();
        prints.splice(0..0, twins);
    }

    /// Drags wet ink of two or three neighbouring groups to one side.
    fn smear(&self, random: &mut Random, prints: &mut Vec<Print>) {
        let first = 1 + random.index(self.groups - 1);
        let groups = first..=first + 1 + random.index(2);
        let (angle, steps) = (random.range(0.0, TAU), 9 + random.index(10));
        let strength = random.range(0.10, 0.19);
        let dragged: Vec<Mark> =
            self.marks.iter().filter(|mark| groups.contains(&mark.group)).copied().collect();
        for step in 1..=steps {
            let opacity = strength * (1.0 - step as f32 / (steps + 1) as f32);
            let shift = (angle.sin() * step as f32 * 0.9, angle.cos() * step as f32 * 0.9);
            prints.extend(dragged.iter().map(|&mark| Print { mark, shift, opacity }));
        }
    }

    /// The bare plate on its tray: shadow, bevelled edge, fine grain.
    fn plate_on_tray(&self, random: &mut Random, size: (usize, usize), pose: &Pose) -> Canvas {
        let grain = Noise::new(random, size, (1.1, 1.1)).field(size);
        let cloud = Noise::new(random, size, (24.0 * pose.unit, 24.0 * pose.unit)).field(size);
        let tone = 1.0 + 0.012 * random.normal();
        let plate = Shape::Box(PLATE, PLATE_CORNER);
        let shadow_shift = 3.2;
        Canvas::paint(size, |y, x| {
            let index = y * size.1 + x;
            let point = pose.to_part((y as f32, x as f32));
            let edge = plate.distance(point) * pose.unit;
            let fall = plate.distance((point.0 - shadow_shift, point.1 - shadow_shift)) * pose.unit;
            let shadow = 0.55 * (1.0 - smoothstep(-3.0 * pose.unit, 6.0 * pose.unit, fall));
            let tray = lit(TRAY, (1.0 - shadow) * (1.0 + 0.05 * grain[index] + 0.02 * cloud[index]));
            // The bevel faces the lamp at the upper left and turns away from it at the lower right.
            let rim = smoothstep(-4.5 * pose.unit, 0.0, edge);
            let (v, u) = (point.0 / PLATE.0, point.1 / PLATE.1);
            let facing = if v.abs() > u.abs() { -v.signum() } else { -u.signum() };
            let brightness = tone * (1.0 + 0.009 * grain[index] + 0.007 * cloud[index]) + 0.11 * facing * rim;
            mix(lit(self.plate, brightness), tray, smoothstep(-0.7, 0.7, edge))
        })
    }
}

/// How a part lies under the camera.
struct Pose {
    unit: f32,
    scale: f32,
    cosine: f32,
    sine: f32,
    centre: Point,
}

impl Pose {
    fn new(random: &mut Random, (height, width): (usize, usize)) -> Self {
        let unit = height.min(width) as f32 / 256.0;
        let (sine, cosine) = (0.014 * random.normal()).sin_cos();
        let mut middle = |extent: usize| 0.5 * extent as f32 + 1.8 * unit * random.normal();
        let centre = (middle(height), middle(width));
        Self { unit, scale: unit * (1.0 + 0.003 * random.normal()), cosine, sine, centre }
    }

    fn to_part(&self, (y, x): Point) -> Point {
        let (dy, dx) = ((y - self.centre.0) / self.scale, (x - self.centre.1) / self.scale);
        (self.cosine * dy - self.sine * dx, self.cosine * dx + self.sine * dy)
    }

    fn to_picture(&self, (y, x): Point) -> Point {
        let (dy, dx) = (self.cosine * y + self.sine * x, self.cosine * x - self.sine * y);
        (self.centre.0 + dy * self.scale, self.centre.1 + dx * self.scale)
    }
}

impl Shape {
    /// Signed distance of a point, relative to the shape's centre, from its outline; negative inside.
    fn distance(self, (y, x): Point) -> f32 {
        let to_box = |half: Point, corner: f32| {
            let (dy, dx) = (y.abs() - half.0 + corner, x.abs() - half.1 + corner);
            let outside = (dy.max(0.0).powi(2) + dx.max(0.0).powi(2)).sqrt();
            outside + dy.max(dx).min(0.0) - corner
        };
        match self {
            Self::Box(half, corner) => to_box(half, corner.min(half.0).min(half.1)),
            Self::Ring(radius, half) if half >= radius => (y * y + x * x).sqrt() - radius,
            Self::Ring(radius, half) => ((y * y + x * x).sqrt() - radius).abs() - half,
            Self::Frame(half, corner, thickness) => to_box(half, corner).abs() - thickness,
        }
    }

    /// The farthest that the shape reaches from its centre.
    fn reach(self) -> f32 {
        match self {
            Self::Box((height, width), _) => height.hypot(width),
            Self::Ring(radius, half) => radius + half,
            Self::Frame((height, width), _, half) => height.hypot(width) + half,
        }
    }
}

/// One mark as it is printed.
#[derive(Clone, Copy)]
struct Print {
    mark: Mark,
    shift: Point,
    opacity: f32,
}

impl Print {
    fn of(mark: Mark) -> Self {
        Self { mark, shift: (0.0, 0.0), opacity: 1.0 }
    }
}

/// How the ink of one part went on.
struct Ink {
    spread: f32,
    registration: Point,
    density: Vec<f32>,
}

impl Ink {
    fn new(random: &mut Random, size: (usize, usize), unit: f32) -> Self {
        let spread = 0.12 * random.normal();
        let registration = (0.45 * random.normal(), 0.45 * random.normal());
        let spacing = (3.0 * unit).max(1.2);
        let density = Noise::new(random, size, (spacing, spacing)).field(size);
        Self { spread, registration, density }
    }

    fn apply(&self, canvas: &mut Canvas, pose: &Pose, prints: &[Print], wiped: Option<&Blob>) {
        let (height, width) = canvas.size();
        for print in prints {
            let offset = (self.registration.0 + print.shift.0, self.registration.1 + print.shift.1);
            let centre = (print.mark.centre.0 + offset.0, print.mark.centre.1 + offset.1);
            let (y, x) = pose.to_picture(centre);
            let reach = (print.mark.shape.reach() + 1.0) * pose.scale + 2.0;
            // Casts of negative floats give 0.
            let span = |middle: f32, extent: usize| {
                ((middle - reach) as usize).min(extent)..((middle + reach + 1.0) as usize).min(extent)
            };
            for row in span(y, height) {
                for column in span(x, width) {
                    let point = pose.to_part((row as f32, column as f32));
                    let distance = print.mark.shape.distance((point.0 - centre.0, point.1 - centre.1));
                    let edge = (distance - self.spread) * pose.unit;
                    let index = row * width + column;
                    let density = 0.94 + 0.022 * self.density[index];
                    let mut cover = (1.0 - smoothstep(-0.7, 0.7, edge)) * density * print.opacity;
                    if let Some(blob) = wiped.filter(|_| cover > 0.0) {
                        cover *= 1.0 - 0.92 * smoothstep(-1.2, 1.2, blob.depth(row, column));
                    }
                    if cover > 0.0 {
                        canvas.pixels[index] = mix(canvas.pixels[index], print.mark.ink, cover.min(1.0));
                    }
                }
            }
        }
    }
}
