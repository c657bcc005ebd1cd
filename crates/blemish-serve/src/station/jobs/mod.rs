//! Jobs: fits, picks, updates, calibrations and evaluations, one at a time.
//!
//! Each is a child process of this very program, so that its memory is its own, a crash does not stop the line, and cancelling is what
//! Ctrl-C is. What it tells on its standard error are the events of `--progress json`.

mod child;
mod laid;
mod plan;
mod progress;
mod request;
#[cfg(test)]
mod tests;
mod work;

use super::Station;
use super::store::jobs::{self as rows, Stored};
use super::store::lock;
use super::versions::MadeBy;
use crate::fault::Fault;
use progress::Progress;
pub use request::Request;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use utoipa::ToSchema;

/// A job as routes give it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Job {
    /// Counts up.
    pub id: i64,
    /// `fit`, `pick`, `update`, `calibrate`, `eval`, `suspects`.
    pub kind: String,
    /// The model.
    pub model: String,
    /// `waiting`, `running`, `done`, `failed`, `cancelled`, `interrupted`.
    pub state: String,
    /// What it is doing, or did last.
    pub stage: String,
    /// Steps of the stage that are done.
    pub done: u64,
    /// All of them.
    pub total: Option<u64>,
    /// Of the stage.
    pub seconds_left: Option<f64>,
    /// Of a training.
    pub loss: Option<f64>,
    /// How it stands, in a few words.
    pub status: String,
    /// Seconds since 1970.
    pub created: f64,
    /// Seconds since 1970.
    pub started: Option<f64>,
    /// Seconds since 1970.
    pub ended: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
    /// What the program wrote.
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// The key of the version that it made.
    pub version: Option<String>,
    /// Who.
    pub author: String,
    /// Whether it can go on where it ended.
    pub can_resume: bool,
    /// What the program told.
    pub log: Vec<String>,
    /// As it was posted.
    #[schema(value_type = Object)]
    pub request: Value,
}

/// The queue of jobs.
pub struct Jobs {
    program: PathBuf,
    root: PathBuf,
    running: Mutex<Option<Running>>,
    wake: Notify,
}

/// The job at work.
struct Running {
    id: i64,
    progress: Arc<Mutex<Progress>>,
    cancelled: Arc<Cancel>,
}

/// Whether somebody wants it to stop.
#[derive(Default)]
struct Cancel {
    asked: AtomicBool,
    wake: Notify,
}

impl Jobs {
    /// Jobs that run this program and keep their files in a folder.
    pub fn new(program: PathBuf, root: PathBuf) -> Self {
        Self { program, root, running: Mutex::new(None), wake: Notify::new() }
    }

    /// Does jobs, one after another, until the station is gone.
    pub async fn run(station: Weak<Station>) {
        {
            let Some(station) = station.upgrade() else { return };
            let root = station.jobs.root.clone();
            let interrupted = station.write(move |connection| {
                for id in rows::interrupt_running(connection)? {
                    rows::set_can_resume(connection, id, laid::has_checkpoint(&root.join(id.to_string())))?;
                }
                Ok(())
            });
            if let Err(fault) = interrupted.await {
                tracing::warn!("{fault}");
            }
        }
        loop {
            let Some(strong) = station.upgrade().filter(|station| !station.is_closing()) else { return };
            match strong.read(rows::next).await {
                Ok(Some(job)) => strong.clone().work(job).await,
                Ok(None) => {
                    // One that comes now wakes; the pause only lets the end of the station be seen.
                    let jobs = tokio::time::timeout(Duration::from_millis(500), strong.jobs.wake.notified());
                    let _ = jobs.await;
                }
                Err(fault) => {
                    tracing::warn!("{fault}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// The job at work and how it stands.
    fn progress(&self, id: i64) -> Option<Progress> {
        let running = lock(&self.running);
        let running = running.as_ref().filter(|running| running.id == id)?;
        let progress = lock(&running.progress).clone();
        Some(progress)
    }

    /// Whether one is at work.
    pub fn is_running(&self) -> Option<i64> {
        lock(&self.running).as_ref().map(|running| running.id)
    }

    /// A stored job with what is known of its progress.
    pub fn told(&self, stored: Stored) -> Job {
        let progress = self.progress(stored.id).unwrap_or_default();
        let is_running = stored.state == "running";
        Job {
            id: stored.id,
            kind: stored.kind,
            model: stored.model,
            state: stored.state,
            stage: if is_running { progress.stage.clone() } else { stored.stage },
            done: progress.done,
            total: progress.total,
            seconds_left: progress.seconds_left(),
            loss: progress.loss(),
            status: progress.status.clone(),
            created: stored.created,
            started: stored.started,
            ended: stored.ended,
            error: stored.error,
            result: stored.result,
            version: stored.version,
            author: stored.author,
            can_resume: stored.can_resume,
            log: if is_running { progress.log.into() } else { stored.log },
            request: stored.request,
        }
    }

    /// Lets the child stop as the station ends.
    pub fn close(&self) {
        if let Some(running) = lock(&self.running).as_ref() {
            running.cancelled.ask();
        }
        self.wake.notify_one();
    }
}

impl Cancel {
    fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Station {
    /// Takes a job into the queue.
    ///
    /// # Errors
    /// `request` if it says nothing sensible, `not_found` for what it names; else of the database.
    pub async fn add_job(self: &Arc<Self>, request: Value, author: String) -> Result<Job, Fault> {
        let parsed = Request::read(&request)?;
        let (kind, model) = (parsed.kind_name(), parsed.model().to_owned());
        let station = self.clone();
        blocking(move || parsed.check(&station)).await?;
        let stored = self
            .write(move |connection| {
                let id = rows::add(connection, kind, &model, &request, &author)?;
                super::store::LogLine::add(
                    connection,
                    "job",
                    &author,
                    &format!("job {id}: {kind} of {model}"),
                )?;
                rows::job(connection, id)
            })
            .await?;
        self.jobs.wake.notify_one();
        let job = self.jobs.told(stored);
        self.say_job(&job);
        Ok(job)
    }

    /// A job.
    ///
    /// # Errors
    /// `not_found`, or of the database.
    pub async fn job(&self, id: i64) -> Result<Job, Fault> {
        Ok(self.jobs.told(self.read(move |connection| rows::job(connection, id)).await?))
    }

    /// Lets a job stop, or not begin.
    ///
    /// # Errors
    /// `not_found`, or `conflict` for one that has ended.
    pub async fn cancel_job(self: &Arc<Self>, id: i64, author: String) -> Result<Job, Fault> {
        let waited = self
            .write(move |connection| {
                rows::job(connection, id)?;
                super::store::LogLine::add(connection, "job", &author, &format!("job {id}: cancel"))?;
                rows::drop_waiting(connection, id)
            })
            .await?;
        let is_running = {
            let running = lock(&self.jobs.running);
            match running.as_ref().filter(|running| running.id == id) {
                Some(running) => {
                    running.cancelled.ask();
                    true
                }
                None => false,
            }
        };
        if !waited && !is_running {
            return Err(Fault::new("conflict", format!("job {id} has ended already; nothing is to cancel")));
        }
        let job = self.job(id).await?;
        self.say_job(&job);
        Ok(job)
    }

    /// A new job that goes on where another ended.
    ///
    /// # Errors
    /// `not_found`, or `conflict` for one that cannot.
    pub async fn resume_job(self: &Arc<Self>, id: i64, author: String) -> Result<Job, Fault> {
        let stored = self.read(move |connection| rows::job(connection, id)).await?;
        if !stored.can_resume {
            return Err(Fault::new(
                "conflict",
                format!("job {id} cannot go on where it ended; start it anew"),
            ));
        }
        let mut request = stored.request;
        if let Some(request) = request.as_object_mut() {
            // The first one of a chain has the files.
            request.entry("resume_of").or_insert(json!(id));
        }
        let job = self.add_job(request, author).await?;
        self.write(move |connection| rows::set_can_resume(connection, id, false)).await?;
        Ok(job)
    }

    fn say_job(&self, job: &Job) {
        let text = match &job.error {
            Some(error) => format!("job {} ({}): {}: {error}", job.id, job.kind, job.state),
            None => format!("job {} ({}): {} {}", job.id, job.kind, job.state, job.stage),
        };
        // The log can be asked for; with every event it would be most of what is sent.
        let data = serde_json::to_value(Job { log: Vec::new(), ..job.clone() }).unwrap_or_default();
        self.say("job", &job.model, text.trim(), data);
    }
}

/// Runs what takes a while on a thread for such things.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Fault::new("panic", "this failed unexpectedly; the log says more")))
}

/// What a job makes.
struct Makes {
    file: PathBuf,
    by: MadeBy,
    parent: Option<String>,
    /// Images that it has learnt.
    learnt: Vec<String>,
}
