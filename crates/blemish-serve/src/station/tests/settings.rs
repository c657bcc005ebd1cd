//! Settings that change while images come, and the folder that only one station has.

use super::*;
use crate::testing::bench;
use axum::http::StatusCode;

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
