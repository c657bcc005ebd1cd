//! GANomaly: an image goes through an encoder, a decoder and a second encoder; what the second code differs by from the first is the score.
//!
//! Akcay, Atapour-Abarghouei and Breckon, "GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training", arXiv 1805.06725. The
//! generator of a GAN learns good images alone, with a discriminator that tells its reconstructions from real images:
//!
//! ```text
//! x_hat = Dec(E1(x)), z = E1(x), z_hat = E2(x_hat)
//! L_G = 1 mean (f(x) - f(x_hat))^2 + 50 mean |x - x_hat| + 1 mean (z - z_hat)^2        f: the discriminator's last map
//! L_D = (BCE(D(x), 1) + BCE(D(x_hat), 0)) / 2
//! A   = mean (z - z_hat)^2                                                             the image's score
//! ```
//!
//! Both are updated in each step, D by what it said before G's update; where L_D falls below 1e-5, D starts anew. The map is the mean
//! absolute difference between image and reconstruction over the colours. Images are squares of a power of two, 128 by default.
//!
//! | file | what |
//! |---|---|
//! | `config.rs` | settings, the two presets |
//! | `network.rs` | generator, discriminator, losses |
//! | `training.rs` | the turns of both |
//! | `shared/dcgan.rs` | the encoder and the decoder |
//!
//! # Deviations
//! - **No score depends on other images.** The released code scores with batch normalisation by the batch of test images, in which good ones
//!   come first: its published figures contain that. Here the stored moments count.
//! - The last weights are kept; the release keeps those with the best figures on its test images.
//! - Scores are raw; the release rescales them by the extremes of the test set.
//! - `score=combined`, the default of `preset=cpu`, and the map are ours; the paper has the score of the codes alone, which small defects
//!   hardly move.
//! - `sspcab=true` (Ristea et al., arXiv 2111.09099): the block keeps size and channels, so it takes the place of the last of the extra 3x3
//!   layers, and stands after the last hidden transposed convolution where there are none.
//! - D's moments are never used, so a new start makes them anew as well.
//! - `variant=anomalib` has what anomalib 2.7.0 does otherwise; it normalises colours so that its tanh cannot reach them all.

mod config;
mod export;
mod network;
#[cfg(test)]
pub(crate) mod tests;
mod training;

pub use config::{GanomalyConfig, ImageScore, Variant};

use crate::shared::dcgan::{check_side, side_of};
use crate::shared::kept::{Kept, Planes};
use crate::shared::map_size::{MapSize, load_sizes, store_sizes};
use crate::shared::network_state;
use crate::shared::tensors::{device_of, finite, scoring_device, values_of};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::{Mask, Transform};
use blemish_nn::init::Init;
use blemish_nn::layers::Phase;
use blemish_nn::train::Curve;
use blemish_nn::{Device, Tensor, TensorData};
use network::{Generator, scaled};
use training::{HOPELESS, train};

const NAME: &str = "ganomaly";

/// One of so many good images is kept from training for a combined score.
const HELD_OUT: usize = 10;

/// Mean and deviation of a score over good images.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usual {
    mean: f32,
    deviation: f32,
}

/// What is found out of one image.
struct Found {
    /// Mean |x - x_hat| over the colours, S x S.
    map: Vec<f32>,
    /// Mean (z - z_hat)^2 and mean |z - z_hat|.
    code: [f32; 2],
}

/// A fitted GANomaly.
pub struct Ganomaly {
    config: GanomalyConfig,
    side: usize,
    generator: Generator,
    /// Of generator and discriminator.
    curves: [Curve; 2],
    /// Of the code's score and of the map's maximum.
    usual: [Usual; 2],
}

impl Usual {
    /// A deviation of less than a twentieth of the mean is an accident of few images.
    fn of(values: &[f32]) -> Self {
        let count = values.len().max(1) as f32;
        let mean = values.iter().sum::<f32>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
        Self { mean, deviation: variance.sqrt().max(0.05 * mean.abs()).max(f32::MIN_POSITIVE) }
    }

    fn distance(self, value: f32) -> f32 {
        (value - self.mean) / self.deviation
    }
}

/// Images that are trained on, and images for the usual scores: all for both where there are few.
fn shares(config: &GanomalyConfig, count: usize) -> (Vec<usize>, Vec<usize>) {
    let is_held_out = |image: &usize| image % HELD_OUT == HELD_OUT - 1;
    if config.score != ImageScore::Combined || count < HELD_OUT {
        return ((0..count).collect(), (0..count).collect());
    }
    (0..count).partition(|image| !is_held_out(image))
}

/// Mean (z - z_hat)^2 and mean |z - z_hat| of each image; both codes are batch x latent x 1 x 1.
fn code_scores(code: Tensor<4>, second: Tensor<4>) -> Result<Vec<[f32; 2]>, Error> {
    let [batch, latent, _, _] = code.dims();
    let difference = (code - second).abs().reshape([batch, latent]);
    let squares = values_of((difference.clone() * difference.clone()).mean_dim(1))?;
    let absolutes = values_of(difference.mean_dim(1))?;
    Ok(squares.into_iter().zip(absolutes).map(|(square, absolute)| [square, absolute]).collect())
}

impl Ganomaly {
    /// Code and map of images of 3 x S x S values from 0 to 1, one after the other.
    fn find(&self, pixels: Vec<f32>) -> Result<Vec<Found>, Error> {
        let (side, device) = (self.side, device_of(&self.generator));
        let count = pixels.len() / (3 * side * side);
        let x = Tensor::from_data(TensorData::new(pixels, [count, 3, side, side]), &device);
        let x = scaled(&self.config, x);
        let made = self.generator.forward(x.clone(), Phase::Scoring);
        let maps = values_of((x - made.image).abs().mean_dim(1))?;
        let codes = code_scores(made.code, made.second_code)?;
        let maps = maps.chunks_exact(side * side);
        Ok(maps.zip(codes).map(|(map, code)| Found { map: map.to_vec(), code }).collect())
    }

    /// The largest value of the finished map.
    fn hottest(&self, map: &[f32], region: Option<&Mask>) -> f32 {
        let patches =
            PatchScores { height: self.side, width: self.side, values: map.to_vec(), image_score: None };
        self.map_stage()
            .finish(patches, self.side, self.side, region.map(|mask| mask.marked.as_slice()))
            .score
    }

    /// What the code's score and the map's maximum usually are.
    fn usual_of(&self, kept: &Kept, images: &[usize]) -> Result<[Usual; 2], Error> {
        let (mut codes, mut maps) = (Vec::new(), Vec::new());
        for &image in images {
            for found in self.find(kept.values(0, &[image]))? {
                codes.push(found.code[0]);
                maps.push(self.hottest(&found.map, None));
            }
        }
        Ok([Usual::of(&codes), Usual::of(&maps)])
    }

    fn score_of(&self, found: Found, region: Option<&Mask>) -> PatchScores {
        let [square, absolute] = found.code;
        let image_score = match self.config.score {
            ImageScore::Code => Some(square),
            ImageScore::CodeAbsolute => Some(absolute),
            ImageScore::Map => None,
            ImageScore::Combined => {
                let [code, map] = self.usual;
                Some(code.distance(square) + map.distance(self.hottest(&found.map, region)))
            }
        };
        PatchScores { height: self.side, width: self.side, values: found.map, image_score }
    }
}

impl Method for Ganomaly {
    type Config = GanomalyConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a GAN that encodes, decodes and encodes again; distance between the two codes",
        advice: "a baseline for small images of one aligned object; unstable and weak on fine defects, where patchcore or draem are better",
        citation: "Akcay, Atapour-Abarghouei and Breckon, GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training, ACCV 2018, arXiv 1805.06725",
        family: Family::Reconstruction,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(GanomalyConfig::of(preset))
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
        let (learned, held_out) = shares(config, kept.len());
        let (generator, curves) = train(config, &kept, &learned, side, HOPELESS, context)?;
        let unknown = Usual { mean: 0.0, deviation: 1.0 };
        let mut fitted = Self { config: config.clone(), side, generator, curves, usual: [unknown; 2] };
        if config.score == ImageScore::Combined {
            fitted.usual = fitted.usual_of(&kept, &held_out)?;
        }
        Ok(fitted)
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let images = input.images()?;
        check_side(self.side, (images.height, images.width)).map_err(|reason| Error::Score { reason })?;
        // One by one on a CPU: products in blocks of a batch would round by its size.
        let together = if device_of(&self.generator) == Device::flex() { 1 } else { images.count.max(1) };
        let mut scores = Vec::with_capacity(images.count);
        for pixels in images.pixels.chunks(together * 3 * self.side * self.side) {
            let found = self.find(pixels.to_vec())?;
            scores.extend(found.into_iter().map(|found| self.score_of(found, input.region())));
        }
        Ok(scores)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(self.config.sigma)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        store_sizes(&[MapSize { channels: 3, height: self.side, width: self.side }], &mut state);
        let [generator, discriminator] = &self.curves;
        network_state::store(&self.generator, "generator.", generator, &mut state);
        network_state::store_curve("discriminator.", discriminator, &mut state);
        let usual: Vec<f32> = self.usual.iter().flat_map(|usual| [usual.mean, usual.deviation]).collect();
        state.set_f32("usual", &[4], usual);
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, device, .. } = stored;
        let size = load_sizes(&state)?[0];
        let side = side_of(size.grid()).map_err(|reason| Error::Score { reason })?;
        let blank = Generator::new(&config.plan(side), &mut Init::blank(&scoring_device(device)?));
        let (generator, curve) = network_state::load(blank, "generator.", &state)?;
        let other = network_state::load_curve("discriminator.", &state)?;
        let usual = finite("usual", 4, &state)?;
        let usual = [0, 2].map(|at| Usual { mean: usual[at], deviation: usual[at + 1] });
        Ok(Self { config, side, generator, curves: [curve, other], usual })
    }
}
