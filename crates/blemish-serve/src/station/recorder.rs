//! From answers to rows and pictures: a thread of its own behind a short queue, so that no verdict ever waits for a disk.

use super::feedback::is_audited;
use super::pictures::Pictures;
use super::retention;
use super::store::images::{Row, Said, image_id, source_name};
use super::store::{Store, lock, of_sqlite};
use crate::answer::Answered;
use crate::options::Which;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Answers that may wait.
const QUEUE: usize = 512;

/// Bytes of images and maps that may wait.
const HELD: u64 = 256 << 20;

/// Time before room is asked for again where there was none to be made.
const AGAIN: Duration = Duration::from_secs(10);

/// What the recorder asks of the station.
pub trait Recording: Send + Sync {
    /// Which images are recorded, and the share of the audit.
    fn rule(&self) -> (Which, f64);
    /// The name under which the verdict's version is kept, and the rank of its score among the calibrating images.
    fn version(&self, answered: &Answered) -> (String, Option<(u64, u64)>);
    /// How much is kept.
    fn limits(&self) -> retention::Limits;
    /// The row can be asked for now.
    fn recorded(&self, row: Row);
    /// What the version in shadow says of an image of the history can be asked for now.
    fn compared(&self, model: &str, id: &str);
    /// Pictures have made room for others.
    fn made_room(&self, pictures: u64, bytes: u64);
}

/// The thread and its queue.
pub struct Recorder {
    queue: Mutex<Option<SyncSender<Arc<Answered>>>>,
    counts: Arc<Counts>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Counts {
    /// Bytes that wait.
    held: AtomicU64,
    /// Answers that were not recorded because too many waited or the disk was full.
    dropped: AtomicU64,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn start(
        station: Arc<dyn Recording>,
        store: Arc<Store>,
        pictures: Pictures,
    ) -> std::io::Result<Self> {
        let (queue, answers) = sync_channel::<Arc<Answered>>(QUEUE);
        let counts = Arc::new(Counts::default());
        let mut work = Work { station, store, pictures, counts: counts.clone(), held: None, tried: None };
        let thread = std::thread::Builder::new().name("blemish-record".into()).spawn(move || {
            while let Ok(answered) = answers.recv() {
                work.record(&answered);
                work.counts.held.fetch_sub(answered.held(), Ordering::Relaxed);
            }
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), counts, thread: Mutex::new(Some(thread)) })
    }

    /// Takes an answer if there is room.
    pub fn take(&self, answered: &Arc<Answered>) {
        let bytes = answered.held();
        let queue = lock(&self.queue);
        let Some(queue) = queue.as_ref() else { return };
        let held = self.counts.held.fetch_add(bytes, Ordering::Relaxed);
        let refused = held > HELD || matches!(queue.try_send(answered.clone()), Err(TrySendError::Full(_)));
        if refused {
            self.counts.held.fetch_sub(bytes, Ordering::Relaxed);
            if self.counts.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!("the history cannot keep up: verdicts go on, some are not recorded");
            }
        }
    }

    /// Answers that were not recorded.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Records what waits and ends.
    pub fn close(&self) {
        drop(lock(&self.queue).take());
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Work {
    station: Arc<dyn Recording>,
    store: Arc<Store>,
    pictures: Pictures,
    counts: Arc<Counts>,
    /// Bytes of pictures on the disk, those included whose rows are not written yet; `None` before the first.
    held: Option<u64>,
    /// When room was asked for in vain.
    tried: Option<Instant>,
}

impl Work {
    fn record(&mut self, answered: &Answered) {
        let verdict = &answered.verdict;
        let id = image_id(answered.received, &verdict.id, &verdict.model);
        let (which, share) = self.station.rule();
        let audit = is_audited(&id, share);
        let is_recorded = match which {
            // Only beside an image that is there, which the store knows.
            _ if answered.is_shadow => true,
            Which::All => true,
            // The audit is a sample of all images, or it says nothing.
            Which::Flagged => audit || verdict.anomalous == Some(true),
            Which::None => false,
        };
        if !is_recorded {
            return;
        }
        let (version, rank) = self.station.version(answered);
        let said = Said::new(answered, version, rank);
        if answered.is_shadow {
            return self.record_shadow(id, said);
        }
        let written = self.pictures.write(&id, &answered.bytes, &answered.map, answered.colours);
        let (file, map, bytes) = written.unwrap_or_else(|fault| {
            if self.counts.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!("{fault}; rows go on without pictures");
            }
            (None, None, 0)
        });
        let sha256 = match answered.bytes.is_empty() {
            true => String::new(),
            false => hex::encode(Sha256::digest(&answered.bytes)),
        };
        let row = Row {
            id,
            request: verdict.id.clone(),
            time: crate::bus::seconds(answered.received),
            source: source_name(answered.origin).to_owned(),
            name: answered.name.clone(),
            sha256,
            size: verdict.size,
            bytes,
            has_original: file.is_some(),
            has_map: map.is_some(),
            pinned: false,
            label: None,
            verdict: Some(said),
            file,
            map,
            audit,
        };
        let station = self.station.clone();
        let told = row.clone();
        self.store.write_soon(move |connection| row.insert(connection), move || station.recorded(told));
        self.make_room(bytes, answered.received);
    }

    /// Only beside an image that is there: what is not recorded is not compared.
    fn record_shadow(&self, id: String, said: Said) {
        let (station, model, image) = (self.station.clone(), said.model.clone(), id.clone());
        let work = move |connection: &rusqlite::Connection| {
            let is_there = connection
                .prepare_cached("SELECT 1 FROM image WHERE id = ?1")
                .and_then(|mut find| find.exists([&id]))
                .map_err(of_sqlite)?;
            if is_there { said.insert(connection, &id) } else { Ok(()) }
        };
        self.store.write_soon(work, move || station.compared(&model, &image));
    }

    /// Deletes pictures once the limit is passed, so that no more than one image is ever beyond it.
    fn make_room(&mut self, added: u64, now: SystemTime) {
        let limits = self.station.limits();
        let known = self.held.map(|held| held + added);
        if known.is_some_and(|held| held <= limits.bytes) {
            self.held = known;
            return;
        }
        if self.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            self.held = known;
            return;
        }
        // All rows must be there before the oldest are looked for.
        let outcome = self.store.write(|_| Ok(())).and_then(|()| {
            let spare = limits.bytes / 100;
            let freed = retention::enforce(&self.store, &self.pictures, limits, spare, now)?;
            Ok((freed, self.store.read(retention::bytes_held)?))
        });
        match outcome {
            Ok(((pictures, bytes), held)) => {
                self.held = Some(held);
                self.tried = (held > limits.bytes).then(Instant::now);
                if pictures > 0 {
                    self.station.made_room(pictures, bytes);
                }
            }
            Err(fault) => {
                tracing::warn!("{fault}");
                self.tried = Some(Instant::now());
            }
        }
    }
}
