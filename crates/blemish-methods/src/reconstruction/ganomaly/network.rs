//! The four networks and their losses.

use super::config::{GanomalyConfig, Variant};
use crate::shared::dcgan::{Decoder, Encoder, EncoderNorm, Plan};
use blemish_nn::init::Init;
use blemish_nn::layers::Phase;
use blemish_nn::loss::{binary_cross_entropy_of_logits, l1, l2, smooth_l1};
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor, TensorData};
use burn::tensor::activation::sigmoid;

/// Weight of the SSPCAB's loss.
const BLOCK: f64 = 0.1;

/// Mean and deviation of the colours of ImageNet's images.
pub(super) const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// E1, decoder, E2: all that scores need.
#[derive(Module, Debug)]
pub(super) struct Generator {
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    /// Of reconstructions; as E1, with weights of its own.
    pub(super) second: Encoder,
}

/// What a generator makes of images x.
pub(super) struct Made {
    /// x_hat, batch x 3 x S x S.
    pub(super) image: Tensor<4>,
    /// z = E1(x), batch x latent x 1 x 1.
    pub(super) code: Tensor<4>,
    /// z_hat = E2(x_hat).
    pub(super) second_code: Tensor<4>,
    /// The loss of the SSPCAB, where there is one.
    pub(super) block: Option<Tensor<1>>,
}

impl Network for Generator {}

impl Generator {
    pub(super) fn new(plan: &Plan, init: &mut Init) -> Self {
        let encoder = Encoder::new(plan, plan.latent, EncoderNorm::Batch, init);
        let decoder = Decoder::new(plan, init);
        Self { encoder, decoder, second: Encoder::new(plan, plan.latent, EncoderNorm::Batch, init) }
    }

    /// x_hat, z and z_hat of x, batch x 3 x S x S.
    pub(super) fn forward(&self, x: Tensor<4>, phase: Phase) -> Made {
        let code = self.encoder.forward(x, phase);
        let (image, block) = self.decoder.forward_with_loss(code.clone(), phase);
        let second_code = self.second.forward(image.clone(), phase);
        Made { image, code, second_code, block }
    }
}

/// Both sides of the game.
#[derive(Module, Debug)]
pub(super) struct Networks {
    pub(super) generator: Generator,
    /// An encoder to one logit.
    pub(super) discriminator: Encoder,
}

impl Networks {
    pub(super) fn new(plan: &Plan, init: &mut Init) -> Self {
        Self { generator: Generator::new(plan, init), discriminator: discriminator(plan, init) }
    }

    /// L_G = w_adv L_adv + w_con L_con + w_enc L_enc of images x, and their reconstructions without gradients.
    ///
    /// L_adv = mean (f(x) - f(x_hat))^2, L_con = mean |x - x_hat|, L_enc = mean (z - z_hat)^2. The discriminator goes by the moments of
    /// each batch, as in its own training.
    pub(super) fn of_generator(&self, config: &GanomalyConfig, x: Tensor<4>) -> (Tensor<1>, Tensor<4>) {
        let made = self.generator.forward(x.clone(), Phase::Training);
        let [real, fake] =
            [x.clone(), made.image.clone()].map(|x| self.discriminator.features(x, Phase::Training));
        let image = made.image.clone().detach();
        (generator_loss(config, &self.discriminator, x, made, [real, fake]), image)
    }

    /// L_D = (BCE(D(x), 1) + BCE(D(x_hat), 0)) / 2 of images and of reconstructions without gradients.
    pub(super) fn of_discriminator(&self, x: Tensor<4>, made: Tensor<4>) -> Tensor<1> {
        let [real, fake] = [x, made].map(|x| self.discriminator.forward(x, Phase::Training));
        discriminator_loss(real, fake)
    }
}

/// L_G from what both networks have found; `features` are f(x) and f(x_hat).
pub(super) fn generator_loss(
    config: &GanomalyConfig,
    discriminator: &Encoder,
    x: Tensor<4>,
    made: Made,
    features: [Tensor<4>; 2],
) -> Tensor<1> {
    let Made { image, code, second_code, block } = made;
    let (adversarial, encoding) = match config.variant {
        Variant::Published => {
            let [real, fake] = features;
            (l2(real, fake), l2(code, second_code))
        }
        Variant::Anomalib => {
            let [real, fake] = features.map(|features| sigmoid(discriminator.conclude(features)));
            (l2(real, fake), smooth_l1(code, second_code))
        }
    };
    let loss =
        adversarial * config.adversarial + l1(x, image) * config.reconstruction + encoding * config.encoding;
    match block {
        Some(block) => loss + block * BLOCK,
        None => loss,
    }
}

/// L_D of the logits of images and of reconstructions.
pub(super) fn discriminator_loss(real: Tensor<4>, fake: Tensor<4>) -> Tensor<1> {
    let (ones, zeros) = (real.ones_like(), fake.zeros_like());
    (binary_cross_entropy_of_logits(real, ones) + binary_cross_entropy_of_logits(fake, zeros)) * 0.5
}

/// A discriminator at its start.
pub(super) fn discriminator(plan: &Plan, init: &mut Init) -> Encoder {
    Encoder::new(plan, 1, EncoderNorm::Batch, init)
}

/// Colours from 0 to 1 as the networks see them: from -1 to 1, or by ImageNet's moments.
pub(super) fn scaled(config: &GanomalyConfig, x: Tensor<4>) -> Tensor<4> {
    match config.variant {
        Variant::Published => x * 2.0 - 1.0,
        Variant::Anomalib => {
            let device = x.device();
            let [mean, deviation] = IMAGENET.map(|values| {
                Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), &device)
            });
            (x - mean) / deviation
        }
    }
}
