//! What labels may be used for, and what they may not.
//!
//! # The audit
//! Labels of flagged images alone say nothing about misses, and bend every estimate. So a share of *all* images is drawn, by a hash of the
//! image's id, before and whatever the verdict: a plain random sample of the line. Rates are estimated from it alone.
//!
//! # Learning and calibrating
//! An update learns images that were flagged and labelled good, outside of the audit. A calibration takes audited images labelled good and
//! nothing else: they are exchangeable with the good images to come, which is what the promise of a conformal threshold rests on. Flagged
//! images that turned out good are not: they are the worst-scoring good ones, and calibrating on them pushes the threshold far up.

use super::store::of_sqlite;
use crate::fault::Fault;
use blemish::metrics::binomial_interval;
use blemish::metrics::calibration::conformal;
use rusqlite::{Connection, params};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// Coverage of intervals.
const LEVEL: f64 = 0.95;

/// Labelled images of each kind that thresholds can be set by.
const FEWEST: u64 = 5;

/// Whether the audit asks about an image, drawn by its id alone.
pub fn is_audited(id: &str, share: f64) -> bool {
    let mut digest = Sha256::new();
    digest.update(b"audit ");
    digest.update(id.as_bytes());
    let digest = digest.finalize();
    let (first, _) = digest.split_at(8);
    let drawn = first.iter().fold(0u64, |drawn, &byte| drawn << 8 | u64::from(byte));
    // 53 bits, as many as a fraction holds.
    ((drawn >> 11) as f64) < share * (1u64 << 53) as f64
}

/// How often something happened, with its exact 95 % interval (Clopper-Pearson).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Rate {
    /// Times it happened.
    pub count: u64,
    /// Times it could have.
    pub of: u64,
    /// Their ratio; null for none of none.
    pub rate: Option<f64>,
    /// The true rate is hardly below.
    pub low: f64,
    /// The true rate is hardly above.
    pub high: f64,
}

impl Rate {
    /// From counts.
    pub fn new(count: u64, of: u64) -> Self {
        let interval = binomial_interval(count as usize, of as usize, LEVEL);
        let rate = (of > 0).then(|| count as f64 / of as f64);
        Self { count, of, rate, low: interval.low, high: interval.high }
    }
}

/// What the audit says.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Audit {
    /// The share of images that it asks about now.
    pub share: f64,
    /// The model; null for all.
    pub model: Option<String>,
    /// Images that it has drawn.
    pub audited: u64,
    /// Those labelled good or defective.
    pub answered: u64,
    /// Those that cannot be told.
    pub unsure: u64,
    /// Those without an answer yet.
    pub waiting: u64,
    /// Good images that were flagged.
    pub false_alarms: Rate,
    /// Defective images that were not.
    pub misses: Rate,
    /// Images that are defective.
    pub defective: Rate,
    /// How much it rests on, in words.
    pub words: String,
}

impl Audit {
    /// Of the images of a model, or of all.
    ///
    /// # Errors
    /// Of the database.
    pub fn read(connection: &Connection, model: Option<&str>, share: f64) -> Result<Self, Fault> {
        let mut count = connection
            .prepare_cached(
                "SELECT count(*), total(label IS NULL), total(label = 'unsure'), total(label = 'good'), total(label = 'good' AND anomalous = 1),
                 total(label = 'defective'), total(label = 'defective' AND anomalous = 0)
                 FROM image WHERE audit = 1 AND anomalous IS NOT NULL AND (?1 IS NULL OR model = ?1)",
            )
            .map_err(of_sqlite)?;
        let counts: Vec<u64> = count
            .query_row([model], |row| {
                let whole = |column: usize| row.get::<_, f64>(column).map(|count| count as u64);
                std::iter::once(row.get::<_, i64>(0).map(|count| count as u64))
                    .chain((1..7).map(whole))
                    .collect()
            })
            .map_err(of_sqlite)?;
        let [audited, waiting, unsure, good, alarms, defective, missed] = counts[..] else {
            return Err(Fault::new("io", "the history gave another number of columns than was asked for"));
        };
        let answered = good + defective;
        Ok(Self {
            share,
            model: model.map(str::to_owned),
            audited,
            answered,
            unsure,
            waiting,
            false_alarms: Rate::new(alarms, good),
            misses: Rate::new(missed, defective),
            defective: Rate::new(defective, answered),
            words: match answered {
                0 => "nothing is known yet: no audited image has been labelled".into(),
                1 => "from 1 audited image".into(),
                many => format!("from {many} audited images"),
            },
        })
    }
}

/// A use of labels: how many there are and whether they suffice.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Use {
    /// Images.
    pub images: u64,
    /// Whether they suffice.
    pub can: bool,
    /// What for, or what is missing.
    pub words: String,
}

/// What audited images may calibrate.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Calibrating {
    /// Audited images labelled good whose pictures are still there.
    pub images: u64,
    /// The false-alarm rate to be promised.
    pub rate: f64,
    /// Images that it takes.
    pub needed: u64,
    /// Images still to come.
    pub missing: u64,
    /// Whether there are enough to promise it.
    pub can: bool,
    /// The lowest rate that these can promise; null without any.
    pub promises: Option<f64>,
    /// In words.
    pub words: String,
}

/// Labelled images that thresholds can be set by.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ByLabels {
    /// Labelled good.
    pub good: u64,
    /// Labelled defective.
    pub defective: u64,
    /// Whether there are enough of both.
    pub can: bool,
    /// In words.
    pub words: String,
}

/// What labels may be used for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Feedback {
    /// The model.
    pub model: String,
    /// What an update may learn.
    pub learn: Use,
    /// What a calibration may take.
    pub calibrate: Calibrating,
    /// What thresholds by labels may take.
    pub labelled: ByLabels,
}

/// Images to learn from: flagged, labelled good, outside of the audit, with their pictures, not learnt by the version or those it came from.
const LEARN: &str = "model = ?1 AND label = 'good' AND anomalous = 1 AND audit = 0 AND file IS NOT NULL
    AND id NOT IN (SELECT image FROM learnt WHERE model = ?1 AND version IN (SELECT value FROM json_each(?2)))";

/// Images to calibrate with: of the audit, labelled good, with their pictures.
const CALIBRATE: &str = "model = ?1 AND audit = 1 AND label = 'good' AND file IS NOT NULL";

/// Images to set thresholds by or to evaluate on: labelled one way or the other, with their pictures.
const LABELLED: &str = "model = ?1 AND label IN ('good', 'defective') AND file IS NOT NULL";

/// An image file of the history and its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The image.
    pub id: String,
    /// Below the folder of pictures.
    pub file: String,
    /// `good` or `defective`.
    pub label: String,
}

/// Images that an update of a version may learn; `ancestry` has the keys of the version and of those it was made of.
///
/// # Errors
/// Of the database.
pub fn to_learn(connection: &Connection, model: &str, ancestry: &[String]) -> Result<Vec<Picture>, Fault> {
    pictures(connection, LEARN, &[&model, &keys(ancestry)])
}

/// Images that a calibration may take.
///
/// # Errors
/// Of the database.
pub fn to_calibrate(connection: &Connection, model: &str) -> Result<Vec<Picture>, Fault> {
    pictures(connection, CALIBRATE, &[&model])
}

/// Labelled images to set thresholds by or to evaluate on.
///
/// # Errors
/// Of the database.
pub fn labelled(connection: &Connection, model: &str) -> Result<Vec<Picture>, Fault> {
    pictures(connection, LABELLED, &[&model])
}

/// Keys as one value, for [`LEARN`].
fn keys(ancestry: &[String]) -> String {
    serde_json::to_string(ancestry).unwrap_or_default()
}

fn pictures(
    connection: &Connection,
    conditions: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Picture>, Fault> {
    let sql = format!("SELECT id, file, label FROM image WHERE {conditions} ORDER BY id");
    let mut list = connection.prepare_cached(&sql).map_err(of_sqlite)?;
    let rows =
        list.query_map(values, |row| Ok(Picture { id: row.get(0)?, file: row.get(1)?, label: row.get(2)? }));
    rows.and_then(Iterator::collect).map_err(of_sqlite)
}

fn count(connection: &Connection, conditions: &str, values: &[&dyn rusqlite::ToSql]) -> Result<u64, Fault> {
    let sql = format!("SELECT count(*) FROM image WHERE {conditions}");
    let mut count = connection.prepare_cached(&sql).map_err(of_sqlite)?;
    count.query_row(values, |row| row.get::<_, i64>(0)).map(|count| count.max(0) as u64).map_err(of_sqlite)
}

/// A version has learnt images.
///
/// # Errors
/// Of the database.
pub fn note_learnt(
    connection: &Connection,
    model: &str,
    version: &str,
    images: &[String],
) -> Result<(), Fault> {
    let mut add = connection
        .prepare_cached("INSERT OR IGNORE INTO learnt(image, model, version) VALUES (?1, ?2, ?3)")
        .map_err(of_sqlite)?;
    for image in images {
        add.execute(params![image, model, version]).map_err(of_sqlite)?;
    }
    Ok(())
}

impl Feedback {
    /// Of a model: `ancestry` as of [`to_learn`], the rate that is to be promised, whether the version can learn on.
    ///
    /// # Errors
    /// Of the database.
    pub fn read(
        connection: &Connection,
        model: &str,
        ancestry: &[String],
        rate: f64,
        can_update: bool,
    ) -> Result<Self, Fault> {
        let learn = count(connection, LEARN, &[&model, &keys(ancestry)])?;
        let images = count(connection, CALIBRATE, &[&model])?;
        let of = |label: &str| count(connection, &format!("{LABELLED} AND label = ?2"), &[&model, &label]);
        let (good, defective) = (of("good")?, of("defective")?);
        Ok(Self {
            model: model.to_owned(),
            learn: learning(learn, images, can_update),
            calibrate: calibrating(images, rate),
            labelled: ByLabels {
                good,
                defective,
                can: good >= FEWEST && defective >= FEWEST,
                words: match (good >= FEWEST, defective >= FEWEST) {
                    (true, true) => format!(
                        "{good} good and {defective} defective labelled images set a threshold; no rate is promised"
                    ),
                    (false, _) => format!("{} more images labelled good are needed", FEWEST - good),
                    (true, false) => {
                        format!("{} more images labelled defective are needed", FEWEST - defective)
                    }
                },
            },
        })
    }
}

/// What an update can learn from so many flagged images, with so many audited ones to calibrate it by.
fn learning(images: u64, audited: u64, can_update: bool) -> Use {
    let mut words = match (images, can_update) {
        (_, false) => {
            "this version does not learn on; fit a new one on all good images, or fit it updatable".to_owned()
        }
        (0, true) => "no flagged image has been labelled good yet".to_owned(),
        (1, true) => "1 flagged image that is good can be learnt".to_owned(),
        (many, true) => format!("{many} flagged images that are good can be learnt"),
    };
    let can = can_update && images > 0;
    if can && audited == 0 {
        words += ", but without audited images labelled good the new version decides nothing until it is calibrated";
    }
    Use { images, can, words }
}

/// What so many audited good images can promise.
pub fn calibrating(images: u64, rate: f64) -> Calibrating {
    let needed = conformal::needed(rate) as u64;
    let missing = needed.saturating_sub(images);
    let promises = (images > 0).then(|| conformal::lowest_rate(images as usize));
    let percent = |share: f64| format!("{} %", (share * 1e4).ceil() / 100.0);
    let words = match (missing, promises) {
        (0, _) => format!("{images} audited good images can promise {}", percent(rate)),
        (_, None) => format!("{needed} audited images labelled good are needed to promise {}", percent(rate)),
        (_, Some(best)) => format!(
            "{missing} more audited images labelled good are needed to promise {}; these {images} can promise {} at best",
            percent(rate),
            percent(best)
        ),
    };
    Calibrating { images, rate, needed, missing, can: missing == 0, promises, words }
}

#[cfg(test)]
mod tests;
