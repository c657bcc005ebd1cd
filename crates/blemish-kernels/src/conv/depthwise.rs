//! One kernel a channel: sums over the window, vectors over channels.

use super::{Activation, ChannelsLast, Epilogue, Windows};
use crate::simd::{Kernel, LANES, Lanes};
use std::ops::Range;

/// Pixels summed side by side, to share weights and to hide latency: more need more addresses than there are registers.
const PIXELS: usize = 4;

/// Some rows of a depthwise convolution.
pub(super) struct Depthwise<'a> {
    pub input: Rows<'a>,
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

/// Rows of a map. Only `held` of them need be there at a time: row y + `held` takes the place of row y.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub values: &'a [f32],
    pub held: usize,
    pub height: usize,
    pub width: usize,
}

impl<'a> From<&'a ChannelsLast> for Rows<'a> {
    fn from(map: &'a ChannelsLast) -> Self {
        Self { values: &map.values, held: map.height, height: map.height, width: map.width }
    }
}

impl Kernel for Depthwise<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let Windows { top, width, .. } = self.windows;
        let rows = self.out.len() / (width * self.bias.len());
        for row in 0..rows {
            let y = (self.first_row + row) * self.stride;
            let ys = clip(y, top, self.kernel, self.input.height);
            for column in (0..width).step_by(PIXELS) {
                if width >= PIXELS {
                    // The last tile overlaps the one before: computing a pixel twice changes nothing.
                    self.tile::<V, PIXELS>(row, column.min(width - PIXELS), ys.clone());
                } else {
                    (0..width).for_each(|column| self.tile::<V, 1>(row, column, ys.clone()));
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
    /// `COUNT` pixels from `column` on, over some rows of the kernel.
    #[inline(always)]
    fn tile<V: Lanes, const COUNT: usize>(&mut self, row: usize, column: usize, ys: Range<usize>) {
        let vectors = self.bias.len() / LANES;
        let mut first = 0;
        while first < vectors {
            first += match vectors - first {
                2 if V::WIDE => self.sum::<V, COUNT, 2>(row, column, ys.clone(), first),
                3.. if V::WIDE => self.sum::<V, COUNT, 3>(row, column, ys.clone(), first),
                _ => self.sum::<V, COUNT, 1>(row, column, ys.clone(), first),
            };
        }
    }

    /// `VECTORS` vectors of channels from `first` on; gives their number.
    #[inline(always)]
    fn sum<V: Lanes, const COUNT: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        column: usize,
        ys: Range<usize>,
        first: usize,
    ) -> usize {
        let Self { input, kernel, stride, windows, .. } = *self;
        // Vectors a pixel, and those of a row.
        let pitch = self.bias.len() / LANES;
        let length = input.width * pitch;
        let bias = &self.bias.as_chunks::<LANES>().0[first..first + VECTORS];
        let mut sums = [[V::splat(0.0); VECTORS]; COUNT];
        for pixel in &mut sums {
            for vector in 0..VECTORS {
                pixel[vector] = V::load(&bias[vector]);
            }
        }
        // Columns of the kernel at which the windows of all pixels are on the map.
        let x = column * stride;
        let all = clip(x, windows.left, kernel, input.width).start
            ..clip(x + (COUNT - 1) * stride, windows.left, kernel, input.width).end;
        let mut y = ((self.first_row + row) * stride + ys.start).saturating_sub(windows.top) % input.held;
        for ky in ys {
            let line = &input.values.as_chunks::<LANES>().0[y * length..][..length];
            let taps = &self.weights.as_chunks::<LANES>().0[ky * kernel * pitch..][..kernel * pitch];
            let mut kx = 0;
            while kx < kernel {
                let taps = &taps[kx * pitch + first..];
                if all.contains(&kx) {
                    let start = (x + kx - windows.left) * pitch + first;
                    let values = &line[start..];
                    accumulate::<V, COUNT, VECTORS>(
                        &mut sums,
                        values,
                        stride * pitch,
                        taps,
                        pitch,
                        all.len(),
                    );
                    kx = all.end;
                    continue;
                }
                for pixel in 0..COUNT {
                    let x = x + kx + pixel * stride;
                    if x >= windows.left && x < windows.left + input.width {
                        let values = &line[(x - windows.left) * pitch + first..][..VECTORS];
                        for vector in 0..VECTORS {
                            let weight = V::load(&taps[vector]);
                            sums[pixel][vector] =
                                V::load(&values[vector]).mul_add(weight, sums[pixel][vector]);
                        }
                    }
                }
                kx += 1;
            }
            y = if y + 1 == input.held { 0 } else { y + 1 };
        }
        self.store(sums, (row * windows.width + column) * pitch + first, pitch);
        VECTORS
    }

    /// Finishes the sums of pixels and stores them from vector `at` on.
    #[inline(always)]
    fn store<V: Lanes, const COUNT: usize, const VECTORS: usize>(
        &mut self,
        sums: [[V; VECTORS]; COUNT],
        at: usize,
        pitch: usize,
    ) {
        let out = self.out.as_chunks_mut::<LANES>().0;
        let cut = self.epilogue.cut();
        for pixel in 0..COUNT {
            let at = at + pixel * pitch;
            let out = &mut out[at..at + VECTORS];
            for vector in 0..VECTORS {
                out[vector] = Activation::cut_off(cut, sums[pixel][vector]).store();
            }
        }
        if cut.is_some() {
            return;
        }
        // What is more than that would be much code, written out for every sum.
        for pixel in 0..COUNT {
            let at = at + pixel * pitch;
            for (vector, value) in (at..).zip(&mut out[at..at + VECTORS]) {
                *value = self.epilogue.finish(V::load(value), vector * LANES).store();
            }
        }
    }
}

/// Adds `count` taps to the sums of pixels whose values begin `step` vectors apart. Each tap, and what it is multiplied by, is `pitch`
/// vectors after the one before.
#[inline(always)]
fn accumulate<V: Lanes, const COUNT: usize, const VECTORS: usize>(
    sums: &mut [[V; VECTORS]; COUNT],
    values: &[[f32; LANES]],
    step: usize,
    taps: &[[f32; LANES]],
    pitch: usize,
    count: usize,
) {
    let end = (count - 1) * pitch + VECTORS;
    assert!(taps.len() >= end && values.len() >= (COUNT - 1) * step + end);
    let mut held = *sums;
    for at in (0..count).map(|tap| tap * pitch) {
        let mut weight = [V::splat(0.0); VECTORS];
        for vector in 0..VECTORS {
            // SAFETY: below `end`.
            weight[vector] = V::load(unsafe { taps.get_unchecked(at + vector) });
        }
        for pixel in 0..COUNT {
            for vector in 0..VECTORS {
                // SAFETY: below `end`, and the last pixel's values are that many, too.
                let value = V::load(unsafe { values.get_unchecked(pixel * step + at + vector) });
                held[pixel][vector] = value.mul_add(weight[vector], held[pixel][vector]);
            }
        }
    }
    *sums = held;
}
