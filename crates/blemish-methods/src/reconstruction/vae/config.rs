//! Settings of the variational auto-encoder.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a reconstruction costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likelihood {
    /// Gaussian whose variance follows the mean squared difference: no weight to tune.
    #[default]
    Calibrated,
    /// Gaussian of a fixed deviation.
    Gaussian,
    /// Absolute differences over a fixed scale.
    L1,
    /// Structural similarity over a fixed deviation.
    Ssim,
    /// Bernoulli: for images of black and white.
    Bernoulli,
}

/// What the latent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Latent {
    /// One vector an image.
    #[default]
    Vector,
    /// A map of 8 x 8 vectors, which keeps places: better for textures.
    Spatial,
}

/// What normalises the maps inside the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Batch normalisation.
    Batch,
    /// Group normalisation.
    Group,
}

/// How training images change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// Not at all.
    None,
    /// Turned by up to 5 degrees and shifted by up to 5 % either way: for parts whose poses vary.
    Poses,
    /// Mirrored left to right and top to bottom.
    Flips,
}

/// What the value of a pixel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Map {
    /// Squared difference between image and reconstruction.
    #[default]
    L2,
    /// Absolute difference.
    L1,
    /// Structural dissimilarity of the two.
    Ssim,
    /// L1 and SSIM, each in deviations of good images, added.
    Mixed,
    /// Slope of the divergence of the latent's distribution from its prior.
    KlGradient,
    /// That slope times L1.
    KlTimesL1,
    /// How far the image must be changed until it is reconstructed.
    VaeGrad,
}

impl Map {
    /// Whether it takes gradients with respect to the image.
    pub(crate) fn has_gradients(self) -> bool {
        matches!(self, Self::KlGradient | Self::KlTimesL1 | Self::VaeGrad)
    }
}

/// How an image is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The largest value of the blurred map: small defects count.
    #[default]
    Max,
    /// The mean of the highest hundredth of the blurred map.
    Top,
    /// What the reconstruction costs plus the divergence, the negative evidence bound: images that are new as a whole.
    Elbo,
    /// What the reconstruction costs, alone.
    Reconstruction,
    /// The divergence of the latent's distribution from its prior, alone: weak.
    Kl,
}

/// Settings of the variational auto-encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VaeConfig {
    /// Width and length of the training: cpu for minutes on a processor, paper for the full ones.
    pub preset: Preset,
    /// Side of what the network sees, in pixels, a power of two.
    #[schemars(range(min = 32, max = 256))]
    pub size: usize,
    /// Learns from random parts of the images and scores by overlapping parts: for textures and other images that are not aligned.
    pub texture: bool,
    /// Pixels between the parts that are scored (texture=true). null: a quarter of the side.
    #[schemars(range(min = 1, max = 256))]
    pub stride: Option<usize>,
    /// Channels of the first block; each further one has twice as many, at most 512.
    #[schemars(range(min = 1, max = 128))]
    pub base: usize,
    /// One latent vector an image or a map of them.
    pub latent: Latent,
    /// Values of a latent vector: too many copy defects, too few blur. null: 128, or 16 at each place of a map.
    #[schemars(range(min = 1, max = 1024))]
    pub dimensions: Option<usize>,
    /// What normalises inside the network. null: the batch, groups of channels where a batch has fewer than 16 images.
    pub norm: Option<Normalisation>,
    /// Puts a masked convolution with attention (SSPCAB) in the place of the decoder's last hidden convolution.
    pub sspcab: bool,
    /// What a reconstruction costs.
    pub likelihood: Likelihood,
    /// Deviation or scale of the likelihoods other than calibrated and bernoulli.
    #[schemars(range(min = 0.01, max = 10.0))]
    pub decoder_sigma: f64,
    /// Weight of the divergence: 0 is a plain auto-encoder.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub beta: f64,
    /// How training images change. null: not at all, mirrored for textures.
    pub augment: Option<Augment>,
    /// Share of the training images that the network does not learn from: they say what good differences are and which weights are best.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub held_out: f64,
    /// Takes the weights that cost least on the images held out, looked at 20 times, instead of the last.
    pub select: bool,
    /// Updates of the training.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Images of an update.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// Learning rate of Adam; a tenth of it in the last third.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Largest norm of the gradient of the cost per pixel value. null: not clipped.
    #[schemars(range(min = 0.000001))]
    pub clip: Option<f64>,
    /// What the value of a pixel is.
    pub map: Map,
    /// Brings every pixel to mean and deviation of the good images that were held out: removes differences that all images have at edges.
    pub normalise: bool,
    /// Steps by which map=vae_grad changes an image.
    #[schemars(range(min = 1, max = 100))]
    pub iterations: usize,
    /// Draws of the latent that a map is averaged over; 0 takes its mean (not for maps by gradients).
    #[schemars(range(min = 0, max = 64))]
    pub samples: usize,
    /// How an image is scored.
    pub score: Score,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing. null: a 64th of the side.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: Option<f32>,
}

impl VaeConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let (base, steps, batch, iterations) = match preset {
            Preset::Cpu => (16, 1000, 16, 30),
            Preset::Paper => (32, 20_000, 64, 100),
        };
        Self {
            preset,
            size: 128,
            texture: false,
            stride: None,
            base,
            latent: Latent::default(),
            dimensions: None,
            norm: None,
            sspcab: false,
            likelihood: Likelihood::default(),
            decoder_sigma: 0.1,
            beta: 1.0,
            augment: None,
            held_out: 0.1,
            select: true,
            steps,
            batch,
            rate: 1e-3,
            clip: Some(1.0),
            map: Map::default(),
            normalise: true,
            iterations,
            samples: 0,
            score: Score::default(),
            sigma: None,
        }
    }

    /// Values of a latent vector.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions.unwrap_or(match self.latent {
            Latent::Vector => 128,
            Latent::Spatial => 16,
        })
    }

    /// Standard deviation of the blur, in input pixels.
    pub(crate) fn blur(&self) -> f32 {
        self.sigma.unwrap_or(self.size as f32 / 64.0)
    }

    /// Pixels between parts that are scored.
    pub(crate) fn stride(&self) -> usize {
        self.stride.unwrap_or(self.size / 4).max(1)
    }

    /// How training images change.
    pub(crate) fn augment(&self) -> Augment {
        self.augment.unwrap_or(if self.texture { Augment::Flips } else { Augment::None })
    }
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}
