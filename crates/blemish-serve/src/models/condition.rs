//! How a model is: ready or not and why, and what it has done so far.

use crate::answer::Verdict;
use crate::fault::Fault;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A second panic within this time makes a model not ready.
const SOON: Duration = Duration::from_secs(60);

/// Whether a model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is being verified.
    Loading,
    /// It answers.
    Ready,
    /// It does not; why not.
    Failed(String),
}

/// What a model has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Images that were answered.
    pub images: u64,
    /// Of them those that are anomalous.
    pub anomalous: u64,
    /// Images that could not be answered once they had a place.
    pub failed: u64,
    /// Images that the version in shadow did not get to.
    pub shadow_left_out: u64,
    /// Files that could not take the place of the version before.
    pub reload_failures: u64,
}

#[derive(Debug)]
struct Inner {
    state: State,
    panicked: Option<Instant>,
    reload_error: Option<String>,
    /// Since when the thread that scores has been at one piece of work.
    working: Option<Instant>,
}

/// How a model is.
#[derive(Debug)]
pub(super) struct Condition {
    inner: Mutex<Inner>,
    images: AtomicU64,
    anomalous: AtomicU64,
    failed: AtomicU64,
    shadow_left_out: AtomicU64,
    reload_failures: AtomicU64,
}

impl Condition {
    pub(super) fn new() -> Self {
        let inner = Inner { state: State::Loading, panicked: None, reload_error: None, working: None };
        Self {
            inner: Mutex::new(inner),
            images: AtomicU64::new(0),
            anomalous: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            shadow_left_out: AtomicU64::new(0),
            reload_failures: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// The thread that scores says whether it works or waits; between two pieces of work it waits.
    pub(super) fn works(&self, is_working: bool) {
        self.lock().working = is_working.then(Instant::now);
    }

    /// Whether the thread that scores has been at one piece of work for so long.
    pub(super) fn is_stuck(&self, limit: Duration) -> bool {
        self.lock().working.is_some_and(|since| since.elapsed() > limit)
    }

    /// # Errors
    /// `not_ready` with the reason.
    pub(super) fn check(&self, name: &str) -> Result<(), Fault> {
        match &self.lock().state {
            State::Ready => Ok(()),
            State::Loading => Err(Fault::new(
                "not_ready",
                format!("the model `{name}` is being verified; ask again in a second"),
            )),
            State::Failed(reason) => Err(Fault::new(
                "not_ready",
                format!("the model `{name}` is not ready: {reason}; load it anew"),
            )),
        }
    }

    /// A version is in place.
    pub(super) fn is_ready(&self) {
        *self.lock() = Inner { state: State::Ready, panicked: None, reload_error: None, working: None };
    }

    pub(super) fn has_failed(&self, reason: String) {
        self.lock().state = State::Failed(reason);
    }

    pub(super) fn reload_failed(&self, reason: String) {
        self.reload_failures.fetch_add(1, Ordering::Relaxed);
        self.lock().reload_error = Some(reason);
    }

    pub(super) fn reload_error(&self) -> Option<String> {
        self.lock().reload_error.clone()
    }

    /// The thread that scores has panicked.
    pub(super) fn panicked(&self, name: &str) {
        let mut inner = self.lock();
        let is_second = inner.panicked.is_some_and(|before| before.elapsed() < SOON);
        inner.panicked = Some(Instant::now());
        if is_second {
            inner.state = State::Failed("its scoring panicked twice within a minute".into());
        }
        drop(inner);
        tracing::error!(model = name, is_second, "the scoring of an image panicked");
    }

    pub(super) fn answered(&self, verdict: &Verdict) {
        self.images.fetch_add(1, Ordering::Relaxed);
        self.anomalous.fetch_add(u64::from(verdict.anomalous == Some(true)), Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn shadow_left_out(&self) {
        self.shadow_left_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            images: read(&self.images),
            anomalous: read(&self.anomalous),
            failed: read(&self.failed),
            shadow_left_out: read(&self.shadow_left_out),
            reload_failures: read(&self.reload_failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Condition;
    use std::time::Duration;

    #[test]
    fn only_work_that_does_not_end_is_stuck() {
        let condition = Condition::new();
        assert!(!condition.is_stuck(Duration::ZERO));
        condition.works(true);
        std::thread::sleep(Duration::from_millis(2));
        assert!(condition.is_stuck(Duration::from_millis(1)) && !condition.is_stuck(Duration::from_secs(60)));
        condition.works(false);
        assert!(!condition.is_stuck(Duration::ZERO));
    }
}
