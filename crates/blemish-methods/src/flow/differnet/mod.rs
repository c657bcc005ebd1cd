//! DifferNet: a flow models one vector an image, feature maps averaged over all positions at three sizes; scores are means over rotations.
//!
//! Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet: Semi-Supervised Defect Detection with Normalizing Flows", WACV 2021, arXiv
//! 2008.12577; details follow the official code. Published for the last pooling of AlexNet (backbone `alexnet`); of any other backbone
//! the deepest layer is taken, by default that of stride 16.
//!
//! ```text
//! image -> rotations (nearest, black corners) -> 1, 1/2, 1/4 (nearest) -> backbone -> means -> vector of C values
//!       -> 8 x (permutation, both halves scaled and shifted) -> z;   image score = mean of z^2 over rotations and channels
//! ```
//!
//! The loss is the mean of (sum of z^2 / 2 - log-determinant) / C; the score has no log-determinant. Deviations:
//! - Training sees `train_transforms` fixed angles of each image instead of fresh random ones, so that the backbone sees every image once
//!   and training is only that of the flow. Scoring uses fixed angles, too: the published script's random ones make scores vary.
//! - z is not clipped at +-1e6, which hides divergence: what overflows is an error.
//!
//! The map: the gradient of the loss with respect to the normalised pixels is turned back (bilinear, published are cubic splines) and
//! blurred for every rotation; the map is the squared mean of its absolute values. It is coarse. Of a region of interest only the map
//! knows: the score is of the whole image.

mod config;
#[cfg(test)]
pub(crate) mod tests;
mod views;

pub use config::{DifferNetConfig, Localisation};

use crate::shared::couplings::atan_coupling;
use crate::shared::kept::{Kept, Planes};
use crate::shared::network_state;
use crate::shared::tensors::{device_of, scoring_device, values_of};
use crate::shared::trainer::{Trainer, batch_of};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::{Needs, Reads};
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_features::Backbone;
use blemish_kernels::image::rotation::rotate_back;
use blemish_kernels::map::{Border, gaussian_blur};
use blemish_nn::flow::{Chain, CouplingBlock, HalfStep, Part, Permutation, Piece, latent_energy};
use blemish_nn::init::Init;
use blemish_nn::layers::Subnet;
use blemish_nn::train::{Curve, Optimiser, Plan, Schedule};
use blemish_nn::{Device, Module, Tensor, TensorData};
use rayon::prelude::*;
use std::sync::Arc;
use views::{Views, angles};

const NAME: &str = "differnet";

/// Weight decay, epsilon and moments of the published training.
const OPTIMISER: Optimiser = Optimiser { betas: [0.8, 0.8], epsilon: 1e-4, decay: 1e-5, ..Optimiser::ADAM };

/// A flow for vectors of `dimensions` values.
fn flow(config: &DifferNetConfig, dimensions: usize, init: &mut Init) -> Chain {
    let coupling = atan_coupling(config.clamp);
    let first = dimensions / 2;
    let second = dimensions - first;
    let width = config.width;
    let mut pieces = Vec::new();
    for _ in 0..config.blocks {
        pieces.push(Piece::Permutation(Permutation::new(dimensions, init)));
        let mut step = |changes, from, to| HalfStep {
            changes,
            subnet: Subnet::dense(&[from, width, width, width, 2 * to], init),
        };
        let steps = vec![step(Part::First, second, first), step(Part::Second, first, second)];
        pieces.push(Piece::Coupling(CouplingBlock { first, steps, coupling }));
    }
    Chain { pieces }
}

/// (Sum of z^2 / 2 - log-determinant) / C of each vector.
fn losses(network: &Chain, vectors: Tensor<4>) -> Tensor<4> {
    let dimensions = vectors.dims()[1] as f64;
    let (z, log_det) = network.forward(vectors, None);
    (latent_energy(z) - log_det) / dimensions
}

fn mean_square(values: &[f32]) -> f32 {
    (values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / values.len() as f64) as f32
}

/// Vectors as a tensor, N x C x 1 x 1.
fn tensor_of(vectors: Vec<f32>, dimensions: usize, device: &Device) -> Tensor<4> {
    let shape = [vectors.len() / dimensions, dimensions, 1, 1];
    Tensor::from_data(TensorData::new(vectors, shape), device)
}

/// Vectors of all training images at all angles.
fn collect(
    views: Views<'_>,
    angles: &[f64],
    train: &dyn TrainingSet,
    context: &FitContext<'_>,
) -> Result<Kept, Error> {
    Kept::collect(NAME, train, Pass::IMAGES, context, "extracting features", |input| {
        let batch = input.images()?;
        let mut vectors = Vec::new();
        for index in 0..batch.count {
            context.check_cancelled()?;
            vectors.extend(views.vectors(batch.image(index), (batch.height, batch.width), angles)?);
        }
        Ok(vec![Planes::of_vectors(vectors, views.dimensions())])
    })
}

/// A fitted DifferNet.
pub struct DifferNet {
    backbone: Arc<Backbone>,
    config: DifferNetConfig,
    /// On a device with gradients, for the map; its weights need none.
    network: Chain,
    curve: Curve,
}

impl DifferNet {
    fn views(&self) -> Views<'_> {
        Views { backbone: &self.backbone, scales: self.config.scales }
    }

    /// Where the network lies, with gradients.
    fn device(&self) -> Device {
        device_of(&self.network).autodiff()
    }

    /// Mean of z^2 over the rotations and channels.
    fn image_score(&self, image: &[f32], size: (usize, usize)) -> Result<f32, Error> {
        let views = self.views();
        let vectors = views.vectors(image, size, &angles(self.config.transforms, self.config.rotation))?;
        let (z, _) = self.network.forward(tensor_of(vectors, views.dimensions(), &self.device()), None);
        Ok(mean_square(&values_of(z.inner())?))
    }

    /// Gradients of the loss with respect to the vectors of an image at some angles, angles x C.
    fn vector_gradients(
        &self,
        image: &[f32],
        size: (usize, usize),
        angles: &[f64],
    ) -> Result<Vec<f32>, Error> {
        let views = self.views();
        let vectors = views.vectors(image, size, angles)?;
        let vectors = tensor_of(vectors, views.dimensions(), &self.device()).require_grad();
        let gradients = losses(&self.network, vectors.clone()).sum().backward();
        let missing = || Error::Score { reason: "the loss does not depend on the image".into() };
        values_of(vectors.grad(&gradients).ok_or_else(missing)?)
    }

    /// Squared mean over rotations and channels of the absolute blurred gradient, H x W.
    fn gradient_map(&self, image: &[f32], size: (usize, usize)) -> Result<Vec<f32>, Error> {
        let angles = angles(self.config.map_transforms, self.config.rotation);
        let gradients = self.vector_gradients(image, size, &angles)?;
        let mut sum = vec![0.0f32; size.0 * size.1];
        self.views().for_each_gradient(image, size, &angles, &gradients, |angle, gradient| {
            let planes: Vec<Vec<f32>> = gradient
                .par_chunks_exact(sum.len())
                .map(|plane| {
                    let back = rotate_back(plane, size, angle);
                    // The blur comes before the absolute value, so it cannot be the map stage's.
                    match self.config.sigma {
                        sigma if sigma > 0.0 => gaussian_blur(&back, size, sigma, Border::Repeat),
                        _ => back,
                    }
                })
                .collect();
            for plane in planes {
                sum.iter_mut().zip(plane).for_each(|(sum, value)| *sum += value.abs());
            }
        })?;
        let share = 1.0 / (3 * angles.len()) as f32;
        Ok(sum.into_iter().map(|sum| (sum * share).powi(2)).collect())
    }
}

impl Method for DifferNet {
    type Config = DifferNetConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a flow over one vector an image, its features averaged at three sizes, scored over many rotations",
        advice: "for few good images, turned any way, with defects that change much of the image; not for small defects, exact places or \
                 speed; trains for minutes to hours",
        citation: "Rudolph et al., Same Same But DifferNet: Semi-Supervised Defect Detection with Normalizing Flows, WACV 2021",
        family: Family::Flow,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(Self::Config::of(preset))
    }

    const EXPORT: Export<Self> =
        Export::Missing("its map is the gradient of a loss, which graphs do not have");

    fn needs(config: &Self::Config) -> Needs {
        // 32 is there for AlexNet's last pooling; other networks end at 16. The deepest one counts.
        let needs = Needs::of_maps(&[16, 32]).reading(Reads::Images).training_long();
        if config.map == Localisation::Gradient { needs.opening_backbone() } else { needs }
    }

    fn default_transform(_: &Self::Config) -> Transform {
        Transform::resize_to(448, 448)
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let backbone = context.require_backbone(NAME)?;
        if config.map == Localisation::Gradient && !backbone.has_gradients() {
            let reason = "this backbone gives no gradients for the map; use one of the built-in networks, or `none` for the setting `map`";
            return Err(Error::Fit { method: NAME, reason: reason.into() });
        }
        let views = Views { backbone: &backbone, scales: config.scales };
        let dimensions = views.dimensions();
        let angles = angles(config.train_transforms, config.rotation);
        let rows = collect(views, &angles, train, context)?;
        let trainer = Trainer::new(NAME, config, rows.digest(), 1, context)?
            .beside(config.preset.other(), config.other_work());
        let device = trainer.device();
        let network = flow(config, dimensions, &mut Init::new(context.seed, &device));
        let plan = Plan::new(config.steps, OPTIMISER, Schedule::constant(config.rate));
        let kept = config.batch.min(rows.len()) * config.blocks * (6 * config.width + 4 * dimensions);
        let trained = trainer.run(
            NAME,
            network,
            plan,
            kept,
            |step| {
                let drawn = batch_of(step, rows.len(), config.batch, context.seed);
                Ok(rows.batch(0, &drawn, &device))
            },
            |network: &Chain, vectors| losses(network, vectors).mean(),
        )?;
        let network = trained.network.no_grad();
        Ok(Self { backbone, config: config.clone(), network, curve: trained.curve })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let size = (batch.height, batch.width);
        // One image at a time, so that a score does not depend on the batch.
        let score = |index| {
            let image = batch.image(index);
            let score = self.image_score(image, size)?;
            let ((height, width), values) = match self.config.map {
                Localisation::Gradient => (size, self.gradient_map(image, size)?),
                Localisation::None => ((1, 1), vec![score]),
            };
            Ok(PatchScores { height, width, values, image_score: Some(score) })
        };
        (0..batch.count).map(score).collect()
    }

    fn map_stage(&self) -> MapStage {
        MapStage { interpolation: Interpolation::Nearest, sigma: 0.0, border: BlurBorder::Repeat }
    }

    fn state(&self) -> State {
        let mut state = State::default();
        network_state::store(&self.network, "", &self.curve, &mut state);
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let backbone = stored.require_backbone(NAME)?;
        let Stored { config, state, device, .. } = stored;
        let dimensions = Views { backbone: &backbone, scales: config.scales }.dimensions();
        let blank = flow(&config, dimensions, &mut Init::blank(&scoring_device(device)?.autodiff()));
        let (network, curve) = network_state::load(blank, "", &state)?;
        Ok(Self { backbone, config, network: network.no_grad(), curve })
    }
}
