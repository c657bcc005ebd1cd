//! Who changed what.

use super::of_sqlite;
use crate::fault::Fault;
use rusqlite::{Connection, params};
use serde::Serialize;
use utoipa::ToSchema;

/// A change, as the log tells it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LogLine {
    /// Counts up.
    pub id: i64,
    /// Seconds since 1970.
    pub time: f64,
    /// `label`, `threshold`, `live`, `shadow`, `job`, `settings`, `pause`, `retention`, `source`, ...
    pub kind: String,
    /// Who; empty for the station itself.
    pub author: String,
    /// What, in words.
    pub text: String,
}

impl LogLine {
    /// Notes a change.
    ///
    /// # Errors
    /// Of the database.
    pub fn add(connection: &Connection, kind: &str, author: &str, text: &str) -> Result<(), Fault> {
        connection
            .prepare_cached("INSERT INTO event(time, kind, author, text) VALUES (?1, ?2, ?3, ?4)")
            .and_then(|mut add| add.execute(params![super::super::clock::now(), kind, author, text]))
            .map(|_| ())
            .map_err(of_sqlite)
    }

    /// The latest changes before a place, of a kind if one is given.
    ///
    /// # Errors
    /// Of the database.
    pub fn list(
        connection: &Connection,
        kind: Option<&str>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Self>, Fault> {
        let mut list = connection
            .prepare_cached(
                "SELECT id, time, kind, author, text FROM event WHERE id < ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY id DESC LIMIT ?3",
            )
            .map_err(of_sqlite)?;
        let rows = list.query_map(params![before.unwrap_or(i64::MAX), kind, limit as i64], |row| {
            Ok(Self {
                id: row.get(0)?,
                time: row.get(1)?,
                kind: row.get(2)?,
                author: row.get(3)?,
                text: row.get(4)?,
            })
        });
        rows.and_then(Iterator::collect).map_err(of_sqlite)
    }
}
