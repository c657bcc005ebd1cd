//! The history: lists, pictures, labels, downloads.

use super::{Caller, Json, Query, answer, attachment, picture};
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::pictures::{Format, for_browsers, gone};
use crate::station::store::history::Filter;
use crate::station::store::images::{self, Row};
use crate::station::store::labels::{self, Label};
use crate::station::store::of_sqlite;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::mpsc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Images that are labelled at once.
const AT_ONCE: usize = 1000;

/// Characters of a note.
const NOTE: usize = 2000;

/// Images beside one in time.
const NEIGHBOURS: usize = 5;

/// Images that are read at once for a download.
const PAGE: usize = 200;

/// Images by filters.
pub async fn list(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let (page, total) =
        station.read(move |connection| Ok((filter.list(connection)?, filter.count(connection)?))).await?;
    Ok(answer(json!({"images": page.images, "next": page.next, "total": total})))
}

/// An image with everything that is known of it.
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
            let mut told = serde_json::to_value(&row).unwrap_or_default();
            told["verdicts"] = json!(images::verdicts(connection, &id)?);
            told["labels"] = json!(labels::labels(connection, &id)?);
            told["neighbours"] =
                json!({"before": beside(Some(&id), None)?, "after": beside(None, Some(&id))?});
            Ok(told)
        })
        .await?;
    Ok(answer(told))
}

async fn row(station: &Arc<Station>, id: String) -> Result<Row, Fault> {
    station.read(move |connection| images::image(connection, &id)).await
}

/// The original; what browsers do not show as PNG, unless it is asked for raw.
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
#[derive(Deserialize)]
pub struct Labelling {
    label: Label,
    author: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

/// What [`labels`] takes.
#[derive(Deserialize)]
pub struct LabellingMany {
    ids: Vec<String>,
    #[serde(flatten)]
    labelling: Labelling,
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
    Ok(answer(json!({"labelled": count - unknown.len(), "unknown": unknown})))
}

/// What [`pin`] takes.
#[derive(Deserialize)]
pub struct Pinning {
    pinned: bool,
}

/// Keeps the pictures of an image whatever happens, or lets them go with the others.
pub async fn pin(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(pinning): Json<Pinning>,
) -> Result<Response, Fault> {
    caller.need(Right::Label)?;
    Ok(answer(station.write(move |connection| images::pin(connection, &id, pinning.pinned)).await?))
}

/// Images as a zip, while it is made.
pub async fn download(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let is_mvtec = match filter.layout.as_deref().unwrap_or("folder") {
        "folder" => false,
        "mvtec" => true,
        other => return Err(Fault::request(format!("layout={other} is unknown; use one of: folder, mvtec"))),
    };
    // What is wrong with a filter is told before the zip begins.
    filter.check()?;
    let (sender, receiver) = mpsc::channel(16);
    tokio::task::spawn_blocking(move || {
        let failed = Sink(sender.clone());
        if let Err(error) = write_zip(&station, filter, is_mvtec, Sink(sender)) {
            // The answer has begun: it is broken off, so that nobody takes it for whole.
            let _ = failed.0.blocking_send(Err(error));
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let name = if is_mvtec { "images-mvtec.zip" } else { "images.zip" };
    Ok(attachment(Body::from_stream(stream), "application/zip", name))
}

/// Writes to an answer; fails once nobody reads.
struct Sink(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_zip(station: &Station, mut filter: Filter, is_mvtec: bool, sink: Sink) -> io::Result<()> {
    let mut zip = ZipWriter::new_stream(io::BufWriter::with_capacity(1 << 16, sink));
    // Pictures are compressed already.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let mut lines = Vec::new();
    let failed = |fault: Fault| io::Error::other(fault.to_string());
    loop {
        let rows = station.store.read(|connection| filter.select(connection, PAGE)).map_err(failed)?;
        let Some(last) = rows.last() else { break };
        filter = filter.behind(last.id.clone());
        for mut row in rows {
            let Some(folder) = folder_of(&row, is_mvtec) else { continue };
            let bytes = row.file.as_ref().and_then(|file| station.pictures.read(file));
            let Some(bytes) = bytes else { continue };
            let name = format!("{folder}/{}.{}", row.id, Format::of(&bytes).extension());
            zip.start_file(name.as_str(), options)?;
            zip.write_all(&bytes)?;
            if filter.hides_verdicts() {
                row.verdict = None;
            }
            let mut line = serde_json::to_value(&row)?;
            line["path"] = name.into();
            lines.push(line.to_string());
        }
    }
    zip.start_file("images.jsonl", SimpleFileOptions::default())?;
    for line in lines {
        writeln!(zip, "{line}")?;
    }
    zip.finish()?.into_inner().flush()
}

/// Where an image goes; `None` for one that the layout has no place for.
fn folder_of(row: &Row, is_mvtec: bool) -> Option<&'static str> {
    match (row.label.as_deref(), is_mvtec) {
        // The audit is the sample to measure on: it is never learnt.
        (Some("good"), true) if row.audit => Some("test/good"),
        (Some("good"), true) => Some("train/good"),
        (Some("defective"), true) => Some("test/defective"),
        (_, true) => None,
        (Some("good"), false) => Some("good"),
        (Some("defective"), false) => Some("defective"),
        (Some("unsure"), false) => Some("unsure"),
        (_, false) => Some("unlabelled"),
    }
}
