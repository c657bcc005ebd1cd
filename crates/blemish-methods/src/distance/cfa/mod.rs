//! CFA: features adapted so that good patches fall into small spheres around a bank of fixed size.
//!
//! Lee, Lee, Song, "CFA: Coupled-hypersphere-based Feature Adaptation for Target-Oriented Anomaly Localization", IEEE Access 2022, arXiv
//! 2206.04325. The backbone is frozen; one 1x1 convolution with two coordinate channels is trained. Pick it where a bank that does not
//! grow with the images is wanted and some minutes of training are acceptable.
//!
//! ```text
//! maps -> 3x3 means -> descriptor, resized and added on the first layer's grid -> phi, P positions
//! bank C: mean of the untrained phi over the images at every position (or k-means groups of these), then frozen
//! loss:   (1 / nu) [ mean max(0, D_k - r^2), k = 1..K  +  mean max(0, r^2 - D_j - alpha), the later ones ],  D squared distances to C
//! score:  d_1 exp(-d_1) / sum over the K nearest of exp(-d_k); map blurred; image score = its maximum
//! ```
//!
//! A patch may belong to the centre of any position. The released code keeps, for each figure, the best epoch on the test set; here the
//! last epoch counts. The running mean of the bank is taken over batches in the order of the paths.
//!
//! Cost: one exact search of P centres for P patches an image and step, 2 P^2 d operations at most; no P x P matrix exists, and the
//! gradient of a distance is a gather, 2 (phi - C_k).

mod bank;
mod config;
mod descriptor;
mod export;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{CfaConfig, Scaling, Variant};

use crate::shared::embedding::patch_means;
use crate::shared::kept::{Kept, Planes};
use crate::shared::map_size::{MapSize, check_channels};
use crate::shared::network_state;
use crate::shared::tensors::{device_of, scoring_device, values_of};
use crate::shared::trainer::{Trainer, batch_of};
use bank::{RunningMean, Target, centres, patch_score};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::{Shared, State, StateError};
use blemish_features::{Backbone, FeatureMap};
use blemish_kernels::knn::MemoryBank;
use blemish_nn::init::Init;
use blemish_nn::train::{AdamKind, Curve, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, TensorData};
use config::NAME;
use descriptor::Descriptor;

/// Side of the neighbourhood whose mean is taken.
const NEIGHBOURHOOD: usize = 3;

/// A fitted CFA.
pub struct Cfa {
    /// Of the backbone's maps, shallow to deep.
    channels: Vec<usize>,
    config: CfaConfig,
    descriptor: Descriptor,
    curve: Curve,
    bank: MemoryBank<Shared<f32>>,
}

/// How maps enter the descriptor where the settings leave it open.
fn scaling_for(backbone: &Backbone) -> Scaling {
    if backbone.name().starts_with("efficientnet") { Scaling::Channels } else { Scaling::Plain }
}

fn channels_of(backbone: &Backbone) -> Vec<usize> {
    backbone.taps().iter().map(|tap| tap.channels).collect()
}

/// Length of phi: the layers' channels, twice those where they are scaled, over gamma_d.
fn dimensions_of(config: &CfaConfig, channels: &[usize]) -> usize {
    let factor = if config.scaling == Some(Scaling::Channels) { 2 } else { 1 };
    factor * channels.iter().sum::<usize>() / config.dimension_compression
}

fn descriptor(config: &CfaConfig, channels: &[usize], init: &mut Init) -> Descriptor {
    let is_trained = config.variant == Variant::Official;
    Descriptor::new(channels, dimensions_of(config, channels), (config.radius, is_trained), init)
}

/// Neighbourhood means of a batch's maps, patch by patch and scaled as the settings have it.
fn pooled(config: &CfaConfig, batch: &FeatureBatch) -> FeatureBatch {
    let mut pooled = patch_means(batch, NEIGHBOURHOOD);
    if config.scaling == Some(Scaling::Channels) {
        for map in &mut pooled.maps {
            let factor = 1.0 / map.channels as f32;
            map.data.iter_mut().for_each(|value| *value *= factor);
        }
    }
    pooled
}

/// Values that lie patch by patch as a tensor, images x rows x columns x channels.
fn patches(values: Vec<f32>, size: MapSize, device: &Device) -> Tensor<4> {
    let count = values.len() / size.values().max(1);
    Tensor::from_data(TensorData::new(values, [count, size.height, size.width, size.channels]), device)
}

/// The bank of the untrained descriptor: the mean over the images at every position, grouped where that is wanted.
fn untrained_bank(
    config: &CfaConfig,
    features: &Kept,
    descriptor: &Descriptor,
    context: &FitContext<'_>,
) -> Result<MemoryBank<Shared<f32>>, Error> {
    context.observer.stage("averaging features", None);
    let descriptor = descriptor.valid();
    let device = device_of(&descriptor);
    let dimensions = descriptor.bias.dims()[0];
    let mut mean = RunningMean::default();
    let all: Vec<usize> = (0..features.len()).collect();
    // The last, incomplete batch of a pass counts as in training: not at all, unless it is the only one.
    for images in all.chunks_exact(config.batch.min(features.len()).max(1)) {
        context.check_cancelled()?;
        let maps = batch_of_maps(features, images, &device);
        mean.add(&values_of(descriptor.forward(maps))?, images.len());
    }
    let centres = centres(config, mean.finish(), dimensions, context.seed)?;
    MemoryBank::plain(centres.into(), dimensions)
        .map_err(|error| Error::Fit { method: NAME, reason: error.to_string() })
}

fn batch_of_maps(features: &Kept, images: &[usize], device: &Device) -> Vec<Tensor<4>> {
    let map = |(layer, &size): (usize, &MapSize)| patches(features.values(layer, images), size, device);
    features.sizes().iter().enumerate().map(map).collect()
}

/// Values of phi of one image at most, for the estimate of memory.
fn values_of_phi(features: &Kept, dimensions: usize) -> usize {
    features.sizes().first().map_or(0, |size| size.height * size.width * dimensions)
}

impl Cfa {
    /// Patch scores of one image of pooled maps.
    fn score_image(&self, pooled: &FeatureBatch, image: usize) -> Result<PatchScores, Error> {
        let device = device_of(&self.descriptor);
        let map = |map: &FeatureMap| {
            let size = MapSize { channels: map.channels, height: map.height, width: map.width };
            patches(map.data[image * size.values()..][..size.values()].to_vec(), size, &device)
        };
        let phi = values_of(self.descriptor.forward(pooled.maps.iter().map(map).collect()))?;
        let k = self.config.neighbours.min(self.bank.len());
        let found = self.bank.search(&phi, k).map_err(|error| Error::Score { reason: error.to_string() })?;
        let values = found.squared_distances.chunks_exact(k).map(patch_score).collect();
        let (height, width) = pooled.maps.first().map_or((0, 0), |map| (map.height, map.width));
        Ok(PatchScores { height, width, values, image_score: None })
    }

    fn score_maps(&self, batch: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let size = |&channels: &usize| MapSize { channels, height: 1, width: 1 };
        let sizes: Vec<MapSize> = self.channels.iter().map(size).collect();
        check_channels(batch, &sizes)?;
        let pooled = pooled(&self.config, batch);
        // One image at a time: bounds memory.
        (0..batch.count).map(|image| self.score_image(&pooled, image)).collect()
    }
}

impl Method for Cfa {
    type Config = CfaConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "features adapted by a trained 1x1 convolution to fall into small spheres around a bank of fixed size",
        advice: "for models that stay small for any number of images, where some minutes of training are acceptable; PatchCore is \
                 the better first try",
        citation: "Lee et al., CFA: Coupled-hypersphere-based Feature Adaptation for Target-Oriented Anomaly Localization, IEEE Access 2022, \
                   arXiv 2206.04325",
        family: Family::Distance,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(Self::Config::of(preset))
    }

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[4, 8, 16]).training_long()
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let backbone = context.require_backbone(NAME)?;
        let config = CfaConfig { scaling: config.scaling.or(Some(scaling_for(&backbone))), ..config.clone() };
        let channels = channels_of(&backbone);
        let dimensions = dimensions_of(&config, &channels);
        if dimensions == 0 {
            return Err(Error::Setting {
                key: "dimension_compression".into(),
                reason: format!("{} leaves nothing of {channels:?} channels", config.dimension_compression),
                help: "lower it".into(),
            });
        }
        let features = Kept::collect(NAME, train, Pass::MAPS, context, "extracting features", |input| {
            Ok(pooled(&config, input.maps()?).maps.into_iter().map(Planes::from).collect())
        })?;
        let trainer = Trainer::new(NAME, &config, features.digest(), 1, context)?
            .beside(config.preset.other(), config.other_work());
        let device = trainer.device();
        let network = descriptor(&config, &channels, &mut Init::new(context.seed, &device));
        let bank = untrained_bank(&config, &features, &network, context)?;
        let target = Target::new(&bank, &config, &device);
        let batch = config.batch.min(features.len());
        let steps = config.epochs * (features.len() / batch).max(1) as u64;
        let optimiser = Optimiser {
            kind: AdamKind::AmsGrad,
            decay: config.weight_decay,
            is_decoupled: true,
            ..Optimiser::ADAM
        };
        let plan = Plan::new(steps, optimiser, Schedule::constant(config.rate));
        // phi and its parts from every layer.
        let kept = batch * values_of_phi(&features, dimensions) * (channels.len() + 1);
        let trained = trainer.run(
            NAME,
            network,
            plan,
            kept,
            |step| {
                let images = batch_of(step, features.len(), batch, context.seed);
                Ok(batch_of_maps(&features, &images, &device))
            },
            |descriptor: &Descriptor, maps| target.loss(descriptor, maps),
        )?;
        let descriptor = trained.network.valid();
        Ok(Self { channels, descriptor, curve: trained.curve, bank, config })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_maps(input.maps()?)
    }

    fn map_stage(&self) -> MapStage {
        let border = match self.config.variant {
            Variant::Official => BlurBorder::Repeat,
            Variant::Anomalib => BlurBorder::Mirror,
        };
        MapStage { border, ..MapStage::bilinear(self.config.sigma) }
    }

    fn state(&self) -> State {
        let mut state = State::default();
        network_state::store(&self.descriptor, "", &self.curve, &mut state);
        state.set_f32("bank", &[self.bank.len(), self.bank.dimensions()], self.bank.source().clone());
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let backbone = stored.require_backbone(NAME)?;
        let Stored { config, state, device, .. } = stored;
        let channels = channels_of(&backbone);
        let blank = descriptor(&config, &channels, &mut Init::blank(&scoring_device(device)?));
        let (descriptor, curve) = network_state::load(blank, "", &state)?;
        let (shape, centres) = state.f32("bank", 2)?;
        let wrong = |reason: String| StateError { name: "bank".into(), reason };
        let dimensions = dimensions_of(&config, &channels);
        if shape[1] != dimensions {
            let reason = format!("has rows of {} values, the descriptor gives {dimensions}", shape[1]);
            return Err(wrong(reason).into());
        }
        let bank = MemoryBank::plain(centres, dimensions).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { config, channels, descriptor, curve, bank })
    }
}
