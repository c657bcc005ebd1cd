//! Drift monitors: one a version of a model, in a folder, as `predict --monitor` writes them.
//!
//! ```text
//! bus -> score and look of each image, in the order of answers -> a thread of its own -> monitor -> file, metrics, one warning
//! ```
//! The file of a version is `MODEL-VERSION.json`: another version has scores of its own, and one that comes back goes on where it left off.

use crate::bus::{Bus, Event, Happening, Listener};
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::models::Version;
use blemish::file::Claim;
use blemish::metrics::Drift;
use blemish::monitor::{Monitor, Reference, in_words};
use blemish::{Detector, Look, Observer};
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Images that wait for their monitor. It takes microseconds an image, so that only a disk that hangs fills this.
const WAITING: usize = 10_000;

/// Between two writings of a file.
const SAVE: Duration = Duration::from_secs(1);

/// The bound on false alarms that `predict --monitor` has by default.
const FALSE_ALARM: f64 = 0.01;

/// Finds a version of a model, if that is the one that answers now.
pub type Find = Box<dyn Fn(&str, &str) -> Option<Arc<Version>> + Send>;

/// How a monitor stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonitorState {
    /// The version whose images are watched.
    pub version: String,
    /// Images watched so far.
    pub watched: u64,
    /// Of them those that were anomalous and so said nothing of drift.
    pub set_aside: u64,
    /// Images until the reference is complete.
    pub missing: usize,
    /// Evidence, as a share of what a warning needs.
    pub evidence: f64,
    /// Whether images are watched, and not scores alone.
    pub watches_images: bool,
    /// Where the reference came from, in words.
    pub reference: &'static str,
    /// What was found.
    pub drift: Option<Drift>,
    /// All of it in words.
    pub words: String,
}

struct Observed {
    model: String,
    version: String,
    score: f32,
    look: Option<Look>,
    id: String,
}

enum Task {
    Observe(Box<Observed>),
    /// Write everything, and say so.
    End(SyncSender<()>),
}

struct Open {
    monitor: Monitor,
    path: PathBuf,
    /// One process at a time goes on with a file.
    _claim: Claim,
    is_dirty: bool,
}

/// The monitors of a server.
pub struct Watch {
    folder: PathBuf,
    metrics: Arc<Metrics>,
    tasks: SyncSender<Task>,
    todo: Mutex<Option<Receiver<Task>>>,
    /// By model and version.
    open: Mutex<HashMap<(String, String), Open>>,
    /// The version of each model that was watched last.
    current: Mutex<HashMap<String, String>>,
    is_behind: AtomicBool,
}

impl Watch {
    /// Makes the folder. Monitors work from [`Self::start`] on.
    ///
    /// # Errors
    /// `io` if it cannot be made.
    pub fn new(folder: &Path, metrics: Arc<Metrics>) -> Result<Arc<Self>, Fault> {
        std::fs::create_dir_all(folder).map_err(|error| {
            Fault::new("io", format!("cannot make the folder of monitors `{}`: {error}", folder.display()))
        })?;
        let (tasks, todo) = sync_channel(WAITING);
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            metrics,
            tasks,
            todo: Mutex::new(Some(todo)),
            open: Mutex::default(),
            current: Mutex::default(),
            is_behind: AtomicBool::new(false),
        }))
    }

    /// Starts the thread. Versions that are not open yet are found as their first image comes.
    ///
    /// # Errors
    /// `io` if the system gives no thread; `conflict` if it was started before.
    pub fn start(self: &Arc<Self>, bus: &Arc<Bus>, find: Find) -> Result<(), Fault> {
        let todo = self.todo.lock().unwrap_or_else(PoisonError::into_inner).take();
        let todo = todo.ok_or_else(|| Fault::new("conflict", "the monitors are at work already"))?;
        let (watch, bus) = (self.clone(), Arc::downgrade(bus));
        let work = move || {
            watch.work(
                &todo,
                &|model, words, data| {
                    if let Some(bus) = bus.upgrade() {
                        bus.say("drift", model, words, data);
                    }
                },
                &find,
            )
        };
        let started = std::thread::Builder::new().name("monitors".into()).spawn(work);
        started
            .map(drop)
            .map_err(|error| Fault::new("io", format!("cannot start the thread of the monitors: {error}")))
    }

    /// Opens the monitor of a version, or makes it.
    ///
    /// # Errors
    /// [`Fault`] if the file is no monitor of that version, another process uses it, or it cannot be written.
    pub fn open(&self, model: &str, version: &str, detector: &Detector) -> Result<(), Fault> {
        let path = self.folder.join(format!("{model}-{version}.json"));
        let claim = Claim::new(&path, &Impatient).map_err(|error| match error {
            blemish::Error::Interrupted => Fault::new(
                "monitor",
                format!(
                    "another process goes on with the monitor `{}`; give each server a folder of its own",
                    path.display()
                ),
            ),
            other => Fault::from(&other),
        })?;
        let monitor = Monitor::open(&path, detector, Reference::Auto, FALSE_ALARM)
            .map_err(|error| Fault::from(&error))?;
        self.tell_metrics(model, &monitor);
        let open = Open { monitor, path, _claim: claim, is_dirty: false };
        self.lock().insert((model.to_owned(), version.to_owned()), open);
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(model.to_owned(), version.to_owned());
        Ok(())
    }

    /// How the monitor of a model stands; `None` if it has none.
    pub fn state(&self, model: &str) -> Option<MonitorState> {
        let version = self.current.lock().unwrap_or_else(PoisonError::into_inner).get(model)?.clone();
        let key = (model.to_owned(), version);
        let open = self.lock();
        let monitor = &open.get(&key)?.monitor;
        let drift = monitor.drift();
        Some(MonitorState {
            version: key.1,
            watched: drift.watched(),
            set_aside: drift.set_aside(),
            missing: drift.missing(),
            evidence: drift.evidence(),
            watches_images: drift.watches_images(),
            reference: monitor.reference(),
            drift: drift.drift(),
            words: words(monitor),
        })
    }

    /// Begins a new monitor for a model, after the camera was cleaned or adjusted. The file before is kept, as `.old` and a number.
    ///
    /// # Errors
    /// `not_found` if the model has none; else as [`Self::open`].
    pub fn restart(&self, model: &str, detector: &Detector) -> Result<(), Fault> {
        let version = self.current.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned();
        let version = version.ok_or_else(|| {
            Fault::new(
                "not_found",
                format!("the model `{model}` has no monitor; `--monitor DIR` keeps one a model"),
            )
        })?;
        if let Some(before) = self.lock().remove(&(model.to_owned(), version.clone())) {
            before.monitor.save().map_err(|error| Fault::from(&error))?;
            let free = (1..)
                .map(|number| before.path.with_extension(format!("old{number}.json")))
                .find(|path| !path.exists());
            let aside = free.unwrap_or_else(|| before.path.with_extension("old.json"));
            std::fs::rename(&before.path, &aside).map_err(|error| {
                Fault::new("io", format!("cannot put `{}` aside: {error}", before.path.display()))
            })?;
        }
        self.open(model, &version, detector)
    }

    /// Writes everything, for so long at most.
    pub fn close(&self, timeout: Duration) {
        let (done, is_done) = sync_channel(1);
        let until = Instant::now() + timeout;
        let mut task = Task::End(done);
        // The queue may be full for a moment.
        while let Err(TrySendError::Full(back)) = self.tasks.try_send(task) {
            if Instant::now() >= until {
                return;
            }
            task = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        if is_done.recv_timeout(until.saturating_duration_since(Instant::now()))
            == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("the monitors were not written in time");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, todo: &Receiver<Task>, warn: &dyn Fn(&str, String, serde_json::Value), find: &Find) {
        let mut saved = Instant::now();
        loop {
            match todo.recv_timeout(SAVE) {
                Ok(Task::Observe(observed)) => self.observe(*observed, warn, find),
                Ok(Task::End(done)) => {
                    self.save();
                    return drop(done);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.save(),
            }
            if saved.elapsed() >= SAVE {
                self.save();
                saved = Instant::now();
            }
        }
    }

    fn observe(&self, observed: Observed, warn: &dyn Fn(&str, String, serde_json::Value), find: &Find) {
        let Observed { model, version, score, look, id } = observed;
        let key = (model, version);
        if !self.lock().contains_key(&key) {
            // A version that answers no more is not watched any more either.
            let Some(found) = find(&key.0, &key.1) else { return };
            if let Err(fault) = self.open(&key.0, &key.1, &found.detector) {
                if !self.is_behind.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        model = key.0,
                        "the model is not watched for drift: {fault}; {}",
                        fault.help
                    );
                }
                return;
            }
        }
        let mut open = self.lock();
        let Some(one) = open.get_mut(&key) else { return };
        one.is_dirty = true;
        match one.monitor.observe(score, look.as_ref()) {
            Ok(None) => {}
            Ok(Some(drift)) => {
                let text = in_words(&drift);
                tracing::warn!(model = key.0, id, "{text}");
                self.tell_metrics(&key.0, &one.monitor);
                drop(open);
                let data = json!({"version": key.1, "image": drift.image, "since": drift.since, "kind": drift.kind, "id": id});
                warn(&key.0, text, data);
            }
            Err(error) => tracing::warn!(model = key.0, id, "a monitor cannot take in the image: {error}"),
        }
    }

    fn save(&self) {
        for ((model, _), one) in self.lock().iter_mut().filter(|(_, one)| one.is_dirty) {
            one.is_dirty = false;
            self.tell_metrics(model, &one.monitor);
            if let Err(error) = one.monitor.save() {
                tracing::warn!(model, "{error}");
            }
        }
    }

    fn tell_metrics(&self, model: &str, monitor: &Monitor) {
        let drift = monitor.drift();
        self.metrics.drift(model, drift.drift().is_some(), drift.evidence());
    }
}

impl Listener for Watch {
    fn take(&self, event: &Event) {
        let Happening::Answered(answered) = &event.what else { return };
        if answered.is_shadow {
            return;
        }
        let verdict = &answered.verdict;
        let observed = Observed {
            model: verdict.model.clone(),
            version: verdict.version.clone(),
            score: verdict.score,
            look: answered.look.clone(),
            id: verdict.id.clone(),
        };
        if self.tasks.try_send(Task::Observe(Box::new(observed))).is_err()
            && !self.is_behind.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("the monitors of drift do not keep up and miss images; is their disk slow?");
        }
    }
}

/// Waits for nobody.
struct Impatient;

impl Observer for Impatient {
    fn is_cancelled(&self) -> bool {
        true
    }
}

/// How a monitor stands, for people.
fn words(monitor: &Monitor) -> String {
    let drift = monitor.drift();
    let (missing, watched, set_aside) = (drift.missing(), drift.watched(), drift.set_aside());
    match drift.drift() {
        _ if missing > 0 => format!("{missing} more images until the reference is complete"),
        Some(found) => in_words(&found),
        None => format!(
            "no drift in {watched} images ({set_aside} set aside as anomalous), evidence {:.0} % of a warning's",
            100.0 * drift.evidence()
        ),
    }
}
