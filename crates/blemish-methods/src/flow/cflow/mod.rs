//! CFlow: the density of every position's vector, given where the position lies.
//!
//! Gudovskiy et al., "CFLOW-AD: Real-Time Unsupervised Anomaly Detection with Localization via Conditional Normalizing Flows", arXiv
//! 2107.12571. Each layer has a flow of vectors whose subnets also see a sine and cosine code of the position; weights are shared
//! over positions. With l = ln p / C the loss is the mean of -ln sigmoid(l).
//!
//! Score: q = exp(l - m) of each layer, brought to the input's size (corners aligned); the map is the number of layers minus the sum. The
//! official code takes m (and the largest sum) from the test set, anomalib from the batch; here m is the largest l of the
//! training images, so that an image's score does not depend on others.

mod config;
mod export;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{CFlowConfig, Mixing, Rates};

use crate::shared::couplings::tanh_coupling;
use crate::shared::kept::Kept;
use crate::shared::map_size::{MapSize, check_channels, load_sizes, store_sizes};
use crate::shared::network_state;
use crate::shared::tensors::{device_of, finite, scoring_device, values_of};
use crate::shared::trainer::Trainer;
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_data::loader::order_of;
use blemish_kernels::map::resize_aligned;
use blemish_nn::flow::{
    Chain, ChannelAffine, CouplingBlock, HalfStep, Part, Permutation, Piece, Rotation, latent_energy,
};
use blemish_nn::init::Init;
use blemish_nn::layers::Subnet;
use blemish_nn::train::{Curve, Decay, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, TensorData};
use burn::tensor::activation::softplus;
use rayon::prelude::*;

const NAME: &str = "cflow";

/// Vectors that are scored at once: bounds memory.
const SCORED_AT_ONCE: usize = 1 << 14;

/// Parts in which the learning rate falls, the first two of which warm up.
const STAIRS: u64 = 25;

fn flow(config: &CFlowConfig, channels: usize, init: &mut Init) -> Chain {
    let second = channels / 2;
    let first = channels - second;
    let inputs = first + config.condition;
    let rotates = config.mixing.unwrap_or(if channels > 512 { Mixing::Index } else { Mixing::Rotation });
    let mut pieces = Vec::new();
    for _ in 0..config.blocks {
        let subnet = Subnet::dense(&[inputs, 2 * inputs, 2 * second], init);
        let steps = vec![HalfStep { changes: Part::Second, subnet }];
        pieces.push(Piece::Coupling(CouplingBlock { first, steps, coupling: tanh_coupling(config.clamp) }));
        pieces.push(Piece::Affine(ChannelAffine::new(channels, init)));
        pieces.push(match rotates {
            Mixing::Rotation => Piece::Rotation(Rotation::new(channels, init)),
            Mixing::Index => Piece::Permutation(Permutation::new(channels, init)),
        });
    }
    Chain { pieces }
}

/// Code of a position, `channels` values: sines and cosines of the column, then of the row, at falling frequencies.
fn position_code(row: usize, column: usize, channels: usize) -> Vec<f32> {
    let half = channels / 2;
    let codes = |at: usize| {
        (0..half).step_by(2).flat_map(move |k| {
            let angle = at as f64 * (-(k as f64) * 10_000f64.ln() / half as f64).exp();
            [angle.sin() as f32, angle.cos() as f32]
        })
    };
    codes(column).chain(codes(row)).collect()
}

/// Codes of all positions of a grid, row-major.
fn position_codes(size: MapSize, channels: usize) -> Vec<f32> {
    (0..size.height * size.width)
        .flat_map(|at| position_code(at / size.width, at % size.width, channels))
        .collect()
}

/// Vectors of some positions of images x channels x height x width, and their codes, as maps of one position.
fn fibers(
    maps: &[f32],
    codes: &[f32],
    size: MapSize,
    chosen: &[usize],
    device: &Device,
) -> (Tensor<4>, Option<Tensor<4>>) {
    let positions = size.height * size.width;
    let mut vectors = vec![0.0f32; chosen.len() * size.channels];
    vectors.par_chunks_exact_mut(size.channels).zip(chosen).for_each(|(vector, &fiber)| {
        let (image, position) = (fiber / positions, fiber % positions);
        let map = &maps[image * size.values()..][..size.values()];
        vector.iter_mut().zip(map[position..].iter().step_by(positions)).for_each(|(to, &from)| *to = from);
    });
    let width = codes.len() / positions.max(1);
    let tensor = |values: Vec<f32>, channels: usize| {
        Tensor::from_data(TensorData::new(values, [chosen.len(), channels, 1, 1]), device)
    };
    let code = |&fiber: &usize| &codes[fiber % positions * width..][..width];
    let conditions: Vec<f32> = chosen.iter().flat_map(code).copied().collect();
    (tensor(vectors, size.channels), (width > 0).then(|| tensor(conditions, width)))
}

/// l = ln p / C of vectors.
fn likelihood(flow: &Chain, x: Tensor<4>, condition: Option<&Tensor<4>>) -> Tensor<4> {
    let channels = x.dims()[1] as f64;
    let (z, log_det) = flow.forward(x, condition);
    (log_det - latent_energy(z)) / channels - 0.5 * std::f64::consts::TAU.ln()
}

/// A layer's flow, fitted.
struct Layer {
    size: MapSize,
    flow: Chain,
    curve: Curve,
    /// Codes of the positions of the fit's grid.
    codes: Vec<f32>,
    /// The largest l of the training images.
    largest: f32,
}

impl Layer {
    /// l at every position of some images.
    fn likelihoods(&self, maps: &[f32], size: MapSize, codes: &[f32]) -> Result<Vec<f32>, Error> {
        let device = device_of(&self.flow);
        let count = maps.len() / size.channels.max(1);
        let all: Vec<usize> = (0..count).collect();
        let mut found = Vec::with_capacity(count);
        for chosen in all.chunks(SCORED_AT_ONCE) {
            let (x, condition) = fibers(maps, codes, size, chosen, &device);
            found.extend(values_of(likelihood(&self.flow, x, condition.as_ref()))?);
        }
        Ok(found)
    }
}

/// A fitted CFlow.
pub struct CFlow {
    config: CFlowConfig,
    layers: Vec<Layer>,
}

impl CFlow {
    fn score_maps(&self, batch: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let sizes: Vec<MapSize> = self.layers.iter().map(|layer| layer.size).collect();
        check_channels(batch, &sizes)?;
        let (height, width) = (batch.height, batch.width);
        let mut scores = vec![vec![self.layers.len() as f32; height * width]; batch.count];
        for (layer, map) in self.layers.iter().zip(&batch.maps) {
            let size = MapSize { channels: map.channels, height: map.height, width: map.width };
            let codes =
                if size == layer.size { None } else { Some(position_codes(size, self.config.condition)) };
            let found = layer.likelihoods(&map.data, size, codes.as_ref().unwrap_or(&layer.codes))?;
            let grid = (map.height, map.width);
            scores.par_iter_mut().zip(found.par_chunks_exact(map.height * map.width)).for_each(
                |(score, found)| {
                    let likely: Vec<f32> = found.iter().map(|l| (l - layer.largest).min(0.0).exp()).collect();
                    let resized = resize_aligned(&likely, grid, (height, width));
                    score.iter_mut().zip(resized).for_each(|(score, value)| *score -= value);
                },
            );
        }
        Ok(scores
            .into_iter()
            .map(|values| PatchScores { height, width, values, image_score: None })
            .collect())
    }
}

/// How passes over the images fall into updates: the positions of a few images are shuffled together, and each update takes its share
/// of them. The last images of a pass and the last positions of a batch count as well.
struct Passes {
    images: usize,
    batch: usize,
    positions: usize,
    fibers: usize,
}

/// What an update learns from.
#[derive(Debug, PartialEq)]
struct Update {
    /// Number of the batch of images, over all passes.
    batch: u64,
    /// Images in it.
    images: usize,
    /// Number of the update within it.
    update: usize,
}

impl Passes {
    fn new(images: usize, positions: usize, config: &CFlowConfig) -> Self {
        Self { images, batch: config.batch.min(images).max(1), positions, fibers: config.fibers }
    }

    /// Updates on a batch of so many images.
    fn updates_of(&self, images: usize) -> u64 {
        (images * self.positions).div_ceil(self.fibers) as u64
    }

    /// Updates of a pass.
    fn updates(&self) -> u64 {
        let full = (self.images / self.batch) as u64 * self.updates_of(self.batch);
        full + self.updates_of(self.images % self.batch)
    }

    fn at(&self, step: u64) -> Update {
        let (pass, within) = (step / self.updates(), step % self.updates());
        let number = (within / self.updates_of(self.batch)).min((self.images / self.batch) as u64);
        let images = self.batch.min(self.images - number as usize * self.batch);
        let update = (within - number * self.updates_of(self.batch)) as usize;
        Update { batch: pass * self.images.div_ceil(self.batch) as u64 + number, images, update }
    }

    /// The images of a batch; every pass has an order of its own.
    fn images(&self, batch: u64, count: usize, seed: u64) -> Vec<usize> {
        let a_pass = self.images.div_ceil(self.batch) as u64;
        let order = order_of(self.images, Some(order_seed(seed.rotate_left(32), batch / a_pass)));
        order[(batch % a_pass) as usize * self.batch..][..count].to_vec()
    }
}

/// Trains the flow of one layer.
fn train_layer(
    config: &CFlowConfig,
    features: &Kept,
    number: usize,
    trainer: &Trainer<'_>,
    seed: u64,
) -> Result<Layer, Error> {
    let device = trainer.device();
    let size = features.sizes()[number];
    let positions = size.height * size.width;
    let codes = position_codes(size, config.condition);
    // Each layer draws weights of its own.
    let flow = flow(config, size.channels, &mut Init::new(order_seed(seed, number as u64), &device));
    let passes = Passes::new(features.len(), positions, config);
    let steps = config.epochs * passes.updates();
    let (warm_up, decay) = match config.rates {
        Rates::Constant => (0, Decay::Constant),
        Rates::Cosine => (
            (2 * steps / STAIRS).min(steps / 2),
            Decay::Cosine { floor: config.rate / 1000.0, stairs: STAIRS },
        ),
    };
    let plan = Plan::new(steps, Optimiser::ADAM, Schedule { rate: config.rate, warm_up, decay });
    let kept = config.fibers * (6 * size.channels + 4 * config.condition) * config.blocks;
    let mut loaded: Option<(u64, Vec<f32>, Vec<usize>)> = None;
    let trained = trainer.run(
        &format!("{NAME} layer {}", number + 1),
        flow,
        plan,
        kept,
        |step| {
            let Update { batch, images, update } = passes.at(step);
            let (_, maps, order) = match loaded.take() {
                Some(kept) if kept.0 == batch => loaded.insert(kept),
                _ => {
                    let chosen = passes.images(batch, images, seed);
                    let order = order_of(images * positions, Some(order_seed(seed, batch)));
                    loaded.insert((batch, features.values(number, &chosen), order))
                }
            };
            let chosen = order.chunks(config.fibers).nth(update).unwrap_or_default();
            Ok(fibers(maps, &codes, size, chosen, &device))
        },
        |flow: &Chain, (x, condition)| softplus(-likelihood(flow, x, condition.as_ref()), 1.0).mean(),
    )?;
    let flow = trained.network.valid();
    let mut layer = Layer { size, flow, curve: trained.curve, codes, largest: f32::NEG_INFINITY };
    for image in 0..features.len() {
        let found = layer.likelihoods(&features.values(number, &[image]), size, &layer.codes)?;
        layer.largest = found.into_iter().fold(layer.largest, f32::max);
    }
    Ok(layer)
}

/// A seed of its own for each number.
fn order_seed(seed: u64, number: u64) -> u64 {
    seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0xd1b5_4a32_d192_ed03))
}

impl Method for CFlow {
    type Config = CFlowConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a flow of every position's vector, given where it lies; likelihood at every position",
        advice: "for good pixel maps on aligned parts and textures, with models that do not grow with the images; trains for minutes to hours",
        citation: "Gudovskiy et al., CFLOW-AD: Real-Time Unsupervised Anomaly Detection with Localization via Conditional Normalizing Flows, \
                   WACV 2022, arXiv 2107.12571",
        family: Family::Flow,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(Self::Config::of(preset))
    }

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[8, 16, 32]).training_long()
    }

    fn default_transform(_: &Self::Config) -> Transform {
        Transform::resize_to(256, 256)
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        if config.condition % 4 != 0 {
            return Err(Error::Setting {
                key: "condition".into(),
                reason: format!("{} is not a multiple of 4", config.condition),
                help: "sines and cosines of two coordinates share the channels".into(),
            });
        }
        let features = Kept::maps(NAME, train, context)?;
        let trainer = Trainer::new(NAME, config, features.digest(), features.sizes().len(), context)?
            .beside(config.preset.other(), config.other_work());
        let layer = |number| train_layer(config, &features, number, &trainer, context.seed);
        let layers = (0..features.sizes().len()).map(layer).collect::<Result<_, _>>()?;
        Ok(Self { config: config.clone(), layers })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_maps(input.maps()?)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(self.config.sigma)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        let sizes: Vec<MapSize> = self.layers.iter().map(|layer| layer.size).collect();
        store_sizes(&sizes, &mut state);
        let largest: Vec<f32> = self.layers.iter().map(|layer| layer.largest).collect();
        state.set_f32("largest", &[largest.len()], largest);
        for (number, layer) in self.layers.iter().enumerate() {
            let prefix = format!("layer.{number}.");
            network_state::store(&layer.flow, &prefix, &layer.curve, &mut state);
        }
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, device, .. } = stored;
        let (sizes, device) = (load_sizes(&state)?, scoring_device(device)?);
        let largest = finite("largest", sizes.len(), &state)?;
        let layer = |(number, (size, largest)): (usize, (MapSize, f32))| -> Result<Layer, Error> {
            let prefix = format!("layer.{number}.");
            let blank = flow(&config, size.channels, &mut Init::blank(&device));
            let (flow, curve) = network_state::load(blank, &prefix, &state)?;
            Ok(Layer { size, flow, curve, codes: position_codes(size, config.condition), largest })
        };
        let layers = sizes.into_iter().zip(largest).enumerate().map(layer).collect::<Result<_, _>>()?;
        Ok(Self { config, layers })
    }
}
