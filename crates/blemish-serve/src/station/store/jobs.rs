//! Jobs as rows.

use super::of_sqlite;
use crate::fault::Fault;
use crate::station::clock;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Counts up.
    pub id: i64,
    /// `fit`, `pick`, ...
    pub kind: String,
    /// The model.
    pub model: String,
    /// `waiting`, `running`, `done`, `failed`, `cancelled`, `interrupted`.
    pub state: String,
    /// As it was posted.
    pub request: Value,
    /// Who.
    pub author: String,
    /// Seconds since 1970.
    pub created: f64,
    /// Seconds since 1970.
    pub started: Option<f64>,
    /// Seconds since 1970.
    pub ended: Option<f64>,
    /// The last stage.
    pub stage: String,
    /// Why it failed.
    pub error: Option<String>,
    /// What the program wrote.
    pub result: Option<Value>,
    /// The key of the version that it made.
    pub version: Option<String>,
    /// Whether it can go on where it ended.
    pub can_resume: bool,
    /// What the program told.
    pub log: Vec<String>,
}

const COLUMNS: &str = "id, kind, model, state, request, author, created, started, ended, stage, error, result, version, can_resume, log";

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let json = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Stored {
        id: row.get(0)?,
        kind: row.get(1)?,
        model: row.get(2)?,
        state: row.get(3)?,
        request: json(row.get(4)?),
        author: row.get(5)?,
        created: row.get(6)?,
        started: row.get(7)?,
        ended: row.get(8)?,
        stage: row.get(9)?,
        error: row.get(10)?,
        result: row.get::<_, Option<String>>(11)?.map(json),
        version: row.get(12)?,
        can_resume: row.get(13)?,
        log: row.get::<_, String>(14)?.lines().map(str::to_owned).collect(),
    })
}

/// A new job that waits; its number.
///
/// # Errors
/// Of the database.
pub fn add(
    connection: &Connection,
    kind: &str,
    model: &str,
    request: &Value,
    author: &str,
) -> Result<i64, Fault> {
    connection
        .execute(
            "INSERT INTO job(kind, model, state, request, author, created) VALUES (?1, ?2, 'waiting', ?3, ?4, ?5)",
            params![kind, model, request.to_string(), author, clock::now()],
        )
        .map_err(of_sqlite)?;
    Ok(connection.last_insert_rowid())
}

/// A job.
///
/// # Errors
/// `not_found`, or of the database.
pub fn job(connection: &Connection, id: i64) -> Result<Stored, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE id = ?1");
    connection.query_row(&sql, [id], read).map_err(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => {
            Fault::new("not_found", format!("there is no job {id}; /v1/station/jobs lists them"))
        }
        error => of_sqlite(error),
    })
}

/// The latest jobs, newest first.
///
/// # Errors
/// Of the database.
pub fn list(connection: &Connection, limit: usize) -> Result<Vec<Stored>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job ORDER BY id DESC LIMIT ?1");
    let mut list = connection.prepare_cached(&sql).map_err(of_sqlite)?;
    let rows = list.query_map([limit as i64], read);
    rows.and_then(Iterator::collect).map_err(of_sqlite)
}

/// The job whose turn it is.
///
/// # Errors
/// Of the database.
pub fn next(connection: &Connection) -> Result<Option<Stored>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE state = 'waiting' ORDER BY id LIMIT 1");
    let mut find = connection.prepare_cached(&sql).map_err(of_sqlite)?;
    let mut rows = find.query([]).map_err(of_sqlite)?;
    match rows.next().map_err(of_sqlite)? {
        Some(row) => read(row).map(Some).map_err(of_sqlite),
        None => Ok(None),
    }
}

/// How many wait.
///
/// # Errors
/// Of the database.
pub fn waiting(connection: &Connection) -> Result<u64, Fault> {
    connection
        .query_row("SELECT count(*) FROM job WHERE state = 'waiting'", [], |row| row.get::<_, i64>(0))
        .map(|count| count.max(0) as u64)
        .map_err(of_sqlite)
}

/// A job has begun.
///
/// # Errors
/// Of the database.
pub fn start(connection: &Connection, id: i64) -> Result<(), Fault> {
    connection
        .execute("UPDATE job SET state = 'running', started = ?2 WHERE id = ?1", params![id, clock::now()])
        .map(|_| ())
        .map_err(of_sqlite)
}

/// A job that waits shall not be done; whether it waited.
///
/// # Errors
/// Of the database.
pub fn drop_waiting(connection: &Connection, id: i64) -> Result<bool, Fault> {
    connection
        .execute(
            "UPDATE job SET state = 'cancelled', ended = ?2 WHERE id = ?1 AND state = 'waiting'",
            params![id, clock::now()],
        )
        .map(|changed| changed > 0)
        .map_err(of_sqlite)
}

/// A job has ended.
///
/// # Errors
/// Of the database.
pub fn end(connection: &Connection, job: &Stored) -> Result<(), Fault> {
    let result = job.result.as_ref().map(Value::to_string);
    connection
        .execute(
            "UPDATE job SET state = ?2, ended = ?3, stage = ?4, error = ?5, result = ?6, version = ?7, can_resume = ?8, log = ?9 WHERE id = ?1",
            params![job.id, job.state, clock::now(), job.stage, job.error, result, job.version, job.can_resume, job.log.join("\n")],
        )
        .map(|_| ())
        .map_err(of_sqlite)
}

/// What ran when the station ended is interrupted; those jobs.
///
/// # Errors
/// Of the database.
pub fn interrupt_running(connection: &Connection) -> Result<Vec<i64>, Fault> {
    let mut list = connection.prepare("SELECT id FROM job WHERE state = 'running'").map_err(of_sqlite)?;
    let ids: Vec<i64> =
        list.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(of_sqlite)?;
    connection
        .execute(
            "UPDATE job SET state = 'interrupted', ended = ?1, error = 'the station ended while it ran' WHERE state = 'running'",
            params![clock::now()],
        )
        .map_err(of_sqlite)?;
    Ok(ids)
}

/// Whether a job can go on where it ended.
///
/// # Errors
/// Of the database.
pub fn set_can_resume(connection: &Connection, id: i64, can: bool) -> Result<(), Fault> {
    connection
        .execute("UPDATE job SET can_resume = ?2 WHERE id = ?1", params![id, can])
        .map(|_| ())
        .map_err(of_sqlite)
}
