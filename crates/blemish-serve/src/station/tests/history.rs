//! What is answered is in the history, with its pictures, labels and downloads.

use super::*;
use crate::testing::{bench, request, send};
use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};

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
