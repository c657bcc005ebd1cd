//! Training or scoring.

/// What a network is run for: some layers do something else while it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// To learn: by the moments of the batch, which running moments follow.
    Training,
    /// To score: by stored moments.
    Scoring,
}
