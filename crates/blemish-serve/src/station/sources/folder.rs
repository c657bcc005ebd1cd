//! A folder that is watched. The system tells of changes where it can, and a scan every two seconds finds them in any case: network shares
//! send no events.
//!
//! A file is taken when its size and time have stood still for two looks, or when it was renamed into place, which programs do that
//! know how to write files. Each content is taken once, also after a restart.

mod disk;

use super::{After, Source, is_of_the_image};
use crate::answer::Origin;
use crate::station::Station;
use crate::station::clock;
use crate::station::store::{lock, of_sqlite};
use axum::body::Bytes;
use blemish::data::files;
use disk::{Look, list, put_away, set_aside};
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Time between two scans.
const SCAN: Duration = Duration::from_secs(2);

/// Time between two looks at a file that a program has just closed.
const LOOK: Duration = Duration::from_millis(250);

/// Times that an unreadable file is tried.
const TRIES: u32 = 5;

/// Images on their way at once; more would only wait elsewhere.
const AT_ONCE: usize = 16;

/// A watched folder.
pub struct Folder<'a> {
    source: &'a Arc<Source>,
    path: &'a Path,
    after: &'a After,
    events: bool,
    /// Files that were looked at and not taken yet.
    looked: HashMap<PathBuf, Look>,
    /// Files that are done with as long as they look like this.
    done: HashMap<PathBuf, Look>,
    /// How often a file was tried, and when it is tried again.
    tried: HashMap<PathBuf, (u32, Instant)>,
    /// Contents on their way.
    underway: Arc<Mutex<HashSet<String>>>,
}

/// What became of a file.
enum Outcome {
    /// It was scored, was there before or came while the line was paused: it is done with.
    Done,
    /// It is no image.
    Unreadable(String),
    /// Something else is wrong; it is tried again without being counted.
    Later(String),
    /// Another file of the same content is being scored just now.
    Twin,
}

/// What the system tells.
#[derive(Default)]
struct News {
    /// Renamed into place.
    renamed: HashSet<PathBuf>,
    /// Closed by whoever wrote them.
    closed: bool,
}

impl<'a> Folder<'a> {
    /// A folder that was not looked at yet.
    pub fn new(source: &'a Arc<Source>, path: &'a Path, after: &'a After, events: bool) -> Self {
        Self {
            source,
            path,
            after,
            events,
            looked: HashMap::new(),
            done: HashMap::new(),
            tried: HashMap::new(),
            underway: Arc::default(),
        }
    }

    /// Works until the station is gone.
    pub async fn run(mut self, station: &Weak<Station>) {
        let (told, mut news) = mpsc::unbounded_channel();
        let mut watcher = None;
        let mut at_work: JoinSet<(PathBuf, Look, Outcome)> = JoinSet::new();
        let mut ready: Vec<(PathBuf, Look)> = Vec::new();
        let mut heard = News::default();
        let mut next = Instant::now();
        loop {
            let Some(strong) = station.upgrade().filter(|station| !station.is_closing()) else { break };
            if Instant::now() >= next {
                match self.scan(std::mem::take(&mut heard)).await {
                    Ok((found, must_look)) => {
                        if watcher.is_none() && self.events {
                            watcher = watch(self.path, told.clone());
                        }
                        for one in found {
                            if !ready.contains(&one) {
                                ready.push(one);
                            }
                        }
                        next = Instant::now() + if must_look { LOOK } else { SCAN };
                        let state = if strong.is_paused() { "paused" } else { "running" };
                        self.report(&strong, state, None);
                    }
                    Err(reason) => {
                        // A folder that is made again is another one for the system.
                        watcher = None;
                        next = Instant::now() + SCAN;
                        self.report(&strong, "waiting", Some(reason));
                    }
                }
            }
            while at_work.len() < AT_ONCE && !ready.is_empty() {
                let (path, look) = ready.remove(0);
                let (source, station) = (self.source.clone(), strong.clone());
                let underway = self.underway.clone();
                at_work.spawn(async move {
                    let outcome = take(&source, &station, &path, &underway).await;
                    (path, look, outcome)
                });
            }
            drop(strong);
            tokio::select! {
                () = tokio::time::sleep(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(500))) => {}
                Some(event) = news.recv() => {
                    heard.hear(&event);
                    while let Ok(event) = news.try_recv() {
                        heard.hear(&event);
                    }
                    if !heard.renamed.is_empty() {
                        next = Instant::now();
                    } else if heard.closed {
                        next = next.min(Instant::now() + LOOK);
                    }
                }
                Some(Ok((path, look, outcome))) = at_work.join_next(), if !at_work.is_empty() => {
                    if let Some(station) = station.upgrade() {
                        self.settle(&station, path, look, outcome).await;
                    }
                }
            }
        }
        self.source.status.change(|told| told.state = "stopped");
    }

    /// Looks at all files: those that can be taken, and whether some shall be looked at again soon.
    async fn scan(&mut self, heard: News) -> Result<(Vec<(PathBuf, Look)>, bool), String> {
        let (path, after) = (self.path.to_owned(), self.after.clone());
        let listed = tokio::task::spawn_blocking(move || list(&path, &after)).await;
        let files = match listed {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => return Err(format!("cannot list `{}`: {error}", self.path.display())),
            Err(_) => return Err(format!("cannot list `{}`", self.path.display())),
        };
        let now = Instant::now();
        let mut found = Vec::new();
        let mut looked = HashMap::new();
        for (path, look) in &files {
            if self.done.get(path) == Some(look) || self.tried.get(path).is_some_and(|(_, when)| *when > now)
            {
                continue;
            }
            let stands_still = self.looked.get(path) == Some(look);
            if stands_still || heard.renamed.contains(path) || self.tried.contains_key(path) {
                found.push((path.clone(), *look));
            }
            looked.insert(path.clone(), *look);
        }
        let must_look = heard.closed && looked.len() > found.len();
        self.looked = looked;
        // What is gone is forgotten, so that memory does not grow with every file there ever was.
        self.done.retain(|path, _| files.contains_key(path));
        self.tried.retain(|path, _| files.contains_key(path));
        Ok((found, must_look))
    }

    /// A file was tried.
    async fn settle(&mut self, station: &Arc<Station>, path: PathBuf, look: Look, outcome: Outcome) {
        self.looked.remove(&path);
        match outcome {
            Outcome::Done => {
                self.tried.remove(&path);
                self.done.insert(path, look);
            }
            Outcome::Twin => {
                self.tried.insert(path, (0, Instant::now() + LOOK));
            }
            Outcome::Later(reason) => {
                let tries = self.tried.get(&path).map_or(0, |(tries, _)| *tries);
                self.tried.insert(path, (tries, Instant::now() + SCAN));
                self.report(station, "running", Some(reason));
            }
            Outcome::Unreadable(reason) => {
                let tries = self.tried.get(&path).map_or(0, |(tries, _)| *tries) + 1;
                if tries < TRIES {
                    self.tried.insert(path, (tries, Instant::now() + Duration::from_millis(400)));
                    return;
                }
                self.tried.remove(&path);
                self.source.status.change(|told| told.unreadable += 1);
                let told = format!("`{}` is no image that can be read: {reason}", path.display());
                let to = self.path.join("unreadable");
                let moved = path.clone();
                let set_aside = tokio::task::spawn_blocking(move || set_aside(&moved, &to, &reason)).await;
                if !matches!(set_aside, Ok(Ok(()))) {
                    // It stays, and is left alone as long as it does not change.
                    self.done.insert(path, look);
                }
                self.report(station, "running", Some(told));
            }
        }
    }

    fn report(&self, station: &Station, state: &'static str, error: Option<String>) {
        let is_new = self.source.status.change(|told| {
            told.state = state;
            // The last error of a file stays to be read; one of the folder goes when the folder is back.
            if error.is_some() || told.retry_at.is_some() {
                told.error = error;
            }
            told.retry_at = (state == "waiting").then(|| clock::now() + SCAN.as_secs_f64());
        });
        if is_new {
            station.say_source(self.source);
        }
    }
}

impl News {
    fn hear(&mut self, event: &notify::Event) {
        match event.kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                self.renamed.extend(event.paths.iter().cloned())
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
                self.renamed.extend(event.paths.last().cloned())
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.closed = true,
            _ => {}
        }
    }
}

/// Watches a folder and what is in it; `None` where the system cannot.
fn watch(path: &Path, told: mpsc::UnboundedSender<notify::Event>) -> Option<notify::RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event {
            // Whoever listened is gone.
            let _ = told.send(event);
        }
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    watcher.watch(path, RecursiveMode::Recursive).ok()?;
    Some(watcher)
}

/// Scores a file, unless its content was there before, and does with it what is to be done.
async fn take(
    source: &Arc<Source>,
    station: &Arc<Station>,
    path: &Path,
    underway: &Arc<Mutex<HashSet<String>>>,
) -> Outcome {
    let limit = station.server().map_or(u64::MAX, |server| server.options.max_body);
    let read = path.to_owned();
    let bytes = match tokio::task::spawn_blocking(move || files::read(&read, limit)).await {
        Ok(Ok(bytes)) if bytes.is_empty() => return Outcome::Unreadable("it is empty".into()),
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Outcome::Done,
        Ok(Err(error)) => return Outcome::Unreadable(error.to_string()),
        Err(_) => return Outcome::Later("it cannot be read".into()),
    };
    let sha256 = hex::encode(Sha256::digest(&bytes));
    if !lock(underway).insert(sha256.clone()) {
        return Outcome::Twin;
    }
    let outcome = take_once(source, station, path, bytes.into(), &sha256).await;
    lock(underway).remove(&sha256);
    outcome
}

async fn take_once(
    source: &Arc<Source>,
    station: &Arc<Station>,
    path: &Path,
    bytes: Bytes,
    sha256: &str,
) -> Outcome {
    let name = source.option.name.clone();
    let (known, digest) = (name.clone(), sha256.to_owned());
    let was_seen = station
        .read(move |connection| {
            connection
                .prepare_cached("SELECT 1 FROM seen WHERE source = ?1 AND sha256 = ?2")
                .and_then(|mut find| find.exists([&known, &digest]))
                .map_err(of_sqlite)
        })
        .await;
    // A history that cannot be read must not stop the line: the image is scored, perhaps twice.
    let was_seen = was_seen.unwrap_or(false);
    let is_paused = station.is_paused();
    if was_seen {
        source.status.change(|told| told.repeated += 1);
    } else if is_paused {
        source.status.change(|told| told.skipped += 1);
        station.skipped();
    } else {
        let shown = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match source.score(station, bytes, shown, Origin::Folder).await {
            Ok(_) => source.status.took(),
            Err(fault) if is_of_the_image(&fault) => return Outcome::Unreadable(fault.to_string()),
            Err(fault) => {
                return Outcome::Later(fault.to_string());
            }
        }
    }
    if !was_seen {
        // Waits for the commit: a file that is moved or deleted must be known by then.
        let digest = sha256.to_owned();
        let noted = station
            .write(move |connection| {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO seen(source, sha256, time) VALUES (?1, ?2, ?3)")
                    .and_then(|mut add| add.execute(rusqlite::params![name, digest, clock::now()]))
                    .map(|_| ())
                    .map_err(of_sqlite)
            })
            .await;
        if let Err(fault) = noted {
            tracing::warn!("{fault}");
        }
    }
    if !is_paused {
        let super::Kind::Folder { after, .. } = &source.option.kind else { return Outcome::Done };
        let (path, after) = (path.to_owned(), after.clone());
        let put = tokio::task::spawn_blocking(move || put_away(&path, &after)).await;
        if let Ok(Err(error)) = put {
            source.status.change(|told| told.error = Some(format!("cannot put a file away: {error}")));
        }
    }
    Outcome::Done
}
