//! The history in SQLite: one thread writes, whoever wants reads.
//!
//! Work for the writer goes through a bounded queue and is committed together, at most every 200 ms: at once on a quiet line, in batches on
//! a busy one. The journal is a write-ahead log with `synchronous = NORMAL`, so a cut of power loses the last moments at most, and
//! nothing is ever half written. Every piece of work is a savepoint of its own: one that fails takes nothing else with it.

mod events;
pub mod history;
pub mod images;
pub mod jobs;
pub mod labels;
mod schema;
#[cfg(test)]
pub(super) mod tests;
pub mod thresholds;

use crate::fault::Fault;
pub use events::LogLine;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two commits.
const PAUSE: Duration = Duration::from_millis(200);

/// Pieces of work that may wait for the writer.
const QUEUE: usize = 512;

/// How long a statement waits for another program that has the file locked.
const BUSY: Duration = Duration::from_secs(5);

/// Readers that are kept open.
const READERS: usize = 4;

/// A larger file is not read through at start; damage shows when it is met.
const CHECKED: u64 = 64 << 20;

/// The history.
pub struct Store {
    path: PathBuf,
    queue: Mutex<Option<SyncSender<Work>>>,
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    failures: std::sync::Arc<AtomicU64>,
    /// What was found on opening that people should know.
    pub banner: Option<String>,
}

/// Writes, and gives what is called after the commit.
type Writing = dyn FnOnce(&Connection) -> Result<After, Fault> + Send;

/// Something to do on the writer's thread.
struct Work {
    run: Box<Writing>,
    /// Whether somebody waits for the commit.
    is_awaited: bool,
}

/// Called with whether the commit succeeded.
type After = Box<dyn FnOnce(Result<(), Fault>) + Send>;

impl Store {
    /// Opens the file, or makes it. One that cannot be read is set aside under another name, and a new one begun: the line never stops
    /// for its history.
    ///
    /// # Errors
    /// `newer_version` for the file of a newer program, `io` if the folder cannot be written.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let mut banner = None;
        let connection = match connect(path).and_then(|connection| prepare(connection, path)) {
            Ok(connection) => connection,
            Err(Trouble::Refused(fault)) => return Err(fault),
            Err(Trouble::Unreadable(reason)) => {
                let aside = set_aside(path)?;
                banner = Some(format!(
                    "the history could not be read ({reason}); it lies beside as {} and a new one has begun",
                    aside.file_name().unwrap_or_default().to_string_lossy()
                ));
                let begun = connect(path).and_then(|connection| prepare(connection, path));
                begun.map_err(|trouble| match trouble {
                    Trouble::Refused(fault) => fault,
                    Trouble::Unreadable(reason) => cannot_open(path, &reason),
                })?
            }
        };
        let (queue, work) = sync_channel(QUEUE);
        let failures = std::sync::Arc::new(AtomicU64::new(0));
        let failed = failures.clone();
        let writer = std::thread::Builder::new()
            .name("blemish-history".into())
            .spawn(move || write_all(&connection, &work, &failed))
            .map_err(|error| Fault::new("io", format!("cannot start the history's thread: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            queue: Mutex::new(Some(queue)),
            readers: Mutex::default(),
            writer: Mutex::new(Some(writer)),
            failures,
            banner,
        })
    }

    /// Writes soon, in the order of calls; waits while the queue is full. `after` runs once it is committed, or not at all.
    pub fn write_soon(
        &self,
        work: impl FnOnce(&Connection) -> Result<(), Fault> + Send + 'static,
        after: impl FnOnce() + Send + 'static,
    ) {
        let run = move |connection: &Connection| {
            work(connection)?;
            let after: After = Box::new(move |outcome| {
                if outcome.is_ok() {
                    after();
                }
            });
            Ok(after)
        };
        self.send(Work { run: Box::new(run), is_awaited: false });
    }

    /// Writes and waits for the commit. Blocks the thread.
    ///
    /// # Errors
    /// What the work returns; `io` if it cannot be committed.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (told, outcome) = sync_channel(1);
        let failed = told.clone();
        let run = move |connection: &Connection| match work(connection) {
            Ok(value) => {
                let after: After = Box::new(move |committed| {
                    // Whoever asked may be gone.
                    let _ = told.send(committed.map(|()| value));
                });
                Ok(after)
            }
            Err(fault) => {
                let _ = failed.send(Err(fault.clone()));
                Err(fault)
            }
        };
        self.send(Work { run: Box::new(run), is_awaited: true });
        outcome.recv().unwrap_or_else(|_| Err(Fault::new("shutting_down", "the history is closed")))
    }

    /// Reads what is committed. Blocks the thread.
    ///
    /// # Errors
    /// What the work returns; `io` if the file cannot be opened.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let kept = lock(&self.readers).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags).map_err(of_sqlite)?;
                connection.busy_timeout(BUSY).map_err(of_sqlite)?;
                connection
            }
        };
        let outcome = work(&connection);
        let mut readers = lock(&self.readers);
        if readers.len() < READERS {
            readers.push(connection);
        }
        outcome
    }

    /// Pieces of work that could not be written.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the thread. What comes later is refused.
    pub fn close(&self) {
        // Whoever closes the file last tidies it up, and only the writer may: it goes after all readers.
        lock(&self.readers).clear();
        drop(lock(&self.queue).take());
        if let Some(writer) = lock(&self.writer).take() {
            // It only panics if work does, and then there is nothing left to save.
            let _ = writer.join();
        }
    }

    fn send(&self, work: Work) {
        let queue = lock(&self.queue).clone();
        // Closed or dead: the sender's own channel tells whoever waits.
        if queue.is_none_or(|queue| queue.send(work).is_err()) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// A lock that a panic elsewhere does not close.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a file cannot be used.
enum Trouble {
    /// It must stay as it is.
    Refused(Fault),
    /// It is damaged or something else.
    Unreadable(String),
}

fn connect(path: &Path) -> Result<Connection, Trouble> {
    Connection::open(path).map_err(|error| trouble(&error, path))
}

fn trouble(error: &rusqlite::Error, path: &Path) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Trouble::Unreadable(error.to_string()),
        // A file that only this user may not open, a full disk: nothing that a new file would mend.
        _ => Trouble::Refused(cannot_open(path, &error.to_string())),
    }
}

fn cannot_open(path: &Path, reason: &str) -> Fault {
    Fault::new(
        "io",
        format!("cannot open the history `{}`: {reason}; give a folder that can be written", path.display()),
    )
}

/// Sets up the connection that writes, brings the tables up to date and looks for damage.
fn prepare(connection: Connection, path: &Path) -> Result<Connection, Trouble> {
    let fail = |error: rusqlite::Error| trouble(&error, path);
    connection.busy_timeout(BUSY).map_err(fail)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(fail)?;
    connection.pragma_update(None, "synchronous", "normal").map_err(fail)?;
    connection.pragma_update(None, "foreign_keys", false).map_err(fail)?;
    schema::migrate(&connection, path, fail)?;
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if bytes <= CHECKED {
        let found: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fail)?;
        if found != "ok" {
            return Err(Trouble::Unreadable(found));
        }
    }
    Ok(connection)
}

/// Gives an unreadable file and what belongs to it another name.
fn set_aside(path: &Path) -> Result<PathBuf, Fault> {
    let date = super::clock::compact(std::time::SystemTime::now());
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut aside = named(&format!(".corrupt-{date}"));
    let mut number = 1;
    while aside.exists() {
        number += 1;
        aside = named(&format!(".corrupt-{date}-{number}"));
    }
    std::fs::rename(path, &aside).map_err(|error| cannot_open(path, &error.to_string()))?;
    for suffix in ["-wal", "-shm"] {
        // They belong to the damaged file; mostly there are none.
        let _ = std::fs::rename(named(suffix), {
            let mut name = aside.clone().into_os_string();
            name.push(suffix);
            name
        });
    }
    Ok(aside)
}

/// An error of the database as a fault.
pub(super) fn of_sqlite(error: rusqlite::Error) -> Fault {
    Fault::new("io", format!("the history cannot be read or written: {error}; see whether its disk is full"))
}

/// The writer: everything that waits becomes one transaction, and transactions keep their distance unless somebody waits.
fn write_all(connection: &Connection, queue: &Receiver<Work>, failures: &AtomicU64) {
    let mut committed = Instant::now().checked_sub(PAUSE).unwrap_or_else(Instant::now);
    while let Ok(first) = queue.recv() {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!("the history cannot be written: {error}");
            // Its closures are dropped, so whoever waits for it is told; the next one tries again.
            continue;
        }
        let mut after = Vec::new();
        let mut is_awaited = first.is_awaited;
        run(connection, first, &mut after, failures);
        loop {
            let rest = (committed + PAUSE).saturating_duration_since(Instant::now());
            let next = if is_awaited || rest.is_zero() {
                queue.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            } else {
                queue.recv_timeout(rest)
            };
            let Ok(work) = next else { break };
            is_awaited |= work.is_awaited;
            run(connection, work, &mut after, failures);
            if after.len() >= 2 * QUEUE {
                break;
            }
        }
        let outcome = connection.execute_batch("COMMIT").map_err(|error| {
            failures.fetch_add(after.len() as u64, Ordering::Relaxed);
            tracing::error!("the history cannot be written: {error}");
            // Fails only where the commit itself has rolled back.
            let _ = connection.execute_batch("ROLLBACK");
            of_sqlite(error)
        });
        committed = Instant::now();
        for tell in after {
            tell(outcome.clone());
        }
    }
}

fn run(connection: &Connection, work: Work, after: &mut Vec<After>, failures: &AtomicU64) {
    let inside = || -> Result<After, Fault> {
        connection.execute_batch("SAVEPOINT work").map_err(of_sqlite)?;
        let outcome = (work.run)(connection);
        let end = if outcome.is_ok() { "RELEASE work" } else { "ROLLBACK TO work; RELEASE work" };
        connection.execute_batch(end).map_err(of_sqlite)?;
        outcome
    };
    match inside() {
        Ok(tell) => after.push(tell),
        // Whoever waits was told, and what was asked wrongly is no failure of the history.
        Err(_) if work.is_awaited => {}
        Err(fault) => {
            failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!("the history could not take something: {fault}");
        }
    }
}
