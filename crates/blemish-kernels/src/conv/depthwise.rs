//! One kernel a channel: sums over the window, vectors over channels.

use super::{ChannelsLast, Epilogue, Windows};
use crate::simd::{Kernel, LANES, Lanes};
use std::ops::Range;

/// Vectors of channels summed side by side.
const SIDE_BY_SIDE: usize = 4;

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
        let pitch = self.bias.len();
        let rows = self.out.len() / (self.windows.width * pitch);
        for row in 0..rows {
            let y = (self.first_row + row) * self.stride;
            let ys = clip(y, self.windows.top, self.kernel, self.input.height);
            for column in 0..self.windows.width {
                let x = column * self.stride;
                let xs = clip(x, self.windows.left, self.kernel, self.input.width);
                let pixel = row * self.windows.width + column;
                let vectors = pitch / LANES;
                let mut first = 0;
                while first + SIDE_BY_SIDE <= vectors {
                    self.sum::<V, SIDE_BY_SIDE>((y, x), ys.clone(), xs.clone(), first, pixel);
                    first += SIDE_BY_SIDE;
                }
                while first < vectors {
                    self.sum::<V, 1>((y, x), ys.clone(), xs.clone(), first, pixel);
                    first += 1;
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
    fn sum<V: Lanes, const VECTORS: usize>(
        &mut self,
        (y, x): (usize, usize),
        ys: Range<usize>,
        xs: Range<usize>,
        first: usize,
        pixel: usize,
    ) {
        let pitch = self.bias.len();
        let channels = first * LANES..(first + VECTORS) * LANES;
        let mut sums = [V::splat(0.0); VECTORS];
        for (sum, bias) in sums.iter_mut().zip(self.bias[channels.clone()].as_chunks::<LANES>().0) {
            *sum = V::load(bias);
        }
        for ky in ys {
            let row = &self.input.values[(y + ky - self.windows.top) * self.input.row_length()..];
            for kx in xs.clone() {
                let input = &row[(x + kx - self.windows.left) * pitch..][channels.clone()];
                let weights = &self.weights[(ky * self.kernel + kx) * pitch..][channels.clone()];
                let (input, weights) = (input.as_chunks::<LANES>().0, weights.as_chunks::<LANES>().0);
                for vector in 0..VECTORS {
                    sums[vector] = V::load(&input[vector]).mul_add(V::load(&weights[vector]), sums[vector]);
                }
            }
        }
        let at = pixel * pitch + first * LANES;
        let out = self.out[at..at + VECTORS * LANES].as_chunks_mut::<LANES>().0;
        for (vector, (sum, out)) in sums.into_iter().zip(out).enumerate() {
            *out = self.epilogue.finish(sum, at + vector * LANES).store();
        }
    }
}
