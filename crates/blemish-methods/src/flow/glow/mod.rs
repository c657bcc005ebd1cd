//! Glow: the exact likelihood of feature maps, or of pixels, by a multi-scale flow with invertible 1x1 convolutions.
//!
//! Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", arXiv 1807.03039. The likelihood of raw pixels is high for
//! smooth and simple images of any content (Nalisnick et al., arXiv 1810.09136), so the default is the density of standardised
//! features. For pixels there are the corrections of the literature: `score=typicality` (distance from the training images' mean likelihood)
//! and `score=complexity` (less what a lossless codec needs; here PNG).
//!
//! The map is exact: the negative log-likelihood splits over positions, each level's share spread over the pixels it covers.
//! Differences from the released code: the LU form of the 1x1 convolution, zero padding without an edge channel, shifts before
//! log-scales in the subnet's output instead of interleaved, Adam with a clipped gradient, and scales bounded below.

mod config;
mod network;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{CouplingKind, GlowConfig, Input, Score};

use crate::shared::kept::{Kept, Planes};
use crate::shared::map_size::{MapSize, check_channels, load_sizes, store_sizes};
use crate::shared::network_state;
use crate::shared::tensors::{device_of, finite, scoring_device, values_of};
use crate::shared::trainer::{Trainer, batch_of};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input as core;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::png;
use blemish_data::{ImageBatch, Transform};
use blemish_features::FeatureMap;
use blemish_kernels::map::{resize_bilinear, resize_nearest};
use blemish_nn::init::Init;
use blemish_nn::train::{Curve, Decay, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, TensorData};
use network::Glow as Network;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const NAME: &str = "glow";

/// Images whose first batch sets every actnorm, at most.
const FIRST: usize = 256;

/// A channel that varies less over the training images says nothing and is left at 0.
const CONSTANT: f64 = 1e-4;

/// A layer's flow, fitted.
struct Layer {
    size: MapSize,
    /// Of each channel: what is taken away, and the factor after that.
    standard: (Vec<f32>, Vec<f32>),
    network: Network,
    curve: Curve,
    /// Mean negative log-likelihood per dimension of the training images.
    typical: f32,
}

/// A fitted Glow.
pub struct Glow {
    config: GlowConfig,
    layers: Vec<Layer>,
}

/// The pixels as a map of three channels of whole numbers below 2^bits.
fn pixels(batch: &ImageBatch, bits: u32) -> FeatureBatch {
    let lost = (1u32 << (8 - bits)) as f32;
    let data = batch.pixels.iter().map(|value| ((value * 255.0).round() / lost).floor()).collect();
    FeatureBatch {
        count: batch.count,
        height: batch.height,
        width: batch.width,
        maps: vec![FeatureMap { channels: 3, height: batch.height, width: batch.width, data }],
        region_of_interest: batch.region_of_interest.clone(),
    }
}

/// Whole numbers below n with noise between them, in [-0.5, 0.5).
fn dequantise(values: &mut [f32], bits: u32, seed: u64) {
    let n = (1u32 << bits) as f32;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    values.iter_mut().for_each(|value| *value = (*value + random.random::<f32>()) / n - 0.5);
}

fn standardise(values: &mut [f32], size: MapSize, (shift, factor): &(Vec<f32>, Vec<f32>)) {
    for image in values.chunks_exact_mut(size.values()) {
        for (channel, values) in image.chunks_exact_mut(size.height * size.width).enumerate() {
            values.iter_mut().for_each(|value| *value = (*value - shift[channel]) * factor[channel]);
        }
    }
}

/// Mean and 1 / deviation of every channel over the training images.
fn standard_of(features: &Kept, number: usize) -> (Vec<f32>, Vec<f32>) {
    let size = features.sizes()[number];
    let (mut sums, mut squares) = (vec![0.0f64; size.channels], vec![0.0f64; size.channels]);
    for image in 0..features.len() {
        let values = features.values(number, &[image]);
        for (channel, values) in values.chunks_exact(size.height * size.width).enumerate() {
            for &value in values {
                sums[channel] += f64::from(value);
                squares[channel] += f64::from(value).powi(2);
            }
        }
    }
    let count = (features.len() * size.height * size.width) as f64;
    let moments = sums.iter().zip(&squares).map(|(sum, square)| {
        let mean = sum / count;
        let deviation = (square / count - mean * mean).max(0.0).sqrt();
        (mean as f32, if deviation < CONSTANT { 0.0 } else { (1.0 / deviation) as f32 })
    });
    moments.unzip()
}

impl Layer {
    /// Input of the flow from a layer's maps; `noise` seeds what lies between grey levels.
    fn prepare(
        config: &GlowConfig,
        size: MapSize,
        standard: &(Vec<f32>, Vec<f32>),
        mut values: Vec<f32>,
        noise: u64,
        device: &Device,
    ) -> Tensor<4> {
        match config.input {
            Input::Image => dequantise(&mut values, config.bits, noise),
            Input::Features => standardise(&mut values, size, standard),
        }
        let count = values.len() / size.values().max(1);
        Tensor::from_data(TensorData::new(values, [count, size.channels, size.height, size.width]), device)
    }

    /// Negative log-likelihood per dimension of one image at every cell of the finest level's grid (before the squeeze), in nats.
    fn map(&self, config: &GlowConfig, size: MapSize, values: &[f32]) -> Result<Vec<f32>, Error> {
        let draws = if config.input == Input::Image { config.draws } else { 1 };
        let mut sum = vec![0.0f32; size.height * size.width];
        let device = device_of(&self.network);
        for draw in 0..draws {
            let x = Self::prepare(config, size, &self.standard, values.to_vec(), draw, &device);
            for cost in self.network.costs(x) {
                let [_, _, height, width] = cost.dims();
                let covered = (size.height / height * (size.width / width)) as f32;
                let spread = resize_nearest(&values_of(cost)?, (height, width), (size.height, size.width));
                let share = 1.0 / (covered * size.channels as f32 * draws as f32);
                sum.iter_mut().zip(spread).for_each(|(sum, value)| *sum += value * share);
            }
        }
        if config.input == Input::Image {
            // The density of levels instead of that of values in [-0.5, 0.5).
            let level = (1u32 << config.bits) as f32;
            sum.iter_mut().for_each(|value| *value += level.ln());
        }
        Ok(sum)
    }

    fn mean(map: &[f32]) -> f32 {
        (map.iter().map(|&value| f64::from(value)).sum::<f64>() / map.len().max(1) as f64) as f32
    }
}

/// Bits of an image's PNG for each of its values, less what a picture without content takes.
fn compressed_bits(values: &[f32], size: MapSize, bits: u32) -> Result<f32, Error> {
    let scale = (1u32 << (8 - bits)) as f32;
    let bytes = |planes: &[u8], height, width| {
        png::encode_planar(planes, height, width).map_err(|reason| Error::Score { reason })
    };
    let planes: Vec<u8> = values.iter().map(|value| (value * scale) as u8).collect();
    let content = bytes(&planes, size.height, size.width)?.len().saturating_sub(bytes(&[0; 3], 1, 1)?.len());
    Ok(8.0 * content as f32 / size.values() as f32)
}

impl Glow {
    fn score_maps(&self, batch: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let sizes: Vec<MapSize> = self.layers.iter().map(|layer| layer.size).collect();
        check_channels(batch, &sizes)?;
        let (height, width) = (batch.height, batch.width);
        let share = 1.0 / self.layers.len() as f32;
        let mut scores = Vec::with_capacity(batch.count);
        for image in 0..batch.count {
            let mut sum = vec![0.0f32; height * width];
            let mut own = 0.0;
            for (layer, map) in self.layers.iter().zip(&batch.maps) {
                let size = MapSize { channels: map.channels, height: map.height, width: map.width };
                check_multiple(&layer.network, size).map_err(|reason| Error::Score { reason })?;
                let values = &map.data[image * size.values()..][..size.values()];
                let found = layer.map(&self.config, size, values)?;
                let mean = Layer::mean(&found);
                own += share
                    * match self.config.score {
                        Score::Typicality => (mean - layer.typical).abs(),
                        Score::Complexity => {
                            mean / std::f32::consts::LN_2 - compressed_bits(values, size, self.config.bits)?
                        }
                        Score::Mean | Score::Max => mean,
                    };
                let resized = resize_bilinear(&found, (map.height, map.width), (height, width));
                sum.iter_mut().zip(resized).for_each(|(sum, value)| *sum += share * value);
            }
            let image_score = (self.config.score != Score::Max).then_some(own);
            scores.push(PatchScores { height, width, values: sum, image_score });
        }
        Ok(scores)
    }
}

fn check_multiple(network: &Network, size: MapSize) -> Result<(), String> {
    let multiple = network.multiple();
    if size.height.is_multiple_of(multiple) && size.width.is_multiple_of(multiple) {
        return Ok(());
    }
    Err(format!(
        "maps of {}x{} cannot be halved at every level; use an image size that makes them multiples of {multiple}, or fewer levels",
        size.width, size.height
    ))
}

/// Trains the flow of one layer.
fn train_layer(
    config: &GlowConfig,
    features: &Kept,
    number: usize,
    trainer: &Trainer<'_>,
    seed: u64,
) -> Result<Layer, Error> {
    let device = trainer.device();
    let size = features.sizes()[number];
    let standard = match config.input {
        Input::Features => standard_of(features, number),
        Input::Image => Default::default(),
    };
    let prepare = |images: &[usize], noise: u64, device: &Device| {
        Layer::prepare(config, size, &standard, features.values(number, images), noise, device)
    };
    let mut network =
        Network::new(config, size.channels, &mut Init::new(seed.wrapping_add(number as u64), &device));
    check_multiple(&network, size).map_err(|reason| Error::Fit { method: NAME, reason })?;
    let first = batch_of(0, features.len(), FIRST.min(features.len()).min(4 * config.batch), seed);
    network.start(prepare(&first, seed, &device));
    let schedule = Schedule { rate: config.rate, warm_up: config.steps / 10, decay: Decay::Constant };
    let plan = Plan { clip: Some(config.clip), ..Plan::new(config.steps, Optimiser::ADAM, schedule) };
    let depth = config.depth.unwrap_or(8) * config.levels.unwrap_or(1);
    let width = config.width.unwrap_or(size.channels);
    let kept =
        config.batch.min(features.len()) * size.height * size.width * depth * (6 * width + 8 * size.channels);
    let trained = trainer.run(
        &format!("{NAME} layer {}", number + 1),
        network,
        plan,
        kept,
        |step| {
            let images = batch_of(step, features.len(), config.batch, seed);
            Ok(prepare(&images, seed.wrapping_add(step + 1), &device))
        },
        Network::loss,
    )?;
    let network = trained.network.valid();
    let mut layer = Layer { size, standard, network, curve: trained.curve, typical: 0.0 };
    let mut sum = 0.0;
    for image in 0..features.len() {
        sum += f64::from(Layer::mean(&layer.map(config, size, &features.values(number, &[image]))?));
    }
    layer.typical = (sum / features.len() as f64) as f32;
    Ok(layer)
}

impl Method for Glow {
    type Config = GlowConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a multi-scale flow with invertible 1x1 convolutions; exact likelihood of features or pixels",
        advice: "when a true density is wanted; for plain inspection fastflow, cflow or csflow learn faster",
        citation: "Kingma and Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, NeurIPS 2018, arXiv 1807.03039",
        family: Family::Flow,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(Self::Config::of(preset))
    }

    const EXPORT: Export<Self> = Export::Missing("its flow over several scales has no graph yet");

    fn needs(config: &Self::Config) -> Needs {
        match config.input {
            Input::Features => Needs::of_maps(&[16]),
            Input::Image => Needs::of_images(),
        }
        .training_long()
    }

    fn default_transform(config: &Self::Config) -> Transform {
        let side = if config.input == Input::Image { 64 } else { 256 };
        Transform::resize_to(side, side)
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        if config.score == Score::Complexity && config.input != Input::Image {
            return Err(Error::Setting {
                key: "score".into(),
                reason: "only pixels can be compressed".into(),
                help: "set input=image, or another score".into(),
            });
        }
        let features = match config.input {
            Input::Features => Kept::maps(NAME, train, context)?,
            Input::Image => Kept::collect(NAME, train, Pass::IMAGES, context, "reading images", |input| {
                Ok(pixels(input.images()?, config.bits).maps.into_iter().map(Planes::from).collect())
            })?,
        };
        let trainer = Trainer::new(NAME, config, features.digest(), features.sizes().len(), context)?
            .beside(config.preset.other(), config.other_work());
        let layer = |number| train_layer(config, &features, number, &trainer, context.seed);
        let layers = (0..features.sizes().len()).map(layer).collect::<Result<_, _>>()?;
        Ok(Self { config: config.clone(), layers })
    }

    fn score(&self, input: &core::Input<'_>) -> Result<Vec<PatchScores>, Error> {
        match self.config.input {
            Input::Image => self.score_maps(&pixels(input.images()?, self.config.bits)),
            Input::Features => self.score_maps(input.maps()?),
        }
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(self.config.sigma)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        let sizes: Vec<MapSize> = self.layers.iter().map(|layer| layer.size).collect();
        store_sizes(&sizes, &mut state);
        let typical: Vec<f32> = self.layers.iter().map(|layer| layer.typical).collect();
        state.set_f32("typical", &[typical.len()], typical);
        for (number, layer) in self.layers.iter().enumerate() {
            let prefix = format!("layer.{number}.");
            let (shift, factor) = layer.standard.clone();
            state.set_f32(&format!("{prefix}standard.shift"), &[shift.len()], shift);
            state.set_f32(&format!("{prefix}standard.factor"), &[factor.len()], factor);
            network_state::store(&layer.network, &prefix, &layer.curve, &mut state);
        }
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, device, .. } = stored;
        let (sizes, device) = (load_sizes(&state)?, scoring_device(device)?);
        let typical = finite("typical", sizes.len(), &state)?;
        let layer = |(number, (size, typical)): (usize, (MapSize, f32))| -> Result<Layer, Error> {
            let prefix = format!("layer.{number}.");
            let channels = if config.input == Input::Features { size.channels } else { 0 };
            let standard = (
                finite(&format!("{prefix}standard.shift"), channels, &state)?,
                finite(&format!("{prefix}standard.factor"), channels, &state)?,
            );
            let blank = Network::new(&config, size.channels, &mut Init::blank(&device));
            let (network, curve) = network_state::load(blank, &prefix, &state)?;
            Ok(Layer { size, standard, network, curve, typical })
        };
        let layers = sizes.into_iter().zip(typical).enumerate().map(layer).collect::<Result<_, _>>()?;
        Ok(Self { config, layers })
    }
}
