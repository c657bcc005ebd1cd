//! The station's JSON routes, all under `/v1/station` but for thresholds and the trigger. `/openapi.json` has them with their shapes and the
//! rights that they need; both follow from the handlers.
//!
//! Times are seconds since 1970 with fractions. Sizes are `[height, width]`. Names are text from outside: to be shown, never to be taken for
//! markup.
//!
//! # Events (`/v1/events`)
//! `verdict` as it was answered; `image`, whose `data` is the Row as soon as it can be asked for; `compared` ({"id"}) once the version
//! in shadow has said something of it, too; `source` (Source), `job` (Job without log),
//! `label` ({"ids","label"}), `threshold` ({"threshold","rate"}), `model` (Model: live, shadow, new version, deleted), `reload`, `drift`,
//! `retention` ({"deleted","bytes"}), `pause` ({"paused"}), `upload` ({"set","images"}), `settings`. All but `verdict` are
//! `{"kind","model","text","data"}`.

mod caller;
mod compare;
mod download;
mod feedback;
mod history;
mod jobs;
mod line;
mod login;
mod models;
mod settings;
mod threshold;
mod tries;
mod uploads;

use super::Station;
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::server::Server;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
pub use caller::Caller;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as of;

/// Bytes of a JSON body.
const JSON: usize = 4 << 20;

/// What any route of the station may refuse; what more a route refuses stands with it.
#[derive(IntoResponses)]
pub enum Refusals {
    /// The request does not say what it should.
    #[response(status = 400)]
    Request(ErrorBody),
    /// No token or login that the server knows.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// Who asks may not do that, or a page of another origin asks.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// Another error.
    #[response(status = "default")]
    Other(ErrorBody),
}

/// All routes of the station, its pages among them.
pub fn routes(station: Arc<Station>) -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .merge(line())
        .merge(history())
        .merge(models())
        .merge(feedback())
        // What is larger says so itself.
        .layer(DefaultBodyLimit::max(JSON))
        .merge(uploads())
        .merge(super::pages::routes())
        .with_state(station)
}

fn line() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(line::state))
        .routes(of!(line::pause))
        .routes(of!(line::resume))
        .routes(of!(line::sources))
        .routes(of!(login::login))
        .routes(of!(login::logout))
        .routes(of!(settings::settings, settings::set_settings))
        .routes(of!(settings::log))
        .routes(of!(line::trigger))
}

fn history() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(history::list))
        .routes(of!(history::image))
        .routes(of!(history::original))
        .routes(of!(history::map))
        .routes(of!(history::thumbnail))
        .routes(of!(history::label))
        .routes(of!(history::pin))
        .routes(of!(history::labels))
        .routes(of!(download::download))
}

fn models() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(models::list))
        .routes(of!(models::live))
        .routes(of!(models::shadow))
        .routes(of!(models::roll_back))
        .routes(of!(models::verify))
        .routes(of!(models::delete))
        .routes(of!(models::download))
        .routes(of!(models::methods))
        .routes(of!(threshold::threshold))
        .routes(of!(threshold::set_threshold))
        .routes(of!(threshold::undo_threshold))
}

fn feedback() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(compare::compare))
        .routes(of!(feedback::drift))
        .routes(of!(feedback::restart_drift))
        .routes(of!(feedback::audit))
        .routes(of!(feedback::feedback))
        .routes(of!(jobs::jobs, jobs::add_job))
        .routes(of!(jobs::job))
        .routes(of!(jobs::cancel))
        .routes(of!(jobs::resume))
}

fn uploads() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(uploads::upload))
        .routes(of!(uploads::set, uploads::delete))
        .routes(of!(uploads::file, uploads::remove))
        .routes(of!(tries::try_version))
}

/// What changes without more to say take.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct By {
    /// The name of whoever logged in goes before.
    author: Option<String>,
}

/// The JSON of a body; an empty one is `{}`. Whatever the content type says: clients without one are common.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|_| {
            Fault::new("body_too_large", "the body is cut short or has more than 4 MiB; send less at once")
        })?;
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            Fault::request(format!("the body is not what is asked for: {error}; see /openapi.json"))
        })
    }
}

/// The values of a query.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> axum::extract::FromRequestParts<S> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Fault> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| Fault::request(format!("{}; see /openapi.json", rejection.body_text())))
    }
}

/// JSON whose numbers of 32 bits have all digits, so that scores and thresholds compare in a page as they do here.
fn answer(value: impl serde::Serialize) -> Response {
    axum::Json(serde_json::to_value(value).unwrap_or_default()).into_response()
}

/// A picture that never changes under its address; browsers must take it for nothing else.
fn picture(bytes: Vec<u8>, content_type: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (
            HeaderName::from_static("content-security-policy"),
            HeaderValue::from_static("default-src 'none'; sandbox"),
        ),
    ];
    (headers, bytes).into_response()
}

/// A file to be saved under a name.
fn attachment(body: Body, content_type: &'static str, name: &str) -> Response {
    let name: String =
        name.chars().filter(|one| one.is_ascii_alphanumeric() || ".-_".contains(*one)).collect();
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_str(&disposition).unwrap_or(HeaderValue::from_static("attachment")),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, body).into_response()
}
