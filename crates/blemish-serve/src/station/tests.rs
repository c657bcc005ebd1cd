//! The station over a real server: what is answered is in the history, rights, thresholds, versions, retention, restarts.

use super::*;
use crate::guard::Rights;
use crate::options::ServeOptions;
use crate::testing::{bench, form, large_image, options, request, send};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
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

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_in_the_history_with_its_pictures() {
    let bed = Bed::new(&["line"]).await;
    let images = bench().images();
    let mut verdicts = Vec::new();
    for image in &images {
        verdicts.push(bed.score(image.clone()).await);
    }
    let rows = bed.history(images.len()).await;
    for (verdict, image) in verdicts.iter().zip(&images) {
        // Images of one millisecond stand in any order.
        let row = rows.iter().find(|row| row["request"] == verdict["id"]).unwrap();
        assert_eq!(row["verdict"]["anomalous"], verdict["anomalous"]);
        assert_eq!(row["verdict"]["p_value"], verdict["p_value"]);
        assert_eq!(row["size"], json!([64, 64]));
        assert_eq!(row["verdict"]["frame"], json!({"x": 0, "y": 0, "width": 64, "height": 64}));
        assert!(row["verdict"]["words"].as_str().unwrap().contains("of 12 good images"), "{row}");
        let id = row["id"].as_str().unwrap();
        let response =
            send(&bed.app, request("GET", &format!("/v1/station/images/{id}/original"), Body::empty())).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "image/png");
        assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap(), image);
        for (name, kind) in [("map.png", "image/png"), ("thumb.jpg", "image/jpeg")] {
            let response =
                send(&bed.app, request("GET", &format!("/v1/station/images/{id}/{name}"), Body::empty()))
                    .await;
            assert_eq!(
                (response.status(), &response.headers()[header::CONTENT_TYPE]),
                (StatusCode::OK, &kind.parse().unwrap())
            );
            let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert_eq!(image::load_from_memory(&bytes).unwrap().width(), 64);
        }
    }
    let id = rows[0]["id"].as_str().unwrap();
    let body = json!({"label": "good", "author": "Ada", "note": "<img src=x onerror=alert(1)>"});
    let (status, row) = bed.json("POST", &format!("/v1/station/images/{id}/label"), body).await;
    assert_eq!((status, &row["label"]), (StatusCode::OK, &json!("good")));
    let (_, one) = bed.json("GET", &format!("/v1/station/images/{id}"), Value::Null).await;
    assert_eq!(one["labels"][0]["note"], "<img src=x onerror=alert(1)>");
    assert_eq!(one["neighbours"]["before"][0]["id"], rows[1]["id"]);
    let (_, many) =
        bed.json("POST", "/v1/station/labels", json!({"ids": [rows[1]["id"], "x"], "label": "unsure"})).await;
    assert_eq!(many, json!({"labelled": 1, "unknown": ["x"]}));
    let (status, fault) =
        bed.json("POST", &format!("/v1/station/images/{id}/label"), json!({"label": "fine"})).await;
    assert_eq!((status, &fault["code"]), (StatusCode::BAD_REQUEST, &json!("request")));
    let (status, _) = bed.json("GET", "/v1/station/images/00000000000000000000", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (_, state) = bed.json("GET", "/v1/station/state", Value::Null).await;
    assert_eq!(state["today"]["images"], images.len());
    assert_eq!(
        (&state["role"], &state["is_empty"], &state["needs_login"]),
        (&json!("engineer"), &json!(false), &json!(false))
    );
    // The download has what the filter says, where the labels say.
    let response = send(&bed.app, request("GET", "/v1/station/download?layout=folder", Body::empty())).await;
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes.to_vec())).unwrap();
    assert_eq!(zip.len(), images.len() + 1);
    let mut good = zip.by_name(&format!("good/{id}.png")).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut good, &mut bytes).unwrap();
    assert_eq!(bytes, images[images.len() - 1]);
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_it_may_and_a_foreign_page_nothing() {
    let tokens = tempfile::tempdir().unwrap();
    let file = tokens.path().join("tokens");
    std::fs::write(&file, "look read\nhand read,label\nboss score,read,label,admin\nrobot score\n").unwrap();
    let bed = Bed::with(&["line"], |options| options.token_file = Some(file.clone()), |_| {}).await;
    let login = async |token: &str| {
        let body = Body::from(json!({"token": token, "name": "Ada"}).to_string());
        let response = send(&bed.app, request("POST", "/v1/station/login", body)).await;
        let cookie = response
            .headers()
            .get(header::SET_COOKIE)
            .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        (response.status(), cookie.unwrap_or_default())
    };
    assert_eq!(login("wrong").await.0, StatusCode::UNAUTHORIZED);
    let read = [
        "GET /v1/station/images",
        "GET /v1/station/models",
        "GET /v1/station/settings",
        "GET /v1/station/audit",
        "GET /v1/station/threshold/line",
    ];
    let label = ["POST /v1/station/pause", "POST /v1/station/resume", "POST /v1/station/labels"];
    let admin = [
        "POST /v1/models/line/threshold",
        "PUT /v1/station/settings",
        "POST /v1/station/models/line/rollback",
        "POST /v1/station/jobs",
        "POST /v1/station/uploads",
        "DELETE /v1/station/models/line/versions/x",
        "POST /v1/station/drift/line/restart",
    ];
    let body = |path: &str| match path {
        "/v1/station/labels" => json!({"ids": [], "label": "good"}),
        _ => json!({}),
    };
    for (token, may) in [
        ("", [false, false, false]),
        ("look", [true, false, false]),
        ("hand", [true, true, false]),
        ("boss", [true, true, true]),
        ("robot", [false, false, false]),
    ] {
        let cookie = if token.is_empty() { String::new() } else { login(token).await.1 };
        for (group, may) in [(&read[..], may[0]), (&label[..], may[1]), (&admin[..], may[2])] {
            for line in group {
                let (verb, path) = line.split_once(' ').unwrap();
                let mut asked = request(verb, path, Body::from(body(path).to_string()));
                if !cookie.is_empty() {
                    asked.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
                }
                let status = send(&bed.app, asked).await.status();
                let refused = match token {
                    "" => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::FORBIDDEN,
                };
                assert_eq!(status == refused, !may, "{token}: {line}: {status}");
                assert!(!may || status != StatusCode::UNAUTHORIZED, "{token}: {line}: {status}");
                // The same with the right to everything from a page of another origin.
                let mut asked = request(verb, path, Body::from(body(path).to_string()));
                asked.headers_mut().insert(header::AUTHORIZATION, "Bearer boss".parse().unwrap());
                asked.headers_mut().insert(header::ORIGIN, "https://elsewhere.example".parse().unwrap());
                if verb != "GET" {
                    let (status, fault) = json_of(&bed.app, asked).await;
                    assert_eq!((status, &fault["code"]), (StatusCode::FORBIDDEN, &json!("origin")), "{line}");
                }
            }
        }
    }
    // Who changed what is noted under the name of the login.
    let boss = login("boss").await.1;
    let mut asked = request("GET", "/v1/station/log", Body::empty());
    asked.headers_mut().insert(header::COOKIE, boss.parse().unwrap());
    let (_, log) = json_of(&bed.app, asked).await;
    let events = log["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["kind"] == "pause" && event["author"] == "Ada"), "{log}");
    let (_, state) = bed.json("GET", "/v1/station/state", Value::Null).await;
    assert_eq!((&state["needs_login"], &state["models"]), (&json!(true), &Value::Null));
    assert_eq!(login::role(Rights::all()), "engineer");
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_tried_applied_and_undone_by_the_one_rule() {
    let bed = Bed::new(&["line"]).await;
    let images = bench().images();
    for image in &images {
        bed.score(image.clone()).await;
    }
    let rows = bed.history(images.len()).await;
    for (number, row) in rows.iter().enumerate() {
        let label = if number % 2 == 0 { "good" } else { "defective" };
        let path = format!("/v1/station/images/{}/label", row["id"].as_str().unwrap());
        bed.json("POST", &path, json!({"label": label})).await;
    }
    let (status, told) = bed.json("GET", "/v1/station/threshold/line", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let positions = told["positions"].as_array().unwrap();
    assert!(positions.len() > 5);
    let live = told["live"].as_array().unwrap();
    // What a page counts by itself is what the server counts, at every position.
    for position in positions {
        let threshold = position["threshold"].as_f64().unwrap();
        let count = |label: Option<&str>| {
            let of = live.iter().filter(|one| label.is_none_or(|label| one["label"] == label));
            of.filter(|one| one["score"].as_f64().unwrap() > threshold).count()
        };
        for body in [json!({"threshold": threshold}), json!({"rate": position["rate"]})] {
            let (status, dry) = bed.json("POST", "/v1/models/line/threshold?dry_run=true", body).await;
            assert_eq!(status, StatusCode::OK, "{dry}");
            assert_eq!(dry["threshold"].as_f64().unwrap() as f32, threshold as f32);
            assert_eq!((&dry["of"], &dry["flagged"]), (&json!(images.len()), &json!(count(None))));
            assert_eq!(dry["good"]["flagged"], count(Some("good")));
            assert_eq!(dry["defective"]["flagged"], count(Some("defective")));
            assert_eq!(dry["applied"], false);
        }
    }
    let identity = bed.server.models.get("line").unwrap().current().identity.clone();
    let path = bed.server.models.get("line").unwrap().path().to_owned();
    let before = told["threshold"].clone();
    let lowest = positions.last().unwrap();
    let body = json!({"threshold": lowest["threshold"], "author": "Ada", "reason": "new light"});
    let (status, applied) = bed.json("POST", "/v1/models/line/threshold", body).await;
    assert_eq!((status, &applied["applied"]), (StatusCode::OK, &json!(true)), "{applied}");
    let verdict = bed.score(images[0].clone()).await;
    assert_eq!(verdict["threshold"].as_f64().unwrap() as f32, lowest["threshold"].as_f64().unwrap() as f32);
    let of_file = |path: &Path| {
        let detector = blemish::Detector::load(path, &Default::default()).unwrap();
        assert!(detector.verify(&Default::default()).unwrap().passed);
        (detector.identity(), detector.calibration().unwrap().clone())
    };
    let (now, calibration) = of_file(&path);
    assert_eq!(now, identity, "the content is the same");
    assert_eq!(calibration.image_threshold.unwrap(), lowest["threshold"].as_f64().unwrap() as f32);
    let (_, told) = bed.json("GET", "/v1/station/threshold/line", Value::Null).await;
    let change = &told["history"][0];
    assert_eq!(
        (&change["author"], &change["reason"], &told["can_undo"]),
        (&json!("Ada"), &json!("new light"), &json!(true))
    );
    assert_eq!(change["from"].as_f64().unwrap() as f32, before.as_f64().unwrap() as f32);
    let (status, undone) = bed.json("POST", "/v1/models/line/threshold/undo", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{undone}");
    let (_, restored) = of_file(&path);
    let original = blemish::Detector::load(&bench().path("line"), &Default::default()).unwrap();
    assert_eq!(Some(&restored), original.calibration(), "to the last digit");
    let threshold = |value: &Value| value.as_f64().unwrap() as f32;
    assert_eq!(threshold(&bed.score(images[0].clone()).await["threshold"]), threshold(&before));
    let (status, _) = bed.json("POST", "/v1/models/line/threshold/undo", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    // There is one version still, whatever its thresholds were meanwhile.
    let (_, models) = bed.json("GET", "/v1/station/models", Value::Null).await;
    assert_eq!(models["models"][0]["versions"].as_array().unwrap().len(), 1, "{models}");
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_go_live_into_shadow_and_back() {
    let bed = Bed::new(&["line"]).await;
    let images = bench().images();
    let (_, models) = bed.json("GET", "/v1/station/models", Value::Null).await;
    let first = models["models"][0]["live"].as_str().unwrap().to_owned();
    let other = bed
        .station
        .versions
        .take_in("line", &bench().path("other"), versions::MadeBy::Fit, None, "")
        .unwrap();
    let change = json!({"version": other.key});
    let (status, model) = bed.json("POST", "/v1/station/models/line/shadow", change.clone()).await;
    assert_eq!((status, &model["shadow"]), (StatusCode::OK, &json!(other.key)), "{model}");
    for image in &images {
        bed.score(image.clone()).await;
    }
    let rows = bed.history(images.len()).await;
    let path = format!("/v1/station/compare/line?candidate={}", other.key);
    let began = Instant::now();
    let compared = loop {
        let (_, compared) = bed.json("GET", &path, Value::Null).await;
        if compared["n"] == images.len() {
            break compared;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{compared}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let expected = bench().scores("other");
    let scores: Vec<f32> = compared["pairs"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|pair| pair["candidate"]["score"].as_f64().unwrap() as f32)
        .collect();
    assert_eq!(scores, expected, "the candidate has scored the same images");
    let flagged = &compared["flagged"];
    let total: u64 = ["both", "live_only", "candidate_only", "neither"]
        .iter()
        .map(|key| flagged[key].as_u64().unwrap())
        .sum();
    assert_eq!(total as usize, rows.len());
    let (status, _) =
        bed.json("DELETE", &format!("/v1/station/models/line/versions/{}", other.key), Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is in shadow");
    let (status, model) = bed.json("POST", "/v1/station/models/line/live", change).await;
    assert_eq!(
        (status, &model["live"], &model["shadow"]),
        (StatusCode::OK, &json!(other.key), &Value::Null),
        "{model}"
    );
    assert_eq!(bed.score(images[0].clone()).await["version"], other.version);
    let (status, _) =
        bed.json("DELETE", &format!("/v1/station/models/line/versions/{}", other.key), Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is live");
    let (status, model) = bed.json("POST", "/v1/station/models/line/rollback", json!({})).await;
    assert_eq!(
        (status, &model["live"], &model["can_roll_back"]),
        (StatusCode::OK, &json!(first), &json!(false)),
        "{model}"
    );
    assert_eq!(bed.score(images[0].clone()).await["version"], first);
    let (status, verified) =
        bed.json("POST", "/v1/station/models/line/verify", json!({"version": other.key})).await;
    assert_eq!((status, &verified["passed"]), (StatusCode::OK, &json!(true)));
    // A damaged version is not taken, and the line goes on.
    let damaged = bed.station.versions.path("line", &other.key).unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let (status, fault) =
        bed.json("POST", "/v1/station/models/line/live", json!({"version": other.key})).await;
    assert!(status.is_client_error(), "{fault}");
    assert_eq!(bed.score(images[0].clone()).await["version"], first);
    let (_, models) = bed.json("GET", "/v1/station/models", Value::Null).await;
    assert_eq!(models["models"][0]["live"], first);
    let (status, model) =
        bed.json("DELETE", &format!("/v1/station/models/line/versions/{}", other.key), Value::Null).await;
    assert_eq!((status, model["versions"].as_array().unwrap().len()), (StatusCode::OK, 1));
    let (status, _) =
        bed.json("GET", "/v1/station/models/line/versions/..%2f..%2fsettings/download", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // A model that nobody named on the command line is served once a version of it is live.
    let fresh = bed
        .station
        .versions
        .take_in("fresh", &bench().path("other"), versions::MadeBy::Fit, None, "")
        .unwrap();
    let (status, model) =
        bed.json("POST", "/v1/station/models/fresh/live", json!({"version": fresh.key})).await;
    assert_eq!((status, &model["is_ready"]), (StatusCode::OK, &json!(true)), "{model}");
    let (status, _) = json_of(&bed.app, request("POST", "/v1/models/fresh/score", images[0].clone())).await;
    assert_eq!(status, StatusCode::OK);
    bed.station.close(Duration::from_secs(1));
}

/// 10 MiB of room, 30 MiB of images: what is left is what the order says, and no more than one image is ever beyond the limit.
#[tokio::test(flavor = "multi_thread")]
async fn pictures_make_room_in_their_order() {
    const LIMIT: u64 = 10 << 20;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("history.db")).unwrap());
    let pictures = Pictures::new(folder.path().join("images"));
    let limits = retention::Limits { bytes: LIMIT, days: 36_500 };
    let map = blemish::map::AnomalyMap { height: 0, width: 0, values: Vec::new() };
    let on_disk = || -> u64 {
        let mut folders = vec![pictures.root().to_owned()];
        let mut bytes = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path().is_dir() {
                    true => folders.push(entry.path()),
                    false => bytes += entry.metadata().unwrap().len(),
                }
            }
        }
        bytes
    };
    let each = 100 << 10;
    let count = 300u64;
    let mut kinds = std::collections::HashMap::new();
    for number in 0..count {
        let mut row = store::tests::row(number, 1.0, number % 10 == 1);
        let kind = match number % 10 {
            0 => "pinned",
            1 => "flagged",
            2 => "labelled",
            _ => "passed",
        };
        row.pinned = kind == "pinned" && number < 100;
        row.bytes = each;
        let (file, _, bytes) = pictures.write(&row.id, &vec![b'B'; each as usize], &map, (0.0, 1.0)).unwrap();
        assert_eq!(bytes, each);
        row.file = file;
        kinds.insert(row.id.clone(), (kind, number));
        let label = kind == "labelled";
        let written = row.clone();
        store
            .write(move |connection| {
                written.insert(connection)?;
                if label {
                    store::labels::label(
                        connection,
                        std::slice::from_ref(&written.id),
                        store::labels::Label::Good,
                        "",
                        "",
                    )?;
                }
                Ok(())
            })
            .unwrap();
        assert!(on_disk() <= LIMIT + each, "beyond the limit by more than one image");
        retention::enforce(&store, &pictures, limits, 0).unwrap();
        assert!(on_disk() <= LIMIT);
    }
    let left: Vec<String> = store
        .read(|connection| {
            let mut list = connection.prepare("SELECT id FROM image WHERE bytes > 0 ORDER BY id").unwrap();
            Ok(list.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap())
        })
        .unwrap();
    let of = |wanted: &str| left.iter().filter(|id| kinds[*id].0 == wanted).count();
    let pinned: Vec<u64> = left
        .iter()
        .map(|id| kinds[id])
        .filter(|(kind, number)| *kind == "pinned" && *number < 100)
        .map(|(_, number)| number)
        .collect();
    assert_eq!(pinned, (0..10).map(|ten| ten * 10).collect::<Vec<_>>(), "pinned ones stay, however old");
    assert_eq!(
        (of("labelled"), of("flagged")),
        (30, 30),
        "labelled and flagged ones stay while others can go"
    );
    let passed: Vec<u64> = left
        .iter()
        .map(|id| kinds[id])
        .filter(|(kind, number)| *kind == "passed" || (*kind == "pinned" && *number >= 100))
        .map(|(_, number)| number)
        .collect();
    assert_eq!(passed.len(), 102 - 70);
    assert!(
        passed.iter().all(|number| *number >= passed[0]) && *passed.last().unwrap() == count - 1,
        "the newest that passed"
    );
    // A smaller limit takes flagged ones next, the oldest first, and labelled ones last.
    retention::enforce(&store, &pictures, retention::Limits { bytes: 4 << 20, ..limits }, 0).unwrap();
    let rows = store
        .read(|connection| store::history::Filter { limit: Some(500), ..Default::default() }.list(connection))
        .unwrap()
        .images;
    let has = |row: &&Row| row.has_original;
    assert_eq!(rows.len(), 300, "rows outlive pictures");
    assert_eq!(rows.iter().filter(has).filter(|row| row.label.is_some()).count(), 30);
    assert_eq!(
        rows.iter()
            .filter(has)
            .filter(|row| row.verdict.as_ref().unwrap().anomalous == Some(true) && row.label.is_none())
            .count(),
        0
    );
    retention::enforce(&store, &pictures, retention::Limits { bytes: 0, ..limits }, 0).unwrap();
    assert_eq!(on_disk(), 10 * each, "pinned ones stay whatever happens");
    // Days count as well: these are older than a day but for what is pinned.
    assert!(store.read(retention::held).unwrap().pictures == 10);
}

/// The folder as a killed station leaves it: copied while images come. After the start there is no row without its file and no file without
/// its row, and what was committed is there.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_rows_and_files_belong_together() {
    let bed = Bed::new(&["line"]).await;
    let image = bench().images()[0].clone();
    for _ in 0..20 {
        bed.score(image.clone()).await;
    }
    let before = bed.history(20).await;
    let copy = tempfile::tempdir().unwrap();
    let copied = copy.path().join("station");
    copy_all(bed.folder.path(), &copied);
    bed.station.close(Duration::from_secs(1));
    // A file whose row was not committed, and a row whose file is gone, as retention may leave them.
    let day = clock::day_folder(SystemTime::now());
    let id = store::images::image_id(SystemTime::now(), "lost", "line");
    let stray = copied.join("images").join(&day).join(format!("{id}.png"));
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, b"stray").unwrap();
    let others = copied.join("images").join(&day).join("notes.txt");
    std::fs::write(&others, b"not ours").unwrap();
    let gone = before[3]["id"].as_str().unwrap();
    std::fs::remove_file(copied.join("images").join(&day).join(format!("{gone}.png"))).unwrap();
    let store = Store::open(&copied.join("history.db")).unwrap();
    let pictures = Pictures::new(copied.join("images"));
    // What came since the start may be about to get its row.
    let began = |id: &str| store::images::milliseconds_of(id).unwrap();
    let first = before.last().unwrap()["id"].as_str().unwrap();
    assert_eq!(retention::mend(&store, &pictures, began(first)).unwrap(), (0, 0));
    assert!(stray.exists());
    assert_eq!(retention::mend(&store, &pictures, began(&id) + 1).unwrap(), (1, 1));
    assert!(!stray.exists() && others.exists());
    let rows = store
        .read(|connection| store::history::Filter { limit: Some(500), ..Default::default() }.list(connection))
        .unwrap()
        .images;
    assert_eq!(
        rows.iter().rev().map(|row| row.id.clone()).collect::<Vec<_>>(),
        before.iter().rev().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    );
    for row in &rows {
        let is_there = row.file.as_ref().is_some_and(|file| copied.join("images").join(file).exists());
        assert_eq!(is_there, row.id != gone, "{}", row.id);
        assert_eq!(row.has_original, is_there, "a row does not promise what is gone");
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        match entry.path().is_dir() {
            true => copy_all(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name()))),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_a_second_station_in_the_same_folder() {
    let bed = Bed::new(&["line"]).await;
    let fault = Station::open_with(bed.folder.path(), &bed.server, PathBuf::new()).err().unwrap();
    assert_eq!(fault.code, "conflict");
    let (_, told) = bed.json("GET", "/v1/station/settings", Value::Null).await;
    assert_eq!((&told["record"], &told["audit"]), (&json!("all"), &json!(0.02)));
    let (status, told) =
        bed.json("PUT", "/v1/station/settings", json!({"record": "none", "audit": 1.0})).await;
    assert_eq!((status, &told["record"]), (StatusCode::OK, &json!("none")));
    bed.score(bench().images()[0].clone()).await;
    let (status, _) = bed.json("PUT", "/v1/station/settings", json!({"record": "flagged"})).await;
    assert_eq!(status, StatusCode::OK);
    // Everything is audited, so everything is recorded: a sample of flagged ones alone would be none.
    bed.score(bench().images()[0].clone()).await;
    assert_eq!(bed.history(1).await.len(), 1);
    let (_, audit) = bed.json("GET", "/v1/station/audit?model=line", Value::Null).await;
    assert_eq!((&audit["audited"], &audit["waiting"]), (&json!(1), &json!(1)));
    let (_, feedback) = bed.json("GET", "/v1/station/feedback/line", Value::Null).await;
    assert_eq!(feedback["calibrate"]["images"], 0, "{feedback}");
    let (status, _) = bed.json("PUT", "/v1/station/settings", json!({"audit": 7})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_take_large_images() {
    let bed = Bed::new(&["line"]).await;
    let image = large_image();
    let (status, set) = json_of(&bed.app, form("POST", "/v1/station/uploads", &[("a.png", &image)])).await;
    assert_eq!((status, &set["added"], &set["refused"]), (StatusCode::OK, &json!(1), &json!([])), "{set}");
}
