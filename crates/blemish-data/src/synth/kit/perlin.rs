//! Perlin's gradient noise.

use crate::synth::random::Random;

/// Gradient noise (Perlin 1985, with the fade of 2002): smooth, 0 at the points of a lattice, within [-1, 1].
///
/// Each lattice point has a random unit gradient; a value blends the products of the four gradients around with the ways from them, times
/// the square root of 2. The lattice repeats beyond its ends.
#[derive(Clone, Debug)]
pub struct Perlin {
    /// Cells that an image spans.
    cells: (usize, usize),
    /// Lattice points before it repeats.
    points: (usize, usize),
    /// (y, x) of every lattice point.
    gradients: Vec<(f32, f32)>,
}

impl Perlin {
    /// Noise on a lattice of `rows` x `columns` cells, fixed by `(seed, stream)`.
    pub fn new((rows, columns): (usize, usize), seed: u64, stream: u64) -> Self {
        Self::draw((rows, columns), &mut Random::new(seed, 0x9e71, stream))
    }

    pub(super) fn draw((rows, columns): (usize, usize), random: &mut Random) -> Self {
        let cells = (rows.max(1), columns.max(1));
        Self::with_points(cells, cells, random)
    }

    /// Noise whose last row and column of lattice points are not the first ones again, as DRAEM has it.
    pub(super) fn draw_open((rows, columns): (usize, usize), random: &mut Random) -> Self {
        let cells = (rows.max(1), columns.max(1));
        Self::with_points(cells, (cells.0 + 1, cells.1 + 1), random)
    }

    fn with_points(cells: (usize, usize), points: (usize, usize), random: &mut Random) -> Self {
        let gradient = |_| random.range(0.0, std::f32::consts::TAU).sin_cos();
        Self { cells, points, gradients: (0..points.0 * points.1).map(gradient).collect() }
    }

    /// Open noise with the gradients (cos a, sin a), (y, x), of given angles.
    #[cfg(test)]
    pub(super) fn of_angles(cells: (usize, usize), angles: &[f32]) -> Self {
        let gradients = angles.iter().map(|angle| (angle.cos(), angle.sin())).collect();
        Self { cells, points: (cells.0 + 1, cells.1 + 1), gradients }
    }

    /// The value at a point in lattice units.
    pub fn at(&self, y: f32, x: f32) -> f32 {
        let (top, left) = (y.floor(), x.floor());
        let (v, u) = (y - top, x - left);
        let wrap = |at: f32, length: usize| (at as i64).rem_euclid(length as i64) as usize;
        let corner = |down: f32, across: f32| {
            let (row, column) = (wrap(top + down, self.points.0), wrap(left + across, self.points.1));
            let (gy, gx) = self.gradients[row * self.points.1 + column];
            gy * (v - down) + gx * (u - across)
        };
        let fade = |t: f32| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
        let blend = |one: f32, other: f32, share: f32| one + (other - one) * share;
        let upper = blend(corner(0.0, 0.0), corner(0.0, 1.0), fade(u));
        let lower = blend(corner(1.0, 0.0), corner(1.0, 1.0), fade(u));
        std::f32::consts::SQRT_2 * blend(upper, lower, fade(v))
    }

    /// The values at the pixels of an image whose sides the lattice spans, H x W.
    pub fn field(&self, size: (usize, usize)) -> Vec<f32> {
        self.turned_field(size, 0.0)
    }

    /// The same with the lattice turned by `angle` around the middle of the image.
    pub fn turned_field(&self, (height, width): (usize, usize), angle: f32) -> Vec<f32> {
        let (cosine, sine) = (angle.cos(), angle.sin());
        let (middle_y, middle_x) = (height as f32 / 2.0, width as f32 / 2.0);
        let (per_y, per_x) = (self.cells.0 as f32 / height as f32, self.cells.1 as f32 / width as f32);
        let point = |at: usize| {
            let (dy, dx) = ((at / width) as f32 - middle_y, (at % width) as f32 - middle_x);
            let (y, x) = (cosine * dy - sine * dx + middle_y, sine * dy + cosine * dx + middle_x);
            self.at(y * per_y, x * per_x)
        };
        (0..height * width).map(point).collect()
    }

    /// The same around the middle between the outer pixels, as the field itself would be turned: 0 where it would come from outside.
    pub(super) fn turned_within(&self, (height, width): (usize, usize), angle: f32) -> Vec<f32> {
        let (sine, cosine) = angle.sin_cos();
        let last = ((height - 1) as f32, (width - 1) as f32);
        let (per_y, per_x) = (self.cells.0 as f32 / height as f32, self.cells.1 as f32 / width as f32);
        let point = |at: usize| {
            let (dy, dx) = ((at / width) as f32 - last.0 / 2.0, (at % width) as f32 - last.1 / 2.0);
            let (y, x) = (cosine * dy - sine * dx + last.0 / 2.0, sine * dy + cosine * dx + last.1 / 2.0);
            let is_inside = (0.0..=last.0).contains(&y) && (0.0..=last.1).contains(&x);
            if is_inside { self.at(y * per_y, x * per_x) } else { 0.0 }
        };
        (0..height * width).map(point).collect()
    }
}
