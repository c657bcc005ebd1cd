//! Drift, audit, and what may be learnt.

use super::{By, Caller, Json, Query, Refusals, answer};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Right;
use crate::models::Served;
use crate::station::Station;
use crate::station::feedback::{Audit, Feedback};
use crate::station::jobs::blocking;
use crate::station::store::history::{Scored, last_scores};
use axum::extract::{Path, State};
use axum::response::Response;
use blemish::CalibrationConfig;
use blemish::metrics::Drift as Found;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Scores of the drift page.
const SCORES: usize = 500;

/// How the monitor of a model stands.
#[derive(Serialize, ToSchema)]
pub struct Drift {
    pub(super) model: String,
    /// `off`, `collecting`, `quiet`, `moved`.
    pub(super) state: &'static str,
    pub(super) words: String,
    /// The version whose images are watched.
    version: Option<String>,
    /// Images watched so far.
    watched: u64,
    /// Of them those that were anomalous and so said nothing of drift.
    set_aside: u64,
    /// Their share.
    share_set_aside: Option<f64>,
    /// As a share of what a warning needs.
    evidence: f64,
    /// Images until the reference is complete.
    missing: usize,
    /// Where the reference came from, in words.
    reference: Option<&'static str>,
    /// What was found: kind, image, since.
    #[schema(value_type = Option<Object>)]
    found: Option<Found>,
}

/// The same with scores.
#[derive(Serialize, ToSchema)]
pub struct DriftTold {
    #[serde(flatten)]
    drift: Drift,
    /// The last 500, newest first.
    scores: Vec<Scored>,
}

impl Station {
    /// The monitor of a model, in words and numbers.
    pub(super) fn drift_of(&self, served: &Served) -> Drift {
        let model = served.name().to_owned();
        let watch = self.server().ok().and_then(|server| server.plugs.watch.get().cloned());
        let Some(state) = watch.and_then(|watch| watch.state(&model)) else {
            return Drift {
                model,
                state: "off",
                words: "nobody watches for drift yet; it begins with --monitor and the first image".into(),
                version: None,
                watched: 0,
                set_aside: 0,
                share_set_aside: None,
                evidence: 0.0,
                missing: 0,
                reference: None,
                found: None,
            };
        };
        let name = match (state.drift.is_some(), state.missing) {
            (true, _) => "moved",
            (false, 0) => "quiet",
            (false, _) => "collecting",
        };
        Drift {
            model,
            state: name,
            words: state.words,
            version: Some(state.version),
            watched: state.watched,
            set_aside: state.set_aside,
            share_set_aside: (state.watched > 0).then(|| state.set_aside as f64 / state.watched as f64),
            evidence: state.evidence,
            missing: state.missing,
            reference: Some(state.reference),
            found: state.drift,
        }
    }

    async fn drift_told(self: &Arc<Self>, served: &Arc<Served>) -> Result<DriftTold, Fault> {
        let drift = self.drift_of(served);
        let (model, version) = (served.name().to_owned(), served.current().version.clone());
        let scores = self.read(move |connection| last_scores(connection, &model, &version, SCORES)).await?;
        Ok(DriftTold { drift, scores })
    }
}

/// Tells the monitor's state, and scores over time.
#[utoipa::path(get, path = "/v1/station/drift/{model}", tag = "feedback", security(("token" = ["read"])), params(("model" = String, Path, description = "The model.")),
    responses((status = 200, description = "The monitor.", body = DriftTold), (status = 404, description = "There is no such model.", body = ErrorBody), Refusals))]
pub async fn drift(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let served = station.server()?.models.find(&model)?;
    Ok(answer(station.drift_told(&served).await?))
}

/// Begins a new monitor.
#[utoipa::path(post, path = "/v1/station/drift/{model}/restart", tag = "feedback", security(("token" = ["admin"])), params(("model" = String, Path, description = "The model.")),
    request_body = By, responses((status = 200, description = "The new monitor.", body = DriftTold), (status = 404, description = "There is no such model.", body = ErrorBody),
        (status = 409, description = "Nobody watches for drift.", body = ErrorBody), Refusals))]
pub async fn restart_drift(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Json(by): Json<By>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, by.author.as_deref())?;
    let server = station.server()?;
    let served = server.models.find(&model)?;
    let watch = server.plugs.watch.get().cloned();
    let watch = watch
        .ok_or_else(|| Fault::new("conflict", "nobody watches for drift; start the server with --monitor"))?;
    let (name, version) = (model.clone(), served.current());
    blocking(move || watch.restart(&name, &version.detector)).await?;
    let text = format!("{model}: a new monitor has begun");
    station.log("drift", &author, text.clone()).await?;
    let told = station.drift_told(&served).await?;
    station.say("drift", &model, text, json!(station.drift_of(&served)));
    Ok(answer(told))
}

/// What [`audit`] takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Audited {
    /// Of this model alone.
    model: Option<String>,
}

/// Tells what the audit says.
#[utoipa::path(get, path = "/v1/station/audit", tag = "feedback", security(("token" = ["read"])), params(Audited),
    responses((status = 200, description = "The audit.", body = Audit), Refusals))]
pub async fn audit(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Query(audited): Query<Audited>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let share = station.settings().audit;
    let model = audited.model.filter(|model| !model.is_empty());
    let told = station.read(move |connection| Audit::read(connection, model.as_deref(), share)).await?;
    Ok(answer(told))
}

/// Tells what labels may be used for.
#[utoipa::path(get, path = "/v1/station/feedback/{model}", tag = "feedback", security(("token" = ["read"])), params(("model" = String, Path, description = "The model.")),
    responses((status = 200, description = "What an update and calibrations may take.", body = Feedback), (status = 404, description = "There is no such model.", body = ErrorBody), Refusals))]
pub async fn feedback(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let told = blocking(move || {
        let (key, _) = station.version_file(&model, None)?;
        let record = station.versions.record(&model, &key)?;
        let ancestry = station.ancestry(&model, &key);
        let rate = record.rate.unwrap_or(CalibrationConfig::default().false_alarm);
        station
            .store
            .read(|connection| Feedback::read(connection, &model, &ancestry, rate, record.can_update))
    })
    .await?;
    Ok(answer(told))
}
