//! Bodies of requests: read whole, within limits of bytes, time and memory.

use crate::fault::Fault;
use crate::models::Held;
use crate::server::Server;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt;
use std::io::Read;
use std::time::{Duration, Instant};

/// How long a body may rest.
const IDLE: Duration = Duration::from_secs(10);

/// The first room for a body of unknown length.
const FIRST: usize = 64 << 10;

/// What a body is packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packed {
    No,
    Gzip,
    Deflate,
}

/// Reads a body whole and unpacks it, after memory for it was granted: see [`crate::models::Memory`]. What is held belongs to the bytes.
///
/// # Errors
/// `body_too_large` past the limit, also after unpacking; `slow_body` if it rests too long; `deadline`; `memory_full`; `request` if it breaks
/// off or cannot be unpacked.
pub async fn receive(
    server: &Server,
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
) -> Result<(Bytes, Held), Fault> {
    let most = server.options.max_body;
    let packed = packed(headers)?;
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let memory = server.models.memory();
    let mut held = match (length, packed) {
        (Some(length), _) if length > most => return Err(too_large(most)),
        (Some(length), Packed::No) => memory.body(length, deadline).await?,
        (Some(length), _) => memory.body_up_to(length + most, deadline).await?,
        (None, Packed::No) => memory.body_up_to(most, deadline).await?,
        (None, _) => memory.body_up_to(2 * most, deadline).await?,
    };
    let bytes = read(body, length, most, deadline).await?;
    let bytes = match packed {
        Packed::No => bytes,
        packed => {
            let unpacked = tokio::task::spawn_blocking(move || unpack(&bytes, packed, most)).await;
            unpacked
                .unwrap_or_else(|_| Err(Fault::request("the body cannot be unpacked; send it as it is")))?
        }
    };
    held.shrink_to(bytes.len() as u64);
    Ok((bytes.into(), held))
}

async fn read(body: Body, length: Option<u64>, most: u64, deadline: Instant) -> Result<Vec<u8>, Fault> {
    let mut body = body.into_data_stream();
    let mut bytes = Vec::with_capacity(length.map_or(FIRST, |length| length.min(most) as usize));
    loop {
        let until = deadline.min(Instant::now() + IDLE);
        let piece = match tokio::time::timeout_at(until.into(), body.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(error))) => {
                return Err(Fault::request(format!(
                    "the body broke off after {} bytes: {error}; send it again",
                    bytes.len()
                )));
            }
            Err(_) if Instant::now() >= deadline => {
                return Err(Fault::new(
                    "deadline",
                    "the time for the request is over; send less at once, or raise --timeout",
                ));
            }
            Err(_) => {
                let text =
                    format!("nothing came of the body for {} seconds; send it at once", IDLE.as_secs());
                return Err(Fault::new("slow_body", text));
            }
        };
        if (bytes.len() + piece.len()) as u64 > most {
            return Err(too_large(most));
        }
        bytes.extend_from_slice(&piece);
    }
}

fn packed(headers: &HeaderMap) -> Result<Packed, Fault> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Packed::No) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Packed::No),
        "gzip" | "x-gzip" => Ok(Packed::Gzip),
        "deflate" => Ok(Packed::Deflate),
        _ => Err(Fault::request(
            "the Content-Encoding of the body is not known; send it as it is, or with gzip or deflate",
        )),
    }
}

/// Unpacks up to `most` bytes.
fn unpack(bytes: &[u8], packed: Packed, most: u64) -> Result<Vec<u8>, Fault> {
    let mut unpacked = Vec::new();
    let read = match packed {
        Packed::No => return Ok(bytes.to_vec()),
        Packed::Gzip => MultiGzDecoder::new(bytes).take(most + 1).read_to_end(&mut unpacked),
        Packed::Deflate => ZlibDecoder::new(bytes).take(most + 1).read_to_end(&mut unpacked),
    };
    read.map_err(|error| Fault::request(format!("the body cannot be unpacked: {error}; send it as it is")))?;
    if unpacked.len() as u64 > most {
        return Err(too_large(most));
    }
    Ok(unpacked)
}

fn too_large(most: u64) -> Fault {
    Fault::new(
        "body_too_large",
        format!(
            "the body has more than the {most} bytes that are allowed; send a smaller image, or raise --max-body"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;

    #[test]
    fn bodies_are_unpacked_up_to_the_limit() {
        let zeros = vec![0; 10_000];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&zeros).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&zeros).unwrap();
        let zlib = zlib.finish().unwrap();
        assert_eq!(unpack(&gzip, Packed::Gzip, 10_000).unwrap(), zeros);
        assert_eq!(unpack(&zlib, Packed::Deflate, 10_000).unwrap(), zeros);
        assert_eq!(unpack(&gzip, Packed::Gzip, 9_999).unwrap_err().code, "body_too_large");
        assert_eq!(unpack(&gzip[..20], Packed::Gzip, 10_000).unwrap_err().code, "request");
        assert_eq!(unpack(b"plain", Packed::Deflate, 10_000).unwrap_err().code, "request");
    }
}
