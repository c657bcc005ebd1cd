//! The station: history, labels, thresholds, jobs and sources of images, behind the inspector's pages.
//!
//! ```text
//! sources ─> models ─> bus ─> recorder ─> pictures on disk, rows in the store ─> routes ─> pages
//!                                                  labels, audit ─> feedback ─> jobs ─> versions ─> models
//! ```
//! | room | what happens in it |
//! |---|---|
//! | [`store`] | SQLite: one thread writes, whoever wants reads |
//! | [`recorder`], [`pictures`] | from answers to rows and files |
//! | [`retention`] | how long pictures stay |
//! | [`sources`] | folders and programs that bring images |
//! | [`upload`] | images and zips to learn from |
//! | [`jobs`] | fits and the like, as child processes |
//! | [`versions`] | versions of models: live, shadow, the way back |
//! | [`threshold`] | where the threshold can stand and what it does |
//! | [`feedback`] | the audit, and what labels may be used for |
//! | [`login`], [`settings`] | who may do what; what may be changed |
//! | [`routes`] | all of it as JSON |
//! | [`pages`] | what people see |
//!
//! Everything lies in one folder: `history.db`, `images/`, `models/`, `uploads/`, `jobs/`, `settings.json`, `sources.toml`, `login.key`.

pub mod clock;
pub mod feedback;
mod heard;
pub mod jobs;
pub mod login;
mod models;
pub mod pages;
pub mod pictures;
pub mod recorder;
pub mod retention;
pub mod routes;
pub mod settings;
pub mod sources;
pub mod store;
#[cfg(test)]
mod tests;
pub mod threshold;
pub mod upload;
pub mod versions;

use crate::bus::Bus;
use crate::fault::Fault;
use crate::server::{Room, Server};
use arc_swap::ArcSwap;
use heard::{Heard, Recorded};
use jobs::Jobs;
use login::Login;
use pictures::Pictures;
use recorder::Recorder;
use rusqlite::Connection;
use serde_json::{Value, json};
use settings::Settings;
use sources::{Kind, Source};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};
use store::Store;
use upload::{Limits, Uploads};
use versions::Versions;

/// Time between two looks at the limits of pictures.
const MINUTE: Duration = Duration::from_secs(60);

/// The station.
pub struct Station {
    folder: PathBuf,
    server: Weak<Server>,
    bus: Arc<Bus>,
    /// The history.
    pub store: Arc<Store>,
    /// Pictures on disk.
    pub pictures: Pictures,
    /// Versions of models.
    pub versions: Versions,
    /// Uploads.
    pub uploads: Uploads,
    /// Jobs.
    pub jobs: Jobs,
    /// Logins.
    pub login: Arc<Login>,
    settings: ArcSwap<Settings>,
    sources: Vec<Arc<Source>>,
    recorder: OnceLock<Recorder>,
    paused: AtomicBool,
    skipped: AtomicU64,
    closing: AtomicBool,
    begun: u64,
    /// Holds the folder: two stations in one would delete each other's pictures.
    _lock: blemish::data::files::Lock,
}

impl Station {
    /// Opens the folder, or makes it; nothing runs yet.
    ///
    /// # Errors
    /// `conflict` if another station has it, `newer_version` if its history is of a newer program, `io`, `setting`.
    pub fn open(folder: &Path, server: &Arc<Server>) -> Result<Arc<Self>, Fault> {
        let program = blemish::program::program().map_err(|error| {
            Fault::new("io", format!("cannot tell which program this is: {error}; start it by its path"))
        })?;
        Self::open_with(folder, server, program)
    }

    /// The same with the program that jobs run.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(folder: &Path, server: &Arc<Server>, program: PathBuf) -> Result<Arc<Self>, Fault> {
        let fail = |error: std::io::Error| {
            Fault::new(
                "io",
                format!(
                    "cannot use the folder `{}`: {error}; give one that can be written",
                    folder.display()
                ),
            )
        };
        std::fs::create_dir_all(folder).map_err(fail)?;
        let lock =
            blemish::data::files::lock(&folder.join("station"), &mut || false).map_err(
                |error| match error.kind() {
                    std::io::ErrorKind::WouldBlock => Fault::new(
                        "conflict",
                        format!(
                            "another station is at work in `{}`; stop it, or give another folder",
                            folder.display()
                        ),
                    ),
                    _ => fail(error),
                },
            )?;
        let options = &server.options;
        let limits = Limits { image: options.max_body, pixels: options.max_pixels, ..Limits::default() };
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let sources = sources::all(options, folder)?;
        let station = Arc::new(Self {
            server: Arc::downgrade(server),
            bus: server.bus.clone(),
            store: Arc::new(Store::open(&folder.join("history.db"))?),
            pictures: Pictures::new(folder.join("images")),
            versions: Versions::new(folder.join("models")),
            uploads: Uploads::new(folder.join("uploads"), limits),
            jobs: Jobs::new(program, folder.join("jobs")),
            login: Arc::new(Login::open(&folder.join("login.key"), server.tokens.clone())?),
            settings: ArcSwap::from_pointee(Settings::read(&folder.join("settings.json"), options)),
            sources: sources.into_iter().map(|option| Arc::new(Source::new(option))).collect(),
            recorder: OnceLock::new(),
            paused: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            begun: since.as_millis() as u64,
            folder: folder.to_owned(),
            _lock: lock,
        });
        let recording = Arc::new(Recorded(Arc::downgrade(&station)));
        let recorder =
            Recorder::start(recording, station.store.clone(), station.pictures.clone()).map_err(fail)?;
        let _ = station.recorder.set(recorder);
        Ok(station)
    }

    /// What the station plugs into the server: sources, jobs and retention begin with it.
    pub fn room(self: &Arc<Self>) -> Room {
        let (beginning, closing) = (self.clone(), self.clone());
        Room {
            routes: routes::routes(self.clone()),
            listeners: vec![Arc::new(Heard(Arc::downgrade(self)))],
            logins: Some(self.login.clone()),
            begin: Some(Box::new(move || beginning.begin())),
            close: Some(Box::new(move |within| closing.close(within))),
            ..Room::default()
        }
    }

    /// Lets everything run that runs by itself.
    fn begin(self: &Arc<Self>) {
        for source in &self.sources {
            tokio::spawn(source.clone().run(Arc::downgrade(self)));
        }
        tokio::spawn(Jobs::run(Arc::downgrade(self)));
        let station = Arc::downgrade(self);
        tokio::spawn(async move {
            if let Some(station) = station.upgrade() {
                station.bring_up_models().await;
            }
        });
        let station = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut is_first = true;
            while let Some(strong) = station.upgrade().filter(|station| !station.is_closing()) {
                let mends = std::mem::take(&mut is_first);
                let kept = jobs::blocking(move || {
                    if mends {
                        retention::mend(&strong.store, &strong.pictures, strong.begun)?;
                    }
                    strong.make_room(SystemTime::now())
                });
                if let Err(fault) = kept.await {
                    tracing::warn!("{fault}");
                }
                if tokio::time::timeout(MINUTE, closing(&station)).await.is_ok() {
                    return;
                }
            }
        });
    }

    /// Writes out what is held and ends what runs.
    pub fn close(&self, _within: Duration) {
        self.closing.store(true, Ordering::Relaxed);
        self.jobs.close();
        if let Some(recorder) = self.recorder.get() {
            recorder.close();
        }
        // The end of a job is written as well, if it comes soon.
        for _ in 0..20 {
            if self.jobs.is_running().is_none() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.store.close();
    }

    /// The server.
    ///
    /// # Errors
    /// `shutting_down` once it is gone.
    pub fn server(&self) -> Result<Arc<Server>, Fault> {
        self.server.upgrade().ok_or_else(|| Fault::new("shutting_down", "the server is shutting down"))
    }

    /// Whether everything shall end.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed) || self.server.strong_count() == 0
    }

    /// When the station began, in milliseconds since 1970.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether sources are paused.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// An image came while the line was paused.
    pub fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// What people may change.
    pub fn settings(&self) -> Settings {
        **self.settings.load()
    }

    /// Reads the history on a thread for such things.
    ///
    /// # Errors
    /// What the work returns.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let store = self.store.clone();
        jobs::blocking(move || store.read(work)).await
    }

    /// Writes to the history and waits for the commit, on a thread for such things.
    ///
    /// # Errors
    /// What the work returns.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let store = self.store.clone();
        jobs::blocking(move || store.write(work)).await
    }

    /// Tells whoever follows.
    pub fn say(&self, kind: &'static str, model: &str, text: impl std::fmt::Display, data: Value) {
        self.bus.say(kind, model, text, data);
    }

    /// Tells how a source is doing.
    pub fn say_source(&self, source: &Source) {
        let told = source.status.told();
        let text = match &told.error {
            Some(error) => format!("source {}: {}: {error}", told.name, told.state),
            None => format!("source {}: {}", told.name, told.state),
        };
        let model = told.model.clone().unwrap_or_default();
        self.say("source", &model, text, serde_json::to_value(&told).unwrap_or_default());
    }

    /// Brings the pictures within the limits of the settings as they are `now`. Blocks the thread.
    fn make_room(&self, now: SystemTime) -> Result<(), Fault> {
        let limits = self.settings().limits();
        let (pictures, bytes) = retention::enforce(&self.store, &self.pictures, limits, 0, now)?;
        if pictures > 0 {
            self.say_retention(pictures, bytes);
        }
        Ok(())
    }

    fn say_retention(&self, pictures: u64, bytes: u64) {
        let text = format!("{pictures} pictures made room, {} MiB", bytes >> 20);
        self.say("retention", "", text, json!({"deleted": pictures, "bytes": bytes}));
    }

    /// How sources are doing.
    pub fn sources(&self) -> Vec<sources::Told> {
        self.sources.iter().map(|source| source.status.told()).collect()
    }

    /// The source that is triggered: of that name, or the only program.
    ///
    /// # Errors
    /// `not_found`, `conflict`.
    pub fn source(&self, name: Option<&str>) -> Result<Arc<Source>, Fault> {
        let found = match name {
            Some(name) => self.sources.iter().find(|source| source.option.name == name),
            None => {
                let mut programs =
                    self.sources.iter().filter(|source| matches!(source.option.kind, Kind::Command { .. }));
                let first = programs.next();
                if programs.next().is_some() {
                    return Err(Fault::new(
                        "conflict",
                        "there are several sources to trigger; name one as {\"source\": NAME}",
                    ));
                }
                first
            }
        };
        found.cloned().ok_or_else(|| {
            Fault::new(
                "not_found",
                "there is no such source; they stand in serve.toml or in sources.toml in the station's folder",
            )
        })
    }

    /// Whether images come from somewhere now.
    pub fn has_running_sources(&self) -> bool {
        self.sources.iter().any(|source| source.status.told().state == "running")
    }

    /// What was found on opening, or what goes wrong now, in words.
    pub fn banner(&self) -> Option<String> {
        let failures = self.store.failures();
        match failures {
            0 => self.store.banner.clone(),
            _ => Some(format!(
                "{failures} entries of the history could not be written; see whether the disk is full"
            )),
        }
    }

    /// Answers that were not recorded.
    pub fn dropped(&self) -> u64 {
        self.recorder.get().map_or(0, Recorder::dropped)
    }
}

/// Waits until the station is closing or gone.
async fn closing(station: &Weak<Station>) {
    while station.upgrade().is_some_and(|station| !station.is_closing()) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
