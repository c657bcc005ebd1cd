//! A threshold over the routes: tried, applied, undone.

use super::*;
use crate::testing::bench;
use axum::http::StatusCode;

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
