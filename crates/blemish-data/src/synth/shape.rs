//! Shapes of defects: ragged blobs and wandering curves.

use super::noise::Noise;
use super::random::Random;

/// A ragged spot: an ellipse whose outline wanders.
pub(crate) struct Blob {
    pub(crate) centre: (f32, f32),
    /// Mean radius in pixels.
    pub(crate) radius: f32,
    stretch: f32,
    cosine: f32,
    sine: f32,
    raggedness: f32,
    outline: Noise,
}

impl Blob {
    /// A blob around `centre`; `raggedness` is the wandering of the outline relative to the radius.
    pub(crate) fn new(
        random: &mut Random,
        size: (usize, usize),
        centre: (f32, f32),
        radius: f32,
        raggedness: f32,
    ) -> Self {
        let angle = random.range(0.0, std::f32::consts::PI);
        let spacing = (radius / 1.6).max(2.0);
        Self {
            centre,
            radius,
            stretch: random.range(1.0, 1.45),
            cosine: angle.cos(),
            sine: angle.sin(),
            raggedness,
            outline: Noise::new(random, size, (spacing, spacing)),
        }
    }

    /// How far inside the outline a pixel lies, in pixels; negative outside.
    pub(crate) fn depth(&self, y: usize, x: usize) -> f32 {
        let (dy, dx) = (y as f32 - self.centre.0, x as f32 - self.centre.1);
        let along = (self.cosine * dx + self.sine * dy) / self.stretch;
        let across = (self.cosine * dy - self.sine * dx) * self.stretch;
        let distance = (along * along + across * across).sqrt();
        // Far away the outline cannot reach, and the noise need not be looked up.
        if distance > self.radius * (1.0 + 5.0 * self.raggedness) + 2.0 {
            return self.radius - distance;
        }
        self.radius * (1.0 + self.raggedness * self.outline.at(y as f32, x as f32)) - distance
    }
}

/// A curve as points about one pixel apart.
pub(crate) struct Curve {
    points: Vec<(f32, f32)>,
}

/// Where a pixel lies relative to a curve.
#[derive(Clone, Copy)]
pub(crate) struct Near {
    /// Distance in pixels, with the side as its sign; infinite beyond the reach.
    pub(crate) offset: f32,
    /// Position along the curve, 0 to 1.
    pub(crate) along: f32,
}

impl Curve {
    /// A curve that starts at `start`, runs `length` pixels at `angle` and bends by about `bend` radians altogether.
    pub(crate) fn wander(random: &mut Random, start: (f32, f32), angle: f32, length: f32, bend: f32) -> Self {
        let steps = length.ceil().max(2.0) as usize;
        let (mut y, mut x) = start;
        let mut heading = angle;
        let mut turn = random.normal();
        let mut points = Vec::with_capacity(steps + 1);
        points.push(start);
        for _ in 0..steps {
            // The turning itself drifts, so that the curve bends softly both ways.
            turn += 0.12 * random.normal() - 0.004 * turn;
            heading += turn * bend / steps as f32;
            y += heading.sin();
            x += heading.cos();
            points.push((y, x));
        }
        Self { points }
    }

    /// The same curve, so moved that its middle lies at `centre`.
    pub(crate) fn centred(mut self, centre: (f32, f32)) -> Self {
        let middle = self.points[self.points.len() / 2];
        for point in &mut self.points {
            *point = (point.0 - middle.0 + centre.0, point.1 - middle.1 + centre.1);
        }
        self
    }

    /// For every pixel within `reach` of the curve, where it lies; H x W.
    pub(crate) fn near(&self, (height, width): (usize, usize), reach: f32) -> Vec<Near> {
        let mut field = vec![Near { offset: f32::INFINITY, along: 0.0 }; height * width];
        let segments = (self.points.len() - 1) as f32;
        for (number, ends) in self.points.windows(2).enumerate() {
            let ((y0, x0), (y1, x1)) = (ends[0], ends[1]);
            let (dy, dx) = (y1 - y0, x1 - x0);
            let rows = span(y0.min(y1) - reach, y0.max(y1) + reach, height);
            for y in rows {
                for x in span(x0.min(x1) - reach, x0.max(x1) + reach, width) {
                    let (py, px) = (y as f32 - y0, x as f32 - x0);
                    let share = ((py * dy + px * dx) / (dy * dy + dx * dx).max(1e-6)).clamp(0.0, 1.0);
                    let (ey, ex) = (py - share * dy, px - share * dx);
                    let distance = (ey * ey + ex * ex).sqrt();
                    let near = &mut field[y * width + x];
                    if distance <= reach && distance < near.offset.abs() {
                        let side = if dx * py - dy * px < 0.0 { -1.0 } else { 1.0 };
                        *near = Near { offset: side * distance, along: (number as f32 + share) / segments };
                    }
                }
            }
        }
        field
    }
}

/// The whole numbers of [low, high] that lie within 0..extent.
fn span(low: f32, high: f32, extent: usize) -> std::ops::Range<usize> {
    // Casts of negative floats to usize give 0.
    low.ceil() as usize..((high.floor() + 1.0) as usize).min(extent)
}
