//! An image on its way through the queue of a model.

use super::given::{Asked, Prepared};
use super::memory::Held;
use super::place::Place;
use super::version::Version;
use crate::answer::Answered;
use crate::fault::Fault;
use crate::options::Which;
use axum::body::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;

/// Whoever asked has gone, or its time is over.
#[derive(Debug, Default)]
pub(super) struct Gone(AtomicBool);

impl Gone {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long an image has waited and was decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) before_decoding: Duration,
    pub(super) decoding: Duration,
    pub(super) decoded: Instant,
}

/// An image that waits to be scored.
pub(super) struct Job {
    pub(super) version: Arc<Version>,
    pub(super) shadow: Option<Arc<Version>>,
    pub(super) prepared: Prepared,
    pub(super) asked: Asked,
    pub(super) keep: Option<Which>,
    pub(super) received: SystemTime,
    pub(super) bytes: Bytes,
    pub(super) timing: Timing,
    pub(super) gone: Arc<Gone>,
    pub(super) reply: oneshot::Sender<Result<Arc<Answered>, Fault>>,
    /// Given back when the answer is there or nobody wants it any more.
    pub(super) place: Place,
    pub(super) held: Held,
}

impl Job {
    pub(super) fn is_wanted(&self) -> bool {
        !self.gone.is_set() && !self.asked.is_late() && !self.reply.is_closed()
    }
}
