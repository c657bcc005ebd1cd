//! The routes of the protocol over the models.

use super::infer::{answer, calibrated};
use super::tensor::Output;
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::{Right, Rights};
use crate::models::{Served, State as Condition, Version};
use crate::server::Server;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as of;

/// The routes.
pub fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(of!(about))
        .routes(of!(live))
        .routes(of!(ready))
        .routes(of!(model))
        .routes(of!(model_version))
        .routes(of!(model_ready))
        .routes(of!(version_ready))
        .routes(of!(infer))
        .routes(of!(infer_version))
        .routes(of!(index))
        .routes(of!(load))
}

/// Names the server and the extensions of the protocol that it knows.
#[utoipa::path(get, path = "/v2", tag = "open inference protocol",
    responses((status = 200, description = "The server.", body = Object)))]
async fn about() -> Json<Value> {
    Json(json!({
        "name": "blemish",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data", "model_repository"],
    }))
}

/// Says that the server lives.
#[utoipa::path(get, path = "/v2/health/live", tag = "open inference protocol",
    responses((status = 200, description = "It lives.", body = Object)))]
async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

/// Says whether all models answer.
#[utoipa::path(get, path = "/v2/health/ready", tag = "open inference protocol",
    responses((status = 200, description = "All answer.", body = Object),
        (status = 503, description = "Not all do.", body = ErrorBody)))]
async fn ready(State(server): State<Arc<Server>>) -> Result<Json<Value>, Fault> {
    server.readiness().check()?;
    // The text of the protocol names the key `live`, clients read `ready`.
    Ok(Json(json!({"live": true, "ready": true})))
}

/// Tells a model's inputs and outputs.
#[utoipa::path(get, path = "/v2/models/{name}", tag = "open inference protocol", security(("token" = ["score"]), ("token" = ["read"])),
    params(("name" = String, Path, description = "The model.")),
    responses((status = 200, description = "The model.", body = Object),
        (status = "default", description = "An error.", body = ErrorBody)))]
async fn model(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
) -> Result<Json<Value>, Fault> {
    may_see(rights)?;
    let served = server.models.find(&name)?;
    Ok(metadata(served.name(), &served.current()))
}

/// Tells a version's inputs and outputs.
#[utoipa::path(get, path = "/v2/models/{name}/versions/{version}", tag = "open inference protocol", security(("token" = ["score"]), ("token" = ["read"])),
    params(("name" = String, Path, description = "The model."), ("version" = String, Path, description = "Its version.")),
    responses((status = 200, description = "The model.", body = Object),
        (status = "default", description = "An error.", body = ErrorBody)))]
async fn model_version(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    may_see(rights)?;
    let served = server.models.find(&name)?;
    Ok(metadata(served.name(), &*of_version(&served, &version)?))
}

/// Says whether a model answers.
#[utoipa::path(get, path = "/v2/models/{name}/ready", tag = "open inference protocol", security(("token" = ["score"]), ("token" = ["read"])),
    params(("name" = String, Path, description = "The model.")),
    responses((status = 200, description = "It answers.", body = Object),
        (status = "default", description = "It does not.", body = ErrorBody)))]
async fn model_ready(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
) -> Result<Json<Value>, Fault> {
    may_see(rights)?;
    is_ready(&*server.models.find(&name)?)
}

/// Says whether a version of a model answers.
#[utoipa::path(get, path = "/v2/models/{name}/versions/{version}/ready", tag = "open inference protocol", security(("token" = ["score"]), ("token" = ["read"])),
    params(("name" = String, Path, description = "The model."), ("version" = String, Path, description = "Its version.")),
    responses((status = 200, description = "It answers.", body = Object),
        (status = "default", description = "It does not.", body = ErrorBody)))]
async fn version_ready(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    may_see(rights)?;
    let served = server.models.find(&name)?;
    of_version(&served, &version)?;
    is_ready(&served)
}

/// Scores images.
#[utoipa::path(post, path = "/v2/models/{name}/infer", tag = "open inference protocol", security(("token" = ["score"])),
    params(("name" = String, Path, description = "The model."),
        ("Inference-Header-Content-Length" = Option<u64>, Header, description = "Bytes of the JSON where those of tensors follow.")),
    request_body(description = "A request of the protocol: JSON, or JSON and bytes.",
        content((Object = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 200, description = "Outputs: JSON, or JSON and bytes.",
            content((Object = "application/json"), (Vec<u8> = "application/octet-stream"))),
        (status = "default", description = "An error.", body = ErrorBody)))]
async fn infer(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    rights.need(Right::Score)?;
    let served = server.models.find(&name)?;
    Ok(answer(&server, &served, request).await)
}

/// Scores images with a version, if that is the one that answers.
#[utoipa::path(post, path = "/v2/models/{name}/versions/{version}/infer", tag = "open inference protocol", security(("token" = ["score"])),
    params(("name" = String, Path, description = "The model."), ("version" = String, Path, description = "Its version."),
        ("Inference-Header-Content-Length" = Option<u64>, Header, description = "Bytes of the JSON where those of tensors follow.")),
    request_body(description = "A request of the protocol: JSON, or JSON and bytes.",
        content((Object = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 200, description = "Outputs: JSON, or JSON and bytes.",
            content((Object = "application/json"), (Vec<u8> = "application/octet-stream"))),
        (status = "default", description = "An error.", body = ErrorBody)))]
async fn infer_version(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Fault> {
    rights.need(Right::Score)?;
    let served = server.models.find(&name)?;
    of_version(&served, &version)?;
    Ok(answer(&server, &served, request).await)
}

/// Lists the models.
#[utoipa::path(post, path = "/v2/repository/index", tag = "open inference protocol", security(("token" = ["score"]), ("token" = ["read"])),
    responses((status = 200, description = "The models.", body = Object),
        (status = "default", description = "An error.", body = ErrorBody)))]
async fn index(State(server): State<Arc<Server>>, rights: Rights) -> Result<Json<Value>, Fault> {
    may_see(rights)?;
    let line = |served: &Arc<Served>| {
        let (state, reason) = match served.state() {
            Condition::Ready => ("READY", String::new()),
            Condition::Loading => ("LOADING", "it is being verified".to_owned()),
            Condition::Failed(reason) => ("UNAVAILABLE", reason),
        };
        json!({"name": served.name(), "version": served.current().version, "state": state, "reason": reason})
    };
    Ok(Json(server.models.all().iter().map(line).collect()))
}

/// Loads a model's file anew.
#[utoipa::path(post, path = "/v2/repository/models/{name}/load", tag = "open inference protocol", security(("token" = ["admin"])),
    params(("name" = String, Path, description = "The model.")),
    responses((status = 200, description = "It was loaded.", body = Object),
        (status = "default", description = "An error; the version before goes on.", body = ErrorBody)))]
async fn load(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
) -> Result<Json<Value>, Fault> {
    rights.need(Right::Admin)?;
    server.models.find(&name)?.reload_to_the_end().await?;
    Ok(Json(json!({})))
}

/// Whoever may score has to know the tensors, and whoever reads may.
fn may_see(rights: Rights) -> Result<(), Fault> {
    rights.need(Right::Score).or_else(|_| rights.need(Right::Read))
}

fn of_version(served: &Served, version: &str) -> Result<Arc<Version>, Fault> {
    let current = served.current();
    match current.version == version {
        true => Ok(current),
        false => Err(Fault::new(
            "no_such_version",
            format!(
                "the model `{}` is version {} now; leave the version out to use it",
                served.name(),
                current.version
            ),
        )),
    }
}

fn is_ready(served: &Served) -> Result<Json<Value>, Fault> {
    let why = match served.state() {
        Condition::Ready => return Ok(Json(json!({"name": served.name(), "ready": true}))),
        Condition::Loading => "it is being verified".to_owned(),
        Condition::Failed(reason) => reason,
    };
    Err(Fault::new(
        "not_ready",
        format!("the model `{}` is not ready: {why}; ask again in a second", served.name()),
    ))
}

fn metadata(name: &str, version: &Version) -> Json<Value> {
    let model = calibrated(version);
    let outputs: Vec<Value> = Output::ALL
        .into_iter()
        .filter(|output| output.is_there(model))
        .map(|output| json!({"name": output.name(), "datatype": output.datatype(), "shape": output.shape()}))
        .collect();
    Json(json!({
        "name": name,
        "versions": [version.version],
        "platform": "blemish_blemish",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": outputs,
    }))
}
