//! Labels: every one is kept, the latest counts.

use super::of_sqlite;
use crate::fault::Fault;
use crate::station::clock;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a person says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Nothing is wrong with it.
    Good,
    /// Something is.
    Defective,
    /// It cannot be told.
    Unsure,
}

impl Label {
    /// As the tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Defective => "defective",
            Self::Unsure => "unsure",
        }
    }
}

/// A label as it was given.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = GivenLabel)]
pub struct Given {
    /// `good`, `defective`, `unsure`.
    pub label: String,
    /// Who.
    pub author: String,
    /// Seconds since 1970.
    pub time: f64,
    /// Why.
    pub note: String,
}

/// Labels images; what the history does not have is returned.
///
/// # Errors
/// Of the database.
pub fn label(
    connection: &Connection,
    ids: &[String],
    label: Label,
    author: &str,
    note: &str,
) -> Result<Vec<String>, Fault> {
    let mut unknown = Vec::new();
    let mut set =
        connection.prepare_cached("UPDATE image SET label = ?2 WHERE id = ?1").map_err(of_sqlite)?;
    let mut add = connection
        .prepare_cached("INSERT INTO label(image, label, author, time, note) VALUES (?1, ?2, ?3, ?4, ?5)")
        .map_err(of_sqlite)?;
    for id in ids {
        if set.execute(params![id, label.name()]).map_err(of_sqlite)? == 0 {
            unknown.push(id.clone());
            continue;
        }
        add.execute(params![id, label.name(), author, clock::now(), note]).map_err(of_sqlite)?;
    }
    Ok(unknown)
}

/// All labels of an image, the latest first.
///
/// # Errors
/// Of the database.
pub fn labels(connection: &Connection, id: &str) -> Result<Vec<Given>, Fault> {
    let mut list = connection
        .prepare_cached("SELECT label, author, time, note FROM label WHERE image = ?1 ORDER BY id DESC")
        .map_err(of_sqlite)?;
    let rows = list.query_map([id], |row| {
        Ok(Given { label: row.get(0)?, author: row.get(1)?, time: row.get(2)?, note: row.get(3)? })
    });
    rows.and_then(Iterator::collect).map_err(of_sqlite)
}
