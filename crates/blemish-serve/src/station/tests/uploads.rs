//! Uploads over the routes.

use super::*;
use crate::testing::{form, large_image};
use axum::http::StatusCode;

#[tokio::test(flavor = "multi_thread")]
async fn uploads_take_large_images() {
    let bed = Bed::new(&["line"]).await;
    let image = large_image();
    let (status, set) = json_of(&bed.app, form("POST", "/v1/station/uploads", &[("a.png", &image)])).await;
    assert_eq!((status, &set["added"], &set["refused"]), (StatusCode::OK, &json!(1), &json!([])), "{set}");
}
