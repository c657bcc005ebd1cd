//! Settings of PNI.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "pni";

/// Which gate by neighbourhood and which start of the coreset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The paper's formulas: the centre is left out of its neighbourhood, an entry's gate is that of the entry itself.
    #[default]
    Published,
    /// As the authors' code: the cell right of the centre is left out instead, gates are looked up by ranks of distances, and the
    /// random start of the coreset is not kept.
    Released,
}

/// Settings of PNI. Those that are `null` follow from the preset, the backbone or the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PniConfig {
    /// How large networks and images are: `cpu` has 256 px, of which 3x3 neighbourhoods show as much as 5x5 at 480 px, a tenth of the patches
    /// in the coreset, 512 entries in the distribution, neighbours in 64 dimensions, three linear layers of width 512 and 20,000 positions an
    /// epoch. `paper`: 480 px, 5x5 neighbourhoods, a hundredth, 2,048 entries, all dimensions, ten linear layers of width 2,048, every position
    /// in every epoch; days on a CPU.
    pub preset: Preset,
    /// Whose formulas to follow where paper and released code differ.
    pub variant: Variant,
    /// Whether entries must have been seen near the position.
    pub position: bool,
    /// Whether entries must be likely given the features around.
    pub neighbourhood: bool,
    /// Whether a network trained on made-up defects sharpens the map.
    pub refinement: bool,
    /// Side of the neighbourhood that a patch feature pools; odd. Half of it, rounded down, is the rim that is not scored. null: 3
    /// (cpu), 5 (paper).
    #[schemars(range(min = 1, max = 7))]
    pub patch_size: Option<usize>,
    /// Length of a patch feature. null: the channels of the layers together, at most 1024.
    #[schemars(range(min = 1, max = 8192))]
    pub dimensions: Option<usize>,
    /// Share of the patches in the coreset that distances are measured to. null: 0.1 (cpu), 0.01 (paper).
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub coreset_ratio: Option<f64>,
    /// Share of the patches in the coreset whose positions are learnt: the first picks of the other. Further entries are allowed where the
    /// nearest of these is. A larger one than `coreset_ratio` is cut to it.
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub position_ratio: f64,
    /// Most entries of either, at any ratio.
    #[schemars(range(min = 1, max = 100000))]
    pub coreset_max: usize,
    /// Entries of the coreset that the neighbourhood gives probabilities of. null: 512 (cpu), 2048 (paper).
    #[schemars(range(min = 2, max = 100000))]
    pub distribution_size: Option<usize>,
    /// Cells to each side that position and neighbourhood look at: windows of 2 half_window + 1.
    #[schemars(range(min = 1, max = 8))]
    pub half_window: usize,
    /// A condition opens an entry's gate from this share of 1 / coreset on.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub threshold: f64,
    /// Divides the network's logits before the softmax.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub temperature: f64,
    /// Rate of the exponential density of distances: a factor of the scores.
    #[schemars(range(min = 0.000001, max = 1000.0))]
    pub lambda: f32,
    /// Dimensions of the features around a position that the network sees, by principal directions; 0 for all. null: 64 (cpu), 0
    /// (paper).
    #[schemars(range(min = 0, max = 8192))]
    pub neighbour_dimensions: Option<usize>,
    /// Linear layers of the network. null: 3 (cpu), 10 (paper).
    #[schemars(range(min = 1, max = 32))]
    pub layers: Option<usize>,
    /// Width of its hidden layers. null: 512 (cpu), 2048 (paper).
    #[schemars(range(min = 1, max = 8192))]
    pub width: Option<usize>,
    /// Share of the hidden values that a training step drops.
    #[schemars(range(min = 0.0, max = 0.95))]
    pub dropout: f64,
    /// Epochs of its training; the learning rate falls to a tenth after each third.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Positions drawn for an epoch; 0 for all. null: 20000 (cpu), 0 (paper).
    pub positions: Option<usize>,
    /// Positions of a training step. null: 512 (cpu), 2048 (paper).
    #[schemars(range(min = 2, max = 65536))]
    pub batch: Option<usize>,
    /// Learning rate of Adam.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Share of the images that the best epoch is chosen on; they are not trained on.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation: f64,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing. null: 8 for 480 pixels on the shorter side, in proportion.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: Option<f32>,
    /// Share of the refined map in the final one; the rest is the map as it was.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub refine_weight: f32,
    /// Side that images and maps are resized to for the refinement, in pixels, a multiple of 32; 320 in the released code.
    #[schemars(range(min = 32, max = 1024))]
    pub refine_side: usize,
    /// Made-up defects that the refinement learns from, one in five of them none at all.
    #[schemars(range(min = 2))]
    pub refine_samples: usize,
    /// Training steps of the refinement; 55,000 in the released code.
    #[schemars(range(min = 1))]
    pub refine_steps: u64,
    /// Samples of a step.
    #[schemars(range(min = 1, max = 1024))]
    pub refine_batch: usize,
    /// Its learning rate. Ten times as much spoils what the encoder brings along from ImageNet, and nothing is learnt.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub refine_rate: f64,
}

impl Default for PniConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

impl PniConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        Self {
            preset,
            variant: Variant::default(),
            position: true,
            neighbourhood: true,
            refinement: false,
            patch_size: None,
            dimensions: None,
            coreset_ratio: None,
            position_ratio: 0.01,
            coreset_max: 20_000,
            distribution_size: None,
            half_window: 4,
            threshold: 0.5,
            temperature: 2.0,
            lambda: 0.99,
            neighbour_dimensions: None,
            layers: None,
            width: None,
            dropout: 0.5,
            epochs: 15,
            positions: None,
            batch: None,
            rate: 1e-3,
            validation: 0.1,
            sigma: None,
            refine_weight: 0.1,
            refine_side: 192,
            refine_samples: 400,
            refine_steps: 600,
            refine_batch: 8,
            refine_rate: 1e-4,
        }
    }
}

impl PniConfig {
    /// How many times the work of this training that of the other preset is, for about a hundred images.
    pub(super) fn other_work(&self) -> f64 {
        let work = |config: &Self| {
            let positions = if config.positions() == 0 { 100 * 60 * 60 } else { config.positions() };
            config.epochs as f64 * (positions * config.layers() * config.width() * config.width()) as f64
        };
        work(&Self::of(self.preset.other())) / work(self)
    }

    fn preset<T>(&self, own: Option<T>, cpu: T, paper: T) -> T {
        own.unwrap_or(match self.preset {
            Preset::Cpu => cpu,
            Preset::Paper => paper,
        })
    }

    /// Length of a patch feature, once settled.
    pub(super) fn dimensions(&self) -> usize {
        self.dimensions.unwrap_or(1024)
    }

    /// Dimensions of the features around a position; 0 for all.
    pub(super) fn neighbour_dimensions(&self) -> usize {
        self.preset(self.neighbour_dimensions, 64, 0)
    }

    /// Linear layers of the network.
    pub(super) fn layers(&self) -> usize {
        self.preset(self.layers, 3, 10)
    }

    /// Width of its hidden layers.
    pub(super) fn width(&self) -> usize {
        self.preset(self.width, 512, 2048)
    }

    /// Positions drawn for an epoch; 0 for all.
    pub(super) fn positions(&self) -> usize {
        self.preset(self.positions, 20_000, 0)
    }

    /// Positions of a training step.
    pub(super) fn batch(&self) -> usize {
        self.preset(self.batch, 512, 2048)
    }

    /// Side of the neighbourhood that a patch feature pools.
    pub(super) fn patch_size(&self) -> usize {
        self.preset(self.patch_size, 3, 5)
    }

    /// Share of the patches in the coreset that distances are measured to.
    pub(super) fn coreset_ratio(&self) -> f64 {
        self.preset(self.coreset_ratio, 0.1, 0.01)
    }

    /// Entries of the coreset that the neighbourhood gives probabilities of.
    pub(super) fn distribution_size(&self) -> usize {
        self.preset(self.distribution_size, 512, 2048)
    }

    /// Cells of the border that are not scored.
    pub(super) fn rim(&self) -> usize {
        self.patch_size() / 2
    }

    /// The probability from which on a condition opens the gates of `entries` entries.
    pub(super) fn threshold(&self, entries: usize) -> f32 {
        (self.threshold / entries as f64) as f32
    }

    /// The same settings with every choice that follows from others filled in, for features of `channels` joined channels and images of
    /// this size.
    pub(super) fn settled(&self, channels: usize, (height, width): (usize, usize)) -> Self {
        Self {
            patch_size: Some(self.patch_size()),
            coreset_ratio: Some(self.coreset_ratio()),
            distribution_size: Some(self.distribution_size()),
            dimensions: Some(self.dimensions.unwrap_or(channels.min(1024))),
            neighbour_dimensions: Some(self.neighbour_dimensions()),
            layers: Some(self.layers()),
            width: Some(self.width()),
            positions: Some(self.positions()),
            batch: Some(self.batch()),
            sigma: Some(self.sigma.unwrap_or(8.0 * height.min(width) as f32 / 480.0)),
            ..self.clone()
        }
    }
}
