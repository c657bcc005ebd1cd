//! Requests that were changed at random: whatever comes, an answer with a body goes, and nothing panics.
//!
//!     BLEMISH_FUZZ=1000000 cargo test --release -p blemish-serve whatever_comes
//!
//! The requests are made for the routes and what reads bodies, so what lies behind them is chosen to be quick: a model of histograms of
//! small images, and a reload of its file once in a thousand requests.

use super::SCORE;
use crate::options::{ModelOption, ServeOptions};
use crate::testing::{bench, form, request, until, with_outputs};
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderName, HeaderValue, Request};
use tower::ServiceExt;

/// Requests, unless `BLEMISH_FUZZ` says how many.
const REQUESTS: u64 = 10_000;

/// One request in so many loads the model anew, which takes as long as hundreds of others.
const RELOADS: usize = 1000;

/// xorshift64*, seeded, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Changes, cuts or doubles some bytes.
fn mutated(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 => bytes.truncate(at),
            2 if bytes.len() < 1 << 16 => bytes.extend_from_within(at.min(bytes.len())..),
            _ => bytes.insert(at, random.next() as u8),
        }
    }
    bytes
}

/// A request of the Open Inference Protocol: JSON, or JSON and bytes.
fn infer(random: &mut Random, verb: &str, image: &[u8]) -> Request<Body> {
    let json: String = match random.below(3) {
        0 => r#"{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["iVBORw0KGgo="],"parameters":{"content_type":"base64"}}]}"#.into(),
        1 => r#"{"inputs":[{"name":"pixels","shape":[1,2,2,3],"datatype":"UINT8","data":[1,2,3,4,5,6,7,8,9,10,11,12]}],"outputs":[{"name":"score"}]}"#.into(),
        _ => format!(
            r#"{{"id":"1","inputs":[{{"name":"image","shape":[1],"datatype":"BYTES","parameters":{{"binary_data_size":{}}}}}]}}"#,
            image.len() + 4
        ),
    };
    let mut body = json.clone().into_bytes();
    if json.contains("binary_data_size") {
        body.extend((image.len() as u32).to_le_bytes());
        body.extend(image);
    }
    let mut made = request(verb, "/", body);
    let length = if random.below(4) == 0 { random.next().to_string() } else { json.len().to_string() };
    made.headers_mut().insert("inference-header-content-length", length.parse().unwrap());
    made
}

async fn base(random: &mut Random, images: &[Bytes]) -> Request<Body> {
    let image = images[random.below(images.len())].to_vec();
    let paths = [
        SCORE,
        "/score",
        "/v1/models",
        "/v1/models/line",
        "/metrics",
        "/livez",
        "/v1/models/line/score-batch",
        "/readyz",
        "/openapi.json",
        "/v2/models/line/infer",
    ];
    let queries = [
        "",
        "?map=png",
        "?map=f32&regions=false",
        "?min_area=",
        "?keep=always&keep=never",
        "?%ff=%zz",
        "?map=none&&=&x",
    ];
    let path = if random.below(RELOADS) == 0 { "/v1/models/line/reload" } else { random.one(&paths) };
    let mut path: Vec<u8> = format!("{path}{}", random.one(&queries)).into_bytes();
    if random.below(4) == 0 {
        path = mutated(random, path);
    }
    let path = String::from_utf8_lossy(&path).into_owned();
    let uri = path.parse::<axum::http::Uri>().ok().filter(|uri| uri.path().starts_with('/'));
    let verb = random.one(&["POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS", "HEAD", "BREW"]);
    let mut made = match random.below(4) {
        0 => form(verb, "/", &[("a.png", &image)]),
        1 => infer(random, verb, &image),
        _ => request(verb, "/", image),
    };
    if let Some(uri) = uri {
        *made.uri_mut() = uri;
    }
    let body = std::mem::take(made.body_mut());
    let bytes = to_bytes(body, 1 << 24).await.unwrap().to_vec();
    *made.body_mut() = mutated(random, bytes).into();
    for _ in 0..random.below(4) {
        let name = random.one(&[
            "content-type",
            "content-length",
            "content-encoding",
            "accept",
            "host",
            "origin",
            "expect",
            "authorization",
            "last-event-id",
            "x-request-id",
            "range",
        ]);
        let value = random.one(&[
            "",
            "gzip",
            "deflate",
            "-1",
            "18446744073709551616",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=cut",
            "image/png",
            "image/tiff;q=x",
            "localhost",
            "null",
            "Bearer ",
            "\u{e9}",
            "100-continue",
        ]);
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            made.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line.blemish");
    std::fs::copy(bench().path("tiled"), &path).unwrap();
    let models = vec![ModelOption { name: "line".into(), path }];
    let options = ServeOptions { models, verifies: false, ..ServeOptions::default() };
    let (server, app, _closings) = with_outputs(options, std::io::sink()).await;
    let images = bench().images();
    let served = server.models.get("line").unwrap();
    let count = std::env::var("BLEMISH_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(REQUESTS);
    for number in 0..count {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0xd134_2543_de82_ef95));
        let asked = base(&mut random, &images).await;
        let (what, verb) = (format!("{number}: {asked:?}"), asked.method().clone());
        let response = app.clone().oneshot(asked).await.unwrap();
        let status = response.status();
        assert!(status.as_u16() < 500, "{what}: {status}");
        let body = to_bytes(response.into_body(), 1 << 26).await.unwrap();
        assert!(!body.is_empty() || verb == "HEAD" || status.as_u16() == 204, "{what}: {status}");
        if status.is_client_error() && verb != "HEAD" {
            let fault: serde_json::Value =
                serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{what}: {body:?}"));
            assert!(
                fault["error"].is_string() && fault["code"].is_string() && fault["help"].is_string(),
                "{what}: {fault}"
            );
        }
    }
    until("places and memory are free", || {
        let free = server.models.memory().free();
        served.queued() == 0 && free.0 + free.1 == server.options.memory_limit
    })
    .await;
    assert_eq!(served.state(), crate::models::State::Ready);
}
