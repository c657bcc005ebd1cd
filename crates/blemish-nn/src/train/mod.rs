//! The one training loop.
//!
//! What a step learns from is a function of its number alone (and of the seed), so a training that was interrupted goes on from its
//! checkpoint to the very weights it would have had; on a CPU bit for bit, whatever the number of threads.
//!
//! [`train`] trains one network by one loss; [`train_by_turns`] trains parts of a network, each by its own loss, optimiser and schedule, one
//! after the other, as the two sides of a GAN. The first is the case of one turn.

mod checkpoint;
mod curve;
mod error;
mod plan;
mod run;
mod schedule;
#[cfg(test)]
mod tests;
mod trained;
mod turns;
mod watch;

pub use crate::optim::{Adam as Optimiser, Rule, Scope};
pub use blemish_ops::AdamKind;
pub use checkpoint::Checkpoints;
pub use curve::{Curve, Patience};
pub use error::TrainError;
pub use plan::{Plan, Precision};
pub use run::{train, train_by_turns, train_selecting};
pub use schedule::{Decay, Schedule};
pub use trained::{Selection, Trained, TrainedByTurns};
pub use turns::{Course, Draw, Order, Renewal, Turn};
pub use watch::{Verdict, Watch};
