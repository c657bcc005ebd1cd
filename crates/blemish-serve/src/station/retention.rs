//! How long pictures stay: limits of bytes and days, looked at every minute and after every few images.
//!
//! Pictures go in this order: unlabelled ones that passed, unlabelled flagged ones, labelled ones, each the oldest first; pinned ones never.
//! Rows outlive pictures: a verdict is a few hundred bytes, and the curves need them.

use super::clock;
use super::pictures::Pictures;
use super::store::images::{first_id, milliseconds_of};
use super::store::{Store, of_sqlite};
use crate::fault::Fault;
use rusqlite::{Connection, params};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Pictures that are deleted in one step.
const STEP: usize = 500;

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of pictures.
    pub bytes: u64,
    /// Days of pictures.
    pub days: u32,
}

/// Pictures of an image that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The image.
    pub id: String,
    /// The original, below the folder of pictures.
    pub file: Option<String>,
    /// The map, below the folder of pictures.
    pub map: Option<String>,
    /// Their bytes.
    pub bytes: u64,
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Held {
    /// Bytes of pictures.
    pub bytes: u64,
    /// Images with pictures.
    pub pictures: u64,
    /// When the oldest of them came, in seconds since 1970.
    pub oldest: Option<f64>,
}

/// What there is.
///
/// # Errors
/// Of the database.
pub fn held(connection: &Connection) -> Result<Held, Fault> {
    let mut sum = connection
        .prepare_cached("SELECT count(*), ifnull(sum(bytes), 0) FROM image WHERE bytes > 0")
        .map_err(of_sqlite)?;
    let (pictures, bytes): (i64, i64) =
        sum.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(of_sqlite)?;
    let oldest: Option<String> = connection
        .query_row("SELECT min(id) FROM image WHERE bytes > 0", [], |row| row.get(0))
        .map_err(of_sqlite)?;
    let oldest = oldest.and_then(|id| milliseconds_of(&id)).map(|milliseconds| milliseconds as f64 / 1000.0);
    Ok(Held { bytes: bytes.max(0) as u64, pictures: pictures.max(0) as u64, oldest })
}

/// Bytes of pictures: all that limits ask for, without a search for the oldest one.
///
/// # Errors
/// Of the database.
pub fn bytes_held(connection: &Connection) -> Result<u64, Fault> {
    let mut sum = connection
        .prepare_cached("SELECT ifnull(sum(bytes), 0) FROM image WHERE bytes > 0")
        .map_err(of_sqlite)?;
    sum.query_row([], |row| row.get::<_, i64>(0)).map(|bytes| bytes.max(0) as u64).map_err(of_sqlite)
}

/// The pictures that go next, so many at most; `before` limits them to images before an id.
///
/// # Errors
/// Of the database.
pub fn next(connection: &Connection, limit: usize, before: Option<&str>) -> Result<Vec<Leaving>, Fault> {
    let mut list = connection
        .prepare_cached(
            "SELECT id, file, map, bytes FROM image WHERE bytes > 0 AND pinned = 0 AND (?2 IS NULL OR id < ?2)
             ORDER BY label IS NOT NULL, ifnull(anomalous, 0), id LIMIT ?1",
        )
        .map_err(of_sqlite)?;
    let rows = list.query_map(params![limit as i64, before], |row| {
        let bytes: i64 = row.get(3)?;
        Ok(Leaving { id: row.get(0)?, file: row.get(1)?, map: row.get(2)?, bytes: bytes.max(0) as u64 })
    });
    rows.and_then(Iterator::collect).map_err(of_sqlite)
}

/// Brings the pictures within their limits as they are `now`, with so many bytes to spare if they are beyond; how many images have lost theirs,
/// and how many bytes that were. Blocks the thread.
///
/// # Errors
/// Of the database.
pub fn enforce(
    store: &Store,
    pictures: &Pictures,
    limits: Limits,
    spare: u64,
    now: SystemTime,
) -> Result<(u64, u64), Fault> {
    let mut total = (0, 0);
    let age = Duration::from_secs(86_400 * u64::from(limits.days));
    let oldest = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let oldest = oldest.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let before = first_id(oldest);
    loop {
        let held = store.read(bytes_held)?;
        let leaving = if held > limits.bytes.saturating_sub(if total.0 > 0 { spare } else { 0 }) {
            let mut surplus = held - limits.bytes.saturating_sub(spare);
            let mut leaving = store.read(|connection| next(connection, STEP, None))?;
            let enough = leaving.iter().position(|one| {
                surplus = surplus.saturating_sub(one.bytes);
                surplus == 0
            });
            leaving.truncate(enough.map_or(leaving.len(), |at| at + 1));
            leaving
        } else {
            store.read(|connection| next(connection, STEP, Some(&before)))?
        };
        // All that is left is pinned, or all is well.
        if leaving.is_empty() {
            return Ok(total);
        }
        total.0 += leaving.len() as u64;
        total.1 += leaving.iter().map(|one| one.bytes).sum::<u64>();
        let ids: Vec<String> = leaving.iter().map(|one| one.id.clone()).collect();
        // First the rows: a file without a row is found and removed after a crash, a row must not promise a file that is gone.
        store.write(move |connection| {
            let mut forget = connection
                .prepare_cached(
                    "UPDATE image SET file = NULL, map = NULL, bytes = 0 WHERE id = ?1 AND pinned = 0",
                )
                .map_err(of_sqlite)?;
            for id in &ids {
                forget.execute([id]).map_err(of_sqlite)?;
            }
            Ok(())
        })?;
        for one in &leaving {
            pictures.remove(one.file.as_deref(), one.map.as_deref());
        }
    }
}

/// What does not belong together after a crash: files without a row are removed, rows without their file say so; how many of each. Images that
/// came since `began`, in milliseconds since 1970, are left alone: they are being written. Blocks the thread.
///
/// # Errors
/// Of the database.
pub fn mend(store: &Store, pictures: &Pictures, began: u64) -> Result<(u64, u64), Fault> {
    let mut removed = 0;
    let mut there: HashSet<String> = HashSet::new();
    for day in days(pictures.root()) {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&day).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let id: String = name.chars().take(20).collect();
            let is_ours = name.as_bytes().get(20) == Some(&b'.');
            // Others' files are none of our business.
            if is_ours && milliseconds_of(&id).is_some_and(|came| came < began) {
                files.push((id, entry.path(), name));
            }
        }
        let known: HashSet<String> = store.read(|connection| {
            let mut find = connection
                .prepare_cached("SELECT 1 FROM image WHERE id = ?1 AND bytes > 0")
                .map_err(of_sqlite)?;
            let mut known = HashSet::new();
            for (id, ..) in &files {
                if find.exists([id]).map_err(of_sqlite)? {
                    known.insert(id.clone());
                }
            }
            Ok(known)
        })?;
        for (id, path, name) in files {
            if known.contains(&id) {
                if let Ok(below) = day.strip_prefix(pictures.root()) {
                    there.insert(format!("{}/{name}", below.to_string_lossy().replace('\\', "/")));
                }
            } else if std::fs::remove_file(&path).is_ok() {
                removed += 1;
            }
        }
    }
    let until = first_id(began);
    let missing: Vec<(String, bool, bool)> = store.read(|connection| {
        let mut list = connection
            .prepare_cached("SELECT id, file, map FROM image WHERE bytes > 0 AND id < ?1")
            .map_err(of_sqlite)?;
        let rows = list.query_map([&until], |row| {
            let (id, file, map): (String, Option<String>, Option<String>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let gone = |name: Option<String>| {
                name.is_some_and(|name| !there.contains(&name) && !pictures.root().join(name).exists())
            };
            Ok((id, gone(file), gone(map)))
        });
        let rows: Vec<_> = rows.and_then(Iterator::collect).map_err(of_sqlite)?;
        Ok(rows.into_iter().filter(|(_, file, map)| *file || *map).collect())
    })?;
    let count = missing.len() as u64;
    store.write(move |connection| {
        for (id, file, map) in &missing {
            connection
                .execute(
                    "UPDATE image SET file = iif(?2, NULL, file), map = iif(?3, NULL, map), bytes = iif(?2 AND ?3, 0, bytes) WHERE id = ?1",
                    params![id, file, map],
                )
                .map_err(of_sqlite)?;
        }
        Ok(())
    })?;
    Ok((removed, count))
}

/// The folders of days.
fn days(root: &Path) -> Vec<std::path::PathBuf> {
    let below = |folders: Vec<std::path::PathBuf>| -> Vec<std::path::PathBuf> {
        let entries = folders.iter().flat_map(std::fs::read_dir).flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    below(below(below(vec![root.to_owned()])))
}

/// What happens next, in words.
pub fn in_words(held: &Held, limits: Limits) -> String {
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let share = 100 * held.bytes / limits.bytes.max(1);
    let age = held.oldest.map_or(String::new(), |oldest| {
        let days = ((clock::now() - oldest) / 86_400.0).max(0.0);
        format!(", the oldest is {days:.0} days old")
    });
    format!(
        "{} pictures take {} of {} ({share} %){age}; pictures go after {} days, or when there is no room, unlabelled ones that passed first",
        held.pictures,
        gib(held.bytes),
        gib(limits.bytes),
        limits.days
    )
}
