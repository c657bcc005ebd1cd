//! What a camera does to an image, in a few numbers.

use super::kind::DriftKind;
use super::ranks::bin;
use serde::{Deserialize, Serialize};

/// A number about an image as it was read, before any transform; brightness runs from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Mean of red.
    Red,
    /// Mean of green.
    Green,
    /// Mean of blue.
    Blue,
    /// Standard deviation of red.
    RedSpread,
    /// Standard deviation of green.
    GreenSpread,
    /// Standard deviation of blue.
    BlueSpread,
    /// Mean of red over mean of green, which light leaves alone: a logarithm.
    RedCast,
    /// The same of blue.
    BlueCast,
    /// Variance of the Laplacian over the variance of grey, which light and gain leave alone: a logarithm.
    Sharpness,
    /// Share of pixels that are all but black.
    Black,
    /// Share of pixels that are all but white.
    White,
}

impl Statistic {
    /// All of them, in the order of [`ImageStatistics`].
    pub const ALL: [Self; 11] = [
        Self::Red,
        Self::Green,
        Self::Blue,
        Self::RedSpread,
        Self::GreenSpread,
        Self::BlueSpread,
        Self::RedCast,
        Self::BlueCast,
        Self::Sharpness,
        Self::Black,
        Self::White,
    ];

    /// What it means that the values have become higher or lower.
    pub(super) fn moved(self, is_higher: bool) -> DriftKind {
        match (self, is_higher) {
            (Self::Red | Self::Green | Self::Blue | Self::White, true) | (Self::Black, false) => {
                DriftKind::Brighter
            }
            (Self::Red | Self::Green | Self::Blue | Self::White, false) | (Self::Black, true) => {
                DriftKind::Darker
            }
            (Self::RedSpread | Self::GreenSpread | Self::BlueSpread, true) => DriftKind::HigherContrast,
            (Self::RedSpread | Self::GreenSpread | Self::BlueSpread, false) => DriftKind::LowerContrast,
            (Self::RedCast | Self::BlueCast, _) => DriftKind::ColourCast,
            (Self::Sharpness, true) => DriftKind::Sharper,
            (Self::Sharpness, false) => DriftKind::Blurred,
        }
    }
}

/// One value for each [`Statistic`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageStatistics {
    /// In the order of [`Statistic::ALL`].
    pub values: [f32; 11],
}

impl ImageStatistics {
    /// Whether all are numbers.
    pub fn are_finite(&self) -> bool {
        self.values.iter().all(|value| value.is_finite())
    }

    /// The values in bins of 1/1,024 of a power of two: coarser than scores, since there are more of them to keep.
    pub(super) fn values(&self) -> impl Iterator<Item = u32> {
        self.values.iter().map(|&value| bin(value) >> 4)
    }
}
