//! Settings of UniAD.

use blemish_core::error::Error;
use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an image's score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageScore {
    /// The largest mean of the map over 16x16 pixels.
    Max,
    /// The mean of the map, where a whole image is odd.
    Mean,
}

/// Settings of UniAD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UniadConfig {
    /// Defaults of all other settings: for a CPU, or as published.
    pub preset: Preset,
    /// C, features of a token inside the transformer; the heads share them.
    #[schemars(range(min = 4, max = 2048))]
    pub width: usize,
    /// Heads of each attention.
    #[schemars(range(min = 1, max = 64))]
    pub heads: usize,
    /// Hidden features of the feed-forward parts.
    #[schemars(range(min = 1, max = 8192))]
    pub feed_forward: usize,
    /// Layers of the encoder.
    #[schemars(range(min = 1, max = 12))]
    pub encoder_layers: usize,
    /// Layers of the decoder, each with queries of its own.
    #[schemars(range(min = 1, max = 12))]
    pub decoder_layers: usize,
    /// Side of the square of tokens around each, itself included, that its attention must not see; odd. It is made smaller where it would
    /// hide all tokens.
    #[schemars(range(min = 1, max = 63))]
    pub window: usize,
    /// Noise on the tokens that are learned from, in parts of their length over their number of channels; 0 is none.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub jitter: f64,
    /// Share of the updates whose tokens get this noise.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jitter_share: f64,
    /// Share of values dropped in training: of the attentions' weights, of what each part gives and of hidden features.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub dropout: f64,
    /// Passes over the images, where the updates are not given.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Updates of the training. null: as many as the passes take.
    #[schemars(range(min = 1))]
    pub steps: Option<u64>,
    /// Images of an update.
    #[schemars(range(min = 1, max = 1024))]
    pub batch: usize,
    /// Learning rate of AdamW, a tenth of it for the last fifth of the training.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Weight decay.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Largest norm of the gradient.
    #[schemars(range(min = 0.000001))]
    pub clip: f64,
    /// What an image's score is.
    pub score: ImageScore,
}

impl UniadConfig {
    /// The settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let published = Self {
            preset,
            width: 256,
            heads: 8,
            feed_forward: 1024,
            encoder_layers: 4,
            decoder_layers: 4,
            window: 7,
            jitter: 20.0,
            jitter_share: 1.0,
            dropout: 0.1,
            epochs: 1000,
            steps: None,
            batch: 8,
            rate: 1e-4,
            weight_decay: 1e-4,
            clip: 0.1,
            score: ImageScore::Max,
        };
        match preset {
            Preset::Paper => published,
            Preset::Cpu => Self {
                width: 128,
                heads: 4,
                feed_forward: 512,
                encoder_layers: 2,
                decoder_layers: 2,
                steps: Some(1500),
                rate: 5e-4,
                ..published
            },
        }
    }

    /// Checks what the range of one setting alone does not say.
    ///
    /// # Errors
    /// [`Error::Setting`] if the heads cannot share the width evenly, if the width is odd, since rows and columns share it, or if the
    /// window has no middle.
    pub(super) fn check(&self) -> Result<(), Error> {
        let fail =
            |key: &str, reason: String, help: String| Err(Error::Setting { key: key.into(), reason, help });
        let Self { width, heads, window, .. } = *self;
        if width % 2 == 1 {
            let reason = "rows and columns of the position embedding share it".into();
            return fail("width", reason, format!("set width={}", width + 1));
        }
        if !width.is_multiple_of(heads) {
            let reason = format!("{heads} heads cannot share {width} features evenly");
            return fail("heads", reason, format!("set heads to a divisor of {width}"));
        }
        if window % 2 == 0 {
            let reason = "a window without a middle cannot be laid around a token".into();
            return fail("window", reason, format!("set window={}", window + 1));
        }
        Ok(())
    }

    /// Updates of a training on so many images.
    pub(super) fn steps_of(&self, images: usize) -> u64 {
        let per_epoch = (images / self.batch.min(images).max(1)).max(1) as u64;
        self.steps.unwrap_or(self.epochs.saturating_mul(per_epoch))
    }
}

impl Default for UniadConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}
