//! The decoding threads behind a loader.

use super::job::{Job, Loaded};
use crate::error::{DataError, ImageFault};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the threads and the loader share.
pub(super) struct Shared<'a> {
    job: Job<'a>,
    /// Position in the stream to index in the source.
    stream: Vec<usize>,
    /// How many positions may be claimed beyond those taken.
    window: usize,
    state: Mutex<State>,
    /// Signals threads: the reader has taken something, or all is over.
    room: Condvar,
    /// Signals the reader: something is ready.
    ready: Condvar,
}

#[derive(Default)]
struct State {
    /// Positions given to threads so far: all below this.
    claimed: usize,
    /// Positions the reader has taken so far: all below this.
    taken: usize,
    /// Results not taken yet, by position; at most a window of them.
    done: HashMap<usize, Result<Loaded, DataError>>,
    is_stopped: bool,
}

impl<'a> Shared<'a> {
    pub(super) fn new(job: Job<'a>, stream: Vec<usize>, window: usize) -> Self {
        Self { job, stream, window, state: Mutex::default(), room: Condvar::new(), ready: Condvar::new() }
    }

    pub(super) fn job(&self) -> &Job<'a> {
        &self.job
    }

    /// The indices in the source, in the order of the stream.
    pub(super) fn stream(&self) -> &[usize] {
        &self.stream
    }

    /// The result at `position`, waiting for it. Positions must be taken in order, each once, before [`Self::stop`].
    pub(super) fn take(&self, position: usize) -> Result<Loaded, DataError> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.done.remove(&position) {
                state.taken = position + 1;
                self.room.notify_all();
                return result;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the threads end after the images they are at, and forgets what is ready.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        state.done.clear();
        self.room.notify_all();
    }

    /// What a thread does until all positions are claimed or the loader stops.
    pub(super) fn work(&self) {
        while let Some(position) = self.claim() {
            let index = self.stream[position];
            // In any case the reader waits for this position and must get something.
            let result = catch_unwind(AssertUnwindSafe(|| self.job.load(index))).unwrap_or_else(|_| {
                let detail = "it could not be read or transformed".to_string();
                let fault = ImageFault::Reader { format: "images", detail };
                Err(DataError::image(Path::new(&self.job.source().facts(index).name), fault))
            });
            let mut state = self.lock();
            if state.is_stopped {
                return;
            }
            state.done.insert(position, result);
            self.ready.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next position, once there is room for its result; `None` when all are claimed or the reader has stopped.
    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.is_stopped || state.claimed == self.stream.len() {
                return None;
            }
            if state.claimed < state.taken + self.window {
                state.claimed += 1;
                return Some(state.claimed - 1);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
