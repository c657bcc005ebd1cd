//! What a reconstruction costs, and the bound that training minimises.

use super::config::{Likelihood, VaeConfig};
use super::network::Posterior;
use blemish_nn::Tensor;
use blemish_nn::layers::Activation;
use blemish_nn::loss::{Ssim, binary_cross_entropy_of_logits, gaussian_kl, l1, l2, mean};

/// What is added to a mean square under the logarithm: without it a perfect reconstruction would be worth infinitely much.
pub(crate) const FLOOR: f64 = 1e-6;

/// R: what reconstructions cost, the mean over the batch of nats an image, from the images and the logits of their reconstructions.
///
/// With n the values of an image, e the differences and s `decoder_sigma`:
///
/// - calibrated: n / 2 ln(mean of e^2 over the batch + 1e-6);
/// - gaussian: sum of e^2 / (2 s^2);
/// - l1: sum of |e| / s;
/// - ssim: n / (2 s^2) (1 - mean similarity);
/// - bernoulli: sum of the binary cross-entropies.
pub(crate) fn reconstruction(config: &VaeConfig, images: Tensor<4>, logits: Tensor<4>) -> Tensor<1> {
    if config.likelihood == Likelihood::Bernoulli {
        let n = values_of_an_image(&images);
        return binary_cross_entropy_of_logits(logits, images) * n;
    }
    difference(config, images, Activation::Sigmoid.forward(logits))
}

/// R of the reconstructions themselves, for the likelihoods that ask for no logits; that of bernoulli is the calibrated one's.
pub(crate) fn difference(config: &VaeConfig, images: Tensor<4>, made: Tensor<4>) -> Tensor<1> {
    let n = values_of_an_image(&images);
    let s = config.decoder_sigma;
    match config.likelihood {
        Likelihood::Calibrated | Likelihood::Bernoulli => (l2(images, made) + FLOOR).log() * (0.5 * n),
        Likelihood::Gaussian => l2(images, made) * (n / (2.0 * s * s)),
        Likelihood::L1 => l1(images, made) * (n / s),
        Likelihood::Ssim => (-Ssim::default().mean(images, made) + 1.0) * (n / (2.0 * s * s)),
    }
}

/// The mean over the batch of R + beta KL, in nats an image.
pub(crate) fn bound(
    config: &VaeConfig,
    beta: f64,
    images: Tensor<4>,
    logits: Tensor<4>,
    posterior: &Posterior,
) -> Tensor<1> {
    let r = reconstruction(config, images, logits);
    if beta == 0.0 {
        return r;
    }
    let kl = gaussian_kl(posterior.mean.clone(), posterior.log_variance.clone());
    r + mean(kl) * beta
}

/// n.
pub(crate) fn values_of_an_image(images: &Tensor<4>) -> f64 {
    let [_, channels, height, width] = images.dims();
    (channels * height * width) as f64
}

/// beta at a step: from 0 up to the setting over the first tenth of the steps.
pub(crate) fn beta_at(config: &VaeConfig, step: u64) -> f64 {
    let warm_up = config.steps / 10;
    if step >= warm_up { config.beta } else { config.beta * step as f64 / warm_up as f64 }
}
