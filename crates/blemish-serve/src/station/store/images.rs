//! Images and verdicts as rows, and as the JSON that routes give.

use super::of_sqlite;
use crate::answer::{Answered, Milliseconds, Origin};
use crate::fault::Fault;
use blemish::metrics::Region;
use rusqlite::{Connection, Row as Found, params};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::time::SystemTime;
use utoipa::ToSchema;

/// The part of an upright image that a map covers, in its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
pub struct Frame {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Frame {
    /// Of the rows and columns that it covers.
    pub fn of((rows, columns): &(Range<usize>, Range<usize>)) -> Self {
        Self { x: columns.start, y: rows.start, width: columns.len(), height: rows.len() }
    }
}

/// What a version said of an image.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Said {
    /// The model's name.
    pub model: String,
    /// The version's first twelve digits; of one in shadow its key.
    pub version: String,
    /// Raw score, higher is worse.
    pub score: f32,
    /// See [`blemish::Decision`].
    pub p_value: Option<f64>,
    /// An image with a score above was anomalous.
    pub threshold: Option<f32>,
    /// Whether it was.
    pub anomalous: Option<bool>,
    /// Where.
    #[schema(value_type = Vec<Object>)]
    pub regions: Vec<Region>,
    /// How long it took.
    pub milliseconds: Milliseconds,
    /// What the map covers.
    pub frame: Frame,
    /// Whether nobody was answered with it.
    pub shadow: bool,
    /// The p-value in words.
    pub words: Option<String>,
    /// Good images of the calibration that score like this or worse, and all of them.
    #[serde(skip)]
    pub rank: Option<(u64, u64)>,
}

impl Said {
    /// From an answer, and how many of how many calibrating images score like it or worse.
    pub fn new(answered: &Answered, version: String, rank: Option<(u64, u64)>) -> Self {
        let verdict = &answered.verdict;
        Self {
            model: verdict.model.clone(),
            version,
            score: verdict.score,
            p_value: verdict.p_value,
            threshold: verdict.threshold,
            anomalous: verdict.anomalous,
            regions: verdict.regions.clone(),
            milliseconds: verdict.milliseconds,
            frame: Frame::of(&answered.covered),
            shadow: answered.is_shadow,
            words: rank.map(in_words),
            rank,
        }
    }

    /// Writes it beside its image; a second one of the same version replaces the first.
    ///
    /// # Errors
    /// Of the database.
    pub fn insert(&self, connection: &Connection, image: &str) -> Result<(), Fault> {
        let json = |value: serde_json::Result<String>| value.unwrap_or_else(|_| "null".into());
        let (worse, good) = self.rank.unzip();
        let mut insert = connection
            .prepare_cached(
                "INSERT OR REPLACE INTO verdict(image, model, version, score, p_value, threshold, anomalous, regions, ms, shadow, frame, worse, good)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )
            .map_err(of_sqlite)?;
        insert
            .execute(params![
                image,
                self.model,
                self.version,
                self.score,
                self.p_value,
                self.threshold,
                self.anomalous,
                json(serde_json::to_string(&self.regions)),
                json(serde_json::to_string(&self.milliseconds)),
                self.shadow,
                json(serde_json::to_string(&self.frame)),
                worse.map(|worse| worse as i64),
                good.map(|good| good as i64),
            ])
            .map_err(of_sqlite)?;
        Ok(())
    }

    /// From the columns [`Self::COLUMNS`], beginning at one of them.
    pub fn read(row: &Found<'_>, at: usize) -> rusqlite::Result<Self> {
        let json = |column: usize| row.get::<_, String>(at + column);
        let worse: Option<i64> = row.get(at + 10)?;
        let good: Option<i64> = row.get(at + 11)?;
        let rank = worse.zip(good).map(|(worse, good)| (worse.max(0) as u64, good.max(0) as u64));
        Ok(Self {
            model: row.get(at)?,
            version: row.get(at + 1)?,
            score: row.get(at + 2)?,
            p_value: row.get(at + 3)?,
            threshold: row.get(at + 4)?,
            anomalous: row.get(at + 5)?,
            // Columns that somebody has changed by hand show nothing rather than hide the row.
            regions: serde_json::from_str(&json(6)?).unwrap_or_default(),
            milliseconds: serde_json::from_str(&json(7)?).unwrap_or_default(),
            shadow: row.get(at + 8)?,
            frame: serde_json::from_str(&json(9)?).unwrap_or_default(),
            words: rank.map(in_words),
            rank,
        })
    }

    /// What [`Self::read`] reads, of a table called `v`.
    pub const COLUMNS: &'static str = "v.model, v.version, v.score, v.p_value, v.threshold, v.anomalous, v.regions, v.ms, v.shadow, v.frame, v.worse, v.good";
    /// Their number.
    pub const COUNT: usize = 12;
}

/// `3 of 250 good images score like this or worse`.
fn in_words((worse, good): (u64, u64)) -> String {
    match worse {
        0 => format!("none of {good} good images scores like this or worse"),
        1 => format!("1 of {good} good images scores like this or worse"),
        _ => format!("{worse} of {good} good images score like this or worse"),
    }
}

/// An image of the history.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Row {
    /// See [`image_id`].
    pub id: String,
    /// The id of the request.
    pub request: String,
    /// Seconds since 1970.
    pub time: f64,
    /// `http`, `folder`, `command`, `browser`.
    pub source: String,
    /// Text from outside.
    pub name: String,
    /// Of the encoded image; empty where pixels came.
    pub sha256: String,
    /// Height and width.
    pub size: [usize; 2],
    /// Bytes of its pictures on disk.
    pub bytes: u64,
    /// Whether the original is there.
    pub has_original: bool,
    /// Whether the map is there.
    pub has_map: bool,
    /// Whether it is kept whatever happens.
    pub pinned: bool,
    /// The latest label.
    pub label: Option<String>,
    /// What the live version said.
    pub verdict: Option<Said>,
    /// Below the folder of images.
    #[serde(skip)]
    pub file: Option<String>,
    /// Below the folder of images.
    #[serde(skip)]
    pub map: Option<String>,
    /// Whether the audit asks about it. Routes never tell: whoever answers shall not know why an image is asked about.
    #[serde(skip)]
    pub audit: bool,
}

impl Row {
    /// Writes a new image and its verdict. One with the same id stays as it was.
    ///
    /// # Errors
    /// Of the database.
    pub fn insert(&self, connection: &Connection) -> Result<(), Fault> {
        let Some(said) = &self.verdict else { return Ok(()) };
        let mut insert = connection
            .prepare_cached(
                "INSERT OR IGNORE INTO image(id, request, time, source, name, sha256, width, height, file, map, bytes, pinned, audit, model, version,
                 score, p_value, anomalous) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
            )
            .map_err(of_sqlite)?;
        insert
            .execute(params![
                self.id,
                self.request,
                self.time,
                self.source,
                self.name,
                self.sha256,
                self.size[1] as i64,
                self.size[0] as i64,
                self.file,
                self.map,
                self.bytes as i64,
                self.pinned,
                self.audit,
                said.model,
                said.version,
                said.score,
                said.p_value,
                said.anomalous,
            ])
            .map_err(of_sqlite)?;
        said.insert(connection, &self.id)
    }

    /// From the columns [`Self::COLUMNS`] followed by those of [`Said`].
    pub fn read(row: &Found<'_>) -> rusqlite::Result<Self> {
        let file: Option<String> = row.get(8)?;
        let map: Option<String> = row.get(9)?;
        let side = |column: usize| row.get::<_, i64>(column).map(|side| side.max(0) as usize);
        // The verdict is joined from the left: it is missing only where somebody has taken it out by hand.
        let has_verdict = row.get::<_, Option<String>>(Self::COUNT)?.is_some();
        Ok(Self {
            id: row.get(0)?,
            request: row.get(1)?,
            time: row.get(2)?,
            source: row.get(3)?,
            name: row.get(4)?,
            sha256: row.get(5)?,
            size: [side(7)?, side(6)?],
            bytes: row.get::<_, i64>(10)?.max(0) as u64,
            has_original: file.is_some(),
            has_map: map.is_some(),
            pinned: row.get(11)?,
            audit: row.get(12)?,
            label: row.get(13)?,
            verdict: if has_verdict { Some(Said::read(row, Self::COUNT)?) } else { None },
            file,
            map,
        })
    }

    /// What [`Self::read`] reads, of a table called `i`.
    pub const COLUMNS: &'static str = "i.id, i.request, i.time, i.source, i.name, i.sha256, i.width, i.height, i.file, i.map, i.bytes, i.pinned, i.audit, i.label";
    /// Their number.
    pub const COUNT: usize = 14;
}

/// The name of an origin in the history.
pub fn source_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Http => "http",
        Origin::Folder => "folder",
        Origin::Command => "command",
        Origin::Browser => "browser",
    }
}

/// The id of an image: eleven digits of the millisecond it came at and nine of a digest, so that ids sort as times do, and two verdicts on
/// one image give one id. It is fixed before the image is scored.
pub fn image_id(received: SystemTime, request: &str, model: &str) -> String {
    let since = received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut digest = Sha256::new();
    digest.update(since.as_nanos().to_le_bytes());
    digest.update(model.as_bytes());
    digest.update([0]);
    digest.update(request.as_bytes());
    let digest = hex::encode(digest.finalize());
    format!("{:011x}{}", since.as_millis() & 0xfff_ffff_ffff, &digest[..9])
}

/// The first id that an image of this millisecond can have.
pub fn first_id(milliseconds: u64) -> String {
    format!("{:011x}", milliseconds & 0xfff_ffff_ffff)
}

/// The millisecond of an id; `None` for what is no id.
pub fn milliseconds_of(id: &str) -> Option<u64> {
    let is_id =
        id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if is_id { u64::from_str_radix(&id[..11], 16).ok() } else { None }
}

/// An image with its verdict.
///
/// # Errors
/// `not_found`, or of the database.
pub fn image(connection: &Connection, id: &str) -> Result<Row, Fault> {
    let sql = format!(
        "SELECT {}, {} FROM image i LEFT JOIN verdict v ON v.image = i.id AND v.shadow = 0 AND v.model = i.model WHERE i.id = ?1",
        Row::COLUMNS,
        Said::COLUMNS
    );
    let mut find = connection.prepare_cached(&sql).map_err(of_sqlite)?;
    find.query_row([id], Row::read).map_err(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => Fault::new(
            "not_found",
            "the history has no such image; it lists all it has under /v1/station/images",
        ),
        error => of_sqlite(error),
    })
}

/// Every verdict on an image, the live one first.
///
/// # Errors
/// Of the database.
pub fn verdicts(connection: &Connection, id: &str) -> Result<Vec<Said>, Fault> {
    let sql =
        format!("SELECT {} FROM verdict v WHERE v.image = ?1 ORDER BY v.shadow, v.version", Said::COLUMNS);
    let mut list = connection.prepare_cached(&sql).map_err(of_sqlite)?;
    let rows = list.query_map([id], |row| Said::read(row, 0));
    rows.and_then(Iterator::collect).map_err(of_sqlite)
}

/// Pins an image or lets it go; the image as it is then.
///
/// # Errors
/// `not_found`, or of the database.
pub fn pin(connection: &Connection, id: &str, is_pinned: bool) -> Result<Row, Fault> {
    connection
        .execute("UPDATE image SET pinned = ?2 WHERE id = ?1", params![id, is_pinned])
        .map_err(of_sqlite)?;
    image(connection, id)
}
