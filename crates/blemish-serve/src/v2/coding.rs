//! Compressed bodies: undone on the way in, within the limit, and done on the way out if the caller takes it.

use super::output::Reply;
use super::request::JSON_LENGTH;
use crate::fault::Fault;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::{Read, Write};

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
    /// How a request's body is compressed.
    ///
    /// # Errors
    /// [`Fault`] for a coding that we do not speak.
    pub fn of_request(headers: &HeaderMap) -> Result<Self, Fault> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        let text = value.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        match text.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            other => Err(Fault::request(format!(
                "the body is compressed with `{other}`, which is not read; use gzip, deflate or none"
            ))),
        }
    }

    /// How the caller may be answered: gzip before deflate before neither, unless its weights say otherwise.
    pub fn of_answer(headers: &HeaderMap) -> Self {
        let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut best = (0.0, Self::Identity);
        for item in lists.flat_map(|list| list.split(',')) {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.trim().parse().ok());
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

    /// The body without its compression; `limit` counts the bytes that come out.
    ///
    /// # Errors
    /// [`Fault`]: `body_too_large`, or a stream that is broken or ends too soon.
    pub fn undo(self, body: Bytes, limit: u64) -> Result<Bytes, Fault> {
        let read = |from: &mut dyn Read| -> Result<Bytes, Fault> {
            let mut out = Vec::new();
            from.take(limit.saturating_add(1)).read_to_end(&mut out).map_err(|error| {
                Fault::request(format!("the compressed body is broken: {error}; send it again"))
            })?;
            Ok(out.into())
        };
        let out = match self {
            Self::Identity => body,
            Self::Gzip => read(&mut MultiGzDecoder::new(&body[..]))?,
            Self::Deflate => read(&mut ZlibDecoder::new(&body[..]))?,
        };
        if out.len() as u64 > limit {
            return Err(too_large(limit));
        }
        Ok(out)
    }

    /// The answer, compressed if that is wanted and worth it. The header that tells the length of the JSON tells that before compression.
    pub fn answer(self, reply: Reply) -> Response {
        let Reply { body, json_length } = reply;
        let coded = if body.len() < WORTH_IT { None } else { self.coded(&body) };
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

/// A body over the limit.
pub fn too_large(limit: u64) -> Fault {
    Fault::new(
        "body_too_large",
        format!("the body is over {limit} bytes, also counted after decompression; send fewer images, or raise --max-body"),
    )
}
