//! DDAD: a diffusion model draws the image anew from its own noise, pulled towards it; what stays different is anomalous.
//!
//! Mousakhan, Brox, Tayyub, "Anomaly detection with conditioned denoising diffusion models", arXiv 2305.15956. A network learns to tell the
//! noise in noisy good images. An image is made noisy and freed of noise step by step, which leads to a good image; a pull towards the
//! image itself keeps what may differ from one good image to the next. Image and reconstruction are compared in pixels and in features of
//! a backbone that has learned from such reconstructions.
//!
//! ```text
//! x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e          a_t from 0.9999 (t = 0) to 0.00004 (t = 999)
//! loss = mean over images of sum (e - U(x_t, t))^2
//!
//! x = sqrt(a_250) y + sqrt(1 - a_250) z          y the image in [-1, 1]; then for t = 225, 200, .. 0, next = t - 25:
//! e' = e - w sqrt(1 - a_t) (sqrt(a_t) y + sqrt(1 - a_t) e - x),  e = U(x, t)
//! x <- sqrt(a_next) (x - sqrt(1 - a_t) e') / sqrt(a_t) + c1 z + c2 e'
//!
//! extractor: sum over layers of 1 - cos(phi(x), phi(y)) + l (1 - cos(phi(y), psi(y))) + l (1 - cos(phi(x), psi(x)))
//! map = blur(D_f + v r D_p)
//! D_p = mean over channels of |x - y|;  D_f = sum over two layers of 1 - cos of features, averaged over 3 x 3
//! r = mean of max D_f / mean of max D_p on good images;  score = maximum of the map
//! ```
//! The pull is a blend: x_0 moves to the image by w (1 - a_t), which is much early and next to nothing at the end. It decides what a
//! reconstruction keeps: with none, good detail is lost; with much, defects stay. `w=auto` tries 0 to 11 on good images that were held out of
//! the training (a tenth, at most 16) and on defects made up on them, and takes the best mean of the AUROC of images and of pixels;
//! `skip=auto` tries ten and five steps as well. No test image is looked at. A number given counts instead.
//! `blemish fit --pictures DIR` draws what became of some of these images.
//!
//! The flow of a fit: `unet` (the network), `diffusion` (steps, noise, the way back), `extractor` (its adaptation), `choice` (w and steps),
//! `compare` (D_p, D_f, map), `scoring`. `variant=small` with `preset=paper` is the smaller network of the paper, DDAD-S.
//!
//! `preset=cpu` takes about a quarter of an hour on a core for a hundred images. On the cloth of `data synth` it reaches an image AUROC of 97.8, a
//! pixel AUROC of 98.8 and an AUPRO of 94.4 (last step, one seed; PatchCore 100.0, 99.5, 98.3) and scores six images a second. Nothing of it was
//! tuned: its steps, its average of weights and the values of w that it tries are first choices. As published, it takes days on a GPU.
//!
//! # Deviations
//! - r is a constant of good images. The published code takes the ratio of the largest values in the batch of images that are scored together,
//!   so that a score depends on its neighbours; our tests compare with it.
//! - Every scored image meets the same noise, of the model's seed: a score is a function of the image alone.
//! - w is chosen without test images; the published ones (0 to 11 for each product), and the epochs of both trainings, were chosen with
//!   test results in view. Both trainings end with their last step.
//! - The extractor's batch normalisations are folded into its convolutions, whose weights and biases are trained: as if in inference mode,
//!   while the published training lets their moments follow batches of eight.
//! - Weight decay is that of images of 256 x 256 and shrinks with the image, as the sum in the loss does.
//! - `preset=cpu`: a small network on images of 128 pixels, five steps, weights averaged over the training, two epochs of adaptation.
//! - The last incomplete batch of an epoch is dropped, as published, but a set smaller than a batch is one.

mod choice;
mod compare;
mod config;
mod diffusion;
mod extractor;
mod fit;
#[cfg(test)]
mod golden;
mod scoring;
#[cfg(test)]
pub(crate) mod tests;
mod unet;

pub use config::{Automatic, DdadConfig, Guidance, Skip, Variant};

use crate::shared::network_state;
use crate::shared::tensors::{finite, scoring_device};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::{Needs, Reads};
use blemish_core::preset::Preset;
use blemish_core::state::{State, StateError};
use blemish_data::Transform;
use blemish_nn::init::Init;
use blemish_nn::train::Curve;
use config::NAME;
use diffusion::{Path, Way};
use extractor::Extractor;
use scoring::{Painter, for_each};
use unet::UNet;

/// What the loss of the extractor did.
type Adaptation = Curve;

/// A fitted DDAD.
pub struct Ddad {
    /// With the way that was chosen.
    config: DdadConfig,
    network: UNet,
    curve: Curve,
    extractor: Extractor,
    /// Of an adapted extractor.
    adaptation: Option<Adaptation>,
    painter: Painter,
    /// What differences of pixels are multiplied with.
    ratio: f32,
    /// Of the noise that images meet.
    seed: u64,
    /// Height and width.
    size: (usize, usize),
}

impl Ddad {
    /// The reconstruction of an image of 3 x H x W values in [0, 1], in that range but for a little.
    ///
    /// # Errors
    /// [`Error::Score`] for an image of another size than those of the fit.
    pub fn reconstruct(&self, image: &[f32]) -> Result<Vec<f32>, Error> {
        if image.len() != 3 * self.size.0 * self.size.1 {
            return Err(self.wrong_size("an image", image.len() / 3));
        }
        let painted = self.painter.paint(&self.network, &centred(image))?;
        Ok(painted.into_iter().map(|value| (value + 1.0) / 2.0).collect())
    }

    fn wrong_size(&self, what: &str, pixels: usize) -> Error {
        let (height, width) = self.size;
        Error::Score { reason: format!("{what} of {pixels} pixels, and the model is for {width}x{height}") }
    }
}

/// From [0, 1] to [-1, 1].
fn centred(image: &[f32]) -> Vec<f32> {
    image.iter().map(|value| value * 2.0 - 1.0).collect()
}

/// The way of a fitted model.
fn way(config: &DdadConfig) -> Result<Way, Error> {
    match (config.w, config.skip) {
        (Guidance::Given(w), Skip::Given(skip)) => Ok(Way { start: config.start, skip, eta: config.eta, w }),
        _ => Err(Error::Setting {
            key: "w".into(),
            reason: "a fitted model has numbers for w and skip".into(),
            help: "fit the model again".into(),
        }),
    }
}

impl Method for Ddad {
    type Config = DdadConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a diffusion model draws the image anew from its noise, pulled towards it; differences in pixels and adapted features",
        advice: "for parity with research; trains for hours on a GPU as published and is slow to score; patchcore is the better first try",
        citation: "Mousakhan, Brox, Tayyub, Anomaly detection with conditioned denoising diffusion models, arXiv 2305.15956",
        family: Family::Reconstruction,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(DdadConfig::of(preset))
    }

    const EXPORT: Export<Self> = Export::Missing(
        "it draws each image anew over many steps, which would be one network many times over",
    );

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[4, 8, 16]).reading(Reads::Images).training_long().opening_backbone()
    }

    fn default_transform(config: &Self::Config) -> Transform {
        Transform::resize_to(config.side, config.side)
    }

    fn fit(config: &Self::Config, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        fit::fit(config, good, context)
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let size @ (height, width) = (batch.height, batch.width);
        if size != self.size {
            return Err(self.wrong_size(&format!("images of {width}x{height}"), height * width));
        }
        let inside = input.region().map(|mask| mask.marked.as_slice());
        let factor = self.config.v as f32 * self.ratio;
        let images: Vec<&[f32]> = batch.pixels.chunks_exact(3 * height * width).collect();
        for_each(&images, size, |image| {
            let found = self.painter.differences(&self.network, &self.extractor, &centred(image))?;
            let map = found.combined(factor);
            let values = compare::finished(map, size, self.config.sigma, self.config.crop, inside);
            Ok(PatchScores { height, width, values, image_score: None })
        })
    }

    fn map_stage(&self) -> MapStage {
        // What is around the central part must not be blurred in, so maps are blurred before.
        MapStage::bilinear(0.0)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        network_state::store(&self.network, "unet.", &self.curve, &mut state);
        if let Some(curve) = &self.adaptation {
            self.extractor.store(&mut state);
            network_state::store_curve("extractor.", curve, &mut state);
        }
        state.set_f32("ratio", &[1], vec![self.ratio]);
        state.set_count("seed", self.seed);
        state.set_u32("size", &[2], vec![self.size.0 as u32, self.size.1 as u32]);
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let backbone = stored.require_backbone(NAME)?;
        let Stored { config, state, device, .. } = stored;
        fit::check(&config)?;
        let size = match state.u32("size", 1)?.1[..] {
            [height, width] if height > 0 && width > 0 => (height as usize, width as usize),
            _ => {
                return Err(
                    StateError { name: "size".into(), reason: "is not a height and a width".into() }.into()
                );
            }
        };
        fit::check_size(size, &config).map_err(|reason| StateError { name: "size".into(), reason })?;
        let device = scoring_device(device)?;
        let blank = UNet::new(&fit::shape(&config, size), &mut Init::blank(&device));
        let (network, curve) = network_state::load(blank, "unet.", &state)?;
        let (extractor, adaptation) = match config.adapt_epochs {
            0 => (Extractor::plain(backbone), None),
            _ => {
                let curve = network_state::load_curve("extractor.", &state)?;
                (Extractor::restore(&backbone, &state)?, Some(curve))
            }
        };
        let ratio = finite("ratio", 1, &state)?[0];
        let seed = state.count("seed")?;
        let painter = Painter::new(Path::new(way(&config)?, &network), seed, size, &network);
        Ok(Self { config, network, curve, extractor, adaptation, painter, ratio, seed, size })
    }
}
