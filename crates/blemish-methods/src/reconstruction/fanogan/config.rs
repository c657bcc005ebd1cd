//! Settings of f-AnoGAN.

use super::residual::Widths;
use crate::shared::dcgan;
use blemish_core::preset::Preset;
use blemish_nn::layers::Activation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the three networks are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Residual blocks, as published.
    Residual,
    /// DCGAN's strided convolutions, those of GANomaly: a tenth of the work.
    Dcgan,
}

/// What the critic is taught in the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Wasserstein distance with a gradient penalty, as published; no batch normalisation in the critic.
    Wasserstein,
    /// Cross-entropy of real and made images, the generator's part not saturating: the plain GAN.
    CrossEntropy,
}

/// What ends the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncoderEnd {
    /// Nothing.
    None,
    /// tanh: codes between -1 and 1.
    Tanh,
    /// 3 tanh: codes between -3 and 3, where nearly all of the generator's are.
    TripleTanh,
}

/// How an image is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageScore {
    /// Mean squared difference from the reconstruction plus kappa times that of the critic's features.
    Residual,
    /// Mean squared difference between the codes of image and reconstruction.
    Code,
}

/// Settings of f-AnoGAN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FanoganConfig {
    /// What the other settings are by default: `cpu` for a training of minutes on a processor, `paper` for the published size.
    pub preset: Preset,
    /// What the networks are made of.
    pub architecture: Architecture,
    /// What the critic is taught.
    pub objective: Objective,
    /// Channels at the largest maps; 64 in the paper.
    #[schemars(range(min = 1, max = 256))]
    pub width: usize,
    /// Length of a code.
    #[schemars(range(min = 1, max = 4096))]
    pub latent: usize,
    /// Weight of the gradient penalty (objective=wasserstein).
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub penalty: f64,
    /// Updates of the critic for each one of the generator.
    #[schemars(range(min = 1, max = 64))]
    pub critic_steps: u64,
    /// Updates of the generator.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Updates of the encoder, in the second stage.
    #[schemars(range(min = 1))]
    pub encoder_steps: u64,
    /// Images of an update.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// Learning rate of Adam in the first stage. null: 1e-4 for wasserstein, 2e-4 for cross_entropy.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: Option<f64>,
    /// Learning rate of RMSProp in the second stage.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub encoder_rate: f64,
    /// Weight of the differences between the critic's features, in the second stage and in the score.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub kappa: f64,
    /// What ends the encoder.
    pub encoder_end: EncoderEnd,
    /// How an image is scored.
    pub score: ImageScore,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl FanoganConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let paper = Self {
            preset,
            architecture: Architecture::Residual,
            objective: Objective::Wasserstein,
            width: 64,
            latent: 128,
            penalty: 10.0,
            critic_steps: 5,
            steps: 20_000,
            encoder_steps: 50_000,
            batch: 64,
            rate: None,
            encoder_rate: 5e-5,
            kappa: 1.0,
            encoder_end: EncoderEnd::Tanh,
            score: ImageScore::Residual,
            sigma: 0.0,
        };
        match preset {
            Preset::Paper => paper,
            Preset::Cpu => Self {
                architecture: Architecture::Dcgan,
                width: 16,
                steps: 600,
                encoder_steps: 1500,
                batch: 16,
                rate: Some(2e-4),
                // A thirtieth of the published updates, so each goes further.
                encoder_rate: 5e-4,
                sigma: 2.0,
                ..paper
            },
        }
    }

    /// Side that images are resized to.
    pub(super) fn side(&self) -> usize {
        64
    }

    /// Values that one network keeps of an image for its gradients.
    pub(super) fn kept(&self, side: usize) -> usize {
        match self.architecture {
            Architecture::Residual => Widths { side, width: self.width }.kept(),
            Architecture::Dcgan => self.plan(side).kept(),
        }
    }

    /// Multiply-adds of both stages, in passes forward through one network.
    pub(super) fn work(&self, side: usize) -> f64 {
        let pass = match self.architecture {
            Architecture::Residual => Widths { side, width: self.width }.work(),
            Architecture::Dcgan => self.plan(side).work(),
        };
        // Of the critic: the generator, two images there and back, the penalty there and back twice. Of the generator: both networks there
        // and back. Of the encoder: itself and what is behind it there and back, the images' features.
        let of_gan = self.steps as f64 * (13.0 * self.critic_steps as f64 + 5.0);
        self.batch as f64 * pass * (of_gan + 8.0 * self.encoder_steps as f64)
    }

    /// Learning rate of the first stage.
    pub(super) fn gan_rate(&self) -> f64 {
        self.rate.unwrap_or(match self.objective {
            Objective::Wasserstein => 1e-4,
            Objective::CrossEntropy => 2e-4,
        })
    }

    /// Adam's betas in the first stage.
    pub(super) fn betas(&self) -> [f64; 2] {
        match self.objective {
            Objective::Wasserstein => [0.0, 0.9],
            Objective::CrossEntropy => [0.5, 0.999],
        }
    }

    /// What networks of strided convolutions for images of a side are made of.
    pub(super) fn plan(&self, side: usize) -> dcgan::Plan {
        dcgan::Plan {
            side,
            width: self.width,
            widest: usize::MAX,
            latent: self.latent,
            extra: 0,
            after_extra: Activation::Relu,
            padding: 1,
            sspcab: false,
        }
    }
}

impl Default for FanoganConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}
