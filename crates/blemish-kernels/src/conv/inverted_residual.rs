//! Blocks that widen, filter each channel and narrow again (MobileNetV2, arXiv 1801.04381), by strips of rows.
//!
//! The widened map is several times as large as what goes in and comes out, and outgrows the caches: written and read back, it costs more
//! than its sums. Here some rows of it are made, filtered and narrowed while they are in the second-level cache; rows that the next strip
//! needs too are kept. Every sum is that of the three convolutions one after another, to the bit.

use super::convolution::{Way, pixelwise};
use super::dense::Panels;
use super::depthwise::{Depthwise, Rows};
use super::{Activation, ChannelsLast, ConvSpec, Convolution, Epilogue, Windows, each_chunk};
use crate::lines::Lines;
use crate::simd::widest;
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

/// Bytes of the widened map that a strip should take: with the weights beside it, it stays in the second-level cache.
const STRIP_BYTES: usize = 256 << 10;

/// A convolution of a block, and the non-linearity behind it.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// The convolution.
    pub convolution: &'a Convolution,
    /// What is done to its sums.
    pub activation: Activation,
}

/// A depthwise convolution with the 1x1 convolutions before and behind it, or with one of them.
#[derive(Clone, Copy, Debug)]
pub struct InvertedResidual<'a> {
    expand: Option<Pointwise<'a>>,
    depthwise: Layer<'a>,
    /// kernel x kernel x pitch.
    taps: &'a [f32],
    project: Option<Pointwise<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Pointwise<'a> {
    layer: Layer<'a>,
    panels: &'a Panels,
}

impl<'a> Pointwise<'a> {
    fn new(layer: Layer<'a>) -> Option<Self> {
        let ConvSpec { kernel, stride, .. } = layer.convolution.spec;
        match &layer.convolution.way {
            Way::Dense(panels) if (kernel, stride) == (1, 1) => Some(Self { layer, panels }),
            _ => None,
        }
    }

    /// Sums of `out.len() / pitch` pixels.
    fn apply(&self, pixels: &[f32], pitch: usize, epilogue: Epilogue<'_>, out: &mut [f32]) {
        let bias = &self.layer.convolution.bias;
        pixelwise(self.panels, bias, pixels, pitch, out.len() / bias.len(), epilogue).run(out, false);
    }

    /// Makes rows of the widened map, each where `wide`, which holds so many, has its place: that of the row so many before it.
    fn widen(&self, input: &ChannelsLast, rows: Range<usize>, held: usize, wide: &mut [f32]) {
        let epilogue = Epilogue::new(None, self.layer.activation);
        let length = wide.len() / held;
        let mut start = rows.start;
        while start < rows.end {
            let at = start % held;
            let end = rows.end.min(start + held - at);
            let pixels = &input.values[start * input.row_length()..];
            self.apply(pixels, input.pitch, epilogue, &mut wide[at * length..][..(end - start) * length]);
            start = end;
        }
    }
}

thread_local! {
    /// Space for rows between the convolutions: what it holds is always overwritten before it is read.
    static SPACES: Cell<[Lines<f32>; 2]> = const { Cell::new([Lines::new(), Lines::new()]) };
}

impl<'a> InvertedResidual<'a> {
    /// The block of these layers; `None` if they are not such convolutions, each of the channels of the one before.
    pub fn new(expand: Option<Layer<'a>>, depthwise: Layer<'a>, project: Option<Layer<'a>>) -> Option<Self> {
        let Way::Depthwise(taps) = &depthwise.convolution.way else { return None };
        let channels = depthwise.convolution.spec.in_channels;
        let fits = expand.is_none_or(|layer| layer.convolution.spec.out_channels == channels)
            && project.is_none_or(|layer| layer.convolution.spec.in_channels == channels);
        let pointwise = |layer: Option<Layer<'a>>| match layer {
            Some(layer) => Pointwise::new(layer).map(Some),
            None => Some(None),
        };
        let (expand, project) = (pointwise(expand)?, pointwise(project)?);
        fits.then_some(Self { expand, depthwise, taps, project })
    }

    /// What the block makes of a map. `windows` are those of the depthwise convolution; `residual`, a map of the output's shape, is added
    /// to the last sums. `space` is memory to use, of any content. Work is split over the threads of the current pool if `is_parallel`;
    /// the outcome is the same.
    ///
    /// # Panics
    /// If the map has other channels than the block.
    pub fn apply(
        &self,
        input: &ChannelsLast,
        windows: Windows,
        residual: Option<&ChannelsLast>,
        space: Lines<f32>,
        is_parallel: bool,
    ) -> ChannelsLast {
        let [first, last] = [self.expand, self.project]
            .map(|pointwise| pointwise.map_or(self.depthwise, |pointwise| pointwise.layer));
        assert_eq!(input.channels, first.convolution.spec.in_channels, "a map of the block's channels");
        let channels = last.convolution.spec.out_channels;
        let mut out = ChannelsLast::recycled(windows.height, windows.width, channels, space);
        let input = if self.expand.is_some() { Cow::Borrowed(input) } else { input.filled() };
        let length = out.row_length();
        // Rows of the widened map are made twice where chunks meet: as few chunks as keep all threads busy.
        let chunks = if is_parallel { 2 * rayon::current_num_threads() } else { 1 };
        let rows = windows.height.div_ceil(chunks);
        each_chunk(&mut out.values, rows * length, is_parallel, |index, out| {
            let epilogue = Epilogue::new(residual, last.activation).from(index * rows * length);
            let rows = index * rows..index * rows + out.len() / length;
            self.by_strips(&input, windows, epilogue, rows, out);
        });
        out
    }

    /// Some rows of the output.
    fn by_strips(
        &self,
        input: &ChannelsLast,
        windows: Windows,
        epilogue: Epilogue<'_>,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let ConvSpec { kernel, stride, .. } = self.depthwise.convolution.spec;
        let pitch = self.depthwise.convolution.bias.len();
        let [mut wide, mut filtered] = SPACES.take();
        let line = input.width * pitch;
        let most = STRIP_BYTES / (size_of::<f32>() * line);
        let strip = (most.saturating_sub(kernel) / stride + 1).min(rows.len());
        let length = out.len() / rows.len();
        let held = ((strip - 1) * stride + kernel).min(input.height);
        if self.expand.is_some() {
            wide.resize(held * line);
        }
        // Rows of the widened map that have been made, or are not asked for any more.
        let mut made = 0;
        for (start, out) in rows.clone().step_by(strip).zip(out.chunks_mut(strip * length)) {
            let rows_here = out.len() / length;
            let epilogue = epilogue.from((start - rows.start) * length);
            let mut map = Rows::from(input);
            if let Some(expand) = self.expand {
                // What the windows see, from the first row to the one after the last.
                let [top, bottom] = [start * stride, (start + rows_here - 1) * stride + kernel]
                    .map(|row| row.saturating_sub(windows.top).min(input.height));
                expand.widen(input, top.max(made)..bottom, held, &mut wide);
                made = bottom;
                map = Rows { values: &wide, held, ..map };
            }
            match self.project {
                Some(project) => {
                    filtered.resize(rows_here * windows.width * pitch);
                    let inner = Epilogue::new(None, self.depthwise.activation);
                    self.filter(map, windows, inner, start, &mut filtered);
                    project.apply(&filtered, pitch, epilogue, out);
                }
                None => self.filter(map, windows, epilogue, start, out),
            }
        }
        SPACES.set([wide, filtered]);
    }

    /// Rows of the depthwise convolution, from `first_row` on.
    fn filter(
        &self,
        input: Rows<'_>,
        windows: Windows,
        epilogue: Epilogue<'_>,
        first_row: usize,
        out: &mut [f32],
    ) {
        let Convolution { spec, bias, .. } = self.depthwise.convolution;
        let (kernel, stride, weights) = (spec.kernel, spec.stride, self.taps);
        widest(Depthwise { input, windows, kernel, stride, weights, bias, epilogue, first_row, out });
    }
}
