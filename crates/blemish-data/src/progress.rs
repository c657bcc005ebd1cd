//! What those who watch long work answer: whether it goes on.

use std::ops::ControlFlow;

/// What a callback that is told how far work is gives back: nothing, or whether the work goes on.
pub trait Answer {
    /// Whether the work is to stop.
    fn is_stop(&self) -> bool;
}

impl Answer for () {
    fn is_stop(&self) -> bool {
        false
    }
}

impl Answer for ControlFlow<()> {
    fn is_stop(&self) -> bool {
        self.is_break()
    }
}
