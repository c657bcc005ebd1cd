//! Settings of PatchCore.

use crate::shared::bank::{BankOptions, FirstPick, Projected, Search};
use crate::shared::embedding::Aggregation;
use blemish_core::map::Interpolation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "patchcore";

/// Whose choices to follow where the released codes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The authors' code: neighbourhoods pooled to fixed lengths, squared distances, maximum as image score.
    Official,
    /// anomalib: mean of the neighbourhood, distances with the root, re-weighted image score.
    #[default]
    Anomalib,
}

/// How patch scores make an image score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageScore {
    /// The worst patch.
    Max,
    /// The worst patch, weighted by how isolated its nearest bank entry is (paper, equation 7).
    Reweighted,
}

/// Settings of PatchCore. Those that are `null` follow from the variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PatchCoreConfig {
    /// Whose choices to follow where the released codes differ.
    pub variant: Variant,
    /// Side of the neighbourhood that is averaged around every position; odd.
    #[schemars(range(min = 1, max = 7))]
    pub patch_size: usize,
    /// Length each layer's neighbourhood is pooled to (official variant).
    #[schemars(range(min = 1))]
    pub pretrain_dimension: usize,
    /// Length of a patch feature after joining the layers (official variant).
    #[schemars(range(min = 1))]
    pub target_dimension: usize,
    /// Share of all patches that the coreset keeps.
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub coreset_ratio: f64,
    /// Most patches that the coreset keeps at any ratio: bounds model size and scoring time.
    #[schemars(range(min = 1))]
    pub coreset_max: usize,
    /// Dimensions of the random projection in which the coreset is chosen; 0 chooses among the features themselves. null: 128 (official), by the
    /// Johnson-Lindenstrauss bound (anomalib).
    pub projection_dimension: Option<usize>,
    /// Random points whose mean distance starts the coreset (official variant).
    #[schemars(range(min = 1, max = 100))]
    pub starting_points: usize,
    /// How the nearest bank entries are found.
    pub search: Search,
    /// Nearest bank entries whose distances are averaged into a patch score.
    #[schemars(range(min = 1, max = 9))]
    pub neighbours: usize,
    /// How patch scores make an image score. null: max (official), reweighted (anomalib).
    pub image_score: Option<ImageScore>,
    /// Bank entries around the nearest one that weigh the image score (b of equation 7); 1 is the plain maximum.
    #[schemars(range(min = 1, max = 20))]
    pub reweight_neighbours: usize,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
    /// Interpolation of the map to the input's size. null: bilinear (official), nearest (anomalib).
    pub interpolation: Option<Interpolation>,
    /// Measure the covering radius on the features themselves where the coreset was chosen on projections (one more search), so that
    /// updates and merges can state theirs.
    pub updatable: bool,
    /// Models of about equal share that are to be merged. Each keeps that many times the picks of its bank, and the merged bank's
    /// covering radius is then at most 4 times the smallest possible one. 1 keeps the bank alone.
    #[schemars(range(min = 1, max = 1000))]
    pub shards: usize,
}

impl Default for PatchCoreConfig {
    fn default() -> Self {
        Self {
            variant: Variant::default(),
            patch_size: 3,
            pretrain_dimension: 1024,
            target_dimension: 1024,
            coreset_ratio: 0.1,
            coreset_max: 20_000,
            projection_dimension: None,
            starting_points: 10,
            search: Search::default(),
            neighbours: 1,
            image_score: None,
            reweight_neighbours: 9,
            sigma: 4.0,
            interpolation: None,
            updatable: false,
            shards: 1,
        }
    }
}

impl PatchCoreConfig {
    /// The image score rule, the variant's own where none was set.
    pub fn image_score(&self) -> ImageScore {
        self.image_score.unwrap_or(match self.variant {
            Variant::Official => ImageScore::Max,
            Variant::Anomalib => ImageScore::Reweighted,
        })
    }

    /// The interpolation of the map, the variant's own where none was set.
    pub fn interpolation(&self) -> Interpolation {
        self.interpolation.unwrap_or(match self.variant {
            Variant::Official => Interpolation::Bilinear,
            Variant::Anomalib => Interpolation::Nearest,
        })
    }

    pub(super) fn aggregation(&self) -> Aggregation {
        let size = self.patch_size;
        match self.variant {
            Variant::Official => {
                Aggregation::Pooled { size, layer: self.pretrain_dimension, joined: self.target_dimension }
            }
            Variant::Anomalib => Aggregation::Mean { size },
        }
    }

    pub(super) fn bank(&self) -> BankOptions {
        BankOptions {
            method: NAME,
            ratio: self.coreset_ratio,
            min: 0,
            max: self.coreset_max,
            shards: self.shards,
            is_updatable: self.updatable,
            projection: match (self.projection_dimension, self.variant) {
                (Some(0), _) => Projected::No,
                (Some(to), _) => Projected::To(to),
                (None, Variant::Official) => Projected::To(128),
                (None, Variant::Anomalib) => Projected::WithinDistortion,
            },
            start: match self.variant {
                Variant::Official => FirstPick::FarFromRandom(self.starting_points),
                Variant::Anomalib => FirstPick::Random,
            },
            search: self.search,
        }
    }
}
