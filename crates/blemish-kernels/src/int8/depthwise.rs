//! One kernel a channel: four rows of the kernel at a time, one byte of each to a lane.

use super::finish::{Constants, Finish};
use super::instructions::Task;
use super::lanes::{BYTES, Dots, LANES, VECTORS, channel_of};
use crate::lines::Lines;

/// Pixels summed side by side, so that an interleaved column serves several of them.
const PIXELS: usize = 4;

/// Kernels by blocks of 64 channels: for every four rows, for every column, the taps of the block's channels.
#[derive(Clone, Debug)]
pub(super) struct Kernels {
    /// Rows and columns.
    size: usize,
    /// Each of 64 channels.
    blocks: usize,
    /// (block, four rows, column), one each of the block's vectors.
    taps: Lines<[[i8; BYTES]; VECTORS]>,
}

impl Kernels {
    /// Packs `weight(channel, row, column)` for a map of `pitch` bytes a pixel.
    pub fn new(
        channels: usize,
        pitch: usize,
        size: usize,
        weight: impl Fn(usize, usize, usize) -> i8,
    ) -> Self {
        // Pixels of more take whole blocks.
        let blocks = pitch.div_ceil(BYTES);
        let mut taps = Lines::new();
        for start in (0..blocks).map(|block| block * BYTES) {
            for (group, column) in (0..size.div_ceil(4) * size).map(|at| (at / size, at % size)) {
                taps.push(std::array::from_fn(|vector| {
                    std::array::from_fn(|byte| {
                        let channel = start + channel_of(VECTORS, vector, byte / 4);
                        let row = 4 * group + byte % 4;
                        if channel < channels && row < size { weight(channel, row, column) } else { 0 }
                    })
                }));
            }
        }
        Self { size, blocks, taps }
    }

    /// The channel of every lane of every vector of every block.
    pub fn channels(&self) -> impl Iterator<Item = [usize; LANES]> {
        let vectors = (0..self.blocks).flat_map(|block| (0..VECTORS).map(move |vector| (block, vector)));
        vectors.map(|(block, vector)| {
            std::array::from_fn(|lane| block * BYTES + channel_of(VECTORS, vector, lane))
        })
    }
}

/// Some rows of a depthwise convolution.
pub(super) struct Depthwise<'a> {
    pub kernels: &'a Kernels,
    /// Four a block.
    pub constants: &'a [Constants],
    /// What the windows see, their border included.
    pub input: &'a [u8],
    /// Bytes from a row to the next in the input.
    pub row_step: usize,
    /// Bytes from a pixel to the next in the input, at least 64.
    pub input_pitch: usize,
    pub stride: usize,
    pub width: usize,
    pub finish: Finish<'a>,
    /// Bytes from a pixel to the next in the output.
    pub out_pitch: usize,
    /// rows x width x pitch.
    pub out: &'a mut [u8],
}

impl Task for Depthwise<'_> {
    #[inline(always)]
    fn run<D: Dots>(mut self) {
        let rows = self.out.len() / (self.width * self.out_pitch);
        for (row, block) in (0..rows).flat_map(|row| (0..self.kernels.blocks).map(move |block| (row, block)))
        {
            let mut x = 0;
            while x < self.width {
                if D::WIDE && self.width >= PIXELS {
                    // The last tile overlaps the one before.
                    self.tile::<D, PIXELS>(row, block, x.min(self.width - PIXELS));
                    x += PIXELS;
                } else {
                    self.tile::<D, 1>(row, block, x);
                    x += 1;
                }
            }
        }
    }
}

impl Depthwise<'_> {
    #[inline(always)]
    fn tile<D: Dots, const COUNT: usize>(&mut self, row: usize, block: usize, x: usize) {
        let (size, start) = (self.kernels.size, block * BYTES);
        let constants: &[Constants; VECTORS] = &self.constants.as_chunks::<VECTORS>().0[block];
        let mut first = [D::splat(0); VECTORS];
        for vector in 0..VECTORS {
            first[vector] = D::start(&constants[vector].bias, &constants[vector].weight_sums);
        }
        let mut sums = [first; COUNT];
        let groups = size.div_ceil(4);
        let taps = &self.kernels.taps[block * groups * size..(block + 1) * groups * size];
        for (group, taps) in taps.chunks_exact(size).enumerate() {
            // Rows beyond the kernel have zeros for weights: any row serves.
            let width = (self.width - 1) * self.stride + size;
            let length = width * self.input_pitch - start;
            let mut lines = [self.input; 4];
            for line in 0..4 {
                let row = row * self.stride + (4 * group + line).min(size - 1);
                lines[line] = &self.input[row * self.row_step + start..][..length];
            }
            for column in 0..(COUNT - 1) * self.stride + size {
                let at = (x * self.stride + column) * self.input_pitch;
                let mut bytes = [&[0; BYTES]; 4];
                for line in 0..4 {
                    bytes[line] = &lines[line][at..at + BYTES].as_chunks().0[0];
                }
                let quads = D::interleave(bytes);
                for pixel in 0..COUNT {
                    // The column of the kernel that meets this one for this pixel, if any.
                    if let Some(taps) = taps.get(column.wrapping_sub(pixel * self.stride)) {
                        for vector in 0..VECTORS {
                            sums[pixel][vector] = sums[pixel][vector].dot(quads[vector], &taps[vector]);
                        }
                    }
                }
            }
        }
        for (offset, sums) in sums.into_iter().enumerate() {
            let at = (row * self.width + x + offset) * self.out_pitch + start;
            self.finish.store(sums, constants, at, self.out_pitch, self.out);
        }
    }
}
