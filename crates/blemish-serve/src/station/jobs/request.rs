//! What is posted as a job, and what of it becomes arguments of the program.
//!
//! Nothing from a request is a path: sets and versions are looked up by their names, and everything else is an argument of its own, so that no
//! text can become an option.

use crate::fault::Fault;
use crate::options::check_name;
use crate::station::Station;
use crate::station::threshold::checked_rate;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// Learns from a set.
    Fit(Fit),
    /// Finds a method for a set, and fits it.
    Pick(Pick),
    /// Finds the most suspicious images of a set.
    Suspects(Suspects),
    /// Learns flagged images that are good.
    Update(Update),
    /// Sets thresholds by audited or labelled images.
    Calibrate(Calibrate),
    /// Measures a version on labelled images.
    Eval(Eval),
}

/// What every job has.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Common {
    /// The model's name.
    #[serde(default)]
    pub model: String,
    /// Whether its version becomes live.
    #[serde(default)]
    pub live: bool,
    /// The job whose files it goes on with.
    pub resume_of: Option<i64>,
}

/// See [`Request::Fit`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Fit {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) set: String,
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) settings: BTreeMap<String, Value>,
    pub(super) size: Option<String>,
    pub(super) false_alarm: Option<f64>,
    #[serde(default)]
    pub(super) updatable: bool,
    #[serde(default)]
    pub(super) fast: bool,
    pub(super) time_limit: Option<String>,
}

/// See [`Request::Pick`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Pick {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) set: String,
    pub(super) latency_ms: f64,
}

/// See [`Request::Suspects`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Suspects {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) set: String,
}

/// See [`Request::Update`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Update {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) version: Option<String>,
}

/// See [`Request::Calibrate`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Calibrate {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) version: Option<String>,
    pub(super) with: With,
    pub(super) false_alarm: Option<f64>,
    pub(super) by: Option<String>,
}

/// What calibrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum With {
    /// Audited images labelled good.
    Audit,
    /// All labelled images.
    Labelled,
}

/// See [`Request::Eval`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Eval {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) version: Option<String>,
    pub(super) set: Option<String>,
}

impl Request {
    /// Reads what was posted.
    ///
    /// # Errors
    /// `request`.
    pub fn read(value: &Value) -> Result<Self, Fault> {
        serde_json::from_value(value.clone())
            .map_err(|error| Fault::request(format!("this is no job: {error}; see the list of routes")))
    }

    /// The kind in its JSON.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Fit(_) => "fit",
            Self::Pick(_) => "pick",
            Self::Suspects(_) => "suspects",
            Self::Update(_) => "update",
            Self::Calibrate(_) => "calibrate",
            Self::Eval(_) => "eval",
        }
    }

    fn common(&self) -> &Common {
        match self {
            Self::Fit(Fit { common, .. })
            | Self::Pick(Pick { common, .. })
            | Self::Suspects(Suspects { common, .. })
            | Self::Update(Update { common, .. })
            | Self::Calibrate(Calibrate { common, .. })
            | Self::Eval(Eval { common, .. }) => common,
        }
    }

    /// The model's name; empty for a job that has none.
    pub fn model(&self) -> &str {
        &self.common().model
    }

    /// Whether the version that it makes becomes live.
    pub fn goes_live(&self) -> bool {
        self.common().live
    }

    /// Whether labels of the line make its version, which runs in shadow first.
    pub fn comes_of_labels(&self) -> bool {
        matches!(self, Self::Update(_) | Self::Calibrate(_))
    }

    /// Whether what it names is there.
    ///
    /// # Errors
    /// `request`, `not_found`, `no_such_version`.
    pub fn check(&self, station: &Station) -> Result<(), Fault> {
        if !matches!(self, Self::Suspects(_)) {
            check_name(self.model()).map_err(|fault| Fault { code: "request", ..fault })?;
        }
        match self {
            Self::Fit(fit) => {
                station.uploads.images(&fit.set)?;
                fit.rest().map(drop)
            }
            Self::Pick(pick) => {
                station.uploads.images(&pick.set)?;
                let is_time = pick.latency_ms.is_finite() && pick.latency_ms > 0.0;
                if is_time { Ok(()) } else { Err(Fault::request("latency_ms is no time; 50 is usual")) }
            }
            Self::Suspects(suspects) => station.uploads.images(&suspects.set).map(drop),
            Self::Update(update) => station.version_file(self.model(), update.version.as_deref()).map(drop),
            Self::Calibrate(calibrate) => {
                station.version_file(self.model(), calibrate.version.as_deref())?;
                calibrate.rest().map(drop)
            }
            Self::Eval(eval) => {
                if let Some(set) = &eval.set {
                    station.uploads.images(set)?;
                }
                station.version_file(self.model(), eval.version.as_deref()).map(drop)
            }
        }
    }
}

impl Fit {
    /// What it says of method and settings, as arguments.
    pub(super) fn rest(&self) -> Result<Vec<OsString>, Fault> {
        let mut arguments = Vec::new();
        let mut option =
            |name: &str, value: &str| arguments.push(OsString::from(format!("--{name}={value}")));
        if let Some(method) = &self.method {
            blemish::registry::method(method).map_err(Fault::request)?;
            option("method", method);
        }
        for (key, value) in &self.settings {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            option("set", &format!("{key}={value}"));
        }
        if let Some(size) = &self.size {
            let is_size =
                !size.is_empty() && size.len() < 20 && size.chars().all(|one| one.is_ascii_alphanumeric());
            if !is_size {
                return Err(Fault::request("size is auto, one number, or WxH"));
            }
            option("size", size);
        }
        if let Some(rate) = self.false_alarm {
            option("false-alarm", &checked_rate(rate)?.to_string());
        }
        if let Some(limit) = &self.time_limit {
            option("time-limit", limit);
        }
        if self.updatable {
            arguments.push("--updatable".into());
        }
        if self.fast {
            arguments.push("--fast".into());
        }
        Ok(arguments)
    }
}

impl Calibrate {
    /// What it says of rates, as arguments.
    pub(super) fn rest(&self) -> Result<Vec<OsString>, Fault> {
        match (self.with, self.false_alarm, self.by.as_deref()) {
            (With::Audit, rate, None) => match rate {
                Some(rate) => Ok(words([&format!("--false-alarm={}", checked_rate(rate)?)])),
                None => Ok(Vec::new()),
            },
            (With::Labelled, None, by) => match by.unwrap_or("f1") {
                by @ ("f1" | "recall" | "cost") => Ok(words(["--by", by])),
                _ => Err(Fault::request("by is f1, recall or cost")),
            },
            _ => Err(Fault::request(
                "false_alarm belongs to the audit, by to labelled images; leave the other out",
            )),
        }
    }
}

/// Words as arguments.
pub(super) fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
