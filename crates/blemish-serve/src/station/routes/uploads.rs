//! Uploads, and trying a version on a few images.

use super::{Caller, Query, answer, picture};
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::pictures::{for_browsers, map_png};
use crate::station::store::images::Frame;
use crate::station::upload::Set;
use crate::station::versions;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Path, Request, State};
use axum::http::header;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blemish::data::check::check_dataset;
use blemish::data::decode_image;
use blemish::{Detector, ScoreOptions};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;

/// Images that a version is tried on at once.
const TRIED: usize = 20;

/// What [`upload`] takes.
#[derive(Deserialize)]
pub struct Into {
    set: Option<String>,
}

/// Takes images and zips into a set.
pub async fn upload(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Query(into): Query<Into>,
    request: Request,
) -> Result<Response, Fault> {
    caller.need(Right::Admin)?;
    let mut form = multipart(request).await?;
    let name = match into.set.filter(|set| !set.is_empty()) {
        Some(set) => {
            station.uploads.images(&set)?;
            set
        }
        None => station.uploads.begin()?,
    };
    let mut set = Set { set: name.clone(), ..Set::default() };
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error.body_text()))? {
        let Some(file) = field.file_name().map(str::to_owned) else { continue };
        let keeper = station.clone();
        let into = name.clone();
        let received = blocking(move || keeper.uploads.receive(&into)).await?;
        let limit = station.uploads.limits().zip;
        let received = receive(field, received, limit).await?;
        let keeper = station.clone();
        let mut told = std::mem::take(&mut set);
        set = blocking(move || {
            keeper.uploads.take(&mut told, &file, received.path())?;
            Ok(told)
        })
        .await?;
    }
    if set.files.is_empty() {
        let (keeper, added) = (station.clone(), set);
        set = blocking(move || {
            let told = keeper.uploads.set(&added.set)?;
            Ok(Set { added: added.added, known: added.known, refused: added.refused, ..told })
        })
        .await?;
    }
    let text = format!("{} images were uploaded", set.added);
    station.say("upload", "", text, json!({"set": set.set, "images": set.images}));
    Ok(answer(set))
}

async fn multipart(request: Request) -> Result<Multipart, Fault> {
    Multipart::from_request(request, &())
        .await
        .map_err(|_| Fault::request("files come as a form; send multipart/form-data with a file a part"))
}

fn broken(text: &str) -> Fault {
    Fault::request(format!(
        "the upload broke off or is no form ({text}); send it again, what has arrived is kept"
    ))
}

/// Writes a part of a form to a file, up to a limit.
async fn receive(
    mut field: impl Stream<Item = Result<Bytes, axum::extract::multipart::MultipartError>> + Unpin,
    mut received: tempfile::NamedTempFile,
    limit: u64,
) -> Result<tempfile::NamedTempFile, Fault> {
    let mut count = 0;
    while let Some(chunk) = field.next().await {
        let chunk = chunk.map_err(|error| broken(&error.body_text()))?;
        count += chunk.len() as u64;
        if count > limit {
            return Err(Fault::new(
                "body_too_large",
                format!("a file has more than {} GiB; send it in parts", limit >> 30),
            ));
        }
        received = blocking(move || {
            received.write_all(&chunk).map_err(|error| {
                Fault::new("io", format!("the upload cannot be written: {error}; make room on the disk"))
            })?;
            Ok(received)
        })
        .await?;
    }
    Ok(received)
}

/// What [`set`] takes.
#[derive(Default, Deserialize)]
pub struct Looked {
    #[serde(default)]
    check: bool,
}

/// A set, and what is wrong with it.
pub async fn set(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(set): Path<String>,
    Query(looked): Query<Looked>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let told = blocking(move || {
        let mut told = serde_json::to_value(station.uploads.set(&set)?).unwrap_or_default();
        if looked.check {
            let folder = station.uploads.images(&set)?;
            let checks = check_dataset(&folder, &Default::default(), &|_, _| {}).map_err(|error| Fault::new("dataset", error))?;
            let issues = checks.iter().flat_map(|check| &check.issues);
            told["check"] = issues
                .map(|issue| {
                    let name = |path: &std::path::PathBuf| path.strip_prefix(&folder).unwrap_or(path).display().to_string();
                    let files: Vec<String> = issue.files.iter().map(name).collect();
                    let is_problem = issue.severity == blemish::data::check::Severity::Problem;
                    json!({"finding": issue.finding.words(), "error": is_problem, "files": files, "detail": issue.detail})
                })
                .collect();
        }
        Ok(told)
    })
    .await?;
    Ok(answer(told))
}

/// Deletes a set.
pub async fn delete(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(set): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Admin)?;
    let count = blocking(move || station.uploads.delete(&set)).await?;
    Ok(answer(json!({"deleted": count})))
}

/// A file of a set, to be shown.
pub async fn file(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path((set, sha256)): Path<(String, String)>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    blocking(move || {
        let bytes = station.uploads.file(&set, &sha256)?;
        let (bytes, content_type) = for_browsers(bytes)?;
        Ok(picture(bytes, content_type))
    })
    .await
}

/// Takes a file out of a set.
pub async fn remove(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path((set, sha256)): Path<(String, String)>,
) -> Result<Response, Fault> {
    caller.need(Right::Admin)?;
    let set = blocking(move || station.uploads.remove(&set, &sha256)).await?;
    Ok(answer(set))
}

/// What [`try_version`] takes.
#[derive(Deserialize)]
pub struct Tried {
    version: String,
}

/// What a version says of a few images, beside the line.
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
        let say = |(name, bytes): (String, Vec<u8>)| {
            one(&detector, &model, &tried.version, &name, &bytes, limit.pixels).unwrap_or_else(
                |fault| json!({"name": name, "error": fault.text, "code": fault.code, "help": fault.help}),
            )
        };
        Ok(files.into_iter().map(say).collect::<Vec<Value>>())
    })
    .await?;
    Ok(answer(json!({"results": results})))
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
) -> Result<Value, Fault> {
    let options = detector.transform().read_options();
    let options = blemish::data::ReadOptions { maximum_pixels: Some(most), ..options };
    let image = decode_image(bytes, &options).map_err(|fault| Fault::from(&fault))?;
    let size = (image.height, image.width);
    let scored =
        detector.score_image(&image, &ScoreOptions::default()).map_err(|error| Fault::from(&error))?;
    let decision = detector.decide(&scored, size, 0.0).map_err(|error| Fault::from(&error))?;
    let covered = detector.transform().covered(size.0, size.1).map_err(|fault| Fault::from(&fault))?;
    let png = map_png(&scored.map, detector.colour_range());
    Ok(json!({
        "name": name, "model": model, "version": key, "size": [size.0, size.1], "score": scored.score,
        "p_value": decision.as_ref().map(|decision| decision.p_value),
        "threshold": decision.as_ref().and_then(|decision| decision.threshold),
        "anomalous": decision.as_ref().and_then(|decision| decision.anomalous),
        "regions": decision.map(|decision| decision.regions).unwrap_or_default(),
        "frame": Frame::of(&covered), "map": format!("data:image/png;base64,{}", STANDARD.encode(png)),
    }))
}
