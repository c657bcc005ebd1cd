//! Settings, and the log of who changed what.

use super::{Caller, Json, Query, Refusals, answer};
use crate::fault::Fault;
use crate::guard::Right;
use crate::sinks::SinkState;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::retention;
use crate::station::settings::{Changes, Settings};
use crate::station::sources::Told as Source;
use crate::station::store::LogLine;
use crate::station::store::images::Row;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::SystemTime;
use utoipa::{IntoParams, ToSchema};

/// Pictures that are listed as the next to go.
const LEAVING: usize = 12;

/// What may be changed, and what stands in files.
#[derive(Serialize, ToSchema)]
pub struct AllSettings {
    #[serde(flatten)]
    settings: Settings,
    /// They stand in `serve.toml` and `sources.toml`: they name paths and programs, which no request may.
    sources: Vec<Source>,
    /// They stand in `serve.toml`.
    sinks: Vec<SinkState>,
    /// Whether tokens are asked for.
    tokens: bool,
    retention: Retention,
}

/// How long pictures stay.
#[derive(Serialize, ToSchema)]
pub struct Retention {
    /// Bytes of pictures.
    bytes: u64,
    /// Images with pictures.
    pictures: u64,
    /// When the oldest of them came, in seconds since 1970.
    oldest: Option<f64>,
    /// Those that go next.
    next: Vec<Row>,
    words: String,
}

/// What may be changed.
#[utoipa::path(get, path = "/v1/station/settings", tag = "settings", security(("token" = ["read"])),
    responses((status = 200, description = "The settings.", body = AllSettings), Refusals))]
pub async fn settings(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    Ok(answer(told(&station).await?))
}

/// Changes settings; what is not given stays.
#[utoipa::path(put, path = "/v1/station/settings", tag = "settings", security(("token" = ["admin"])), request_body = Changes,
    responses((status = 200, description = "The settings as they are now.", body = AllSettings), Refusals))]
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
    blocking(move || keeper.make_room(SystemTime::now())).await?;
    let told = told(&station).await?;
    station.say("settings", "", "settings were changed", json!(told));
    Ok(answer(told))
}

async fn told(station: &Arc<Station>) -> Result<AllSettings, Fault> {
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
    let server = station.server()?;
    Ok(AllSettings {
        settings,
        sources: station.sources(),
        sinks: server.plugs.sinks.get().map(|sinks| sinks.states()).unwrap_or_default(),
        tokens: server.tokens.are_needed(),
        retention: Retention {
            bytes: held.bytes,
            pictures: held.pictures,
            oldest: held.oldest,
            next,
            words: retention::in_words(&held, limits),
        },
    })
}

/// What [`log`] takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Lines {
    /// Changes of this kind alone.
    kind: Option<String>,
    /// Changes before this one.
    before: Option<i64>,
    /// At most so many, up to 1,000; 100 by default.
    limit: Option<usize>,
}

/// Changes.
#[derive(Serialize, ToSchema)]
pub struct Log {
    /// Newest first.
    events: Vec<LogLine>,
}

/// Tells who changed what.
#[utoipa::path(get, path = "/v1/station/log", tag = "settings", security(("token" = ["read"])), params(Lines),
    responses((status = 200, description = "The changes.", body = Log), Refusals))]
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
    Ok(answer(Log { events }))
}
