//! Settings of FAPM.

use crate::shared::bank::{BankOptions, FirstPick, Projected, Search};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "fapm";

/// How many features the bank of a region keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sizing {
    /// More where the features of a region are spread out (patch-wise adaptive coreset).
    #[default]
    Adaptive,
    /// The same share everywhere.
    Uniform,
}

/// Which cell of a deep layer a cell of the shallow one goes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correspondence {
    /// The one that it lies in.
    #[default]
    Position,
    /// As in the released code: the cells of a region are numbered row by row, and each deep one goes with the next few shallow ones.
    Released,
}

/// The neighbour whose distance weighs the image score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// The farthest of the neighbours, as in the released code.
    Official,
    /// The nearest, as in PatchCore's equation 7.
    #[default]
    Nearest,
}

/// Settings of FAPM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FapmConfig {
    /// Regions along each side, each with a bank of its own; at most the cells of the deepest layer. 1 is one bank a layer.
    #[schemars(range(min = 1, max = 64))]
    pub regions: usize,
    /// Cells of the deepest layer around a region whose features also go into its bank, for parts that are not quite aligned; published
    /// is 0.
    #[schemars(range(min = 0, max = 8))]
    pub margin: usize,
    /// Share of a region's features that its bank keeps.
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub coreset_ratio: f64,
    /// How many features the bank of a region keeps.
    pub sizing: Sizing,
    /// How many times more features the banks of spread-out regions keep.
    #[schemars(range(min = 1, max = 10))]
    pub adaptive_ratio: usize,
    /// A region is spread out if the covering radius of its coreset exceeds this many times the mean of all regions.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub far_threshold: f32,
    /// Nearest bank entries of each feature (k).
    #[schemars(range(min = 1, max = 9))]
    pub neighbours: usize,
    /// Side of the neighbourhood that is averaged around every position; odd.
    #[schemars(range(min = 1, max = 7))]
    pub patch_size: usize,
    /// Which cell of a deep layer a cell of the shallow one goes with.
    pub correspondence: Correspondence,
    /// The neighbour whose distance weighs the image score.
    pub weighting: Weighting,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl Default for FapmConfig {
    fn default() -> Self {
        Self {
            regions: 7,
            margin: 1,
            coreset_ratio: 0.1,
            sizing: Sizing::default(),
            adaptive_ratio: 2,
            far_threshold: 1.0,
            neighbours: 4,
            patch_size: 3,
            correspondence: Correspondence::default(),
            weighting: Weighting::default(),
            sigma: 4.0,
        }
    }
}

impl FapmConfig {
    /// The bank of one region of one layer; what a spread-out region keeps beyond it lies in its reserve.
    pub(super) fn bank(&self) -> BankOptions {
        let reserve = match self.sizing {
            Sizing::Adaptive => self.adaptive_ratio,
            Sizing::Uniform => 1,
        };
        BankOptions {
            method: NAME,
            ratio: self.coreset_ratio,
            // The released code's k neighbours need as many entries.
            min: self.neighbours,
            max: usize::MAX,
            shards: reserve,
            is_updatable: false,
            projection: Projected::No,
            start: FirstPick::Random,
            search: Search::Exact,
        }
    }
}
