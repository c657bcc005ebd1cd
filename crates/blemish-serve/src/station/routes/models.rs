//! Models and their versions.

use super::{Caller, Json, Refusals, answer, attachment};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::models::Model;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use blemish::registry;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

/// The models.
#[derive(Serialize, ToSchema)]
#[schema(as = StationModels)]
pub struct Models {
    models: Vec<Model>,
}

/// Lists the models with their versions.
#[utoipa::path(get, path = "/v1/station/models", tag = "models and jobs", security(("token" = ["read"])),
    responses((status = 200, description = "The models, by name.", body = Models), Refusals))]
pub async fn list(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let models = blocking(move || {
        station.model_names()?.iter().map(|name| station.model(name)).collect::<Result<Vec<_>, Fault>>()
    })
    .await?;
    Ok(answer(Models { models }))
}

/// What changes of versions take.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = VersionChange)]
pub struct Change {
    /// The version's key.
    version: Option<String>,
    /// Who; the name of whoever logged in goes before.
    author: Option<String>,
    /// Why.
    reason: Option<String>,
}

impl Change {
    fn version(&self) -> Result<&str, Fault> {
        self.version.as_deref().ok_or_else(|| Fault::request("no version is named; give {\"version\": KEY}"))
    }
}

/// Lets a version answer.
#[utoipa::path(post, path = "/v1/station/models/{model}/live", tag = "models and jobs", security(("token" = ["admin"])), params(("model" = String, Path, description = "The model.")),
    request_body = Change,
    responses((status = 200, description = "The model as it is now.", body = Model), (status = 404, description = "There is no such model or version.", body = ErrorBody), Refusals))]
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

/// Puts a version into shadow, or ends the shadow where none is named.
#[utoipa::path(post, path = "/v1/station/models/{model}/shadow", tag = "models and jobs", security(("token" = ["admin"])), params(("model" = String, Path, description = "The model.")),
    request_body = Change,
    responses((status = 200, description = "The model as it is now.", body = Model), (status = 404, description = "There is no such model or version.", body = ErrorBody), Refusals))]
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
#[utoipa::path(post, path = "/v1/station/models/{model}/rollback", tag = "models and jobs", security(("token" = ["admin"])), params(("model" = String, Path, description = "The model.")),
    request_body = Change,
    responses((status = 200, description = "The model as it is now.", body = Model), (status = 404, description = "There is no such model or version.", body = ErrorBody),
        (status = 409, description = "No version was live before.", body = ErrorBody), Refusals))]
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
#[utoipa::path(post, path = "/v1/station/models/{model}/verify", tag = "models and jobs", security(("token" = ["admin"])), params(("model" = String, Path, description = "The model.")),
    request_body = Change,
    responses((status = 200, description = "What `blemish verify --json` says of it.", body = Object), (status = 404, description = "There is no such model or version.", body = ErrorBody), Refusals))]
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
#[utoipa::path(delete, path = "/v1/station/models/{model}/versions/{key}", tag = "models and jobs", security(("token" = ["admin"])),
    params(("model" = String, Path, description = "The model."), ("key" = String, Path, description = "The version's key.")),
    responses((status = 200, description = "The model as it is now.", body = Model), (status = 404, description = "There is no such model or version.", body = ErrorBody),
        (status = 409, description = "The version is live or in shadow.", body = ErrorBody), Refusals))]
pub async fn delete(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path((model, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, None)?;
    Ok(answer(station.delete_version(&model, &key, &author).await?))
}

/// Gives the file of a version.
#[utoipa::path(get, path = "/v1/station/models/{model}/versions/{key}/download", tag = "models and jobs", security(("token" = ["read"])),
    params(("model" = String, Path, description = "The model."), ("key" = String, Path, description = "The version's key.")),
    responses((status = 200, description = "The model file.", content((Vec<u8> = "application/octet-stream"))), (status = 404, description = "There is no such model or version.", body = ErrorBody), Refusals))]
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

/// The methods that a new model can be fitted with.
#[derive(Serialize, ToSchema)]
pub struct Methods {
    methods: Vec<Method>,
}

/// A method.
#[derive(Serialize, ToSchema)]
pub struct Method {
    name: &'static str,
    /// One line: the idea.
    summary: &'static str,
    /// Whether a fit takes minutes and more.
    trains_long: bool,
    /// Whether its models can learn on.
    can_update: bool,
}

/// Lists the methods that a new model can be fitted with.
#[utoipa::path(get, path = "/v1/station/methods", tag = "models and jobs", security(("token" = ["read"])),
    responses((status = 200, description = "The methods.", body = Methods), Refusals))]
pub async fn methods(State(_): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let methods = registry::methods().iter().map(|entry| {
        let info = entry.info();
        let trains_long = entry
            .parse(&[])
            .and_then(|settings| entry.needs(&settings))
            .is_ok_and(|needs| needs.trains_long());
        Method { name: info.name, summary: info.summary, trains_long, can_update: entry.updates().is_some() }
    });
    Ok(answer(Methods { methods: methods.collect() }))
}
