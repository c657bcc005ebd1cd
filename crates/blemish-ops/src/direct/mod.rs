//! Convolutions in single precision as sums in registers, for few channels: 8 outputs by 48 positions at a time, over all inputs and taps.
//!
//! A task takes some rows of an image, or some small images, and lays them out with their padding in a buffer that stays in the
//! second-level cache: `phases x channels x line`, where a stride of s splits rows and columns into s x s phases and a line holds the
//! rows of a channel one after the other. What a tap reads for successive outputs then lies side by side. With `K` the pairs of an input
//! channel and a tap, and `at(k)` where the first output meets one,
//!
//! - forward: `Y[o, p] = b[o] + sum over k of W[o, k] X[at(k) + p]`,
//! - with respect to the input: the same of the outputs' gradients, for each phase of the input with the taps that lead there,
//! - with respect to the weights: `dW[o, k] = sum over p of dY[o, p] X[at(k) + p]`.
//!
//! Rows of a line share their padding where the kernel is odd and keeps the size: what is right of one row is left of the next. A forward
//! pass of c inputs of 3x3 does 9 c multiply-adds for every 16 values that it reads and writes, so that from 8 channels on it is bound
//! by arithmetic. Sums run in an order that the sizes alone decide.

mod band;
mod products;
mod sums;
#[cfg(test)]
mod tests;

use crate::geometry::Geometry;
use band::{Band, Source, with_space};
use blemish_kernels::simd::{LANES, widest};
use products::{KEYS, Products, ROWS};
use rayon::prelude::*;
use sums::{OUTPUTS, Sums};

/// Most partial sums of a weight gradient, and the values that all of them may have: enough for the threads of a machine, and little memory.
const PARTS: usize = 16;
const PART_VALUES: usize = 1 << 20;

/// Rows of a weight gradient that are a task.
const TASK_ROWS: usize = 16 * ROWS;

/// What outputs of one phase are summed of.
struct Phase {
    /// Row and column among the target's phases.
    place: (usize, usize),
    /// Source phase and channel, and rows and columns from an output's place to what it reads.
    keys: Vec<Key>,
    /// Blocks of outputs x keys.
    weights: Vec<[f32; OUTPUTS]>,
}

#[derive(Clone, Copy)]
struct Key {
    /// Of the source's phases x channels.
    line: usize,
    row: usize,
    column: usize,
}

/// Where sums go: pixel (stride (first + q) + phase - padding) of a map for row or column q.
#[derive(Clone, Copy)]
struct Target {
    channels: usize,
    size: (usize, usize),
    stride: usize,
    padding: usize,
}

impl Target {
    fn first(&self) -> usize {
        self.padding / self.stride
    }

    /// Rows and columns q.
    fn extent(&self) -> (usize, usize) {
        let side = |length: usize| (length - 1 + self.padding) / self.stride - self.first() + 1;
        (side(self.size.0), side(self.size.1))
    }

    /// The pixels of a phase: the first q and its pixel, and their number, for q from `start` to `end`.
    fn pixels(&self, phase: usize, side: usize, start: usize, end: usize) -> (usize, usize, usize) {
        let place = |q: usize| (self.stride * (self.first() + q) + phase).checked_sub(self.padding);
        let first = if place(start).is_some() { start } else { start + 1 };
        let Some(pixel) = place(first).filter(|&pixel| pixel < side && first < end) else { return (0, 0, 0) };
        (first, pixel, (side - pixel).div_ceil(self.stride).min(end - first))
    }

    /// The pixel row with which q begins.
    fn row(&self, q: usize) -> usize {
        (self.stride * (self.first() + q)).saturating_sub(self.padding).min(self.size.0)
    }
}

/// The taps of a convolution that leads from the input, by (channel, tap).
fn forward_keys(g: Geometry) -> Vec<Key> {
    let taps = g.kernel * g.kernel;
    let key = |index: usize| {
        let (channel, dy, dx) = (index / taps, index % taps / g.kernel, index % g.kernel);
        let phase = dy % g.stride * g.stride + dx % g.stride;
        Key { line: phase * g.inputs + channel, row: dy / g.stride, column: dx / g.stride }
    };
    (0..g.inputs * taps).map(key).collect()
}

/// Blocks of outputs x keys, zero beyond the last output.
fn pack(outputs: usize, keys: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<[f32; OUTPUTS]> {
    let mut packed = Vec::with_capacity(outputs.div_ceil(OUTPUTS) * keys);
    for first in (0..outputs).step_by(OUTPUTS) {
        let count = OUTPUTS.min(outputs - first);
        for key in 0..keys {
            let mut weights = [0.0; OUTPUTS];
            for output in 0..count {
                weights[output] = weight(first + output, key);
            }
            packed.push(weights);
        }
    }
    packed
}

/// `y = w * x + b`; weights are outputs x inputs x kernel x kernel.
pub(crate) fn forward(g: Geometry, x: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
    let keys = forward_keys(g);
    let count = keys.len();
    let phase = Phase {
        place: (0, 0),
        weights: pack(g.outputs, count, |output, key| weights[output * count + key]),
        keys,
    };
    let target = Target { channels: g.outputs, size: g.output_size(), stride: 1, padding: 0 };
    run(input_of(g), target, &[phase], x, bias)
}

/// What a forward pass reads.
fn input_of(g: Geometry) -> Source {
    let padding = g.padding as isize;
    Source {
        channels: g.inputs,
        size: (g.height, g.width),
        stride: g.stride,
        padding: (padding, padding),
        halo: (g.kernel - 1) / g.stride,
        is_shared: g.stride == 1 && 2 * g.padding + 1 == g.kernel,
        is_split: false,
    }
    .for_extent(g.output_size())
}

/// The gradient with respect to x, plus a bias a channel: the transposed convolution.
pub(crate) fn input_gradient(g: Geometry, weights: &[f32], gradient: &[f32], bias: &[f32]) -> Vec<f32> {
    let (halo, taps) = ((g.kernel - 1) / g.stride, g.kernel * g.kernel);
    let target =
        Target { channels: g.inputs, size: (g.height, g.width), stride: g.stride, padding: g.padding };
    let padding = halo as isize - target.first() as isize;
    let source = Source {
        channels: g.outputs,
        size: g.output_size(),
        stride: 1,
        padding: (padding, padding),
        halo,
        is_shared: g.stride == 1 && 2 * g.padding + 1 == g.kernel,
        is_split: false,
    }
    .for_extent(target.extent());
    let phase = |index: usize| {
        let place = (index / g.stride, index % g.stride);
        let own = (0..taps)
            .filter(|tap| tap / g.kernel % g.stride == place.0 && tap % g.kernel % g.stride == place.1);
        let own: Vec<usize> = own.collect();
        let pairs: Vec<(usize, usize)> =
            (0..g.outputs).flat_map(|output| own.iter().map(move |&tap| (output, tap))).collect();
        let key = |&(output, tap): &(usize, usize)| Key {
            line: output,
            row: halo - tap / g.kernel / g.stride,
            column: halo - tap % g.kernel / g.stride,
        };
        let weight = |input: usize, key: usize| {
            let (output, tap) = pairs[key];
            weights[(output * g.inputs + input) * taps + tap]
        };
        Phase { place, keys: pairs.iter().map(key).collect(), weights: pack(g.inputs, pairs.len(), weight) }
    };
    let phases: Vec<Phase> = (0..g.stride * g.stride).map(phase).collect();
    run(source, target, &phases, gradient, bias)
}

/// The rows of every plane of a map that one task fills: for each task, slices by image and channel.
fn split(map: &mut [f32], target: Target, group: usize, rows: usize) -> Vec<Vec<&mut [f32]>> {
    let (height, width) = target.size;
    let values = target.channels * height * width;
    let all = target.extent().0;
    if rows >= all {
        let images = map.chunks_mut(group * values);
        return images.map(|images| images.chunks_mut(height * width).collect()).collect();
    }
    let mut tasks = Vec::new();
    for image in map.chunks_mut(values) {
        let first = tasks.len();
        tasks.resize_with(first + all.div_ceil(rows), Vec::new);
        for mut plane in image.chunks_mut(height * width) {
            for (band, start) in (0..all).step_by(rows).enumerate() {
                let end = if start + rows < all { target.row(start + rows) } else { height };
                let begin = if start == 0 { 0 } else { target.row(start) };
                let (own, rest) = plane.split_at_mut((end - begin) * width);
                tasks[first + band].push(own);
                plane = rest;
            }
        }
    }
    tasks
}

/// Sums of every phase at every place of the target.
fn run(source: Source, target: Target, phases: &[Phase], from: &[f32], bias: &[f32]) -> Vec<f32> {
    let (rows, columns) = target.extent();
    let values = source.channels * source.size.0 * source.size.1;
    let batch = from.len() / values.max(1);
    let mut map = vec![0.0; batch * target.channels * target.size.0 * target.size.1];
    let (group, band) = source.portions((rows, columns), batch);
    let tasks = split(&mut map, target, group, band);
    let bands = rows.div_ceil(band);
    tasks.into_par_iter().enumerate().for_each(|(task, mut planes)| {
        let (image, start) =
            if band < rows { (task / bands, task % bands * band) } else { (task * group, 0) };
        let end = (start + band).min(rows);
        let count = planes.len() / target.channels;
        let laid = Band::new(&source, count, start, end - start, columns);
        let segments = laid.segments();
        with_space(laid.len() + OUTPUTS * laid.positions(), |space| {
            let (lines, sums) = space.split_at_mut(laid.len());
            laid.fill(&from[image * values..][..count * values], lines);
            for phase in phases {
                let keys: Vec<usize> =
                    phase.keys.iter().map(|key| laid.at(key.line, key.row, key.column)).collect();
                let first_row = if start == 0 { 0 } else { target.row(start) };
                for (block, bias) in bias.chunks(OUTPUTS).enumerate() {
                    let mut first = [0.0; OUTPUTS];
                    first[..bias.len()].copy_from_slice(bias);
                    let weights = &phase.weights[block * keys.len()..][..keys.len()];
                    let (positions, outputs) = (laid.positions(), bias.len());
                    let segments = &segments;
                    widest(Sums {
                        lines,
                        keys: &keys,
                        weights,
                        first,
                        outputs,
                        segments,
                        positions,
                        to: sums,
                    });
                    for (output, image) in
                        (0..outputs).flat_map(|output| (0..count).map(move |image| (output, image)))
                    {
                        let sums = &sums[output * positions + laid.image(image)..];
                        let plane = &mut planes[image * target.channels + block * OUTPUTS + output];
                        write(target, phase.place, (start, end, first_row), (sums, laid.columns()), plane);
                    }
                }
            }
        });
    });
    map
}

/// Sums of a phase to their pixels.
fn write(
    target: Target,
    place: (usize, usize),
    (start, end, first_row): (usize, usize, usize),
    (sums, columns): (&[f32], usize),
    plane: &mut [f32],
) {
    let (width, stride) = (target.size.1, target.stride);
    let (first, row, rows) = target.pixels(place.0, target.size.0, start, end);
    let (left, pixel, count) = target.pixels(place.1, width, 0, target.extent().1);
    for index in 0..rows {
        let to = &mut plane[(row + index * stride - first_row) * width..][..width];
        let sums = &sums[(first + index - start) * columns + left..][..count];
        if stride == 1 {
            to[pixel..pixel + count].copy_from_slice(sums);
        } else {
            to[pixel..].iter_mut().step_by(stride).zip(sums).for_each(|(to, &sum)| *to = sum);
        }
    }
}

/// The gradient with respect to the weights, outputs x inputs x kernel x kernel.
pub(crate) fn weight_gradient(g: Geometry, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let keys = forward_keys(g);
    let source = input_of(g);
    let (rows, columns) = g.output_size();
    let (group, band) = source.portions((rows, columns), g.batch);
    let bands = rows.div_ceil(band);
    let portions = if band < rows { g.batch * bands } else { g.batch.div_ceil(group) };
    let (outputs, count) = (g.outputs.next_multiple_of(ROWS), keys.len().next_multiple_of(KEYS));
    let outlet = Source {
        channels: g.outputs,
        size: (rows, columns),
        stride: 1,
        padding: (0, 0),
        halo: source.halo,
        ..source
    };
    let parts = (PART_VALUES / (outputs * count)).clamp(1, PARTS);
    let each = portions.div_ceil(parts).max(1);
    let part = |part: usize| {
        let mut sums = vec![0.0; outputs * count];
        for portion in part * each..((part + 1) * each).min(portions) {
            let (image, start) =
                if band < rows { (portion / bands, portion % bands * band) } else { (portion * group, 0) };
            let images = if band < rows { 1 } else { group.min(g.batch - image) };
            let height = band.min(rows - start);
            let laid = Band::new(&source, images, start, height, columns).with_gaps();
            let outs = Band::like(&outlet, &laid);
            with_space(laid.len() + outputs * laid.positions(), |space| {
                let (lines, gradients) = space.split_at_mut(laid.len());
                laid.fill(&x[image * g.input_values()..][..images * g.input_values()], lines);
                outs.fill_rows(
                    &gradient[image * g.output_values()..][..images * g.output_values()],
                    gradients,
                );
                let mut at: Vec<usize> =
                    keys.iter().map(|key| laid.at(key.line, key.row, key.column)).collect();
                // Filled up with what is there: those sums are not looked at.
                at.resize(count, at[0]);
                let (lines, keys, positions) = (&*lines, &at[..], laid.positions());
                let rows = sums.par_chunks_mut(TASK_ROWS * count);
                rows.zip(gradients.par_chunks(TASK_ROWS * positions)).for_each(|(sums, gradients)| {
                    widest(Products { lines, keys, gradients, positions, sums });
                });
            });
        }
        sums
    };
    let parts: Vec<Vec<f32>> = (0..portions.div_ceil(each)).into_par_iter().map(part).collect();
    let mut weights = vec![0.0; g.outputs * keys.len()];
    for part in parts {
        for (weights, part) in weights.chunks_exact_mut(keys.len()).zip(part.chunks_exact(count)) {
            weights.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    }
    weights
}

const _: () = assert!(LANES == 16, "tiles are made for sixteen lanes");
