//! Settings of EdgRec.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How colours are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Colours {
    /// In real numbers; squared differences above 255 count as 255.
    #[default]
    Clean,
    /// In 8 bits as the released code, where larger squared differences begin anew at 0.
    Compat,
}

/// Where textures of made-up defects come from, unless a folder is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// They are made up.
    #[default]
    MadeUp,
    /// Other training images, with two more changes of colour: the paper's variant without foreign images.
    Training,
}

/// Settings of EdgRec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EdgRecConfig {
    /// Where the values of settings that are not set come from.
    pub preset: Preset,
    /// Height and width of images by default, a multiple of 16.
    #[schemars(range(min = 32, max = 2048))]
    pub side: usize,
    /// Channels of the network's first stage; 128 in the paper, where 64 lose about 0.4 points.
    #[schemars(range(min = 1, max = 512))]
    pub width: usize,
    /// Updates of the training. null: 800 rounds over the images, as published.
    #[schemars(range(min = 1))]
    pub steps: Option<u64>,
    /// Images of an update.
    #[schemars(range(min = 1, max = 256))]
    pub batch: usize,
    /// Learning rate of Adam; a fifth of it after 80 % of the updates, a fifth of that after 90 %.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Share of the training images that get a defect.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub defects: f32,
    /// Share of defects that are a part of the image put elsewhere; the others are textures.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cut_paste: f32,
    /// Where textures come from, unless a folder is given.
    pub source: Source,
    /// Share of the training images that are turned; 0 for parts that always lie alike.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub turned: f64,
    /// Largest angle of those, in degrees.
    #[schemars(range(min = 0.0, max = 180.0))]
    pub rotation: f32,
    /// Side of the square whose largest and smallest value make an edge, in pixels, odd.
    #[schemars(range(min = 3, max = 9))]
    pub edge: usize,
    /// Sizes of the image at which gradients are compared, each half of the one before.
    #[schemars(range(min = 1, max = 4))]
    pub scales: usize,
    /// Side of the window over which differences of gradients are averaged, in pixels, odd.
    #[schemars(range(min = 1, max = 127))]
    pub gradient_window: usize,
    /// The same for differences of colours.
    #[schemars(range(min = 1, max = 127))]
    pub colour_window: usize,
    /// Weight of differences of colours; 0 for grey cameras.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub colour_weight: f32,
    /// How colours are compared.
    pub colours: Colours,
}

impl EdgRecConfig {
    /// All values of a preset.
    pub fn of(preset: Preset) -> Self {
        let paper = Self {
            preset,
            side: 256,
            width: 128,
            steps: None,
            batch: 8,
            rate: 1e-4,
            defects: 0.5,
            cut_paste: 0.5,
            source: Source::MadeUp,
            turned: 0.3,
            rotation: 90.0,
            edge: 3,
            scales: 2,
            gradient_window: 21,
            colour_window: 11,
            colour_weight: 0.001,
            colours: Colours::Clean,
        };
        match preset {
            Preset::Paper => paper,
            // Half the size is a quarter of the work, and colours of small parts take thousands of updates to be learned.
            Preset::Cpu => Self {
                side: 128,
                width: 8,
                steps: Some(3000),
                rate: 1e-3,
                gradient_window: 11,
                colour_window: 5,
                ..paper
            },
        }
    }

    /// Updates of a training on that many images.
    pub(super) fn steps(&self, images: usize) -> u64 {
        self.steps.unwrap_or((800 * images as u64).div_ceil(self.batch.max(1) as u64)).max(1)
    }
}

impl Default for EdgRecConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}
