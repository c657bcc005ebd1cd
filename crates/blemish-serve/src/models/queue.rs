//! The queue of a model and the thread that takes from it.
//!
//! Whatever is queued is scored together, up to a batch: nothing waits for company unless it is asked to, since scores do not depend on the
//! batch. What a version in shadow is to score waits until nobody else does.

use super::condition::Condition;
use super::given::Prepared;
use super::job::Job;
use super::memory::Held;
use super::outcome::{About, late, milliseconds, panicked, removed, scored};
use super::version::Version;
use crate::answer::{Answered, Milliseconds};
use crate::bus::{Bus, Happening};
use crate::fault::Fault;
use blemish::{ScoreOptions, Scored};
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Images that wait for a version in shadow; of more, the oldest is left out.
const SHADOWED: usize = 8;

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
    /// Threads that score.
    pub(super) threads: usize,
    pub(super) condition: Arc<Condition>,
    pub(super) bus: Arc<Bus>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
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
        threads: usize,
        condition: Arc<Condition>,
        bus: Arc<Bus>,
    ) -> Self {
        let (waiting, changed) = (Mutex::default(), Condvar::new());
        Self {
            name: name.to_owned(),
            batch: batch.max(1),
            wait,
            threads: threads.max(1),
            condition,
            bus,
            waiting,
            changed,
        }
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
            // After a panic, too.
            self.condition.works(false);
            let turn = self.next();
            self.condition.works(true);
            match turn {
                Turn::Closed => break,
                Turn::Live(jobs) => self.score(jobs),
                Turn::Shadow(shadowed) => self.score_shadow(&shadowed),
            }
        }
        self.condition.works(false);
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
        let count = even(waiting.live.len().min(self.batch), self.threads);
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

/// So many of what waits that every thread has the same number: images are scored side by side, so with one more all but one thread would wait for
/// its end, and everybody for the answers. Fewer than there are threads share the threads.
fn even(waiting: usize, threads: usize) -> usize {
    if waiting > threads { waiting - waiting % threads } else { waiting }
}

/// The rows and columns of an image of (height, width) pixels that the map covers.
fn covered(version: &Version, (height, width): (usize, usize)) -> (Range<usize>, Range<usize>) {
    // It was transformed, so that it can be.
    version.detector.transform().covered(height, width).unwrap_or((0..height, 0..width))
}

#[cfg(test)]
mod tests {
    use super::even;

    #[test]
    fn every_thread_gets_the_same_number_of_images() {
        let taken = |threads| (1..=8).map(|waiting| even(waiting, threads)).collect::<Vec<_>>();
        assert_eq!(taken(1), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(taken(2), [1, 2, 2, 4, 4, 6, 6, 8]);
        assert_eq!(taken(3), [1, 2, 3, 3, 3, 6, 6, 6]);
        assert_eq!(taken(16), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
