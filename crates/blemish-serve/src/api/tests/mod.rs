//! Our own interface, as requests see it.

mod described;
mod fuzz;
mod guarded;
mod sockets;

use crate::answer::Verdict;
use crate::testing::{ask, bench, form, large_image, options, request, send, server};
use axum::body::to_bytes;
use axum::http::header;
use base64::Engine as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SCORE: &str = "/v1/models/line/score";

fn bits(value: &Value) -> u32 {
    (value["score"].as_f64().unwrap() as f32).to_bits()
}

#[tokio::test]
async fn an_image_comes_as_a_body_or_in_a_form_and_scores_as_predict_says() {
    let (options, _folder) = options(&["line"]);
    let (_server, app) = server(options).await;
    for (image, expected) in bench().images().iter().zip(bench().scores("line")) {
        for path in [SCORE, "/score"] {
            let (status, bare) = ask(&app, request("POST", path, image.clone())).await;
            assert_eq!((status, bits(&bare)), (200, expected.to_bits()), "{bare}");
            let (status, in_form) = ask(&app, form("POST", path, &[("a.png", image)])).await;
            assert_eq!((status, bits(&in_form)), (200, expected.to_bits()));
            assert_ne!(bare["id"], in_form["id"]);
            let verdict: Verdict = serde_json::from_value(bare).unwrap();
            assert!(verdict.p_value.is_some() && verdict.anomalous.is_some() && verdict.size == [64, 64]);
        }
    }
}

#[tokio::test]
async fn answers_take_the_form_that_is_asked_for() {
    let (options, _folder) = options(&["line", "native"]);
    let (server, app) = server(options).await;
    let image = &bench().images()[6];
    let (_, verdict) =
        ask(&app, request("POST", &format!("{SCORE}?map=f32&regions=false"), image.clone())).await;
    assert!(verdict.get("regions").is_none());
    let map = &verdict["map"];
    let data = base64::engine::general_purpose::STANDARD.decode(map["data"].as_str().unwrap()).unwrap();
    let values: Vec<f32> =
        data.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!((&map["height"], &map["width"], values.len()), (&json!(64), &json!(64), 64 * 64));
    let served = server.models.get("line").unwrap();
    let scored = served.current().detector.score_file(&bench().dataset.test[6].path).unwrap();
    assert!(values == scored.map.values);
    let (_, verdict) =
        ask(&app, request("POST", &format!("{SCORE}?map=png&min_area=1e9"), image.clone())).await;
    assert_eq!((&verdict["map"]["encoding"], &verdict["regions"]), (&json!("png;base64"), &json!([])));
    for (kind, magic) in [("image/png", &b"\x89PNG"[..]), ("image/tiff", b"II*\0")] {
        let mut asked = request("POST", SCORE, image.clone());
        asked.headers_mut().insert(header::ACCEPT, kind.parse().unwrap());
        let response = send(&app, asked).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
        let beside: Value =
            serde_json::from_str(response.headers()["blemish-verdict"].to_str().unwrap()).unwrap();
        assert_eq!(bits(&beside), scored.score.to_bits());
        assert!(to_bytes(response.into_body(), 1 << 24).await.unwrap().starts_with(magic));
    }
    // Without a calibration nothing is decided, and that is said.
    let (_, verdict) = ask(&app, request("POST", "/v1/models/native/score", image.clone())).await;
    assert!(
        ["p_value", "threshold", "anomalous"]
            .iter()
            .all(|key| verdict[*key].is_null() && verdict.get(*key).is_some())
    );
}

#[tokio::test]
async fn a_batch_has_a_verdict_or_an_error_for_each() {
    let (options, _folder) = options(&["line"]);
    let (server, app) = server(crate::options::ServeOptions { queue: 3, ..options }).await;
    let (images, scores) = (bench().images(), bench().scores("line"));
    let mut files: Vec<(&str, &[u8])> = images.iter().map(|image| ("a.png", &image[..])).collect();
    files.insert(2, ("text.png", b"no image"));
    let (status, answer) = ask(&app, form("POST", "/v1/models/line/score-batch", &files)).await;
    let results = answer["results"].as_array().unwrap();
    assert_eq!((status, results.len()), (200, images.len() + 1));
    assert_eq!(results[2]["code"], "image_format");
    let others = results.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, result)| bits(result));
    assert_eq!(others.collect::<Vec<_>>(), scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>());
    assert_eq!(
        results.iter().filter_map(|one| one["id"].as_str()).collect::<BTreeSet<_>>().len(),
        images.len()
    );
    let bare = request("POST", "/v1/models/line/score-batch", images[0].clone());
    assert_eq!(ask(&app, bare).await.0, 400);
    let many = vec![("a.png", &images[0][..]); 65];
    assert_eq!(ask(&app, form("POST", "/v1/models/line/score-batch", &many)).await.0, 400);
    crate::testing::until("places are free", || server.models.get("line").unwrap().queued() == 0).await;
}

#[tokio::test]
async fn forms_are_as_large_as_bodies_may_be() {
    let (options, _folder) = options(&["line"]);
    let (_server, app) = server(crate::options::ServeOptions { max_body: 12 << 20, ..options }).await;
    let image = large_image();
    let (status, bare) = ask(&app, request("POST", SCORE, image.clone())).await;
    assert_eq!(status, 200, "{bare}");
    let (status, one) = ask(&app, form("POST", SCORE, &[("a.png", &image)])).await;
    assert_eq!((status, bits(&one)), (200, bits(&bare)), "{one}");
    let batch = "/v1/models/line/score-batch";
    let (status, two) = ask(&app, form("POST", batch, &[("a.png", &image), ("b.png", &image)])).await;
    assert_eq!((status, bits(&two["results"][1])), (200, bits(&bare)), "{two}");
    let three = [("a.png", &image[..]), ("b.png", &image), ("c.png", &image)];
    let (status, error) = ask(&app, form("POST", batch, &three)).await;
    assert_eq!((status, &error["code"]), (413, &json!("body_too_large")));
}

#[tokio::test]
async fn images_are_kept_on_request_only_where_there_is_a_folder() {
    let (options, folder) = options(&["line"]);
    let image = bench().images()[0].clone();
    let with_folder =
        crate::options::ServeOptions { keep_dir: Some(folder.path().join("kept")), ..options.clone() };
    for (options, expected) in [(options, 400), (with_folder, 200)] {
        let (_server, app) = server(options).await;
        for keep in ["always", "flagged"] {
            let path = format!("{SCORE}?keep={keep}");
            let (status, answer) = ask(&app, request("POST", &path, image.clone())).await;
            assert_eq!(status, expected, "{answer}");
            assert!(status == 200 || answer["help"].as_str().unwrap().contains("--keep-dir"), "{answer}");
            let path = format!("/v1/models/line/score-batch?keep={keep}");
            assert_eq!(ask(&app, form("POST", &path, &[("a.png", &image)])).await.0, expected);
        }
        assert_eq!(ask(&app, request("POST", &format!("{SCORE}?keep=never"), image.clone())).await.0, 200);
    }
}

#[tokio::test]
async fn new_requests_are_refused_while_the_server_drains() {
    let (options, _folder) = options(&["line"]);
    let (server, app) = server(options).await;
    server.stopping.cancel();
    let (status, answer) = ask(&app, request("POST", SCORE, bench().images()[0].clone())).await;
    assert_eq!((status, &answer["code"]), (503, &json!("shutting_down")));
    assert_eq!(ask(&app, request("GET", "/livez", "")).await.0, 200);
    let (status, answer) = ask(&app, request("GET", "/readyz", "")).await;
    assert_eq!((status, &answer["code"]), (503, &json!("not_ready")), "{answer}");
}

#[tokio::test]
async fn every_error_says_what_is_wrong_and_how_to_mend_it() {
    let (options, _folder) = options(&["line", "other"]);
    let (server, app) = server(crate::options::ServeOptions { max_body: 100_000, ..options }).await;
    let image = bench().images()[0].clone();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &vec![0; 10 << 20]).unwrap();
    let packed = |bytes: Vec<u8>, how: &str| {
        let mut packed = request("POST", SCORE, bytes);
        packed.headers_mut().insert(header::CONTENT_ENCODING, how.parse().unwrap());
        packed
    };
    let head = crate::models::tests::png_head(60_000, 60_000);
    let broken_form = {
        let mut broken = form("POST", SCORE, &[("a.png", &image)]);
        *broken.body_mut() = "--cut\r\nContent-Disp".into();
        broken
    };
    let cases = [
        (request("POST", "/v1/models/none/score", image.clone()), 404, "no_such_model"),
        (request("POST", "/score", image.clone()), 409, "several_models"),
        (request("GET", "/nothing", ""), 404, "not_found"),
        (request("GET", SCORE, ""), 405, "method_not_allowed"),
        (request("POST", SCORE, "text"), 415, "image_format"),
        (request("POST", SCORE, ""), 422, "image_unreadable"),
        (request("POST", SCORE, image.slice(..image.len() / 2)), 422, "image_unreadable"),
        (request("POST", SCORE, head), 413, "image_too_large"),
        (request("POST", SCORE, vec![0; 100_001]), 413, "body_too_large"),
        (request("POST", &format!("{SCORE}?map=jpg"), image.clone()), 400, "request"),
        (request("POST", &format!("{SCORE}?maps=png"), image.clone()), 400, "request"),
        (request("POST", "/v1/models/%ff/score", image.clone()), 400, "request"),
        (packed(gzip.finish().unwrap(), "gzip"), 413, "body_too_large"),
        (packed(image.to_vec(), "br"), 400, "request"),
        (packed(image.to_vec(), "gzip"), 400, "request"),
        (broken_form, 400, "request"),
        (form("POST", SCORE, &[("a", &image), ("b", &image)]), 400, "request"),
    ];
    for (request, status, code) in cases {
        let what = format!("{} {}", request.method(), request.uri());
        let (found, body) = ask(&app, request).await;
        assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{what}: {body}");
        assert!(!body["error"].as_str().unwrap().is_empty() && body["help"].is_string(), "{body}");
    }
    let place = server.models.memory().free();
    assert_eq!(place.0 + place.1, server.options.memory_limit);
}

#[tokio::test]
async fn models_are_told_and_loaded_anew() {
    let (options, _folder) = options(&["line", "native"]);
    let (server, app) = server(options).await;
    let (_, list) = ask(&app, request("GET", "/v1/models", "")).await;
    let names: Vec<_> =
        list["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["line", "native"]);
    let (_, line) = ask(&app, request("GET", "/v1/models/line", "")).await;
    assert_eq!(
        (&line["method"], &line["state"], &line["input"]["height"]),
        (&json!("padim"), &json!("ready"), &json!(64))
    );
    assert!(line["identity"].as_str().unwrap().starts_with(line["version"].as_str().unwrap()));
    assert!(line["calibration"]["promise"].as_str().unwrap().contains("false alarms"));
    let (_, native) = ask(&app, request("GET", "/v1/models/native", "")).await;
    assert!(native["calibration"].is_null());
    let path = server.models.get("line").unwrap().path().to_owned();
    std::fs::copy(bench().path("other"), &path).unwrap();
    let (status, after) = ask(&app, request("POST", "/v1/models/line/reload", "")).await;
    assert!(status == 200 && after["version"] != line["version"], "{after}");
    std::fs::write(&path, "no model").unwrap();
    let (status, fault) = ask(&app, request("POST", "/v1/models/line/reload", "")).await;
    assert_eq!((status, &fault["code"]), (422, &json!("not_a_model")), "{fault}");
    let (_, kept) = ask(&app, request("GET", "/v1/models/line", "")).await;
    assert_eq!((&kept["version"], &kept["counts"]["reload_failures"]), (&after["version"], &json!(1)));
    assert!(kept["reload_error"].is_string() && ask(&app, request("GET", "/readyz", "")).await.0 == 200);
}

#[tokio::test]
async fn readiness_waits_for_verification_and_ends_with_the_server() {
    let (options, _folder) = options(&["line"]);
    let server = crate::server::Server::open(options).unwrap();
    let (app, _) = server.app(Vec::new());
    assert_eq!(ask(&app, request("GET", "/livez", "")).await, (200, json!({"live": true})));
    assert_eq!(ask(&app, request("GET", "/readyz", "")).await.0, 503);
    let refused = send(&app, request("POST", SCORE, bench().images()[0].clone())).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()[header::RETRY_AFTER]),
        (503, &"1".parse().unwrap())
    );
    server.models.verify().await.unwrap();
    assert_eq!(ask(&app, request("GET", "/readyz", "")).await.0, 200);
    server.stopping.cancel();
    let (status, body) = ask(&app, request("GET", "/readyz", "")).await;
    assert!(status == 503 && body["error"].as_str().unwrap().contains("shutting down"), "{body}");
}

#[tokio::test]
async fn events_go_on_after_the_last_that_was_had() {
    use futures_util::StreamExt;
    let (options, _folder) = options(&["line"]);
    let (server, app) = server(options).await;
    let image = bench().images()[0].clone();
    for _ in 0..3 {
        ask(&app, request("POST", SCORE, image.clone())).await;
    }
    let mut follow = request("GET", "/v1/events", "");
    follow.headers_mut().insert("last-event-id", "1".parse().unwrap());
    let mut events = send(&app, follow).await.into_body().into_data_stream();
    let mut next = async || String::from_utf8(events.next().await.unwrap().unwrap().to_vec()).unwrap();
    for id in [2, 3] {
        let event = next().await;
        assert!(event.contains(&format!("id: {id}\n")) && event.contains("event: verdict\n"), "{event}");
        let json = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        let verdict: Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            (bits(&verdict), &verdict["origin"]),
            (bench().scores("line")[0].to_bits(), &json!("http"))
        );
    }
    server.models.get("line").unwrap().reload().await.unwrap();
    assert!(next().await.contains("event: reload\n"));
    let mut wrong = request("GET", "/v1/events", "");
    wrong.headers_mut().insert("last-event-id", "x".parse().unwrap());
    assert_eq!(ask(&app, wrong).await.0, 400);
    // A stream without an end ends with the server.
    server.stopping.cancel();
    assert!(events.next().await.is_none());
}
