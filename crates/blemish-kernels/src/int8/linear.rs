//! Linear maps of rows in single precision, their products done in bytes.
//!
//! What lies between the linear maps of a transformer (norms, attention, non-linearities) wants single precision, and tokens differ in size.
//! So each row gets a scale and a zero of its own when it comes in, and what comes out are numbers again:
//!
//! ```text
//! act(bias + row scale x weight scale x sum of (q - row zero) x weight + residual)
//! ```
//!
//! The sum is exact in integers; all that is rounded is rounded value by value, so that the bits depend neither on the instructions
//! nor on the number of threads or rows.

use super::convolution::MOST_TERMS;
use super::dense::{Order, Panels, Sink, Tiles};
use super::instructions::{Instructions, Task};
#[cfg(target_arch = "x86_64")]
use super::lanes::QUADS;
use super::lanes::{BYTES, Dots, LANES};
use super::map::{Quantisation, Rounding};
#[cfg(target_arch = "x86_64")]
use super::matrices::Matrices;
use crate::conv::{ChannelsLast, Epilogue, each_chunk};
use crate::lines::Lines;
use crate::simd::Lanes;

/// Bytes of rows that a chunk of work should read: what stays in the second-level cache beside the weights of a block.
const CHUNK_BYTES: usize = 192 << 10;
/// Rows that tiles take at a time; chunks are multiples.
const ROWS: usize = 32;

/// x -> act(W x + b) for the pixels of a map, with W in signed bytes and a scale for each output.
#[derive(Clone, Debug)]
pub struct ByteLinear {
    inputs: usize,
    outputs: usize,
    panels: Panels,
    /// One a vector of outputs.
    constants: Vec<Constants>,
}

/// What the lanes of one vector of sums need.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Constants {
    /// The sums of each output's weights.
    weight_sums: [i32; LANES],
    scales: [f32; LANES],
    bias: [f32; LANES],
}

impl ByteLinear {
    /// Packs W (outputs x inputs), the scales of its rows and b.
    ///
    /// # Panics
    /// If the lengths do not fit, or there are more than 60,000 inputs, whose sums 32 bits might not hold.
    pub fn new(inputs: usize, weights: &[i8], scales: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        assert_eq!(weights.len(), outputs * inputs, "one weight a pair of input and output");
        assert_eq!(scales.len(), outputs, "one scale an output");
        assert!(inputs <= MOST_TERMS, "sums fit 32 bits");
        let terms = row_bytes(inputs);
        let panels = Panels::new(Order::Plain, outputs, terms / 4, |output, term| {
            if term < inputs { weights[output * inputs + term] } else { 0 }
        });
        let constants = panels.channels().map(|lanes| Constants {
            weight_sums: lanes.map(|output| {
                let own = weights.chunks_exact(inputs.max(1)).nth(output).unwrap_or_default();
                own.iter().map(|&weight| i32::from(weight)).sum()
            }),
            scales: lanes.map(|output| scales.get(output).copied().unwrap_or_default()),
            bias: lanes.map(|output| bias.get(output).copied().unwrap_or_default()),
        });
        Self { inputs, outputs, constants: constants.collect(), panels }
    }

    /// The linear map of every pixel, then the epilogue. `space` is memory to use, of any content. Work is split over the threads of the
    /// current pool if `is_parallel`; the outcome is the same.
    ///
    /// # Panics
    /// If the map has other channels than there are inputs.
    pub fn apply(
        &self,
        input: &ChannelsLast,
        epilogue: Epilogue<'_>,
        space: Lines<f32>,
        is_parallel: bool,
    ) -> ChannelsLast {
        self.apply_with(Instructions::detect(), input, epilogue, space, is_parallel)
    }

    /// The same with instructions of choice.
    pub(super) fn apply_with(
        &self,
        instructions: Instructions,
        input: &ChannelsLast,
        epilogue: Epilogue<'_>,
        space: Lines<f32>,
        is_parallel: bool,
    ) -> ChannelsLast {
        assert_eq!(input.channels, self.inputs, "a map of the linear map's inputs");
        let input = &*input.filled();
        let mut out = ChannelsLast::recycled(input.height, input.width, self.outputs, space);
        let row_bytes = row_bytes(self.inputs);
        let mut rows = (CHUNK_BYTES / row_bytes).max(1);
        if is_parallel {
            let pixels = input.height * input.width;
            rows = rows.min(pixels.div_ceil(2 * rayon::current_num_threads()));
        }
        let rows = rows.next_multiple_of(ROWS);
        let (in_pitch, out_pitch) = (input.pitch(), out.pitch());
        each_chunk(out.all_values_mut(), rows * out_pitch, is_parallel, |index, out| {
            let count = out.len() / out_pitch;
            let (mut bytes, mut quantisations) = (Lines::zeros(count * row_bytes), Vec::with_capacity(count));
            let input = &input.all_values()[index * rows * in_pitch..][..count * in_pitch];
            instructions.run(Round {
                input,
                pitch: in_pitch,
                bytes: &mut bytes,
                row_bytes,
                quantisations: &mut quantisations,
            });
            let epilogue = epilogue.from(index * rows * out_pitch);
            let sink = Numbers {
                constants: &self.constants,
                quantisations: &quantisations,
                epilogue,
                pitch: out_pitch,
                out,
            };
            let (panels, input) = (&self.panels, &bytes);
            #[cfg(target_arch = "x86_64")]
            if instructions.has_tiles() {
                let terms: Vec<usize> = (0..row_bytes).step_by(4 * QUADS).collect();
                let (size, steps) = ([1, count], [0, row_bytes]);
                return instructions.run(Matrices {
                    panels,
                    input,
                    quads: QUADS,
                    terms: &terms,
                    size,
                    steps,
                    sink,
                });
            }
            let pixels: Vec<usize> = (0..count).map(|row| row * row_bytes).collect();
            let terms: Vec<usize> = (0..row_bytes).step_by(4).collect();
            instructions.run(Tiles { panels, input, pixels: &pixels, terms: &terms, sink });
        });
        out
    }
}

/// Bytes that a row takes: whole rows of tiles, those beyond the inputs of no weight.
fn row_bytes(inputs: usize) -> usize {
    inputs.next_multiple_of(BYTES)
}

/// That of bytes which cover the values of a row, and 0.
#[inline(always)]
fn covering<V: Lanes>(row: &[[f32; LANES]]) -> Quantisation {
    let (mut low, mut high) = (V::splat(0.0), V::splat(0.0));
    for values in row {
        low = V::load(values).min(low);
        high = V::load(values).max(high);
    }
    let (mut least, mut most) = (0.0f32, 0.0f32);
    for (low, high) in low.store().into_iter().zip(high.store()) {
        least = least.min(low);
        most = most.max(high);
    }
    Quantisation::covering(least, most)
}

/// Writes the bytes of rows, and what they stand for.
struct Round<'a> {
    input: &'a [f32],
    /// Values from a row to the next.
    pitch: usize,
    bytes: &'a mut [u8],
    row_bytes: usize,
    quantisations: &'a mut Vec<Quantisation>,
}

impl Task for Round<'_> {
    #[inline(always)]
    fn run<D: Dots>(self) {
        let rows = self.input.chunks_exact(self.pitch).zip(self.bytes.chunks_exact_mut(self.row_bytes));
        for (row, bytes) in rows {
            let row = row.as_chunks::<LANES>().0;
            let quantisation = covering::<D::Floats>(row);
            self.quantisations.push(quantisation);
            let rounding = Rounding::<D::Floats>::new(quantisation);
            for (values, bytes) in row.iter().zip(bytes.as_chunks_mut::<LANES>().0) {
                *bytes = rounding.bytes(values);
            }
        }
    }
}

/// Rows of numbers to be written.
struct Numbers<'a> {
    /// One a vector.
    constants: &'a [Constants],
    /// One a row.
    quantisations: &'a [Quantisation],
    epilogue: Epilogue<'a>,
    /// Values from a row to the next.
    pitch: usize,
    /// Rows x pitch.
    out: &'a mut [f32],
}

impl Sink for Numbers<'_> {
    #[inline(always)]
    fn start(&self, _vector: usize) -> &[i32; LANES] {
        &[0; LANES]
    }

    #[inline(always)]
    fn weight_sums(&self, vector: usize) -> &[i32; LANES] {
        &self.constants[vector].weight_sums
    }

    #[inline(always)]
    fn store<D: Dots, const V: usize>(&mut self, row: usize, first: usize, sums: [D; V]) {
        let constants: &[Constants; V] = &self.constants[first..].as_chunks::<V>().0[0];
        let quantisation = self.quantisations[row];
        let scale = D::Floats::splat(quantisation.scale());
        let zero = D::Floats::splat(-f32::from(quantisation.zero()));
        let at = row * self.pitch + first * LANES;
        let out: &mut [[f32; LANES]; V] = &mut self.out[at..].as_chunks_mut().0.as_chunks_mut::<V>().0[0];
        for vector in 0..V {
            let Constants { weight_sums, scales, bias } = &constants[vector];
            let sum = D::Floats::load_whole(&sums[vector].store());
            let steps = D::Floats::load_whole(weight_sums).mul_add(zero, sum);
            let value = steps.mul(D::Floats::load(scales)).mul_add(scale, D::Floats::load(bias));
            out[vector] = self.epilogue.finish(value, at + vector * LANES).store();
        }
    }
}
