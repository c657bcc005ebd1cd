//! Versions over the routes: live, in shadow, back, deleted.

use super::*;
use crate::station::versions;
use crate::testing::{bench, request};
use axum::http::StatusCode;

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
