//! Smooth random fields: cubic B-splines over a lattice of random numbers.

use super::random::Random;

/// A smooth random field of mean 0 and standard deviation of about 1, with its own scale in each direction.
///
/// Long in x and short in y it gives the streaks of brushed metal; wide in both, uneven lighting.
pub(crate) struct Noise {
    columns: usize,
    rows: usize,
    per_y: f32,
    per_x: f32,
    values: Vec<f32>,
}

/// Lattice points beyond the picture on each side, so that displaced coordinates still find some.
const MARGIN: usize = 4;

impl Noise {
    /// A field over `height` x `width` pixels with lattice points `spacing` = (y, x) pixels apart.
    pub(crate) fn new(random: &mut Random, (height, width): (usize, usize), spacing: (f32, f32)) -> Self {
        let points = |extent: usize, spacing: f32| (extent as f32 / spacing).ceil() as usize + 2 * MARGIN;
        let (rows, columns) = (points(height, spacing.0), points(width, spacing.1));
        // The B-spline averages neighbours, which leaves a variance of 0.479 in each direction.
        let values = (0..rows * columns).map(|_| random.normal() * (1.0 / 0.479)).collect();
        Self { columns, rows, per_y: 1.0 / spacing.0, per_x: 1.0 / spacing.1, values }
    }

    /// The value at a point, also a fractional one.
    pub(crate) fn at(&self, y: f32, x: f32) -> f32 {
        let (top, down) = spline(y * self.per_y, self.rows);
        let (left, across) = spline(x * self.per_x, self.columns);
        let mut sum = 0.0;
        for (row, weight) in down.into_iter().enumerate() {
            let start = (top + row) * self.columns + left;
            let points = &self.values[start..start + 4];
            sum += weight * points.iter().zip(across).map(|(value, weight)| value * weight).sum::<f32>();
        }
        sum
    }

    /// The values at all pixels, H x W.
    pub(crate) fn field(&self, (height, width): (usize, usize)) -> Vec<f32> {
        let columns: Vec<_> = (0..width).map(|x| spline(x as f32 * self.per_x, self.columns)).collect();
        let mut field = Vec::with_capacity(height * width);
        let mut line = vec![0.0; self.columns];
        for y in 0..height {
            let (top, down) = spline(y as f32 * self.per_y, self.rows);
            line.fill(0.0);
            for (row, weight) in down.into_iter().enumerate() {
                let start = (top + row) * self.columns;
                for (sum, value) in line.iter_mut().zip(&self.values[start..start + self.columns]) {
                    *sum += weight * value;
                }
            }
            field.extend(columns.iter().map(|(left, across)| {
                line[*left..left + 4].iter().zip(across).map(|(value, weight)| value * weight).sum::<f32>()
            }));
        }
        field
    }
}

/// The first of four lattice points around a position (in lattice units) and their cubic B-spline weights.
fn spline(position: f32, points: usize) -> (usize, [f32; 4]) {
    let position = (position + MARGIN as f32 - 1.0).clamp(0.0, (points - 4) as f32);
    let first = position as usize;
    let t = position - first as f32;
    let s = 1.0 - t;
    let weights = [
        s * s * s / 6.0,
        (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0,
        (4.0 - 6.0 * s * s + 3.0 * s * s * s) / 6.0,
        t * t * t / 6.0,
    ];
    (first, weights)
}

/// 0 below `low`, 1 above `high`, an S between them.
pub(crate) fn smoothstep(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
