//! What people may change while the station runs; kept in `settings.json`, which goes before the command line.

use super::retention::Limits;
use super::versions::cannot_write;
use crate::fault::Fault;
use crate::options::{ServeOptions, Which};
use blemish::data::files;
use serde::{Deserialize, Serialize};
use std::path::Path;
use utoipa::ToSchema;

/// The smallest limit of bytes that makes sense: room for a few pictures.
const SMALLEST: u64 = 1 << 20;

/// What people may change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Settings {
    /// Which images are recorded: `all`, `flagged`, `none`.
    #[serde(serialize_with = "name")]
    #[schema(value_type = String)]
    pub record: Which,
    /// The share of all images that the audit asks about.
    pub audit: f64,
    /// Bytes of pictures, at most.
    pub history_max: u64,
    /// Days of pictures.
    pub history_days: u32,
}

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[schema(as = SettingsChanges)]
pub struct Changes {
    /// Which images are recorded: `all`, `flagged`, `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The share of all images that the audit asks about, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<f64>,
    /// Bytes of pictures, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_max: Option<u64>,
    /// Days of pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_days: Option<u32>,
    /// Who.
    #[serde(skip_serializing)]
    pub author: Option<String>,
}

fn name<S: serde::Serializer>(which: &Which, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match which {
        Which::All => "all",
        Which::Flagged => "flagged",
        Which::None => "none",
    })
}

impl Settings {
    /// Those of the options, changed by what the file has.
    pub fn read(path: &Path, options: &ServeOptions) -> Self {
        let begun = Self {
            record: options.record,
            audit: options.audit,
            history_max: options.history_max,
            history_days: options.history_days,
        };
        begun.changed(&stored(path)).unwrap_or_else(|fault| {
            tracing::warn!("`{}` is passed over: {fault}", path.display());
            begun
        })
    }

    /// The same with changes.
    ///
    /// # Errors
    /// `request` for a value out of range.
    pub fn changed(mut self, changes: &Changes) -> Result<Self, Fault> {
        if let Some(record) = &changes.record {
            self.record = match record.as_str() {
                "all" => Which::All,
                "flagged" => Which::Flagged,
                "none" => Which::None,
                other => {
                    return Err(Fault::request(format!(
                        "record={other} is unknown; use one of: all, flagged, none"
                    )));
                }
            };
        }
        if let Some(audit) = changes.audit {
            if !(0.0..=1.0).contains(&audit) {
                return Err(Fault::request(format!(
                    "an audit share of {audit} is not between 0 and 1; 0.02 is usual"
                )));
            }
            self.audit = audit;
        }
        if let Some(bytes) = changes.history_max {
            if bytes < SMALLEST {
                return Err(Fault::request(
                    "a history of less than 1 MiB holds no pictures; give more, or record none",
                ));
            }
            self.history_max = bytes;
        }
        if let Some(days) = changes.history_days {
            if days == 0 || days > 36_500 {
                return Err(Fault::request("pictures stay for 1 to 36,500 days; give a number in between"));
            }
            self.history_days = days;
        }
        Ok(self)
    }

    /// Writes what was changed, beside what was changed before.
    ///
    /// # Errors
    /// `io` if the folder cannot be written.
    pub fn store(path: &Path, changes: &Changes) -> Result<(), Fault> {
        let mut all = stored(path);
        let Changes { record, audit, history_max, history_days, .. } = changes.clone();
        all.record = record.or(all.record);
        all.audit = audit.or(all.audit);
        all.history_max = history_max.or(all.history_max);
        all.history_days = history_days.or(all.history_days);
        let text = serde_json::to_vec_pretty(&all).unwrap_or_default();
        files::write(path, &text).map_err(|error| cannot_write(path, &error))
    }

    /// How much is kept.
    pub fn limits(&self) -> Limits {
        Limits { bytes: self.history_max, days: self.history_days }
    }
}

/// What was changed; nothing if the file is missing or no such.
fn stored(path: &Path) -> Changes {
    let text = files::read(path, 1 << 20).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_checked_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        let options = ServeOptions::default();
        let begun = Settings::read(&path, &options);
        assert_eq!((begun.record, begun.audit), (Which::All, 0.02));
        let changes = Changes { record: Some("flagged".into()), audit: Some(0.5), ..Changes::default() };
        Settings::store(&path, &changes).unwrap();
        Settings::store(&path, &Changes { history_days: Some(3), ..Changes::default() }).unwrap();
        let read = Settings::read(&path, &options);
        assert_eq!((read.record, read.audit, read.history_days), (Which::Flagged, 0.5, 3));
        assert_eq!(read.history_max, begun.history_max);
        for wrong in [
            Changes { record: Some("some".into()), ..Changes::default() },
            Changes { audit: Some(1.5), ..Changes::default() },
            Changes { audit: Some(f64::NAN), ..Changes::default() },
            Changes { history_max: Some(5), ..Changes::default() },
            Changes { history_days: Some(0), ..Changes::default() },
        ] {
            assert_eq!(begun.changed(&wrong).unwrap_err().code, "request", "{wrong:?}");
        }
        std::fs::write(&path, "no json").unwrap();
        assert_eq!(Settings::read(&path, &options), begun);
    }
}
