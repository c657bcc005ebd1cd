//! VAE: a variational auto-encoder learns to draw good images; what it draws otherwise is odd.
//!
//! Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv 1312.6114, which is about densities, not defects: there is no published
//! detector, so the design is ours. An encoder gives a Gaussian over a latent vector, a decoder an image; both learn on good images
//! alone. Defects are not in the model and are drawn as if they were not there, so image and drawing differ where they are. It needs no
//! backbone and is transparent: look at image and reconstruction side by side. Expect less than from methods on features: reconstructions
//! are blurred, and edges differ on good images as well.
//!
//! ```text
//! z = m(x) + exp(l(x) / 2) e,  e ~ N(0, I)                          latent, drawn in training, z = m(x) in scoring
//! KL = 1/2 sum_j (m_j^2 + exp(l_j) - l_j - 1)                       divergence from the prior, summed over the latent
//! R  = n/2 ln(mean (x - x^)^2 + 1e-6)                               calibrated Gaussian: the variance follows the difference
//! loss = mean over the batch of R + beta KL                         beta from 0 to 1 over the first tenth of the steps
//! A(i, j) = mean_c (x - x^)^2                                       or L1, SSIM, both, or a map by gradients: `map`
//! B(i, j) = (A(i, j) - m(i, j)) / (s(i, j) + median s)              m and s of A over the good images held out
//! ```
//!
//! The score is the largest value of the blurred B. A share of the training images, a tenth but at least five (at most a third of few
//! images), drawn by the seed, is held out of the training: these images give m and s and choose among 20 looks the weights that cost
//! least. With one or two images, or `held_out=0`, m and s come from the training images themselves.
//!
//! `network` has encoder and decoder, `loss` the costs, `training` the loop, `maps` the maps, `parts` what is larger than the network sees,
//! `normal` what is usual at every pixel.
//!
//! - **Textures**: `texture=true` reads images of twice the side, learns from random parts of them and scores by overlapping parts whose
//!   maps are averaged; `latent=spatial` keeps places, which helps there.
//! - **Maps by gradients**: `kl_gradient` (Zimmerer et al., arXiv 1907.02796), `kl_times_l1`, and `vae_grad` (Dehaene et al., arXiv
//!   2002.03734), which moves the image until it is reconstructed and takes a forward and a backward pass for each of its steps.
//! - **SSPCAB**: `sspcab=true` puts the masked block of Ristea et al. (arXiv 2111.09099) in the place of the decoder's last hidden
//!   convolution, with the normalisation and activation of that; a tenth of its loss is added. It keeps the size of maps, so they are doubled
//!   by repetition behind it.
//! - A warning tells when fewer than two latent values differ between images (variance of m above 0.01): the latent has collapsed, and all
//!   reconstructions are much the same.
//!
//! # What it finds
//!
//! `blemish data synth` with 100 good images of 256 pixels and seed 11, preset `cpu`, seed 0. AUROC and AUPRO in percent.
//!
//! | look | settings | image | pixel | AUPRO |
//! |---|---|---|---|---|
//! | fabric | `texture=true`, `latent=spatial` | 100.0 | 98.6 | 86.4 |
//! | metal | | 84.7 | 89.7 | 72.4 |
//! | print | | 84.6 | 94.6 | 82.3 |
//!
//! Maps of fabric light holes whole, stains and broken threads faintly, and leave good cloth dark. On metal (dents 96, pits 100,
//! stains 99) thin scratches are missed (44), as on prints (62): they are narrower than a pixel of the reduced image. On prints missing marks
//! and stains (95) stand out from edges, which good images have a little elsewhere each. The thousand steps of the preset take three minutes
//! of one core.
//!
//! # Deviations
//!
//! The specification leaves these open or says otherwise:
//!
//! - The cost is divided by n, the values of an image, so that one bound of the gradient (1) serves all sizes, and the loss of SSPCAB, a
//!   mean, is weighed against a mean.
//! - The energy of `vae_grad` has the plain sum of squares for R: that of a calibrated Gaussian would make its steps leave the image.
//! - `score=elbo` and `score=reconstruction` take the calibrated variance from the images held out, not from the image itself, so that they
//!   are a density.
//! - Weights are chosen by what images held out cost, which takes the place of ending early.
//! - The perceptual map needs a second network and is left out.

mod config;
mod export;
mod loss;
mod maps;
mod network;
mod normal;
mod parts;
mod scoring;
#[cfg(test)]
pub(crate) mod tests;
mod training;

pub use config::{Augment, Latent, Likelihood, Map, Normalisation, Score, VaeConfig};
pub use scoring::Components;

use crate::shared::kept::{Kept, Planes};
use crate::shared::network_state;
use crate::shared::tensors::{finite, scoring_device};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::{State, StateError};
use blemish_data::Transform;
use blemish_nn::Module;
use blemish_nn::init::Init;
use blemish_nn::train::Curve;
use loss::FLOOR;
use maps::{Eye, Standards};
use network::Network;
use normal::{Moments, Normal};
use training::{Held, Split, look, train};

const NAME: &str = "vae";

/// Variance over images above which a latent value says something.
const ACTIVE: f64 = 0.01;

/// Images whose latent values are compared, at most.
const COMPARED: usize = 256;

/// A fitted variational auto-encoder.
pub struct Vae {
    config: VaeConfig,
    /// Without gradients of its weights; on a device with gradients where the map takes those of images.
    network: Network,
    curve: Curve,
    /// Height and width of images.
    size: (usize, usize),
    /// What is usual at every pixel, where maps are normalised.
    normal: Option<Normal>,
    standards: Standards,
    /// Mean squared difference of good images and their reconstructions.
    variance: f64,
    /// Latent values that differ between images.
    active: usize,
}

/// Whether settings go together.
fn check_settings(config: &VaeConfig) -> Result<(), Error> {
    let wrong = |key: &str, reason: &str, help: &str| {
        Err(Error::Setting { key: key.into(), reason: reason.into(), help: help.into() })
    };
    if let Some((key, reason, help)) = network::misfit(config) {
        return wrong(key, reason, help);
    }
    if config.samples > 0 && config.map.has_gradients() {
        let help = "set samples=0, or map to l2, l1, ssim or mixed";
        return wrong("samples", "maps by gradients decode the latent's mean", help);
    }
    Ok(())
}

/// Why images of that size cannot be looked at.
fn misfit(config: &VaeConfig, (height, width): (usize, usize)) -> Option<String> {
    let side = config.size;
    if config.texture && height.min(width) < side {
        return Some(format!(
            "images of {width}x{height} are smaller than the parts of {side}x{side}; resize them to larger ones, or set a smaller size"
        ));
    }
    if !config.texture && (height, width) != (side, side) {
        return Some(format!(
            "the network sees images of {side}x{side}, and these have {width}x{height}; resize them to {side}x{side}, set another size, or \
             texture=true"
        ));
    }
    None
}

impl Vae {
    fn eye(&self) -> Eye<'_> {
        Eye { network: &self.network, config: &self.config, standards: self.standards }
    }

    /// Learns from good images what is usual: numbers for the mixed map, then mean and deviation at every pixel.
    fn learn_normal(
        &mut self,
        images: &Kept,
        numbers: &[usize],
        context: &FitContext<'_>,
    ) -> Result<(), Error> {
        if self.config.map == Map::Mixed {
            let of = |map| -> Result<(f32, f32), Error> {
                let mut moments = Moments::new(self.size.0 * self.size.1);
                for &number in numbers {
                    context.check_cancelled()?;
                    moments.push(&self.raw_map(map, images.row(0, number), self.size)?);
                }
                Ok(moments.overall())
            };
            self.standards = Standards { l1: of(Map::L1)?, ssim: of(Map::Ssim)? };
        }
        if self.config.normalise {
            context.observer.stage("measuring good images", Some(numbers.len() as u64));
            let mut moments = Moments::new(self.size.0 * self.size.1);
            for &number in numbers {
                context.check_cancelled()?;
                moments.push(&self.raw_map(self.config.map, images.row(0, number), self.size)?);
                context.observer.advance(1);
            }
            self.normal = Some(moments.finish(self.size));
        }
        Ok(())
    }

    /// Counts the latent values that differ between images, and warns if they hardly do.
    fn count_active(&mut self, means: &[f32], context: &FitContext<'_>) {
        let values = self.network.latent_values();
        let mut moments = Moments::new(values);
        means.chunks_exact(values).for_each(|means| moments.push(means));
        self.active = moments.variances().iter().filter(|&&variance| variance > ACTIVE).count();
        if means.len() >= 3 * values && self.active < 2.min(values) {
            context.observer.warn(&format!(
                "{} of {values} latent values differ between images, so all reconstructions are much the same; set a smaller beta, or more \
                 steps",
                self.active
            ));
        }
    }
}

impl Method for Vae {
    type Config = VaeConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a variational auto-encoder; how images differ from their reconstructions",
        advice: "the transparent baseline without any backbone, for aligned parts and plain textures; feature methods find more",
        citation: "Kingma and Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114",
        family: Family::Reconstruction,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(VaeConfig::of(preset))
    }

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_images().training_long()
    }

    fn default_transform(config: &Self::Config) -> Transform {
        let side = if config.texture { 2 * config.size } else { config.size };
        Transform::resize_to(side, side)
    }

    fn fit(
        config: &Self::Config,
        train_on: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        check_settings(config)?;
        let images = Kept::collect(NAME, train_on, Pass::IMAGES, context, "reading images", |input| {
            Ok(vec![Planes::of_images(input.images()?)])
        })?;
        let size = images.sizes()[0].grid();
        if let Some(reason) = misfit(config, size) {
            return Err(Error::Fit { method: NAME, reason });
        }
        let split = Split::new(images.len(), config.held_out, context.seed);
        let mut config = config.clone();
        let batch = if config.texture { config.batch } else { config.batch.min(split.learned.len()) };
        config.norm.get_or_insert(if batch < 16 { Normalisation::Group } else { Normalisation::Batch });
        let trained = train(&config, &images, &split, context)?;
        let (curve, network) = (trained.curve, trained.network);
        let everything: Vec<usize> = (0..images.len()).collect();
        // One image has no deviation.
        let measured = if split.held_out.len() < 2 { &everything } else { &split.held_out };
        if measured.len() == everything.len() && config.normalise {
            context.observer.warn(
                "what is usual at every pixel is measured on the training images themselves, whose differences are smaller than those of \
                 others: give more images, or hold a share out",
            );
        }
        let plain = network.valid();
        let Held { square, .. } = look(&config, &plain, &images, measured);
        let Held { means, .. } =
            look(&config, &plain, &images, &everything[..everything.len().min(COMPARED)]);
        let network = if config.map.has_gradients() { network.no_grad() } else { plain };
        let (normal, standards) = (None, Standards::default());
        let variance = square + FLOOR;
        let mut fitted = Self { config, network, curve, size, normal, standards, variance, active: 0 };
        fitted.count_active(&means, context);
        fitted.learn_normal(&images, measured, context)?;
        Ok(fitted)
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let size = (batch.height, batch.width);
        self.check_size(size)?;
        let inside = input.region().map(|mask| mask.marked.as_slice());
        // One image at a time, so that a score does not depend on the batch.
        (0..batch.count).map(|index| self.score_image(batch.image(index), size, inside)).collect()
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(self.config.blur())
    }

    fn state(&self) -> State {
        let mut state = State::default();
        network_state::store(&self.network, "", &self.curve, &mut state);
        state.set_u32("image_size", &[2], vec![self.size.0 as u32, self.size.1 as u32]);
        let Standards { l1, ssim } = self.standards;
        state.set_f32("standards", &[4], vec![l1.0, l1.1, ssim.0, ssim.1]);
        state.set_f32("variance", &[1], vec![self.variance as f32]);
        state.set_count("active_units", self.active as u64);
        if let Some(normal) = &self.normal {
            normal.store(&mut state);
        }
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, device, .. } = stored;
        check_settings(&config)?;
        let size = match state.u32("image_size", 1)?.1[..] {
            [height, width] => (height as usize, width as usize),
            _ => (0, 0),
        };
        if misfit(&config, size).is_some() || size.0.max(size.1) > 1 << 16 {
            let reason = "does not hold a size that these settings are for".into();
            return Err(StateError { name: "image_size".into(), reason }.into());
        }
        let device = scoring_device(device)?;
        let device = if config.map.has_gradients() { device.autodiff() } else { device };
        let blank = Network::new(&config, &mut Init::blank(&device));
        let (network, curve) = network_state::load(blank, "", &state)?;
        let standards = finite("standards", 4, &state)?;
        let standards = Standards { l1: (standards[0], standards[1]), ssim: (standards[2], standards[3]) };
        let variance = f64::from(finite("variance", 1, &state)?[0]);
        let normal = if config.normalise { Some(Normal::load(size, &state)?) } else { None };
        let active = state.count("active_units")? as usize;
        Ok(Self { config, network: network.no_grad(), curve, size, normal, standards, variance, active })
    }
}
