//! The routes of the protocol over the models.

use super::coding::Coding;
use super::output::{Calibrated, Output, chosen, reply};
use super::request::{Image, InferRequest, JSON_LENGTH, parse};
use crate::answer::{Answered, Origin};
use crate::api::{ErrorBody, receive};
use crate::fault::Fault;
use crate::guard::{Right, Rights};
use crate::models::{Asked, Given, Place, Served, State as Condition, Version};
use crate::server::{Noted, RequestId, Server};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as of;

/// Bodies up to this are read where they arrive; larger ones beside the runtime.
const SMALL: usize = 64 << 10;

/// Characters of the caller's id that name an image, at most.
const LONGEST_ID: usize = 64;

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
    let readiness = server.readiness();
    match readiness.ready {
        // The text of the protocol names the key `live`, clients read `ready`.
        true => Ok(Json(json!({"live": true, "ready": true}))),
        false => Err(Fault::new(
            "not_ready",
            format!("the server is not ready: {}; ask again in a second", readiness.reasons.join(", ")),
        )),
    }
}

/// Tells a model's inputs and outputs.
#[utoipa::path(get, path = "/v2/models/{name}", tag = "open inference protocol",
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
#[utoipa::path(get, path = "/v2/models/{name}/versions/{version}", tag = "open inference protocol",
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
#[utoipa::path(get, path = "/v2/models/{name}/ready", tag = "open inference protocol",
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
#[utoipa::path(get, path = "/v2/models/{name}/versions/{version}/ready", tag = "open inference protocol",
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
#[utoipa::path(post, path = "/v2/models/{name}/infer", tag = "open inference protocol",
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
#[utoipa::path(post, path = "/v2/models/{name}/versions/{version}/infer", tag = "open inference protocol",
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
#[utoipa::path(post, path = "/v2/repository/index", tag = "open inference protocol",
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
#[utoipa::path(post, path = "/v2/repository/models/{name}/load", tag = "open inference protocol",
    params(("name" = String, Path, description = "The model.")),
    responses((status = 200, description = "It was loaded.", body = Object),
        (status = "default", description = "An error; the version before goes on.", body = ErrorBody)))]
async fn load(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
) -> Result<Json<Value>, Fault> {
    rights.need(Right::Admin)?;
    let served = server.models.find(&name)?;
    // It goes on if the caller goes away: half a reload helps nobody.
    let work = tokio::spawn(async move { served.reload().await });
    work.await.unwrap_or_else(|_| {
        Err(Fault::new("panic", "the model could not be loaded; its file may be damaged"))
    })?;
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

fn calibrated(version: &Version) -> Calibrated {
    let calibration = version.detector.calibration();
    Calibrated {
        has_p_values: calibration.is_some(),
        decides: calibration.is_some_and(|calibration| calibration.image_threshold.is_some()),
    }
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

/// The answer to a request for inference, or the error, with what the log notes of it.
async fn answer(server: &Arc<Server>, served: &Arc<Served>, request: Request) -> Response {
    let mut noted = Noted { model: Some(served.name().to_owned()), ..Noted::default() };
    let answered = scored(server, served, request, &mut noted).await;
    let mut response = answered.unwrap_or_else(Fault::into_response);
    response.extensions_mut().insert(noted);
    response
}

async fn scored(
    server: &Arc<Server>,
    served: &Arc<Served>,
    request: Request,
    noted: &mut Noted,
) -> Result<Response, Fault> {
    let arrived = Instant::now();
    // Before the body, so that a full server says so at once.
    let mut place = served.reserve()?;
    let (own_id, headers) = (own_id(&request), request.headers().clone());
    let (bytes, held) = receive(server, &headers, request.into_body(), server.deadline()).await?;
    place.hold(held);
    let request = parsed(&headers, bytes).await?;
    let wanted = chosen(&request, calibrated(&served.current()))?;
    let deadline = match request.timeout {
        Some(timeout) => server.deadline().min(arrived + timeout),
        None => arrived + server.options.timeout,
    };
    let id = request.id.as_deref().filter(|id| is_fine(id)).unwrap_or(&own_id).to_owned();
    let answers = score(served, place, request.images, &id, request.min_area, deadline).await?;
    noted.answered.clone_from(&answers);
    let began = Instant::now();
    let (coding, id) = (Coding::of_answer(&headers), request.id);
    let response = aside(move || Ok(coding.answer(reply(id.as_deref(), &wanted, &answers)?))).await;
    noted.encoded = Some(began.elapsed());
    response
}

async fn parsed(headers: &HeaderMap, bytes: Bytes) -> Result<InferRequest, Fault> {
    let length = match headers.get(JSON_LENGTH) {
        // What is no text is no number either.
        Some(value) => Some(value.to_str().unwrap_or("?").to_owned()),
        None => None,
    };
    match bytes.len() <= SMALL {
        true => parse(length.as_deref(), &bytes),
        false => aside(move || parse(length.as_deref(), &bytes)).await,
    }
}

/// Scores the images of a request, all of them or none.
async fn score(
    served: &Arc<Served>,
    place: Place,
    images: Vec<Image>,
    id: &str,
    min_area: f64,
    deadline: Instant,
) -> Result<Vec<Arc<Answered>>, Fault> {
    let count = images.len();
    let mut first = Some(place);
    // It ends with the request: whoever goes away leaves no work behind.
    let mut work = JoinSet::new();
    for (at, image) in images.into_iter().enumerate() {
        let (served, place) = (served.clone(), first.take());
        let id = if count == 1 { id.to_owned() } else { format!("{id}.{at}") };
        work.spawn(async move {
            let place = match place {
                Some(place) => place,
                // The others of this request may be all that is in the queue.
                None => tokio::time::timeout_at(deadline.into(), served.reserve_when_free()).await.map_err(
                    |_| {
                        (
                            at,
                            Fault::new(
                                "deadline",
                                "the time for the request is over; send fewer images at once",
                            ),
                        )
                    },
                )?,
            };
            let given = match image {
                Image::Encoded(bytes) => Given::Encoded(bytes),
                Image::Pixels(image) => Given::Pixels(image),
            };
            let asked = Asked { id, name: String::new(), origin: Origin::Http, min_area, deadline };
            served
                .score(place, given, asked)
                .await
                .map(|answered| (at, answered))
                .map_err(|fault| (at, fault))
        });
    }
    let mut answers = Vec::with_capacity(count);
    while let Some(done) = work.join_next().await {
        let done =
            done.map_err(|_| Fault::new("panic", "the server failed on this request; send it again"))?;
        answers.push(done.map_err(|(at, fault)| match count {
            1 => fault,
            _ => Fault { text: format!("image {at} of {count}: {}", fault.text), ..fault },
        })?);
    }
    answers.sort_by_key(|(at, _)| *at);
    let answers: Vec<_> = answers.into_iter().map(|(_, answered)| answered).collect();
    if answers.iter().any(|answered| answered.verdict.version != answers[0].verdict.version) {
        // An answer names one version.
        return Err(Fault::new(
            "not_ready",
            "the model changed while the images were scored; send them again",
        ));
    }
    Ok(answers)
}

/// Does work that takes a while beside the runtime.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Fault::new("panic", "the server failed on this request; its log has the id of the request"))
    })
}

fn own_id(request: &Request) -> String {
    request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}

/// Whether the caller's id can name an image: it goes into logs, messages and the history.
fn is_fine(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
