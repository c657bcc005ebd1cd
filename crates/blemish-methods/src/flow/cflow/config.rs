//! Settings of CFlow.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What mixes channels between blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mixing {
    /// A fixed random rotation, as in the official code.
    Rotation,
    /// A fixed random order, as in anomalib: costs nothing.
    Index,
}

/// How the learning rate goes over the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rates {
    /// A warm-up, then down along a cosine to a thousandth, as in the official code.
    #[default]
    Cosine,
    /// The same throughout, as in anomalib.
    Constant,
}

/// Settings of CFlow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CFlowConfig {
    /// Which values all other settings have that are not set: `cpu`, or `paper`, as published (200 passes over the images).
    pub preset: Preset,
    /// Coupling blocks of each layer's flow.
    #[schemars(range(min = 1, max = 32))]
    pub blocks: usize,
    /// Channels of the code from which a subnet knows where a position lies, a multiple of 4; 0 for none (parts in any position).
    #[schemars(range(min = 0, max = 1024))]
    pub condition: usize,
    /// Bound of the logarithm of a coupling's scale.
    #[schemars(range(min = 0.1, max = 5.0))]
    pub clamp: f64,
    /// What mixes channels between blocks. null: a rotation for maps of up to 512 channels, else an order.
    pub mixing: Option<Mixing>,
    /// Passes over the images for each layer; the paper trains for 200.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Images whose positions are shuffled together.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// Positions of an update: 256 in the official code, 64 in anomalib. More train faster.
    #[schemars(range(min = 1))]
    pub fibers: usize,
    /// Learning rate of Adam, after the warm-up if there is one.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// How the learning rate goes over the training.
    pub rates: Rates,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl Default for CFlowConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

impl CFlowConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let cpu = Self {
            preset: Preset::Cpu,
            blocks: 8,
            condition: 128,
            clamp: 1.9,
            mixing: None,
            epochs: 25,
            batch: 32,
            fibers: 256,
            rate: 2e-4,
            rates: Rates::default(),
            sigma: 0.0,
        };
        match preset {
            Preset::Cpu => cpu,
            Preset::Paper => Self { preset, epochs: 200, ..cpu },
        }
    }

    /// How many times the work of this training that of the other preset is.
    pub(super) fn other_work(&self) -> f64 {
        let work = |config: &Self| config.epochs as f64 * config.blocks as f64;
        work(&Self::of(self.preset.other())) / work(self)
    }
}
