//! Pictures of 8 bits, which the published changes of textures are described for.

use crate::synth::canvas::Canvas;

/// Red, green and blue levels of H x W pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) pixels: Vec<[u8; 3]>,
}

impl Picture {
    pub(super) fn of(canvas: &Canvas) -> Self {
        let level = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
        let pixels = canvas.pixels.iter().map(|colour| colour.map(level)).collect();
        Self { height: canvas.height, width: canvas.width, pixels }
    }

    /// The colour of a pixel in [0, 1]; pictures repeat beyond their borders.
    pub(super) fn colour(&self, y: usize, x: usize) -> [f32; 3] {
        self.pixels[y % self.height * self.width + x % self.width].map(|level| f32::from(level) / 255.0)
    }

    /// Turned around its middle by an angle in radians; black comes in.
    pub(super) fn turned(&self, angle: f32) -> Self {
        let (sine, cosine) = angle.sin_cos();
        let middle = ((self.height - 1) as f32 / 2.0, (self.width - 1) as f32 / 2.0);
        let level = |y: isize, x: isize, channel: usize| {
            let is_inside = (0..self.height as isize).contains(&y) && (0..self.width as isize).contains(&x);
            if is_inside {
                f32::from(self.pixels[y as usize * self.width + x as usize][channel])
            } else {
                0.0
            }
        };
        let pixel = |at: usize| {
            let (dy, dx) = ((at / self.width) as f32 - middle.0, (at % self.width) as f32 - middle.1);
            let (y, x) = (cosine * dy - sine * dx + middle.0, sine * dy + cosine * dx + middle.1);
            let (top, left) = (y.floor(), x.floor());
            let (down, across) = (y - top, x - left);
            let (top, left) = (top as isize, left as isize);
            std::array::from_fn(|channel| {
                let value = |y: isize, x: isize| level(y, x, channel);
                let upper = value(top, left) * (1.0 - across) + value(top, left + 1) * across;
                let lower = value(top + 1, left) * (1.0 - across) + value(top + 1, left + 1) * across;
                (upper * (1.0 - down) + lower * down).round() as u8
            })
        };
        Self { pixels: (0..self.pixels.len()).map(pixel).collect(), ..*self }
    }

    /// The same cells of a grid of rows x columns, cell number n showing what cell `order[n]` showed. Rows and columns of pixels that
    /// the grid leaves over stay.
    pub(super) fn rearranged(&self, (rows, columns): (usize, usize), order: &[usize]) -> Self {
        let (tall, wide) = (self.height / rows.max(1), self.width / columns.max(1));
        let mut changed = self.clone();
        if tall * wide == 0 {
            return changed;
        }
        for (cell, &from) in order.iter().enumerate() {
            for y in 0..tall {
                let start = |cell: usize| (cell / columns * tall + y) * self.width + cell % columns * wide;
                changed.pixels[start(cell)..][..wide].copy_from_slice(&self.pixels[start(from)..][..wide]);
            }
        }
        changed
    }
}
