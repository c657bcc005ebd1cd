//! Settings of CFA.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "cfa";

/// Whose choices to follow where the released codes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The authors' code: the radius is learned; the map's blur repeats the edge.
    #[default]
    Official,
    /// anomalib: the radius stays as it starts, so that nothing is ever repelled; the map's blur mirrors at the edge.
    Anomalib,
}

/// How the backbone's maps enter the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// As they are; the descriptor gives as many values as they have channels.
    Plain,
    /// Each divided by its number of channels; the descriptor gives twice as many values as they have channels.
    Channels,
}

/// Settings of CFA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CfaConfig {
    /// Which values all other settings have that are not set: `cpu`, or `paper`, as published (the same: CFA trains for minutes as published).
    pub preset: Preset,
    /// Whose choices to follow where the released codes differ.
    pub variant: Variant,
    /// How the backbone's maps enter the descriptor. null: as published, by channels for EfficientNets, plain for others.
    pub scaling: Option<Scaling>,
    /// Positions a centre of the bank (gamma_c): 1 keeps the mean feature of every position, more group them by k-means.
    #[schemars(range(min = 1, max = 4096))]
    pub bank_compression: usize,
    /// By how much the descriptor shortens features (gamma_d).
    #[schemars(range(min = 1, max = 1024))]
    pub dimension_compression: usize,
    /// Nearest centres (K) whose spheres a good patch is drawn into; a score also compares the distances to that many.
    #[schemars(range(min = 1, max = 9))]
    pub neighbours: usize,
    /// Centres beyond those (J) from whose spheres it is kept away.
    #[schemars(range(min = 1, max = 9))]
    pub hard_negatives: usize,
    /// Divides the loss (nu): its size only matters beside the optimiser's epsilon.
    #[schemars(range(min = 0.000001, max = 1.0))]
    pub nu: f64,
    /// Margin of squared distance that hard negatives get for free (alpha).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// Radius of the spheres at the start.
    #[schemars(range(min = 0.0000001, max = 10.0))]
    pub radius: f64,
    /// Passes over the images.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Images of a step.
    #[schemars(range(min = 1, max = 256))]
    pub batch: usize,
    /// Learning rate.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Decoupled weight decay.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl Default for CfaConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

impl CfaConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let cpu = Self {
            preset: Preset::Cpu,
            variant: Variant::default(),
            scaling: None,
            bank_compression: 1,
            dimension_compression: 1,
            neighbours: 3,
            hard_negatives: 3,
            nu: 1e-3,
            alpha: 0.1,
            radius: 1e-5,
            epochs: 30,
            batch: 4,
            rate: 1e-3,
            weight_decay: 5e-4,
            sigma: 4.0,
        };
        Self { preset, ..cpu }
    }

    /// How many times the work of this training that of the other preset is.
    pub(super) fn other_work(&self) -> f64 {
        let work = |config: &Self| config.epochs as f64;
        work(&Self::of(self.preset.other())) / work(self)
    }
}
