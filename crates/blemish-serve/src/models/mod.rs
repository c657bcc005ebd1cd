//! Models and the way of an image through them.
//!
//! ```text
//! place in the queue ─> memory for the pixels ─> decode (a pool of all cores) ─> queue ─> score (a thread a model) ─> bus, answer
//! ```
//! - [`Models`] holds the models by name and watches their files.
//! - [`Served`] is one of them: the [`Version`] that answers now, how another takes its place, and [`Served::score`].
//! - [`Memory`] grants what images may take, before they take it.
//!
//! A version is read whole into memory. Mapped, a file that is overwritten in place would end the process or change scores in silence.

mod condition;
mod given;
mod job;
mod memory;
mod outcome;
mod place;
mod queue;
mod served;
#[cfg(test)]
pub(crate) mod tests;
mod version;

use crate::bus::Bus;
use crate::fault::{Fault, beside};
use crate::options::{ModelOption, ServeOptions, check_name};
pub use condition::{Counts, State};
pub use given::{Asked, Given};
pub use memory::{Held, Memory};
pub use place::Place;
pub use served::Served;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
pub use version::{DIGITS, Version};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What all models share.
struct Engine {
    options: Arc<ServeOptions>,
    bus: Arc<Bus>,
    memory: Arc<Memory>,
    decoders: rayon::ThreadPool,
}

/// The models by name.
pub struct Models {
    engine: Arc<Engine>,
    served: RwLock<BTreeMap<String, Arc<Served>>>,
}

impl Models {
    /// No models yet.
    ///
    /// # Errors
    /// `io` if the system gives no threads.
    pub fn new(options: Arc<ServeOptions>, bus: Arc<Bus>) -> Result<Self, Fault> {
        let decoders = rayon::ThreadPoolBuilder::new()
            .num_threads(options.engine_options().thread_count())
            .thread_name(|number| format!("decode {number}"))
            .build()
            .map_err(|error| {
                Fault::new("io", format!("the system gives no threads to decode with: {error}"))
            })?;
        let memory = Arc::new(Memory::new(options.memory_limit));
        let engine = Arc::new(Engine { options, bus, memory, decoders });
        Ok(Self { engine, served: RwLock::default() })
    }

    /// Reads the models of the options; they answer once they are verified, see [`Self::verify`]. Takes a while.
    ///
    /// # Errors
    /// As [`Version::load`], of the first that fails.
    pub fn load(&self) -> Result<(), Fault> {
        for option in &self.engine.options.models {
            let served = self.begin(option)?;
            self.insert(served);
        }
        Ok(())
    }

    fn begin(&self, option: &ModelOption) -> Result<Arc<Served>, Fault> {
        check_name(&option.name)?;
        if self.get(&option.name).is_some() {
            return Err(Fault::new(
                "conflict",
                format!("two models are called `{}`; name one of them with NAME=PATH", option.name),
            ));
        }
        Ok(Arc::new(Served::load(self.engine.clone(), option)?))
    }

    fn insert(&self, served: Arc<Served>) {
        let mut all = self.served.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(served.name().to_owned(), served);
    }

    /// Verifies all models, one after another.
    ///
    /// # Errors
    /// As [`Version::verify`], of the first that fails; the others are verified all the same.
    pub async fn verify(&self) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for served in self.all() {
            let verified = served.verify().await;
            outcome = outcome.and(verified);
        }
        outcome
    }

    /// Serves one more model: reads and verifies it, then lets it answer.
    ///
    /// # Errors
    /// `conflict` if there is one of that name, else as [`Version::load`] and [`Version::verify`].
    pub async fn add(self: &Arc<Self>, option: ModelOption) -> Result<Arc<Served>, Fault> {
        let models = self.clone();
        let panicked = "reading the model failed unexpectedly; copy it again";
        let served = beside(panicked, move || models.begin(&option)).await?;
        served.verify().await?;
        self.insert(served.clone());
        Ok(served)
    }

    /// Serves a model no more. What waits for it is answered with an error.
    pub fn remove(&self, name: &str) {
        self.served.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The model of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Served>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The same, or the error that says so.
    ///
    /// # Errors
    /// `no_such_model` with the names that there are.
    pub fn find(&self, name: &str) -> Result<Arc<Served>, Fault> {
        self.get(name).ok_or_else(|| {
            // The name is text from outside and may be long.
            let asked: String = name.chars().take(64).collect();
            Fault::new(
                "no_such_model",
                format!("there is no model `{asked}`; there are: {}", self.names().join(", ")),
            )
        })
    }

    /// The model, where there is exactly one.
    ///
    /// # Errors
    /// `several_models` with their names, or `no_such_model` if there is none.
    pub fn only(&self) -> Result<Arc<Served>, Fault> {
        let all = self.all();
        match all.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Fault::new("no_such_model", "no model is served yet; add one")),
            _ => Err(Fault::new(
                "several_models",
                format!(
                    "several models are served and none is named; POST to /v1/models/NAME/score with one of: {}",
                    self.names().join(", ")
                ),
            )),
        }
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Served>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn names(&self) -> Vec<String> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// What images may take.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.engine.memory
    }

    /// Why not all models answer; empty if they do.
    pub fn not_ready(&self) -> Vec<String> {
        let reason = |served: Arc<Served>| match served.state() {
            State::Ready => None,
            State::Loading => Some(format!("{} is being verified", served.name())),
            State::Failed(reason) => Some(format!("{}: {reason}", served.name())),
        };
        self.all().into_iter().filter_map(reason).collect()
    }

    /// Loads anew what has another file than was tried last.
    pub async fn reload_changed(&self) {
        for served in self.all() {
            if served.has_other_file() {
                // It has said why it failed.
                let _ = served.reload().await;
            }
        }
    }

    /// Watches the files, every second, without end.
    pub async fn watch(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for served in self.all() {
                let looked = served.clone();
                // A file system that hangs holds up a thread for such things, and no request.
                let look = move || (looked.has_gone(), looked.has_new_file());
                let (has_gone, has_new) = tokio::task::spawn_blocking(look).await.unwrap_or_default();
                if has_gone {
                    served.say_gone();
                }
                if has_new {
                    let _ = served.reload().await;
                }
            }
        }
    }
}
