//! What makes a metric undefined.

/// Why a metric cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// Scores and labels, or a map and its mask, of different lengths.
    #[error("{scores} scores cannot be compared with {labels} labels")]
    Length {
        /// Scores given.
        scores: usize,
        /// Labels given.
        labels: usize,
    },
    /// A score that is NaN or infinite.
    #[error("score {index} is not finite; check the images and weights that it was made from")]
    NotFinite {
        /// Its index.
        index: usize,
    },
    /// Only good or only defective samples.
    #[error("there are no {missing} samples; the metric is undefined without both kinds")]
    OneClass {
        /// `good` or `defective`.
        missing: &'static str,
    },
    /// A setting out of range.
    #[error("{reason}")]
    Setting {
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A defective image with an empty mask.
    #[error(
        "an image of defect `{defect}` has an empty mask; mark the defect or move the image to the good ones"
    )]
    EmptyMask {
        /// The kind of defect.
        defect: String,
    },
}
