//! What a training gives.

use super::curve::Curve;

/// A finished training.
pub struct Trained<M> {
    /// With the last weights, or their running average.
    pub network: M,
    /// Steps done.
    pub steps: u64,
    /// What the loss did.
    pub curve: Curve,
}

/// A finished training by turns.
pub struct TrainedByTurns<M> {
    /// With the last weights, or their running averages.
    pub network: M,
    /// Steps done.
    pub steps: u64,
    /// What the loss of each turn did, in their order.
    pub curves: Vec<Curve>,
}

/// Keeps the best weights of a training instead of the last.
pub struct Selection<'a, M> {
    /// Steps between two looks; there is one more after the last step.
    pub every: u64,
    /// What the network costs on samples that it does not learn from; the lowest wins, the first of equals.
    pub cost: &'a dyn Fn(&M) -> f64,
}
