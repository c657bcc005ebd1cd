//! MSPBA: patch embeddings of three sizes learned from good images, scored by the distance to the nearest good patch.
//!
//! Tsai, Wu, Lai, "Multi-Scale Patch-Based Representation Learning for Image Anomaly Detection and Segmentation", WACV 2022, in the
//! family of Patch SVDD (arXiv 2006.16067). Details follow the released code, of which MSPBA is the name of a mirror.
//!
//! ```text
//! x = (image - mean image) / deviation -> shared backbone, trained further -> heads of patches of 64, 32, 16 -> embeddings in (-1, 1)^D
//! loss, for each size: which of 12 directions a neighbour lies in                     (cross-entropy of a classifier of h1 - h2)
//!                    + lambda [ |h1 - h2| - cos(h1, h2) + cos(h1, h3) ]               (h2 near, h3 far)
//!                    + cluster weight * squared distance to the nearest of 50 centres (none in the released code's effect)
//! bank of each size: embeddings of good patches;  patch score: distance to the nearest entry
//! map of each size: mean over the patches that cover a pixel
//! map: sum of each over its mean on held-out good images;  image score: its maximum
//! ```
//!
//! Published is one pass of the backbone for every patch ([`Passes::Exact`]), which is for GPUs: 0.9 TMAC an image with VGG-16. The
//! default is one dense pass an image with heads at every cell, in training, bank and scoring alike. It differs where padding would
//! have been at a patch's border, and in training: patches lie on the layer's grid (on images cut by random offsets), a near patch is
//! one cell away at least, and noise is the image's, on the patches of all losses. Both passes look at every pixel.
//!
//! The released code only centres pixels ([`Input::Centred`]) and takes a plain sum ([`Combination::Sum`]). It lists the shared backbone
//! three times in its optimiser, at a rate that is therefore unclear; here it learns at the rate of all else. The last epoch counts; none
//! is chosen on test data.

mod config;
mod losses;
mod maps;
mod network;
mod sampling;
#[cfg(test)]
pub(crate) mod tests;
mod training;

pub use config::{Combination, Input, MspbaConfig, Passes};

use crate::shared::bank::{Bank, BankOptions, FirstPick, Projected, Search};
use crate::shared::network_state;
use crate::shared::tensors::{device_of, finite, scoring_device, values_of};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::{Needs, Reads};
use blemish_core::preset::Preset;
use blemish_core::state::{State, StateError};
use blemish_nn::init::Init;
use blemish_nn::train::Curve;
use blemish_nn::{Module, Tensor, TensorData};
use config::{NAME, SIZES};
use maps::{PatchGrid, combined};
use network::Network;
use training::{Centring, Images, as_rows, checked_strides, cut, factors, patch_stride, train};

/// Cut patches that are encoded at once: bounds memory.
const AT_ONCE: usize = 128;

/// What turns images into embeddings.
struct Embedder {
    config: MspbaConfig,
    network: Network,
    /// Stride of the layer of each patch size.
    layers: [usize; 3],
    centring: Centring,
    /// Height and width.
    size: (usize, usize),
}

impl Embedder {
    fn grid(&self, part: usize) -> PatchGrid {
        let strides = [self.config.stride_64, self.config.stride_32, self.config.stride_16];
        let stride = patch_stride(&self.config, strides[part], self.layers[part]);
        PatchGrid { patch: SIZES[part], stride, size: self.size }
    }

    /// Embeddings of an image's patches of one size (the image as it enters the encoders), row by row of the grid.
    fn embed(&self, part: usize, image: &[f32]) -> Result<Vec<f32>, Error> {
        match self.config.passes {
            Passes::Dense => self.dense(part, image),
            Passes::Exact => self.exact(part, image),
        }
    }

    fn dense(&self, part: usize, image: &[f32]) -> Result<Vec<f32>, Error> {
        let (grid, (height, width)) = (self.grid(part), self.size);
        let data = TensorData::new(image.to_vec(), [1, 3, height, width]);
        let map = self.network.embed(part, Tensor::from_data(data, &device_of(&self.network)));
        let columns = map.dims()[3];
        let all = values_of(as_rows(map))?;
        let step = grid.stride / self.layers[part];
        let (dimension, cells) = (self.config.dimension, grid.cells());
        let places = (0..cells.0).flat_map(|y| (0..cells.1).map(move |x| y * step * columns + x * step));
        Ok(places.flat_map(|place| all[place * dimension..][..dimension].iter().copied()).collect())
    }

    fn exact(&self, part: usize, image: &[f32]) -> Result<Vec<f32>, Error> {
        let grid = self.grid(part);
        let ((rows, columns), side) = (grid.cells(), grid.patch);
        let mut embeddings = Vec::with_capacity(rows * columns * self.config.dimension);
        let cells: Vec<usize> = (0..rows * columns).collect();
        for chunk in cells.chunks(AT_ONCE) {
            let patch = |&cell: &usize| {
                let corner = (cell / columns * grid.stride, cell % columns * grid.stride);
                cut(image, self.size, corner, (side, side))
            };
            let pixels: Vec<f32> = chunk.iter().flat_map(patch).collect();
            let data = TensorData::new(pixels, [chunk.len(), 3, side, side]);
            let map = self.network.embed(part, Tensor::from_data(data, &device_of(&self.network)));
            embeddings.extend(values_of(as_rows(map))?);
        }
        Ok(embeddings)
    }

    /// Adds the embeddings of training images to a bank of one patch size.
    fn bank(
        &self,
        part: usize,
        images: &Images,
        chosen: &[usize],
        context: &FitContext<'_>,
    ) -> Result<Bank, Error> {
        let options = BankOptions {
            method: NAME,
            ratio: self.config.coreset_ratio,
            min: 1,
            max: self.config.coreset_max,
            shards: 1,
            is_updatable: false,
            projection: Projected::No,
            start: FirstPick::Random,
            search: Search::Exact,
        };
        let (rows, columns) = self.grid(part).cells();
        Bank::build(&options, context, |collector| {
            let stage = format!("embedding patches of {}", SIZES[part]);
            context.observer.stage(&stage, Some(chosen.len() as u64));
            for &image in chosen {
                context.check_cancelled()?;
                let embeddings = self.embed(part, &images.centred(image))?;
                collector.push(&embeddings, self.config.dimension, chosen.len() * rows * columns)?;
                context.observer.advance(1);
            }
            Ok(())
        })
    }

    /// Patch scores of one size: means of the distances to the nearest entries.
    fn scores(&self, part: usize, bank: &Bank, image: &[f32]) -> Result<Vec<f32>, Error> {
        let found = bank.nearest(&self.embed(part, image)?, self.config.neighbours)?;
        let mean = |near: &[f32]| near.iter().sum::<f32>() / near.len() as f32;
        Ok(found.distances().chunks_exact(found.k.max(1)).map(mean).collect())
    }

    /// Mean patch score of each size on images that a bank of the others has not seen; there are two images at least.
    fn typical(&self, images: &Images, context: &FitContext<'_>) -> Result<Vec<f32>, Error> {
        let every_second = |from: usize| (from..images.len()).step_by(2).collect::<Vec<_>>();
        let (seen, held_out) = (every_second(0), every_second(1));
        let mean = |part: usize| {
            let bank = self.bank(part, images, &seen, context)?;
            let (mut sum, mut count) = (0.0, 0);
            for &image in &held_out {
                let scores = self.scores(part, &bank, &images.centred(image))?;
                sum += scores.iter().map(|&score| f64::from(score)).sum::<f64>();
                count += scores.len();
            }
            // Images all alike have no distances to compare.
            Ok(((sum / count.max(1) as f64) as f32).max(f32::MIN_POSITIVE.sqrt()))
        };
        (0..SIZES.len()).map(mean).collect()
    }
}

/// A fitted MSPBA.
pub struct Mspba {
    embedder: Embedder,
    curve: Curve,
    /// In the order of [`SIZES`].
    banks: Vec<Bank>,
    /// Mean patch score of each size on held-out good images; empty where nothing asks for it.
    typical: Vec<f32>,
}

impl Mspba {
    fn score_image(&self, image: &[f32]) -> Result<PatchScores, Error> {
        let image = self.embedder.centring.apply(image);
        let map = |(part, bank): (usize, &Bank)| {
            Ok(self.embedder.grid(part).spread(&self.embedder.scores(part, bank, &image)?))
        };
        let maps = self.banks.iter().enumerate().map(map).collect::<Result<Vec<_>, Error>>()?;
        let values = combined(self.embedder.config.combination, &maps, &self.typical);
        let (height, width) = self.embedder.size;
        Ok(PatchScores { height, width, values, image_score: None })
    }
}

impl Method for Mspba {
    type Config = MspbaConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "patch embeddings of three sizes, learned from where patches lie, and the distance to the nearest good one",
        advice: "where features should be learned on the images themselves; trains for minutes (dense passes) to days (as published); \
                 PatchCore is faster and better",
        citation: "Tsai et al., Multi-Scale Patch-Based Representation Learning for Image Anomaly Detection and Segmentation, WACV 2022",
        family: Family::Distance,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(Self::Config::of(preset))
    }

    const EXPORT: Export<Self> = Export::Missing("its three embeddings of every position have no graph yet");

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[4, 8, 16]).reading(Reads::Images).training_long().opening_backbone()
    }

    fn fit(
        config: &Self::Config,
        train_set: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        let backbone = context.require_backbone(NAME)?;
        let layers = checked_strides(config, &backbone)?;
        let images = Images::collect(train_set, factors(config, &backbone), context)?;
        // Known now rather than after the training.
        if config.combination == Combination::NormalisedSum && images.len() < 2 {
            return Err(Error::Setting {
                key: "combination".into(),
                reason: "normalised_sum holds every second image out, and there is only one".into(),
                help: "use sum, or more images".into(),
            });
        }
        let device = scoring_device(context.device)?.autodiff();
        let network = Network::new(config, &backbone, &mut Init::new(context.seed, &device))?;
        let (network, curve) = train(config, &images, &backbone, network, context)?;
        let embedder = Embedder {
            config: config.clone(),
            network: network.valid(),
            layers,
            centring: images.centring.clone(),
            size: images.size,
        };
        let all: Vec<usize> = (0..images.len()).collect();
        let bank = |part: usize| embedder.bank(part, &images, &all, context)?.on(context.device);
        let banks = (0..SIZES.len()).map(bank).collect::<Result<Vec<_>, _>>()?;
        let typical = match config.combination {
            Combination::NormalisedSum => embedder.typical(&images, context)?,
            Combination::Sum | Combination::Product => Vec::new(),
        };
        Ok(Self { embedder, curve, banks, typical })
    }

    fn score(&self, input: &input::Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let (height, width) = self.embedder.size;
        if (batch.height, batch.width) != (height, width) {
            let reason = format!(
                "images are {}x{}, the model is for {width}x{height}, the size of its mean image",
                batch.width, batch.height
            );
            return Err(Error::Score { reason });
        }
        (0..batch.count).map(|index| self.score_image(batch.image(index))).collect()
    }

    fn map_stage(&self) -> MapStage {
        MapStage { interpolation: Interpolation::Nearest, sigma: 0.0, border: BlurBorder::Repeat }
    }

    fn state(&self) -> State {
        let mut state = State::default();
        network_state::store(&self.embedder.network, "", &self.curve, &mut state);
        let (height, width) = self.embedder.size;
        state.set_f32("mean_image", &[3, height, width], self.embedder.centring.mean.clone());
        for (size, bank) in SIZES.into_iter().zip(&self.banks) {
            state.absorb(&format!("bank_{size}."), bank.state());
        }
        state.set_f32("typical", &[self.typical.len()], self.typical.clone());
        state
    }

    fn config(&self) -> &Self::Config {
        &self.embedder.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let backbone = stored.require_backbone(NAME)?;
        let Stored { config, mut state, device, .. } = stored;
        let layers = checked_strides(&config, &backbone)?;
        let mut banks = Vec::new();
        for size in SIZES {
            let prefix = format!("bank_{size}.");
            let bank = Bank::restore(NAME, &state.split_off_prefix(&prefix))?;
            bank.check_length(config.dimension)?;
            banks.push(bank.on(device)?);
        }
        let blank = Network::new(&config, &backbone, &mut Init::blank(&scoring_device(device)?))?;
        let (network, curve) = network_state::load(blank, "", &state)?;
        let (shape, mean) = state.f32("mean_image", 3)?;
        let wrong = |reason: &str| StateError { name: "mean_image".into(), reason: reason.into() };
        if shape[0] != 3 || training::check_size((shape[1], shape[2])).is_err() {
            return Err(wrong("is not an image of three channels of a size that the method takes").into());
        }
        if !mean.iter().all(|value| value.is_finite()) {
            return Err(wrong("holds values that are not finite").into());
        }
        let typical = match config.combination {
            Combination::NormalisedSum => finite("typical", SIZES.len(), &state)?,
            Combination::Sum | Combination::Product => Vec::new(),
        };
        let size = (shape[1], shape[2]);
        let centring = Centring { mean: mean.to_vec(), factors: factors(&config, &backbone) };
        let embedder = Embedder { config, network, layers, centring, size };
        Ok(Self { embedder, curve, banks, typical })
    }
}
