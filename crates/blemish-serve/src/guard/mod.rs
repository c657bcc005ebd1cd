//! Who may ask, and from where.
//!
//! - [`Tokens`] say what a caller may do; [`Rights`] is an extractor of handlers.
//! - On loopback the `Host` must be one of ours: a web page in the operator's browser can resolve its own name to 127.0.0.1 (DNS rebinding)
//!   and would then be of our origin.
//! - Verbs that change something are refused from pages of other origins, which browsers let post anywhere.
//! - Other origins read answers only where `--cors` allows them.

mod origin;
pub mod rights;
pub mod tokens;

use crate::fault::Fault;
use crate::server::Server;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
pub use origin::{check_host, check_origin};
pub use rights::{Logins, Right, Rights};
use std::sync::Arc;
pub use tokens::Tokens;

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
