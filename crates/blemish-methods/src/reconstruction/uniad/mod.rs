//! UniAD: a transformer that reconstructs the features of many products at once, and cannot copy.
//!
//! You et al., "A Unified Model for Multi-class Anomaly Detection", NeurIPS 2022, arXiv 2206.03687; details are those of the released code.
//! Maps of a frozen backbone are brought to one grid of tokens f, 16 pixels to a side, and a small transformer gives each token back. Three
//! things keep it from passing on what it is given, defects too: no token sees its own neighbourhood, each layer of the decoder begins with
//! learned queries instead of with what the layer before gave, and the tokens it learns from are noisy.
//!
//! ```text
//! tokens    f = maps of strides 2, 4, 8, 16 at the corners of the grid, one behind the other along the channels
//! noise     f + s z in training,  s = alpha |f| / channels,  z standard normal
//! hidden    logits - infinity for tokens at most 3 rows and 3 columns away, itself included, in every attention
//! encoder   y = LN(x + MHA(x + pos, x + pos, x)),  LN(y + FFN(y))
//! decoder   a = LN(t + MHA(t + pos, m + pos, m)),  b = LN(a + MHA(a + pos, u + pos, u)),  LN(b + FFN(b))
//!           with learned queries t of the layer, the encoder's m and the previous layer's u (m for the first)
//! loss      mean over tokens and channels of (f' - f)^2, f without noise
//! score     p = |f' - f| of a token; brought to the image's size with aligned corners
//! image     the largest mean of the map over 16 x 16 pixels
//! ```
//!
//! One model learns many products at once: give it a folder or a list of several categories. Neither learning nor scoring looks at the
//! category; thresholds are set for each of them and for all together, and an image of an unknown category is judged by those of all.
//!
//! `preset=paper` has the published transformer of 7.7 million weights (with EfficientNet-B4) and 1,000 passes over the images; `preset=cpu` a
//! smaller one and minutes. The backbone is run once over the training images, whatever the number of passes. As published:
//! `--backbone efficientnet_b4_380 --layers stage1,stage2,stage3,stage5 --set preset=paper`, whose padding is that of the package the authors
//! used. Images keep the size of the fit, since the queries are learned for its grid.
//!
//! With the embedded backbone and `preset=cpu` one model of the three looks of `data synth` reaches a mean image AUROC of 92.6 in six CPU minutes,
//! where PatchCore as one model of all reaches 99.0 in eleven CPU seconds (`benches/categories.py`). With the paper's backbone one model of all of
//! MVTec AD reaches an image AUROC of 96.5 (the paper's figure).
//!
//! Flow: `tokens` makes the grid, its noise and what is hidden, `network` is trained on it, `scoring` goes from tokens to scores.
//!
//! # Deviations
//! - The last weights count; the released code keeps those of the pass with the best pixel AUROC on the test images.
//! - `preset=cpu` has 2 + 2 layers of 128 features and a higher rate.
//! - Any backbone: maps of strides 2, 4, 8 and 16 by default, of which the first is the stem's. The paper takes the end of the first stage instead
//!   (`--layers` above).
//! - Where the grid is so small that the window would hide all tokens it is made smaller, and the fit says so.

mod config;
mod network;
mod scoring;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;

pub use config::{ImageScore, UniadConfig};

use crate::shared::augment::seed_of;
use crate::shared::kept::{Kept, Planes};
use crate::shared::map_network::MapNetwork;
use crate::shared::map_size::{MapSize, check_channels, load_sizes};
use crate::shared::tensors::{device_of, values_of};
use crate::shared::trainer::{Trainer, batch_of, gaussian};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::{State, StateError};
use blemish_data::Transform;
use blemish_nn::init::Init;
use blemish_nn::layers::Dropout;
use blemish_nn::train::{Decay, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, TensorData};
use network::{Lesson, Network, cost};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::borrow::Cow;
use tokens::{by_token, fitting_window, grid_of, hidden, jitter, neck};

const NAME: &str = "uniad";

/// Sides of the images, in pixels.
const SIDE: usize = 224;

/// Share of the training after which the rate falls to a tenth.
const LATE: f64 = 0.8;

/// Keeps the noise of a step apart from other random choices of the seed.
const NOISE: u64 = 0x6a09_e667_f3bc_c908;

/// A fitted UniAD.
pub struct Uniad {
    /// With the window that was taken.
    config: UniadConfig,
    /// One size a map of the backbone: its channels, on the grid of the tokens.
    trained: MapNetwork<Network>,
    mask: Tensor<2>,
}

/// Channels of all maps together.
fn channels_of(sizes: &[MapSize]) -> usize {
    sizes.iter().map(|size| size.channels).sum()
}

/// The grid that all maps are brought to.
fn grid_in(sizes: &[MapSize]) -> (usize, usize) {
    sizes.first().map_or((0, 0), |size| size.grid())
}

fn mask(grid: (usize, usize), window: usize, device: &Device) -> Tensor<2> {
    let cells = grid.0 * grid.1;
    Tensor::from_data(TensorData::new(hidden(grid, window), [cells, cells]), device)
}

/// How the network is trained on so many images.
fn plan(config: &UniadConfig, images: usize) -> Plan {
    let optimiser = Optimiser { decay: config.weight_decay, ..Optimiser::ADAM_W };
    let decay = Decay::Late { shares: [LATE, 1.0], factor: 0.1 };
    let schedule = Schedule { rate: config.rate, warm_up: 0, decay };
    Plan { clip: Some(config.clip), ..Plan::new(config.steps_of(images), optimiser, schedule) }
}

/// What step number `step` learns from: tokens of some images, clean and noisy.
fn lesson(config: &UniadConfig, features: &Kept, step: u64, seed: u64, device: &Device) -> Lesson {
    let images = batch_of(step, features.len(), config.batch, seed);
    let size = features.sizes()[0];
    let clean = by_token(&features.values(0, &images), size.channels, size.cells());
    let mut random = ChaCha8Rng::seed_from_u64(seed_of(seed ^ NOISE, step));
    let drop_seed = random.random::<u64>();
    let mut noisy = clean.clone();
    if config.jitter > 0.0 && random.random::<f64>() < config.jitter_share {
        // A source for each image, so that they can be made in parallel.
        let seeds: Vec<u64> = images.iter().map(|_| random.random()).collect();
        noisy.par_chunks_mut(size.values()).zip(seeds).for_each(|(tokens, seed)| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            jitter(tokens, size.channels, config.jitter, || gaussian(&mut random));
        });
    }
    let tensor = |values: Vec<f32>| {
        Tensor::from_data(TensorData::new(values, [images.len(), size.cells(), size.channels]), device)
    };
    let dropout = (config.dropout > 0.0).then(|| Dropout::new(config.dropout, drop_seed));
    Lesson { clean: tensor(clean), noisy: tensor(noisy), dropout }
}

impl Uniad {
    fn score_maps(&self, batch: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let MapNetwork { sizes, network, .. } = &self.trained;
        check_channels(batch, sizes)?;
        let (grid, channels) = (grid_in(sizes), channels_of(sizes));
        let size = (batch.height, batch.width);
        if grid_of(size.0, size.1) != grid {
            let reason = format!(
                "images of {}x{} pixels have another grid than the {}x{} tokens that the model has learned queries for; resize images as for the fit",
                size.1, size.0, grid.1, grid.0
            );
            return Err(Error::Score { reason });
        }
        let cells = grid.0 * grid.1;
        let tokens = by_token(&neck(batch, grid), channels, cells);
        let shape = [batch.count, cells, channels];
        let tensor = Tensor::from_data(TensorData::new(tokens.clone(), shape), &device_of(network));
        let made = values_of(network.forward(tensor, &self.mask, None))?;
        let region = batch.region_of_interest.as_deref();
        let images = made.par_chunks(cells * channels).zip(tokens.par_chunks(cells * channels));
        let score = |(made, tokens): (&[f32], &[f32])| {
            let values = scoring::distances(made, tokens, channels);
            let image_score = Some(scoring::image_score(self.config.score, &values, grid, size, region));
            PatchScores { height: grid.0, width: grid.1, values, image_score }
        };
        Ok(images.map(score).collect())
    }
}

impl Method for Uniad {
    type Config = UniadConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a transformer that reconstructs the features of many products at once, and cannot copy",
        advice: "where one model is to cover many products; for a single product patchcore is better and needs no training. Trains for minutes (a day as \
                 published)",
        citation: "You et al., A Unified Model for Multi-class Anomaly Detection, NeurIPS 2022, arXiv 2206.03687",
        family: Family::Reconstruction,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(UniadConfig::of(preset))
    }

    const EXPORT: Export<Self> = Export::Missing("its transformer has no graph yet");

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[2, 4, 8, 16]).training_long()
    }

    fn default_transform(_: &Self::Config) -> Transform {
        Transform::resize_to(SIDE, SIDE)
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        config.check()?;
        let mut sizes = Vec::new();
        let features = Kept::collect(NAME, train, Pass::MAPS, context, "extracting features", |input| {
            let batch = input.maps()?;
            let (height, width) = grid_of(batch.height, batch.width);
            let size_of = |channels| MapSize { channels, height, width };
            sizes = batch.maps.iter().map(|map| size_of(map.channels)).collect();
            let values = neck(batch, (height, width));
            Ok(vec![Planes { size: size_of(channels_of(&sizes)), values: Cow::Owned(values) }])
        })?;
        let (grid, channels) = (grid_in(&sizes), channels_of(&sizes));
        let Some(window) = fitting_window(config.window, grid) else {
            let reason = format!(
                "the images have {}x{} tokens of 16 pixels, of which none may see another; use images of at least 32 pixels",
                grid.1, grid.0
            );
            return Err(Error::Fit { method: NAME, reason });
        };
        if window != config.window {
            context.observer.warn(&format!(
                "a window of {} tokens hides all {}x{} of an image; it is {window} instead",
                config.window, grid.1, grid.0
            ));
        }
        let config = UniadConfig { window, ..config.clone() };
        let other = UniadConfig::of(config.preset.other());
        let work = |config: &UniadConfig| {
            cost(config, channels, grid.0 * grid.1).0
                * (config.steps_of(features.len()) as f64)
                * config.batch.min(features.len()) as f64
        };
        let trainer = Trainer::new(NAME, &config, features.digest(), 1, context)?
            .beside(config.preset.other(), work(&other) / work(&config));
        let device = trainer.device();
        let network = Network::new(&config, channels, grid, &mut Init::new(context.seed, &device));
        let hidden = mask(grid, window, &device);
        let kept = cost(&config, channels, grid.0 * grid.1).1 * config.batch.min(features.len()) as f64;
        let trained = trainer.run(
            NAME,
            network,
            plan(&config, features.len()),
            kept as usize,
            |step| Ok(lesson(&config, &features, step, context.seed, &device)),
            |network: &Network, lesson| network.loss(lesson, &hidden),
        )?;
        let trained = MapNetwork { sizes, network: trained.network.valid(), curve: trained.curve };
        let mask = mask(grid, window, &device_of(&trained.network));
        Ok(Self { config, trained, mask })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_maps(input.maps()?)
    }

    fn map_stage(&self) -> MapStage {
        MapStage { interpolation: Interpolation::BilinearAligned, sigma: 0.0, border: BlurBorder::Mirror }
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
        config.check()?;
        let sizes = load_sizes(&state)?;
        let grid = grid_in(&sizes);
        if sizes.iter().any(|size| size.grid() != grid)
            || fitting_window(config.window, grid) != Some(config.window)
        {
            let reason =
                "does not hold one grid of tokens for all maps that the window leaves some of".into();
            return Err(StateError { name: "sizes".into(), reason }.into());
        }
        let blank = |sizes: &[MapSize], init: &mut Init| {
            Network::new(&config, channels_of(sizes), grid_in(sizes), init)
        };
        let trained = MapNetwork::restore(&state, device, blank)?;
        let mask = mask(grid, config.window, &device_of(&trained.network));
        Ok(Self { config, trained, mask })
    }
}
