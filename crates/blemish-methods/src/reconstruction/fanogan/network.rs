//! Generator, critic and encoder, and the losses of both stages.

use super::config::{Architecture, EncoderEnd, FanoganConfig, Objective};
use super::critic::Critic;
use super::residual::{ResidualEncoder, ResidualGenerator, Widths};
use crate::shared::dcgan::{Decoder, Encoder, EncoderNorm};
use blemish_nn::init::Init;
use blemish_nn::layers::Phase;
use blemish_nn::loss::{binary_cross_entropy_of_logits, l2};
use blemish_nn::weights::Network;
use blemish_nn::{Module, Tensor};

/// G: from codes to images.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub(super) enum Generator {
    /// Of residual blocks.
    Residual(ResidualGenerator),
    /// Of transposed convolutions.
    Dcgan(Decoder),
}

/// E: from images to codes.
#[derive(Module, Debug)]
pub(super) enum Reader {
    /// Of residual blocks.
    Residual(ResidualEncoder),
    /// Of strided convolutions.
    Dcgan(Encoder),
}

impl Network for Generator {}
impl Network for Reader {}

impl Generator {
    pub(super) fn new(config: &FanoganConfig, side: usize, init: &mut Init) -> Self {
        match config.architecture {
            Architecture::Residual => {
                let widths = Widths { side, width: config.width };
                Self::Residual(ResidualGenerator::new(widths, config.latent, init))
            }
            Architecture::Dcgan => Self::Dcgan(Decoder::new(&config.plan(side), init)),
        }
    }

    /// Images between -1 and 1 of codes, batch x latent x 1 x 1.
    pub(super) fn forward(&self, z: Tensor<4>, phase: Phase) -> Tensor<4> {
        match self {
            Self::Residual(generator) => generator.forward(z, phase),
            Self::Dcgan(generator) => generator.forward(z, phase),
        }
    }
}

/// A critic at its start.
pub(super) fn critic(config: &FanoganConfig, side: usize, init: &mut Init) -> Critic {
    match config.architecture {
        Architecture::Residual => {
            let widths = Widths { side, width: config.width };
            Critic::Residual(ResidualEncoder::new(widths, 1, false, init))
        }
        Architecture::Dcgan => {
            let norm = match config.objective {
                Objective::Wasserstein => EncoderNorm::Image,
                Objective::CrossEntropy => EncoderNorm::Batch,
            };
            Critic::Dcgan(Encoder::new(&config.plan(side), 1, norm, init))
        }
    }
}

impl Reader {
    pub(super) fn new(config: &FanoganConfig, side: usize, init: &mut Init) -> Self {
        match config.architecture {
            Architecture::Residual => {
                let widths = Widths { side, width: config.width };
                Self::Residual(ResidualEncoder::new(widths, config.latent, true, init))
            }
            Architecture::Dcgan => {
                let plan = config.plan(side);
                Self::Dcgan(Encoder::new(&plan, config.latent, EncoderNorm::Batch, init))
            }
        }
    }

    /// Codes of images, batch x latent x 1 x 1.
    pub(super) fn forward(&self, end: EncoderEnd, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let code = match self {
            Self::Residual(reader) => reader.conclude(reader.features(x, phase)),
            Self::Dcgan(reader) => reader.forward(x, phase),
        };
        match end {
            EncoderEnd::None => code,
            EncoderEnd::Tanh => code.tanh(),
            EncoderEnd::TripleTanh => code.tanh() * 3.0,
        }
    }
}

/// The two sides of the first stage.
#[derive(Module, Debug)]
pub(super) struct Gan {
    pub(super) generator: Generator,
    pub(super) critic: Critic,
}

/// What an update of the first stage learns from.
pub(super) struct Lesson {
    /// Good images between -1 and 1, batch x 3 x S x S.
    pub(super) images: Tensor<4>,
    /// Codes, standard normal, batch x latent x 1 x 1.
    pub(super) codes: Tensor<4>,
    /// For each image a number from 0 to 1, batch x 1 x 1 x 1.
    pub(super) mix: Tensor<4>,
}

impl Gan {
    pub(super) fn new(config: &FanoganConfig, side: usize, init: &mut Init) -> Self {
        Self { generator: Generator::new(config, side, init), critic: critic(config, side, init) }
    }

    /// mean D(G(z)) - mean D(x) + 10 mean (|grad D(u)| - 1)^2 with u = x + e (G(z) - x); or the cross-entropies of both.
    pub(super) fn of_critic(&self, config: &FanoganConfig, lesson: Lesson) -> Tensor<1> {
        let Lesson { images, codes, mix } = lesson;
        let made = self.generator.forward(codes, Phase::Training).detach();
        critic_loss(config, &self.critic, images, made, mix)
    }

    /// -mean D(G(z)); or the cross-entropy of taking it for real.
    pub(super) fn of_generator(&self, config: &FanoganConfig, codes: Tensor<4>) -> Tensor<1> {
        let found = self.critic.forward(self.generator.forward(codes, Phase::Training), Phase::Training);
        generator_loss(config, found)
    }
}

/// What a critic's values of images and of made ones cost it.
pub(super) fn critic_loss(
    config: &FanoganConfig,
    critic: &Critic,
    images: Tensor<4>,
    made: Tensor<4>,
    mix: Tensor<4>,
) -> Tensor<1> {
    let [real, fake] = [&images, &made].map(|x| critic.forward(x.clone(), Phase::Training));
    match config.objective {
        Objective::Wasserstein => {
            let between = images.clone() + mix * (made - images);
            fake.mean() - real.mean() + critic.penalty(between) * config.penalty
        }
        Objective::CrossEntropy => {
            let (ones, zeros) = (real.ones_like(), fake.zeros_like());
            binary_cross_entropy_of_logits(real, ones) + binary_cross_entropy_of_logits(fake, zeros)
        }
    }
}

/// What the critic's values of its images cost a generator.
pub(super) fn generator_loss(config: &FanoganConfig, found: Tensor<4>) -> Tensor<1> {
    match config.objective {
        Objective::Wasserstein => -found.mean(),
        Objective::CrossEntropy => {
            let ones = found.ones_like();
            binary_cross_entropy_of_logits(found, ones)
        }
    }
}

/// All three networks.
#[derive(Module, Debug)]
pub(super) struct Networks {
    pub(super) generator: Generator,
    pub(super) critic: Critic,
    pub(super) encoder: Reader,
}

impl Networks {
    /// L_E = mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2, G and D by their stored moments.
    pub(super) fn of_encoder(&self, config: &FanoganConfig, x: Tensor<4>) -> Tensor<1> {
        let code = self.encoder.forward(config.encoder_end, x.clone(), Phase::Training);
        let image = self.generator.forward(code, Phase::Scoring);
        let features = [&x, &image].map(|x| self.critic.features(x.clone(), Phase::Scoring));
        let [of_images, of_made] = features;
        l2(x, image) + l2(of_images, of_made) * config.kappa
    }
}
