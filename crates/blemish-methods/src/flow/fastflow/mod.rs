//! FastFlow: a small convolutional flow for each feature map; the latent's energy at a position is the map.
//!
//! Yu et al., "FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows", arXiv 2111.07677. There is no official
//! code; details follow the re-implementation that anomalib's is derived from. A block is a coupling (first half of the channels unchanged,
//! the other scaled by exp(c tanh(0.1 r)) and shifted by 0.1 t), a scale and shift of every channel and a fixed permutation.
//!
//! Score at a position: -exp(-mean of z^2 over the channels / 2), brought to the input's size bilinearly and averaged over the
//! layers; the image's score is the largest. The released layer normalisation has a learned scale that the likelihood does not count, so
//! that the loss has no lower bound; it is the default all the same, since it detects better. `norm=fixed` learns none.

mod config;
mod export;
mod packed;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{FastFlowConfig, Kernels, Norm};

use crate::shared::couplings::tanh_coupling;
use crate::shared::kept::Kept;
use crate::shared::map_network::MapNetwork;
use crate::shared::map_size::{MapSize, check_channels};
use crate::shared::tensors::{device_of, tensor_of, values_of};
use crate::shared::trainer::{Trainer, batch_of};
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
use blemish_features::FeatureMap;
use blemish_kernels::map::resize_bilinear;
use blemish_nn::flow::{
    Chain, ChannelAffine, CouplingBlock, HalfStep, Part, Permutation, Piece, latent_energy,
};
use blemish_nn::init::Init;
use blemish_nn::layers::{MapNorm, Subnet};
use blemish_nn::train::{Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, weights};
use packed::Packed;
use rayon::prelude::*;
use std::sync::OnceLock;

const NAME: &str = "fastflow";

/// The flows of all layers, with their normalisation.
#[derive(Module, Debug)]
pub(crate) struct Network {
    norms: Vec<MapNorm>,
    flows: Vec<Chain>,
}

impl Network {
    fn new(config: &FastFlowConfig, sizes: &[MapSize], init: &mut Init) -> Self {
        let norm = |size: &MapSize| {
            let shape = [size.channels, size.height, size.width];
            MapNorm::new(shape, config.norm == Norm::Learned, init)
        };
        let norms = if config.norm == Norm::None { Vec::new() } else { sizes.iter().map(norm).collect() };
        let deepest = sizes.iter().map(|size| size.channels).max().unwrap_or(0);
        let kernels =
            config.kernels.unwrap_or(if deepest > 256 { Kernels::Alternating } else { Kernels::Three });
        let mut flow = |size: &MapSize| {
            let channels = size.channels;
            let second = channels / 2;
            let first = channels - second;
            let hidden = ((first as f64 * config.hidden_ratio) as usize).max(1);
            let mut pieces = Vec::new();
            for block in 0..config.blocks {
                let kernel = if kernels == Kernels::Alternating && block % 2 == 1 { 1 } else { 3 };
                let subnet = Subnet::conv([first, hidden, 2 * second], kernel, init);
                let steps = vec![HalfStep { changes: Part::Second, subnet }];
                pieces.push(Piece::Coupling(CouplingBlock {
                    first,
                    steps,
                    coupling: tanh_coupling(config.clamp),
                }));
                pieces.push(Piece::Affine(ChannelAffine::new(channels, init)));
                pieces.push(Piece::Permutation(Permutation::new(channels, init)));
            }
            Chain { pieces }
        };
        let flows = sizes.iter().map(&mut flow).collect();
        Self { norms, flows }
    }

    /// z and the log-determinant of a layer.
    fn forward(&self, layer: usize, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let x = match self.norms.get(layer) {
            Some(norm) => norm.forward(x),
            None => x,
        };
        self.flows[layer].forward(x, None)
    }

    /// Sum over the layers of the mean over the images of (sum of z^2 / 2 - log-determinant), over `scale`.
    fn loss(&self, maps: Vec<Tensor<4>>, scale: f64) -> Tensor<1> {
        let images = maps.first().map_or(1, |map| map.dims()[0]);
        let each = maps.into_iter().enumerate().map(|(layer, map)| {
            let (z, log_det) = self.forward(layer, map);
            (latent_energy(z) - log_det).sum()
        });
        let sum = each.reduce(|a, b| a + b).unwrap_or_else(|| unreachable!("a backbone has a layer"));
        sum / (images as f64 * scale)
    }
}

impl weights::Network for Network {
    fn fixed(&mut self) -> Vec<&mut Vec<usize>> {
        self.flows.fixed()
    }
}

/// A fitted FastFlow.
pub struct FastFlow {
    config: FastFlowConfig,
    trained: MapNetwork<Network>,
    /// Made for the first images that are scored on the CPU.
    packed: OnceLock<Packed>,
}

impl FastFlow {
    fn new(config: FastFlowConfig, trained: MapNetwork<Network>) -> Self {
        Self { config, trained, packed: OnceLock::new() }
    }

    /// Half the sum of z^2 over the channels, images x height x width, of a layer's maps.
    fn energies(&self, layer: usize, maps: &FeatureMap, count: usize) -> Result<Vec<f32>, Error> {
        let network = &self.trained.network;
        let device = device_of(network);
        if device != Device::flex() {
            return values_of(latent_energy(network.forward(layer, tensor_of(maps, count, &device)).0));
        }
        let packed = match self.packed.get() {
            Some(packed) => packed,
            None => {
                let packed = Packed::new(network)?;
                self.packed.get_or_init(|| packed)
            }
        };
        Ok(packed.energies(layer, maps, count))
    }

    fn score_maps(&self, batch: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let sizes = &self.trained.sizes;
        check_channels(batch, sizes)?;
        let (height, width) = (batch.height, batch.width);
        let mut sums = vec![vec![0.0f32; height * width]; batch.count];
        let share = 1.0 / batch.maps.len() as f32;
        for (layer, map) in batch.maps.iter().enumerate() {
            if self.config.norm == Norm::Learned && (map.height, map.width) != sizes[layer].grid() {
                let reason =
                    "a learned layer normalisation fixes the size of the maps; resize images as for the fit"
                        .into();
                return Err(Error::Score { reason });
            }
            let energy = self.energies(layer, map, batch.count)?;
            let grid = (map.height, map.width);
            let channels = map.channels as f32;
            sums.par_iter_mut().zip(energy.par_chunks_exact(map.height * map.width)).for_each(
                |(sum, energy)| {
                    // Half the mean of the squares; the exponential comes before the interpolation.
                    let likely: Vec<f32> = energy.iter().map(|energy| -(-energy / channels).exp()).collect();
                    let resized = resize_bilinear(&likely, grid, (height, width));
                    sum.iter_mut().zip(resized).for_each(|(sum, value)| *sum += share * value);
                },
            );
        }
        Ok(sums.into_iter().map(|values| PatchScores { height, width, values, image_score: None }).collect())
    }
}

impl Method for FastFlow {
    type Config = FastFlowConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a convolutional flow for each feature map; latent probability at every position",
        advice: "for pixel maps at video rate and models whose size does not depend on the images; trains for minutes to hours, best on a GPU",
        citation: "Yu et al., FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows, arXiv 2111.07677",
        family: Family::Flow,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(Self::Config::of(preset))
    }

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[4, 8, 16]).training_long()
    }

    fn default_transform(_: &Self::Config) -> Transform {
        Transform::resize_to(256, 256)
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let features = Kept::maps(NAME, train, context)?;
        let sizes = features.sizes().to_vec();
        let trainer = Trainer::new(NAME, config, features.digest(), 1, context)?
            .beside(config.preset.other(), config.other_work());
        let device = trainer.device();
        let network = Network::new(config, &sizes, &mut Init::new(context.seed, &device));
        let values: usize = sizes.iter().map(|size| size.values()).sum();
        let optimiser = Optimiser { decay: config.weight_decay, ..Optimiser::ADAM };
        let plan = Plan::new(config.steps, optimiser, Schedule::constant(config.rate));
        let plan = Plan { clip: config.clip, ..plan };
        // With a clipped gradient the loss is per value, so that the bound means the same for every size.
        let scale = if config.clip.is_some() { values as f64 } else { 1.0 };
        let batch = config.batch.min(features.len());
        let kept = batch * values * config.blocks * 4;
        let trained = trainer.run(
            NAME,
            network,
            plan,
            kept,
            |step| {
                let images = batch_of(step, features.len(), config.batch, context.seed);
                Ok((0..sizes.len()).map(|layer| features.batch(layer, &images, &device)).collect())
            },
            |network: &Network, maps: Vec<Tensor<4>>| network.loss(maps, scale),
        )?;
        let trained = MapNetwork { sizes, network: trained.network.valid(), curve: trained.curve };
        Ok(Self::new(config.clone(), trained))
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_maps(input.maps()?)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(self.config.sigma)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        self.trained.store(&mut state);
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, device, .. } = stored;
        let trained = MapNetwork::restore(&state, device, |sizes, init| Network::new(&config, sizes, init))?;
        Ok(Self::new(config, trained))
    }
}
