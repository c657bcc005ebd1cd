//! Settings of DRAEM.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an image is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The largest mean of the map over a window, as published.
    #[default]
    Smoothed,
    /// The largest value of the map, as anomalib has it.
    Max,
}

/// Where a self-supervised predictive block stands instead of convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sspcab {
    /// Nowhere.
    #[default]
    Off,
    /// In the last stage of both networks' encoders, as its authors say.
    On,
    /// In that of the repairing network only and without its ReLU, as anomalib has it.
    Anomalib,
}

/// Settings of DRAEM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DraemConfig {
    /// Where the values of settings that are not set come from.
    pub preset: Preset,
    /// Height and width of images by default, a multiple of 32.
    #[schemars(range(min = 32, max = 2048))]
    pub side: usize,
    /// Channels of the repairing network's first stage; 128 in the paper.
    #[schemars(range(min = 1, max = 512))]
    pub repair_width: usize,
    /// Channels of the segmenting network's first stage; 64 in the paper.
    #[schemars(range(min = 1, max = 512))]
    pub segment_width: usize,
    /// Updates of the training. null: 700 rounds over the images, as published.
    #[schemars(range(min = 1))]
    pub steps: Option<u64>,
    /// Images of an update.
    #[schemars(range(min = 1, max = 256))]
    pub batch: usize,
    /// Learning rate of Adam; a fifth of it after 80 % of the updates, a fifth of that after 90 %.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Share of the training images that get a defect.
    #[schemars(range(min = 0.05, max = 1.0))]
    pub defects: f32,
    /// Largest share of the image that shows through a defect; it is drawn from 0 to this.
    #[schemars(range(min = 0.0, max = 0.95))]
    pub beta: f32,
    /// Share of the training images that are turned; 0 for parts that always lie alike.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub turned: f64,
    /// Largest angle of those, in degrees.
    #[schemars(range(min = 0.0, max = 180.0))]
    pub rotation: f32,
    /// Exponent of the focal loss.
    #[schemars(range(min = 0.0, max = 8.0))]
    pub gamma: f64,
    /// Whether made-up defects of grey images are grey, so that colour alone does not give them away.
    pub keeps_grey: bool,
    /// Where self-supervised predictive blocks (SSPCAB) stand.
    pub sspcab: Sspcab,
    /// Weight of their loss.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub sspcab_weight: f64,
    /// How an image is scored.
    pub score: Score,
    /// Side of the window that a score averages over, in pixels of the network's input, odd; 21 of 256 in the paper.
    #[schemars(range(min = 1, max = 255))]
    pub window: usize,
}

impl DraemConfig {
    /// All values of a preset.
    pub fn of(preset: Preset) -> Self {
        let paper = Self {
            preset,
            side: 256,
            repair_width: 128,
            segment_width: 64,
            steps: None,
            batch: 8,
            rate: 1e-4,
            defects: 0.5,
            beta: 0.8,
            turned: 0.3,
            rotation: 90.0,
            gamma: 2.0,
            keeps_grey: true,
            sspcab: Sspcab::Off,
            sspcab_weight: 0.1,
            score: Score::Smoothed,
            window: 21,
        };
        match preset {
            Preset::Paper => paper,
            Preset::Cpu => Self {
                side: 128,
                repair_width: 16,
                segment_width: 16,
                steps: Some(800),
                rate: 1e-3,
                window: 11,
                ..paper
            },
        }
    }

    /// Updates of a training on that many images.
    pub(super) fn steps(&self, images: usize) -> u64 {
        self.steps.unwrap_or((700 * images as u64).div_ceil(self.batch.max(1) as u64)).max(1)
    }
}

impl Default for DraemConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}
