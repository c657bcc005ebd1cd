//! What the history is asked for: lists of images by filters, and counts.

use super::images::{Row, Said, first_id};
use super::of_sqlite;
use crate::fault::Fault;
use crate::station::clock;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Images in one answer, unless it is asked otherwise, and at most.
const LIMIT: (usize, usize) = (60, 500);

/// What images to list; everything that is given must hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// `flagged`, `passed`, `undecided`.
    pub verdict: Option<String>,
    /// `good`, `defective`, `unsure`, `none`.
    pub label: Option<String>,
    /// The model's name.
    pub model: Option<String>,
    /// The version's first twelve digits.
    pub version: Option<String>,
    /// `2026-11-28`.
    pub day: Option<String>,
    /// p-values up to this.
    pub p_max: Option<f64>,
    /// `http`, `folder`, `command`, `browser`.
    pub source: Option<String>,
    /// `disagreements`, `unlabelled`, `questions`, `pinned`.
    pub filter: Option<String>,
    /// Images before this id.
    pub before: Option<String>,
    /// Images after this id.
    pub after: Option<String>,
    /// At most so many, up to 500; 60 by default.
    pub limit: Option<usize>,
    /// Of the download: `folder` or `mvtec`; lists pass over it.
    pub layout: Option<String>,
}

/// A list, and where the next one begins.
pub struct Page {
    /// Newest first.
    pub images: Vec<Row>,
    /// The id to go on before.
    pub next: Option<String>,
}

impl Filter {
    /// Whether verdicts are withheld: whoever answers questions shall judge the image and not the machine.
    pub fn hides_verdicts(&self) -> bool {
        self.filter.as_deref() == Some("questions")
    }

    /// The conditions in SQL and their values.
    fn conditions(&self, is_paged: bool) -> Result<(String, Vec<Value>), Fault> {
        let mut all = vec!["1".to_owned()];
        let mut values = Vec::new();
        let wrong = |what: &str, value: &str, known: &str| {
            Err(Fault::request(format!("{what}={value} is unknown; use one of: {known}")))
        };
        if let Some(verdict) = self.verdict.as_deref().filter(|text| !text.is_empty()) {
            all.push(
                match verdict {
                    "flagged" => "i.anomalous = 1",
                    "passed" => "i.anomalous = 0",
                    "undecided" => "i.anomalous IS NULL",
                    other => return wrong("verdict", other, "flagged, passed, undecided"),
                }
                .to_owned(),
            );
        }
        if let Some(label) = self.label.as_deref().filter(|text| !text.is_empty()) {
            match label {
                "none" => all.push("i.label IS NULL".into()),
                "good" | "defective" | "unsure" => {
                    values.push(Value::from(label.to_owned()));
                    all.push(format!("i.label IS NOT NULL AND i.label = ?{}", values.len()));
                }
                other => return wrong("label", other, "good, defective, unsure, none"),
            }
        }
        if let Some(filter) = self.filter.as_deref().filter(|text| !text.is_empty()) {
            all.push(
                match filter {
                    "disagreements" => {
                        "i.label IS NOT NULL AND ((i.label = 'good' AND i.anomalous = 1) OR (i.label = 'defective' AND i.anomalous = 0))"
                    }
                    "unlabelled" => "i.label IS NULL AND i.anomalous = 1",
                    "questions" => "i.label IS NULL AND (i.anomalous = 1 OR i.audit = 1)",
                    "pinned" => "i.pinned = 1",
                    other => return wrong("filter", other, "disagreements, unlabelled, questions, pinned"),
                }
                .to_owned(),
            );
        }
        for (column, text) in [("model", &self.model), ("version", &self.version), ("source", &self.source)] {
            if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
                values.push(Value::from(text.clone()));
                all.push(format!("i.{column} = ?{}", values.len()));
            }
        }
        if let Some(most) = self.p_max {
            if !(0.0..=1.0).contains(&most) {
                return wrong("p_max", &most.to_string(), "a number between 0 and 1");
            }
            values.push(Value::from(most));
            all.push(format!("i.p_value <= ?{}", values.len()));
        }
        if let Some(text) = self.day.as_ref().filter(|text| !text.is_empty()) {
            let Some((first, last)) = clock::day(text) else {
                return wrong("day", text, "a date such as 2026-11-28");
            };
            values.extend([Value::from(first_id(first)), Value::from(first_id(last + 1))]);
            all.push(format!("i.id >= ?{} AND i.id < ?{}", values.len() - 1, values.len()));
        }
        if is_paged {
            for (sign, id) in [("<", &self.before), (">", &self.after)] {
                if let Some(id) = id.as_ref().filter(|id| !id.is_empty()) {
                    values.push(Value::from(id.clone()));
                    all.push(format!("i.id {sign} ?{}", values.len()));
                }
            }
        }
        Ok((all.join(" AND "), values))
    }

    /// Whether it can be asked for.
    ///
    /// # Errors
    /// `request` for a filter that is none.
    pub fn check(&self) -> Result<(), Fault> {
        self.conditions(true).map(drop)
    }

    /// The images, newest first; after an id, those that follow it.
    ///
    /// # Errors
    /// `request` for a filter that is none, else of the database.
    pub fn list(&self, connection: &Connection) -> Result<Page, Fault> {
        let limit = self.limit.unwrap_or(LIMIT.0).clamp(1, LIMIT.1);
        let mut page = self.select(connection, limit + 1)?;
        let next = (page.len() > limit).then(|| {
            page.truncate(limit);
            page.last().map(|row| row.id.clone())
        });
        if self.is_forward() {
            page.reverse();
        }
        if self.hides_verdicts() {
            page.iter_mut().for_each(|row| row.verdict = None);
        }
        Ok(Page { images: page, next: next.flatten() })
    }

    /// So many images at most, newest first, or oldest first after an id.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn select(&self, connection: &Connection, limit: usize) -> Result<Vec<Row>, Fault> {
        let (conditions, mut values) = self.conditions(true)?;
        values.push(Value::from(limit as i64));
        let order = if self.is_forward() { "ASC" } else { "DESC" };
        // The limit is met among images before verdicts are looked up.
        let sql = format!(
            "SELECT {}, {} FROM (SELECT * FROM image i WHERE {conditions} ORDER BY i.id {order} LIMIT ?{}) i
             LEFT JOIN verdict v ON v.image = i.id AND v.shadow = 0 AND v.model = i.model ORDER BY i.id {order}",
            Row::COLUMNS,
            Said::COLUMNS,
            values.len()
        );
        let mut list = connection.prepare_cached(&sql).map_err(of_sqlite)?;
        let rows = list.query_map(params_from_iter(values), Row::read);
        rows.and_then(Iterator::collect).map_err(of_sqlite)
    }

    /// How many images there are, whatever page.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn count(&self, connection: &Connection) -> Result<u64, Fault> {
        let (conditions, values) = self.conditions(false)?;
        let sql = format!("SELECT count(*) FROM image i WHERE {conditions}");
        let mut count = connection.prepare_cached(&sql).map_err(of_sqlite)?;
        count
            .query_row(params_from_iter(values), |row| row.get::<_, i64>(0))
            .map(|count| count.max(0) as u64)
            .map_err(of_sqlite)
    }

    /// The same from behind an image on, whichever way it goes.
    pub fn behind(mut self, id: String) -> Self {
        match self.is_forward() {
            true => self.after = Some(id),
            false => self.before = Some(id),
        }
        self
    }

    fn is_forward(&self) -> bool {
        self.after.as_ref().is_some_and(|id| !id.is_empty()) && self.before.is_none()
    }
}

/// Images, flagged ones and labelled ones since a millisecond.
///
/// # Errors
/// Of the database.
pub fn counts_since(connection: &Connection, milliseconds: u64) -> Result<[u64; 3], Fault> {
    let mut count = connection
        .prepare_cached("SELECT count(*), ifnull(sum(anomalous = 1), 0), ifnull(sum(label IS NOT NULL), 0) FROM image WHERE id >= ?1")
        .map_err(of_sqlite)?;
    let of =
        |row: &rusqlite::Row<'_>, column: usize| row.get::<_, i64>(column).map(|count| count.max(0) as u64);
    count
        .query_row([first_id(milliseconds)], |row| Ok([of(row, 0)?, of(row, 1)?, of(row, 2)?]))
        .map_err(of_sqlite)
}

/// Images that people are asked about: flagged ones and those of the audit, without a label.
///
/// # Errors
/// Of the database.
pub fn questions(connection: &Connection) -> Result<u64, Fault> {
    let sql = "SELECT count(*) FROM image WHERE label IS NULL AND (anomalous = 1 OR audit = 1)";
    let mut count = connection.prepare_cached(sql).map_err(of_sqlite)?;
    count.query_row([], |row| row.get::<_, i64>(0)).map(|count| count.max(0) as u64).map_err(of_sqlite)
}

/// A score of the live version, for histograms and curves.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
#[schema(as = LiveScore)]
pub struct Scored {
    /// The image.
    pub id: String,
    /// Seconds since 1970.
    pub time: f64,
    /// Its score.
    pub score: f32,
    /// Its p-value as it was said then.
    pub p_value: Option<f64>,
    /// Whether it was flagged then.
    pub anomalous: Option<bool>,
    /// The latest label.
    pub label: Option<String>,
}

/// The last scores of a version of a model, newest first.
///
/// # Errors
/// Of the database.
pub fn last_scores(
    connection: &Connection,
    model: &str,
    version: &str,
    last: usize,
) -> Result<Vec<Scored>, Fault> {
    let mut list = connection
        .prepare_cached(
            "SELECT id, time, score, p_value, anomalous, label FROM image WHERE model = ?1 AND version = ?2 ORDER BY id DESC LIMIT ?3",
        )
        .map_err(of_sqlite)?;
    let rows = list.query_map(rusqlite::params![model, version, last as i64], |row| {
        Ok(Scored {
            id: row.get(0)?,
            time: row.get(1)?,
            score: row.get(2)?,
            p_value: row.get(3)?,
            anomalous: row.get(4)?,
            label: row.get(5)?,
        })
    });
    rows.and_then(Iterator::collect).map_err(of_sqlite)
}

/// An image that the live version and one in shadow have judged.
pub struct Pair {
    /// The image.
    pub id: String,
    /// Seconds since 1970.
    pub time: f64,
    /// The latest label.
    pub label: Option<String>,
    /// Score, p-value and decision of the live version and of the other.
    pub said: [(f32, Option<f64>, Option<bool>); 2],
}

/// The last images that a candidate has judged in shadow, newest first, with what the live version said.
///
/// # Errors
/// Of the database.
pub fn pairs(connection: &Connection, model: &str, candidate: &str, last: usize) -> Result<Vec<Pair>, Fault> {
    let mut list = connection
        .prepare_cached(
            "SELECT i.id, i.time, i.label, i.score, i.p_value, i.anomalous, v.score, v.p_value, v.anomalous
             FROM verdict v JOIN image i ON i.id = v.image WHERE v.shadow = 1 AND v.model = ?1 AND v.version = ?2 ORDER BY v.image DESC LIMIT ?3",
        )
        .map_err(of_sqlite)?;
    let rows = list.query_map(rusqlite::params![model, candidate, last as i64], |row| {
        Ok(Pair {
            id: row.get(0)?,
            time: row.get(1)?,
            label: row.get(2)?,
            said: [(row.get(3)?, row.get(4)?, row.get(5)?), (row.get(6)?, row.get(7)?, row.get(8)?)],
        })
    });
    rows.and_then(Iterator::collect).map_err(of_sqlite)
}
