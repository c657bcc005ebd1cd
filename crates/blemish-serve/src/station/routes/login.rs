//! Login: a token for a cookie.

use super::{Json, Refusals, answer};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Rights;
use crate::station::Station;
use crate::station::login::{Login, role};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// What the caller may do.
#[derive(Serialize, ToSchema)]
pub struct May {
    /// Score images.
    score: bool,
    /// See models, metrics and history.
    read: bool,
    /// Label images and pause the line.
    label: bool,
    /// Change models, settings and jobs.
    admin: bool,
}

impl From<Rights> for May {
    fn from(Rights { score, read, label, admin }: Rights) -> Self {
        Self { score, read, label, admin }
    }
}

/// What [`login`] takes.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = Login)]
pub struct Shown {
    /// One that the server knows.
    token: String,
    /// What the caller is called in the history.
    name: String,
}

/// Who was let in.
#[derive(Serialize, ToSchema)]
pub struct LoggedIn {
    /// `none`, `viewer`, `operator`, `engineer`.
    role: &'static str,
    rights: May,
    name: String,
}

/// Who is out.
#[derive(Serialize, ToSchema)]
pub struct LoggedOut {
    /// `none`.
    role: &'static str,
}

/// Lets somebody in.
#[utoipa::path(post, path = "/v1/station/login", tag = "line", request_body = Shown,
    responses((status = 200, description = "The cookie stands for the token for twelve hours.", body = LoggedIn,
            headers(("Set-Cookie" = String, description = "The cookie."))),
        (status = 503, description = "Too many logins have failed; wait a minute.", body = ErrorBody), Refusals))]
pub async fn login(
    State(station): State<Arc<Station>>,
    headers: HeaderMap,
    Json(shown): Json<Shown>,
) -> Result<Response, Fault> {
    let is_secure = is_secure(&station, &headers)?;
    let (who, cookie) = station.login.enter(&shown.token, &shown.name, is_secure)?;
    station.log("login", &who.name, format!("logged in as {}", role(who.rights))).await?;
    let body = LoggedIn { role: role(who.rights), rights: who.rights.into(), name: who.name };
    Ok(([(header::SET_COOKIE, cookie)], answer(body)).into_response())
}

/// Lets somebody out.
#[utoipa::path(post, path = "/v1/station/logout", tag = "line",
    responses((status = 200, description = "The cookie is taken back.", body = LoggedOut,
        headers(("Set-Cookie" = String, description = "An empty cookie."))), Refusals))]
pub async fn logout(State(station): State<Arc<Station>>, headers: HeaderMap) -> Result<Response, Fault> {
    let is_secure = is_secure(&station, &headers)?;
    Ok(([(header::SET_COOKIE, Login::leave(is_secure))], answer(LoggedOut { role: "none" })).into_response())
}

/// Whether the page that asks came over TLS: ours, or that of a proxy in front, which only the page's origin tells.
fn is_secure(station: &Station, headers: &HeaderMap) -> Result<bool, Fault> {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes());
    let is_proxied = origin.is_some_and(|origin| origin.starts_with(b"https://"));
    Ok(is_proxied || station.server()?.options.tls.is_some())
}
