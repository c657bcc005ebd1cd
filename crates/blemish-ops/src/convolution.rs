//! Convolution of maps and its two gradients as matrix products on shifted views, without a column buffer.
//!
//! The input is padded once and laid out as `phases x channels x positions`: a stride of s splits rows and columns into s x s phases,
//! so that the values a tap of the kernel meets at successive outputs lie next to each other. Each tap is then one product of
//! its channels x channels weights with the same buffer at another offset:
//!
//! - forward: `Y[o, p] = sum over taps of W_tap[o, i] X[i, p + offset]`,
//! - with respect to the input: `dX[i, p + offset] += W_tap[o, i] dY[o, p]`,
//! - with respect to the weights: `dW_tap[o, i] = sum over p of dY[o, p] X[i, p + offset]`.
//!
//! Outputs have the row length of a phase; the columns beyond the true width are computed and dropped (forward) or zero (gradients).
//! So do single taps, and double precision. In single precision 3x3 kernels of stride 1 go Winograd's way (module `winograd`) where that is
//! faster, and all others are summed in registers (module `direct`).
//! Sums run in an order that depends on the sizes alone, never on the number of threads.

use crate::direct;
use crate::geometry::Geometry;
use crate::real::{Matrix, Onto, Real, inside, multiply, single, single_out};
use crate::winograd;
use blemish_kernels::simd::{Kernel, LANES, Lanes, widest};
use gemm::Parallelism;
use rayon::prelude::*;

/// Positions that one task works on at least: enough for the products to run at full speed.
const POSITIONS: usize = 1024;

/// Rows of the weight gradient that one task computes.
const GRADIENT_ROWS: usize = 64;

impl Geometry {
    /// Whether sums in registers are faster than products of matrices: a single tap is one product anyway.
    fn is_direct(&self) -> bool {
        self.kernel > 1
    }

    /// Rows and columns of a phase.
    fn phase_size(&self) -> (usize, usize) {
        let side = |length: usize| (length + 2 * self.padding).div_ceil(self.stride);
        (side(self.height), side(self.width))
    }

    fn plane(&self) -> usize {
        let (rows, columns) = self.phase_size();
        rows * columns
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// The phase a tap reads and the offset in it.
    fn tap(&self, tap: usize) -> (usize, usize) {
        let (dy, dx) = (tap / self.kernel, tap % self.kernel);
        let phase = (dy % self.stride) * self.stride + dx % self.stride;
        (phase, (dy / self.stride) * self.phase_size().1 + dx / self.stride)
    }

    /// Images of a task.
    fn group(&self) -> usize {
        POSITIONS.div_ceil(self.plane()).clamp(1, self.batch.max(1))
    }

    /// Threads inside a product.
    fn inside(&self) -> Parallelism {
        inside(self.batch.div_ceil(self.group()))
    }

    /// Pads images and splits them into phases: phases x channels x (images x plane), zero where there is no pixel.
    fn lay_out<T: Real>(&self, images: &[T], count: usize) -> Vec<T> {
        let (plane, columns, stride) = (self.plane(), self.phase_size().1, self.stride);
        let mut laid = vec![T::default(); stride * stride * self.inputs * count * plane];
        self.each_row(count, |row| {
            let source = &images[row.pixels..][..self.width];
            let target = row.padded / stride * columns;
            for x in 0..stride.min(self.width) {
                let at = x + self.padding;
                let phase = (row.padded % stride) * stride + at % stride;
                let start = (phase * self.inputs + row.channel) * count * plane + row.image * plane + target;
                let out = &mut laid[start + at / stride..];
                if stride == 1 {
                    out[..self.width].copy_from_slice(source);
                } else {
                    let values = source[x..].iter().step_by(stride);
                    out.iter_mut().zip(values).for_each(|(out, &value)| *out = value);
                }
            }
        });
        laid
    }

    /// The reverse of [`Self::lay_out`]: the pixels without the padding.
    fn gather<T: Real>(&self, laid: &[T], count: usize, images: &mut [T]) {
        let (plane, columns, stride) = (self.plane(), self.phase_size().1, self.stride);
        self.each_row(count, |row| {
            let out = &mut images[row.pixels..][..self.width];
            let source = row.padded / stride * columns;
            for x in 0..stride.min(self.width) {
                let at = x + self.padding;
                let phase = (row.padded % stride) * stride + at % stride;
                let start = (phase * self.inputs + row.channel) * count * plane + row.image * plane + source;
                let values = &laid[start + at / stride..];
                out[x..].iter_mut().step_by(stride).zip(values).for_each(|(out, &value)| *out = value);
            }
        });
    }

    fn each_row(&self, count: usize, mut each: impl FnMut(Row)) {
        for image in 0..count {
            for channel in 0..self.inputs {
                for y in 0..self.height {
                    let pixels = ((image * self.inputs + channel) * self.height + y) * self.width;
                    each(Row { image, channel, pixels, padded: y + self.padding });
                }
            }
        }
    }

    /// Brings gradients of outputs to the row length of a phase: channels x (images x plane), zero elsewhere.
    fn lay_out_gradient<T: Real>(&self, gradient: &[T], count: usize) -> Vec<T> {
        let (plane, columns) = (self.plane(), self.phase_size().1);
        let (height, width) = self.output_size();
        let mut laid = vec![T::default(); self.outputs * count * plane];
        for image in 0..count {
            for channel in 0..self.outputs {
                let source = &gradient[(image * self.outputs + channel) * height * width..];
                let target = &mut laid[channel * count * plane + image * plane..];
                for (to, from) in target.chunks_mut(columns).zip(source.chunks(width)).take(height) {
                    to[..width].copy_from_slice(&from[..width]);
                }
            }
        }
        laid
    }

    /// Weights as taps x outputs x inputs.
    fn pack<T: Real>(&self, weights: &[T]) -> Vec<T> {
        let taps = self.taps();
        let mut packed = vec![T::default(); weights.len()];
        for (pair, values) in weights.chunks_exact(taps).enumerate() {
            for (tap, &value) in values.iter().enumerate() {
                packed[tap * self.outputs * self.inputs + pair] = value;
            }
        }
        packed
    }

    /// The reverse of [`Self::pack`].
    fn unpack<T: Real>(&self, packed: &[T]) -> Vec<T> {
        let taps = self.taps();
        let mut weights = vec![T::default(); packed.len()];
        for (tap, values) in packed.chunks_exact(self.outputs * self.inputs).enumerate() {
            values.iter().enumerate().for_each(|(pair, &value)| weights[pair * taps + tap] = value);
        }
        weights
    }
}

/// A row of pixels of one channel of one image.
struct Row {
    image: usize,
    channel: usize,
    /// Where its pixels begin.
    pixels: usize,
    /// Its row in the padded image.
    padded: usize,
}

/// `y = w * x + b`: x batch x inputs x height x width, w outputs x inputs x kernel x kernel.
pub(crate) fn forward<T: Real>(geometry: Geometry, x: &[T], weights: &[T], bias: &[T]) -> Vec<T> {
    let g = geometry;
    let (plane, columns) = (g.plane(), g.phase_size().1);
    let (height, width) = g.output_size();
    if g.is_winograd()
        && let Some([x, weights, bias]) = single([x, weights, bias])
    {
        return single_out(winograd::forward(g, x, &g.pack(weights), bias));
    }
    if g.is_direct()
        && let Some([x, weights, bias]) = single([x, weights, bias])
    {
        return single_out(direct::forward(g, x, weights, bias));
    }
    let packed = g.pack(weights);
    let mut y = vec![T::default(); g.batch * g.output_values()];
    let group = g.group();
    let images = x.par_chunks(group * g.input_values());
    y.par_chunks_mut(group * g.output_values()).zip(images).for_each(|(y, x)| {
        let count = x.len() / g.input_values();
        let laid = g.lay_out(x, count);
        let positions = count * plane;
        let mut sums = vec![T::default(); g.outputs * positions];
        for tap in 0..g.taps() {
            let (phase, offset) = g.tap(tap);
            let left = Matrix {
                data: &packed,
                start: tap * g.outputs * g.inputs,
                row_stride: g.inputs,
                column_stride: 1,
            };
            let right = Matrix {
                data: &laid,
                start: phase * g.inputs * positions + offset,
                row_stride: positions,
                column_stride: 1,
            };
            let onto = if tap == 0 { Onto::Zero } else { Onto::Sum };
            let sizes = [g.outputs, g.inputs, positions - offset];
            multiply(sizes, left, right, (&mut sums, positions), onto, g.inside());
        }
        for (index, y) in y.chunks_exact_mut(height * width).enumerate() {
            let (image, channel) = (index / g.outputs, index % g.outputs);
            let rows = sums[channel * positions + image * plane..].chunks(columns);
            for (y, sums) in y.chunks_exact_mut(width).zip(rows) {
                y.iter_mut().zip(sums).for_each(|(y, &sum)| *y = sum + bias[channel]);
            }
        }
    });
    y
}

/// The gradient with respect to x.
pub(crate) fn input_gradient<T: Real>(geometry: Geometry, weights: &[T], gradient: &[T]) -> Vec<T> {
    let g = geometry;
    if g.is_winograd()
        && let Some([weights, gradient]) = single([weights, gradient])
    {
        return single_out(winograd::input_gradient(g, &g.pack(weights), gradient));
    }
    if g.is_direct()
        && let Some([weights, gradient]) = single([weights, gradient])
    {
        return single_out(direct::input_gradient(g, weights, gradient, &vec![0.0; g.inputs]));
    }
    let packed = g.pack(weights);
    let mut dx = vec![T::default(); g.batch * g.input_values()];
    let group = g.group();
    let gradients = gradient.par_chunks(group * g.output_values());
    dx.par_chunks_mut(group * g.input_values()).zip(gradients).for_each(|(dx, gradient)| {
        let count = dx.len() / g.input_values();
        let positions = count * g.plane();
        let laid = g.lay_out_gradient(gradient, count);
        let mut sums = vec![T::default(); g.stride * g.stride * g.inputs * positions];
        for tap in 0..g.taps() {
            let (phase, offset) = g.tap(tap);
            // The transpose: inputs x outputs.
            let left = Matrix {
                data: &packed,
                start: tap * g.outputs * g.inputs,
                row_stride: 1,
                column_stride: g.inputs,
            };
            let right = Matrix { data: &laid, start: 0, row_stride: positions, column_stride: 1 };
            let out = &mut sums[phase * g.inputs * positions + offset..];
            let sizes = [g.inputs, g.outputs, positions - offset];
            multiply(sizes, left, right, (out, positions), Onto::Sum, g.inside());
        }
        g.gather(&sums, count, dx);
    });
    dx
}

/// The transposed convolution: the gradient with respect to the input of one whose output is x, plus a bias.
pub(crate) fn transposed<T: Real>(geometry: Geometry, x: &[T], weights: &[T], bias: &[T]) -> Vec<T> {
    if geometry.is_direct()
        && let Some([weights, x, bias]) = single([weights, x, bias])
    {
        return single_out(direct::input_gradient(geometry, weights, x, bias));
    }
    let mut y = input_gradient(geometry, weights, x);
    for (index, plane) in y.chunks_exact_mut(geometry.height * geometry.width).enumerate() {
        let bias = bias[index % geometry.inputs];
        plane.iter_mut().for_each(|value| *value += bias);
    }
    y
}

/// The gradient with respect to the weights.
pub(crate) fn weight_gradient<T: Real>(geometry: Geometry, x: &[T], gradient: &[T]) -> Vec<T> {
    let g = geometry;
    if g.is_winograd()
        && let Some([x, gradient]) = single([x, gradient])
    {
        return g.unpack(&single_out(winograd::weight_gradient(g, x, gradient)));
    }
    if g.is_direct()
        && let Some([x, gradient]) = single([x, gradient])
    {
        return single_out(direct::weight_gradient(g, x, gradient));
    }
    let positions = g.batch * g.plane();
    let (laid, gradients) = rayon::join(|| g.lay_out(x, g.batch), || g.lay_out_gradient(gradient, g.batch));
    let mut packed = vec![T::default(); g.taps() * g.outputs * g.inputs];
    let blocks: Vec<(usize, usize, &mut [T])> = packed
        .chunks_mut(g.outputs * g.inputs)
        .enumerate()
        .flat_map(|(tap, rows)| {
            let blocks = rows.chunks_mut(GRADIENT_ROWS * g.inputs).enumerate();
            blocks.map(move |(block, rows)| (tap, block * GRADIENT_ROWS, rows))
        })
        .collect();
    blocks.into_par_iter().for_each(|(tap, first, out)| {
        let (phase, offset) = g.tap(tap);
        let left =
            Matrix { data: &gradients, start: first * positions, row_stride: positions, column_stride: 1 };
        let right = Matrix {
            data: &laid,
            start: phase * g.inputs * positions + offset,
            row_stride: 1,
            column_stride: positions,
        };
        let sizes = [out.len() / g.inputs, positions - offset, g.inputs];
        multiply(sizes, left, right, (out, g.inputs), Onto::Zero, Parallelism::None);
    });
    g.unpack(&packed)
}

/// The gradient with respect to the bias: sums over images and positions.
pub(crate) fn channel_sums<T: Real>(channels: usize, positions: usize, gradient: &[T]) -> Vec<T> {
    let mut sums = vec![T::default(); channels];
    sums.par_iter_mut().enumerate().for_each(|(channel, sum)| {
        for values in gradient.chunks_exact(positions.max(1)).skip(channel).step_by(channels) {
            *sum += widest(Total(values));
        }
    });
    sums
}

/// The sum of some values: of sixteen sums of every sixteenth.
struct Total<'a, T>(&'a [T]);

impl<T: Real> Kernel for Total<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<V: Lanes>(self) -> T {
        let mut sums = [T::default(); 2 * LANES];
        let (chunks, rest) = self.0.as_chunks::<{ 2 * LANES }>();
        for chunk in chunks {
            for lane in 0..2 * LANES {
                sums[lane] += chunk[lane];
            }
        }
        let mut sum = T::default();
        rest.iter().chain(&sums).for_each(|&value| sum += value);
        sum
    }
}
