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

use crate::real::{Matrix, Onto, multiply};
use blemish_kernels::simd::{Kernel, LANES, Lanes, widest};
use gemm::Parallelism;
use rayon::prelude::*;
use std::cell::Cell;
use std::marker::PhantomData;

/// Side of a tile of outputs, and of the inputs it needs.
const TILE: usize = 4;
const REACH: usize = 6;
const PHASES: usize = TILE * TILE;
const PRODUCTS: usize = REACH * REACH;
const TAPS: usize = 9;

/// Below so many channels the transforms cost more than the products they save.
const FEWEST_CHANNELS: usize = 32;
/// Tiles that one task works on at least: enough for the products to run at full speed.
const TILES: usize = 256;

/// Sizes of a convolution: square kernel of side 3, stride 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) padding: usize,
}

impl Sizes {
    /// Whether it pays, and whether the gradient's padding exists.
    pub(crate) fn pays(&self) -> bool {
        self.padding < 3
            && self.inputs.min(self.outputs) >= FEWEST_CHANNELS
            && self.height.min(self.width) + 2 * self.padding >= 3
            && self.tiles() >= LANES
            // A map that fills its tiles badly saves nothing.
            && self.tiles() * PHASES < 2 * self.output_plane()
    }

    fn output_size(&self) -> (usize, usize) {
        (self.height + 2 * self.padding - 2, self.width + 2 * self.padding - 2)
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
    fn group(&self) -> usize {
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

/// A channel's pixels by phase and tile: 16 x `line`.
struct Phased {
    line: usize,
    /// Tiles from one image to the next.
    image: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Phased {
    /// Zeros for `count` images of `rows` rows of tiles.
    fn new(count: usize, rows: usize, columns: usize) -> Self {
        // Beyond the last image lies what the last tiles read of the next row, and the rest of a register.
        let line = count * rows * columns + columns + 1 + LANES;
        Self { line, image: rows * columns, columns, values: vec![0.0; PHASES * line] }
    }

    /// Lays a channel of an image out, `padding` rows and columns from the edge. Other images stay, and so do the zeros around.
    fn fill(&mut self, index: usize, plane: &[f32], width: usize, padding: usize) {
        for (y, row) in plane.chunks_exact(width).enumerate() {
            let at = y + padding;
            let start = index * self.image + at / TILE * self.columns;
            for x in 0..TILE.min(width) {
                let column = x + padding;
                let phase = at % TILE * TILE + column % TILE;
                let to = &mut self.values[phase * self.line + start + column / TILE..];
                to.iter_mut().zip(row[x..].iter().step_by(TILE)).for_each(|(to, &value)| *to = value);
            }
        }
    }

    /// N x N pixels of sixteen tiles from their corners on.
    #[inline(always)]
    fn load<V: Lanes, const N: usize>(&self, tile: usize) -> [[V; N]; N] {
        let mut values = [[V::splat(0.0); N]; N];
        for row in 0..N {
            for column in 0..N {
                let phase = row % TILE * TILE + column % TILE;
                let at = phase * self.line + tile + row / TILE * self.columns + column / TILE;
                values[row][column] = V::load(&self.values[at..].as_chunks::<LANES>().0[0]);
            }
        }
        values
    }
}

/// One way of a transform: N values to M.
///
/// Closures and what the standard library does with them are not inlined into code for wider vectors, hence types and plain loops.
trait Line<const N: usize, const M: usize> {
    fn of<V: Lanes>(values: [V; N]) -> [V; M];

    /// Each column and then each row taken that way.
    #[inline(always)]
    fn both_ways<V: Lanes>(values: [[V; N]; N]) -> [[V; M]; M] {
        let mut half = [[V::splat(0.0); N]; M];
        for column in 0..N {
            let mut line = [V::splat(0.0); N];
            for row in 0..N {
                line[row] = values[row][column];
            }
            let line = Self::of(line);
            for row in 0..M {
                half[row][column] = line[row];
            }
        }
        let mut done = [[V::splat(0.0); M]; M];
        for row in 0..M {
            done[row] = Self::of(half[row]);
        }
        done
    }
}

/// B^T d.
struct InputLine;

impl Line<REACH, REACH> for InputLine {
    #[inline(always)]
    fn of<V: Lanes>(d: [V; REACH]) -> [V; REACH] {
        let (four, five) = (V::splat(4.0), V::splat(-5.0));
        let even = d[2].mul_add(V::splat(-4.0), d[4]);
        let odd = d[1].mul_add(V::splat(-4.0), d[3]);
        let outer = d[4].sub(d[2]);
        let inner = d[3].sub(d[1]).mul(V::splat(2.0));
        [
            d[0].mul_add(four, d[2].mul_add(five, d[4])),
            even.add(odd),
            even.sub(odd),
            outer.add(inner),
            outer.sub(inner),
            d[1].mul_add(four, d[3].mul_add(five, d[5])),
        ]
    }
}

/// A^T m.
struct OutputLine;

impl Line<REACH, TILE> for OutputLine {
    #[inline(always)]
    fn of<V: Lanes>(m: [V; REACH]) -> [V; TILE] {
        let (near_sum, near_difference) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (far_sum, far_difference) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(near_sum).add(far_sum),
            far_difference.mul_add(V::splat(2.0), near_difference),
            far_sum.mul_add(V::splat(4.0), near_sum),
            far_difference.mul_add(V::splat(8.0), near_difference).add(m[5]),
        ]
    }
}

/// A y, the transpose of [`OutputLine`].
struct GradientLine;

impl Line<TILE, REACH> for GradientLine {
    #[inline(always)]
    fn of<V: Lanes>(y: [V; TILE]) -> [V; REACH] {
        let (even, odd) = (y[0].add(y[2]), y[1].add(y[3]));
        let far_even = y[2].mul_add(V::splat(4.0), y[0]);
        let far_odd = y[3].mul_add(V::splat(8.0), y[1].mul(V::splat(2.0)));
        [y[0], even.add(odd), even.sub(odd), far_even.add(far_odd), far_even.sub(far_odd), y[3]]
    }
}

/// G g.
struct KernelLine;

impl Line<3, REACH> for KernelLine {
    #[inline(always)]
    fn of<V: Lanes>(g: [V; 3]) -> [V; REACH] {
        let sixth = V::splat(-1.0 / 6.0);
        let even = g[0].add(g[2]);
        let far_even = g[0].mul_add(V::splat(1.0 / 24.0), g[2].mul(V::splat(1.0 / 6.0)));
        let far_odd = g[1].mul(V::splat(1.0 / 12.0));
        [
            g[0].mul(V::splat(0.25)),
            even.add(g[1]).mul(sixth),
            even.sub(g[1]).mul(sixth),
            far_even.add(far_odd),
            far_even.sub(far_odd),
            g[2],
        ]
    }
}

/// G^T h, the transpose of [`KernelLine`].
struct TapLine;

impl Line<REACH, 3> for TapLine {
    #[inline(always)]
    fn of<V: Lanes>(h: [V; REACH]) -> [V; 3] {
        let near = h[1].add(h[2]).mul(V::splat(-1.0 / 6.0));
        let far = h[3].add(h[4]);
        let odd = h[3].sub(h[4]).mul(V::splat(1.0 / 12.0));
        [
            h[0].mul_add(V::splat(0.25), far.mul_add(V::splat(1.0 / 24.0), near)),
            h[2].sub(h[1]).mul_add(V::splat(1.0 / 6.0), odd),
            far.mul_add(V::splat(1.0 / 6.0), near).add(h[5]),
        ]
    }
}

/// Sixteen neighbours from each of N x N lines of `step` values, from `at` on.
#[inline(always)]
fn load<V: Lanes, const N: usize>(from: &[f32], step: usize, at: usize) -> [[V; N]; N] {
    let mut values = [[V::splat(0.0); N]; N];
    for row in 0..N {
        for column in 0..N {
            let start = (row * N + column) * step + at;
            values[row][column] = V::load(&from[start..].as_chunks::<LANES>().0[0]);
        }
    }
    values
}

/// The reverse of [`load`].
#[inline(always)]
fn store<V: Lanes, const N: usize>(values: [[V; N]; N], to: &mut [f32], step: usize, at: usize) {
    for row in 0..N {
        for column in 0..N {
            let start = (row * N + column) * step + at;
            to[start..start + LANES].copy_from_slice(&values[row][column].store());
        }
    }
}

/// A transform of N x N pixels of all tiles of a channel: 36 x tiles.
struct Tiles<'a, L, const N: usize> {
    from: &'a Phased,
    count: usize,
    tiles: usize,
    to: &'a mut [f32],
    line: PhantomData<L>,
}

impl<L: Line<N, REACH>, const N: usize> Kernel for Tiles<'_, L, N> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let all = self.count * self.tiles;
        for index in 0..self.count {
            let mut start = 0;
            while start < self.tiles {
                let within = start.min(self.tiles - LANES);
                let pixels = self.from.load::<V, N>(index * self.from.image + within);
                store(L::both_ways(pixels), self.to, all, index * self.tiles + within);
                start += LANES;
            }
        }
    }
}

/// A^T m A of all tiles of one channel of one image, plus a bias, in the order of pixels.
struct Outputs<'a> {
    /// The image's first tile of the channel's 36 x `all` products.
    from: &'a [f32],
    all: usize,
    tiles: usize,
    columns: usize,
    width: usize,
    bias: f32,
    plane: &'a mut [f32],
}

impl Kernel for Outputs<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let mut phases = vec![0.0; PHASES * self.tiles];
        let bias = V::splat(self.bias);
        let mut start = 0;
        while start < self.tiles {
            let within = start.min(self.tiles - LANES);
            let mut values = OutputLine::both_ways(load::<V, REACH>(self.from, self.all, within));
            for row in 0..TILE {
                for column in 0..TILE {
                    values[row][column] = values[row][column].add(bias);
                }
            }
            store(values, &mut phases, self.tiles, within);
            start += LANES;
        }
        for (y, row) in self.plane.chunks_exact_mut(self.width).enumerate() {
            let start = y / TILE * self.columns;
            let phase = |column: usize| &phases[(y % TILE * TILE + column) * self.tiles + start..];
            let [a, b, c, d] = [phase(0), phase(1), phase(2), phase(3)];
            for (tile, pixels) in row.chunks_mut(TILE).enumerate() {
                let values = [a[tile], b[tile], c[tile], d[tile]];
                pixels.copy_from_slice(&values[..pixels.len()]);
            }
        }
    }
}

/// G g G^T of kernels, 9 x pairs of channels to 36 x pairs; `is_turned` takes the taps in reverse.
struct Kernels<'a> {
    taps: &'a [f32],
    is_turned: bool,
    to: &'a mut [f32],
}

impl Kernel for Kernels<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let pairs = self.taps.len() / TAPS;
        let mut start = 0;
        while start < pairs {
            let within = start.min(pairs - LANES);
            let mut kernel = load::<V, 3>(self.taps, pairs, within);
            if self.is_turned {
                let given = kernel;
                for row in 0..3 {
                    for column in 0..3 {
                        kernel[row][column] = given[2 - row][2 - column];
                    }
                }
            }
            store(KernelLine::both_ways(kernel), self.to, pairs, within);
            start += LANES;
        }
    }
}

/// G^T h G of sums, 36 x pairs of channels to 9 x pairs.
struct Taps<'a> {
    sums: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Taps<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let pairs = self.to.len() / TAPS;
        let mut start = 0;
        while start < pairs {
            let within = start.min(pairs - LANES);
            let taps = TapLine::both_ways(load::<V, REACH>(self.sums, pairs, within));
            store(taps, self.to, pairs, within);
            start += LANES;
        }
    }
}

/// Threads inside a product: those that single tasks would leave idle.
fn inside(tasks: usize) -> Parallelism {
    if tasks == 1 { Parallelism::Rayon(0) } else { Parallelism::None }
}

/// Transformed inputs of one channel of some images, `planes` of all channels.
fn transform_channel(sizes: Sizes, planes: &[f32], channel: usize, to: &mut [f32]) {
    let plane = sizes.height * sizes.width;
    let count = planes.len() / (sizes.inputs * plane);
    let (rows, columns) = sizes.grid();
    let mut phased = Phased::new(count, rows + 1, columns);
    for index in 0..count {
        let start = (index * sizes.inputs + channel) * plane;
        phased.fill(index, &planes[start..][..plane], sizes.width, sizes.padding);
    }
    widest(Tiles::<InputLine, REACH> { from: &phased, count, tiles: sizes.tiles(), to, line: PhantomData });
}

/// A convolution with transformed kernels, whose entry (output, input) lies at the strides.
fn apply(
    sizes: Sizes,
    x: &[f32],
    kernels: &[f32],
    (output_stride, input_stride): (usize, usize),
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let (plane, width) = (sizes.output_plane(), sizes.output_size().1);
    let (tiles, columns, group) = (sizes.tiles(), sizes.grid().1, sizes.group());
    let pairs = sizes.inputs * sizes.outputs;
    let tasks = sizes.batch.div_ceil(group);
    let mut y = vec![0.0; sizes.batch * sizes.outputs * plane];
    let images = x.par_chunks(group * sizes.inputs * sizes.height * sizes.width);
    y.par_chunks_mut(group * sizes.outputs * plane).zip(images).for_each(|(y, x)| {
        let all = y.len() / (sizes.outputs * plane) * tiles;
        with_space(PRODUCTS * all * (sizes.inputs + sizes.outputs), |space| {
            let (inputs, products) = space.split_at_mut(PRODUCTS * all * sizes.inputs);
            for (channel, to) in inputs.chunks_exact_mut(PRODUCTS * all).enumerate() {
                transform_channel(sizes, x, channel, to);
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
                let extent = [sizes.outputs, sizes.inputs, all];
                multiply(extent, left, right, (out, PRODUCTS * all), Onto::Zero, inside(tasks));
            }
            for (index, plane) in y.chunks_exact_mut(plane).enumerate() {
                let (image, channel) = (index / sizes.outputs, index % sizes.outputs);
                let from = &products[channel * PRODUCTS * all + image * tiles..];
                let bias = bias.map_or(0.0, |bias| bias[channel]);
                widest(Outputs { from, all, tiles, columns, width, bias, plane });
            }
        });
    });
    y
}

fn transformed(taps: &[f32], is_turned: bool) -> Vec<f32> {
    let mut kernels = vec![0.0; taps.len() / TAPS * PRODUCTS];
    widest(Kernels { taps, is_turned, to: &mut kernels });
    kernels
}

/// `y = w * x + b`; `taps` are the weights as taps x outputs x inputs.
pub(crate) fn forward(sizes: Sizes, x: &[f32], taps: &[f32], bias: &[f32]) -> Vec<f32> {
    apply(sizes, x, &transformed(taps, false), (sizes.inputs, 1), Some(bias))
}

/// The gradient with respect to x.
pub(crate) fn input_gradient(sizes: Sizes, taps: &[f32], gradient: &[f32]) -> Vec<f32> {
    apply(sizes.reversed(), gradient, &transformed(taps, true), (1, sizes.inputs), None)
}

/// The gradient with respect to the weights, as taps x outputs x inputs.
pub(crate) fn weight_gradient(sizes: Sizes, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let (tiles, group, pairs) = (sizes.tiles(), sizes.group(), sizes.inputs * sizes.outputs);
    let ((rows, columns), width, plane) = (sizes.grid(), sizes.output_size().1, sizes.output_plane());
    let mut sums = vec![0.0; PRODUCTS * pairs];
    let images = x.chunks(group * sizes.inputs * sizes.height * sizes.width);
    for (x, gradient) in images.zip(gradient.chunks(group * sizes.outputs * plane)) {
        let count = gradient.len() / (sizes.outputs * plane);
        let all = count * tiles;
        with_space(PRODUCTS * all * (sizes.inputs + sizes.outputs), |space| {
            let (inputs, outputs) = space.split_at_mut(PRODUCTS * all * sizes.inputs);
            let one = |channel: usize, to: &mut [f32]| transform_channel(sizes, x, channel, to);
            inputs
                .par_chunks_exact_mut(PRODUCTS * all)
                .enumerate()
                .for_each(|(channel, to)| one(channel, to));
            outputs.par_chunks_exact_mut(PRODUCTS * all).enumerate().for_each(|(channel, to)| {
                let mut phased = Phased::new(count, rows, columns);
                for index in 0..count {
                    let start = (index * sizes.outputs + channel) * plane;
                    phased.fill(index, &gradient[start..][..plane], width, 0);
                }
                widest(Tiles::<GradientLine, TILE> { from: &phased, count, tiles, to, line: PhantomData });
            });
            sums.par_chunks_exact_mut(pairs).enumerate().for_each(|(product, sums)| {
                let matrix = |data, row_stride, column_stride| Matrix {
                    data,
                    start: product * all,
                    row_stride,
                    column_stride,
                };
                let (left, right) = (matrix(outputs, PRODUCTS * all, 1), matrix(inputs, 1, PRODUCTS * all));
                let extent = [sizes.outputs, all, sizes.inputs];
                multiply(extent, left, right, (sums, sizes.inputs), Onto::Sum, Parallelism::None);
            });
        });
    }
    let mut taps = vec![0.0; TAPS * pairs];
    widest(Taps { sums: &sums, to: &mut taps });
    taps
}

#[cfg(test)]
mod tests {
    use super::Sizes;
    use crate::convolution::{Geometry, forward, input_gradient, weight_gradient};
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    fn random(count: usize, seed: u64) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..count).map(|_| f64::from(random.random_range(-1.0f32..1.0))).collect()
    }

    fn rounded(values: &[f64]) -> Vec<f32> {
        values.iter().map(|&value| value as f32).collect()
    }

    fn close(what: &str, ours: &[f32], exact: &[f64]) {
        assert_eq!(ours.len(), exact.len());
        let largest = exact.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        let off = ours.iter().zip(exact).fold(0.0f64, |most, (a, b)| most.max((f64::from(*a) - b).abs()));
        assert!(off < 2e-5 * largest, "{what}: off by {} of the largest", off / largest);
    }

    /// Double precision goes the plain way.
    #[test]
    fn it_gives_what_plain_sums_give() {
        // Batch, inputs, outputs, height, width, padding; tiles that are not full, several tasks, channels that fill no register.
        for [batch, inputs, outputs, height, width, padding] in
            [[1, 32, 32, 16, 16, 1], [3, 33, 40, 17, 23, 1], [9, 32, 35, 32, 30, 0], [2, 36, 32, 20, 16, 2]]
        {
            let sizes = Sizes { batch, inputs, outputs, height, width, padding };
            assert!(sizes.pays(), "{sizes:?}");
            let geometry = Geometry { batch, inputs, outputs, height, width, kernel: 3, stride: 1, padding };
            let x = random(batch * inputs * height * width, 1);
            let (weights, bias) = (random(outputs * inputs * 9, 2), random(outputs, 3));
            let exact = forward(geometry, &x, &weights, &bias);
            let gradient = random(exact.len(), 4);
            let [x32, weights32, bias32, gradient32] = [&x, &weights, &bias, &gradient].map(|it| rounded(it));
            close("output", &forward(geometry, &x32, &weights32, &bias32), &exact);
            let exact = input_gradient(geometry, &weights, &gradient);
            close("input", &input_gradient(geometry, &weights32, &gradient32), &exact);
            let exact = weight_gradient(geometry, &x, &gradient);
            close("weights", &weight_gradient(geometry, &x32, &gradient32), &exact);
        }
    }

    #[test]
    fn small_maps_and_few_channels_go_the_plain_way() {
        let sizes = Sizes { batch: 8, inputs: 64, outputs: 64, height: 32, width: 32, padding: 1 };
        assert!(sizes.pays());
        for other in [
            Sizes { inputs: 8, ..sizes },
            Sizes { height: 4, width: 4, ..sizes },
            Sizes { height: 64, width: 1, ..sizes },
            Sizes { padding: 3, ..sizes },
        ] {
            assert!(!other.pays(), "{other:?}");
        }
    }
}
