//! Settings of FastFlow.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kernels of the couplings' subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// 3x3 in every step.
    Three,
    /// 3x3 and 1x1 by turns, 3x3 first.
    Alternating,
}

/// Layer normalisation of a feature map before the flow, over channels and positions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Mean 0 and variance 1, nothing learned.
    Fixed,
    /// As the released re-implementations: a learned scale and shift per value, which the likelihood does not count.
    #[default]
    Learned,
    /// None, for features that are normalised already.
    None,
}

/// Settings of FastFlow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FastFlowConfig {
    /// Which values all other settings have that are not set: `cpu`, or `paper`, as published (500 passes over the images).
    pub preset: Preset,
    /// Coupling blocks of each map's flow.
    #[schemars(range(min = 1, max = 32))]
    pub blocks: usize,
    /// Kernels of the couplings' subnets. null: 3x3 for maps of up to 256 channels, else 3x3 and 1x1 by turns, as published.
    pub kernels: Option<Kernels>,
    /// Hidden channels of a subnet as a share of its input channels.
    #[schemars(range(min = 0.05, max = 4.0))]
    pub hidden_ratio: f64,
    /// Bound of the logarithm of a coupling's scale.
    #[schemars(range(min = 0.1, max = 5.0))]
    pub clamp: f64,
    /// Layer normalisation before the flow.
    pub norm: Norm,
    /// Updates of the training.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Images of an update.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// Learning rate of Adam.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Weight decay.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Largest norm of the gradient of the loss per value of the maps. null: not clipped, as published.
    #[schemars(range(min = 0.000001))]
    pub clip: Option<f64>,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl Default for FastFlowConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

impl FastFlowConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let cpu = Self {
            preset: Preset::Cpu,
            blocks: 8,
            kernels: None,
            hidden_ratio: 1.0,
            clamp: 2.0,
            norm: Norm::default(),
            steps: 200,
            batch: 32,
            rate: 1e-3,
            weight_decay: 1e-5,
            clip: None,
            sigma: 0.0,
        };
        match preset {
            Preset::Cpu => cpu,
            Preset::Paper => Self { preset, steps: 3500, ..cpu },
        }
    }

    /// How many times the work of this training that of the other preset is.
    pub(super) fn other_work(&self) -> f64 {
        let work = |config: &Self| {
            (config.steps * config.batch as u64) as f64 * config.blocks as f64 * config.hidden_ratio
        };
        work(&Self::of(self.preset.other())) / work(self)
    }
}
