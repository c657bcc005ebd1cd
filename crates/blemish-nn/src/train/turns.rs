//! How to train parts of a network by turns.

use super::checkpoint::Checkpoints;
use super::curve::Patience;
use super::plan::{Plan, Precision};
use super::schedule::Schedule;
use crate::optim::{Rule, Scope};
use burn::tensor::Tensor;

/// One part of a network, trained by its own loss.
///
/// All outside the scope is taken as given: no gradient reaches it, and its running moments stay, though the loss may use it.
pub struct Turn<'a, M, B> {
    /// What errors and watchers call it; unlike that of the other turns.
    pub name: &'a str,
    /// The weights that it trains.
    pub scope: Scope<'a>,
    /// Updates in each step, one after the other, at least 1.
    pub repeats: u64,
    /// The rule of an update.
    pub rule: Rule,
    /// The rate of each step.
    pub schedule: Schedule,
    /// Largest norm of all its gradients together; larger ones are scaled down to it.
    pub clip: Option<f64>,
    /// Decay of a running average of its weights, which are then the result.
    pub average: Option<f64>,
    /// Makes its weights anew once its loss says that nothing more is to be learned.
    pub renewal: Option<Renewal<'a, M>>,
    /// What a batch costs, one number.
    pub loss: &'a dyn Fn(&M, B) -> Tensor<1>,
}

/// Makes weights anew at the end of a step whose loss, the mean over the turn's updates in it, is too small: a critic that is always right
/// teaches nothing. What the rule remembers of them stays.
pub struct Renewal<'a, M> {
    /// The smallest loss that is not too small.
    pub below: f64,
    /// The network with new weights in the turn's scope, a function of the network and the number of the step alone.
    pub renew: &'a dyn Fn(M, u64) -> M,
}

// Derived, they would ask the same of M.
impl<M> Clone for Renewal<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Renewal<'_, M> {}

// Derived, they would ask the same of M and B.
impl<M, B> Clone for Turn<'_, M, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, B> Copy for Turn<'_, M, B> {}

impl<'a, M, B> Turn<'a, M, B> {
    /// One update a step at a rate.
    pub fn new(
        name: &'a str,
        scope: Scope<'a>,
        rule: impl Into<Rule>,
        schedule: Schedule,
        loss: &'a dyn Fn(&M, B) -> Tensor<1>,
    ) -> Self {
        let rule = rule.into();
        Self { name, scope, repeats: 1, rule, schedule, clip: None, average: None, renewal: None, loss }
    }

    /// That of a plan for the whole network.
    pub(super) fn of_plan(plan: &Plan, loss: &'a dyn Fn(&M, B) -> Tensor<1>) -> Self {
        let Plan { optimiser: rule, schedule, clip, average, .. } = *plan;
        Self { name: "", scope: Scope::All, repeats: 1, rule, schedule, clip, average, renewal: None, loss }
    }
}

/// What all turns of a training share.
#[derive(Clone, Debug)]
pub struct Course {
    /// Steps in all; in each, every turn has its updates.
    pub steps: u64,
    /// Which updates a loss sees.
    pub order: Order,
    /// Ends early once the loss of the first turn stops falling.
    pub patience: Option<Patience>,
    /// Bits of the products.
    pub precision: Precision,
    /// Keeps progress in a file.
    pub checkpoints: Option<Checkpoints>,
}

impl Course {
    /// Nothing but steps, each turn after the other.
    pub fn new(steps: u64) -> Self {
        Self {
            steps,
            order: Order::Sequential,
            patience: None,
            precision: Precision::default(),
            checkpoints: None,
        }
    }

    pub(super) fn of_plan(plan: &Plan) -> Self {
        let &Plan { steps, patience, precision, .. } = plan;
        Self { steps, order: Order::Sequential, patience, precision, checkpoints: plan.checkpoints.clone() }
    }
}

/// Which updates of a step a turn's loss sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those of the turns before it.
    Sequential,
    /// None: all losses and their gradients come first, then all updates. Turns with more than one update go on so, update by update.
    Joint,
}

impl Order {
    /// The updates of a step, each a turn's number and its repeat, in groups whose losses see the same weights.
    pub(super) fn groups(self, repeats: &[u64]) -> Vec<Vec<(usize, u64)>> {
        let most = repeats.iter().copied().max().unwrap_or(0);
        let at = |repeat| {
            (0..repeats.len()).filter(move |&turn| repeat < repeats[turn]).map(move |turn| (turn, repeat))
        };
        match self {
            Self::Joint => (0..most).map(|repeat| at(repeat).collect()).collect(),
            Self::Sequential => {
                let of_turn = |turn: usize| (0..repeats[turn]).map(move |repeat| vec![(turn, repeat)]);
                (0..repeats.len()).flat_map(of_turn).collect()
            }
        }
    }
}

/// Which update a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Number of the step, from 0.
    pub step: u64,
    /// Number of the turn, from 0.
    pub turn: usize,
    /// Number of the turn's update in this step, from 0.
    pub repeat: u64,
}
