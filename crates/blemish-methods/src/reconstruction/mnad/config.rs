//! Settings of MNAD.

use blemish_core::preset::Preset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the network makes of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A frame of a video of the four frames before it; images must be frames of sequences.
    Prediction,
    /// A frame, or any image, of itself.
    Reconstruction,
}

impl Task {
    /// T, the frames of a clip with the one that is made.
    pub fn clip(self) -> usize {
        match self {
            Self::Prediction => 5,
            Self::Reconstruction => 1,
        }
    }

    /// Frames that the network looks at.
    pub(super) fn frames_in(self) -> usize {
        match self {
            Self::Prediction => 4,
            Self::Reconstruction => 1,
        }
    }
}

/// What an image's score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageScore {
    /// The paper's: how much lower the PSNR and how much farther the queries from the memory are than on good frames, over the whole frame.
    Frame,
    /// The largest value of the map.
    Max,
    /// The mean of the largest thousandth of the map, for noisy textures.
    Top,
}

/// Settings of MNAD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MnadConfig {
    /// Defaults of all other settings: for a CPU, or as published.
    pub preset: Preset,
    /// What is made of what: still images want reconstruction, prediction sees motion and needs videos.
    pub task: Task,
    /// Items of the memory. 0 has none: the plain auto-encoder, to see what the memory is good for.
    #[schemars(range(min = 0, max = 2000))]
    pub memory: usize,
    /// Channels at the full size; every halving doubles them.
    #[schemars(range(min = 4, max = 128))]
    pub width: usize,
    /// Weight of the loss that draws queries to their nearest item. null: as published, 0.1 for prediction and 0.01 for reconstruction.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub compactness: Option<f64>,
    /// Weight of the loss that keeps queries away from the second nearest item. null: as published, as for compactness.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub separateness: Option<f64>,
    /// SSPCAB (arXiv 2111.09099) in place of the last convolution but one: values predicted from around them, with a loss of its own.
    pub sspcab: bool,
    /// Passes over the clips, where the updates are not given.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Updates of the training. null: as many as the passes take.
    #[schemars(range(min = 1))]
    pub steps: Option<u64>,
    /// Clips of an update.
    #[schemars(range(min = 1, max = 256))]
    pub batch: usize,
    /// Learning rate of Adam, which a cosine takes to 0.
    #[schemars(range(min = 0.0000001, max = 0.1))]
    pub rate: f64,
    /// Whether the memory moves on by the normal frames of a video while it is scored. Every video begins with the memory of the fit.
    pub update: bool,
    /// Weighted error of a frame below which the memory moves on by it. null: as published, 0.01 for prediction and 0.015 for reconstruction.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: Option<f64>,
    /// Share of the pixels' error in scores; the rest is the distance to the memory. null: as published, 0.6 for prediction and 0.7 for reconstruction.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub balance: Option<f64>,
    /// What an image's score is. null: the frame's for prediction, the largest of the map for reconstruction.
    pub score: Option<ImageScore>,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl MnadConfig {
    /// The settings of a preset.
    pub fn of(preset: Preset) -> Self {
        let published = Self {
            preset,
            task: Task::Reconstruction,
            memory: 10,
            width: 64,
            compactness: None,
            separateness: None,
            sspcab: false,
            epochs: 60,
            steps: None,
            batch: 4,
            rate: 2e-4,
            update: true,
            gamma: None,
            balance: None,
            score: None,
            sigma: 4.0,
        };
        match preset {
            Preset::Paper => published,
            Preset::Cpu => {
                Self { width: 16, steps: Some(2000), rate: 1e-3, update: false, sigma: 2.0, ..published }
            }
        }
    }

    /// Height and width of the images, by default.
    pub(super) fn side(&self) -> usize {
        match self.preset {
            Preset::Cpu => 128,
            Preset::Paper => 256,
        }
    }

    /// Updates of a training on so many clips.
    pub(super) fn steps_of(&self, clips: usize) -> u64 {
        let per_epoch = (clips / self.batch.min(clips).max(1)).max(1) as u64;
        self.steps.unwrap_or(self.epochs * per_epoch)
    }

    /// A value, or that of the task.
    pub(super) fn by_task(&self, own: Option<f64>, prediction: f64, reconstruction: f64) -> f64 {
        own.unwrap_or(match self.task {
            Task::Prediction => prediction,
            Task::Reconstruction => reconstruction,
        })
    }

    /// Share of the pixels' error in scores: all, where there is no memory.
    pub(super) fn share(&self) -> f64 {
        if self.memory == 0 { 1.0 } else { self.by_task(self.balance, 0.6, 0.7) }
    }

    /// What an image's score is.
    pub(super) fn image_score(&self) -> ImageScore {
        self.score.unwrap_or(match self.task {
            Task::Prediction => ImageScore::Frame,
            Task::Reconstruction => ImageScore::Max,
        })
    }
}

impl Default for MnadConfig {
    fn default() -> Self {
        Self::of(Preset::Cpu)
    }
}
