//! Scoring by our own interface.

use super::body::receive;
use super::parts::{Part, files, is_form};
use super::pictures::{self, MapInJson};
use super::query::{Form, Wanted, form};
use crate::answer::{Answered, Milliseconds, Origin, Verdict};
use crate::fault::{Fault, beside};
use crate::guard::{Right, Rights};
use crate::models::{Asked, Given, Place, Served};
use crate::options::Which;
use crate::server::{Noted, RequestId, Server};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use blemish::metrics::Region;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Files of one request.
const MOST: usize = 64;

/// The verdict beside a picture.
const VERDICT: HeaderName = HeaderName::from_static("blemish-verdict");

/// Scores one image.
#[utoipa::path(post, path = "/v1/models/{name}/score", tag = "score", security(("token" = ["score"])),
    params(
        ("name" = String, Path, description = "The model."),
        ("map" = Option<String>, Query, description = "The anomaly map in the verdict: none, f32 or png."),
        ("regions" = Option<bool>, Query, description = "Whether regions are listed; true by default."),
        ("min_area" = Option<f64>, Query, description = "Regions under this area, in pixels of the image, are left out."),
        ("keep" = Option<String>, Query, description = "Whether the server keeps the image: never, flagged or always."),
    ),
    request_body(description = "The image: a form with one file part of any name, or the bare file.", content(
        (Vec<u8> = "multipart/form-data"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "The verdict, or a picture with the verdict in the header Blemish-Verdict.",
            content((Verdict = "application/json"), (Vec<u8> = "image/png"), (Vec<u8> = "image/tiff"))),
        (status = "default", description = "An error.", body = super::ErrorBody),
    ))]
pub(super) async fn score(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    rights.need(Right::Score)?;
    let served = server.models.find(&name)?;
    Ok(of_model(&served, answer(&server, &served, request).await))
}

/// Scores one image with the only model.
#[utoipa::path(post, path = "/score", tag = "score", security(("token" = ["score"])),
    params(
        ("map" = Option<String>, Query, description = "The anomaly map in the verdict: none, f32 or png."),
        ("regions" = Option<bool>, Query, description = "Whether regions are listed; true by default."),
        ("min_area" = Option<f64>, Query, description = "Regions under this area, in pixels of the image, are left out."),
        ("keep" = Option<String>, Query, description = "Whether the server keeps the image: never, flagged or always."),
    ),
    request_body(description = "The image: a form with one file part of any name, or the bare file.", content(
        (Vec<u8> = "multipart/form-data"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "The verdict, or a picture with the verdict in the header Blemish-Verdict.",
            content((Verdict = "application/json"), (Vec<u8> = "image/png"), (Vec<u8> = "image/tiff"))),
        (status = "default", description = "An error.", body = super::ErrorBody),
    ))]
pub(super) async fn score_only(
    State(server): State<Arc<Server>>,
    rights: Rights,
    request: Request,
) -> Result<Response, Fault> {
    rights.need(Right::Score)?;
    let served = server.models.only()?;
    Ok(of_model(&served, answer(&server, &served, request).await))
}

/// Scores up to 64 images.
#[utoipa::path(post, path = "/v1/models/{name}/score-batch", tag = "score", security(("token" = ["score"])),
    params(
        ("name" = String, Path, description = "The model."),
        ("map" = Option<String>, Query, description = "The anomaly map in each verdict: none, f32 or png."),
        ("regions" = Option<bool>, Query, description = "Whether regions are listed; true by default."),
        ("min_area" = Option<f64>, Query, description = "Regions under this area, in pixels of the image, are left out."),
        ("keep" = Option<String>, Query, description = "Whether the server keeps the images: never, flagged or always."),
    ),
    request_body(description = "A form with a file a part.", content((Vec<u8> = "multipart/form-data"))),
    responses(
        (status = 200, description = "A verdict or an error for each image, in their order.", body = super::Results),
        (status = "default", description = "An error of the request itself.", body = super::ErrorBody),
    ))]
pub(super) async fn score_batch(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    rights.need(Right::Score)?;
    let served = server.models.find(&name)?;
    Ok(of_model(&served, answer_batch(&server, &served, request).await))
}

/// What a request wants, where this server can do it.
fn wanted(server: &Server, request: &Request) -> Result<Wanted, Fault> {
    let wanted = Wanted::of(request.uri())?;
    match wanted.keep {
        Some(Which::Flagged | Which::All) if server.options.keep_dir.is_none() => Err(Fault::request(
            "the image is to be kept, and this server has no folder for it; start it with --keep-dir, or leave keep= out",
        )),
        _ => Ok(wanted),
    }
}

/// The answer to a request with several images.
async fn answer_batch(
    server: &Arc<Server>,
    served: &Arc<Served>,
    request: Request,
) -> Result<Response, Fault> {
    let wanted = wanted(server, &request)?;
    let deadline = server.deadline();
    let mut first = Some(served.reserve()?);
    let (head, body) = request.into_parts();
    let (id, headers) = (RequestId::of(&head.extensions), head.headers);
    if !is_form(&headers) {
        return Err(Fault::request(
            "several images come as a form; send multipart/form-data with a file a part",
        ));
    }
    let (bytes, held) = receive(server, &headers, body, deadline).await?;
    let parts = files(&headers, bytes, MOST).await?;
    // It ends with the request: whoever goes away leaves no work behind.
    let mut work = JoinSet::new();
    for (at, part) in parts.into_iter().enumerate() {
        let (served, place, id) = (served.clone(), first.take(), format!("{id}.{at}"));
        work.spawn(async move {
            let place = match place {
                Some(place) => Ok(place),
                None => served.reserve_until(deadline).await,
            };
            let outcome = match place {
                Ok(place) => one(&served, place, part, id, wanted, deadline).await,
                Err(fault) => Err(fault),
            };
            (at, outcome)
        });
    }
    let mut outcomes: Vec<(usize, Result<Arc<Answered>, Fault>)> = Vec::with_capacity(work.len());
    while let Some(done) = work.join_next().await {
        outcomes
            .push(done.map_err(|_| Fault::new("panic", "the server failed on this request; send it again"))?);
    }
    drop(held);
    outcomes.sort_by_key(|(at, _)| *at);
    let began = Instant::now();
    let answered: Vec<_> = outcomes.iter().filter_map(|(_, outcome)| outcome.clone().ok()).collect();
    let json = encoded(move || {
        let one = |(_, outcome): &(usize, Result<Arc<Answered>, Fault>)| match outcome {
            Ok(answered) => json_of(answered, wanted),
            Err(fault) => text_of(&json!({"error": fault.text, "code": fault.code, "help": fault.help})),
        };
        let results: Vec<String> = outcomes.iter().map(one).collect::<Result<_, _>>()?;
        Ok(format!("{{\"results\":[{}]}}", results.join(",")))
    })
    .await?;
    Ok(noted(json_response(json), answered, began))
}

/// The answer to a request with one image.
async fn answer(server: &Arc<Server>, served: &Arc<Served>, request: Request) -> Result<Response, Fault> {
    let wanted = wanted(server, &request)?;
    let deadline = server.deadline();
    // Before the body, so that a full server says so at once.
    let mut place = served.reserve()?;
    let (head, body) = request.into_parts();
    let (id, headers) = (RequestId::of(&head.extensions), head.headers);
    let form = form(&headers);
    let (bytes, held) = receive(server, &headers, body, deadline).await?;
    place.hold(held);
    let part = match is_form(&headers) {
        true => files(&headers, bytes, 1).await?.swap_remove(0),
        false => Part { name: String::new(), bytes },
    };
    let answered = one(served, place, part, id, wanted, deadline).await?;
    let began = Instant::now();
    let response = match form {
        Form::Json => json_response(encoded_if(wanted, &answered).await?),
        Form::Png => {
            let (served, answered) = (served.clone(), answered.clone());
            let picture = encoded(move || pictures::overlay(&served, &answered)).await?;
            ([(header::CONTENT_TYPE, "image/png")], picture).into_response()
        }
        Form::Tiff => {
            let answered = answered.clone();
            let picture = encoded(move || pictures::tiff(&answered)).await?;
            ([(header::CONTENT_TYPE, "image/tiff")], picture).into_response()
        }
    };
    let mut response = noted(response, vec![answered.clone()], began);
    if form != Form::Json
        && let Ok(value) =
            HeaderValue::from_str(&json_of(&answered, Wanted { map: Default::default(), ..wanted })?)
    {
        response.headers_mut().insert(VERDICT, value);
    }
    Ok(response)
}

async fn one(
    served: &Served,
    place: Place,
    part: Part,
    id: String,
    wanted: Wanted,
    deadline: Instant,
) -> Result<Arc<Answered>, Fault> {
    let Part { name, bytes } = part;
    let given = Given::Encoded(bytes);
    let asked = Asked { id, name, origin: Origin::Http, min_area: wanted.min_area, deadline };
    served.score_and_keep(place, given, asked, wanted.keep).await
}

/// A verdict as it is answered: a number of 32 bits is written as such, as `predict` does.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    model: &'a str,
    version: &'a str,
    score: f32,
    p_value: Option<f64>,
    threshold: Option<f32>,
    anomalous: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regions: Option<&'a [Region]>,
    size: [usize; 2],
    milliseconds: Milliseconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<MapInJson>,
}

/// The verdict as JSON, with the map if it is wanted.
fn json_of(answered: &Answered, wanted: Wanted) -> Result<String, Fault> {
    let Verdict { id, model, version, score, p_value, threshold, anomalous, regions, size, milliseconds } =
        &answered.verdict;
    text_of(&Shown {
        id,
        model,
        version,
        score: *score,
        p_value: *p_value,
        threshold: *threshold,
        anomalous: *anomalous,
        regions: wanted.regions.then_some(regions),
        size: *size,
        milliseconds: *milliseconds,
        map: pictures::in_json(answered, wanted.map)?,
    })
}

fn text_of(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::new("internal", error))
}

fn json_response(json: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

/// The same, beside the runtime where it takes a while.
async fn encoded_if(wanted: Wanted, answered: &Arc<Answered>) -> Result<String, Fault> {
    if wanted.map == Default::default() {
        return json_of(answered, wanted);
    }
    let answered = answered.clone();
    encoded(move || json_of(&answered, wanted)).await
}

async fn encoded<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    beside("the server failed to write its answer; its log has the id of the request", work).await
}

/// A response with what the access log notes of it.
fn noted(mut response: Response, answered: Vec<Arc<Answered>>, began: Instant) -> Response {
    response.extensions_mut().insert(Noted { model: None, answered, encoded: Some(began.elapsed()) });
    response
}

/// The answer or the error, with the name of the model for the log.
fn of_model(served: &Served, outcome: Result<Response, Fault>) -> Response {
    let mut response = outcome.into_response();
    let noted = response.extensions_mut().get_or_insert_default::<Noted>();
    noted.model = Some(served.name().to_owned());
    response
}
