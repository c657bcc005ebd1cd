//! The line: how it stands, pause, sources, trigger.

use super::login::May;
use super::{Caller, Json, Refusals, answer};
use crate::answer::Verdict;
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::{Right, Rights};
use crate::models::State as Ready;
use crate::station::jobs::Job;
use crate::station::login::role;
use crate::station::sources::Told as Source;
use crate::station::store::history::{Filter, counts_since, questions};
use crate::station::store::images::Row;
use crate::station::store::jobs;
use crate::station::{Station, clock};
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use utoipa::ToSchema;

/// What anybody is told.
#[derive(Serialize, ToSchema)]
pub struct Open {
    /// The version of the program.
    program: &'static str,
    rights: May,
    /// `none`, `viewer`, `operator`, `engineer`.
    role: &'static str,
    /// Whether there are tokens and the caller has shown none.
    needs_login: bool,
}

/// How the line stands.
#[derive(Serialize, ToSchema)]
pub struct Line {
    #[serde(flatten)]
    open: Open,
    models: Vec<OnLine>,
    sources: Vec<Source>,
    /// The job at work.
    job: Option<Job>,
    /// Jobs that wait.
    waiting: u64,
    today: Today,
    /// Whether sources are paused.
    paused: bool,
    drift: Vec<Watched>,
    /// The share of all images that the audit asks about.
    audit: f64,
    /// Images that people are asked about.
    questions: u64,
    /// Whether there is no model and no image yet.
    is_empty: bool,
    /// What people should know: the history was damaged and begun anew, or the like.
    banner: Option<String>,
    /// Answers that were not recorded.
    dropped: u64,
    /// The last image.
    last: Option<Row>,
}

/// What [`state`] tells.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum State {
    /// To whoever may read.
    Line(Box<Line>),
    /// To others.
    Open(Open),
}

/// A model on the line.
#[derive(Serialize, ToSchema)]
pub struct OnLine {
    name: String,
    /// The first twelve digits of the identity.
    version: String,
    /// Names the version in every route.
    key: Option<String>,
    /// The key of the version in shadow.
    shadow: Option<String>,
    is_ready: bool,
    threshold: Option<f32>,
}

/// Counts since midnight, UTC.
#[derive(Serialize, ToSchema)]
pub struct Today {
    images: u64,
    flagged: u64,
    labelled: u64,
    /// Images that came while the line was paused, since the server began.
    skipped: u64,
}

/// A monitor in short.
#[derive(Serialize, ToSchema)]
pub struct Watched {
    model: String,
    /// `off`, `collecting`, `quiet`, `moved`.
    state: &'static str,
    words: String,
}

/// How the line stands. Without the right to read only what a login needs is told.
#[utoipa::path(get, path = "/v1/station/state", tag = "line",
    responses((status = 200, description = "How it stands.", body = State), Refusals))]
pub async fn state(Shared(station): Shared<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    let server = station.server()?;
    let open = Open {
        program: env!("CARGO_PKG_VERSION"),
        rights: caller.rights.into(),
        role: role(caller.rights),
        needs_login: server.tokens.are_needed() && caller.rights == Rights::default(),
    };
    if !caller.rights.read {
        return Ok(answer(State::Open(open)));
    }
    let all = server.models.all();
    let models: Vec<OnLine> = all
        .iter()
        .map(|served| {
            let version = served.current();
            let live = station.versions.live(served.name());
            let threshold =
                version.detector.calibration().and_then(|calibration| calibration.image_threshold);
            OnLine {
                name: served.name().to_owned(),
                version: version.version.clone(),
                key: live.live,
                shadow: live.shadow,
                is_ready: served.state() == Ready::Ready,
                threshold,
            }
        })
        .collect();
    let ([images, flagged, labelled], questions, waiting, last) = station
        .read(|connection| {
            let newest = Filter { limit: Some(1), ..Filter::default() }.list(connection)?;
            Ok((
                counts_since(connection, clock::midnight())?,
                questions(connection)?,
                jobs::waiting(connection)?,
                newest.images.into_iter().next(),
            ))
        })
        .await?;
    let job = match station.jobs.is_running() {
        Some(id) => station.job(id).await.ok(),
        None => None,
    };
    let drift = all
        .iter()
        .map(|served| {
            let told = station.drift_of(served);
            Watched { model: told.model, state: told.state, words: told.words }
        })
        .collect();
    let line = Line {
        open,
        sources: station.sources(),
        job,
        waiting,
        today: Today { images, flagged, labelled, skipped: station.skipped.load(Ordering::Relaxed) },
        paused: station.is_paused(),
        drift,
        audit: station.settings().audit,
        questions,
        is_empty: models.is_empty() && last.is_none(),
        banner: station.banner(),
        dropped: station.dropped(),
        last,
        models,
    };
    Ok(answer(State::Line(Box::new(line))))
}

/// Whether sources are paused.
#[derive(Serialize, ToSchema)]
pub struct Paused {
    paused: bool,
}

/// Pauses the sources.
#[utoipa::path(post, path = "/v1/station/pause", tag = "line", security(("token" = ["label"])),
    responses((status = 200, description = "Sources stay connected; what comes meanwhile counts as skipped.", body = Paused), Refusals))]
pub async fn pause(Shared(station): Shared<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    set_paused(&station, &caller, true).await
}

/// Lets the sources go on.
#[utoipa::path(post, path = "/v1/station/resume", tag = "line", security(("token" = ["label"])),
    responses((status = 200, description = "Sources go on.", body = Paused), Refusals))]
pub async fn resume(Shared(station): Shared<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    set_paused(&station, &caller, false).await
}

async fn set_paused(station: &Arc<Station>, caller: &Caller, is_paused: bool) -> Result<Response, Fault> {
    caller.need(Right::Label)?;
    let was_paused = station.paused.swap(is_paused, Ordering::Relaxed);
    if was_paused != is_paused {
        let text = if is_paused { "the line is paused" } else { "the line goes on" };
        station.say("pause", "", text, json!({"paused": is_paused}));
        station.log("pause", &caller.author(None), text.into()).await?;
    }
    Ok(answer(Paused { paused: is_paused }))
}

/// The sources.
#[derive(Serialize, ToSchema)]
pub struct Sources {
    sources: Vec<Source>,
}

/// Tells how sources are doing.
#[utoipa::path(get, path = "/v1/station/sources", tag = "line", security(("token" = ["read"])),
    responses((status = 200, description = "The sources.", body = Sources), Refusals))]
pub async fn sources(Shared(station): Shared<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    Ok(answer(Sources { sources: station.sources() }))
}

/// What [`trigger`] takes.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct Trigger {
    /// Its name; may be left out where one program brings images.
    source: Option<String>,
}

/// Triggers a source.
#[utoipa::path(post, path = "/v1/trigger", tag = "line", security(("token" = ["score"])), request_body = Trigger,
    responses((status = 200, description = "The verdict on its next frame.", body = Verdict),
        (status = 404, description = "There is no such source.", body = ErrorBody),
        (status = 409, description = "There are several sources and none is named.", body = ErrorBody),
        (status = 504, description = "No frame has come in time.", body = ErrorBody), Refusals))]
pub async fn trigger(
    Shared(station): Shared<Arc<Station>>,
    caller: Caller,
    Json(asked): Json<Trigger>,
) -> Result<Response, Fault> {
    caller.need(Right::Score)?;
    let patience = station.server()?.options.timeout;
    let answered = station.source(asked.source.as_deref())?.trigger(patience).await?;
    Ok(axum::Json(&answered.verdict).into_response())
}
