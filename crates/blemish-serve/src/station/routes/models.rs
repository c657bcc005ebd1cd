//! Models, versions and thresholds.

use super::{Caller, Json, Query, answer, attachment};
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::store::thresholds;
use crate::station::threshold::{Wanted, not_calibrated, positions, rates};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use blemish::registry;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::io::ReaderStream;

/// Scores of the line that thresholds are shown against, unless it is asked otherwise, and at most.
const LAST: (usize, usize) = (500, 10_000);

/// Changes of a threshold that are listed.
const CHANGES: usize = 50;

fn last(asked: Option<usize>) -> usize {
    asked.unwrap_or(LAST.0).min(LAST.1)
}

/// All models.
pub async fn list(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let models = blocking(move || {
        station.model_names()?.iter().map(|name| station.model(name)).collect::<Result<Vec<_>, Fault>>()
    })
    .await?;
    Ok(answer(json!({"models": models})))
}

/// What changes of versions take.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Change {
    version: Option<String>,
    author: Option<String>,
    reason: Option<String>,
}

impl Change {
    fn version(&self) -> Result<&str, Fault> {
        self.version.as_deref().ok_or_else(|| Fault::request("no version is named; give {\"version\": KEY}"))
    }
}

/// Lets a version answer.
pub async fn live(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Json(change): Json<Change>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, change.author.as_deref())?;
    let reason = change.reason.clone().unwrap_or_default();
    Ok(answer(station.make_live(&model, change.version()?, &author, &reason).await?))
}

/// Puts a version into shadow, or ends the shadow.
pub async fn shadow(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Json(change): Json<Change>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, change.author.as_deref())?;
    Ok(answer(station.set_shadow(&model, change.version.as_deref(), &author).await?))
}

/// Lets the version answer that was live before.
pub async fn roll_back(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Json(change): Json<Change>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, change.author.as_deref())?;
    Ok(answer(station.roll_back(&model, &author).await?))
}

/// Proves that a version scores as where it was fitted.
pub async fn verify(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Json(change): Json<Change>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, change.author.as_deref())?;
    Ok(answer(station.verify(&model, change.version()?, &author).await?))
}

/// Deletes a version.
pub async fn delete(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path((model, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, None)?;
    Ok(answer(station.delete_version(&model, &key, &author).await?))
}

/// The file of a version.
pub async fn download(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path((model, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let path = station.versions.path(&model, &key)?;
    let file = tokio::fs::File::open(&path)
        .await
        .map_err(|error| Fault::new("io", format!("cannot read version {key}: {error}")))?;
    let name = format!("{model}-{key}.blemish");
    Ok(attachment(Body::from_stream(ReaderStream::new(file)), "application/octet-stream", &name))
}

/// What the threshold routes take in their query.
#[derive(Default, Deserialize)]
pub struct Asked {
    last: Option<usize>,
    #[serde(default)]
    dry_run: bool,
}

/// Everything that the threshold's page needs.
pub async fn threshold(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let served = station.server()?.models.find(&model)?;
    let live = station.live_scores(&served, last(asked.last)).await?;
    let (name, known) = (model.clone(), served.clone());
    let (key, history, undoable) = blocking(move || {
        let key = station.versions.key_of(&known)?;
        let (history, undoable) = station.store.read(|connection| {
            Ok((
                thresholds::changes(connection, &name, CHANGES)?,
                thresholds::undoable(connection, &name, &key)?,
            ))
        })?;
        Ok((key, history, undoable))
    })
    .await?;
    let current = served.current();
    let calibration = current.detector.calibration().ok_or_else(not_calibrated)?;
    let (rate, asked) = rates(calibration);
    let told = json!({
        "model": model,
        "version": current.version,
        "key": key,
        "threshold": calibration.image_threshold,
        "rate": rate,
        "asked": asked,
        "lowest_rate": calibration.lowest_rate(),
        "promise": calibration.promise(),
        "origin": calibration.origin(),
        "calibration": calibration.image_scores,
        "groups": calibration.groups(),
        "positions": positions(calibration),
        "live": live,
        "history": history,
        "can_undo": undoable.is_some(),
    });
    Ok(answer(told))
}

/// What [`set_threshold`] takes.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Setting {
    #[serde(flatten)]
    wanted: Wanted,
    author: Option<String>,
    reason: Option<String>,
    last: Option<usize>,
}

/// Sets another threshold, or says what it would do.
pub async fn set_threshold(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Query(asked): Query<Asked>,
    Json(setting): Json<Setting>,
) -> Result<Response, Fault> {
    let last = last(setting.last.or(asked.last));
    if asked.dry_run {
        caller.need(Right::Read)?;
        return Ok(answer(station.try_threshold(&model, setting.wanted, last).await?));
    }
    let author = caller.signs(Right::Admin, setting.author.as_deref())?;
    let reason: String = setting.reason.unwrap_or_default().chars().take(500).collect();
    let outcome = station.set_threshold(&model, setting.wanted, &author, &reason, last).await?;
    Ok(answer(outcome))
}

/// Brings the threshold before back.
pub async fn undo_threshold(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Json(setting): Json<Setting>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, setting.author.as_deref())?;
    Ok(answer(station.undo_threshold(&model, &author, last(setting.last)).await?))
}

/// The methods that a new model can be fitted with.
pub async fn methods(State(_): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let methods: Vec<Value> = registry::methods()
        .iter()
        .map(|entry| {
            let info = entry.info();
            let trains_long = entry.parse(&[]).and_then(|settings| entry.needs(&settings)).is_ok_and(|needs| needs.trains_long());
            json!({"name": info.name, "summary": info.summary, "trains_long": trains_long, "can_update": entry.updates().is_some()})
        })
        .collect();
    Ok(answer(json!({"methods": methods})))
}
