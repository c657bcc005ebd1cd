//! Settings of CS-Flow.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an image's score comes from the latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Mean of z^2 / 2 over all values of all scales, as published.
    #[default]
    Mean,
    /// The largest value of the map, for small defects.
    Max,
}

/// Settings of CS-Flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CsFlowConfig {
    /// Which values all other settings have that are not set: `cpu`, or `paper`, as published (768 pixels, 1024 hidden channels and 240 passes over 240 images).
    pub preset: Preset,
    /// Coupling blocks; the last has kernels of 5x5, the others of 3x3.
    #[schemars(range(min = 1, max = 16))]
    pub blocks: usize,
    /// Channels inside the subnets; 1024 in the paper.
    #[schemars(range(min = 1, max = 4096))]
    pub hidden: usize,
    /// Bound of the logarithm of a coupling's scale.
    #[schemars(range(min = 0.1, max = 5.0))]
    pub clamp: f64,
    /// Side of the square that images are resized to, a multiple of 128.
    #[schemars(range(min = 128, max = 2048))]
    pub side: usize,
    /// How an image's score comes from the latent.
    pub score: Score,
    /// Updates of the training; the paper makes 240 passes over the images, and few updates detect nothing.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Images of an update.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// Learning rate of Adam.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Largest norm of the gradient.
    #[schemars(range(min = 0.000001))]
    pub clip: f64,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl Default for CsFlowConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

impl CsFlowConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let cpu = Self {
            preset: Preset::Cpu,
            blocks: 4,
            hidden: 128,
            clamp: 3.0,
            side: 256,
            score: Score::default(),
            steps: 900,
            batch: 8,
            rate: 1e-3,
            clip: 1.0,
            sigma: 0.0,
        };
        match preset {
            Preset::Cpu => cpu,
            Preset::Paper => {
                Self { preset, hidden: 1024, side: 768, steps: 3600, batch: 16, rate: 2e-4, ..cpu }
            }
        }
    }

    /// How many times the work of this training that of the other preset is.
    pub(super) fn other_work(&self) -> f64 {
        let work = |config: &Self| {
            (config.steps * config.batch as u64) as f64
                * (config.side * config.side * config.hidden * config.blocks) as f64
        };
        work(&Self::of(self.preset.other())) / work(self)
    }
}
