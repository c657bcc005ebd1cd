//! What a monitor warns of.

use serde::{Deserialize, Serialize};

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// Scores of good images are higher than they were.
    Higher,
    /// Scores of good images are lower than they were.
    Lower,
    /// More than a fifth of the images are set aside as anomalous.
    SetAside,
    /// Images are darker than they were: less light, a shorter exposure, a smaller gain.
    Darker,
    /// Images are brighter than they were.
    Brighter,
    /// Images have less contrast than they had.
    LowerContrast,
    /// Images have more contrast than they had.
    HigherContrast,
    /// The balance of colours has changed.
    ColourCast,
    /// Images are less sharp than they were: out of focus, dirt on the lens, motion.
    Blurred,
    /// Images are sharper or noisier than they were.
    Sharper,
}

impl DriftKind {
    /// Whether it is the images that have changed, and not only their scores.
    pub fn is_of_images(self) -> bool {
        !matches!(self, Self::Higher | Self::Lower | Self::SetAside)
    }
}

/// A warning, given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What has changed.
    pub kind: DriftKind,
    /// The watched image at which the evidence sufficed, from 1.
    pub image: u64,
    /// The watched image from which on the evidence has grown, from 1: roughly where the change began.
    pub since: u64,
}
