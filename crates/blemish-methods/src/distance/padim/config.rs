//! Settings of PaDiM.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "padim";

/// Whose choices to follow where the widely used codes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The reference re-implementation: shorter side to 256, centre crop 224, blur that repeats the edge.
    Official,
    /// anomalib: 256x256 without crop, blur that mirrors at the edge, 1e-5 more on the diagonal.
    #[default]
    Anomalib,
}

/// Precision of the stored Gaussians.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    Single,
    /// 16-bit floats: half the file, faster scoring, maps within a small fraction of a percent.
    Half,
    /// Bytes with a step for each row: a quarter of the file, maps within a percent.
    #[default]
    Byte,
}

/// Settings of PaDiM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PadimConfig {
    /// Whose choices to follow where the widely used codes differ.
    pub variant: Variant,
    /// Channels drawn at random of all the layers' channels (d). null: 100, or 550 where there are more than 1,000 channels.
    #[schemars(range(min = 1))]
    pub dimensions: Option<usize>,
    /// What is added to the diagonal of every covariance.
    #[schemars(range(min = 0.000001, max = 10.0))]
    pub epsilon: f64,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
    /// Precision of the stored Gaussians.
    pub precision: Precision,
    /// Keep the moments as well, so that the model can be updated and merged exactly; the file grows about fivefold.
    pub updatable: bool,
}

impl Default for PadimConfig {
    fn default() -> Self {
        Self {
            variant: Variant::default(),
            dimensions: None,
            epsilon: 0.01,
            sigma: 4.0,
            precision: Precision::default(),
            updatable: false,
        }
    }
}
