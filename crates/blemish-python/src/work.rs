//! Long work: on a thread of its own, the interpreter free meanwhile, stopped by Ctrl-C.
//!
//! The calling thread waits in steps of [`STEP`]. After each it lets Python handle signals and tells the caller's `report` what the work has
//! said. An exception from either cancels the work and is raised.

use crate::errors;
use crate::pools;
use blemish::{Error, Observer};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long signals and progress wait at most.
const STEP: Duration = Duration::from_millis(100);

/// How long cancelled work is waited for. What takes longer ends by itself, unseen: it writes nothing.
const PATIENCE: Duration = Duration::from_millis(60);

/// The same for work that keeps a checkpoint, which must be complete before anyone resumes from it.
pub const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(20);

/// How work is run.
pub struct Terms {
    /// Threads; `None` is all cores.
    pub threads: Option<usize>,
    /// Python's `report(stage, done, total, status, warnings)`; `None` for work that has nothing to say.
    pub report: Option<Py<PyAny>>,
    /// How long it is waited for when it is cancelled.
    pub patience: Duration,
}

impl Terms {
    /// Work that may be stopped at any time.
    pub fn new(threads: Option<usize>, report: Option<Py<PyAny>>) -> Self {
        Self { threads, report, patience: PATIENCE }
    }
}

/// What the work has said since it was last asked.
#[derive(Default)]
struct Said {
    stage: String,
    done: u64,
    total: Option<u64>,
    status: String,
    warnings: Vec<String>,
    is_new: bool,
}

/// Hears the work and tells it to stop.
#[derive(Default)]
pub struct Watcher {
    said: Mutex<Said>,
    is_cancelled: AtomicBool,
}

impl Watcher {
    fn said(&self) -> MutexGuard<'_, Said> {
        // Whoever panicked has at most left words half said.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Said)) {
        let mut said = self.said();
        said.is_new = true;
        change(&mut said);
    }
}

impl Observer for Watcher {
    fn stage(&self, name: &str, total: Option<u64>) {
        self.change(|said| {
            *said = Said {
                stage: name.to_owned(),
                total,
                warnings: std::mem::take(&mut said.warnings),
                ..Said::default()
            };
            said.is_new = true;
        });
    }
    fn advance(&self, steps: u64) {
        self.change(|said| said.done += steps);
    }
    fn status(&self, words: &str) {
        self.change(|said| words.clone_into(&mut said.status));
    }
    fn warn(&self, message: &str) {
        self.change(|said| said.warnings.push(message.to_owned()));
    }
    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// Runs `work` and gives what it gives.
///
/// # Errors
/// The work's error as a Python exception, `InternalError` if it panicked, `KeyboardInterrupt` and what `report` raises.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    terms: Terms,
    work: impl FnOnce(&Watcher) -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    let watcher = Arc::new(Watcher::default());
    let pool = pools::take(py, terms.threads)?;
    let (send, mut receive) = sync_channel(1);
    let observer = watcher.clone();
    let thread = std::thread::Builder::new().name("blemish".into()).spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.install(|| work(&observer))));
        // Nobody listens any more if the work was given up.
        let _ = send.send((outcome, pool));
    });
    thread.map_err(|error| errors::internal(py, &format!("no thread can be started: {error}")))?;
    loop {
        // A receiver may move between threads and not be shared by them.
        let next;
        (next, receive) = py.detach(move || (receive.recv_timeout(STEP), receive));
        match next {
            Ok((outcome, pool)) => {
                pools::give_back(py, pool);
                report(py, &terms, &watcher, true)?;
                return match outcome {
                    Ok(outcome) => outcome.map_err(|error| errors::raised(py, &error)),
                    Err(panic) => Err(errors::internal(py, &words_of(&*panic))),
                };
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(errors::internal(py, "the work ended without an outcome"));
            }
            Err(RecvTimeoutError::Timeout) => {
                let heard = py.check_signals().and_then(|()| report(py, &terms, &watcher, false));
                if let Err(stopped) = heard {
                    watcher.is_cancelled.store(true, Ordering::Relaxed);
                    let patience = terms.patience;
                    let ended = py.detach(move || receive.recv_timeout(patience));
                    if let Ok((_, pool)) = ended {
                        pools::give_back(py, pool);
                    }
                    return Err(stopped);
                }
            }
        }
    }
}

/// Tells Python what is new. At the end only what would be missed.
fn report(py: Python<'_>, terms: &Terms, watcher: &Watcher, is_end: bool) -> PyResult<()> {
    let Some(report) = &terms.report else { return Ok(()) };
    let (stage, done, total, status, warnings) = {
        let mut said = watcher.said();
        if !std::mem::take(&mut said.is_new) {
            return Ok(());
        }
        (said.stage.clone(), said.done, said.total, said.status.clone(), std::mem::take(&mut said.warnings))
    };
    report.call1(py, (stage, done, total, status, warnings, is_end)).map(drop)
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(words), _) => (*words).to_owned(),
        (_, Some(words)) => words.clone(),
        _ => "no reason is known".to_owned(),
    }
}
