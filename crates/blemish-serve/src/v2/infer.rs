//! One request for inference, from its place in the queue to its answer.

use super::coding::Coding;
use super::output::{chosen, reply};
use super::request::{Image, InferRequest, JSON_LENGTH, parse};
use super::tensor::Calibrated;
use crate::answer::{Answered, Origin};
use crate::api::receive;
use crate::fault::{Fault, beside};
use crate::models::{Asked, Given, Place, Served, Version};
use crate::server::{Noted, RequestId, Server};
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use blemish::data::Pixels;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Bodies up to this are read where they arrive; larger ones beside the runtime.
const SMALL: usize = 64 << 10;

/// What is said of a request on which the server panics.
const PANICKED: &str = "the server failed on this request; its log has the id of the request";

/// Which outputs a version has.
pub(super) fn calibrated(version: &Version) -> Calibrated {
    let calibration = version.detector.calibration();
    Calibrated {
        has_p_values: calibration.is_some(),
        decides: calibration.is_some_and(|calibration| calibration.image_threshold.is_some()),
    }
}

/// The answer to a request for inference, or the error, with what the log notes of it.
pub(super) async fn answer(server: &Arc<Server>, served: &Arc<Served>, request: Request) -> Response {
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
    let (head, body) = request.into_parts();
    let (own_id, headers) = (RequestId::of(&head.extensions), head.headers);
    let (bytes, mut held) = receive(server, &headers, body, server.deadline()).await?;
    // Numbers of JSON take two bytes as text at least and four in memory; pixels are copied once.
    let room = if bytes.len() <= SMALL { 0 } else { 2 * bytes.len() as u64 };
    let mut pixels = server.models.memory().pixels(room, server.deadline()).await?;
    let request = parsed(&headers, bytes).await?;
    pixels.shrink_to(request.images.iter().map(pixel_bytes).sum());
    held.join(pixels);
    // The place of one image keeps it for as long as there is work on it; that of several ends with the request.
    let _held = match request.images.len() {
        1 => {
            place.hold(held);
            None
        }
        _ => Some(held),
    };
    let wanted = chosen(&request, calibrated(&served.current()))?;
    let deadline = match request.timeout {
        Some(timeout) => server.deadline().min(arrived + timeout),
        None => arrived + server.options.timeout,
    };
    let id = request.id.as_deref().filter(|id| RequestId::is_fine(id)).unwrap_or(&own_id).to_owned();
    let answers = score(served, place, request.images, &id, request.min_area, deadline).await?;
    noted.answered.clone_from(&answers);
    let began = Instant::now();
    let (coding, id) = (Coding::of_answer(&headers), request.id);
    let response =
        beside(PANICKED, move || Ok(coding.answer(reply(id.as_deref(), &wanted, &answers)?))).await;
    noted.encoded = Some(began.elapsed());
    response
}

async fn parsed(headers: &HeaderMap, bytes: Bytes) -> Result<InferRequest, Fault> {
    // What is no text is no number either.
    let length = headers.get(JSON_LENGTH).map(|value| value.to_str().unwrap_or("?").to_owned());
    match bytes.len() <= SMALL {
        true => parse(length.as_deref(), &bytes),
        false => beside(PANICKED, move || parse(length.as_deref(), &bytes)).await,
    }
}

/// Bytes of pixels that came as such. Files are parts of the body.
fn pixel_bytes(image: &Image) -> u64 {
    let bytes = match image {
        Image::Encoded(_) => 0,
        Image::Pixels(image) => match &image.pixels {
            Pixels::U8(values) => values.len(),
            Pixels::U16(values) => 2 * values.len(),
            Pixels::F32(values) => 4 * values.len(),
        },
    };
    bytes as u64
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
                Some(place) => Ok(place),
                None => served.reserve_until(deadline).await,
            };
            let given = match image {
                Image::Encoded(bytes) => Given::Encoded(bytes),
                Image::Pixels(image) => Given::Pixels(image),
            };
            let asked = Asked { id, name: String::new(), origin: Origin::Http, min_area, deadline };
            let scored = match place {
                Ok(place) => served.score(place, given, asked).await,
                Err(fault) => Err(fault),
            };
            (at, scored)
        });
    }
    let mut answers = Vec::with_capacity(count);
    while let Some(done) = work.join_next().await {
        let (at, scored) =
            done.map_err(|_| Fault::new("panic", "the server failed on this request; send it again"))?;
        let answered = scored.map_err(|fault| match count {
            1 => fault,
            _ => Fault { text: format!("image {at} of {count}: {}", fault.text), ..fault },
        })?;
        answers.push((at, answered));
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
