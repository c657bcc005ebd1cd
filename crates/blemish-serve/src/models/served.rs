//! A model under its name: the version that answers now, its queue, and how another version takes its place.

use super::Engine;
use super::condition::{Condition, Counts, State};
use super::given::{Asked, Given, Prepared, reading};
use super::job::{Gone, Job, Timing};
use super::outcome::{late, panicked};
use super::place::Place;
use super::queue::Queue;
use super::version::{Stamp, Version};
use crate::answer::Answered;
use crate::fault::{Fault, beside};
use crate::options::{ModelOption, Which};
use arc_swap::{ArcSwap, ArcSwapOption};
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Semaphore, oneshot};

/// A model that is served.
pub struct Served {
    name: String,
    path: PathBuf,
    engine: Arc<Engine>,
    version: ArcSwap<Version>,
    shadow: ArcSwapOption<Version>,
    places: Arc<Semaphore>,
    queue: Arc<Queue>,
    condition: Arc<Condition>,
    /// One version after another.
    reloading: tokio::sync::Mutex<()>,
    looked: Mutex<Looked>,
}

/// What is said of a file that makes its reader panic.
const PANICKED: &str = "reading the model failed unexpectedly; the file may be damaged, copy it again";

/// Looks in a row without a file until it is gone.
const GONE: u32 = 2;

/// What was seen of the file.
#[derive(Default)]
struct Looked {
    last: Option<Stamp>,
    /// Tried, with whatever outcome; `None` once the file was gone.
    tried: Option<Stamp>,
    /// Looks in a row that found no file.
    gone: u32,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Tells the work that whoever asked has gone.
struct Leaves(Arc<Gone>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl Served {
    /// Reads the model; it answers once it is verified, see [`Self::verify`].
    pub(super) fn load(engine: Arc<Engine>, option: &ModelOption) -> Result<Self, Fault> {
        let version = Version::load(&option.path, &engine.options.engine_options())?;
        let condition = Arc::new(Condition::new());
        let options = &engine.options;
        let batch = (options.batch, options.batch_wait);
        let threads = options.engine_options().thread_count();
        let queue = Arc::new(Queue::new(&option.name, batch, threads, condition.clone(), engine.bus.clone()));
        queue.start()?;
        let looked = Looked { last: None, tried: Some(version.stamp), gone: 0 };
        Ok(Self {
            name: option.name.clone(),
            path: option.path.clone(),
            places: Arc::new(Semaphore::new(options.queue.max(1))),
            version: ArcSwap::from_pointee(version),
            shadow: ArcSwapOption::empty(),
            queue,
            condition,
            reloading: tokio::sync::Mutex::default(),
            looked: Mutex::new(looked),
            engine,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that is watched.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version that answers now. Those who began with another finish with it.
    pub fn current(&self) -> Arc<Version> {
        self.version.load_full()
    }

    /// The version in shadow.
    pub fn shadow(&self) -> Option<Arc<Version>> {
        self.shadow.load_full()
    }

    /// Whether the thread that scores has been at one batch for so long: it hangs.
    pub fn is_stuck(&self, limit: Duration) -> bool {
        self.condition.is_stuck(limit)
    }

    /// Whether it answers, and if not, why.
    pub fn state(&self) -> State {
        self.condition.state()
    }

    /// Why the latest file did not take the place of the version before; `None` if it did.
    pub fn reload_error(&self) -> Option<String> {
        self.condition.reload_error()
    }

    /// What it has done since the start.
    pub fn counts(&self) -> Counts {
        self.condition.counts()
    }

    /// Places that are taken: images that wait, are decoded or scored.
    pub fn queued(&self) -> usize {
        self.engine.options.queue.max(1)
            - self.places.available_permits().min(self.engine.options.queue.max(1))
    }

    /// A place in the queue, at once.
    ///
    /// # Errors
    /// `queue_full`; `not_ready` while the model is being verified or has failed.
    pub fn reserve(&self) -> Result<Place, Fault> {
        self.condition.check(&self.name)?;
        let permit = self.places.clone().try_acquire_owned();
        permit.map(Place::new).map_err(|_| {
            Fault::new(
                "queue_full",
                format!(
                    "the queue of the model `{}` is full; ask again in a second, or raise --queue",
                    self.name
                ),
            )
        })
    }

    /// A place in the queue as soon as there is one, for images that can wait.
    pub async fn reserve_when_free(&self) -> Place {
        match self.places.clone().acquire_owned().await {
            Ok(permit) => Place::new(permit),
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
    }

    /// The same for one of several images of a request, as long as there is time: the others may be all that is in the queue.
    ///
    /// # Errors
    /// `deadline`.
    pub async fn reserve_until(&self, deadline: Instant) -> Result<Place, Fault> {
        let place = tokio::time::timeout_at(deadline.into(), self.reserve_when_free()).await;
        place.map_err(|_| {
            Fault::new("deadline", "the time for the request is over; send fewer images at once")
        })
    }

    /// Scores an image; what is answered is on the bus by then.
    ///
    /// Dropping the future or passing the deadline ends the work where it is; place and memory are free again once it has ended.
    ///
    /// # Errors
    /// Whatever is wrong with the image; `not_ready`, `memory_full`, `deadline`, `panic`.
    pub async fn score(&self, place: Place, given: Given, asked: Asked) -> Result<Arc<Answered>, Fault> {
        self.score_and_keep(place, given, asked, None).await
    }

    /// The same where the request says itself whether the image is kept.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub async fn score_and_keep(
        &self,
        mut place: Place,
        given: Given,
        asked: Asked,
        keep: Option<Which>,
    ) -> Result<Arc<Answered>, Fault> {
        self.condition.check(&self.name)?;
        let (began, received) = (Instant::now(), SystemTime::now());
        let (version, shadow) = (self.current(), self.shadow());
        let options = reading(&version, self.engine.options.max_pixels);
        let needed = given.pixel_bytes(&options, self.engine.memory.limit())?;
        let mut held = self.engine.memory.pixels(needed, asked.deadline).await?;
        held.join(std::mem::take(&mut place.held));
        let gone = Arc::new(Gone::default());
        let _leaves = Leaves(gone.clone());
        let deadline = asked.deadline;
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.clone();
        let is_watched = self.engine.options.monitor.is_some();
        self.engine.decoders.spawn_fifo(move || {
            if asked.is_late() || reply.is_closed() {
                return;
            }
            let (before_decoding, decoding) = (began.elapsed(), Instant::now());
            let bytes = given.bytes();
            let wants = (shadow.is_some(), is_watched);
            let work = || Prepared::new(given, needed, &version, &options, wants);
            // The pool ends the process on a panic.
            let prepared = match catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(prepared)) => prepared,
                Ok(Err(fault)) => return drop(reply.send(Err(fault))),
                Err(_) => {
                    tracing::error!(id = asked.id, "the decoding of an image panicked");
                    return drop(reply.send(Err(panicked())));
                }
            };
            let timing = Timing { before_decoding, decoding: decoding.elapsed(), decoded: Instant::now() };
            queue.push(Job {
                version,
                shadow,
                prepared,
                asked,
                keep,
                received,
                bytes,
                timing,
                gone,
                reply,
                place,
                held,
            });
        });
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) if Instant::now() >= deadline => Err(late()),
            Ok(Err(_)) => Err(panicked()),
            Err(_) => Err(late()),
        }
    }

    /// Proves that the version that was loaded at the start scores as where it was fitted.
    ///
    /// # Errors
    /// As [`Version::verify`]; the model stays not ready.
    pub async fn verify(self: &Arc<Self>) -> Result<(), Fault> {
        if self.engine.options.verifies {
            let served = self.clone();
            let work = move || served.current().verify(&served.engine.options.engine_options());
            let verified = beside(PANICKED, work).await;
            if let Err(fault) = &verified {
                self.condition.has_failed(fault.to_string());
                return verified;
            }
        }
        self.condition.is_ready();
        Ok(())
    }

    /// Loads the file beside the version that answers, verifies it, and lets it answer from then on. If it fails the old version goes on.
    ///
    /// # Errors
    /// As [`Version::load`] and [`Version::verify`].
    pub async fn reload(&self) -> Result<Arc<Version>, Fault> {
        let _one = self.reloading.lock().await;
        let before = self.current();
        let stamp = Stamp::of(&self.path);
        self.look(|looked| looked.tried = stamp);
        match self.load_verified(self.path.clone()).await {
            Ok(version) => {
                self.look(|looked| looked.tried = Some(version.stamp));
                let version = Arc::new(version);
                self.version.store(version.clone());
                self.condition.is_ready();
                let text = match before.version == version.version {
                    true => format!("the model `{}` was loaded anew, version {}", self.name, version.version),
                    false => format!(
                        "the model `{}` is now version {}, was {}",
                        self.name, version.version, before.version
                    ),
                };
                tracing::info!(model = self.name, version = version.version, "{text}");
                let data = json!({"version": version.version, "before": before.version, "identity": version.identity});
                self.engine.bus.say("reload", &self.name, text, data);
                Ok(version)
            }
            Err(fault) => {
                self.say_failed(&fault, "cannot take the new file, the old version goes on");
                Err(fault)
            }
        }
    }

    /// The same, which goes on if the caller goes away: half a reload helps nobody.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub async fn reload_to_the_end(self: &Arc<Self>) -> Result<Arc<Version>, Fault> {
        let served = self.clone();
        let work = tokio::spawn(async move { served.reload().await });
        work.await.unwrap_or_else(|_| {
            Err(Fault::new("panic", "the model could not be loaded; its file may be damaged"))
        })
    }

    fn say_failed(&self, fault: &Fault, what: &str) {
        self.condition.reload_failed(fault.to_string());
        tracing::error!(model = self.name, code = fault.code, "{what}: {fault}");
        let data = json!({"code": fault.code, "version": self.current().version});
        self.engine.bus.say("reload_failed", &self.name, fault, data);
    }

    /// Says that the file is gone; the version that was read goes on.
    pub(super) fn say_gone(&self) {
        let text =
            format!("there is no file `{}` any more; put it back, or serve another", self.path.display());
        self.say_failed(
            &Fault::new("io", text),
            "the model's file is gone, the version that was read goes on",
        );
    }

    /// Lets another version score what this one has answered, after the answer; what it says goes to the bus alone.
    ///
    /// # Errors
    /// As [`Version::load`] and [`Version::verify`].
    pub async fn set_shadow(&self, path: Option<PathBuf>) -> Result<(), Fault> {
        let version = match path {
            Some(path) => Some(Arc::new(self.load_verified(path).await?)),
            None => None,
        };
        self.shadow.store(version);
        Ok(())
    }

    async fn load_verified(&self, path: PathBuf) -> Result<Version, Fault> {
        let (engine, verifies) = (self.engine.options.engine_options(), self.engine.options.verifies);
        beside(PANICKED, move || {
            let version = Version::load(&path, &engine)?;
            if verifies {
                version.verify(&engine)?;
            }
            Ok(version)
        })
        .await
    }

    fn look<T>(&self, with: impl FnOnce(&mut Looked) -> T) -> T {
        with(&mut self.looked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the file was there and is not any more, at two looks in a row: programs that write files may take the old one away first.
    /// Says so once; whatever file then comes is another one.
    pub(super) fn has_gone(&self) -> bool {
        let is_there = Stamp::of(&self.path).is_some();
        self.look(|looked| {
            looked.gone = if is_there { 0 } else { looked.gone.saturating_add(1) };
            let has_gone = looked.gone == GONE;
            if has_gone {
                (looked.tried, looked.last) = (None, None);
            }
            has_gone
        })
    }

    /// Whether the file is another one than was tried last, and has stood still since the look before: one that is still being copied would
    /// fail for nothing.
    pub(super) fn has_new_file(&self) -> bool {
        let Some(now) = Stamp::of(&self.path) else { return false };
        self.look(|looked| looked.tried != Some(now) && looked.last.replace(now) == Some(now))
    }

    /// Whether the file is another one than was tried last.
    pub(super) fn has_other_file(&self) -> bool {
        Stamp::of(&self.path).is_some_and(|now| self.look(|looked| looked.tried != Some(now)))
    }
}
