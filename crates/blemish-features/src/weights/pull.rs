//! Bringing one file from the hub: nothing the hub says names a file, a size is believed only up to a bound, and silence ends.
//!
//! The transfer runs on a thread of its own that hands over pieces, so that whoever waits for them can stop at any moment, whatever
//! the network does. What the thread leaves behind when it is given up is one connection, which its time limits end.

use super::hub::Hub;
use blemish_data::digest::hexadecimal;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// No weight file of the catalogue comes near this; a hub that promises or sends more is wrong.
const MOST_BYTES: u64 = 2 << 30;
/// From the hub to the servers behind it, one or two are usual.
const MOST_REDIRECTS: usize = 5;
/// How often the one who waits looks up.
const TICK: Duration = Duration::from_millis(50);
/// Bytes that have to come within [`Hub::patience`], so that no hub can hold the program by dripping.
const LEAST_BYTES: u64 = 16 << 10;

/// Why there is no file.
#[derive(Debug)]
pub(super) enum PullFault {
    /// The caller did not want to go on.
    Stopped,
    /// What went wrong, in words.
    Failed(String),
    /// The file cannot be written.
    Io(std::io::Error),
}

impl From<String> for PullFault {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// What the thread hands over.
enum Piece {
    /// What the hub says of the file: its size and its SHA-256, as far as it does.
    Promise(Promise),
    Bytes(Vec<u8>),
    End,
}

#[derive(Clone, Debug, Default)]
struct Promise {
    bytes: Option<u64>,
    sha256: Option<String>,
}

/// Downloads a file of a repository into `file`. `goes_on` is told of the bytes that came and how many are expected, many times a
/// second, and ends the download by saying no.
pub(super) fn download(
    hub: &Hub,
    repository: &str,
    name: &str,
    file: &mut impl Write,
    goes_on: &mut dyn FnMut(u64, Option<u64>) -> bool,
) -> Result<(), PullFault> {
    let url = hub.url(repository, name)?;
    let (sender, pieces) = sync_channel(8);
    let worker = hub.clone();
    let transfer = move || {
        let outcome = transfer(&worker, url, &sender);
        // Nobody listens any more if the one who waited gave up.
        let _ = sender.send(outcome.map(|()| Piece::End));
    };
    std::thread::Builder::new().name("pull".into()).spawn(transfer).map_err(PullFault::Io)?;
    let mut promise = Promise::default();
    let mut hasher = Sha256::new();
    let mut received = 0;
    let (mut since, mut then) = (Instant::now(), 0);
    loop {
        match pieces.recv_timeout(TICK) {
            Ok(Ok(Piece::Promise(said))) => promise = said,
            Ok(Ok(Piece::Bytes(bytes))) => {
                received += bytes.len() as u64;
                let most = promise.bytes.unwrap_or(MOST_BYTES);
                if received > most {
                    return Err(format!("it sent more than the {most} bytes that were to come").into());
                }
                hasher.update(&bytes);
                file.write_all(&bytes).map_err(PullFault::Io)?;
            }
            Ok(Ok(Piece::End)) => break,
            Ok(Err(reason)) => return Err(reason.into()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the transfer broke off".to_owned().into()),
        }
        if !goes_on(received, promise.bytes) {
            return Err(PullFault::Stopped);
        }
        if since.elapsed() > hub.patience {
            if received - then < LEAST_BYTES {
                let seconds = hub.patience.as_secs_f32();
                return Err(format!("next to nothing came for {seconds} seconds; try again later").into());
            }
            (since, then) = (Instant::now(), received);
        }
    }
    if let Some(bytes) = promise.bytes.filter(|bytes| *bytes != received) {
        return Err(format!("the transfer ended after {received} of {bytes} bytes; try again").into());
    }
    let found = hexadecimal(&hasher.finalize());
    match promise.sha256.filter(|sha256| *sha256 != found) {
        Some(sha256) => {
            Err(format!("the file has the digest {found}, not {sha256} as stated; try again").into())
        }
        None => Ok(()),
    }
}

/// Follows the hub's answers to the file and hands it over piece by piece.
fn transfer(hub: &Hub, mut url: String, sender: &SyncSender<Result<Piece, String>>) -> Result<(), String> {
    let timeout = Some(hub.patience);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_resolve(timeout)
        .timeout_connect(timeout)
        .timeout_send_request(timeout)
        .timeout_recv_response(timeout)
        .timeout_per_read(timeout)
        .user_agent(concat!("blemish/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut promise = Promise::default();
    for _ in 0..=MOST_REDIRECTS {
        let mut request = agent.get(&url);
        // A token is for the hub alone, never for where it sends us.
        if let Some(token) = hub.token.as_ref().filter(|_| hub.owns(&url)) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.call().map_err(|error| format!("the hub did not give the file ({error})"))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        // The hub states size and digest before it sends us on; those behind it only repeat them in their own ways.
        promise.sha256 = promise.sha256.or(header("x-linked-etag").or(header("etag")).and_then(sha256));
        promise.bytes = promise.bytes.or(header("x-linked-size").and_then(|size| size.parse().ok()));
        match response.status().as_u16() {
            200 => {
                promise.bytes = promise.bytes.or(header("content-length").and_then(|size| size.parse().ok()));
                if let Some(bytes) = promise.bytes.filter(|bytes| *bytes > MOST_BYTES) {
                    return Err(format!("it promises {bytes} bytes, which no weight file has"));
                }
                let send = |piece| sender.send(Ok(piece)).map_err(|_| "nobody waits for it".to_owned());
                send(Piece::Promise(promise))?;
                let mut body = response.into_body().into_reader();
                loop {
                    let mut bytes = vec![0; 64 << 10];
                    let count =
                        body.read(&mut bytes).map_err(|error| format!("the transfer broke off ({error})"))?;
                    if count == 0 {
                        return Ok(());
                    }
                    bytes.truncate(count);
                    send(Piece::Bytes(bytes))?;
                }
            }
            301 | 302 | 303 | 307 | 308 => {
                let location = header("location").ok_or("the hub sends us on without saying where")?;
                url = redirected(&url, location)?;
            }
            status => return Err(format!("the hub answered {status} instead of giving the file")),
        }
    }
    Err(format!("the hub sent us on more than {MOST_REDIRECTS} times"))
}

/// A SHA-256 in an entity tag; other tags say nothing that can be checked.
fn sha256(tag: &str) -> Option<String> {
    let tag = tag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
    (tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(tag)
}

/// Where `location` leads from `url`: another address of at least the same secrecy, or a path of the same server.
fn redirected(url: &str, location: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or("its address is none")?;
    if location.starts_with("https://") || (scheme == "http" && location.starts_with("http://")) {
        return Ok(location.to_owned());
    }
    if location.starts_with('/') && !location.starts_with("//") {
        let server = rest.split('/').next().unwrap_or_default();
        return Ok(format!("{scheme}://{server}{location}"));
    }
    Err("the hub sends us on to an address that is not followed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_are_read_from_tags() {
        let digest = "b04ea03a5c355187c56fff25a222305170ef7ca115811bded48d7ef2f90d1eb5";
        assert_eq!(sha256(&format!("W/\"{}\"", digest.to_uppercase())).as_deref(), Some(digest));
        assert_eq!(sha256("\"../../../../etc/passwd\""), None);
        assert_eq!(sha256(&"é".repeat(32)), None);
    }

    #[test]
    fn redirects_stay_secret_and_on_the_web() {
        let follow = |location| redirected("https://hub.example/a/b", location).ok();
        assert_eq!(follow("https://cdn.example/x").as_deref(), Some("https://cdn.example/x"));
        assert_eq!(follow("/c?d").as_deref(), Some("https://hub.example/c?d"));
        for elsewhere in ["http://cdn.example/x", "//cdn.example/x", "file:///etc/passwd", "x", ""] {
            assert_eq!(follow(elsewhere), None, "{elsewhere}");
        }
    }
}
