//! The line: how it stands, pause, sources, login, settings.

use super::{Caller, Json, Query, answer};
use crate::fault::Fault;
use crate::guard::{Right, Rights};
use crate::models::State as Ready;
use crate::station::jobs::blocking;
use crate::station::login::{Login, role};
use crate::station::retention;
use crate::station::settings::{Changes, Settings};
use crate::station::store::history::{Filter, counts_since, questions};
use crate::station::store::{LogLine, jobs};
use crate::station::{Station, clock};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Pictures that are listed as the next to go.
const LEAVING: usize = 12;

fn rights_json(rights: Rights) -> Value {
    let Rights { score, read, label, admin } = rights;
    json!({"score": score, "read": read, "label": label, "admin": admin})
}

/// How the line stands.
pub async fn state(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    let server = station.server()?;
    let needs_login = server.tokens.are_needed() && caller.rights == Rights::default();
    let mut told = json!({
        "program": env!("CARGO_PKG_VERSION"),
        "rights": rights_json(caller.rights),
        "role": role(caller.rights),
        "needs_login": needs_login,
    });
    if !caller.rights.read {
        return Ok(answer(told));
    }
    let models: Vec<Value> = server
        .models
        .all()
        .iter()
        .map(|served| {
            let version = served.current();
            let live = station.versions.live(served.name());
            let threshold =
                version.detector.calibration().and_then(|calibration| calibration.image_threshold);
            json!({
                "name": served.name(), "version": version.version, "key": live.live, "shadow": live.shadow,
                "is_ready": served.state() == Ready::Ready, "threshold": threshold,
            })
        })
        .collect();
    let (counts, questions, waiting, last) = station
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
    let drift: Vec<Value> = server
        .models
        .all()
        .iter()
        .map(|served| {
            let told = station.drift_of(served);
            json!({"model": served.name(), "state": told["state"], "words": told["words"]})
        })
        .collect();
    let rest = json!({
        "models": models,
        "sources": station.sources(),
        "job": job,
        "waiting": waiting,
        "today": {"images": counts[0], "flagged": counts[1], "labelled": counts[2], "skipped": station.skipped.load(Ordering::Relaxed)},
        "paused": station.is_paused(),
        "drift": drift,
        "audit": station.settings().audit,
        "questions": questions,
        "is_empty": models.is_empty() && last.is_none(),
        "banner": station.banner(),
        "dropped": station.dropped(),
        "last": last,
    });
    if let (Some(told), Value::Object(rest)) = (told.as_object_mut(), rest) {
        told.extend(rest);
    }
    Ok(answer(told))
}

/// Sources are paused.
pub async fn pause(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    set_paused(&station, &caller, true).await
}

/// Sources go on.
pub async fn resume(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
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
    Ok(answer(json!({"paused": is_paused})))
}

/// How sources are doing.
pub async fn sources(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    Ok(answer(json!({"sources": station.sources()})))
}

/// What [`trigger`] takes.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Trigger {
    source: Option<String>,
}

/// The verdict on the next frame.
pub async fn trigger(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Json(asked): Json<Trigger>,
) -> Result<Response, Fault> {
    caller.need(Right::Score)?;
    let patience = station.server()?.options.timeout;
    let answered = station.source(asked.source.as_deref())?.trigger(patience).await?;
    Ok(axum::Json(&answered.verdict).into_response())
}

/// What [`login`] takes.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Shown {
    token: String,
    name: String,
}

/// Lets somebody in.
pub async fn login(State(station): State<Arc<Station>>, Json(shown): Json<Shown>) -> Result<Response, Fault> {
    let is_secure = station.server()?.options.tls.is_some();
    let (who, cookie) = station.login.enter(&shown.token, &shown.name, is_secure)?;
    station.log("login", &who.name, format!("logged in as {}", role(who.rights))).await?;
    let body = json!({"role": role(who.rights), "rights": rights_json(who.rights), "name": who.name});
    Ok(([(header::SET_COOKIE, cookie)], answer(body)).into_response())
}

/// Lets somebody out.
pub async fn logout(State(station): State<Arc<Station>>, _: HeaderMap) -> Result<Response, Fault> {
    let is_secure = station.server()?.options.tls.is_some();
    Ok(([(header::SET_COOKIE, Login::leave(is_secure))], answer(json!({"role": "none"}))).into_response())
}

/// What may be changed.
pub async fn settings(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    Ok(answer(told_settings(&station).await?))
}

/// Changes settings.
pub async fn set_settings(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Json(changes): Json<Changes>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, changes.author.as_deref())?;
    let changed = station.settings().changed(&changes)?;
    let path = station.folder.join("settings.json");
    let text = serde_json::to_string(&changes).unwrap_or_default();
    blocking(move || Settings::store(&path, &changes)).await?;
    station.settings.store(Arc::new(changed));
    station.log("settings", &author, text).await?;
    let keeper = station.clone();
    blocking(move || keeper.make_room()).await?;
    let told = told_settings(&station).await?;
    station.say("settings", "", "settings were changed", told.clone());
    Ok(answer(told))
}

async fn told_settings(station: &Arc<Station>) -> Result<Value, Fault> {
    let settings = station.settings();
    let limits = settings.limits();
    let (held, next) = station
        .read(move |connection| {
            let next = retention::next(connection, LEAVING, None)?;
            let rows: Result<Vec<_>, Fault> =
                next.iter().map(|one| crate::station::store::images::image(connection, &one.id)).collect();
            Ok((retention::held(connection)?, rows?))
        })
        .await?;
    let mut told = serde_json::to_value(settings).unwrap_or_default();
    told["sources"] = serde_json::to_value(station.sources()).unwrap_or_default();
    let sinks = station.server()?.plugs.sinks.get().map(|sinks| sinks.states()).unwrap_or_default();
    told["sinks"] = serde_json::to_value(sinks).unwrap_or_default();
    told["tokens"] = station.server()?.tokens.are_needed().into();
    told["retention"] = json!({
        "bytes": held.bytes, "pictures": held.pictures, "oldest": held.oldest, "next": next,
        "words": retention::in_words(&held, limits),
    });
    Ok(told)
}

/// What [`log`] takes.
#[derive(Deserialize)]
pub struct Lines {
    kind: Option<String>,
    before: Option<i64>,
    limit: Option<usize>,
}

/// Who changed what.
pub async fn log(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Query(lines): Query<Lines>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let limit = lines.limit.unwrap_or(100).clamp(1, 1000);
    let kind = lines.kind.filter(|kind| !kind.is_empty());
    let events = station
        .read(move |connection| LogLine::list(connection, kind.as_deref(), lines.before, limit))
        .await?;
    Ok(answer(json!({"events": events})))
}
