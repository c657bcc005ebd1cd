//! The queue of a model and the thread that takes from it.
//!
//! Whatever is queued is scored together, up to a batch: nothing waits for company unless it is asked to, since scores do not depend on the
//! batch. What a version in shadow is to score waits until nobody else does.

use super::condition::Condition;
use super::given::{Asked, Prepared, joined};
use super::memory::Held;
use super::place::Place;
use super::version::Version;
use crate::answer::{Answered, Milliseconds, Verdict};
use crate::bus::{Bus, Happening};
use crate::fault::Fault;
use crate::options::Which;
use axum::body::Bytes;
use blemish::{Decision, Observer, ScoreOptions, Scored};
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;

/// Images that wait for a version in shadow; of more, the oldest is left out.
const SHADOWED: usize = 8;

/// Whoever asked has gone, or its time is over.
#[derive(Debug, Default)]
pub(super) struct Gone(AtomicBool);

impl Gone {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
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
    fn is_wanted(&self) -> bool {
        !self.gone.is_set() && !self.asked.is_late() && !self.reply.is_closed()
    }
}

/// An image that a version in shadow is to score, too.
struct Shadowed {
    version: Arc<Version>,
    image: Arc<blemish::data::RgbImage>,
    first: Arc<Answered>,
    min_area: f64,
    _held: Held,
}

#[derive(Default)]
struct Waiting {
    live: VecDeque<Job>,
    shadow: VecDeque<Shadowed>,
    is_closed: bool,
}

/// What waits, and what the thread needs to work it off.
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) batch: usize,
    pub(super) wait: Duration,
    pub(super) condition: Arc<Condition>,
    pub(super) bus: Arc<Bus>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// Watches whether anybody still wants an image.
struct Wanted<'a>(&'a Job);

impl Observer for Wanted<'_> {
    fn is_cancelled(&self) -> bool {
        !self.0.is_wanted()
    }
}

enum Turn {
    Live(Vec<Job>),
    Shadow(Box<Shadowed>),
    Closed,
}

impl Queue {
    pub(super) fn new(
        name: &str,
        (batch, wait): (usize, Duration),
        condition: Arc<Condition>,
        bus: Arc<Bus>,
    ) -> Self {
        let (waiting, changed) = (Mutex::default(), Condvar::new());
        Self { name: name.to_owned(), batch: batch.max(1), wait, condition, bus, waiting, changed }
    }

    /// Starts the thread. It ends when the queue is closed.
    ///
    /// # Errors
    /// `io` if the system gives no thread.
    pub(super) fn start(self: &Arc<Self>) -> Result<(), Fault> {
        let queue = self.clone();
        let work = move || {
            // What panics beyond the scoring of an image loses what was in hand; the next turn begins anew.
            while catch_unwind(AssertUnwindSafe(|| queue.work())).is_err() {
                queue.condition.panicked(&queue.name);
            }
        };
        let thread = std::thread::Builder::new().name(format!("score {}", self.name));
        thread.spawn(work).map(drop).map_err(|error| {
            Fault::new("io", format!("the system gives no thread to score with: {error}; lower its load"))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, job: Job) {
        let mut waiting = self.lock();
        if waiting.is_closed {
            let _ = job.reply.send(Err(removed(&self.name)));
            return;
        }
        waiting.live.push_back(job);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Lets the thread end; what waits is answered with an error.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.shadow.clear();
        for job in waiting.live.drain(..) {
            let _ = job.reply.send(Err(removed(&self.name)));
        }
        drop(waiting);
        self.changed.notify_one();
    }

    fn work(&self) {
        loop {
            match self.next() {
                Turn::Closed => return,
                Turn::Live(jobs) => self.score(jobs),
                Turn::Shadow(shadowed) => self.score_shadow(&shadowed),
            }
        }
    }

    fn next(&self) -> Turn {
        let mut waiting = self.lock();
        loop {
            waiting.live.retain(Job::is_wanted);
            if !waiting.live.is_empty() {
                break;
            }
            if waiting.is_closed {
                return Turn::Closed;
            }
            if let Some(shadowed) = waiting.shadow.pop_front() {
                return Turn::Shadow(Box::new(shadowed));
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + self.wait;
        while waiting.live.len() < self.batch && !waiting.is_closed {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                break;
            };
            waiting = self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let count = waiting.live.len().min(self.batch);
        Turn::Live(waiting.live.drain(..count).collect())
    }

    /// Scores images in their order, together those that go together.
    fn score(&self, jobs: Vec<Job>) {
        let mut together: Vec<Job> = Vec::with_capacity(jobs.len());
        for job in jobs {
            let goes = together.first().is_none_or(|first| {
                Arc::ptr_eq(&first.version, &job.version) && first.prepared.goes_with(&job.prepared)
            });
            if !goes {
                self.score_together(std::mem::take(&mut together));
            }
            together.push(job);
        }
        self.score_together(together);
    }

    fn score_together(&self, jobs: Vec<Job>) {
        let Some(first) = jobs.first() else { return };
        let version = first.version.clone();
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| scored(&version, &jobs)));
        let took = began.elapsed();
        match outcome {
            Ok(Ok(scored)) if scored.len() == jobs.len() => {
                for (job, scored) in jobs.into_iter().zip(scored) {
                    self.answer(job, scored, (began, took));
                }
            }
            // One of them spoils it for the others: each for itself, only the culprit fails.
            _ if jobs.len() > 1 => jobs.into_iter().for_each(|job| self.score_together(vec![job])),
            Ok(Ok(_)) => self.refuse(jobs, Fault::new("score", "the model gave no score for the image")),
            Ok(Err(fault)) => self.refuse(jobs, fault),
            Err(_) => {
                self.condition.panicked(&self.name);
                self.refuse(jobs, panicked());
            }
        }
    }

    fn refuse(&self, jobs: Vec<Job>, fault: Fault) {
        for job in jobs {
            self.condition.failed();
            let fault = match job.asked.is_late() {
                true => late(),
                false => fault.clone(),
            };
            if fault.status().is_server_error() {
                tracing::error!(id = job.asked.id, model = self.name, code = fault.code, "{fault}");
            }
            let _ = job.reply.send(Err(fault));
        }
    }

    /// Says what was found; the bus has it before whoever asked.
    fn answer(&self, job: Job, scored: Scored, (began, took): (Instant, Duration)) {
        let between = began.saturating_duration_since(job.timing.decoded);
        let milliseconds = Milliseconds {
            queue: milliseconds(job.timing.before_decoding + between),
            decode: milliseconds(job.timing.decoding),
            score: milliseconds(took),
        };
        let decision = match job.version.detector.decide(&scored, job.prepared.size, job.asked.min_area) {
            Ok(decision) => decision,
            Err(error) => return self.refuse(vec![job], Fault::from(&error)),
        };
        let about = About {
            id: &job.asked.id,
            model: &self.name,
            version: &job.version,
            size: job.prepared.size,
            milliseconds,
        };
        let answered = Arc::new(Answered {
            verdict: about.verdict(scored.score, decision),
            origin: job.asked.origin,
            name: job.asked.name.clone(),
            received: job.received,
            bytes: job.bytes,
            map: Arc::new(scored.map),
            colours: job.version.detector.colour_range(),
            covered: covered(&job.version, job.prepared.size),
            look: job.prepared.look.clone(),
            is_shadow: false,
            keep: job.keep,
        });
        self.condition.answered(&answered.verdict);
        self.bus.tell(Happening::Answered(answered.clone()));
        let _ = job.reply.send(Ok(answered.clone()));
        drop(job.place);
        if let (Some(version), Some(image)) = (job.shadow, job.prepared.image) {
            let min_area = job.asked.min_area;
            self.shadow(Shadowed { version, image, first: answered, min_area, _held: job.held });
        }
    }

    fn shadow(&self, shadowed: Shadowed) {
        let mut waiting = self.lock();
        if waiting.shadow.len() == SHADOWED {
            waiting.shadow.pop_front();
            self.condition.shadow_left_out();
        }
        waiting.shadow.push_back(shadowed);
    }

    fn score_shadow(&self, shadowed: &Shadowed) {
        let Shadowed { version, image, first, min_area, _held } = shadowed;
        let began = Instant::now();
        let work = || -> Result<Answered, Fault> {
            let prepared = Prepared::of(image.clone(), version, false)?;
            let scored = match &prepared.batch {
                Some(batch) => version.detector.score(batch).map(|scored| scored.into_iter().next()),
                None => version.detector.score_image(image, &ScoreOptions::default()).map(Some),
            };
            let scored = scored.map_err(|error| Fault::from(&error))?;
            let scored =
                scored.ok_or_else(|| Fault::new("score", "the model gave no score for the image"))?;
            let decision = version.detector.decide(&scored, prepared.size, *min_area);
            let about = About {
                id: &first.verdict.id,
                model: &self.name,
                version,
                size: prepared.size,
                milliseconds: Milliseconds { score: milliseconds(began.elapsed()), ..Default::default() },
            };
            Ok(Answered {
                verdict: about.verdict(scored.score, decision.map_err(|error| Fault::from(&error))?),
                name: first.name.clone(),
                bytes: first.bytes.clone(),
                map: Arc::new(scored.map),
                colours: version.detector.colour_range(),
                covered: covered(version, prepared.size),
                look: None,
                is_shadow: true,
                ..**first
            })
        };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(answered)) => self.bus.tell(Happening::Answered(Arc::new(answered))),
            Ok(Err(fault)) => tracing::warn!(model = self.name, code = fault.code, "in shadow: {fault}"),
            Err(_) => tracing::error!(model = self.name, "the version in shadow panicked"),
        }
    }
}

/// The rows and columns of an image of (height, width) pixels that the map covers.
fn covered(version: &Version, (height, width): (usize, usize)) -> (Range<usize>, Range<usize>) {
    // It was transformed, so that it can be.
    version.detector.transform().covered(height, width).unwrap_or((0..height, 0..width))
}

/// What a verdict says beside score and decision.
struct About<'a> {
    id: &'a str,
    model: &'a str,
    version: &'a Version,
    size: (usize, usize),
    milliseconds: Milliseconds,
}

impl About<'_> {
    fn verdict(self, score: f32, decision: Option<Decision>) -> Verdict {
        let (p_value, threshold, anomalous, regions) = match decision {
            Some(Decision { p_value, threshold, anomalous, regions }) => {
                (Some(p_value), threshold, anomalous, regions)
            }
            None => (None, None, None, Vec::new()),
        };
        Verdict {
            id: self.id.to_owned(),
            model: self.model.to_owned(),
            version: self.version.version.clone(),
            score,
            p_value,
            threshold,
            anomalous,
            regions,
            size: [self.size.0, self.size.1],
            milliseconds: self.milliseconds,
        }
    }
}

/// The outcomes of images that go together.
fn scored(version: &Version, jobs: &[Job]) -> Result<Vec<Scored>, Fault> {
    #[cfg(test)]
    if jobs.iter().any(|job| job.asked.name == super::tests::PANICS) {
        panic!("as asked");
    }
    let outcome = match jobs {
        [Job { prepared: Prepared { batch: Some(batch), .. }, .. }] => version.detector.score(batch),
        [job @ Job { prepared: Prepared { image: Some(image), .. }, .. }] => {
            let options = ScoreOptions { observer: &Wanted(job), ..ScoreOptions::default() };
            version.detector.score_image(image, &options).map(|scored| vec![scored])
        }
        jobs => match joined(&jobs.iter().map(|job| &job.prepared).collect::<Vec<_>>()) {
            Some(batch) => version.detector.score(&batch),
            None => return Ok(Vec::new()),
        },
    };
    outcome.map_err(|error| match &error {
        // An image that fits was scored to something that is no number: the model's fault, not the caller's.
        blemish::Error::Score { reason } if reason.contains("finite") => Fault::new("not_finite", error),
        _ => Fault::from(&error),
    })
}

fn milliseconds(time: Duration) -> f64 {
    // Microseconds are as fine as clocks are.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A time that is over.
pub(super) fn late() -> Fault {
    Fault::new("deadline", "the time for the request is over; send less at once, or raise --timeout")
}

/// A panic, which the log knows more of.
pub(super) fn panicked() -> Fault {
    Fault::new("panic", "the server failed on this image; its log has the id of the request")
}

fn removed(name: &str) -> Fault {
    Fault::new(
        "no_such_model",
        format!("the model `{name}` was taken away; GET /v1/models lists those that are served"),
    )
}
