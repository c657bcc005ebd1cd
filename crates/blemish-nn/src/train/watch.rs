//! Who watches a training.

/// What to do before the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another step.
    Go,
    /// No more steps: what was learned so far is the result.
    Finish,
    /// Keep a checkpoint and stop with an error.
    Stop,
}

/// Watches a training.
pub trait Watch {
    /// Asked before every step.
    fn verdict(&self) -> Verdict;
    /// Told after every step: steps done, the loss and the learning rate.
    fn step(&self, done: u64, loss: f64, rate: f64);
    /// Told before that of each turn, in their order: its name, loss and learning rate. [`Self::step`] tells of the first.
    fn turn(&self, _name: &str, _loss: f64, _rate: f64) {}
}
