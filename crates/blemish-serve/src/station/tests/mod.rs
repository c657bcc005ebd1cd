//! The station over a real server: the bed that its tests lie in.

mod crash;
mod history;
mod roles;
mod room;
mod settings;
mod soak;
mod thresholds;
mod uploads;
mod versions;

use super::*;
use crate::options::ServeOptions;
use crate::testing::{options, request, send};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use std::time::Instant;

/// A station in this process with the model `line`.
pub(crate) struct Bed {
    pub(crate) server: Arc<Server>,
    pub(crate) station: Arc<Station>,
    pub(crate) app: Router,
    pub(crate) folder: tempfile::TempDir,
    _models: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {}, |_| {}).await
    }

    pub(crate) async fn with(
        names: &[&str],
        change: impl FnOnce(&mut ServeOptions),
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let (mut options, models) = options(names);
        options.station = Some(folder.path().to_owned());
        change(&mut options);
        let (server, station, app) = open(options, folder.path(), std::env::current_exe().unwrap()).await;
        Self { server, station, app, folder, _models: models }
    }

    pub(crate) async fn json(&self, verb: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        json_of(&self.app, request(verb, path, body)).await
    }

    /// Scores an image through the server's own route; its id.
    pub(crate) async fn score(&self, image: axum::body::Bytes) -> Value {
        let (status, verdict) = json_of(&self.app, request("POST", "/v1/models/line/score", image)).await;
        assert_eq!(status, StatusCode::OK, "{verdict}");
        verdict
    }

    /// The history once it has so many images.
    pub(crate) async fn history(&self, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let (_, told) = self.json("GET", "/v1/station/images?limit=500", Value::Null).await;
            let images = told["images"].as_array().unwrap().clone();
            if images.len() >= count {
                assert_eq!(images.len(), count);
                return images;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{} of {count} images", images.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) async fn json_of(app: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = send(app, request).await;
    let status = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
}

pub(crate) async fn open(
    options: ServeOptions,
    folder: &Path,
    program: PathBuf,
) -> (Arc<Server>, Arc<Station>, Router) {
    let server = Server::open(options).unwrap();
    server.models.verify().await.unwrap();
    let station = Station::open_with(folder, &server, program).unwrap();
    let (app, _) = server.app(vec![station.room()]);
    (server, station, app)
}

/// Waits until something holds, for as long as a busy machine may take.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(300), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Bytes of all files below a folder.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path().is_dir() {
            true => bytes_below(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}
