//! What is around every request: its id, the record of it, and the net under handlers.

use super::Server;
use super::linger::lingering;
use super::room::{Access, Noted};
use crate::fault::{Code, Fault};
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

/// The header of ids.
const ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id, at most.
const LONGEST_ID: usize = 64;

/// Bytes of a message that is no error of ours, at most.
const MESSAGE: usize = 1024;

/// The status of logs for a caller that went away.
const GONE: u16 = 499;

/// The id of a request, as an extension.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl RequestId {
    /// The id that was given to a request.
    pub fn of(extensions: &Extensions) -> String {
        extensions.get::<Self>().map(|id| id.0.clone()).unwrap_or_default()
    }

    /// Whether a caller's own id can be one, 1 to 64 visible ASCII characters: it goes into logs, messages and the history.
    pub fn is_fine(id: &str) -> bool {
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Peer {
    /// By TCP.
    Address(std::net::SocketAddr),
    /// By the Unix socket.
    Unix,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(to),
            Self::Unix => to.write_str("unix"),
        }
    }
}

impl Connected<std::net::SocketAddr> for Peer {
    fn connect_info(address: std::net::SocketAddr) -> Self {
        Self::Address(address)
    }
}

#[cfg(unix)]
impl Connected<std::os::unix::net::SocketAddr> for Peer {
    fn connect_info(_: std::os::unix::net::SocketAddr) -> Self {
        Self::Unix
    }
}

/// The caller's own id, if it can be one, or one of ours.
fn id_of(headers: &HeaderMap) -> String {
    static START: OnceLock<u32> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let own = headers.get(ID).and_then(|value| value.to_str().ok());
    match own.filter(|id| RequestId::is_fine(id)) {
        Some(id) => id.to_owned(),
        None => {
            // Different after every start, so that the history of many days has no id twice.
            let start = START.get_or_init(|| {
                let random = RandomState::new().hash_one(SystemTime::now());
                (random >> 32) as u32 ^ random as u32
            });
            format!("{start:08x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
        }
    }
}

/// Tells of a request that has no answer, because the caller went away.
struct Record<'a> {
    server: &'a Server,
    began: Instant,
    access: Access,
    is_told: bool,
}

impl Record<'_> {
    fn tell(&mut self) {
        self.is_told = true;
        self.access.took = self.began.elapsed();
        for hook in self.server.plugs.access.read().unwrap_or_else(PoisonError::into_inner).iter() {
            hook.answered(&self.access);
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.access.status = GONE;
            self.tell();
        }
    }
}

/// Gives a request its id, and tells of it once it is answered.
pub(super) async fn access(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let id = id_of(request.headers());
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|peer| peer.0.to_string());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let access = Access {
        time: SystemTime::now(),
        id: id.clone(),
        peer: peer.unwrap_or_default(),
        verb: verb(request.method()).to_owned(),
        route: route.unwrap_or_default(),
        status: 0,
        bytes: None,
        took: Default::default(),
        code: None,
        noted: Noted::default(),
    };
    let mut record = Record { server: &server, began: Instant::now(), access, is_told: false };
    request.extensions_mut().insert(RequestId(id.clone()));
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = lingering(body, request.headers(), server.options.max_body);
    let mut response = explained(next.run(request).await).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(ID, value);
    }
    record.access.status = response.status().as_u16();
    record.access.bytes = response.body().size_hint().exact();
    record.access.code = response.extensions().get::<Code>().map(|code| code.0);
    record.access.noted = response.extensions_mut().remove().unwrap_or_default();
    record.tell();
    response
}

/// The verb, if it is one of those that there are: others are data of the request.
fn verb(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS
        | Method::PATCH => method.as_str(),
        _ => "other",
    }
}

/// An error of ours as it is; what else refuses a request, such as an extractor, as an error of ours.
async fn explained(response: Response) -> Response {
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !(status.is_client_error() || status.is_server_error()) || is_json {
        return response;
    }
    let headers = response.headers().clone();
    let text = to_bytes(response.into_body(), MESSAGE).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text =
        if text.trim().is_empty() { status.canonical_reason().unwrap_or("refused") } else { text.trim() };
    let mut response = Fault::new(code_of(status), text).into_response();
    *response.status_mut() = status;
    for name in [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
        status if status.is_client_error() => "request",
        _ => "internal",
    }
}

pub(super) async fn not_found() -> Fault {
    Fault::new("not_found", "there is nothing at this path; GET /openapi.json lists what there is")
}

pub(super) async fn method_not_allowed() -> Fault {
    Fault::new(
        "method_not_allowed",
        "this path does not take that verb; the header Allow lists those that it takes",
    )
}

/// The answer to a request whose handler has panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!("a handler panicked: {text}");
    Fault::new("panic", "the server failed on this request; its log has the id of the request")
        .into_response()
}
