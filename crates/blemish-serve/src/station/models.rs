//! Versions on the line: making one live, putting one in shadow, the way back, thresholds.

mod threshold;

use super::Station;
use super::jobs::blocking;
use super::store::LogLine;
use super::versions::{self, Record, Verification};
use crate::answer::Answered;
use crate::fault::Fault;
use crate::models::{Served, State};
use crate::options::ModelOption;
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use utoipa::ToSchema;

/// A version as routes give it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Version {
    #[serde(flatten)]
    record: Record,
    /// Whether it answers.
    is_live: bool,
    /// Whether it scores after the one that answers.
    is_shadow: bool,
}

/// A model as routes give it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub is_ready: bool,
    /// The key of the version that answers.
    pub live: Option<String>,
    /// The key of the version that scores after it.
    pub shadow: Option<String>,
    /// Whether another was live before.
    pub can_roll_back: bool,
    /// Newest first.
    pub versions: Vec<Version>,
}

impl Station {
    /// Serves the models of the folder, and puts into shadow what was there.
    pub(super) async fn bring_up_models(self: &Arc<Self>) {
        let Ok(server) = self.server() else { return };
        for (name, path) in self.versions.served() {
            if server.models.get(&name).is_none()
                && let Err(fault) = server.models.add(ModelOption { name: name.clone(), path }).await
            {
                tracing::error!(model = name, "{fault}");
                self.say("reload_failed", &name, &fault, json!({"code": fault.code}));
            }
        }
        for served in server.models.all() {
            let (station, model) = (self.clone(), served.clone());
            if let Err(fault) = blocking(move || station.versions.key_of(&model)).await {
                tracing::warn!("{fault}");
            }
            let live = self.versions.live(served.name());
            if let Some(key) = live.shadow {
                let begun = match self.versions.path(served.name(), &key) {
                    Ok(path) => served.set_shadow(Some(path)).await,
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = begun {
                    tracing::warn!(model = served.name(), "the version in shadow cannot be loaded: {fault}");
                }
            }
        }
    }

    /// The version's name in the history, and how many of how many calibrating images score like it or worse.
    pub(super) fn version_and_rank(&self, answered: &Answered) -> (String, Option<(u64, u64)>) {
        let verdict = &answered.verdict;
        let served = self.server().ok().and_then(|server| server.models.get(&verdict.model));
        let version = match (&served, answered.is_shadow) {
            (Some(served), true) => served.shadow(),
            (Some(served), false) => Some(served.current()),
            (None, _) => None,
        };
        let rank = version.filter(|version| version.version == verdict.version).and_then(|version| {
            let scores = &version.detector.calibration()?.image_scores;
            let below = scores.partition_point(|&score| score < verdict.score);
            Some(((scores.len() - below) as u64, scores.len() as u64))
        });
        // Two calibrations of one content share the digits; in shadow it matters which.
        let name = match answered.is_shadow {
            true => self.versions.shadow_of(&verdict.model).filter(|key| key.starts_with(&verdict.version)),
            false => None,
        };
        (name.unwrap_or_else(|| verdict.version.clone()), rank)
    }

    /// The key and the file of a version; of the live one if none is named.
    ///
    /// # Errors
    /// `no_such_version`, `no_such_model`.
    pub fn version_file(&self, model: &str, key: Option<&str>) -> Result<(String, PathBuf), Fault> {
        let key = match key {
            Some(key) => key.to_owned(),
            None => match self.server()?.models.get(model) {
                Some(served) => self.versions.key_of(&served)?,
                None => self.versions.live(model).live.ok_or_else(|| no_model(model))?,
            },
        };
        let path = self.versions.path(model, &key)?;
        Ok((key, path))
    }

    /// A version and those that it was made of.
    pub fn ancestry(&self, model: &str, key: &str) -> Vec<String> {
        let mut all = vec![key.to_owned()];
        let mut next = Some(key.to_owned());
        while let Some(key) = next {
            next = self
                .versions
                .record(model, &key)
                .ok()
                .and_then(|record| record.parent)
                .filter(|key| !all.contains(key));
            all.extend(next.clone());
        }
        all
    }

    /// The names of all models, served or not.
    pub fn model_names(&self) -> Result<Vec<String>, Fault> {
        let mut names = self.versions.names();
        names.extend(self.server()?.models.all().iter().map(|served| served.name().to_owned()));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// A model with its versions. Blocks the thread.
    ///
    /// # Errors
    /// `no_such_model`, `io`.
    pub fn model(&self, name: &str) -> Result<Model, Fault> {
        let served = self.server()?.models.get(name);
        if let Some(served) = &served {
            self.versions.key_of(served)?;
        }
        let live = self.versions.live(name);
        let all = self.versions.list(name);
        if served.is_none() && all.is_empty() {
            return Err(no_model(name));
        }
        let live_key = served.is_some().then(|| live.live.clone()).flatten();
        let versions = all.into_iter().map(|record| Version {
            is_live: live_key.as_deref() == Some(&record.key),
            is_shadow: live.shadow.as_deref() == Some(&record.key),
            record,
        });
        Ok(Model {
            name: name.to_owned(),
            is_ready: served.is_some_and(|served| served.state() == State::Ready),
            versions: versions.collect(),
            can_roll_back: live.before.iter().any(|key| self.versions.path(name, key).is_ok()),
            live: live_key,
            shadow: live.shadow,
        })
    }

    /// Tells how a model is, whoever asked and whoever follows.
    ///
    /// # Errors
    /// As [`Self::model`]; nobody is told then.
    pub async fn say_model(self: &Arc<Self>, name: &str) -> Result<Model, Fault> {
        let (station, asked) = (self.clone(), name.to_owned());
        let model = blocking(move || station.model(&asked)).await?;
        self.say("model", name, format!("model {name}"), serde_json::to_value(&model).unwrap_or_default());
        Ok(model)
    }

    /// Lets a version answer from now on.
    ///
    /// # Errors
    /// `no_such_version`; what keeps the server from taking it, and then the one before goes on.
    pub async fn make_live(
        self: &Arc<Self>,
        model: &str,
        key: &str,
        author: &str,
        reason: &str,
    ) -> Result<Model, Fault> {
        {
            let _changing = self.versions.changing.lock().await;
            let server = self.server()?;
            let from = self.versions.path(model, key)?;
            let served = server.models.get(model);
            if let Some(served) = &served {
                // What was live is kept before it is replaced.
                let (station, served) = (self.clone(), served.clone());
                blocking(move || station.versions.key_of(&served)).await?;
            }
            let to = served
                .as_ref()
                .map_or_else(|| self.versions.own_path(model), |served| served.path().to_owned());
            self.put_on_line(model, served, from, to).await?;
            let (station, name, key) = (self.clone(), model.to_owned(), key.to_owned());
            blocking(move || station.note_live(&name, &key)).await?;
            if let Some(served) = server.models.get(model)
                && self.versions.live(model).shadow.is_none()
            {
                served.set_shadow(None).await?;
            }
        }
        let text = match reason.is_empty() {
            true => format!("{model}: version {key} is live"),
            false => format!("{model}: version {key} is live: {reason}"),
        };
        self.log("live", author, text).await?;
        self.say_model(model).await
    }

    fn note_live(&self, model: &str, key: &str) -> Result<(), Fault> {
        self.versions.change_live(model, |live| live.becomes(key))?;
        match self.server()?.models.get(model) {
            Some(served) => {
                self.versions.forget(model);
                self.versions.key_of(&served).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Replaces the file that is served and lets the server read it; if it does not take it, the one before comes back.
    async fn put_on_line(
        self: &Arc<Self>,
        model: &str,
        served: Option<Arc<Served>>,
        from: PathBuf,
        to: PathBuf,
    ) -> Result<(), Fault> {
        let (station, published) = (self.clone(), to.clone());
        let before = blocking(move || station.versions.publish(&from, &published)).await?;
        let taken = match served {
            Some(served) => served.reload().await.map(drop),
            None => {
                let option = ModelOption { name: model.to_owned(), path: to.clone() };
                self.server()?.models.add(option).await.map(drop)
            }
        };
        if let Err(fault) = taken {
            let restored = blocking(move || {
                let outcome = match before {
                    Some(bytes) => blemish::data::files::write(&to, &bytes),
                    None => std::fs::remove_file(&to),
                };
                outcome.map_err(|error| Fault::new("io", format!("cannot write `{}`: {error}", to.display())))
            });
            if let Err(second) = restored.await {
                tracing::error!("{second}");
            }
            return Err(fault);
        }
        Ok(())
    }

    /// Puts a version into shadow, or ends the shadow.
    ///
    /// # Errors
    /// `no_such_version`, `no_such_model`, `conflict` for the live one; what keeps the server from loading it.
    pub async fn set_shadow(
        self: &Arc<Self>,
        model: &str,
        key: Option<&str>,
        author: &str,
    ) -> Result<Model, Fault> {
        {
            let _changing = self.versions.changing.lock().await;
            let served = self.server()?.models.find(model)?;
            let (station, asked) = (self.clone(), served.clone());
            let live = blocking(move || station.versions.key_of(&asked)).await?;
            if key == Some(live.as_str()) {
                return Err(Fault::new(
                    "conflict",
                    format!("version {live} is live already; put another one into shadow"),
                ));
            }
            let path = key.map(|key| self.versions.path(model, key)).transpose()?;
            served.set_shadow(path).await?;
            let (station, name, key) = (self.clone(), model.to_owned(), key.map(str::to_owned));
            blocking(move || station.versions.change_live(&name, |live| live.shadow = key)).await?;
        }
        let text = match key {
            Some(key) => format!("{model}: version {key} is in shadow"),
            None => format!("{model}: no version is in shadow"),
        };
        self.log("shadow", author, text).await?;
        self.say_model(model).await
    }

    /// Lets the version answer that was live before.
    ///
    /// # Errors
    /// `conflict` if there was none; as [`Self::make_live`].
    pub async fn roll_back(self: &Arc<Self>, model: &str, author: &str) -> Result<Model, Fault> {
        let mut live = self.versions.live(model);
        let key = loop {
            match live.before.pop() {
                None => {
                    return Err(Fault::new("conflict", "no other version was live before; make one live"));
                }
                Some(key) if self.versions.path(model, &key).is_ok() => break key,
                Some(_) => {}
            }
        };
        let before = live.before;
        self.make_live(model, &key, author, "rolled back").await?;
        // The one that was left is not gone back to by the next press.
        let (station, name) = (self.clone(), model.to_owned());
        blocking(move || {
            station.versions.change_live(&name, |live| live.before = before)?;
            station.model(&name)
        })
        .await
    }

    /// Proves that a version scores as where it was fitted.
    ///
    /// # Errors
    /// `no_such_version`; as [`blemish::Detector::verify`].
    pub async fn verify(
        self: &Arc<Self>,
        model: &str,
        key: &str,
        author: &str,
    ) -> Result<blemish::verify::Verified, Fault> {
        let path = self.versions.path(model, key)?;
        let (station, name, asked) = (self.clone(), model.to_owned(), key.to_owned());
        let verified = blocking(move || {
            let verified =
                versions::load(&path)?.verify(&Default::default()).map_err(|error| Fault::from(&error))?;
            let mut record = station.versions.record(&name, &asked)?;
            record.verified = Some(Verification { passed: verified.passed, time: super::clock::now() });
            station.versions.note_down(&name, &record)?;
            Ok(verified)
        })
        .await?;
        let outcome = if verified.passed { "holds" } else { "does not hold" };
        self.log("verify", author, format!("{model}: the verification of version {key} {outcome}")).await?;
        // What was found is found, whether or not somebody can be told.
        let _ = self.say_model(model).await;
        Ok(verified)
    }

    /// Deletes a version that is neither live nor in shadow.
    ///
    /// # Errors
    /// `conflict`, `no_such_version`, `io`.
    pub async fn delete_version(
        self: &Arc<Self>,
        model: &str,
        key: &str,
        author: &str,
    ) -> Result<Model, Fault> {
        {
            let _changing = self.versions.changing.lock().await;
            let (station, name, key) = (self.clone(), model.to_owned(), key.to_owned());
            blocking(move || {
                if let Some(served) = station.server()?.models.get(&name) {
                    // What is live is what the server has loaded, whatever the file says.
                    station.versions.key_of(&served)?;
                }
                station.versions.delete(&name, &key)
            })
            .await?;
        }
        self.log("delete", author, format!("{model}: version {key} was deleted")).await?;
        self.say_model(model).await
    }

    /// Notes who changed what.
    ///
    /// # Errors
    /// Of the database.
    pub async fn log(&self, kind: &'static str, author: &str, text: String) -> Result<(), Fault> {
        let author = author.to_owned();
        self.write(move |connection| LogLine::add(connection, kind, &author, &text)).await
    }
}

fn no_model(model: &str) -> Fault {
    let shown: String = model.chars().take(64).collect();
    Fault::new("no_such_model", format!("there is no model `{shown}`; /v1/station/models lists them"))
}
