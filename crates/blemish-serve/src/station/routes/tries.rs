//! Trying a version on a few images.

use super::uploads::{broken, multipart};
use super::{Caller, Query, Refusals, answer};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::pictures::map_png;
use crate::station::store::images::Frame;
use crate::station::versions;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blemish::data::decode_image;
use blemish::metrics::Region;
use blemish::{Detector, ScoreOptions};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Images that a version is tried on at once.
const TRIED: usize = 20;

/// What [`try_version`] takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Tried {
    /// The version's key.
    version: String,
}

/// What a version says of a few images.
#[derive(Serialize, ToSchema)]
pub struct Tries {
    results: Vec<Said>,
}

/// A verdict or an error.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = TryResult)]
pub enum Said {
    /// A verdict.
    Tried(Box<TriedImage>),
    /// An error.
    Refused(RefusedImage),
}

/// What a version says of an image that nobody keeps.
#[derive(Serialize, ToSchema)]
pub struct TriedImage {
    name: String,
    model: String,
    /// The version's key.
    version: String,
    /// Height and width.
    size: [usize; 2],
    score: f32,
    p_value: Option<f64>,
    threshold: Option<f32>,
    anomalous: Option<bool>,
    #[schema(value_type = Vec<Object>)]
    regions: Vec<Region>,
    frame: Frame,
    /// The map as `data:image/png;base64,...`.
    map: String,
}

/// An image that cannot be scored.
#[derive(Serialize, ToSchema)]
pub struct RefusedImage {
    name: String,
    error: String,
    code: &'static str,
    help: String,
}

/// Tries a version on a few images, beside the line.
#[utoipa::path(post, path = "/v1/station/models/{model}/try", tag = "models and jobs", security(("token" = ["score"])),
    params(("model" = String, Path, description = "The model."), Tried),
    request_body(description = "A form with up to 20 files, or one bare file.", content(
        (Vec<u8> = "multipart/form-data"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 200, description = "A verdict or an error for each image, in their order.", body = Tries), (status = 404, description = "There is no such model or version.", body = ErrorBody),
        (status = 413, description = "An image is too large.", body = ErrorBody), Refusals))]
pub async fn try_version(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Query(tried): Query<Tried>,
    request: Request,
) -> Result<Response, Fault> {
    caller.need(Right::Score)?;
    let path = station.versions.path(&model, &tried.version)?;
    let limit = station.uploads.limits();
    let content_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    if content_type.starts_with("multipart/form-data") {
        let mut form = multipart(request).await?;
        while let Some(field) = form.next_field().await.map_err(|error| broken(&error.body_text()))? {
            let Some(name) = field.file_name().map(str::to_owned) else { continue };
            if files.len() == TRIED {
                return Err(Fault::request(format!("try up to {TRIED} images at once")));
            }
            files.push((name, gather(field, limit.image).await?));
        }
    } else {
        let body: Body = request.into_body();
        files.push((String::new(), gather(body.into_data_stream(), limit.image).await?));
    }
    let results = blocking(move || {
        let detector = versions::load(&path)?;
        let say = |(name, bytes): (String, Vec<u8>)| match one(
            &detector,
            &model,
            &tried.version,
            &name,
            &bytes,
            limit.pixels,
        ) {
            Ok(said) => Said::Tried(Box::new(said)),
            Err(Fault { code, text, help }) => Said::Refused(RefusedImage { name, error: text, code, help }),
        };
        Ok(files.into_iter().map(say).collect())
    })
    .await?;
    Ok(answer(Tries { results }))
}

async fn gather<E: std::fmt::Display>(
    mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
    limit: u64,
) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| broken(&error.to_string()))?);
        if bytes.len() as u64 > limit {
            return Err(Fault::new(
                "body_too_large",
                format!("an image has more than {} MiB; send a smaller one", limit >> 20),
            ));
        }
    }
    Ok(bytes)
}

fn one(
    detector: &Detector,
    model: &str,
    key: &str,
    name: &str,
    bytes: &[u8],
    most: u64,
) -> Result<TriedImage, Fault> {
    let options = detector.transform().read_options();
    let options = blemish::data::ReadOptions { maximum_pixels: Some(most), ..options };
    let image = decode_image(bytes, &options).map_err(|fault| Fault::from(&fault))?;
    let size = (image.height, image.width);
    let scored =
        detector.score_image(&image, &ScoreOptions::default()).map_err(|error| Fault::from(&error))?;
    let decision = detector.decide(&scored, size, 0.0).map_err(|error| Fault::from(&error))?;
    let covered = detector.transform().covered(size.0, size.1).map_err(|fault| Fault::from(&fault))?;
    let png = map_png(&scored.map, detector.colour_range());
    let (p_value, threshold, anomalous) = decision
        .as_ref()
        .map_or((None, None, None), |said| (Some(said.p_value), said.threshold, said.anomalous));
    Ok(TriedImage {
        name: name.to_owned(),
        model: model.to_owned(),
        version: key.to_owned(),
        size: [size.0, size.1],
        score: scored.score,
        p_value,
        threshold,
        anomalous,
        regions: decision.map(|decision| decision.regions).unwrap_or_default(),
        frame: Frame::of(&covered),
        map: format!("data:image/png;base64,{}", STANDARD.encode(png)),
    })
}
