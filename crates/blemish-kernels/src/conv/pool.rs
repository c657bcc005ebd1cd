//! Pooling, and joining maps.

use super::{ChannelsLast, Windows};
use crate::lines::Lines;
use crate::simd::{Kernel, LANES, Lanes, widest};

/// The maximum over a square window; what lies outside the map never wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Side of the window.
    pub kernel: usize,
    /// Step of the window.
    pub stride: usize,
}

impl MaxPool {
    /// Pools a map; `space` is memory to use, of any content.
    pub fn apply(&self, input: &ChannelsLast, windows: Windows, space: Lines<f32>) -> ChannelsLast {
        let mut out = ChannelsLast::recycled(windows.height, windows.width, input.channels, space);
        widest(Pool { pool: *self, input: &input.filled(), windows, out: &mut out.values });
        out
    }
}

struct Pool<'a> {
    pool: MaxPool,
    input: &'a ChannelsLast,
    windows: Windows,
    out: &'a mut [f32],
}

impl Kernel for Pool<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (input, windows) = (self.input, self.windows);
        let pitch = input.pitch;
        let range = |at: usize, before: usize, length: usize| {
            let start = at * self.pool.stride;
            start.saturating_sub(before)..(start + self.pool.kernel).saturating_sub(before).min(length)
        };
        for (index, pixel) in self.out.chunks_exact_mut(pitch).enumerate() {
            let ys = range(index / windows.width, windows.top, input.height);
            let xs = range(index % windows.width, windows.left, input.width);
            for (vector, out) in pixel.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let mut most = V::splat(f32::NEG_INFINITY);
                for y in ys.clone() {
                    for x in xs.clone() {
                        let at = (y * input.width + x) * pitch + vector * LANES;
                        most = most.max(V::load(&input.values[at..at + LANES].as_chunks::<LANES>().0[0]));
                    }
                }
                *out = most.store();
            }
        }
    }
}

/// The mean over all pixels, 1 x 1 x channels, summed in double precision.
pub fn global_mean(input: &ChannelsLast) -> ChannelsLast {
    let mut sums = vec![0.0f64; input.pitch];
    for pixel in input.values.chunks_exact(input.pitch.max(1)) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let area = (input.height * input.width) as f64;
    let mut out = ChannelsLast::zeros(1, 1, input.channels);
    out.values.iter_mut().zip(sums).for_each(|(value, sum)| *value = (sum / area) as f32);
    out
}

/// The product with a map of the same shape, or with one value a channel (1 x 1 x channels); `space` is memory to use, of any content.
pub fn scale_channels(input: &ChannelsLast, factors: &ChannelsLast, space: Lines<f32>) -> ChannelsLast {
    let mut out = input.copied(space);
    for values in out.values.chunks_exact_mut(factors.values.len().max(1)) {
        values.iter_mut().zip(factors.values.iter()).for_each(|(value, factor)| *value *= factor);
    }
    out
}

/// The channels of several maps of one size, one after the other.
pub fn concatenate(maps: &[&ChannelsLast]) -> ChannelsLast {
    let Some(first) = maps.first() else { return ChannelsLast::default() };
    let mut out = ChannelsLast::zeros(first.height, first.width, maps.iter().map(|map| map.channels).sum());
    let pitch = out.pitch;
    let mut start = 0;
    for map in maps {
        let pixels = out.values.chunks_exact_mut(pitch).zip(map.values.chunks_exact(map.pitch));
        pixels.for_each(|(to, from)| to[start..start + map.channels].copy_from_slice(&from[..map.channels]));
        start += map.channels;
    }
    out
}

impl ChannelsLast {
    /// The sum with a map of the same shape, then the non-linearity; `space` is memory to use, of any content.
    pub fn add(&self, other: &Self, activation: super::Activation, space: Lines<f32>) -> Self {
        let mut sum = self.copied(space);
        sum.values.iter_mut().zip(other.values.iter()).for_each(|(value, other)| *value += other);
        activation.apply(&mut sum.values);
        sum
    }

    /// The non-linearity of every value; `space` is memory to use, of any content.
    pub fn activated(&self, activation: super::Activation, space: Lines<f32>) -> Self {
        let mut activated = self.copied(space);
        activation.apply(&mut activated.values);
        activated
    }

    /// The same map in other memory.
    fn copied(&self, mut space: Lines<f32>) -> Self {
        space.resize(self.values.len());
        space.copy_from_slice(&self.values);
        Self { values: space, ..*self }
    }
}
