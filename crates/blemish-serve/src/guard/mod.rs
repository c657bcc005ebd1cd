//! Who may ask, and from where.
//!
//! - [`Tokens`] say what a caller may do; [`Rights`] is an extractor of handlers.
//! - On loopback the `Host` must be one of ours: a web page in the operator's browser can resolve its own name to 127.0.0.1 (DNS rebinding)
//!   and would then be of our origin.
//! - Verbs that change something are refused from pages of other origins, which browsers let post anywhere.
//! - Other origins read answers only where `--cors` allows them.

mod origin;
mod tokens;

use crate::fault::Fault;
use crate::server::Server;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
pub use origin::{check_host, check_origin};
use std::convert::Infallible;
use std::sync::Arc;
pub use tokens::Tokens;

/// What a token can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Score images.
    Score,
    /// See models, metrics and history.
    Read,
    /// Label images.
    Label,
    /// Reload models, change thresholds.
    Admin,
}

/// What the caller may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Score images.
    pub score: bool,
    /// See models, metrics and history.
    pub read: bool,
    /// Label images.
    pub label: bool,
    /// Reload models, change thresholds.
    pub admin: bool,
}

impl Rights {
    /// Everything: where no tokens are asked for.
    pub fn all() -> Self {
        Self { score: true, read: true, label: true, admin: true }
    }

    /// Checks a right.
    ///
    /// # Errors
    /// `unauthorized` for a caller without a token that is known, `forbidden` for one whose token does not allow it.
    pub fn need(&self, right: Right) -> Result<(), Fault> {
        let (has, name) = match right {
            Right::Score => (self.score, "score"),
            Right::Read => (self.read, "read"),
            Right::Label => (self.label, "label"),
            Right::Admin => (self.admin, "admin"),
        };
        if has {
            return Ok(());
        }
        Err(match *self == Self::default() {
            true => Fault::new(
                "unauthorized",
                "this needs a token that the server knows; send it as `Authorization: Bearer TOKEN`",
            ),
            false => Fault::new(
                "forbidden",
                format!("the token does not have the right `{name}`; ask for one that has"),
            ),
        })
    }

    fn parse(list: &str) -> Option<Self> {
        let mut rights = Self::default();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "score" => rights.score = true,
                "read" => rights.read = true,
                "label" => rights.label = true,
                "admin" => rights.admin = true,
                _ => return None,
            }
        }
        (rights != Self::default()).then_some(rights)
    }

    fn bits(self) -> u8 {
        [self.score, self.read, self.label, self.admin]
            .iter()
            .enumerate()
            .fold(0, |bits, (at, &has)| bits | u8::from(has) << at)
    }

    fn of_bits(bits: u8) -> Self {
        let has = |at: u8| bits & 1 << at != 0;
        Self { score: has(0), read: has(1), label: has(2), admin: has(3) }
    }
}

impl<S: Sync> FromRequestParts<S> for Rights {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Nobody gets past the guard without; if somebody did, nothing would be allowed.
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Another way to rights than a token in a header: the cookie of a login.
pub trait Logins: Send + Sync {
    /// What the headers of a request allow by it.
    fn rights(&self, headers: &HeaderMap) -> Option<Rights>;
}

fn is_of_health(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics") || path.starts_with("/v2/health/")
}

/// Lets requests through to their handlers, with the rights of the caller.
pub(crate) async fn guard(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let options = &server.options;
    let checked = check_host(options, request.version(), request.uri(), request.headers());
    if let Err(fault) = checked {
        return fault.into_response();
    }
    let allowed = origin::allowed(options, request.headers());
    let mut response = if let Some(fault) = check_origin(options, request.method(), request.headers()).err() {
        fault.into_response()
    } else if allowed.is_some() && request.method() == Method::OPTIONS {
        // Browsers ask so before the request itself, without its token.
        StatusCode::NO_CONTENT.into_response()
    } else {
        let by_token = server.tokens.of(request.headers());
        let rights = match (by_token == Rights::default(), server.plugs.logins.get()) {
            (true, Some(logins)) => logins.rights(request.headers()).unwrap_or_default(),
            _ => by_token,
        };
        request.extensions_mut().insert(rights);
        // What began before the end is past here; how the server is may be asked until the last.
        match server.stopping.is_cancelled() && !is_of_health(request.uri().path()) {
            true => Fault::new("shutting_down", "the server is shutting down; ask again in a second")
                .into_response(),
            false => next.run(request).await,
        }
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(origin) = allowed {
        origin::allow(response.headers_mut(), origin);
    }
    response
}
