//! What a network says of the pixels of images that are as large as it sees.

use super::config::{Map, VaeConfig};
use super::network::Network;
use crate::shared::tensors::values_of;
use crate::shared::trainer::gaussian;
use blemish_core::error::Error;
use blemish_nn::layers::{Activation, Phase};
use blemish_nn::loss::{Ssim, gaussian_kl};
use blemish_nn::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// a: how far a step of the iteration goes.
const STEP: f64 = 0.5;

/// l: what moving a pixel costs.
const MOVING: f64 = 0.05;

/// Mean and deviation of good images' L1 and SSIM maps, for the mixed one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standards {
    pub(crate) l1: (f32, f32),
    pub(crate) ssim: (f32, f32),
}

impl Default for Standards {
    fn default() -> Self {
        Self { l1: (0.0, 1.0), ssim: (0.0, 1.0) }
    }
}

/// A network in scoring. It lies on a device with gradients where the map takes some; its weights have none.
#[derive(Clone, Copy)]
pub(crate) struct Eye<'a> {
    pub(crate) network: &'a Network,
    pub(crate) config: &'a VaeConfig,
    pub(crate) standards: Standards,
}

impl Eye<'_> {
    /// A(i, j) of every image, batch x side x side values for batch x 3 x side x side in [0, 1].
    ///
    /// # Errors
    /// [`Error::Score`] if values cannot be read from the device.
    pub(crate) fn maps(&self, map: Map, images: Tensor<4>) -> Result<Vec<f32>, Error> {
        match map {
            Map::L2 => values_of(self.differences(images, squared)),
            Map::L1 => values_of(self.differences(images, absolute)),
            Map::Ssim => values_of(self.differences(images, dissimilar)),
            Map::Mixed => self.mixed(images),
            Map::KlGradient => values_of(self.kl_gradient(images)?),
            Map::KlTimesL1 => {
                let off = self.differences(images.clone(), absolute).inner();
                values_of(self.kl_gradient(images)? * off)
            }
            Map::VaeGrad => values_of(self.vae_grad(images)?),
        }
    }

    /// Mean over the draws of what `of` says of images and reconstructions, batch x 1 x side x side.
    fn differences(&self, images: Tensor<4>, of: fn(Tensor<4>, Tensor<4>) -> Tensor<4>) -> Tensor<4> {
        let posterior = self.network.encode(images.clone(), Phase::Scoring);
        let of_latent = |z| {
            let made = Activation::Sigmoid.forward(self.network.decode(z, Phase::Scoring));
            of(images.clone(), made)
        };
        let draws = self.config.samples;
        let batch = images.dims()[0];
        let values = self.network.latent_values();
        let sum = (0..draws).map(|draw| {
            // The same noise for every image, whatever else is in its batch.
            let noise = TensorData::new(noise_of(draw as u64, values), [1, values]);
            let noise = Tensor::<2>::from_data(noise, &images.device()).repeat_dim(0, batch);
            of_latent(posterior.draw(noise))
        });
        match sum.reduce(|a, b| a + b) {
            Some(sum) => sum / draws as f64,
            None => of_latent(posterior.mean.clone()),
        }
    }

    /// (L1 - its mean) / its deviation + (SSIM - its mean) / its deviation.
    fn mixed(&self, images: Tensor<4>) -> Result<Vec<f32>, Error> {
        let l1 = values_of(self.differences(images.clone(), absolute))?;
        let ssim = values_of(self.differences(images, dissimilar))?;
        let Standards { l1: l1_of, ssim: ssim_of } = self.standards;
        let scaled = |value: f32, (mean, deviation): (f32, f32)| (value - mean) / deviation.max(1e-12);
        Ok(l1.iter().zip(&ssim).map(|(&l1, &ssim)| scaled(l1, l1_of) + scaled(ssim, ssim_of)).collect())
    }

    /// mean over the channels of |dKL / dx| (Zimmerer et al., arXiv 1907.02796).
    fn kl_gradient(&self, images: Tensor<4>) -> Result<Tensor<4>, Error> {
        let x = leaf(images.inner());
        let posterior = self.network.encode(x.clone(), Phase::Scoring);
        let gradients = gaussian_kl(posterior.mean, posterior.log_variance).sum().backward();
        Ok(x.grad(&gradients).ok_or_else(no_gradient)?.abs().mean_dim(1))
    }

    /// mean over the channels of |x0 - x|, x moved from x0 by x <- x - a dE/dx (x - f(x))^2, the products value by value.
    ///
    /// f reconstructs, E = sum of (x - f(x))^2 + l |x - x0| (Dehaene et al., arXiv 2002.03734, equations 5 to 7).
    fn vae_grad(&self, images: Tensor<4>) -> Result<Tensor<4>, Error> {
        let start = images.inner();
        // Kept beside the image: added to it, small ways would be lost to rounding.
        let mut way = start.zeros_like();
        for _ in 0..self.config.iterations {
            let x = leaf(start.clone() + way.clone());
            let off = x.clone() - self.network.reconstruct(x.clone());
            let slope = x.grad(&(off.clone() * off.clone()).sum().backward()).ok_or_else(no_gradient)?;
            let off = off.inner();
            // |x - x0| has the slope of its sign, 0 where nothing has moved.
            let slope = slope + way.clone().sign() * MOVING;
            way = way - slope * off.clone() * off * STEP;
        }
        Ok(way.abs().mean_dim(1))
    }
}

/// Values that gradients are taken of.
fn leaf(values: Tensor<4>) -> Tensor<4> {
    Tensor::from_inner(values).require_grad()
}

fn no_gradient() -> Error {
    Error::Score { reason: "the map does not depend on the image".into() }
}

/// Mean over the channels of (x - y)^2.
pub(crate) fn squared(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    let off = x - y;
    (off.clone() * off).mean_dim(1)
}

/// Mean over the channels of |x - y|.
pub(crate) fn absolute(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    (x - y).abs().mean_dim(1)
}

/// Mean over the channels of (1 - SSIM) / 2: 0 for equal images.
pub(crate) fn dissimilar(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    ((-Ssim::default().map(x, y) + 1.0) * 0.5).mean_dim(1)
}

/// Standard normal values that a number fixes.
pub(crate) fn noise_of(number: u64, values: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(number);
    (0..values).map(|_| gaussian(&mut random)).collect()
}
