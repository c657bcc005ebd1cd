//! Answers, compressed if the caller takes that. (Compression of requests is undone where bodies are read, for all routes.)

use super::output::Reply;
use super::request::JSON_LENGTH;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::Write;

/// Answers of fewer bytes are sent as they are: a packet is a packet.
const WORTH_IT: usize = 256;

/// The codings that we speak. Deflate is the zlib format, as HTTP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// deflate.
    Deflate,
}

impl Coding {
    /// How the caller may be answered: gzip before deflate before neither, unless its weights say otherwise.
    pub fn of_answer(headers: &HeaderMap) -> Self {
        let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut best = (0.0, Self::Identity);
        for item in lists.flat_map(|list| list.split(',')) {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight =
                parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.trim().parse().ok());
            let coding = match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                _ => continue,
            };
            let weight: f32 = weight.unwrap_or(0.0);
            if weight > best.0 || (weight == best.0 && weight > 0.0 && coding == Self::Gzip) {
                best = (weight, coding);
            }
        }
        best.1
    }

    /// The answer, compressed if that is wanted and worth it. The header that tells the length of the JSON tells that before compression.
    pub fn answer(self, reply: Reply) -> Response {
        let Reply { body, json_length } = reply;
        let coded = if body.len() < WORTH_IT { None } else { self.coded(&body) };
        // The bytes of maps are noise to a coder.
        let coded = coded.filter(|coded| coded.len() < body.len());
        let is_coded = coded.is_some();
        let mut response = Response::new(Body::from(coded.map_or(body, Bytes::from)));
        let headers = response.headers_mut();
        let kind = if json_length.is_some() { "application/octet-stream" } else { "application/json" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Some(length) = json_length {
            headers.insert(JSON_LENGTH, HeaderValue::from(length));
        }
        if is_coded {
            let name = if self == Self::Gzip { "gzip" } else { "deflate" };
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        response
    }

    fn coded(self, body: &[u8]) -> Option<Vec<u8>> {
        // The fastest level: floats hardly shrink anyway, and JSON does at any.
        match self {
            Self::Identity => None,
            Self::Gzip => {
                let mut to = GzEncoder::new(Vec::new(), Compression::fast());
                to.write_all(body).and_then(|()| to.finish()).ok()
            }
            Self::Deflate => {
                let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
                to.write_all(body).and_then(|()| to.finish()).ok()
            }
        }
    }
}
