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
use utoipa::ToSchema;

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = JobRequest)]
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
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[schema(as = JobCommon)]
pub struct Common {
    /// The model's name.
    #[serde(default)]
    pub model: String,
    /// Whether its version becomes live.
    #[serde(default)]
    pub live: bool,
    /// Who; the name of whoever logged in goes before.
    pub author: Option<String>,
    /// The job whose files it goes on with; only the station itself says so.
    #[schema(ignore)]
    pub resume_of: Option<i64>,
}

/// Learns from a set.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[schema(as = FitJob)]
pub struct Fit {
    #[serde(flatten)]
    pub(super) common: Common,
    /// The set of uploads.
    pub(super) set: String,
    /// The method; the program's own choice without one.
    pub(super) method: Option<String>,
    /// Its settings by name.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) settings: BTreeMap<String, Value>,
    /// `auto`, one number, or WxH.
    pub(super) size: Option<String>,
    /// The false-alarm rate to promise.
    pub(super) false_alarm: Option<f64>,
    /// Whether it can learn on.
    #[serde(default)]
    pub(super) updatable: bool,
    /// Whether to be quick rather than thorough.
    #[serde(default)]
    pub(super) fast: bool,
    /// Such as `20m`.
    pub(super) time_limit: Option<String>,
}

/// Finds a method for a set, and fits it.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[schema(as = PickJob)]
pub struct Pick {
    #[serde(flatten)]
    pub(super) common: Common,
    /// The set of uploads.
    pub(super) set: String,
    /// Milliseconds that a verdict may take.
    pub(super) latency_ms: f64,
}

/// Finds the most suspicious images of a set.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[schema(as = SuspectsJob)]
pub struct Suspects {
    #[serde(flatten)]
    pub(super) common: Common,
    /// The set of uploads.
    pub(super) set: String,
}

/// Learns flagged images that are good.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[schema(as = UpdateJob)]
pub struct Update {
    #[serde(flatten)]
    pub(super) common: Common,
    /// The key of the version; the live one without.
    pub(super) version: Option<String>,
}

/// Sets thresholds by audited or labelled images.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[schema(as = CalibrateJob)]
pub struct Calibrate {
    #[serde(flatten)]
    pub(super) common: Common,
    /// The key of the version; the live one without.
    pub(super) version: Option<String>,
    /// By what.
    pub(super) with: With,
    /// With the audit: the rate to promise.
    pub(super) false_alarm: Option<f64>,
    /// With labelled images: `f1`, `recall` or `cost`.
    pub(super) by: Option<String>,
}

/// What calibrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CalibrateWith)]
pub enum With {
    /// Audited images labelled good.
    Audit,
    /// All labelled images.
    Labelled,
}

/// Measures a version on labelled images.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[schema(as = EvalJob)]
pub struct Eval {
    #[serde(flatten)]
    pub(super) common: Common,
    /// The key of the version; the live one without.
    pub(super) version: Option<String>,
    /// An uploaded set with labels; the labelled images of the history without.
    pub(super) set: Option<String>,
}

impl Request {
    /// Reads what was posted.
    ///
    /// # Errors
    /// `request`.
    pub fn read(value: &Value) -> Result<Self, Fault> {
        serde_json::from_value(value.clone())
            .map_err(|error| Fault::request(format!("this is no job: {error}; see /openapi.json")))
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
