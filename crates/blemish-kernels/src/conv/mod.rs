//! Convolutional networks on the CPU: what frozen backbones spend their time in.
//!
//! Feature maps are channels-last, every pixel's channels side by side and filled up to whole vectors, so that all
//! loops run over channels at full vector width for every image size, kernel, stride and padding.
//!
//! | kernel | done as |
//! |---|---|
//! | 1x1 | the product of rows that transformers use, [`product`](crate::transformer) |
//! | strided, large | register tiles of pixels x channels straight from the padded map, no patch matrix ([`dense`](self)) |
//! | 3x3, stride 1 | Winograd's F(4x4, 3x3): a quarter of the multiplications |
//! | depthwise | pixel by pixel over channels |
//! | 1x1, depthwise, 1x1 | by strips of rows, so that the widened map stays in the cache ([`InvertedResidual`]) |
//!
//! Every output is accumulated in one fixed order with fused multiply-add: the same bits for every vector width, tile and
//! number of threads.

mod activation;
mod convolution;
pub(crate) mod dense;
mod depthwise;
mod inverted_residual;
mod pool;
#[cfg(test)]
mod tests;
mod winograd;

pub use activation::Activation;
pub use convolution::{ConvSpec, Convolution, Epilogue};
pub use inverted_residual::{InvertedResidual, Layer};
pub use pool::{MaxPool, concatenate, global_mean, scale_channels};

use crate::lines::Lines;
use crate::simd::LANES;
use rayon::prelude::*;
use std::borrow::Cow;

/// A feature map, height x width x channels; each pixel takes `pitch` values, those beyond `channels` are zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelsLast {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// Channels a pixel.
    pub channels: usize,
    pitch: usize,
    values: Lines<f32>,
}

impl ChannelsLast {
    /// Zeros, every pixel filled up to whole vectors.
    pub fn zeros(height: usize, width: usize, channels: usize) -> Self {
        let pitch = channels.next_multiple_of(LANES);
        Self { height, width, channels, pitch, values: Lines::zeros(height * width * pitch) }
    }

    /// Number of values that a map takes.
    pub fn values(height: usize, width: usize, channels: usize) -> usize {
        height * width * channels.next_multiple_of(LANES)
    }

    /// As [`Self::zeros`], in the memory of a map that is not needed any more, and with values yet to be overwritten.
    pub(crate) fn recycled(height: usize, width: usize, channels: usize, mut space: Lines<f32>) -> Self {
        let pitch = channels.next_multiple_of(LANES);
        space.resize(Self::values(height, width, channels));
        Self { height, width, channels, pitch, values: space }
    }

    /// The memory it takes, for a map to come.
    pub fn into_space(self) -> Lines<f32> {
        self.values
    }

    /// From channels x height x width values. Pixels are not filled up. `space` is memory to use, of any content.
    ///
    /// # Panics
    /// If `planes` is not as long as the shape says.
    pub fn from_planes(planes: &[f32], [channels, height, width]: [usize; 3], mut space: Lines<f32>) -> Self {
        let area = height * width;
        assert_eq!(planes.len(), channels * area, "planes of one size, one a channel");
        space.resize(area * channels);
        // Pixels at a time that stay in the first-level cache while every plane is passed over.
        let some = 4096 / channels.max(1) + 1;
        for (start, pixels) in (0..).step_by(some).zip(space.chunks_mut((some * channels).max(1))) {
            for (channel, plane) in planes.chunks_exact(area.max(1)).enumerate() {
                for (pixel, &value) in pixels.chunks_exact_mut(channels).zip(&plane[start..]) {
                    pixel[channel] = value;
                }
            }
        }
        Self { height, width, channels, pitch: channels, values: space }
    }

    /// From rows of channels, one a pixel. Pixels are not filled up.
    ///
    /// # Panics
    /// If `rows` are not whole rows.
    pub fn from_rows(rows: &[f32], height: usize, width: usize) -> Self {
        let channels = rows.len() / (height * width).max(1);
        assert_eq!(rows.len(), height * width * channels, "one row a pixel");
        Self { height, width, channels, pitch: channels, values: rows.into() }
    }

    /// Rows of channels, one a pixel.
    pub fn into_rows(self) -> Vec<f32> {
        if self.pitch == self.channels {
            return self.values.to_vec();
        }
        let pixels = self.values.chunks_exact(self.pitch.max(1));
        pixels.flat_map(|pixel| &pixel[..self.channels]).copied().collect()
    }

    /// Writes channels x height x width values.
    ///
    /// # Panics
    /// If `planes` is not as long as that.
    pub fn write_planes(&self, planes: &mut [f32]) {
        let area = self.height * self.width;
        assert_eq!(planes.len(), self.channels * area, "planes of one size, one a channel");
        // Squares at a time, so that both sides are walked along cache lines.
        for (first, planes) in (0..).step_by(LANES).zip(planes.chunks_mut((LANES * area).max(1))) {
            for (block, pixels) in self.values.chunks(LANES * self.pitch.max(1)).enumerate() {
                let mut square = [[0.0; LANES]; LANES];
                for (x, pixel) in pixels.chunks_exact(self.pitch).enumerate() {
                    for (row, &value) in square.iter_mut().zip(&pixel[first..]) {
                        row[x] = value;
                    }
                }
                for (row, plane) in square.iter().zip(planes.chunks_exact_mut(area)) {
                    let target = &mut plane[block * LANES..];
                    match target.first_chunk_mut() {
                        Some(target) => *target = *row,
                        None => target.copy_from_slice(&row[..target.len()]),
                    }
                }
            }
        }
    }

    /// The channels of every pixel, row by row.
    pub fn pixels(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.pitch.max(1)).map(|pixel| &pixel[..self.channels])
    }

    /// Channels x height x width values.
    #[cfg(test)]
    fn to_planes(&self) -> Vec<f32> {
        let mut planes = vec![0.0; self.channels * self.height * self.width];
        self.write_planes(&mut planes);
        planes
    }

    /// The same map, every pixel filled up.
    pub(crate) fn filled(&self) -> Cow<'_, Self> {
        match self.pitch.is_multiple_of(LANES) {
            true => Cow::Borrowed(self),
            false => Cow::Owned(concatenate(&[self])),
        }
    }

    /// Values from a pixel to the next.
    pub(crate) fn pitch(&self) -> usize {
        self.pitch
    }

    /// All values, pixel by pixel.
    pub(crate) fn all_values(&self) -> &[f32] {
        &self.values
    }

    /// All values, pixel by pixel; those beyond the channels must stay zero.
    pub(crate) fn all_values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Values a row of pixels.
    fn row_length(&self) -> usize {
        self.width * self.pitch
    }
}

/// Where a kernel's first window lies and how many windows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Zero rows above the map.
    pub top: usize,
    /// Zero columns left of the map.
    pub left: usize,
    /// Rows of the output.
    pub height: usize,
    /// Columns of the output.
    pub width: usize,
}

/// Hands out chunks of `size` values with their numbers, over all threads or on this one.
pub(crate) fn each_chunk<T: Send>(
    values: &mut [T],
    size: usize,
    is_parallel: bool,
    work: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    let size = size.max(1);
    if is_parallel {
        values.par_chunks_mut(size).enumerate().for_each(|(index, chunk)| work(index, chunk));
    } else {
        values.chunks_mut(size).enumerate().for_each(|(index, chunk)| work(index, chunk));
    }
}
