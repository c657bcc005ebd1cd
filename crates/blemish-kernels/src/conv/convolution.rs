//! A convolution with its weights packed, and the choice of how to do it.

use super::dense::{Panels, Tiles};
use super::depthwise::Depthwise;
use super::winograd::{self, Winograd};
use super::{Activation, ChannelsLast, Windows, each_chunk};
use crate::lines::Lines;
use crate::product::{Finish, Product};
use crate::simd::{LANES, Lanes, widest};
use crate::winograd::TILE;

/// Bytes of map that a chunk of work should touch: what stays in the second-level cache.
const CHUNK_BYTES: usize = 256 << 10;
/// Beyond so many pairs of channels the 36 matrices of a transformed kernel outgrow the caches, and the plain sum is faster.
const MOST_WINOGRAD_PAIRS: usize = 256 * 256;
/// Below so many channels the transforms cost more than the saved products.
const FEWEST_WINOGRAD_CHANNELS: usize = 32;

/// A square convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step of the window.
    pub stride: usize,
    /// Groups of channels that do not see each other; as many as channels for a depthwise convolution.
    pub groups: usize,
}

/// What is done to a sum before it is stored: a residual added, then the non-linearity.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    residual: Option<&'a [f32]>,
    activation: Activation,
}

impl<'a> Epilogue<'a> {
    /// Adds `residual`, a map of the output's shape, and applies the non-linearity.
    pub fn new(residual: Option<&'a ChannelsLast>, activation: Activation) -> Self {
        Self { residual: residual.map(|map| &*map.values), activation }
    }

    /// The epilogue of the outputs from value `start` on.
    pub(crate) fn from(self, start: usize) -> Self {
        Self { residual: self.residual.map(|values| &values[start..]), ..self }
    }

    /// The least and the greatest value, if no more is done than to cut off.
    pub(super) fn cut(self) -> Option<[f32; 2]> {
        self.activation.bounds().filter(|_| self.residual.is_none())
    }

    #[inline(always)]
    pub(crate) fn finish<V: Lanes>(self, sum: V, at: usize) -> V {
        let sum = match self.residual {
            Some(values) => sum.add(V::load(&values[at..at + LANES].as_chunks::<LANES>().0[0])),
            None => sum,
        };
        self.activation.lanes(sum)
    }
}

/// A convolution with bias, packed for the way it is done.
#[derive(Clone, Debug)]
pub struct Convolution {
    pub(super) spec: ConvSpec,
    /// Filled up to the output's pitch.
    pub(super) bias: Lines<f32>,
    pub(super) way: Way,
}

#[derive(Clone, Debug)]
pub(super) enum Way {
    Dense(Panels),
    Winograd(Vec<Panels>),
    /// kernel x kernel x pitch.
    Depthwise(Lines<f32>),
}

impl Convolution {
    /// Packs weights (out x in / groups x k x k) and bias (out). Groups other than one or one a channel are done as a dense
    /// convolution with zeros.
    ///
    /// # Panics
    /// If the lengths do not fit the specification.
    pub fn new(spec: ConvSpec, weights: &[f32], bias: &[f32]) -> Self {
        let ConvSpec { in_channels, out_channels, kernel, stride, groups } = spec;
        let (group_in, group_out) = (in_channels / groups, out_channels / groups);
        assert_eq!(
            weights.len(),
            out_channels * group_in * kernel * kernel,
            "one weight a tap of every pair"
        );
        assert_eq!(bias.len(), out_channels, "one bias a channel");
        let area = kernel * kernel;
        let mut padded = Lines::zeros(out_channels.next_multiple_of(LANES));
        padded[..out_channels].copy_from_slice(bias);
        let is_winograd = kernel == 3
            && stride == 1
            && groups == 1
            && in_channels.min(out_channels) >= FEWEST_WINOGRAD_CHANNELS
            && in_channels * out_channels <= MOST_WINOGRAD_PAIRS;
        let way = if groups == in_channels && groups == out_channels && groups > 1 {
            let pitch = padded.len();
            let mut turned = Lines::zeros(area * pitch);
            for (channel, taps) in weights.chunks_exact(area).enumerate() {
                taps.iter().enumerate().for_each(|(tap, &value)| turned[tap * pitch + channel] = value);
            }
            Way::Depthwise(turned)
        } else if is_winograd {
            Way::Winograd(winograd::transform_weights(out_channels, in_channels, weights))
        } else {
            // Terms in the order of the map's memory: row of the kernel, column, channel.
            Way::Dense(Panels::new(out_channels, area * in_channels, |out, term| {
                let (tap, channel) = (term / in_channels, term % in_channels);
                let group = out / group_out;
                match channel.checked_sub(group * group_in).filter(|&channel| channel < group_in) {
                    Some(channel) => weights[(out * group_in + channel) * area + tap],
                    None => 0.0,
                }
            }))
        };
        Self { spec, bias: padded, way }
    }

    /// The convolution of a map, then the epilogue. `space` is memory to use, of any content. Work is split over the threads of the current pool if `is_parallel`; the
    /// outcome is the same.
    ///
    /// # Panics
    /// If the map has other channels than the convolution.
    pub fn apply(
        &self,
        input: &ChannelsLast,
        windows: Windows,
        epilogue: Epilogue<'_>,
        space: Lines<f32>,
        is_parallel: bool,
    ) -> ChannelsLast {
        assert_eq!(input.channels, self.spec.in_channels, "a map of the convolution's channels");
        let mut out = ChannelsLast::recycled(windows.height, windows.width, self.spec.out_channels, space);
        match &self.way {
            Way::Dense(panels) => self.dense(panels, input, windows, epilogue, is_parallel, &mut out),
            Way::Winograd(panels) => {
                self.winograd(panels, &input.filled(), windows, epilogue, is_parallel, &mut out)
            }
            Way::Depthwise(weights) => {
                let input = &*input.filled();
                let (length, rows) =
                    (out.row_length(), rows_of(out.row_length() + self.spec.stride * input.row_length()));
                each_chunk(&mut out.values, rows * length, is_parallel, |index, out| {
                    widest(Depthwise {
                        input: input.into(),
                        windows,
                        kernel: self.spec.kernel,
                        stride: self.spec.stride,
                        weights,
                        bias: &self.bias,
                        epilogue: epilogue.from(index * rows * length),
                        first_row: index * rows,
                        out,
                    });
                });
            }
        }
        out
    }

    fn dense(
        &self,
        panels: &Panels,
        input: &ChannelsLast,
        windows: Windows,
        epilogue: Epilogue<'_>,
        is_parallel: bool,
        out: &mut ChannelsLast,
    ) {
        let ConvSpec { kernel, stride, .. } = self.spec;
        let needed = [(windows.height - 1) * stride + kernel, (windows.width - 1) * stride + kernel];
        let fits =
            windows.top == 0 && windows.left == 0 && needed[0] <= input.height && needed[1] <= input.width;
        let bordered;
        let input = if fits {
            input
        } else {
            bordered = with_border(input, windows, needed);
            &bordered
        };
        if kernel == 1 && stride == 1 && input.width == windows.width {
            // Pixels follow each other across rows: a product of as many rows as there are pixels.
            let pixels = windows.height * windows.width;
            let product = pixelwise(panels, &self.bias, &input.values, input.pitch, pixels, epilogue);
            return product.run(&mut out.values, is_parallel);
        }
        // Where pixels are not filled up, a row of the kernel is one run of memory.
        let runs_across = if input.pitch == input.channels { 1 } else { kernel };
        let run_length = input.channels * kernel / runs_across;
        let segments: Vec<usize> = (0..kernel * runs_across)
            .map(|run| run / runs_across * input.row_length() + run % runs_across * input.pitch)
            .collect();
        let (length, row_step) = (out.row_length(), stride * input.row_length());
        let rows = rows_of(length + row_step);
        each_chunk(&mut out.values, rows * length, is_parallel, |index, out| {
            widest(Tiles {
                panels,
                input: &input.values[index * rows * row_step..],
                row_step,
                pixel_step: stride * input.pitch,
                segments: &segments,
                run_length,
                width: windows.width,
                bias: &self.bias,
                epilogue: epilogue.from(index * rows * length),
                out,
            });
        });
    }

    fn winograd(
        &self,
        panels: &[Panels],
        input: &ChannelsLast,
        windows: Windows,
        epilogue: Epilogue<'_>,
        is_parallel: bool,
        out: &mut ChannelsLast,
    ) {
        let length = out.row_length();
        // Enough tiles to use each of the 36 matrices often while it is in the cache.
        let tile_row = 9 * (length + input.row_length());
        let tiles_across = windows.width.div_ceil(TILE);
        let tile_rows = (4 * rows_of(tile_row)).max(32usize.div_ceil(tiles_across));
        let rows = tile_rows * TILE;
        each_chunk(&mut out.values, rows * length, is_parallel, |index, out| {
            widest(Winograd {
                input,
                windows,
                panels,
                bias: &self.bias,
                epilogue: epilogue.from(index * rows * length),
                first_row: index * rows,
                out,
            });
        });
    }
}

/// The sums of pixels, each of them `pitch` values after the one before.
pub(super) fn pixelwise<'a>(
    panels: &'a Panels,
    bias: &'a [f32],
    pixels: &'a [f32],
    pitch: usize,
    count: usize,
    epilogue: Epilogue<'a>,
) -> Product<'a> {
    let activation = epilogue.activation;
    Product {
        panels,
        bias: Some(bias),
        input: pixels,
        input_pitch: pitch,
        rows: count,
        outputs: bias.len(),
        out_pitch: bias.len(),
        finish: match epilogue.residual {
            Some(values) => Finish::Residual(values, activation),
            None => Finish::Activate(activation),
        },
    }
}

/// Rows of `values` values each that make a chunk.
fn rows_of(values: usize) -> usize {
    (CHUNK_BYTES / (4 * values.max(1))).max(1)
}

/// The part of the zero-padded map that the windows see.
fn with_border(input: &ChannelsLast, windows: Windows, [height, width]: [usize; 2]) -> ChannelsLast {
    let mut values = Lines::zeros(height * width * input.pitch);
    let columns = input.width.min(width - windows.left.min(width)) * input.pitch;
    let rows = values.chunks_exact_mut(width * input.pitch).skip(windows.top);
    for (to, from) in rows.zip(input.values.chunks_exact(input.row_length().max(1))) {
        to[windows.left * input.pitch..][..columns].copy_from_slice(&from[..columns]);
    }
    ChannelsLast { height, width, channels: input.channels, pitch: input.pitch, values }
}
