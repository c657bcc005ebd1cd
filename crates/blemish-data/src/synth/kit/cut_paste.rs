//! Parts of the image put elsewhere (CutPaste).

use super::jitter::ColourJitter;
use super::pixels::{brightness, sample};
use crate::synth::canvas::Canvas;
use crate::synth::random::Random;

/// Share of the image that a rectangle covers.
const AREA: (f32, f32) = (0.02, 0.15);
/// Ratio of its sides, in one of two ranges.
const ASPECTS: [(f32, f32); 2] = [(0.3, 1.0), (1.0, 3.3)];
/// Width and length of a scar, in pixels of an image of [`SIDE`].
const SCAR: [(f32, f32); 2] = [(2.0, 16.0), (10.0, 25.0)];
/// Shorter side of the images that scars are described for.
const SIDE: f32 = 256.0;

/// A rectangle cut out and put elsewhere.
pub(super) fn rectangle(good: &Canvas, random: &mut Random, jitter: ColourJitter) -> Canvas {
    let (height, width) = good.size();
    let area = random.range(AREA.0, AREA.1) * (height * width) as f32;
    let (low, high) = ASPECTS[random.index(ASPECTS.len())];
    let aspect = random.range(low, high);
    let side = |length: f32, extent: usize| length.clamp(1.0, extent as f32);
    // A side that the image cuts short is made up for by the other.
    let across = side((area * aspect).sqrt(), width);
    let down = side(area / across, height);
    moved(good, random, (down.round(), across.round()), 0.0, jitter)
}

/// A narrow rectangle cut out, turned and put elsewhere.
pub(super) fn scar(good: &Canvas, random: &mut Random, jitter: ColourJitter) -> Canvas {
    let (height, width) = good.size();
    let scale = height.min(width) as f32 / SIDE;
    let [across, down] = SCAR.map(|(low, high)| (random.range(low, high) * scale).max(1.0).round());
    let angle = random.range(-45.0f32, 45.0).to_radians();
    moved(good, random, (down, across), angle, jitter)
}

/// A rectangle of (rows, columns) from one random place put to another, turned by `angle`, its colours changed.
fn moved(
    good: &Canvas,
    random: &mut Random,
    (rows, columns): (f32, f32),
    angle: f32,
    jitter: ColourJitter,
) -> Canvas {
    let (height, width) = good.size();
    let (cosine, sine) = (angle.cos(), angle.sin());
    let mut place = |down: f32, across: f32| {
        let start = |random: &mut Random, extent: usize, length: f32| {
            random.range(0.0, (extent as f32 - length).max(0.0) + 1.0).floor()
        };
        (start(random, height, down), start(random, width, across))
    };
    let from = place(rows, columns);
    // The box around the turned rectangle lies within the image.
    let around = (
        (rows * cosine.abs() + columns * sine.abs()).ceil(),
        (columns * cosine.abs() + rows * sine.abs()).ceil(),
    );
    let to = place(around.0, around.1);
    let change = jitter.draw(random);
    let inside = |y: f32, x: f32| (0.0..rows).contains(&y) && (0.0..columns).contains(&x);
    let cut = |y: f32, x: f32| sample(good, from.0 + y - 0.5, from.1 + x - 0.5);
    let middle = |length: f32| (0..length as usize).map(|at| at as f32 + 0.5).collect::<Vec<_>>();
    let (ys, xs) = (middle(rows), middle(columns));
    let sum: f32 = ys.iter().map(|&y| xs.iter().map(|&x| brightness(cut(y, x))).sum::<f32>()).sum();
    let mean = sum / (ys.len() * xs.len()).max(1) as f32;
    let mut changed = good.clone();
    changed.change(|y, x, pixel| {
        // Centres of pixels, relative to the middle of the pasted rectangle.
        let dy = y as f32 + 0.5 - to.0 - around.0 / 2.0;
        let dx = x as f32 + 0.5 - to.1 - around.1 / 2.0;
        let (v, u) = (cosine * dy - sine * dx + rows / 2.0, sine * dy + cosine * dx + columns / 2.0);
        if inside(v, u) {
            *pixel = change.of(cut(v, u), mean);
        }
    });
    changed
}
