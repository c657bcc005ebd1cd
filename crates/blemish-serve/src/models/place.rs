//! A place in the queue of a model.

use super::memory::Held;
use tokio::sync::OwnedSemaphorePermit;

/// A place in the queue of a model, taken before the image is there; free again when dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    pub(super) held: Held,
}

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: permit, held: Held::default() }
    }

    /// Keeps the memory of the image's bytes for as long as the place is taken.
    pub fn hold(&mut self, held: Held) {
        self.held.join(held);
    }
}
