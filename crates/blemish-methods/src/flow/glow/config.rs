//! Settings of Glow.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the density is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Feature maps of the backbone, each layer with a flow of its own.
    #[default]
    Features,
    /// The pixels. Their likelihood alone is a poor score (smooth images are likely): set score to typicality or complexity.
    Image,
}

/// How an image is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The largest value of the map: small defects count.
    #[default]
    Max,
    /// Mean negative log-likelihood per dimension.
    Mean,
    /// Distance of the mean from that of the training images: too likely is odd, too.
    Typicality,
    /// Bits of the likelihood less bits of a lossless compression, per dimension (input=image).
    Complexity,
}

/// What a coupling does to the second half of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouplingKind {
    /// Shift and scale.
    #[default]
    Affine,
    /// Shift.
    Additive,
}

/// Settings of Glow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlowConfig {
    /// Which values all other settings have that are not set: `cpu`, or `paper`, as published (32 steps a level with subnets of 512 channels).
    pub preset: Preset,
    /// What the density is of.
    pub input: Input,
    /// How an image is scored.
    pub score: Score,
    /// Levels; each but the last sends half of its channels out. null: 1 without squeezing for features, 3 with it for pixels.
    #[schemars(range(min = 1, max = 6))]
    pub levels: Option<usize>,
    /// Steps of a level (actnorm, 1x1 convolution, coupling). null: 8 for features, 16 for pixels; 32 in the paper.
    #[schemars(range(min = 1, max = 64))]
    pub depth: Option<usize>,
    /// Channels inside the subnets. null: as many as the map has, at most 512, for features; 128 for pixels, 512 in the paper.
    #[schemars(range(min = 1, max = 2048))]
    pub width: Option<usize>,
    /// What a coupling does.
    pub coupling: CouplingKind,
    /// Smallest scale of a coupling; 0, as published, can make the inverse explode.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub floor: f64,
    /// Bits of a colour that are kept (input=image).
    #[schemars(range(min = 1, max = 8))]
    pub bits: u32,
    /// Draws of the noise between grey levels that a score averages over (input=image).
    #[schemars(range(min = 1, max = 64))]
    pub draws: u64,
    /// Updates of the training of each flow.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Images of an update.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// Learning rate of Adam, after a warm-up over the first tenth of the updates.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Largest norm of the gradient of the loss per dimension.
    #[schemars(range(min = 0.000001))]
    pub clip: f64,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl Default for GlowConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

impl GlowConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let cpu = Self {
            preset: Preset::Cpu,
            input: Input::default(),
            score: Score::default(),
            levels: None,
            depth: None,
            width: None,
            coupling: CouplingKind::default(),
            floor: 0.01,
            bits: 8,
            draws: 1,
            steps: 300,
            batch: 16,
            rate: 2e-4,
            clip: 10.0,
            sigma: 4.0,
        };
        match preset {
            Preset::Cpu => cpu,
            Preset::Paper => Self { preset, depth: Some(32), width: Some(512), steps: 3000, ..cpu },
        }
    }

    /// How many times the work of this training that of the other preset is.
    pub(super) fn other_work(&self) -> f64 {
        let work = |config: &Self| {
            let depth = config.depth.unwrap_or(if config.input == Input::Image { 16 } else { 8 });
            let width = config.width.unwrap_or(if config.input == Input::Image { 128 } else { 256 });
            (config.steps * config.batch as u64) as f64 * (depth * width * (width + 256)) as f64
        };
        work(&Self::of(self.preset.other())) / work(self)
    }
}
