//! Uploads.

use super::{Caller, Query, Refusals, answer, picture};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::pictures::for_browsers;
use crate::station::upload::Set;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Path, Request, State};
use axum::response::Response;
use blemish::data::check::{Severity, check_dataset};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// What [`upload`] takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Into {
    /// The set; a new one without.
    set: Option<String>,
}

/// Takes images and zips into a set.
#[utoipa::path(post, path = "/v1/station/uploads", tag = "uploads", security(("token" = ["admin"])), params(Into),
    request_body(description = "A form with a file a part: images and zips.", content((Vec<u8> = "multipart/form-data"))),
    responses((status = 200, description = "The set as it is now.", body = Set), (status = 404, description = "There is no such set.", body = ErrorBody),
        (status = 413, description = "A file is too large.", body = ErrorBody), Refusals))]
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

pub(super) async fn multipart(request: Request) -> Result<Multipart, Fault> {
    Multipart::from_request(request, &())
        .await
        .map_err(|_| Fault::request("files come as a form; send multipart/form-data with a file a part"))
}

pub(super) fn broken(text: &str) -> Fault {
    Fault::request(format!(
        "the upload broke off or is no form ({text}); send it again, what has arrived is kept"
    ))
}

/// Writes a part of a form to a file, up to a limit.
async fn receive(
    mut field: impl Stream<Item = Result<Bytes, MultipartError>> + Unpin,
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
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Looked {
    /// Whether to look for what is wrong with it, which takes a while.
    #[serde(default)]
    check: bool,
}

/// A set, and what is wrong with it.
#[derive(Serialize, ToSchema)]
pub struct Checked {
    #[serde(flatten)]
    set: Set,
    /// What is wrong with it, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Vec<Issue>>,
}

/// Something that is wrong with a set.
#[derive(Serialize, ToSchema)]
pub struct Issue {
    /// What it is, in words.
    finding: &'static str,
    /// Whether a fit would fail or be bad by it.
    error: bool,
    /// The files that it concerns.
    files: Vec<String>,
    /// What exactly, and how to mend it.
    detail: String,
}

/// Tells of a set.
#[utoipa::path(get, path = "/v1/station/uploads/{set}", tag = "uploads", security(("token" = ["read"])), params(("set" = String, Path, description = "The set."), Looked),
    responses((status = 200, description = "The set.", body = Checked), (status = 404, description = "There is no such set.", body = ErrorBody), Refusals))]
pub async fn set(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(set): Path<String>,
    Query(looked): Query<Looked>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let told = blocking(move || {
        let folder = station.uploads.images(&set)?;
        let set = station.uploads.set(&set)?;
        let check = if looked.check { Some(issues(&folder)?) } else { None };
        Ok(Checked { set, check })
    })
    .await?;
    Ok(answer(told))
}

fn issues(folder: &std::path::Path) -> Result<Vec<Issue>, Fault> {
    let checks = check_dataset(folder, &Default::default(), &|_, _| {})
        .map_err(|error| Fault::new("dataset", error))?;
    let found = checks.into_iter().flat_map(|check| check.issues);
    let told = found.map(|issue| Issue {
        finding: issue.finding.words(),
        error: issue.severity == Severity::Problem,
        files: issue
            .files
            .iter()
            .map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string())
            .collect(),
        detail: issue.detail,
    });
    Ok(told.collect())
}

/// What was deleted.
#[derive(Serialize, ToSchema)]
pub struct Deleted {
    /// Files.
    deleted: usize,
}

/// Deletes a set.
#[utoipa::path(delete, path = "/v1/station/uploads/{set}", tag = "uploads", security(("token" = ["admin"])), params(("set" = String, Path, description = "The set.")),
    responses((status = 200, description = "How many files it had.", body = Deleted), (status = 404, description = "There is no such set.", body = ErrorBody), Refusals))]
pub async fn delete(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(set): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Admin)?;
    let count = blocking(move || station.uploads.delete(&set)).await?;
    Ok(answer(Deleted { deleted: count }))
}

/// Gives a file of a set, to be shown.
#[utoipa::path(get, path = "/v1/station/uploads/{set}/files/{sha256}", tag = "uploads", security(("token" = ["read"])),
    params(("set" = String, Path, description = "The set."), ("sha256" = String, Path, description = "Of the file's content.")),
    responses((status = 200, description = "The picture.", content(
            (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/bmp"), (Vec<u8> = "image/gif"))),
        (status = 404, description = "There is no such set or file.", body = ErrorBody), Refusals))]
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
#[utoipa::path(delete, path = "/v1/station/uploads/{set}/files/{sha256}", tag = "uploads", security(("token" = ["admin"])),
    params(("set" = String, Path, description = "The set."), ("sha256" = String, Path, description = "Of the file's content.")),
    responses((status = 200, description = "The set as it is now.", body = Set), (status = 404, description = "There is no such set or file.", body = ErrorBody), Refusals))]
pub async fn remove(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path((set, sha256)): Path<(String, String)>,
) -> Result<Response, Fault> {
    caller.need(Right::Admin)?;
    let set = blocking(move || station.uploads.remove(&set, &sha256)).await?;
    Ok(answer(set))
}
