//! Thresholds: where they stand, what another would do, and the way back.

use super::{Caller, Json, Query, Refusals, answer};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::store::history::Scored;
use crate::station::store::thresholds::{self, Change};
use crate::station::threshold::{Outcome, Position, Wanted, not_calibrated, positions, rates};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Scores of the line that thresholds are shown against, unless it is asked otherwise, and at most.
const LAST: (usize, usize) = (500, 10_000);

/// Changes of a threshold that are listed.
const CHANGES: usize = 50;

fn last(asked: Option<usize>) -> usize {
    asked.unwrap_or(LAST.0).min(LAST.1)
}

/// What the threshold routes take in their query.
#[derive(Default, Deserialize)]
pub struct Asked {
    last: Option<usize>,
    #[serde(default)]
    dry_run: bool,
}

/// Everything that the threshold's page needs.
#[derive(Serialize, ToSchema)]
pub struct Threshold {
    model: String,
    /// The first twelve digits of the identity.
    version: String,
    /// Names the version in every route.
    key: String,
    /// An image with a score above is flagged.
    threshold: Option<f32>,
    /// The false-alarm rate that it holds; null where labelled images have set it.
    rate: Option<f64>,
    /// The lower rate that was asked for, where the images are too few to promise it.
    asked: Option<f64>,
    /// The lowest rate that the calibration can promise.
    lowest_rate: f64,
    /// What the threshold promises, in words.
    promise: String,
    /// Where the calibration is from, in words.
    origin: String,
    /// Scores of good images, ascending.
    calibration: Vec<f32>,
    /// Groups of them that belong together.
    groups: usize,
    /// All places where the threshold can stand, the lowest rate first.
    positions: Vec<Position>,
    /// What this very version scored last, newest first.
    live: Vec<Scored>,
    /// Newest first.
    history: Vec<Change>,
    can_undo: bool,
}

/// Tells a threshold, where else it can stand, and what the line has scored.
#[utoipa::path(get, path = "/v1/station/threshold/{model}", tag = "threshold", security(("token" = ["read"])),
    params(("model" = String, Path, description = "The model."), ("last" = Option<usize>, Query, description = "The last images to look at, up to 10,000; 500 by default.")),
    responses((status = 200, description = "The threshold.", body = Threshold), (status = 404, description = "There is no such model.", body = ErrorBody),
        (status = 409, description = "The model has no calibration.", body = ErrorBody), Refusals))]
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
    Ok(answer(Threshold {
        model,
        version: current.version.clone(),
        key,
        threshold: calibration.image_threshold,
        rate,
        asked,
        lowest_rate: calibration.lowest_rate(),
        promise: calibration.promise(),
        origin: calibration.origin(),
        calibration: calibration.image_scores.clone(),
        groups: calibration.groups(),
        positions: positions(calibration),
        live,
        history,
        can_undo: undoable.is_some(),
    }))
}

/// What [`set_threshold`] takes.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = ThresholdSetting)]
pub struct Setting {
    #[serde(flatten)]
    wanted: Wanted,
    /// Who; the name of whoever logged in goes before.
    author: Option<String>,
    /// Why.
    reason: Option<String>,
    /// The last images that flagged ones are counted among; 500 by default.
    last: Option<usize>,
}

/// Sets another threshold, or says what it would do.
#[utoipa::path(post, path = "/v1/models/{model}/threshold", tag = "threshold", security(("token" = ["admin"])),
    params(("model" = String, Path, description = "The model."), ("last" = Option<usize>, Query, description = "The last images to look at, up to 10,000; 500 by default."),
        ("dry_run" = Option<bool>, Query, description = "Whether to change nothing; then `read` is enough.")),
    request_body(content = Setting, description = "Either `threshold` or `rate`."),
    responses((status = 200, description = "What it does.", body = Outcome), (status = 404, description = "There is no such model.", body = ErrorBody),
        (status = 409, description = "The model has no calibration.", body = ErrorBody), Refusals))]
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
#[utoipa::path(post, path = "/v1/models/{model}/threshold/undo", tag = "threshold", security(("token" = ["admin"])), params(("model" = String, Path, description = "The model.")),
    request_body(content = Setting, description = "`author` and `last` count."),
    responses((status = 200, description = "What it does.", body = Outcome), (status = 404, description = "There is no such model.", body = ErrorBody),
        (status = 409, description = "Nothing is to undo.", body = ErrorBody), Refusals))]
pub async fn undo_threshold(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Json(setting): Json<Setting>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, setting.author.as_deref())?;
    Ok(answer(station.undo_threshold(&model, &author, last(setting.last)).await?))
}
