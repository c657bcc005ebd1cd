//! The tables, and the way from older files to them.

use super::{Trouble, cannot_open};
use crate::fault::Fault;
use rusqlite::Connection;
use std::path::Path;

/// Each takes a file one version further; what has been shipped is never changed, only added to.
///
/// `image` repeats the verdict and the latest label that the history is filtered by, so that a filter over a hundred thousand rows reads one
/// index instead of joining three tables.
const MIGRATIONS: [&str; 1] = ["
CREATE TABLE image (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    time REAL NOT NULL,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    file TEXT,
    map TEXT,
    bytes INTEGER NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0,
    audit INTEGER NOT NULL DEFAULT 0,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    score REAL NOT NULL,
    p_value REAL,
    anomalous INTEGER,
    label TEXT
) WITHOUT ROWID;
CREATE INDEX image_of_model ON image(model, version, id);
CREATE INDEX image_flagged ON image(id) WHERE anomalous = 1;
CREATE INDEX image_labelled ON image(label, id) WHERE label IS NOT NULL;
CREATE INDEX image_audited ON image(id) WHERE audit = 1;
CREATE INDEX image_p ON image(p_value);
CREATE INDEX image_asked ON image(id) WHERE label IS NULL AND (anomalous = 1 OR audit = 1);
CREATE INDEX image_kept ON image(label IS NOT NULL, ifnull(anomalous, 0), id) WHERE bytes > 0 AND pinned = 0;
CREATE INDEX image_bytes ON image(bytes) WHERE bytes > 0;
CREATE INDEX image_pinned ON image(id) WHERE pinned = 1;
CREATE TABLE verdict (
    image TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    score REAL NOT NULL,
    p_value REAL,
    threshold REAL,
    anomalous INTEGER,
    regions TEXT NOT NULL,
    ms TEXT NOT NULL,
    shadow INTEGER NOT NULL,
    frame TEXT NOT NULL,
    worse INTEGER,
    good INTEGER,
    PRIMARY KEY (image, shadow, model, version)
) WITHOUT ROWID;
CREATE INDEX verdict_in_shadow ON verdict(model, version, image) WHERE shadow = 1;
CREATE TABLE label (
    id INTEGER PRIMARY KEY,
    image TEXT NOT NULL,
    label TEXT NOT NULL,
    author TEXT NOT NULL,
    time REAL NOT NULL,
    note TEXT NOT NULL
);
CREATE INDEX label_of_image ON label(image, id);
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE threshold (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    before REAL,
    value REAL,
    rate REAL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    time REAL NOT NULL,
    backup TEXT,
    undo INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX threshold_of_model ON threshold(model, id);
CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    request TEXT NOT NULL,
    author TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    stage TEXT NOT NULL DEFAULT '',
    error TEXT,
    result TEXT,
    version TEXT,
    can_resume INTEGER NOT NULL DEFAULT 0,
    log TEXT NOT NULL DEFAULT ''
);
CREATE TABLE learnt (
    image TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (model, version, image)
) WITHOUT ROWID;
CREATE TABLE seen (
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    time REAL NOT NULL,
    PRIMARY KEY (source, sha256)
) WITHOUT ROWID;
"];

/// The version that this program writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings a file up to date; each step is whole or not at all.
pub(super) fn migrate(
    connection: &Connection,
    path: &Path,
    fail: impl Fn(rusqlite::Error) -> Trouble,
) -> Result<(), Trouble> {
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(&fail)?;
    if version > VERSION {
        return Err(Trouble::Refused(Fault::new(
            "newer_version",
            format!(
                "the history `{}` is of a newer program (version {version}, this one knows {VERSION}); use that program, or give another folder",
                path.display()
            ),
        )));
    }
    let Ok(done) = usize::try_from(version) else {
        return Err(Trouble::Refused(cannot_open(path, "it is some other program's file")));
    };
    if done == 0 {
        let foreign: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(&fail)?;
        if foreign > 0 {
            return Err(Trouble::Refused(cannot_open(path, "it is some other program's file")));
        }
    }
    for (number, step) in MIGRATIONS.iter().enumerate().skip(done) {
        let whole = format!("BEGIN IMMEDIATE; {step} PRAGMA user_version = {}; COMMIT;", number + 1);
        connection.execute_batch(&whole).map_err(&fail)?;
    }
    Ok(())
}
