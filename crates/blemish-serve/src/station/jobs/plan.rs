//! From what is posted to command lines of the program.

use super::Makes;
use super::laid::{lay, list, make, take_checkpoint, tested};
use super::request::{Calibrate, Request, Update, With, words};
use crate::fault::Fault;
use crate::station::Station;
use crate::station::feedback;
use crate::station::versions::MadeBy;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
    /// Lays out what the job needs in its folder, and says what to run. Blocks the thread.
    ///
    /// # Errors
    /// As [`Self::check`]; `conflict` if there are no images for it; `io` if the folder cannot be written.
    pub fn plan(&self, station: &Station, folder: &Path) -> Result<Plan, Fault> {
        self.check(station)?;
        make(folder)?;
        let made = folder.join("model.blemish");
        let model = self.model();
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
            Self::Update(update) => plan_update(station, folder, made, model, update),
            Self::Calibrate(calibrate) => plan_calibrate(station, folder, made, model, calibrate),
            Self::Eval(eval) => {
                let (_, file) = station.version_file(model, eval.version.as_deref())?;
                let data = match &eval.set {
                    Some(set) => tested(station, set, folder)?,
                    None => {
                        let pictures =
                            station.store.read(|connection| feedback::labelled(connection, model))?;
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

fn plan_update(
    station: &Station,
    folder: &Path,
    made: PathBuf,
    model: &str,
    update: &Update,
) -> Result<Plan, Fault> {
    let (key, file) = station.version_file(model, update.version.as_deref())?;
    let ancestry = station.ancestry(model, &key);
    let (learn, audited) = station.store.read(|connection| {
        Ok((feedback::to_learn(connection, model, &ancestry)?, feedback::to_calibrate(connection, model)?))
    })?;
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
        let rate = station.versions.record(model, &key)?.rate;
        let good = folder.join("good");
        lay(station, &good, audited)?;
        let rest = rate.map(|rate| words([&format!("--false-alarm={rate}")])).unwrap_or_default();
        steps.push(Step {
            name: "calibrating",
            arguments: calibrating(&made, ("--with-good", &good), &made, rest),
            output: None,
        });
    }
    let makes = Makes { file: made, by: MadeBy::Update, parent: Some(key), learnt };
    Ok(Plan { steps, makes: Some(makes) })
}

fn plan_calibrate(
    station: &Station,
    folder: &Path,
    made: PathBuf,
    model: &str,
    calibrate: &Calibrate,
) -> Result<Plan, Fault> {
    let (key, file) = station.version_file(model, calibrate.version.as_deref())?;
    let pictures = station.store.read(|connection| match calibrate.with {
        With::Audit => feedback::to_calibrate(connection, model),
        With::Labelled => feedback::labelled(connection, model),
    })?;
    let arguments = match calibrate.with {
        With::Audit => {
            if pictures.is_empty() {
                return Err(Fault::new(
                    "conflict",
                    "no audited image is labelled good yet; answer the audit first",
                ));
            }
            let good = folder.join("good");
            lay(station, &good, pictures)?;
            calibrating(&file, ("--with-good", &good), &made, calibrate.rest()?)
        }
        With::Labelled => {
            let list = list(station, folder, pictures)?;
            calibrating(&file, ("--labelled", &list), &made, calibrate.rest()?)
        }
    };
    let makes = Makes { file: made, by: MadeBy::Calibrate, parent: Some(key), learnt: Vec::new() };
    Ok(Plan { steps: vec![Step { name: "calibrating", arguments, output: None }], makes: Some(makes) })
}

/// A calibration with images that a flag names; they were drawn one by one, so that each counts for itself.
fn calibrating(
    model: &Path,
    (flag, images): (&str, &Path),
    output: &Path,
    rest: Vec<OsString>,
) -> Vec<OsString> {
    let mut arguments = words(["calibrate"]);
    arguments.push(model.into());
    arguments.extend(rest);
    arguments.extend(words(["--groups", "none", "--skip-bad", "--json", "-o"]));
    arguments.push(output.into());
    arguments.push(flag.into());
    arguments.push(images.into());
    arguments
}

fn one(name: &'static str, arguments: Vec<OsString>, output: Option<PathBuf>, makes: Option<Makes>) -> Plan {
    Plan { steps: vec![Step { name, arguments, output }], makes }
}

fn makes(file: PathBuf, by: MadeBy) -> Makes {
    Makes { file, by, parent: None, learnt: Vec::new() }
}
