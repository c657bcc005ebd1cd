//! Settings of MemSeg.

use blemish_core::preset::Preset;
use blemish_data::synth::kit::{Rate, Simulation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub(super) const NAME: &str = "memseg";

/// Which of two public accounts of the paper the open questions are answered by. Each answer is a setting of its own as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The re-implementation with the better figures: one memory image for all levels, squared differences, attention times what was
    /// seen, no normalisation in the fusion, one convolution a step of the decoder.
    #[default]
    Reimplementation,
    /// What follows fragments by the author: a memory image for each level, absolute differences, attention alone, normalisation in the
    /// fusion, two more convolutions a step of the decoder.
    Fragments,
}

/// How the most similar memory image is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// One for all levels, by the sum over the levels of the mean squared difference.
    Joint,
    /// One for each level.
    PerLevel,
}

/// What is taken of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Its square.
    Squared,
    /// Its absolute value.
    Absolute,
}

/// What the fused features are multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// What was seen, times the weights of its row and its column.
    Gated,
    /// The weights of row and column.
    Weights,
}

/// What follows the convolutions of the fusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FusionKind {
    /// Nothing.
    Plain,
    /// Batch normalisation and a rectifier.
    Normed,
}

/// Convolutions in a step of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecoderKind {
    /// One, after the enlargement.
    Single,
    /// Two more, after what was fused is joined.
    Double,
}

/// Where the product is and where the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Foreground {
    /// By a threshold between two greys (Otsu's, of the median of the good images); the background is what the border shows. Images
    /// whose border shows both greys are foreground as a whole.
    #[default]
    Auto,
    /// All is product.
    Whole,
}

/// Settings of MemSeg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemSegConfig {
    /// A training for a CPU, or as published for a GPU. Other settings that are given count for more.
    pub preset: Preset,
    /// How the open questions of the paper are answered.
    pub variant: Variant,
    /// How the most similar memory image is chosen. null: as the variant has it.
    pub selection: Option<Selection>,
    /// What is taken of the difference to it. null: as the variant has it.
    pub difference: Option<Difference>,
    /// What the attention multiplies. null: as the variant has it.
    pub attention: Option<Attention>,
    /// What follows the convolutions of the fusion. null: as the variant has it.
    pub fusion: Option<FusionKind>,
    /// Convolutions in a step of the decoder. null: as the variant has it.
    pub decoder: Option<DecoderKind>,
    /// Smoothing of the focal loss. null: as the variant has it, 0.00001 or 0.0001.
    #[schemars(range(min = 0.0, max = 0.1))]
    pub smoothing: Option<f64>,
    /// Good images in the memory, drawn once; beyond 30 there is little to gain.
    #[schemars(range(min = 1, max = 1000))]
    pub memory: usize,
    /// Whether a training image that is in the memory may find itself there, as published: then it shows no difference, which no new image
    /// ever does.
    pub finds_itself: bool,
    /// Whether the maps of differences are divided by their means over good images; published are the plain ones, whose size depends on
    /// the backbone.
    pub scaled: bool,
    /// Channels of the decoder's last steps.
    #[schemars(range(min = 2, max = 256))]
    pub width: usize,
    /// Where the product is: defects are made up there alone.
    pub foreground: Foreground,
    /// An image that is bright where the product is, for all images; counts instead of `foreground`.
    pub foreground_mask: Option<PathBuf>,
    /// Share of defects made of textures (of the folder given by --textures, else made-up ones); the others are made of the image itself in
    /// disorder.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub texture_share: f32,
    /// Least share of the source in the colour of a defect.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub opacity: f32,
    /// Cells along each side whose order is lost where a defect is made of the image itself.
    #[schemars(range(min = 1, max = 64))]
    pub grid: usize,
    /// Weight of the mean absolute difference to the mask in the loss; the focal loss has the rest.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub l1_share: f64,
    /// How fast what is certain counts less in the focal loss.
    #[schemars(range(min = 0.0, max = 8.0))]
    pub gamma: f64,
    /// Updates of the training.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Images of an update, good ones and defective ones by turns.
    #[schemars(range(min = 2, max = 256))]
    pub batch: usize,
    /// Highest learning rate of AdamW: it rises over the first tenth of the updates, then falls to a thirtieth.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Weight decay of AdamW.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Largest values of the map whose mean is the image's score.
    #[schemars(range(min = 1, max = 100_000))]
    pub top: usize,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl Default for MemSegConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}

/// The answers to the open questions, every one given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rules {
    pub(super) selection: Selection,
    pub(super) difference: Difference,
    pub(super) attention: Attention,
    pub(super) fusion: FusionKind,
    pub(super) decoder: DecoderKind,
    pub(super) smoothing: f64,
    /// Whether a map of differences holds the finer product of the one below, or every deeper mean by itself.
    pub(super) is_cascade: bool,
}

impl MemSegConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let paper = Self {
            preset,
            variant: Variant::default(),
            selection: None,
            difference: None,
            attention: None,
            fusion: None,
            decoder: None,
            smoothing: None,
            memory: 30,
            finds_itself: true,
            scaled: false,
            width: 48,
            foreground: Foreground::default(),
            foreground_mask: None,
            texture_share: 0.5,
            opacity: 0.15,
            grid: 8,
            l1_share: 0.6,
            gamma: 4.0,
            steps: 5000,
            batch: 8,
            rate: 3e-3,
            weight_decay: 5e-4,
            top: 100,
            sigma: 0.0,
        };
        match preset {
            Preset::Paper => paper,
            Preset::Cpu => Self { finds_itself: false, scaled: true, width: 16, steps: 300, ..paper },
        }
    }

    pub(super) fn rules(&self) -> Rules {
        let first = self.variant == Variant::Reimplementation;
        let either = |one, other| if first { one } else { other };
        Rules {
            selection: self.selection.unwrap_or(if first { Selection::Joint } else { Selection::PerLevel }),
            difference: self.difference.unwrap_or(if first {
                Difference::Squared
            } else {
                Difference::Absolute
            }),
            attention: self.attention.unwrap_or(if first { Attention::Gated } else { Attention::Weights }),
            fusion: self.fusion.unwrap_or(if first { FusionKind::Plain } else { FusionKind::Normed }),
            decoder: self.decoder.unwrap_or(if first { DecoderKind::Single } else { DecoderKind::Double }),
            smoothing: self.smoothing.unwrap_or(either(1e-5, 1e-4)),
            is_cascade: first,
        }
    }

    /// Which defects are made up.
    pub(super) fn simulation(&self) -> Simulation {
        Simulation {
            rate: Rate::EverySecond,
            beta: (0.0, 1.0 - self.opacity),
            structure: 1.0 - self.texture_share,
            grid: (self.grid, self.grid),
            ..Simulation::memseg()
        }
    }
}
