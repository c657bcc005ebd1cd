//! 3x3 convolutions of stride 1 and their gradients with a quarter of the multiplications: Winograd's F(4x4, 3x3).
//!
//! Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. With d the 6x6 inputs around a tile of 4x4 outputs and g
//! a kernel, and products `.` entry by entry,
//!
//! - forward: `Y = A^T [ (G g G^T) . (B^T d B) ] A`, summed over the input channels,
//! - with respect to the input: the same of the outputs' gradients with turned kernels,
//! - with respect to the weights: `dg = G^T [ (A dY A^T) . (B^T d B) ] G`, summed over the tiles.
//!
//! The sums are 36 matrix products. Results differ from plain sums by some 1e-5 of the largest one.
//!
//! A map is laid out by the row and column of its pixels in a tile (16 phases), so that what a transform needs of neighbouring tiles lies
//! side by side and lanes are tiles. Rows of tiles have one more tile, for what the last one reads beyond its own pixels.

#[cfg(test)]
mod tests;
mod transforms;

use crate::geometry::Geometry;
use crate::real::{Matrix, Onto, inside, multiply};
use blemish_kernels::simd::{LANES, widest};
use blemish_kernels::winograd::{
    GradientLine, InputLine, KernelLine, Line, OutputLine, PRODUCTS, REACH, TILE, TapLine,
};
use gemm::Parallelism;
use rayon::prelude::*;
use std::cell::Cell;
use std::marker::PhantomData;
use transforms::{Lines, Phased, Tiles};

const TAPS: usize = 9;

/// Below so many channels the transforms cost more than the products they save.
const FEWEST_CHANNELS: usize = 32;
/// Tiles that one task works on at least: enough for the products to run at full speed.
const TILES: usize = 256;

impl Geometry {
    /// Whether it can be done this way, and pays.
    pub(crate) fn is_winograd(&self) -> bool {
        self.kernel == 3
            && self.stride == 1
            // The gradient's padding is what is left of two.
            && self.padding < 3
            && self.is_valid()
            && self.inputs.min(self.outputs) >= FEWEST_CHANNELS
            && self.tiles() >= LANES
            // A map that fills its tiles badly saves nothing.
            && self.tiles() * TILE * TILE < 2 * self.output_plane()
    }

    fn output_plane(&self) -> usize {
        let (height, width) = self.output_size();
        height * width
    }

    /// Rows of tiles, and tiles a row with the one more.
    fn grid(&self) -> (usize, usize) {
        let (height, width) = self.output_size();
        (height.div_ceil(TILE), width.div_ceil(TILE) + 1)
    }

    /// Tiles of an image.
    fn tiles(&self) -> usize {
        let (rows, columns) = self.grid();
        rows * columns
    }

    /// Images of a task.
    fn images_at_once(&self) -> usize {
        TILES.div_ceil(self.tiles()).clamp(1, self.batch.max(1))
    }

    /// The convolution that turns gradients of outputs into gradients of inputs.
    fn reversed(&self) -> Self {
        let (height, width) = self.output_size();
        let (inputs, outputs, padding) = (self.outputs, self.inputs, 2 - self.padding);
        Self { inputs, outputs, height, width, padding, ..*self }
    }
}

thread_local! {
    /// Space for transformed maps, kept between convolutions: what it holds is always overwritten before it is read.
    static SPACE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Hands work space of some length, of any content.
fn with_space<T>(length: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut space = SPACE.take();
    if space.len() < length {
        space.resize(length, 0.0);
    }
    let done = work(&mut space[..length]);
    SPACE.set(space);
    done
}

/// Maps of some images: images x channels x height x width.
struct Maps<'a> {
    values: &'a [f32],
    channels: usize,
    size: (usize, usize),
    /// Rows and columns of zeros around.
    padding: usize,
}

impl Maps<'_> {
    /// One channel laid out on a convolution's tiles and transformed there: 36 x tiles of all images.
    fn transform<L: Line<N, REACH>, const N: usize>(&self, on: Geometry, channel: usize, to: &mut [f32]) {
        let plane = self.size.0 * self.size.1;
        let count = self.values.len() / (self.channels * plane);
        let (rows, columns) = on.grid();
        let mut phased = Phased::new(count, rows + 1, columns);
        for index in 0..count {
            let start = (index * self.channels + channel) * plane;
            phased.fill(index, &self.values[start..][..plane], self.size.1, self.padding);
        }
        widest(Tiles::<L, N> { from: &phased, count, tiles: on.tiles(), to, line: PhantomData });
    }
}

fn inputs_of(g: Geometry, x: &[f32]) -> Maps<'_> {
    Maps { values: x, channels: g.inputs, size: (g.height, g.width), padding: g.padding }
}

/// A^T m A of one channel of one image, whose tiles begin every product's `all` values, plus a bias, as pixels.
fn write_plane(g: Geometry, products: &[f32], all: usize, bias: f32, plane: &mut [f32]) {
    let (tiles, (_, columns), (_, width)) = (g.tiles(), g.grid(), g.output_size());
    let mut phases = vec![0.0; TILE * TILE * tiles];
    let to = &mut phases;
    widest(Lines::<OutputLine, REACH, TILE> {
        from: products,
        steps: (all, tiles),
        count: tiles,
        to,
        line: PhantomData,
    });
    for (y, row) in plane.chunks_exact_mut(width).enumerate() {
        let start = y / TILE * columns;
        let phase = |column: usize| &phases[(y % TILE * TILE + column) * tiles + start..];
        let [a, b, c, d] = [phase(0), phase(1), phase(2), phase(3)];
        for (tile, pixels) in row.chunks_mut(TILE).enumerate() {
            let values = [a[tile], b[tile], c[tile], d[tile]].map(|value| value + bias);
            pixels.copy_from_slice(&values[..pixels.len()]);
        }
    }
}

/// A convolution with transformed kernels, whose entry (output, input) lies at the strides.
fn apply(
    g: Geometry,
    x: &[f32],
    kernels: &[f32],
    (output_stride, input_stride): (usize, usize),
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let (plane, tiles, group) = (g.output_plane(), g.tiles(), g.images_at_once());
    let pairs = g.inputs * g.outputs;
    let mut y = vec![0.0; g.batch * g.output_values()];
    let images = x.par_chunks(group * g.input_values());
    y.par_chunks_mut(group * g.output_values()).zip(images).for_each(|(y, x)| {
        let all = y.len() / g.output_values() * tiles;
        with_space(PRODUCTS * all * (g.inputs + g.outputs), |space| {
            let (inputs, products) = space.split_at_mut(PRODUCTS * all * g.inputs);
            for (channel, to) in inputs.chunks_exact_mut(PRODUCTS * all).enumerate() {
                inputs_of(g, x).transform::<InputLine, REACH>(g, channel, to);
            }
            for product in 0..PRODUCTS {
                let left = Matrix {
                    data: kernels,
                    start: product * pairs,
                    row_stride: output_stride,
                    column_stride: input_stride,
                };
                let right = Matrix {
                    data: inputs,
                    start: product * all,
                    row_stride: PRODUCTS * all,
                    column_stride: 1,
                };
                let out = &mut products[product * all..];
                let threads = inside(g.batch.div_ceil(group));
                multiply([g.outputs, g.inputs, all], left, right, (out, PRODUCTS * all), Onto::Zero, threads);
            }
            for (index, plane) in y.chunks_exact_mut(plane).enumerate() {
                let (image, channel) = (index / g.outputs, index % g.outputs);
                let products = &products[channel * PRODUCTS * all + image * tiles..];
                write_plane(g, products, all, bias.map_or(0.0, |bias| bias[channel]), plane);
            }
        });
    });
    y
}

/// A transform of every pair of channels: N x N x pairs to M x M x pairs.
fn transformed<L: Line<N, M>, const N: usize, const M: usize>(from: &[f32]) -> Vec<f32> {
    let pairs = from.len() / (N * N);
    let mut to = vec![0.0; M * M * pairs];
    let steps = (pairs, pairs);
    widest(Lines::<L, N, M> { from, steps, count: pairs, to: &mut to, line: PhantomData });
    to
}

/// `y = w * x + b`; `taps` are the weights as taps x outputs x inputs.
pub(crate) fn forward(g: Geometry, x: &[f32], taps: &[f32], bias: &[f32]) -> Vec<f32> {
    apply(g, x, &transformed::<KernelLine, 3, REACH>(taps), (g.inputs, 1), Some(bias))
}

/// The gradient with respect to x.
pub(crate) fn input_gradient(g: Geometry, taps: &[f32], gradient: &[f32]) -> Vec<f32> {
    let turned: Vec<f32> = taps.chunks_exact(taps.len() / TAPS).rev().flatten().copied().collect();
    apply(g.reversed(), gradient, &transformed::<KernelLine, 3, REACH>(&turned), (1, g.inputs), None)
}

/// The gradient with respect to the weights, as taps x outputs x inputs.
pub(crate) fn weight_gradient(g: Geometry, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (group, pairs) = (g.images_at_once(), g.inputs * g.outputs);
    let mut sums = vec![0.0; PRODUCTS * pairs];
    let images = x.chunks(group * g.input_values());
    for (x, gradient) in images.zip(gradient.chunks(group * g.output_values())) {
        let all = gradient.len() / g.output_values() * g.tiles();
        let gradients = Maps { values: gradient, channels: g.outputs, size: g.output_size(), padding: 0 };
        with_space(PRODUCTS * all * (g.inputs + g.outputs), |space| {
            let (inputs, outputs) = space.split_at_mut(PRODUCTS * all * g.inputs);
            inputs.par_chunks_exact_mut(PRODUCTS * all).enumerate().for_each(|(channel, to)| {
                inputs_of(g, x).transform::<InputLine, REACH>(g, channel, to);
            });
            outputs.par_chunks_exact_mut(PRODUCTS * all).enumerate().for_each(|(channel, to)| {
                gradients.transform::<GradientLine, TILE>(g, channel, to);
            });
            sums.par_chunks_exact_mut(pairs).enumerate().for_each(|(product, sums)| {
                let matrix = |data, row_stride, column_stride| Matrix {
                    data,
                    start: product * all,
                    row_stride,
                    column_stride,
                };
                let (left, right) = (matrix(outputs, PRODUCTS * all, 1), matrix(inputs, 1, PRODUCTS * all));
                let extent = [g.outputs, all, g.inputs];
                multiply(extent, left, right, (sums, g.inputs), Onto::Sum, Parallelism::None);
            });
        });
    }
    transformed::<TapLine, REACH, 3>(&sums)
}
