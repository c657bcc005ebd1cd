//! The history of thresholds.

use super::of_sqlite;
use crate::fault::Fault;
use crate::station::clock;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use utoipa::ToSchema;

/// A change of a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ThresholdChange)]
pub struct Change {
    /// Counts up.
    pub id: i64,
    /// Seconds since 1970.
    pub time: f64,
    /// Who.
    pub author: String,
    /// The threshold before.
    pub from: Option<f64>,
    /// The threshold since.
    pub to: Option<f64>,
    /// The false-alarm rate that it holds.
    pub rate: Option<f64>,
    /// Why.
    pub reason: String,
    /// The key of the version.
    pub version: String,
    /// Whether it brought an earlier one back.
    pub undo: bool,
}

/// A change to note; `backup` is the name of the file that undoes it.
pub struct NewChange {
    /// The model's name.
    pub model: String,
    /// The key of the version.
    pub version: String,
    /// The threshold before and since.
    pub values: (Option<f32>, Option<f32>),
    /// The rate that it holds.
    pub rate: Option<f64>,
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The file to go back to.
    pub backup: Option<String>,
    /// Whether it brings an earlier one back.
    pub undo: bool,
}

impl NewChange {
    /// Notes it.
    ///
    /// # Errors
    /// Of the database.
    pub fn insert(&self, connection: &Connection) -> Result<(), Fault> {
        let Self { model, version, values, rate, author, reason, backup, undo } = self;
        connection
            .execute(
                "INSERT INTO threshold(model, version, before, value, rate, author, reason, time, backup, undo) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![model, version, values.0, values.1, rate, author, reason, clock::now(), backup, undo],
            )
            .map(|_| ())
            .map_err(of_sqlite)
    }
}

/// The latest changes of a model's thresholds, newest first.
///
/// # Errors
/// Of the database.
pub fn changes(connection: &Connection, model: &str, limit: usize) -> Result<Vec<Change>, Fault> {
    let mut list = connection
        .prepare_cached(
            "SELECT id, time, author, before, value, rate, reason, version, undo FROM threshold WHERE model = ?1 ORDER BY id DESC LIMIT ?2",
        )
        .map_err(of_sqlite)?;
    let rows = list.query_map(params![model, limit as i64], |row| {
        Ok(Change {
            id: row.get(0)?,
            time: row.get(1)?,
            author: row.get(2)?,
            from: row.get(3)?,
            to: row.get(4)?,
            rate: row.get(5)?,
            reason: row.get(6)?,
            version: row.get(7)?,
            undo: row.get(8)?,
        })
    });
    rows.and_then(Iterator::collect).map_err(of_sqlite)
}

/// The latest change of a version's threshold that can be undone: its number and the file to go back to.
///
/// # Errors
/// Of the database.
pub fn undoable(connection: &Connection, model: &str, version: &str) -> Result<Option<(i64, String)>, Fault> {
    let mut find = connection
        .prepare_cached(
            "SELECT id, backup FROM threshold WHERE model = ?1 AND version = ?2 AND backup IS NOT NULL ORDER BY id DESC LIMIT 1",
        )
        .map_err(of_sqlite)?;
    find.query_row(params![model, version], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(of_sqlite)
}

/// The backups of a version that are more than `kept` changes old, newest first; they are forgotten.
///
/// # Errors
/// Of the database.
pub fn forget_old(
    connection: &Connection,
    model: &str,
    version: &str,
    kept: usize,
) -> Result<Vec<String>, Fault> {
    let mut list = connection
        .prepare_cached(
            "SELECT id, backup FROM threshold WHERE model = ?1 AND version = ?2 AND backup IS NOT NULL ORDER BY id DESC LIMIT -1 OFFSET ?3",
        )
        .map_err(of_sqlite)?;
    let rows = list.query_map(params![model, version, kept as i64], |row| Ok((row.get(0)?, row.get(1)?)));
    let old: Vec<(i64, String)> = rows.and_then(Iterator::collect).map_err(of_sqlite)?;
    for (id, _) in &old {
        forget(connection, *id)?;
    }
    Ok(old.into_iter().map(|(_, backup)| backup).collect())
}

/// A change can no longer be undone.
///
/// # Errors
/// Of the database.
pub fn forget(connection: &Connection, id: i64) -> Result<(), Fault> {
    connection
        .execute("UPDATE threshold SET backup = NULL WHERE id = ?1", [id])
        .map(|_| ())
        .map_err(of_sqlite)
}
