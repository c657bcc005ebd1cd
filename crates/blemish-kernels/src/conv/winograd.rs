//! 3x3 convolutions of stride 1 with a quarter of the multiplications: Winograd's F(4x4, 3x3).
//!
//! Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016: a tile of 4x4 outputs is
//! `A^T [ (G g G^T) . (B^T d B) ] A` for a kernel g and the 6x6 inputs d around the tile. Summed over input channels, the inner product
//! is 36 small matrix products. The transforms use only few, small numbers; results differ from the plain sum by some 1e-5 of the
//! largest output.

use super::dense::{Panels, Tiles};
use super::{ChannelsLast, Epilogue, Windows};
use crate::lines::Lines;
use crate::simd::{Kernel, LANES, Lanes};
use crate::winograd::{InputLine, Line, OutputLine, PRODUCTS, REACH, TILE};
use std::cell::Cell;

/// G of the paper.
const KERNEL_TRANSFORM: [[f64; 3]; REACH] = [
    [0.25, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// G g G^T of every pair of channels: one set of panels for each of the 36 products.
pub(super) fn transform_weights(out_channels: usize, in_channels: usize, weights: &[f32]) -> Vec<Panels> {
    let transformed: Vec<[f32; PRODUCTS]> = weights.as_chunks::<9>().0.iter().map(transform_kernel).collect();
    (0..PRODUCTS)
        .map(|product| {
            Panels::new(out_channels, in_channels, |out, input| {
                transformed[out * in_channels + input][product]
            })
        })
        .collect()
}

fn transform_kernel(kernel: &[f32; 9]) -> [f32; PRODUCTS] {
    let mut half = [[0.0f64; 3]; REACH];
    for (row, factors) in half.iter_mut().zip(&KERNEL_TRANSFORM) {
        for (column, value) in row.iter_mut().enumerate() {
            *value = (0..3).map(|i| factors[i] * f64::from(kernel[i * 3 + column])).sum();
        }
    }
    let mut out = [0.0; PRODUCTS];
    for (row, values) in half.iter().enumerate() {
        for (column, factors) in KERNEL_TRANSFORM.iter().enumerate() {
            out[row * REACH + column] = (0..3).map(|i| factors[i] * values[i]).sum::<f64>() as f32;
        }
    }
    out
}

thread_local! {
    /// Space for transformed tiles, kept between convolutions: what it holds is always overwritten before it is read.
    static SCRATCH: Cell<Lines<f32>> = const { Cell::new(Lines::new()) };
}

/// Some rows of tiles of a convolution.
pub(super) struct Winograd<'a> {
    pub input: &'a ChannelsLast,
    pub windows: Windows,
    pub panels: &'a [Panels],
    /// One a channel of the output's pitch.
    pub bias: &'a [f32],
    pub epilogue: Epilogue<'a>,
    /// The first row of outputs, a multiple of [`TILE`].
    pub first_row: usize,
    /// rows x width x pitch.
    pub out: &'a mut [f32],
}

/// Values from one of the 36 matrices to the next: a cache line more than it holds, since steps of a power of two would bring the 36
/// values of a tile into the same few sets of the cache.
fn matrix_step(values: usize) -> usize {
    values + LANES
}

impl Kernel for Winograd<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let (pitch_in, pitch_out) = (self.input.pitch, self.bias.len());
        let rows = self.out.len() / (self.windows.width * pitch_out);
        let (tiles_down, tiles_across) = (rows.div_ceil(TILE), self.windows.width.div_ceil(TILE));
        let tiles = tiles_down * tiles_across;
        let mut scratch = SCRATCH.take();
        let (step_in, step_out) = (matrix_step(tiles * pitch_in), matrix_step(tiles * pitch_out));
        scratch.resize(PRODUCTS * (step_in + step_out));
        let (inputs, products) = scratch.split_at_mut(PRODUCTS * step_in);
        for tile in 0..tiles {
            self.transform_input::<V>((tile / tiles_across, tile % tiles_across), tile, step_in, inputs);
        }
        let zeros = Lines::zeros(pitch_out);
        let each = inputs.chunks_exact(step_in).zip(products.chunks_exact_mut(step_out));
        for ((input, out), panels) in each.zip(self.panels) {
            let multiply = Tiles {
                panels,
                input,
                row_step: 0,
                pixel_step: pitch_in,
                segments: &[0],
                run_length: self.input.channels,
                width: tiles,
                bias: &zeros,
                epilogue: Epilogue::default(),
                out: &mut out[..tiles * pitch_out],
            };
            multiply.run::<V>();
        }
        for tile in 0..tiles {
            self.transform_output::<V>((tile / tiles_across, tile % tiles_across), tile, step_out, products);
        }
        SCRATCH.set(scratch);
    }
}

impl Winograd<'_> {
    /// B^T d B of one tile, every product to its own matrix.
    #[inline(always)]
    fn transform_input<V: Lanes>(&self, at: (usize, usize), tile: usize, step: usize, to: &mut [f32]) {
        let pitch = self.input.pitch;
        let top = self.first_row + at.0 * TILE;
        let left = at.1 * TILE;
        let nothing = [0.0; LANES];
        for channel in (0..pitch).step_by(LANES) {
            let mut values = [[V::splat(0.0); REACH]; REACH];
            for (dy, row) in values.iter_mut().enumerate() {
                let y = (top + dy).checked_sub(self.windows.top).filter(|&y| y < self.input.height);
                for (dx, value) in row.iter_mut().enumerate() {
                    let x = (left + dx).checked_sub(self.windows.left).filter(|&x| x < self.input.width);
                    let pixel = match (y, x) {
                        (Some(y), Some(x)) => {
                            self.input.values[(y * self.input.width + x) * pitch + channel..].first_chunk()
                        }
                        _ => None,
                    };
                    *value = V::load(pixel.unwrap_or(&nothing));
                }
            }
            for (row, line) in InputLine::both_ways(values).into_iter().enumerate() {
                for (column, value) in line.into_iter().enumerate() {
                    let start = (row * REACH + column) * step + tile * pitch + channel;
                    to[start..start + LANES].copy_from_slice(&value.store());
                }
            }
        }
    }

    /// A^T m A of one tile, then the epilogue.
    #[inline(always)]
    fn transform_output<V: Lanes>(&mut self, at: (usize, usize), tile: usize, step: usize, from: &[f32]) {
        let (pitch, width) = (self.bias.len(), self.windows.width);
        let rows = self.out.len() / (width * pitch);
        let (top, left) = (at.0 * TILE, at.1 * TILE);
        for channel in (0..pitch).step_by(LANES) {
            let bias = V::load(&self.bias[channel..].as_chunks::<LANES>().0[0]);
            let mut products = [[V::splat(0.0); REACH]; REACH];
            for (row, line) in products.iter_mut().enumerate() {
                for (column, value) in line.iter_mut().enumerate() {
                    let start = (row * REACH + column) * step + tile * pitch + channel;
                    *value = V::load(&from[start..].as_chunks::<LANES>().0[0]);
                }
            }
            let outputs = OutputLine::both_ways(products);
            for (dy, line) in outputs.into_iter().enumerate().take(rows - top.min(rows)) {
                for (dx, value) in line.into_iter().enumerate().take(width - left) {
                    let start = ((top + dy) * width + left + dx) * pitch + channel;
                    let value = self.epilogue.finish(value.add(bias), start).store();
                    self.out[start..start + LANES].copy_from_slice(&value);
                }
            }
        }
    }
}
