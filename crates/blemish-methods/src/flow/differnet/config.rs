//! Settings of DifferNet.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a defect lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Localisation {
    /// By the gradient of the loss with respect to the pixels: coarse, and as expensive as the score.
    #[default]
    Gradient,
    /// The map is the image's score everywhere.
    None,
}

/// Settings of DifferNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DifferNetConfig {
    /// Which values all other settings have that are not set: `cpu`, or `paper`, as published (192 passes over 4 rotations of 240 images).
    pub preset: Preset,
    /// Coupling blocks of the flow.
    #[schemars(range(min = 1, max = 32))]
    pub blocks: usize,
    /// Hidden width of a coupling's subnets. As published; 512 is usually enough, has a twelfth of the weights and fits small sets less
    /// closely.
    #[schemars(range(min = 1, max = 8192))]
    pub width: usize,
    /// The soft clamp's constant: a factor stays within exp(-clamp) and exp(clamp).
    #[schemars(range(min = 0.1, max = 5.0))]
    pub clamp: f64,
    /// Sizes of an image that are seen: whole, a half, a quarter.
    #[schemars(range(min = 1, max = 3))]
    pub scales: usize,
    /// Largest rotation in degrees, either way; 0 where orientation matters.
    #[schemars(range(min = 0.0, max = 180.0))]
    pub rotation: f64,
    /// Rotations of each training image.
    #[schemars(range(min = 1, max = 360))]
    pub train_transforms: usize,
    /// Rotations that an image's score is the mean of; the time of scoring is proportional to it. 8 to 16 change scores little.
    #[schemars(range(min = 1, max = 360))]
    pub transforms: usize,
    /// How the map is made.
    pub map: Localisation,
    /// Rotations that a gradient map is the mean of; published are as many as for the score.
    #[schemars(range(min = 1, max = 360))]
    pub map_transforms: usize,
    /// Standard deviation of the blur of gradients, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
    /// Updates of the training. Published are 192 epochs of 4 rotations an image, 8 updates for each training image.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Rotated images of an update.
    #[schemars(range(min = 1, max = 4096))]
    pub batch: usize,
    /// Learning rate of Adam.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
}

impl Default for DifferNetConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

impl DifferNetConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let cpu = Self {
            preset: Preset::Cpu,
            blocks: 8,
            width: 2048,
            clamp: 3.0,
            scales: 3,
            rotation: 180.0,
            train_transforms: 16,
            transforms: 64,
            map: Localisation::default(),
            map_transforms: 8,
            sigma: 3.0,
            steps: 1000,
            batch: 96,
            rate: 2e-4,
        };
        match preset {
            Preset::Cpu => cpu,
            Preset::Paper => Self { preset, steps: 1920, map_transforms: 64, ..cpu },
        }
    }

    /// How many times the work of this training that of the other preset is.
    pub(super) fn other_work(&self) -> f64 {
        let work = |config: &Self| {
            (config.steps * config.batch as u64) as f64
                * (config.width * (config.width + 576) * config.blocks) as f64
        };
        work(&Self::of(self.preset.other())) / work(self)
    }
}
