//! Images of the history as a zip.

use super::{Caller, Query, Refusals, attachment};
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::pictures::Format;
use crate::station::store::history::Filter;
use crate::station::store::images::Row;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::mpsc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Images that are read at once for a download.
const PAGE: usize = 200;

/// Images as a zip, while it is made.
#[utoipa::path(get, path = "/v1/station/download", tag = "history", security(("token" = ["read"])), params(Filter),
    responses((status = 200, description = "The images that the filters find, and a line on each in images.jsonl.",
        content((Vec<u8> = "application/zip"))), Refusals))]
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
