//! Errors as requests see them: a status, a stable code, what is wrong and how to mend it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use blemish::Error;
use blemish::data::ImageFault;
use blemish::error::in_halves;
use serde::Serialize;

/// An error on its way to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// Stable, in snake case; see [`status_of`].
    pub code: &'static str,
    /// What is wrong and where.
    pub text: String,
    /// How to mend it; empty where nothing more is to say.
    pub help: String,
}

/// The code of an error, as an extension of its response: for the access log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub &'static str);

/// The body of every error.
#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    code: &'a str,
    help: &'a str,
}

/// The status of a code: of those of the library ([`blemish::code::CODES`]) and of the server's own.
pub fn status_of(code: &str) -> StatusCode {
    match code {
        "request" | "tensor" | "pixels" | "image_values" | "setting" => StatusCode::BAD_REQUEST,
        "unauthorized" => StatusCode::UNAUTHORIZED,
        "forbidden" | "origin" => StatusCode::FORBIDDEN,
        "not_found" | "no_such_model" | "no_such_version" => StatusCode::NOT_FOUND,
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "slow_body" => StatusCode::REQUEST_TIMEOUT,
        "several_models" | "conflict" | "cannot_update" | "not_calibrated" => StatusCode::CONFLICT,
        "body_too_large" | "image_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "image_format" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "image_unreadable" | "image_too_small" | "image_does_not_fit" | "dataset" => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        "not_a_model" | "truncated" | "corrupt" | "newer_version" | "not_verified" => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        "host" => StatusCode::MISDIRECTED_REQUEST,
        "queue_full" | "memory_full" | "not_ready" | "shutting_down" => StatusCode::SERVICE_UNAVAILABLE,
        "deadline" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Fault {
    /// From a message of the form `what and where; how to mend it`.
    pub fn new(code: &'static str, text: impl std::fmt::Display) -> Self {
        let text = text.to_string();
        let (text, help) = in_halves(&text);
        Self { code, text: text.to_owned(), help: help.to_owned() }
    }

    /// A request that does not say what it should.
    pub fn request(text: impl std::fmt::Display) -> Self {
        Self::new("request", text)
    }

    /// The status that goes with its code.
    pub fn status(&self) -> StatusCode {
        status_of(self.code)
    }
}

/// Does work that takes a while beside the runtime; a panic of it is an error of this text.
///
/// # Errors
/// Those of the work; `panic`.
pub async fn beside<T: Send + 'static>(
    panicked: &'static str,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Fault::new("panic", panicked)))
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        Self::new(error.code(), error)
    }
}

impl From<&ImageFault> for Fault {
    fn from(fault: &ImageFault) -> Self {
        Self::new(fault.code(), fault)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = Body { error: &self.text, code: self.code, help: &self.help };
        let mut response = (status, Json(&body)).into_response();
        response.extensions_mut().insert(Code(self.code));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish::code::{CODES, Class};

    #[test]
    fn faults_of_images_are_the_callers_and_faults_of_the_machine_are_ours() {
        for (code, class) in CODES {
            let status = status_of(code);
            match class {
                Class::Input => assert!(status.is_client_error(), "{code}: {status}"),
                Class::Internal | Class::Environment => assert!(status.is_server_error(), "{code}: {status}"),
                Class::Model | Class::Usage => {}
            }
        }
    }

    #[test]
    fn a_message_is_cut_into_what_is_wrong_and_how_to_mend_it() {
        let fault = Fault::new("queue_full", "the queue is full; ask again in a second");
        assert_eq!(
            (fault.text.as_str(), fault.help.as_str()),
            ("the queue is full", "ask again in a second")
        );
        let response = fault.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }
}
