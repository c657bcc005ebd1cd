//! What waits for a thread of its own: bounded in number and in bytes; when full, the oldest goes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A queue between whoever hears of answers, which never waits, and whoever passes them on, which may have to.
pub struct Buffer<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    /// The same for those who wait in a task.
    notify: Notify,
    capacity: usize,
    bytes: u64,
}

struct State<T> {
    items: VecDeque<(T, u64)>,
    bytes: u64,
    /// When the time to pass on what is left ends.
    until: Option<Instant>,
}

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// The oldest.
    Item(T),
    /// Nothing for as long as was given.
    Nothing,
    /// Nothing, and nothing will come; or there is no time left.
    Closed,
}

impl<T> Buffer<T> {
    /// An empty one for so many items, and so many bytes of them.
    pub fn new(capacity: usize, bytes: u64) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, until: None };
        Self {
            state: Mutex::new(state),
            ready: Condvar::new(),
            notify: Notify::new(),
            capacity: capacity.max(1),
            bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item of so many bytes behind the others. Returns how many were dropped for it, the oldest first; after the end that is
    /// the item itself.
    pub fn push(&self, item: T, bytes: u64) -> u64 {
        let mut state = self.lock();
        if state.until.is_some() {
            return 1;
        }
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        let dropped = state.shrink(self.capacity, self.bytes);
        drop(state);
        self.ready.notify_one();
        self.notify.notify_one();
        dropped
    }

    /// Puts items that were not passed on before all others, in their order. Returns how many had to be dropped.
    pub fn put_back(&self, items: impl DoubleEndedIterator<Item = (T, u64)>) -> u64 {
        let mut state = self.lock();
        for (item, bytes) in items.rev() {
            state.bytes += bytes;
            state.items.push_front((item, bytes));
        }
        state.shrink(self.capacity, self.bytes)
    }

    /// Takes the oldest, and its bytes, if there is one.
    pub fn try_pop(&self) -> Option<(T, u64)> {
        let mut state = self.lock();
        let (item, bytes) = state.items.pop_front()?;
        state.bytes -= bytes;
        Some((item, bytes))
    }

    /// Takes the oldest; waits for it for at most so long.
    pub fn pop(&self, wait: Duration) -> Popped<T> {
        let state = self.lock();
        let is_idle = |state: &mut State<T>| state.items.is_empty() && state.until.is_none();
        let waited = self.ready.wait_timeout_while(state, wait, is_idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.until.is_some_and(|until| until <= Instant::now()) {
            return Popped::Closed;
        }
        match state.items.pop_front() {
            Some((item, bytes)) => {
                state.bytes -= bytes;
                Popped::Item(item)
            }
            None if state.until.is_some() => Popped::Closed,
            None => Popped::Nothing,
        }
    }

    /// Waits until something may have changed.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }

    /// Takes nothing more; what is left may be passed on until then.
    pub fn close(&self, until: Instant) {
        self.lock().until = Some(until);
        self.ready.notify_all();
        self.notify.notify_one();
    }

    /// When the time to pass on what is left ends; `None` before [`Self::close`].
    pub fn closes(&self) -> Option<Instant> {
        self.lock().until
    }

    /// Whether there is no time left.
    pub fn is_over(&self) -> bool {
        self.closes().is_some_and(|until| until <= Instant::now())
    }

    /// Waits for so long, or until it closes.
    pub fn rest(&self, time: Duration) {
        let is_open = |state: &mut State<T>| state.until.is_none();
        drop(self.ready.wait_timeout_while(self.lock(), time, is_open));
    }

    /// How many may wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> State<T> {
    fn shrink(&mut self, capacity: usize, bytes: u64) -> u64 {
        let mut dropped = 0;
        // The last one stays, however large it is.
        while self.items.len() > capacity || (self.bytes > bytes && self.items.len() > 1) {
            if let Some((_, bytes)) = self.items.pop_front() {
                self.bytes -= bytes;
            }
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_it_is_full_of_items_or_of_bytes() {
        let buffer = Buffer::new(3, 100);
        assert_eq!([1, 2, 3, 4].map(|item| buffer.push(item, 10)), [0, 0, 0, 1]);
        assert_eq!(buffer.push(5, 90), 2, "2 and 3 go for the number and the bytes");
        assert_eq!(buffer.try_pop(), Some((4, 10)));
        assert_eq!(buffer.push(6, 500), 1, "one that is too large alone stays");
        assert_eq!(buffer.put_back([(1, 1), (2, 1)].into_iter()), 2, "what comes back is the oldest");
        assert_eq!(buffer.pop(Duration::ZERO), Popped::Item(6));
        assert_eq!(buffer.pop(Duration::ZERO), Popped::Nothing);
    }

    #[test]
    fn after_the_end_what_is_left_comes_until_time_is_up() {
        let buffer = Buffer::new(9, 100);
        buffer.push(1, 1);
        buffer.close(Instant::now() + Duration::from_secs(60));
        assert_eq!(buffer.push(2, 1), 1);
        assert_eq!(buffer.pop(Duration::from_secs(60)), Popped::Item(1));
        assert_eq!(buffer.pop(Duration::from_secs(60)), Popped::Closed);
        buffer.close(Instant::now());
        assert!(buffer.is_over());
    }
}
