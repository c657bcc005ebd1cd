//! From a frame and what the network makes of it to scores.

use super::config::{ImageScore, MnadConfig};
use super::memory::Lookup;
use super::network::{Network, Passed};
use crate::shared::tensors::{finite, values_of};
use blemish_core::error::Error;
use blemish_core::map::PatchScores;
use blemish_core::state::State;
use blemish_data::Mask;
use blemish_kernels::map::resize_bilinear;
use blemish_nn::layers::Phase;
use blemish_nn::{Device, Tensor, TensorData};

/// Smallest mean squared error that a PSNR is of.
pub(super) const LEAST_ERROR: f64 = 1e-10;

/// A clip of the model's size, T x 3 x height x width in [0, 1].
#[derive(Clone, Copy)]
pub(super) struct Clip<'a> {
    pub(super) pixels: &'a [f32],
    pub(super) size: (usize, usize),
    /// Where to look.
    pub(super) region: Option<&'a Mask>,
}

impl Clip<'_> {
    /// What the network looks at and what it is to make, 1 x channels x height x width in [-1, 1].
    pub(super) fn tensors(&self, config: &MnadConfig, device: &Device) -> (Tensor<4>, Tensor<4>) {
        let (height, width) = self.size;
        let frames = config.task.clip();
        let data = TensorData::new(self.pixels.to_vec(), [1, 3 * frames, height, width]);
        split(Tensor::from_data(data, device), config)
    }
}

/// Clips in [0, 1], batch x 3 T x height x width, as what the network looks at and what it is to make, both in [-1, 1].
pub(super) fn split(clips: Tensor<4>, config: &MnadConfig) -> (Tensor<4>, Tensor<4>) {
    let clips = clips * 2.0 - 1.0;
    let looked_at = 3 * config.task.frames_in();
    let target = clips.clone().narrow(1, 3 * (config.task.clip() - 1), 3);
    (clips.narrow(1, 0, looked_at), target)
}

/// What a frame is to the model.
pub(super) struct Look {
    /// Squared errors of all values, 3 x height x width, of images in [0, 1].
    pub(super) errors: Vec<f32>,
    /// Their mean over the channels at every pixel, height x width.
    error_map: Vec<f32>,
    /// Squared distance of every query from its nearest item, and the grid; empty without a memory.
    distances: (Vec<f32>, (usize, usize)),
    /// Channels of a query.
    channels: usize,
    size: (usize, usize),
    /// PSNR and D over the pixels that are looked at.
    pub(super) parts: Parts,
    /// For the update of the memory.
    pub(super) lookup: Option<Lookup>,
}

/// What a frame's score is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parts {
    /// Peak signal-to-noise ratio in dB: higher is better.
    pub(super) psnr: f64,
    /// D, mean squared distance of queries and nearest items over queries and channels: higher is worse; 0 without a memory.
    pub(super) distance: f64,
}

/// 10 log10(1 / mse).
pub(super) fn psnr(mse: f64) -> f64 {
    -10.0 * mse.max(LEAST_ERROR).log10()
}

fn mean_of<'v>(values: impl Iterator<Item = &'v f32>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), &value| (sum + f64::from(value), count + 1));
    sum / count.max(1) as f64
}

impl Look {
    /// Looks at a clip with these items in the memory.
    pub(super) fn at(
        clip: Clip<'_>,
        network: &Network,
        items: Option<Tensor<2>>,
        config: &MnadConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let (x, target) = clip.tensors(config, device);
        let Passed { lookup, made, .. } = network.forward(x, items, Phase::Scoring);
        let (height, width) = clip.size;
        let errors = values_of(((made - target) * 0.5).square())?;
        let area = height * width;
        let error_map: Vec<f32> =
            (0..area).map(|at| (errors[at] + errors[area + at] + errors[2 * area + at]) / 3.0).collect();
        let inside = |values: &[f32]| match clip.region {
            Some(region) => {
                let marked = values.iter().zip(&region.marked);
                mean_of(marked.filter(|(_, is_inside)| **is_inside).map(|(value, _)| value))
            }
            None => mean_of(values.iter()),
        };
        let mse = inside(&error_map);
        let mut look = Self {
            errors,
            error_map,
            distances: (Vec::new(), (0, 0)),
            channels: config.width << 3,
            size: clip.size,
            parts: Parts { psnr: psnr(mse), distance: 0.0 },
            lookup: None,
        };
        if let Some(lookup) = lookup {
            look.distances = (values_of(lookup.distances())?, (height / 8, width / 8));
            let mean = match clip.region {
                Some(_) => inside(&look.distance_map()),
                None => mean_of(look.distances.0.iter()),
            };
            look.parts.distance = mean / look.channels as f64;
            look.lookup = Some(lookup);
        }
        Ok(look)
    }

    /// Squared distance of queries and nearest items at every pixel.
    fn distance_map(&self) -> Vec<f32> {
        resize_bilinear(&self.distances.0, self.distances.1, self.size)
    }

    /// E = sum of u e over sum of u with u = 1 - exp(-e): the mean error, large ones weighed more.
    pub(super) fn weighted_error(&self) -> f64 {
        weighted_error(&self.errors)
    }

    /// Scores of the frame.
    pub(super) fn scores(&self, usual: &Usual, config: &MnadConfig) -> PatchScores {
        let share = config.share() as f32;
        let mut values: Vec<f32> =
            self.error_map.iter().map(|&error| share * usual.error.standardised(error)).collect();
        if share < 1.0 {
            let distances = self.distance_map();
            for (value, distance) in values.iter_mut().zip(distances) {
                *value += (1.0 - share) * usual.cell.standardised(distance);
            }
        }
        let image_score = match config.image_score() {
            ImageScore::Max => None,
            ImageScore::Top => Some(top(&values)),
            ImageScore::Frame => Some(usual.frame_score(self.parts, config.share())),
        };
        let (height, width) = self.size;
        PatchScores { height, width, values, image_score }
    }
}

/// See [`Look::weighted_error`].
pub(super) fn weighted_error(errors: &[f32]) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for &error in errors {
        let error = f64::from(error);
        let weight = 1.0 - (-error).exp();
        sum += weight * error;
        weights += weight;
    }
    if weights > 0.0 { sum / weights } else { 0.0 }
}

/// Values of a map whose mean is the score `top`: a thousandth, one at least.
pub(super) fn counted(values: usize) -> usize {
    (values / 1000).max(1)
}

/// Mean of the largest thousandth.
fn top(values: &[f32]) -> f32 {
    let mut values = values.to_vec();
    let count = counted(values.len());
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    mean_of(values.iter().take(count)) as f32
}

/// Mean and standard deviation of something on held-out good frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) mean: f32,
    pub(super) deviation: f32,
}

impl Spread {
    /// How many deviations above the mean.
    fn standardised(&self, value: f32) -> f32 {
        (value - self.mean) / self.deviation
    }
}

/// Sums from which a spread comes.
#[derive(Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    /// The deviation is a hundredth of the mean at least: a few frames that are all alike say little of how others will differ.
    fn spread(&self) -> Spread {
        let mean = self.sum / self.count.max(1.0);
        let deviation = (self.squares / self.count.max(1.0) - mean * mean).max(0.0).sqrt();
        let least = (0.01 * mean.abs()).max(1e-8);
        Spread { mean: mean as f32, deviation: deviation.max(least) as f32 }
    }
}

/// What is usual on held-out good frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usual {
    /// Squared error of a pixel.
    pub(super) error: Spread,
    /// Squared distance of a query and its nearest item.
    pub(super) cell: Spread,
    /// PSNR of a frame.
    pub(super) psnr: Spread,
    /// D of a frame.
    pub(super) distance: Spread,
}

/// Where a model's state has it.
const USUAL: &str = "usual";

impl Usual {
    /// Of some frames.
    pub(super) fn of(looks: impl Iterator<Item = Result<Look, Error>>) -> Result<Self, Error> {
        let mut moments: [Moments; 4] = Default::default();
        for look in looks {
            let look = look?;
            look.error_map.iter().for_each(|&value| moments[0].add(f64::from(value)));
            look.distances.0.iter().for_each(|&value| moments[1].add(f64::from(value)));
            moments[2].add(look.parts.psnr);
            moments[3].add(look.parts.distance);
        }
        let [error, cell, psnr, distance] = moments.map(|moments| moments.spread());
        Ok(Self { error, cell, psnr, distance })
    }

    /// a times the deviations by which the PSNR is lower, and 1 - a times those by which D is higher.
    fn frame_score(&self, parts: Parts, share: f64) -> f32 {
        let share = share as f32;
        share * -self.psnr.standardised(parts.psnr as f32)
            + (1.0 - share) * self.distance.standardised(parts.distance as f32)
    }

    pub(super) fn store(&self, state: &mut State) {
        let all = [self.error, self.cell, self.psnr, self.distance];
        let values: Vec<f32> = all.iter().flat_map(|spread| [spread.mean, spread.deviation]).collect();
        state.set_f32(USUAL, &[values.len()], values);
    }

    pub(super) fn restore(state: &State) -> Result<Self, Error> {
        let values = finite(USUAL, 8, state)?;
        let spread =
            |at: usize| Spread { mean: values[2 * at], deviation: values[2 * at + 1].max(f32::MIN_POSITIVE) };
        Ok(Self { error: spread(0), cell: spread(1), psnr: spread(2), distance: spread(3) })
    }
}

/// The published scores of the frames of a whole video: 1 - S with S = a g(PSNR) + (1 - a) (1 - g(D)) and g from 0 at the lowest to 1 at the
/// highest of the video; one half where all are equal.
pub(super) fn published(parts: &[Parts], share: f64) -> Vec<f32> {
    let scaled = |of: fn(&Parts) -> f64| {
        let low = parts.iter().map(of).fold(f64::INFINITY, f64::min);
        let high = parts.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        move |part: &Parts| if high > low { (of(part) - low) / (high - low) } else { 0.5 }
    };
    let (psnr, distance) = (scaled(|part| part.psnr), scaled(|part| part.distance));
    let anomaly = |part: &Parts| 1.0 - (share * psnr(part) + (1.0 - share) * (1.0 - distance(part)));
    parts.iter().map(|part| anomaly(part) as f32).collect()
}
