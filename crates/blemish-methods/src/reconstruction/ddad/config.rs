//! Settings of DDAD.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const NAME: &str = "ddad";

/// Which of the two published networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// DDAD: 64 channels, 4 heads, nothing dropped, batches of 32.
    Full,
    /// DDAD-S: 32 channels, 2 heads, 0.3 dropped, batches of 16.
    Small,
}

/// A choice left to the fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Automatic {
    /// Chosen from good images and made-up defects.
    Auto,
}

/// A number, or the choice of it left to the fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Guidance {
    /// Chosen from good images and made-up defects.
    Chosen(Automatic),
    /// This one.
    Given(#[schemars(range(min = 0.0, max = 20.0))] f64),
}

/// A step between two looks, or the choice of it left to the fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Skip {
    /// Chosen from good images and made-up defects.
    Chosen(Automatic),
    /// This one.
    Given(#[schemars(range(min = 1, max = 999))] usize),
}

/// Settings of DDAD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DdadConfig {
    /// A training for a CPU, or as published for a GPU. Other settings that are given count for more.
    pub preset: Preset,
    /// Which of the two published networks gives what is null below.
    pub variant: Variant,
    /// Height and width of the images.
    #[schemars(range(min = 16, max = 1024))]
    pub side: usize,
    /// Channels of the U-Net at the full size. null: as the variant has it.
    #[schemars(range(min = 2, max = 256))]
    pub width: Option<usize>,
    /// Channels at each size over those at the full one; every further size is half the one before.
    pub multipliers: Vec<usize>,
    /// Residual blocks at each size on the way down; there is one more on the way up.
    #[schemars(range(min = 1, max = 4))]
    pub blocks: usize,
    /// Maps of so many rows or fewer have attention; 0 has it in the middle alone.
    #[schemars(range(min = 0, max = 64))]
    pub attention: usize,
    /// Heads of an attention. null: as the variant has it.
    #[schemars(range(min = 1, max = 16))]
    pub heads: Option<usize>,
    /// Groups of channels of a normalisation, or fewer where they do not share the channels evenly.
    #[schemars(range(min = 1, max = 64))]
    pub groups: usize,
    /// Share of values dropped in training. null: as the variant has it.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub dropout: Option<f64>,
    /// Passes over the images, where the updates are not given.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Updates of the training. null: as many as the passes take.
    #[schemars(range(min = 1))]
    pub steps: Option<u64>,
    /// Images of an update. null: as the variant has it.
    #[schemars(range(min = 1, max = 256))]
    pub batch: Option<usize>,
    /// Learning rate of Adam.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Weight decay of Adam for a loss that is the sum over an image of 256 x 256; for smaller images it is as much smaller.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Decay of a running average of the weights, which is then the result; 0 takes the last weights.
    #[schemars(range(min = 0.0, max = 0.99999))]
    pub average: f64,
    /// Step of 1000 to whose noise an image is brought.
    #[schemars(range(min = 1, max = 999))]
    pub start: usize,
    /// Steps between two looks of the network on the way back, or auto.
    pub skip: Skip,
    /// Share of new noise on the way back; 0 has none.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub eta: f64,
    /// How strongly a reconstruction is pulled towards its image, or auto.
    pub w: Guidance,
    /// The same while the extractor adapts.
    #[schemars(range(min = 0.0, max = 20.0))]
    pub adapt_w: f64,
    /// Passes over the images in which the extractor adapts; 0 leaves it as it is.
    #[schemars(range(min = 0, max = 100))]
    pub adapt_epochs: u64,
    /// Images of an update of the extractor, half of them reconstructed and half looked at.
    #[schemars(range(min = 2, max = 64))]
    pub adapt_batch: usize,
    /// Learning rate of the extractor.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub adapt_rate: f64,
    /// Weight of what keeps the extractor near its beginning.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub distillation: f64,
    /// Weight of differences of pixels beside those of features; at 1 both are as large on good images.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub v: f64,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
    /// Height and width of the central part that counts: the map is 0 around it. null: all of it.
    #[schemars(range(min = 8, max = 1024))]
    pub crop: Option<usize>,
}

impl DdadConfig {
    /// All settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let paper = Self {
            preset,
            variant: Variant::Full,
            side: 256,
            width: None,
            multipliers: vec![1, 1, 2, 2, 4, 4],
            blocks: 2,
            attention: 32,
            heads: None,
            groups: 32,
            dropout: None,
            epochs: 2000,
            steps: None,
            batch: None,
            rate: 3e-4,
            weight_decay: 0.05,
            average: 0.0,
            start: 250,
            skip: Skip::Given(25),
            eta: 1.0,
            w: Guidance::Chosen(Automatic::Auto),
            adapt_w: 3.0,
            adapt_epochs: 4,
            adapt_batch: 16,
            adapt_rate: 1e-4,
            distillation: 0.1,
            v: 1.0,
            sigma: 4.0,
            crop: Some(224),
        };
        match preset {
            Preset::Paper => paper,
            Preset::Cpu => Self {
                side: 128,
                width: Some(8),
                multipliers: vec![1, 1, 2, 4],
                blocks: 1,
                attention: 16,
                heads: Some(2),
                groups: 8,
                dropout: Some(0.0),
                steps: Some(4000),
                batch: Some(4),
                rate: 1e-3,
                average: 0.998,
                skip: Skip::Given(50),
                adapt_epochs: 2,
                sigma: 2.0,
                crop: None,
                ..paper
            },
        }
    }

    /// One of two values by the variant.
    fn either<T>(&self, full: T, small: T) -> T {
        match self.variant {
            Variant::Full => full,
            Variant::Small => small,
        }
    }

    /// Channels at the full size.
    pub(super) fn width(&self) -> usize {
        self.width.unwrap_or(self.either(64, 32))
    }

    pub(super) fn heads(&self) -> usize {
        self.heads.unwrap_or(self.either(4, 2))
    }

    pub(super) fn dropout(&self) -> f64 {
        self.dropout.unwrap_or(self.either(0.0, 0.3))
    }

    pub(super) fn batch(&self) -> usize {
        self.batch.unwrap_or(self.either(32, 16))
    }

    /// Updates of the U-Net on so many images.
    pub(super) fn steps_of(&self, images: usize) -> u64 {
        self.steps.unwrap_or(self.epochs * per_epoch(images, self.batch()))
    }

    /// Updates of the extractor.
    pub(super) fn adapt_steps_of(&self, images: usize) -> u64 {
        self.adapt_epochs * per_epoch(images, self.adapt_batch)
    }

    /// The weight decay for a loss that is a sum over so many pixels.
    pub(super) fn decay_of(&self, pixels: usize) -> f64 {
        self.weight_decay * pixels as f64 / (256.0 * 256.0)
    }

    /// Whether something is left to be chosen after the training.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.w, Guidance::Chosen(_)) || matches!(self.skip, Skip::Chosen(_))
    }
}

/// Whole batches of an epoch, at least one.
fn per_epoch(images: usize, batch: usize) -> u64 {
    (images / batch.min(images).max(1)).max(1) as u64
}

impl Default for DdadConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}
