//! Memory of maps that are not needed any more, kept for the next image: asking the system for it again costs a fifth of the time of a
//! small network.

use blemish_kernels::Lines;
use bytemuck::Pod;
use std::sync::{Mutex, PoisonError};

/// One set of memory for each image that was under way at once.
pub(super) struct SpacePool<T>(Mutex<Vec<Spaces<T>>>);

/// Memory that maps have been in.
pub(super) struct Spaces<T>(Vec<Lines<T>>);

impl<T> Default for SpacePool<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> SpacePool<T> {
    /// A set for one image.
    pub fn take(&self) -> Spaces<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or(Spaces(Vec::new()))
    }

    /// Gives a set back.
    pub fn keep(&self, spaces: Spaces<T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(spaces);
    }
}

impl<T: Pod> Spaces<T> {
    /// Memory for a map of so many values, of any content: if possible what was used last and may still be in the caches.
    pub fn take(&mut self, values: usize) -> Lines<T> {
        match self.0.iter().rposition(|space| space.capacity() >= values) {
            Some(index) => self.0.remove(index),
            None => Lines::with_capacity(values),
        }
    }

    /// Memory of maps that are not needed any more.
    pub fn extend(&mut self, freed: impl IntoIterator<Item = Lines<T>>) {
        self.0.extend(freed);
    }
}

#[cfg(test)]
impl<T: Pod> SpacePool<T> {
    /// How many pieces are kept, and the values that they have room for.
    pub fn kept(&self) -> (usize, usize) {
        let sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let capacities = sets.iter().flat_map(|set| &set.0).map(Lines::capacity);
        (capacities.clone().count(), capacities.sum())
    }
}
