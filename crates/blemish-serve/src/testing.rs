//! What tests share: small models, images, servers in this process.

use crate::models::{Asked, Given, Served};
use crate::options::{ModelOption, ServeOptions};
use crate::outputs;
use crate::server::{Closing, Room, Running, Server};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response, header};
use blemish::data::synth::{Look, SynthOptions, write_synthetic_set};
use blemish::data::{Dataset, Files, Tiling, Transform, open_dataset};
use blemish::{CalibrationConfig, Detector, DetectorConfig, FitOptions, TileModels, TileOptions};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tower::ServiceExt;

/// Side of the images, in pixels.
const SIDE: usize = 64;

/// A synthetic set, and the files of models fitted on it.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) dataset: Dataset,
}

/// Made once for all tests.
pub(crate) fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("set");
        let options = SynthOptions {
            train: 12,
            test_good: 6,
            test_per_defect: 2,
            height: SIDE,
            width: SIDE,
            ..SynthOptions::new(Look::Fabric)
        };
        write_synthetic_set(&set, &options, &|_, _| {}).unwrap();
        let dataset = open_dataset(&set, &Default::default()).unwrap();
        let bench = Bench { folder, dataset };
        let fit = |name: &str, config: DetectorConfig| {
            let good = Files::training(&bench.dataset);
            let detector = Detector::fit(&config, &good, &FitOptions::default()).unwrap();
            detector.save(&bench.path(name)).unwrap();
        };
        let of = |method: &str, settings: Value| DetectorConfig {
            method: method.into(),
            settings: settings.as_object().unwrap().clone(),
            transform: Some(Transform::resize_to(SIDE, SIDE)),
            calibration: CalibrationConfig { folds: 2, false_alarm: 0.2, ..Default::default() },
            ..DetectorConfig::default()
        };
        fit("line", of("padim", json!({"dimensions": 20})));
        fit("other", of("padim", json!({"dimensions": 10})));
        let tiling = Tiling { height: 32, width: 32, overlap: 8 };
        let tiles = Some(TileOptions { tiling, models: TileModels::Shared, per_image: None });
        let histogram = of("statistical", json!({"bank": "histogram", "align": "none"}));
        fit("tiled", DetectorConfig { tiles, ..histogram.clone() });
        let transform = Some(Transform::native());
        fit(
            "native",
            DetectorConfig {
                transform,
                calibration: CalibrationConfig { folds: 0, ..Default::default() },
                ..histogram
            },
        );
        bench
    })
}

impl Bench {
    /// The file of a model: `line` and `other` (PaDiM), `tiled`, and `native`, which has no calibration and takes images of any size.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.blemish"))
    }

    /// The bytes of the test images.
    pub(crate) fn images(&self) -> Vec<Bytes> {
        self.dataset.test.iter().map(|sample| std::fs::read(&sample.path).unwrap().into()).collect()
    }

    /// What `blemish predict` says of them: the library's scores of the files.
    pub(crate) fn scores(&self, name: &str) -> Vec<f32> {
        let detector = Detector::load(&self.path(name), &Default::default()).unwrap();
        self.dataset.test.iter().map(|sample| detector.score_file(&sample.path).unwrap().score).collect()
    }
}

/// Options that serve copies of these models in a folder of their own.
pub(crate) fn options(names: &[&str]) -> (ServeOptions, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let models = names.iter().map(|name| {
        let path = folder.path().join(format!("{name}.blemish"));
        std::fs::copy(bench().path(name), &path).unwrap();
        ModelOption { name: (*name).into(), path }
    });
    (ServeOptions { models: models.collect(), ..ServeOptions::default() }, folder)
}

/// A server in this process whose models are ready.
pub(crate) async fn server(options: ServeOptions) -> (Arc<Server>, Router) {
    let server = Server::open(options).unwrap();
    server.models.verify().await.unwrap();
    let (app, _) = server.app(Vec::<Room>::new());
    (server, app)
}

/// The same with metrics, access log and what else the options ask for beside answers, and the Open Inference Protocol.
pub(crate) async fn with_outputs(
    options: ServeOptions,
    log: impl Write + Send + 'static,
) -> (Arc<Server>, Router, Vec<Closing>) {
    let server = Server::open(options).unwrap();
    server.models.verify().await.unwrap();
    let room = outputs::room(&server, log).unwrap();
    let (app, closings) = server.app(vec![room]);
    (server, app, closings)
}

/// A server behind a socket on a free port of this machine.
pub(crate) async fn running(options: ServeOptions) -> Running {
    let options = ServeOptions { listen: "127.0.0.1:0".parse().unwrap(), ..options };
    let (server, app) = server(options).await;
    Running::new(server, app).unwrap()
}

/// A request of this machine.
pub(crate) fn request(verb: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(verb).uri(path).header(header::HOST, "localhost");
    request.body(body.into()).unwrap()
}

/// What an app answers.
pub(crate) async fn send(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

/// The status and the JSON that an app answers.
pub(crate) async fn ask(app: &Router, request: Request<Body>) -> (u16, Value) {
    let response = send(app, request).await;
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// A form with files.
pub(crate) fn form(verb: &str, path: &str, files: &[(&str, &[u8])]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head =
            format!("--cut\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--cut--\r\n");
    let mut request = request(verb, path, body);
    let kind = "multipart/form-data; boundary=cut".parse().unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    request
}

/// A PNG of 5 MB: noise, which nothing makes smaller.
pub(crate) fn large_image() -> Vec<u8> {
    let mut state = 1_u32;
    let picture = image::RgbImage::from_fn(1300, 1300, |_, _| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        image::Rgb([state as u8, (state >> 8) as u8, (state >> 16) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let bytes = bytes.into_inner();
    assert!(bytes.len() > 5_000_000, "{}", bytes.len());
    bytes
}

/// Makes a certificate of this machine, `NAME.pem` and `NAME.key` in a folder, signed by itself if `more` says nothing else; `None`, and
/// said aloud, where there is no openssl.
pub(crate) fn certificate(folder: &Path, name: &str, more: &[&str]) -> Option<()> {
    let path = |end: &str| folder.join(format!("{name}.{end}"));
    let kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let mut command = Command::new("openssl");
    command
        .args(kind)
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(path("key"))
        .arg("-out")
        .arg(path("pem"))
        .args(more);
    match command.output() {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            println!("skipped: openssl is absent");
            None
        }
    }
}

/// What is asked of an image in tests.
pub(crate) fn asked(name: &str) -> Asked {
    Asked {
        id: "id".into(),
        name: name.into(),
        origin: crate::answer::Origin::Http,
        min_area: 0.0,
        deadline: Instant::now() + Duration::from_secs(30),
    }
}

/// The score of an image.
pub(crate) async fn score(served: &Served, bytes: &Bytes) -> f32 {
    let place = served.reserve_when_free().await;
    served.score(place, Given::Encoded(bytes.clone()), asked("")).await.unwrap().verdict.score
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} does not hold after 12 seconds");
}
