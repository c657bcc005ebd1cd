//! f-AnoGAN: a GAN learns to make good images, an encoder to find the code of an image; what the made image lacks is the score.
//!
//! Schlegl, Seebock, Waldstein, Langs and Schmidt-Erfurth, "f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial
//! networks", Medical Image Analysis 54 (2019). Two stages, in the second of which generator G and critic D stay as they are:
//!
//! ```text
//! L_D = mean D(G(z)) - mean D(x) + 10 mean (|grad D(u)| - 1)^2     u = x + e (G(z) - x), e one number for each image
//! L_G = -mean D(G(z))                                              z standard normal; five updates of D for each of G
//! L_E = mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2    f: the critic's last map
//! A   = the same of one image                                      the image's score
//! ```
//!
//! The map is the mean absolute difference between image and reconstruction over the colours. The gradient penalty contains a gradient,
//! which is written out as an expression (`critic.rs`), so that ordinary differentiation gives its exact derivatives.
//!
//! | file | what |
//! |---|---|
//! | `config.rs` | settings, the two presets |
//! | `network.rs` | the three networks and their losses |
//! | `residual.rs` | the published networks; the smaller ones are GANomaly's (`shared/dcgan.rs`) |
//! | `critic.rs` | the critic's gradient and the penalty |
//! | `training.rs` | both stages |
//!
//! # What it finds
//!
//! `preset=cpu` on the look `metal` of `blemish data synth` (100 good images of 256 pixels, seed 11), last step, seed 0: pixel AUROC 84.6
//! percent (pits 99.4, stains 96.4, dents 77.8, scratches 58.0), AUPRO 47.1, but image AUROC 56.0. The map lights pits and stains, and
//! faintly every soft change of light, which the generator has not learned after 600 updates (the encoder's loss stood at 0.011 for the last
//! third of its 1,500); the paper's score of an image is a mean over all of it, in which a small defect is lost.
//!
//! # Deviations
//! - Images have three colours; those of the paper are grey.
//! - Images that the generator makes for an update of the critic do not move the generator's stored moments; its own updates do.
//! - Layer normalisation in the critic has a scale and a shift for each channel, as in the released code, not for each value.
//! - `preset=cpu` takes DCGAN's networks and fewer, larger updates.
//! - AnoGAN's search for a code by gradient descent for every image (500 steps) is left out: the encoder is what replaced it.

mod config;
mod critic;
mod export;
mod network;
mod residual;
#[cfg(test)]
pub(crate) mod tests;
mod training;

pub use config::{Architecture, EncoderEnd, FanoganConfig, ImageScore, Objective};

use crate::shared::dcgan::{check_side, side_of};
use crate::shared::kept::{Kept, Planes};
use crate::shared::map_size::{MapSize, load_sizes, store_sizes};
use crate::shared::network_state;
use crate::shared::tensors::{device_of, scoring_device, values_of};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_nn::init::Init;
use blemish_nn::layers::Phase;
use blemish_nn::train::Curve;
use blemish_nn::{Device, Module, Tensor, TensorData};
use network::{Generator, Networks, Reader};

const NAME: &str = "fanogan";

/// A fitted f-AnoGAN.
pub struct Fanogan {
    config: FanoganConfig,
    side: usize,
    networks: Networks,
    /// Of generator, critic and encoder.
    curves: [Curve; 3],
}

/// Colours from 0 to 1 to values from -1 to 1.
fn scaled(x: Tensor<4>) -> Tensor<4> {
    x * 2.0 - 1.0
}

/// Mean squared difference of each image, batch x anything.
fn distances(x: Tensor<4>, y: Tensor<4>) -> Result<Vec<f32>, Error> {
    let [batch, channels, height, width] = x.dims();
    let difference = (x - y).reshape([batch, channels * height * width]);
    values_of((difference.clone() * difference).mean_dim(1))
}

impl Fanogan {
    /// Scores of images of 3 x S x S values from 0 to 1, one after the other.
    fn score_pixels(&self, pixels: Vec<f32>) -> Result<Vec<PatchScores>, Error> {
        let Self { config, side, networks, .. } = self;
        let (side, device) = (*side, device_of(networks));
        let count = pixels.len() / (3 * side * side);
        let x = Tensor::from_data(TensorData::new(pixels, [count, 3, side, side]), &device);
        let x = scaled(x);
        let encode = |x: &Tensor<4>| networks.encoder.forward(config.encoder_end, x.clone(), Phase::Scoring);
        let code = encode(&x);
        let made = networks.generator.forward(code.clone(), Phase::Scoring);
        let maps = values_of((x.clone() - made.clone()).abs().mean_dim(1))?;
        let scores: Vec<f32> = match config.score {
            ImageScore::Code => distances(code, encode(&made))?,
            ImageScore::Residual => {
                let [of_images, of_made] =
                    [&x, &made].map(|x| networks.critic.features(x.clone(), Phase::Scoring));
                let of_features = distances(of_images, of_made)?;
                let of_pixels = distances(x, made)?.into_iter();
                of_pixels.zip(of_features).map(|(a, b)| a + config.kappa as f32 * b).collect()
            }
        };
        let patches = maps.chunks_exact(side * side).zip(scores);
        Ok(patches
            .map(|(map, score)| PatchScores {
                height: side,
                width: side,
                values: map.to_vec(),
                image_score: Some(score),
            })
            .collect())
    }
}

impl Method for Fanogan {
    type Config = FanoganConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a GAN of good images and an encoder into it; what the made image lacks, in pixels and in the critic's features",
        advice: "a baseline where a generator of good images is wanted anyway; small images of one aligned object, hours of training at its published size",
        citation: "Schlegl et al., f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial networks, Medical Image Analysis 54, 2019",
        family: Family::Reconstruction,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(FanoganConfig::of(preset))
    }

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_images().training_long()
    }

    fn default_transform(config: &Self::Config) -> Transform {
        Transform::resize_to(config.side(), config.side())
    }

    fn fit(config: &Self::Config, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let kept = Kept::collect(NAME, good, Pass::IMAGES, context, "reading images", |input| {
            Ok(vec![Planes::of_images(input.images()?)])
        })?;
        let side = side_of(kept.sizes()[0].grid()).map_err(|reason| Error::Fit { method: NAME, reason })?;
        let training::Fitted { networks, curves } = training::train(config, &kept, side, context)?;
        Ok(Self { config: config.clone(), side, networks: networks.valid(), curves })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let images = input.images()?;
        check_side(self.side, (images.height, images.width)).map_err(|reason| Error::Score { reason })?;
        // One by one on a CPU: products in blocks of a batch would round by its size.
        let together = if device_of(&self.networks) == Device::flex() { 1 } else { images.count.max(1) };
        let mut scores = Vec::with_capacity(images.count);
        for pixels in images.pixels.chunks(together * 3 * self.side * self.side) {
            scores.extend(self.score_pixels(pixels.to_vec())?);
        }
        Ok(scores)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(self.config.sigma)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        store_sizes(&[MapSize { channels: 3, height: self.side, width: self.side }], &mut state);
        let Networks { generator, critic, encoder } = &self.networks;
        let [of_generator, of_critic, of_encoder] = &self.curves;
        network_state::store(generator, "generator.", of_generator, &mut state);
        network_state::store(critic, "critic.", of_critic, &mut state);
        network_state::store(encoder, "encoder.", of_encoder, &mut state);
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, device, .. } = stored;
        let side = side_of(load_sizes(&state)?[0].grid()).map_err(|reason| Error::Score { reason })?;
        let init = &mut Init::blank(&scoring_device(device)?);
        let blank = (
            Generator::new(&config, side, init),
            network::critic(&config, side, init),
            Reader::new(&config, side, init),
        );
        let (generator, of_generator) = network_state::load(blank.0, "generator.", &state)?;
        let (critic, of_critic) = network_state::load(blank.1, "critic.", &state)?;
        let (encoder, of_encoder) = network_state::load(blank.2, "encoder.", &state)?;
        let networks = Networks { generator, critic, encoder };
        Ok(Self { config, side, networks, curves: [of_generator, of_critic, of_encoder] })
    }
}
