//! The history: lists, pictures, labels.

use super::{Caller, Json, Query, Refusals, answer, picture};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::pictures::{Format, for_browsers, gone};
use crate::station::store::history::Filter;
use crate::station::store::images::{self, Row, Said};
use crate::station::store::labels::{self, Given, Label};
use crate::station::store::of_sqlite;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// Images that are labelled at once.
const AT_ONCE: usize = 1000;

/// Characters of a note.
const NOTE: usize = 2000;

/// Images beside one in time.
const NEIGHBOURS: usize = 5;

/// A page of images.
#[derive(Serialize, ToSchema)]
pub struct Images {
    /// Newest first.
    images: Vec<Row>,
    /// What to give as `before` for those that follow.
    next: Option<String>,
    /// How many there are, whatever page.
    total: u64,
}

/// Images by filters.
#[utoipa::path(get, path = "/v1/station/images", tag = "history", security(("token" = ["read"])), params(Filter),
    responses((status = 200, description = "Images, newest first.", body = Images), Refusals))]
pub async fn list(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let (page, total) =
        station.read(move |connection| Ok((filter.list(connection)?, filter.count(connection)?))).await?;
    Ok(answer(Images { images: page.images, next: page.next, total }))
}

/// An image with everything that is known of it.
#[derive(Serialize, ToSchema)]
pub struct Known {
    #[serde(flatten)]
    row: Row,
    /// All of them, those in shadow too.
    verdicts: Vec<Said>,
    /// Newest first.
    labels: Vec<Given>,
    neighbours: Neighbours,
}

/// Images beside one in time.
#[derive(Serialize, ToSchema)]
pub struct Neighbours {
    /// Newest first.
    before: Vec<Row>,
    /// Oldest first.
    after: Vec<Row>,
}

/// An image with everything that is known of it.
#[utoipa::path(get, path = "/v1/station/images/{id}", tag = "history", security(("token" = ["read"])), params(("id" = String, Path, description = "The image.")),
    responses((status = 200, description = "The image.", body = Known), (status = 404, description = "There is no such image.", body = ErrorBody), Refusals))]
pub async fn image(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let told = station
        .read(move |connection| {
            let row = images::image(connection, &id)?;
            let beside = |before: Option<&str>, after: Option<&str>| {
                let own = |id: Option<&str>| id.map(str::to_owned);
                Filter { before: own(before), after: own(after), ..Filter::default() }
                    .select(connection, NEIGHBOURS)
            };
            Ok(Known {
                verdicts: images::verdicts(connection, &id)?,
                labels: labels::labels(connection, &id)?,
                neighbours: Neighbours { before: beside(Some(&id), None)?, after: beside(None, Some(&id))? },
                row,
            })
        })
        .await?;
    Ok(answer(told))
}

async fn row(station: &Arc<Station>, id: String) -> Result<Row, Fault> {
    station.read(move |connection| images::image(connection, &id)).await
}

/// The original; what browsers do not show as PNG, unless it is asked for raw.
#[utoipa::path(get, path = "/v1/station/images/{id}/original", tag = "history", security(("token" = ["read"])),
    params(("id" = String, Path, description = "The image."), ("raw" = Option<bool>, Query, description = "The very bytes that came.")),
    responses((status = 200, description = "The picture.", content(
            (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/bmp"), (Vec<u8> = "image/gif"),
            (Vec<u8> = "application/octet-stream"))),
        (status = 404, description = "There is no such image, or its picture is no longer kept.", body = ErrorBody), Refusals))]
pub async fn original(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<Raw>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let row = row(&station, id).await?;
    blocking(move || {
        let bytes = row.file.as_ref().and_then(|file| station.pictures.read(file)).ok_or_else(gone)?;
        if query.raw && Format::of(&bytes).content_type().is_none() {
            return Ok(picture(bytes, "application/octet-stream"));
        }
        let (bytes, content_type) = for_browsers(bytes)?;
        Ok(picture(bytes, content_type))
    })
    .await
}

/// What [`original`] takes.
#[derive(Default, Deserialize)]
pub struct Raw {
    #[serde(default)]
    raw: bool,
}

/// The map.
#[utoipa::path(get, path = "/v1/station/images/{id}/map.png", tag = "history", security(("token" = ["read"])), params(("id" = String, Path, description = "The image.")),
    responses((status = 200, description = "A PNG with a palette: its index is the level on the model's colour range.", content((Vec<u8> = "image/png"))),
        (status = 404, description = "There is no such image, or its picture is no longer kept.", body = ErrorBody), Refusals))]
pub async fn map(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let row = row(&station, id).await?;
    blocking(move || {
        let bytes = row.map.as_ref().and_then(|map| station.pictures.read(map)).ok_or_else(gone)?;
        Ok(picture(bytes, "image/png"))
    })
    .await
}

/// The thumbnail.
#[utoipa::path(get, path = "/v1/station/images/{id}/thumb.jpg", tag = "history", security(("token" = ["read"])), params(("id" = String, Path, description = "The image.")),
    responses((status = 200, description = "The picture, 256 pixels at most.", content((Vec<u8> = "image/jpeg"))),
        (status = 404, description = "There is no such image, or its picture is no longer kept.", body = ErrorBody), Refusals))]
pub async fn thumbnail(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let row = row(&station, id).await?;
    blocking(move || {
        let (bytes, added) = station.pictures.thumbnail(&row)?;
        if added > 0 {
            let work = move |connection: &rusqlite::Connection| {
                // Unless its pictures have just gone: then the thumbnail is found as a file without a row.
                connection
                    .execute(
                        "UPDATE image SET bytes = bytes + ?2 WHERE id = ?1 AND bytes > 0",
                        rusqlite::params![row.id, added as i64],
                    )
                    .map(|_| ())
                    .map_err(of_sqlite)
            };
            station.store.write_soon(work, || {});
        }
        Ok(picture(bytes, "image/jpeg"))
    })
    .await
}

/// What [`label`] takes.
#[derive(Deserialize, ToSchema)]
pub struct Labelling {
    label: Label,
    /// Who; the name of whoever logged in goes before.
    author: Option<String>,
    /// Why.
    #[serde(default)]
    note: Option<String>,
}

/// What [`labels`] takes.
#[derive(Deserialize, ToSchema)]
pub struct LabellingMany {
    /// Up to 1,000 images.
    ids: Vec<String>,
    #[serde(flatten)]
    labelling: Labelling,
}

/// What [`labels`] has done.
#[derive(Serialize, ToSchema)]
pub struct Labelled {
    /// Images that were labelled.
    labelled: usize,
    /// Ids that the history does not have.
    unknown: Vec<String>,
}

async fn label_all(
    station: &Arc<Station>,
    caller: &Caller,
    ids: Vec<String>,
    labelling: Labelling,
) -> Result<Vec<String>, Fault> {
    let author = caller.signs(Right::Label, labelling.author.as_deref())?;
    let note: String = labelling.note.unwrap_or_default().chars().take(NOTE).collect();
    let label = labelling.label;
    let (all, by) = (ids.clone(), author.clone());
    let unknown = station.write(move |connection| labels::label(connection, &all, label, &by, &note)).await?;
    let labelled: Vec<&String> = ids.iter().filter(|id| !unknown.contains(id)).collect();
    if !labelled.is_empty() {
        let text = format!("{} labelled {} by {author}", labelled.len(), label.name());
        station.say("label", "", text, json!({"ids": labelled, "label": label}));
    }
    Ok(unknown)
}

/// Labels an image.
#[utoipa::path(post, path = "/v1/station/images/{id}/label", tag = "history", security(("token" = ["label"])), params(("id" = String, Path, description = "The image.")),
    request_body = Labelling, responses((status = 200, description = "The image as it is now.", body = Row), (status = 404, description = "There is no such image.", body = ErrorBody), Refusals))]
pub async fn label(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(labelling): Json<Labelling>,
) -> Result<Response, Fault> {
    label_all(&station, &caller, vec![id.clone()], labelling).await?;
    Ok(answer(row(&station, id).await?))
}

/// Labels many.
#[utoipa::path(post, path = "/v1/station/labels", tag = "history", security(("token" = ["label"])), request_body = LabellingMany,
    responses((status = 200, description = "How many were labelled.", body = Labelled), Refusals))]
pub async fn labels(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Json(many): Json<LabellingMany>,
) -> Result<Response, Fault> {
    if many.ids.len() > AT_ONCE {
        return Err(Fault::request(format!(
            "{} images at once are too many; label up to {AT_ONCE}",
            many.ids.len()
        )));
    }
    let count = many.ids.len();
    let unknown = label_all(&station, &caller, many.ids, many.labelling).await?;
    Ok(answer(Labelled { labelled: count - unknown.len(), unknown }))
}

/// What [`pin`] takes.
#[derive(Deserialize, ToSchema)]
pub struct Pinning {
    /// Whether it stays.
    pinned: bool,
}

/// Keeps the pictures of an image whatever happens, or lets them go with the others.
#[utoipa::path(post, path = "/v1/station/images/{id}/pin", tag = "history", security(("token" = ["label"])), params(("id" = String, Path, description = "The image.")),
    request_body = Pinning, responses((status = 200, description = "The image as it is now.", body = Row), (status = 404, description = "There is no such image.", body = ErrorBody), Refusals))]
pub async fn pin(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(pinning): Json<Pinning>,
) -> Result<Response, Fault> {
    caller.need(Right::Label)?;
    Ok(answer(station.write(move |connection| images::pin(connection, &id, pinning.pinned)).await?))
}
