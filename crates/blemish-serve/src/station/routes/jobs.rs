//! Jobs.

use super::{By, Caller, Json, Refusals, answer};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::{Job, Request as Wanted};
use crate::station::store::jobs as rows;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// Jobs that are listed.
const JOBS: usize = 100;

/// The latest jobs.
#[derive(Serialize, ToSchema)]
pub struct JobList {
    /// Newest first, 100 at most.
    jobs: Vec<Job>,
}

/// Lists the latest jobs.
#[utoipa::path(get, path = "/v1/station/jobs", tag = "models and jobs", security(("token" = ["read"])),
    responses((status = 200, description = "The jobs.", body = JobList), Refusals))]
pub async fn jobs(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let stored = station.read(|connection| rows::list(connection, JOBS)).await?;
    let jobs: Vec<Job> = stored.into_iter().map(|stored| station.jobs.told(stored)).collect();
    Ok(answer(JobList { jobs }))
}

/// Tells of a job.
#[utoipa::path(get, path = "/v1/station/jobs/{id}", tag = "models and jobs", security(("token" = ["read"])), params(("id" = i64, Path, description = "The job.")),
    responses((status = 200, description = "The job.", body = Job), (status = 404, description = "There is no such job.", body = ErrorBody), Refusals))]
pub async fn job(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    Ok(answer(station.job(id).await?))
}

/// Takes a job into the queue.
#[utoipa::path(post, path = "/v1/station/jobs", tag = "models and jobs", security(("token" = ["admin"])), request_body = Wanted,
    responses((status = 200, description = "The job.", body = Job),
        (status = 404, description = "There is no such set, model or version.", body = ErrorBody), Refusals))]
pub async fn add_job(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Json(mut request): Json<Value>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, request["author"].as_str())?;
    if let Some(request) = request.as_object_mut() {
        // Only the station itself says whose files a job goes on with.
        request.remove("resume_of");
    }
    Ok(answer(station.add_job(request, author).await?))
}

/// Lets a job stop, or not begin.
#[utoipa::path(post, path = "/v1/station/jobs/{id}/cancel", tag = "models and jobs", security(("token" = ["admin"])), params(("id" = i64, Path, description = "The job.")),
    request_body = By, responses((status = 200, description = "The job.", body = Job), (status = 404, description = "There is no such job.", body = ErrorBody), Refusals))]
pub async fn cancel(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(by): Json<By>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, by.author.as_deref())?;
    Ok(answer(station.cancel_job(id, author).await?))
}

/// Goes on where a job ended.
#[utoipa::path(post, path = "/v1/station/jobs/{id}/resume", tag = "models and jobs", security(("token" = ["admin"])), params(("id" = i64, Path, description = "The job.")),
    request_body = By, responses((status = 200, description = "A new job.", body = Job), (status = 404, description = "There is no such job.", body = ErrorBody),
        (status = 409, description = "It cannot go on.", body = ErrorBody), Refusals))]
pub async fn resume(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(by): Json<By>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, by.author.as_deref())?;
    Ok(answer(station.resume_job(id, author).await?))
}
