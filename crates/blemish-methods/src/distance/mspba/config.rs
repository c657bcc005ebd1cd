//! Settings of MSPBA.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "mspba";

/// Sides of patches, largest first.
pub(super) const SIZES: [usize; 3] = [64, 32, 16];

/// How the encoders see patches, in training, bank and scoring alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Passes {
    /// One pass over the whole image, heads applied at every cell of their layer: patches see across their borders.
    Dense,
    /// Every patch cut out and encoded by itself, as published: tens to hundreds of times the work.
    Exact,
}

/// What of an image enters the encoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Pixels less the mean image, in the backbone's units: over the standard deviations that it was trained with.
    Standardised,
    /// Pixels less the mean image alone, as published: the backbone first has to get used to their small spread.
    Centred,
}

/// How the maps of the patch sizes make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combination {
    /// Their sum, as published.
    Sum,
    /// Their product.
    Product,
    /// The sum of each over its mean on held-out good images.
    NormalisedSum,
}

/// Settings of MSPBA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MspbaConfig {
    /// Which values all other settings have that are not set: `cpu`, or `paper`, as published (patches cut out one by one and 10,000 passes over the images).
    pub preset: Preset,
    /// How the encoders see patches: dense is for CPUs, exact is as published.
    pub passes: Passes,
    /// What of an image enters the encoders.
    pub input: Input,
    /// Values of an embedding (D).
    #[schemars(range(min = 2, max = 1024))]
    pub dimension: usize,
    /// Pixels between patches of 64, a power of two; with dense passes at least the stride of their layer.
    #[schemars(range(min = 1, max = 16))]
    pub stride_64: usize,
    /// Pixels between patches of 32, a power of two; with dense passes at least the stride of their layer.
    #[schemars(range(min = 1, max = 16))]
    pub stride_32: usize,
    /// Pixels between patches of 16, a power of two; with dense passes at least the stride of their layer.
    #[schemars(range(min = 1, max = 8))]
    pub stride_16: usize,
    /// Directions in which the neighbour of a patch may lie.
    #[schemars(range(min = 4, max = 36))]
    pub directions: usize,
    /// Weight of the losses of near and far patches (lambda); too much of it lets all embeddings collapse.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lambda: f64,
    /// Weight of the k-means loss: 0 as the released code works, 1 as it was meant.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cluster_weight: f64,
    /// Centres of the k-means loss, for each patch size.
    #[schemars(range(min = 1, max = 1000))]
    pub clusters: usize,
    /// Standard deviation of the noise on pixels and on whole channels in training, of values from 0 to 1.
    #[schemars(range(min = 0.0, max = 0.2))]
    pub noise: f32,
    /// Passes over the images; published are 10,000 with `repeats=1` and `batch=64`.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Images of a step.
    #[schemars(range(min = 1, max = 256))]
    pub batch: usize,
    /// Samples that a step takes from each of its images, for each loss and patch size.
    #[schemars(range(min = 1, max = 1024))]
    pub repeats: usize,
    /// Learning rate of Adam, as published; a faster one makes the backbone forget what it knew.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Share of the patches of good images that the banks keep.
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub coreset_ratio: f64,
    /// Most patches that each bank keeps; bounds model size and scoring time.
    #[schemars(range(min = 1))]
    pub coreset_max: usize,
    /// Nearest bank entries whose distances are averaged into a patch score.
    #[schemars(range(min = 1, max = 9))]
    pub neighbours: usize,
    /// How the maps of the patch sizes make one.
    pub combination: Combination,
}

impl Default for MspbaConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

impl MspbaConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let cpu = Self {
            preset: Preset::Cpu,
            passes: Passes::Dense,
            input: Input::Standardised,
            dimension: 64,
            stride_64: 16,
            stride_32: 4,
            stride_16: 4,
            directions: 12,
            lambda: 1e-3,
            cluster_weight: 0.0,
            clusters: 50,
            noise: 0.02,
            epochs: 5,
            batch: 4,
            repeats: 32,
            rate: 1e-5,
            coreset_ratio: 0.1,
            coreset_max: 10_000,
            neighbours: 1,
            combination: Combination::NormalisedSum,
        };
        match preset {
            Preset::Cpu => cpu,
            Preset::Paper => Self {
                preset,
                passes: Passes::Exact,
                input: Input::Centred,
                epochs: 10_000,
                batch: 64,
                repeats: 1,
                combination: Combination::Sum,
                ..cpu
            },
        }
    }

    /// How many times the work of this training that of the other preset is.
    pub(super) fn other_work(&self) -> f64 {
        let work = |config: &Self| {
            // Pixels that the encoders see of an image: all, or two losses' pairs of patches of every size.
            let pixels: usize = match config.passes {
                Passes::Dense => 256 * 256,
                Passes::Exact => config.repeats * SIZES.iter().map(|side| 4 * side * side).sum::<usize>(),
            };
            config.epochs as f64 * pixels as f64
        };
        work(&Self::of(self.preset.other())) / work(self)
    }
}
