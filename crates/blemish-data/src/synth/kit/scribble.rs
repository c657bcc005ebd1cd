//! Strokes, as somebody with a pen would draw them.

use crate::synth::canvas::{Canvas, mix};
use crate::synth::defects::place;
use crate::synth::noise::{Noise, smoothstep};
use crate::synth::random::Random;
use crate::synth::shape::Curve;

/// Length of a stroke and half its width, relative to the shorter side of the image.
const LENGTH: (f32, f32) = (0.06, 0.6);
const HALF_WIDTH: (f32, f32) = (0.003, 0.025);

/// One to three strokes.
pub(super) fn strokes(good: &Canvas, random: &mut Random) -> Canvas {
    let mut changed = good.clone();
    for _ in 0..1 + random.index(3) {
        stroke(&mut changed, good, random);
    }
    changed
}

fn stroke(canvas: &mut Canvas, good: &Canvas, random: &mut Random) {
    let size = good.size();
    let side = size.0.min(size.1) as f32;
    let centre = place(random, size, 0.02);
    let angle = random.range(0.0, std::f32::consts::TAU);
    let length = random.range(LENGTH.0, LENGTH.1) * side;
    let bend = random.range(0.2, 3.0);
    let curve = Curve::wander(random, centre, angle, length, bend).centred(centre);
    let half_width = (random.range(HALF_WIDTH.0, HALF_WIDTH.1) * side).max(0.8);
    // A colour of its own, or one of the image's that is darker or lighter.
    let colour: [f32; 3] = if random.chance(0.5) {
        std::array::from_fn(|_| random.unit())
    } else {
        let near = good.pixels[random.index(good.pixels.len())];
        let factor = random.range(0.3, 1.7);
        near.map(|value| (value * factor).clamp(0.0, 1.0))
    };
    let opacity = random.range(0.4, 1.0);
    let spacing = random.range(16.0, 64.0);
    let pressure = Noise::new(random, (1, 256), (1.0, spacing));
    let near = curve.near(size, 2.0 * half_width + 2.0);
    canvas.change(|y, x, pixel| {
        let near = near[y * size.1 + x];
        if near.offset.is_finite() {
            let width = half_width * (1.0 + 0.4 * pressure.at(0.0, near.along * 255.0)).clamp(0.3, 2.0);
            let cover = 1.0 - smoothstep(width - 0.7, width + 0.7, near.offset.abs());
            *pixel = mix(*pixel, colour, cover * opacity);
        }
    });
}
