//! CS-Flow: three sizes of an image pass jointly through couplings whose subnets exchange what they see.
//!
//! Rudolph et al., "Fully Convolutional Cross-Scale-Flows for Image-based Defect Detection", arXiv 2110.02855. The deepest layer's map
//! of the image, of half and of a quarter of it (nearest neighbour) are the three scales. Score: mean of z^2 / 2 over all
//! values; map: mean of z^2 over the channels of the first scale. The inverse, wrong in the released code, is in `blemish_nn::flow`.

mod config;
mod export;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{CsFlowConfig, Score};

use crate::shared::couplings::atan_coupling;
use crate::shared::kept::{Kept, Planes};
use crate::shared::map_network::MapNetwork;
use crate::shared::map_size::check_channels;
use crate::shared::tensors::{device_of, tensor_of, values_of};
use crate::shared::trainer::{Trainer, batch_of};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::{Needs, Reads};
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::{ImageBatch, Transform};
use blemish_features::Backbone;
use blemish_kernels::image::rotation::{thin, thinned};
use blemish_nn::flow::{CrossScaleBlock, CrossScaleConfig, latent_energy};
use blemish_nn::init::Init;
use blemish_nn::train::{Optimiser, Plan, Schedule};
use blemish_nn::{Module, Tensor, weights};
use std::sync::Arc;

const NAME: &str = "csflow";

/// The flow over three scales.
#[derive(Module, Debug)]
struct Network {
    blocks: Vec<CrossScaleBlock>,
}

impl Network {
    fn new(config: &CsFlowConfig, channels: usize, init: &mut Init) -> Self {
        let coupling = atan_coupling(config.clamp);
        let block = |number| {
            let kernel = if number + 1 == config.blocks { 5 } else { 3 };
            CrossScaleBlock::new(
                &CrossScaleConfig { channels, hidden: config.hidden, kernel, coupling },
                init,
            )
        };
        Self { blocks: (0..config.blocks).map(block).collect() }
    }

    /// z of every scale, and the log-determinants of every block and scale.
    fn forward(&self, mut z: [Tensor<4>; 3]) -> ([Tensor<4>; 3], Vec<Tensor<4>>) {
        let mut log_dets = Vec::new();
        for block in &self.blocks {
            let of_block;
            (z, of_block) = block.forward(z);
            log_dets.extend(of_block);
        }
        (z, log_dets)
    }

    /// Mean over the images of (sum of z^2 / 2 - log-determinant) per value.
    fn loss(&self, maps: [Tensor<4>; 3]) -> Tensor<1> {
        let values: usize = maps.iter().map(|map| map.dims().iter().product::<usize>()).sum();
        let (z, log_dets) = self.forward(maps);
        let [a, b, c] = z.map(|z| latent_energy(z).sum());
        let gain = log_dets.into_iter().map(Tensor::sum).reduce(|a, b| a + b);
        let energy = a + b + c;
        gain.map_or(energy.clone(), |gain| energy - gain) / values as f64
    }
}

impl weights::Network for Network {
    fn fixed(&mut self) -> Vec<&mut Vec<usize>> {
        let permutations = self.blocks.iter_mut().flat_map(|block| &mut block.permutations);
        permutations.map(|piece| &mut piece.order).collect()
    }
}

/// A fitted CS-Flow.
pub struct CsFlow {
    backbone: Arc<Backbone>,
    config: CsFlowConfig,
    trained: MapNetwork<Network>,
}

/// Every `step`th row and column of a batch of images.
fn reduced(batch: &ImageBatch, step: usize) -> Vec<f32> {
    let size = (batch.height, batch.width);
    let mut pixels = Vec::new();
    batch.pixels.chunks_exact(size.0 * size.1).for_each(|plane| thin(plane, size, step, &mut pixels));
    pixels
}

/// Checks that the maps of three sizes of an image halve from each to the next.
fn check_scales(grids: &[(usize, usize)], (height, width): (usize, usize)) -> Result<(), String> {
    let fits = grids.windows(2).all(|pair| pair[0] == (2 * pair[1].0, 2 * pair[1].1));
    if grids.len() == 3 && fits {
        return Ok(());
    }
    let sizes: Vec<String> = grids.iter().map(|(height, width)| format!("{width}x{height}")).collect();
    Err(format!(
        "images of {width}x{height} give maps of {}, which do not halve exactly; use an image size whose sides are multiples of 128",
        sizes.join(", ")
    ))
}

/// The deepest layer's maps of three sizes of a batch of images, as if of three layers.
fn three_scales(backbone: &Backbone, batch: &ImageBatch) -> Result<FeatureBatch, Error> {
    let ImageBatch { count, height, width, .. } = *batch;
    let mut maps = Vec::with_capacity(3);
    for step in [1, 2, 4] {
        let pixels = reduced(batch, step);
        let (height, width) = thinned((height, width), step);
        let found = backbone.extract(&pixels, [count, height, width])?;
        maps.extend(found.into_iter().next_back());
    }
    let grids: Vec<_> = maps.iter().map(|map| (map.height, map.width)).collect();
    check_scales(&grids, (height, width)).map_err(|reason| Error::Score { reason })?;
    let region_of_interest = batch.region_of_interest.clone();
    Ok(FeatureBatch { count, height, width, maps, region_of_interest })
}

impl Method for CsFlow {
    type Config = CsFlowConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a flow over three sizes of the image that see each other; latent energy",
        advice: "for decisions on whole images at high resolution; its maps are coarse, and `preset=paper` wants a GPU",
        citation: "Rudolph et al., Fully Convolutional Cross-Scale-Flows for Image-based Defect Detection, WACV 2022, arXiv 2110.02855",
        family: Family::Flow,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(Self::Config::of(preset))
    }

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[16]).reading(Reads::Images).training_long()
    }

    fn default_transform(config: &Self::Config) -> Transform {
        Transform::resize_to(config.side, config.side)
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let backbone = context.require_backbone(NAME)?;
        let features = Kept::collect(NAME, train, Pass::IMAGES, context, "extracting features", |input| {
            Ok(three_scales(&backbone, input.images()?)?.maps.into_iter().map(Planes::from).collect())
        })?;
        let sizes = features.sizes().to_vec();
        let trainer = Trainer::new(NAME, config, features.digest(), 1, context)?
            .beside(config.preset.other(), config.other_work());
        let device = trainer.device();
        let channels = sizes.first().map_or(0, |size| size.channels);
        if channels < 2 {
            return Err(Error::Fit {
                method: NAME,
                reason: "the layer has a single channel; take another".into(),
            });
        }
        let network = Network::new(config, channels, &mut Init::new(context.seed, &device));
        let optimiser = Optimiser { epsilon: 1e-4, decay: 1e-5, ..Optimiser::ADAM };
        let plan = Plan::new(config.steps, optimiser, Schedule::constant(config.rate));
        let plan = Plan { clip: Some(config.clip), ..plan };
        let positions: usize = sizes.iter().map(|size| size.height * size.width).sum();
        let kept =
            config.batch.min(features.len()) * positions * config.blocks * (6 * config.hidden + 8 * channels);
        let trained = trainer.run(
            NAME,
            network,
            plan,
            kept,
            |step| {
                let images = batch_of(step, features.len(), config.batch, context.seed);
                Ok([0, 1, 2].map(|scale| features.batch(scale, &images, &device)))
            },
            Network::loss,
        )?;
        let trained = MapNetwork { sizes, network: trained.network.valid(), curve: trained.curve };
        Ok(Self { backbone, config: config.clone(), trained })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let features = three_scales(&self.backbone, batch)?;
        let MapNetwork { sizes, network, .. } = &self.trained;
        check_channels(&features, sizes)?;
        let device = device_of(network);
        let tensor = |scale: usize| tensor_of(&features.maps[scale], batch.count, &device);
        let (z, _) = network.forward([0, 1, 2].map(tensor));
        let [first, ..] = &features.maps[..] else { return Ok(Vec::new()) };
        let scales = z.into_iter().map(|z| values_of(latent_energy(z))).collect::<Result<Vec<_>, _>>()?;
        let channels = first.channels as f32;
        let patches = (0..batch.count).map(|image| {
            let parts = scales.iter().map(|scale| {
                let length = scale.len() / batch.count;
                &scale[image * length..][..length]
            });
            let parts: Vec<&[f32]> = parts.collect();
            let positions: usize = parts.iter().map(|part| part.len()).sum();
            let sum: f64 = parts.iter().copied().flatten().map(|&energy| f64::from(energy)).sum();
            let mean = (sum / (positions as f64 * f64::from(channels))) as f32;
            let values = parts[0].iter().map(|energy| 2.0 * energy / channels).collect();
            let image_score = (self.config.score == Score::Mean).then_some(mean);
            PatchScores { height: first.height, width: first.width, values, image_score }
        });
        Ok(patches.collect())
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
        let backbone = stored.require_backbone(NAME)?;
        let Stored { config, state, device, .. } = stored;
        // There is a size at least.
        let trained = MapNetwork::restore(&state, device, |sizes, init| {
            Network::new(&config, sizes[0].channels, init)
        })?;
        Ok(Self { backbone, config, trained })
    }
}
