//! Whether the server lives, is ready, and how it does.

use crate::fault::Fault;
use crate::guard::{Right, Rights};
use crate::server::{Readiness, Server};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// Says that the process lives.
#[utoipa::path(get, path = "/livez", tag = "health",
    responses((status = 200, description = "It lives.", body = Object)))]
pub(super) async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

/// Says whether every model answers.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "All models answer.", body = Readiness),
        (status = 503, description = "Not all do, or the server is shutting down.", body = super::ErrorBody)))]
pub(super) async fn ready(State(server): State<Arc<Server>>) -> Result<Json<Readiness>, Fault> {
    let readiness = server.readiness();
    readiness.check()?;
    Ok(Json(readiness))
}

/// Metrics, as OpenMetrics text.
#[utoipa::path(get, path = "/metrics", tag = "health", security(("token" = ["read"])),
    responses((status = 200, description = "Metrics.", content((String = "application/openmetrics-text"))),
        (status = "default", description = "An error.", body = super::ErrorBody)))]
pub(super) async fn metrics(State(server): State<Arc<Server>>, rights: Rights) -> Result<Response, Fault> {
    rights.need(Right::Read)?;
    let Some(metrics) = server.plugs.metrics.get() else {
        return Err(Fault::new("not_found", "this server counts nothing; ask one with metrics"));
    };
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, kind)], metrics.encode(&server)).into_response())
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "All routes, as OpenAPI.", body = Object)))]
pub(super) async fn openapi(State(server): State<Arc<Server>>) -> Response {
    let text = server.plugs.openapi.get().cloned().unwrap_or_else(|| "{}".into());
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
