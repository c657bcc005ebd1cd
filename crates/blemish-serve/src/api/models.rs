//! What is served, and loading it anew.

use crate::bus::seconds;
use crate::fault::Fault;
use crate::guard::{Right, Rights};
use crate::models::{Counts, Served, State as Condition};
use crate::server::Server;
use axum::Json;
use axum::extract::{Path, State};
use blemish::data::Resize;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// The models.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelList {
    /// By name.
    models: Vec<Told>,
}

/// A model as it is told.
#[derive(Serialize, ToSchema)]
pub(super) struct Told {
    name: String,
    /// The first twelve digits of the identity.
    version: String,
    /// SHA-256 of method, backbone, transform and tensors.
    identity: String,
    method: String,
    #[schema(value_type = Object)]
    settings: Value,
    backbone: Option<String>,
    /// How images become input.
    #[schema(value_type = Object)]
    input: Value,
    /// What thresholds rest on, and what they promise, in words; null without a calibration.
    calibration: Option<Calibrated>,
    /// Good images that it has learnt from.
    images: usize,
    /// Bytes of the file.
    bytes: u64,
    /// When it was read, in seconds since 1970.
    loaded: f64,
    /// `loading`, `ready` or `failed`.
    state: &'static str,
    /// Why it failed.
    reason: Option<String>,
    /// Why the latest file did not take its place.
    reload_error: Option<String>,
    /// The version in shadow.
    shadow: Option<String>,
    /// Images that wait, are decoded or scored.
    queued: usize,
    #[schema(value_type = Object)]
    counts: Counts,
}

#[derive(Serialize, ToSchema)]
struct Calibrated {
    origin: String,
    promise: String,
    threshold: Option<f32>,
    pixel_threshold: Option<f32>,
}

impl Told {
    fn of(served: &Served) -> Self {
        let version = served.current();
        let header = &version.header;
        let (state, reason) = match served.state() {
            Condition::Loading => ("loading", None),
            Condition::Ready => ("ready", None),
            Condition::Failed(reason) => ("failed", Some(reason)),
        };
        Self {
            name: served.name().to_owned(),
            version: version.version.clone(),
            identity: version.identity.clone(),
            method: header.method.clone(),
            settings: serde_json::to_value(&header.settings).unwrap_or_default(),
            backbone: header.backbone.as_ref().map(|backbone| backbone.name.clone()),
            input: input(&header.transform.resize, header.views.len()),
            calibration: header.calibration.as_ref().map(|calibration| Calibrated {
                origin: calibration.origin(),
                promise: calibration.promise(),
                threshold: calibration.image_threshold,
                pixel_threshold: calibration.pixel_threshold,
            }),
            images: header.data.images,
            bytes: version.bytes,
            loaded: seconds(version.loaded),
            state,
            reason,
            reload_error: served.reload_error(),
            shadow: served.shadow().map(|version| version.version.clone()),
            queued: served.queued(),
            counts: served.counts(),
        }
    }
}

fn input(resize: &Resize, views: usize) -> Value {
    let views = views.max(1);
    match resize {
        Resize::Exact { height, width } => json!({"height": height, "width": width, "views": views}),
        Resize::ShorterSide(side) => json!({"shorter_side": side, "views": views}),
        Resize::Native => json!({"native": true, "views": views}),
    }
}

/// Lists the models.
#[utoipa::path(get, path = "/v1/models", tag = "models", security(("token" = ["read"])),
    responses((status = 200, description = "The models, by name.", body = ModelList),
        (status = "default", description = "An error.", body = super::ErrorBody)))]
pub(super) async fn list(
    State(server): State<Arc<Server>>,
    rights: Rights,
) -> Result<Json<ModelList>, Fault> {
    rights.need(Right::Read)?;
    let models = server.models.all().iter().map(|served| Told::of(served)).collect();
    Ok(Json(ModelList { models }))
}

/// Tells of one model.
#[utoipa::path(get, path = "/v1/models/{name}", tag = "models", security(("token" = ["read"])), params(("name" = String, Path, description = "The model.")),
    responses((status = 200, description = "The model.", body = Told),
        (status = "default", description = "An error.", body = super::ErrorBody)))]
pub(super) async fn one(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
) -> Result<Json<Told>, Fault> {
    rights.need(Right::Read)?;
    Ok(Json(Told::of(&*server.models.find(&name)?)))
}

/// Loads a model's file beside the version that answers, verifies it, and lets it answer from then on.
#[utoipa::path(post, path = "/v1/models/{name}/reload", tag = "models", security(("token" = ["admin"])),
    params(("name" = String, Path, description = "The model.")),
    responses((status = 200, description = "The model as it is now.", body = Told),
        (status = "default", description = "An error; the version before goes on.", body = super::ErrorBody)))]
pub(super) async fn reload(
    State(server): State<Arc<Server>>,
    rights: Rights,
    Path(name): Path<String>,
) -> Result<Json<Told>, Fault> {
    rights.need(Right::Admin)?;
    let served = server.models.find(&name)?;
    served.reload_to_the_end().await?;
    Ok(Json(Told::of(&served)))
}
