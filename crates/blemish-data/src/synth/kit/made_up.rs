//! Textures out of nothing.

use super::perlin::Perlin;
use crate::synth::canvas::{Canvas, Colour, mix};
use crate::synth::noise::smoothstep;
use crate::synth::random::Random;
use std::f32::consts::TAU;

/// Lattice of the noises, which repeat beyond it.
const LATTICE: (usize, usize) = (64, 64);

/// Texture number `number` of a seed. Kinds take turns; sizes, colours and angles are drawn.
pub(super) fn made_up(size: (usize, usize), seed: u64, number: u64) -> Canvas {
    let mut random = Random::new(seed, 0x7e57, number);
    let scene = Scene::draw(size, &mut random);
    match number % 6 {
        0 => clouds(&scene, &mut random),
        1 => veins(&scene, &mut random),
        2 => threads(&scene, &mut random),
        3 => cells(&scene, &mut random),
        4 => tiles(&scene, &mut random),
        _ => spots(&scene, &mut random),
    }
}

/// What all textures have: colours, a turned and bent plane, grain.
struct Scene {
    size: (usize, usize),
    /// Two to four colours.
    palette: Vec<Colour>,
    angle: (f32, f32),
    /// Cells of the noise on the shorter side.
    frequency: f32,
    noise: Perlin,
    /// How far the plane is bent, in cells.
    bend: f32,
    /// How much every pixel differs on its own.
    grain: f32,
}

impl Scene {
    fn draw(size: (usize, usize), random: &mut Random) -> Self {
        let colours = 2 + random.index(3);
        Self {
            size,
            palette: (0..colours).map(|_| std::array::from_fn(|_| random.unit())).collect(),
            angle: random.range(0.0, TAU).sin_cos(),
            // From 2 to 32 cells, all orders of magnitude alike often.
            frequency: 2f32.powf(random.range(1.0, 5.0)),
            noise: Perlin::draw(LATTICE, random),
            bend: if random.chance(0.5) { random.range(0.1, 1.0) } else { 0.0 },
            grain: if random.chance(0.5) { random.range(0.0, 0.15) } else { 0.0 },
        }
    }

    /// A colour of the palette, blended along it by a place in [0, 1].
    fn colour(&self, place: f32) -> Colour {
        let place = place.clamp(0.0, 1.0) * (self.palette.len() - 1) as f32;
        let first = (place as usize).min(self.palette.len() - 2);
        mix(self.palette[first], self.palette[first + 1], place - first as f32)
    }

    /// The texture whose colour at (y, x), in cells of the turned and bent plane, is `of(y, x)`.
    fn paint(&self, random: &mut Random, of: impl Fn(f32, f32) -> Colour) -> Canvas {
        let per_pixel = self.frequency / self.size.0.min(self.size.1).max(1) as f32;
        let (sine, cosine) = self.angle;
        Canvas::paint(self.size, |y, x| {
            let (y, x) = (y as f32 * per_pixel, x as f32 * per_pixel);
            let (mut v, mut u) = (cosine * y - sine * x, sine * y + cosine * x);
            if self.bend > 0.0 {
                let bent = (self.noise.at(v * 0.5 + 11.3, u * 0.5), self.noise.at(v * 0.5, u * 0.5 + 23.7));
                (v, u) = (v + self.bend * bent.0, u + self.bend * bent.1);
            }
            let grain = if self.grain > 0.0 { random.range(-self.grain, self.grain) } else { 0.0 };
            of(v, u).map(|value| (value + grain).clamp(0.0, 1.0))
        })
    }

    /// Noise of several orders, about -1 to 1.
    fn turbulence(&self, y: f32, x: f32, orders: usize) -> f32 {
        let order = |number: usize| {
            let scale = (1 << number) as f32;
            self.noise.at(y * scale + 7.1 * scale, x * scale) / scale
        };
        (0..orders).map(order).sum()
    }
}

fn clouds(scene: &Scene, random: &mut Random) -> Canvas {
    let (orders, contrast) = (1 + random.index(5), random.range(0.6, 2.0));
    scene.paint(random, |y, x| scene.colour(0.5 + 0.5 * contrast * scene.turbulence(y, x, orders)))
}

fn veins(scene: &Scene, random: &mut Random) -> Canvas {
    let (strength, sharpness) = (random.range(0.5, 4.0), random.range(0.5, 4.0));
    scene.paint(random, |y, x| {
        let wave = (TAU * 0.5 * (x + strength * scene.turbulence(y * 0.5, x * 0.5, 4))).sin();
        scene.colour(wave.abs().powf(sharpness))
    })
}

/// Threads in one direction or woven over and under.
fn threads(scene: &Scene, random: &mut Random) -> Canvas {
    let (is_woven, roundness) = (random.chance(0.6), random.range(0.3, 1.0));
    let bright = |across: f32| 1.0 - roundness * (2.0 * across.rem_euclid(1.0) - 1.0).powi(2);
    scene.paint(random, |y, x| {
        let is_upper = !is_woven || (y.floor() + x.floor()).rem_euclid(2.0) == 0.0;
        let (colour, across) = if is_upper { (0.0, x) } else { (1.0, y) };
        // Neighbouring threads of one direction differ a little, too.
        let own = 0.25 * (across.floor() * 2.399).sin();
        scene.colour(colour + own).map(|value| value * bright(across))
    })
}

/// Stones, grains, leather: the nearest of scattered points and how near the next one is.
fn cells(scene: &Scene, random: &mut Random) -> Canvas {
    let points: Vec<(f32, f32, f32)> =
        (0..LATTICE.0 * LATTICE.1).map(|_| (random.unit(), random.unit(), random.unit())).collect();
    let (seam, is_flat) = (random.range(0.0, 0.3), random.chance(0.5));
    scene.paint(random, |y, x| {
        let (mut nearest, mut next, mut shade) = (f32::MAX, f32::MAX, 0.0);
        for at in 0..9 {
            let (row, column) = (y.floor() + (at / 3) as f32 - 1.0, x.floor() + (at % 3) as f32 - 1.0);
            let wrap = |at: f32, length: usize| (at as i64).rem_euclid(length as i64) as usize;
            let (dy, dx, own) = points[wrap(row, LATTICE.0) * LATTICE.1 + wrap(column, LATTICE.1)];
            let distance = ((row + dy - y).powi(2) + (column + dx - x).powi(2)).sqrt();
            if distance < nearest {
                (nearest, next, shade) = (distance, nearest, own);
            } else {
                next = next.min(distance);
            }
        }
        let colour = scene.colour(if is_flat { shade } else { nearest });
        let edge = if seam > 0.0 { smoothstep(0.0, seam, next - nearest) } else { 1.0 };
        colour.map(|value| value * (0.2 + 0.8 * edge))
    })
}

/// Tiles or bars with joints.
fn tiles(scene: &Scene, random: &mut Random) -> Canvas {
    let (stretch, offset, joint) = (random.range(0.3, 3.0), random.range(0.0, 1.0), random.range(0.0, 0.25));
    let shades: Vec<f32> = (0..97).map(|_| random.unit()).collect();
    scene.paint(random, |y, x| {
        let row = y.floor();
        let x = x * stretch + offset * row;
        let (dy, dx) = (y - row, x - x.floor());
        let is_joint = dy < joint || dx < joint * stretch;
        let number = (row * 31.0 + x.floor() * 17.0).rem_euclid(97.0) as usize;
        if is_joint { scene.palette[0] } else { scene.colour(0.3 + 0.7 * shades[number.min(96)]) }
    })
}

/// Round spots of different sizes, on a lattice or scattered.
fn spots(scene: &Scene, random: &mut Random) -> Canvas {
    let (scatter, largest) = (random.range(0.0, 0.5), random.range(0.2, 0.5));
    let points: Vec<(f32, f32, f32)> = (0..LATTICE.0 * LATTICE.1)
        .map(|_| {
            let mut off = || 0.5 + random.range(-scatter, scatter);
            (off(), off(), largest * (0.4 + 0.6 * off()))
        })
        .collect();
    let soft = random.range(0.02, 0.3);
    scene.paint(random, |y, x| {
        let wrap = |at: f32, length: usize| (at as i64).rem_euclid(length as i64) as usize;
        let (dy, dx, radius) = points[wrap(y.floor(), LATTICE.0) * LATTICE.1 + wrap(x.floor(), LATTICE.1)];
        let distance = ((y - y.floor() - dy).powi(2) + (x - x.floor() - dx).powi(2)).sqrt();
        scene.colour(1.0 - smoothstep(radius, radius + soft, distance))
    })
}
