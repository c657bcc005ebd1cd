//! Settings of GANomaly.

use crate::shared::dcgan;
use blemish_core::preset::Preset;
use blemish_nn::layers::Activation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose GANomaly it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// As the authors released it, without what their scoring takes from the test batch.
    #[default]
    Published,
    /// As anomalib 2.7.0 has it: four rows of zeros around the image, ImageNet's normalisation, a smooth L1 loss between the codes, squared
    /// differences between the discriminator's outputs instead of its features, LeakyReLU after extra layers, no new start of the discriminator.
    Anomalib,
}

/// How an image is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageScore {
    /// Mean squared difference between the codes of the image and of its reconstruction: the released code.
    Code,
    /// Mean absolute difference between the codes: the paper.
    CodeAbsolute,
    /// The largest value of the map.
    Map,
    /// Sum of `code` and `map`, each in standard deviations from its mean over good images; a tenth of them is kept from training for it.
    Combined,
}

/// Settings of GANomaly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GanomalyConfig {
    /// What the other settings are by default: `cpu` for a training of minutes on a processor, `paper` for the published size.
    pub preset: Preset,
    /// Whose GANomaly it is.
    pub variant: Variant,
    /// Channels at half the image's side, twice as many at every further halving; 64 in the paper.
    #[schemars(range(min = 1, max = 256))]
    pub width: usize,
    /// The most channels there may be. null: as many as the doubling gives; set 512 for images of 256.
    #[schemars(range(min = 1, max = 16384))]
    pub widest: Option<usize>,
    /// Length of a code.
    #[schemars(range(min = 1, max = 4096))]
    pub latent: usize,
    /// Convolutions of 3x3 at half the image's side, in each network.
    #[schemars(range(min = 0, max = 8))]
    pub extra: usize,
    /// Makes the last hidden convolution of the decoder an SSPCAB, whose loss counts a tenth; without extra layers one more than there would be.
    pub sspcab: bool,
    /// Weight of the loss between the discriminator's features.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub adversarial: f64,
    /// Weight of the loss between an image and its reconstruction.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub reconstruction: f64,
    /// Weight of the loss between their codes.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub encoding: f64,
    /// Updates of each network.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Images of an update.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// Learning rate of Adam.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// How an image is scored.
    pub score: ImageScore,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl GanomalyConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let paper = Self {
            preset,
            variant: Variant::default(),
            width: 64,
            widest: None,
            latent: 100,
            extra: 0,
            sspcab: false,
            adversarial: 1.0,
            reconstruction: 50.0,
            encoding: 1.0,
            // 15 epochs of the 45,000 images of the paper's experiments.
            steps: 10_000,
            batch: 64,
            rate: 2e-4,
            score: ImageScore::Code,
            sigma: 4.0,
        };
        match preset {
            Preset::Paper => paper,
            Preset::Cpu => Self { width: 16, steps: 1000, batch: 16, score: ImageScore::Combined, ..paper },
        }
    }

    /// Side that images are resized to.
    pub(super) fn side(&self) -> usize {
        128
    }

    /// What the networks for images of a side are made of.
    pub(super) fn plan(&self, side: usize) -> dcgan::Plan {
        let is_published = self.variant == Variant::Published;
        dcgan::Plan {
            side,
            width: self.width,
            widest: self.widest.unwrap_or(usize::MAX),
            latent: self.latent,
            extra: self.extra,
            after_extra: if is_published { Activation::Relu } else { Activation::LeakyRelu(0.2) },
            padding: if is_published { 1 } else { 4 },
            sspcab: self.sspcab,
        }
    }
}

impl Default for GanomalyConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}
