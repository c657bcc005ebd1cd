//! From what is posted to command lines of the program.
//!
//! Nothing from a request is a path: sets and versions are looked up by their names, and everything else is an argument of its own, so that no
//! text can become an option.

use super::Makes;
use crate::fault::Fault;
use crate::options::check_name;
use crate::station::Station;
use crate::station::feedback::{self, Picture};
use crate::station::versions::MadeBy;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
    common: Common,
    set: String,
    method: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    size: Option<String>,
    false_alarm: Option<f64>,
    #[serde(default)]
    updatable: bool,
    #[serde(default)]
    fast: bool,
    time_limit: Option<String>,
}

/// See [`Request::Pick`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Pick {
    #[serde(flatten)]
    common: Common,
    set: String,
    latency_ms: f64,
}

/// See [`Request::Suspects`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Suspects {
    #[serde(flatten)]
    common: Common,
    set: String,
}

/// See [`Request::Update`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Update {
    #[serde(flatten)]
    common: Common,
    version: Option<String>,
}

/// See [`Request::Calibrate`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Calibrate {
    #[serde(flatten)]
    common: Common,
    version: Option<String>,
    with: With,
    false_alarm: Option<f64>,
    by: Option<String>,
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
    common: Common,
    version: Option<String>,
    set: Option<String>,
}

/// One run of the program.
pub struct Step {
    /// What it is for; the key of its result, unless it is the first.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The file that its result is in; standard output if none is named.
    pub output: Option<PathBuf>,
}

/// All that a job runs, and what it makes.
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// The version, if it makes one.
    pub(super) makes: Option<Makes>,
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

    /// Lays out what the job needs in its folder, and says what to run.
    ///
    /// # Errors
    /// As [`Self::check`]; `conflict` if there are no images for it; `io` if the folder cannot be written.
    pub async fn plan(&self, station: &std::sync::Arc<Station>, folder: &Path) -> Result<Plan, Fault> {
        self.check(station)?;
        make(folder)?;
        let made = folder.join("model.blemish");
        let model = self.model().to_owned();
        match self {
            Self::Fit(fit) => {
                let mut arguments = words(["fit"]);
                arguments.push(station.uploads.images(&fit.set)?.into());
                arguments.extend(fit.rest()?);
                arguments.extend(words(["--skip-bad", "--json", "-o"]));
                arguments.push(made.clone().into());
                if let Some(before) = fit.common.resume_of {
                    let before = station.jobs.root.join(before.to_string());
                    if take_checkpoint(&before, folder) {
                        arguments.push("--resume".into());
                    }
                }
                Ok(one("fitting", arguments, None, Some(makes(made, MadeBy::Fit))))
            }
            Self::Pick(pick) => {
                let mut arguments = words(["pick"]);
                arguments.push(station.uploads.images(&pick.set)?.into());
                arguments.extend(words([
                    "--latency",
                    &pick.latency_ms.to_string(),
                    "--skip-bad",
                    "--json",
                    "-o",
                ]));
                arguments.push(made.clone().into());
                Ok(one("picking", arguments, None, Some(makes(made, MadeBy::Pick))))
            }
            Self::Suspects(suspects) => {
                let mut arguments = words(["data", "suspects"]);
                arguments.push(station.uploads.images(&suspects.set)?.into());
                arguments.extend(words(["--skip-bad", "--json"]));
                Ok(one("suspects", arguments, None, None))
            }
            Self::Update(update) => plan_update(station, folder, made, model, update).await,
            Self::Calibrate(calibrate) => plan_calibrate(station, folder, made, model, calibrate).await,
            Self::Eval(eval) => {
                let (_, file) = station.version_file(&model, eval.version.as_deref())?;
                let data = match &eval.set {
                    Some(set) => station.uploads.images(set)?,
                    None => {
                        let pictures =
                            station.read(move |connection| feedback::labelled(connection, &model)).await?;
                        list(station, folder, pictures)?
                    }
                };
                let metrics = folder.join("metrics.json");
                let mut arguments = words(["eval"]);
                arguments.extend([file.into(), data.into()]);
                arguments.extend(words(["--skip-bad", "--progress", "json", "--json"]));
                arguments.push(metrics.clone().into());
                Ok(one("evaluating", arguments, Some(metrics), None))
            }
        }
    }
}

impl Fit {
    /// What it says of method and settings, as arguments.
    fn rest(&self) -> Result<Vec<OsString>, Fault> {
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
            option("false-alarm", &checked(rate)?.to_string());
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
    fn rest(&self) -> Result<Vec<OsString>, Fault> {
        match (self.with, self.false_alarm, self.by.as_deref()) {
            (With::Audit, rate, None) => match rate {
                Some(rate) => Ok(words([&format!("--false-alarm={}", checked(rate)?)])),
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

fn checked(rate: f64) -> Result<f64, Fault> {
    match rate > 0.0 && rate < 1.0 {
        true => Ok(rate),
        false => {
            Err(Fault::request(format!("a false-alarm rate of {rate} is not between 0 and 1; 0.01 is usual")))
        }
    }
}

async fn plan_update(
    station: &std::sync::Arc<Station>,
    folder: &Path,
    made: PathBuf,
    model: String,
    update: &Update,
) -> Result<Plan, Fault> {
    let (key, file) = station.version_file(&model, update.version.as_deref())?;
    let ancestry = station.ancestry(&model, &key);
    let name = model.clone();
    let (learn, audited) = station
        .read(move |connection| {
            Ok((
                feedback::to_learn(connection, &name, &ancestry)?,
                feedback::to_calibrate(connection, &name)?,
            ))
        })
        .await?;
    if learn.is_empty() {
        return Err(Fault::new(
            "conflict",
            "there is nothing new to learn: no flagged image is labelled good; label some first",
        ));
    }
    let new = folder.join("new");
    let learnt = learn.iter().map(|picture| picture.id.clone()).collect();
    lay(station, &new, learn)?;
    let mut arguments = words(["update"]);
    arguments.extend([file.into(), new.into()]);
    arguments.extend(words(["--skip-bad", "--json", "-o"]));
    arguments.push(made.clone().into());
    let mut steps = vec![Step { name: "updating", arguments, output: None }];
    if !audited.is_empty() {
        // The scores that calibrated it were of the model before; these images it has never learnt.
        let rate = station.versions.record(&model, &key)?.rate;
        let good = folder.join("good");
        lay(station, &good, audited)?;
        let rest = rate.map(|rate| words([&format!("--false-alarm={rate}")])).unwrap_or_default();
        steps.push(Step {
            name: "calibrating",
            arguments: with_good(&made, &good, &made, rest),
            output: None,
        });
    }
    let makes = Makes { file: made, by: MadeBy::Update, parent: Some(key), learnt };
    Ok(Plan { steps, makes: Some(makes) })
}

async fn plan_calibrate(
    station: &std::sync::Arc<Station>,
    folder: &Path,
    made: PathBuf,
    model: String,
    calibrate: &Calibrate,
) -> Result<Plan, Fault> {
    let (key, file) = station.version_file(&model, calibrate.version.as_deref())?;
    let name = model.clone();
    let with = calibrate.with;
    let pictures = station
        .read(move |connection| match with {
            With::Audit => feedback::to_calibrate(connection, &name),
            With::Labelled => feedback::labelled(connection, &name),
        })
        .await?;
    let arguments = match with {
        With::Audit => {
            if pictures.is_empty() {
                return Err(Fault::new(
                    "conflict",
                    "no audited image is labelled good yet; answer the audit first",
                ));
            }
            let good = folder.join("good");
            lay(station, &good, pictures)?;
            with_good(&file, &good, &made, calibrate.rest()?)
        }
        With::Labelled => {
            let list = list(station, folder, pictures)?;
            let mut arguments = words(["calibrate"]);
            arguments.push(file.into());
            arguments.push("--labelled".into());
            arguments.push(list.into());
            arguments.extend(calibrate.rest()?);
            arguments.extend(words(["--groups", "none", "--skip-bad", "--json", "-o"]));
            arguments.push(made.clone().into());
            arguments
        }
    };
    let makes = Makes { file: made, by: MadeBy::Calibrate, parent: Some(key), learnt: Vec::new() };
    Ok(Plan { steps: vec![Step { name: "calibrating", arguments, output: None }], makes: Some(makes) })
}

/// Audited images are drawn one by one, so that each counts for itself.
fn with_good(model: &Path, good: &Path, output: &Path, rest: Vec<OsString>) -> Vec<OsString> {
    let mut arguments = words(["calibrate"]);
    arguments.push(model.into());
    arguments.extend(rest);
    arguments.extend(words(["--groups", "none", "--skip-bad", "--json", "-o"]));
    arguments.push(output.into());
    arguments.push("--with-good".into());
    arguments.push(good.into());
    arguments
}

/// Lays pictures of the history into a folder: second names for them, which cost nothing, where the disk has such.
fn lay(station: &Station, folder: &Path, pictures: Vec<Picture>) -> Result<(), Fault> {
    make(folder)?;
    for picture in pictures {
        let from = station.pictures.root().join(&picture.file);
        let extension =
            from.extension().map_or("bin".into(), |extension| extension.to_string_lossy().into_owned());
        let to = folder.join(format!("{}.{extension}", picture.id));
        if std::fs::hard_link(&from, &to).is_err() {
            // One that retention has taken meanwhile is left out.
            let _ = std::fs::copy(&from, &to);
        }
    }
    Ok(())
}

/// A list of labelled pictures, as the program reads them.
fn list(station: &Station, folder: &Path, pictures: Vec<Picture>) -> Result<PathBuf, Fault> {
    let has = |label: &str| pictures.iter().any(|picture| picture.label == label);
    if !has("good") || !has("defective") {
        return Err(Fault::new(
            "conflict",
            "labelled images of both kinds are needed, good and defective; label some first",
        ));
    }
    let images = folder.join("images");
    let mut text = String::from("path,split,label\n");
    for picture in &pictures {
        let extension = Path::new(&picture.file)
            .extension()
            .map_or("bin".into(), |one| one.to_string_lossy().into_owned());
        if station.pictures.root().join(&picture.file).is_file() {
            text += &format!("images/{}.{extension},test,{}\n", picture.id, picture.label);
        }
    }
    lay(station, &images, pictures)?;
    let list = folder.join("labelled.csv");
    std::fs::write(&list, text).map_err(|error| cannot_write(&list, &error))?;
    Ok(list)
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn one(name: &'static str, arguments: Vec<OsString>, output: Option<PathBuf>, makes: Option<Makes>) -> Plan {
    Plan { steps: vec![Step { name, arguments, output }], makes }
}

fn makes(file: PathBuf, by: MadeBy) -> Makes {
    Makes { file, by, parent: None, learnt: Vec::new() }
}

fn make(folder: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new("io", format!("cannot write `{}`: {error}; make room on the disk", path.display()))
}

/// Whether a job has left something to go on from.
pub fn has_checkpoint(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| is_checkpoint(&entry.file_name()))
}

fn is_checkpoint(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("model.blemish.checkpoint")
}

/// Brings a checkpoint of an earlier job into the folder of a new one; whether there was any.
fn take_checkpoint(before: &Path, folder: &Path) -> bool {
    let entries = std::fs::read_dir(before).into_iter().flatten().flatten();
    let mut has_any = false;
    for entry in entries.filter(|entry| is_checkpoint(&entry.file_name())) {
        has_any |= std::fs::rename(entry.path(), folder.join(entry.file_name())).is_ok();
    }
    has_any
}
