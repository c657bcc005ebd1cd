//! How a bank is chosen and searched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the nearest entries of a bank are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// All entries are compared, in blocks.
    #[default]
    Exact,
    /// A graph over the entries leads to near ones (builds with the feature `ann`); pays past about a million entries.
    Approximate,
}

/// How a bank is chosen among the patches of the good images.
#[derive(Clone, Debug)]
pub(crate) struct BankOptions {
    /// Whose bank it is, for errors.
    pub method: &'static str,
    /// Share of all patches that the bank keeps.
    pub ratio: f64,
    /// Fewest patches it keeps, where there are as many.
    pub min: usize,
    /// Most patches it keeps.
    pub max: usize,
    /// Models of about equal share that are to be merged; each keeps that many times its picks.
    pub shards: usize,
    /// Measure the covering radius on the features where the choice was made on projections.
    pub is_updatable: bool,
    /// What the coreset is chosen on.
    pub projection: Projected,
    /// Where the choice starts.
    pub start: FirstPick,
    /// How the nearest entries are found.
    pub search: Search,
}

/// What the coreset is chosen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Projected {
    /// The features themselves.
    No,
    /// A Gaussian projection to so many dimensions, where features are longer.
    To(usize),
    /// A sparse projection of the length that the Johnson-Lindenstrauss bound asks for, where features are longer.
    WithinDistortion,
}

/// Where the choice of a coreset starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstPick {
    /// A random patch.
    Random,
    /// The patch farthest from so many random ones on average; these do not count as picks.
    FarFromRandom(usize),
}
