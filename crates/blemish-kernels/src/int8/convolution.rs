//! A convolution of bytes with its weights packed.

use super::dense::{Order, Panels, Tiles};
use super::depthwise::{Depthwise, Kernels};
use super::finish::{ByteRatio, Constants, Finish, Pixels, Requantisation};
use super::instructions::Instructions;
#[cfg(target_arch = "x86_64")]
use super::lanes::QUADS;
use super::lanes::{BYTES, LANES};
use super::map::{ByteMap, pitch_of};
#[cfg(target_arch = "x86_64")]
use super::matrices::Matrices;
use super::strip::strip;
use crate::conv::{ConvSpec, Windows, each_chunk};
use crate::lines::Lines;

/// Bytes of map that a chunk of work should touch: what stays in the second-level cache.
const CHUNK_BYTES: usize = 256 << 10;
/// Terms of a sum that cannot leave 32 bits, with room for a bias of [`MOST_BIAS`].
pub(super) const MOST_TERMS: usize = 60_000;
const MOST_BIAS: u32 = 1 << 27;

/// A map that is added to the sums of a convolution of the same shape, before the one rounding.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// The map.
    pub map: &'a ByteMap,
    /// Its scale / scale of the output.
    pub ratio: ByteRatio,
}

/// A convolution of bytes with bias, packed for the way it is done.
#[derive(Clone, Debug)]
pub struct ByteConvolution {
    spec: ConvSpec,
    input_zero: u8,
    /// Zero, lowest and highest byte of the output.
    output: [u8; 3],
    constants: Vec<Constants>,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Dense(Panels),
    Depthwise(Kernels),
}

/// Fours of channels that are summed for a pixel. Tiles take whole cache lines of it: rows of tiles that lie across two lines are loaded six
/// times as slowly.
fn quads_of(channels: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if channels > 32 && Instructions::detect().has_tiles() {
        return pitch_of(channels) / 4;
    }
    channels.div_ceil(4)
}

impl ByteConvolution {
    /// Packs weights (out x in / groups x k x k) and bias (out; of scale input x weights). Groups other than one or one a channel
    /// are done as a dense convolution with zeros.
    ///
    /// # Panics
    /// If the lengths do not fit the specification, a bias is beyond 2^27, or a sum has more than 60,000 terms, where 32 bits
    /// might not hold it.
    pub fn new(spec: ConvSpec, weights: &[i8], bias: &[i32], requantisation: &Requantisation) -> Self {
        let ConvSpec { in_channels, out_channels, kernel, groups, .. } = spec;
        let (group_in, group_out) = (in_channels / groups, out_channels / groups);
        let (area, terms) = (kernel * kernel, group_in * kernel * kernel);
        assert_eq!(weights.len(), out_channels * terms, "one weight a tap of every pair");
        assert_eq!(bias.len(), out_channels, "one bias a channel");
        assert_eq!(requantisation.ratios.len(), out_channels, "one ratio a channel");
        assert!(
            terms <= MOST_TERMS && bias.iter().all(|bias| bias.unsigned_abs() <= MOST_BIAS),
            "sums fit 32 bits"
        );
        let constants = |lanes: [usize; LANES]| {
            let weight_sums = lanes.map(|channel| {
                let own = weights.chunks_exact(terms.max(1)).nth(channel).unwrap_or_default();
                own.iter().map(|&weight| i32::from(weight)).sum::<i32>()
            });
            let zero = i32::from(requantisation.input_zero);
            let bias = lanes.map(|channel| bias.get(channel).copied().unwrap_or_default());
            Constants {
                // Sums wrap on the way; what they are in the end fits.
                bias: std::array::from_fn(|lane| {
                    bias[lane].wrapping_sub(zero.wrapping_mul(weight_sums[lane]))
                }),
                weight_sums,
                multipliers: lanes
                    .map(|channel| requantisation.ratios.get(channel).map_or(0, |ratio| ratio.units())),
            }
        };
        let (way, constants) = if groups == in_channels && groups == out_channels && groups > 1 {
            let tap =
                |channel: usize, row: usize, column: usize| weights[channel * area + row * kernel + column];
            let kernels = Kernels::new(out_channels, pitch_of(out_channels), kernel, tap);
            let constants = kernels.channels().map(constants).collect();
            (Way::Depthwise(kernels), constants)
        } else {
            // Terms in the order of the map's memory: row of the kernel, column, channel, filled up.
            let filled = 4 * quads_of(in_channels);
            let panels = Panels::new(Order::Packed, out_channels, area * filled / 4, |out, term| {
                let (tap, channel) = (term / filled, term % filled);
                let own = channel.checked_sub(out / group_out * group_in).filter(|&own| own < group_in);
                own.map_or(0, |own| weights[(out * group_in + own) * area + tap])
            });
            let constants = panels.channels().map(constants).collect();
            (Way::Dense(panels), constants)
        };
        let Requantisation { input_zero, output_zero, least, most, .. } = *requantisation;
        Self { spec, input_zero, output: [output_zero, least, most], constants, way }
    }

    /// The convolution of a map. `space` is memory to use, of any content. Work is split over the threads of the current pool if
    /// `is_parallel`; the outcome is the same.
    ///
    /// # Panics
    /// If the map has other channels or another zero than the convolution, or the residual another shape than the output.
    pub fn apply(
        &self,
        input: &ByteMap,
        windows: Windows,
        residual: Option<Residual<'_>>,
        space: Lines<u8>,
        is_parallel: bool,
    ) -> ByteMap {
        self.apply_with(Instructions::detect(), input, windows, residual, space, is_parallel)
    }

    /// The same with instructions of choice.
    pub(super) fn apply_with(
        &self,
        instructions: Instructions,
        input: &ByteMap,
        windows: Windows,
        residual: Option<Residual<'_>>,
        space: Lines<u8>,
        is_parallel: bool,
    ) -> ByteMap {
        let ConvSpec { kernel, stride, out_channels, in_channels, .. } = self.spec;
        assert_eq!(
            (input.channels, input.zero),
            (in_channels, self.input_zero),
            "a map of the convolution's channels and zero"
        );
        let shape = [windows.height, windows.width, out_channels];
        let mut out = ByteMap::recycled(shape, self.output[0], space);
        if let Some(Residual { map, .. }) = residual {
            assert_eq!([map.height, map.width, map.channels], shape, "a residual of the output's shape");
        }
        let residual = residual.map(|residual| (&*residual.map.values, residual.map.zero, residual.ratio));
        let finish = Finish::new(self.output, residual);
        // Rows of bytes that a chunk of work reads and writes.
        let row = out.row_length() + stride * input.row_length();
        let mut rows = (CHUNK_BYTES / row.max(1)).max(1);
        if is_parallel {
            rows = rows.min(windows.height.div_ceil(2 * rayon::current_num_threads())).max(1);
        }
        let (length, out_pitch) = (out.row_length(), out.pitch);
        each_chunk(&mut out.values, rows * length, is_parallel, |index, out| {
            let (finish, first) = (finish.from(index * rows * length), index * rows);
            let rows = first..first + out.len() / length;
            match &self.way {
                Way::Dense(panels) => {
                    let strip = strip(input, windows, [kernel, stride], rows.clone(), input.pitch);
                    let quads = panels.quads / (kernel * kernel);
                    let taps = (0..kernel).flat_map(|y| (0..kernel).map(move |x| (y, x)));
                    let tap = |(y, x)| y * strip.row_step + x * input.pitch;
                    let terms = taps.flat_map(|at| (0..quads).map(move |quad| tap(at) + 4 * quad));
                    let steps = [stride * strip.row_step, stride * input.pitch];
                    let sink = Pixels { constants: &self.constants, finish, pitch: out_pitch, out };
                    #[cfg(target_arch = "x86_64")]
                    if instructions.has_tiles() {
                        // Where pixels are not filled up, a row of the kernel is one run of memory.
                        let is_one = quads * 4 == input.pitch;
                        let run = if is_one { kernel * quads } else { quads };
                        let quads = (1..=QUADS).rev().find(|&count| run.is_multiple_of(count)).unwrap_or(1);
                        let terms: Vec<usize> = terms.step_by(quads).collect();
                        let (input, size) = (&strip.values, [rows.len(), windows.width]);
                        return instructions.run(Matrices {
                            panels,
                            input,
                            quads,
                            terms: &terms,
                            size,
                            steps,
                            sink,
                        });
                    }
                    let terms: Vec<usize> = terms.collect();
                    let pixels = (0..rows.len()).flat_map(|y| (0..windows.width).map(move |x| (y, x)));
                    let pixels: Vec<usize> = pixels.map(|(y, x)| y * steps[0] + x * steps[1]).collect();
                    let input = &strip.values;
                    instructions.run(Tiles { panels, input, pixels: &pixels, terms: &terms, sink });
                }
                Way::Depthwise(kernels) => {
                    let input_pitch = input.pitch.max(BYTES);
                    let strip = strip(input, windows, [kernel, stride], rows, input_pitch);
                    instructions.run(Depthwise {
                        kernels,
                        constants: &self.constants,
                        input: &strip.values,
                        row_step: strip.row_step,
                        input_pitch,
                        stride,
                        width: windows.width,
                        finish,
                        out_pitch,
                        out,
                    });
                }
            }
        });
        out
    }
}
