//! Settings of the classical methods.

use blemish_kernels::image::distance::Distance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What errors of a fit call the three methods, until each puts its own name in.
pub(super) const NAME: &str = "classical";

/// How features of good images are summarised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelChoice {
    /// What suits each filter best.
    #[default]
    Auto,
    /// Mean and deviation of every position; for aligned parts of one size.
    Position,
    /// One Gaussian over all windows, Mahalanobis distance with shrinkage.
    Gaussian,
    /// Distance to the nearest of a bank of feature vectors.
    Bank,
    /// Distance to the nearest of a few mean histograms.
    Histogram,
    /// Deviation from the image's own mean; learns nothing but its scale.
    Image,
}

/// How unlike two histograms are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistogramDistance {
    /// Half the sum of squared differences over sums.
    #[default]
    ChiSquare,
    /// The log-likelihood statistic G.
    LogLikelihood,
    /// Earth mover's distance along the bins.
    EarthMover,
    /// Hellinger distance (Bhattacharyya's coefficient).
    Hellinger,
}

impl From<HistogramDistance> for Distance {
    fn from(choice: HistogramDistance) -> Self {
        match choice {
            HistogramDistance::ChiSquare => Self::ChiSquare,
            HistogramDistance::LogLikelihood => Self::LogLikelihood,
            HistogramDistance::EarthMover => Self::EarthMover,
            HistogramDistance::Hellinger => Self::Hellinger,
        }
    }
}

/// The planes that filters see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Grey if all good images are grey, else opponent.
    #[default]
    Auto,
    /// Brightness alone.
    Grey,
    /// Red, green and blue.
    Rgb,
    /// Brightness, red against green, yellow against blue.
    Opponent,
}

/// How images are brought onto the first good one before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// Not at all.
    None,
    /// By a sub-pixel shift.
    Shift,
    /// By an affine map: shift, rotation, scale, shear.
    Affine,
}

/// How the maps of several filters become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// The worst filter counts.
    #[default]
    Max,
    /// All count alike.
    Mean,
}

/// Settings of the classical methods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClassicalConfig {
    /// Filters, joined by `+`, such as gabor+wavelet; filters of all three methods may be combined. null: the method's own choice.
    pub bank: Option<String>,
    /// How features of good images are summarised.
    pub model: ModelChoice,
    /// How unlike two histograms are.
    pub distance: HistogramDistance,
    /// The planes that filters see.
    pub colour: Colour,
    /// How images are brought onto the first good one. null: affine for template, shift for pixel, else none.
    pub align: Option<Align>,
    /// Side of the windows that statistics are taken over, in pixels; an odd multiple of the step.
    #[schemars(range(min = 1, max = 1024))]
    pub window: usize,
    /// Pixels from one window to the next.
    #[schemars(range(min = 1, max = 256))]
    pub step: usize,
    /// Scales of filters that have several, each twice as coarse as the one before.
    #[schemars(range(min = 1, max = 5))]
    pub scales: usize,
    /// Directions of Gabor filters and line elements.
    #[schemars(range(min = 2, max = 16))]
    pub orientations: usize,
    /// Bins of grey and colour histograms.
    #[schemars(range(min = 8, max = 255))]
    pub bins: usize,
    /// Entries of a bank, or mean histograms. null: 4096 for a bank, 4 histograms.
    #[schemars(range(min = 1, max = 100000))]
    pub centres: Option<usize>,
    /// Pixels a cell of the patches: what is smaller is averaged away.
    #[schemars(range(min = 1, max = 16))]
    pub cell: usize,
    /// Cells a side of the patches.
    #[schemars(range(min = 3, max = 32))]
    pub patch: usize,
    /// Pixels by which aligned parts may still be out of place (filters pixel and template); registration needs none.
    #[schemars(range(min = 0, max = 4))]
    pub tolerance: usize,
    /// Share of the covariances that shrinkage takes away from the Gaussian.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub shrinkage: f64,
    /// Standard deviation of the Gaussian that smooths maps with a score for every pixel or two; 0 smooths nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
    /// How the maps of several filters become one.
    pub combine: Combine,
    /// Share of the pixels, the worst ones, whose mean is the image score; 0 is the worst pixel alone.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub top: f64,
}

impl Default for ClassicalConfig {
    fn default() -> Self {
        Self {
            bank: None,
            model: ModelChoice::default(),
            distance: HistogramDistance::default(),
            colour: Colour::default(),
            align: None,
            window: 24,
            step: 8,
            scales: 3,
            orientations: 8,
            bins: 64,
            centres: None,
            cell: 2,
            patch: 8,
            tolerance: 0,
            shrinkage: 0.05,
            sigma: 2.0,
            combine: Combine::default(),
            top: 0.001,
        }
    }
}
