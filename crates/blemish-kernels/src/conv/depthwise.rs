//! One kernel a channel: sums over the window, vectors over channels.

use super::{ChannelsLast, Epilogue, Windows};
use crate::simd::{Kernel, LANES, Lanes};
use std::ops::Range;

/// Pixels and vectors of channels summed side by side, to share weights and to hide latency.
const PIXELS: usize = 4;
const VECTORS: usize = 2;

/// Some rows of a depthwise convolution.
pub(super) struct Depthwise<'a> {
    pub input: &'a ChannelsLast,
    pub windows: Windows,
    pub kernel: usize,
    pub stride: usize,
    /// kernel x kernel x pitch.
    pub weights: &'a [f32],
    /// One a channel of the pitch.
    pub bias: &'a [f32],
    pub epilogue: Epilogue<'a>,
    pub first_row: usize,
    /// rows x width x pitch.
    pub out: &'a mut [f32],
}

impl Kernel for Depthwise<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let width = self.windows.width;
        let rows = self.out.len() / (width * self.bias.len());
        for row in 0..rows {
            let y = (self.first_row + row) * self.stride;
            let ys = clip(y, self.windows.top, self.kernel, self.input.height);
            let mut column = 0;
            while column < width {
                let last = (column + PIXELS - 1) * self.stride;
                let is_inside = column + PIXELS <= width
                    && column * self.stride >= self.windows.left
                    && last + self.kernel <= self.windows.left + self.input.width;
                if is_inside {
                    self.pixels::<V, PIXELS>(row, column, ys.clone(), 0..self.kernel);
                    column += PIXELS;
                } else {
                    let x = column * self.stride;
                    let xs = clip(x, self.windows.left, self.kernel, self.input.width);
                    self.pixels::<V, 1>(row, column, ys.clone(), xs);
                    column += 1;
                }
            }
        }
    }
}

/// The part of a window that lies on the map: rows (or columns) of the kernel.
#[inline(always)]
fn clip(start: usize, before: usize, kernel: usize, length: usize) -> Range<usize> {
    before.saturating_sub(start).min(kernel)..kernel.min((length + before).saturating_sub(start))
}

impl Depthwise<'_> {
    #[inline(always)]
    fn pixels<V: Lanes, const COUNT: usize>(
        &mut self,
        row: usize,
        column: usize,
        ys: Range<usize>,
        xs: Range<usize>,
    ) {
        let vectors = self.bias.len() / LANES;
        let mut first = 0;
        while first + VECTORS <= vectors {
            self.sum::<V, COUNT, VECTORS>(row, column, ys.clone(), xs.clone(), first);
            first += VECTORS;
        }
        if first < vectors {
            self.sum::<V, COUNT, 1>(row, column, ys, xs, first);
        }
    }

    /// `COUNT` pixels from `column` on, the vectors of channels from `first` on, over the given part of the window.
    #[inline(always)]
    fn sum<V: Lanes, const COUNT: usize, const WIDTH: usize>(
        &mut self,
        row: usize,
        column: usize,
        ys: Range<usize>,
        xs: Range<usize>,
        first: usize,
    ) {
        let pitch = self.bias.len();
        let channels = first * LANES..(first + WIDTH) * LANES;
        let mut sums = [[V::splat(0.0); WIDTH]; COUNT];
        for pixel in &mut sums {
            for (sum, bias) in pixel.iter_mut().zip(self.bias[channels.clone()].as_chunks::<LANES>().0) {
                *sum = V::load(bias);
            }
        }
        let top = (self.first_row + row) * self.stride;
        for ky in ys {
            let line = &self.input.values[(top + ky - self.windows.top) * self.input.row_length()..];
            for kx in xs.clone() {
                let weights = &self.weights[(ky * self.kernel + kx) * pitch..][channels.clone()];
                let weights = weights.as_chunks::<LANES>().0;
                let mut weight = [V::splat(0.0); WIDTH];
                for vector in 0..WIDTH {
                    weight[vector] = V::load(&weights[vector]);
                }
                let start = (column * self.stride + kx - self.windows.left) * pitch + channels.start;
                for pixel in 0..COUNT {
                    let at = start + pixel * self.stride * pitch;
                    let input = line[at..at + WIDTH * LANES].as_chunks::<LANES>().0;
                    for vector in 0..WIDTH {
                        sums[pixel][vector] =
                            V::load(&input[vector]).mul_add(weight[vector], sums[pixel][vector]);
                    }
                }
            }
        }
        for (pixel, sums) in sums.into_iter().enumerate() {
            let at = (row * self.windows.width + column + pixel) * pitch + channels.start;
            let out = self.out[at..at + WIDTH * LANES].as_chunks_mut::<LANES>().0;
            for (vector, (sum, out)) in sums.into_iter().zip(out).enumerate() {
                *out = self.epilogue.finish(sum, at + vector * LANES).store();
            }
        }
    }
}
