//! Pulls from hubs on this machine that are sound, silent, broken or hostile.

use super::{Hub, WeightStore};
use crate::FeatureError;
use crate::networks::{self, Architecture};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NAME: &str = "mobilenet_v2";

/// A hub that answers every request for a path by `answer`; it lives as long as the process.
fn hub(answer: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                answer(&mut stream, request.split(' ').nth(1).unwrap_or_default());
            });
        }
    });
    Hub { endpoint, token: None, cache: None, offline: false, patience: Duration::from_millis(600) }
}

/// A hub that gives one file with these headers.
fn giving(headers: String, file: Vec<u8>) -> Hub {
    hub(move |stream, _| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n", file.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&file));
    })
}

/// A folder with a store in it, so that what is written outside the store shows.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> WeightStore {
        WeightStore::open_at(self.0.path().join("deep/in/store"))
    }

    /// Everything under the folder.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() { walk(&entry, found) } else { found.push(entry) }
            }
        }
        let mut found = Vec::new();
        walk(self.0.path(), &mut found);
        found.into_iter().map(|path| path.strip_prefix(&self.0).unwrap().display().to_string()).collect()
    }
}

/// Pulls from a hub that must fail, within seconds and without leaving a file; gives the reason.
fn refused(hub: &Hub) -> String {
    let place = Place::new();
    let started = Instant::now();
    let error = place.store().pull_from(hub, NAME, &mut |_, _| true).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(matches!(error, FeatureError::Pull { .. }), "{error}");
    assert!(place.files().is_empty(), "{:?}", place.files());
    error.to_string()
}

/// Weights of the network, all zero.
fn weights() -> Vec<u8> {
    let architecture: Architecture = NAME.parse().unwrap();
    let graph = networks::build(architecture).cut(&architecture.layers_at(&[16])).unwrap();
    let tensors: Vec<(String, Vec<usize>)> = graph.tensor_shapes().collect();
    let zeros = vec![0; 4 * tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).max().unwrap()];
    let views = tensors.into_iter().map(|(name, shape)| {
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_sound_file_is_kept_under_its_name_through_a_redirect() {
    let file = weights();
    let sha256 = digest(&file);
    let stated = sha256.clone();
    let hub = hub(move |stream, path| {
        let answer = match path {
            "/elsewhere" => {
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\netag: \"0\"\r\n\r\n", file.len())
            }
            _ => format!(
                "HTTP/1.1 302 Found\r\nconnection: close\r\ncontent-length: 0\r\nx-linked-etag: \"{stated}\"\r\nx-linked-size: {}\r\nlocation: /elsewhere\r\n\r\n",
                file.len()
            ),
        };
        let _ = stream.write_all(answer.as_bytes());
        if path == "/elsewhere" {
            let _ = stream.write_all(&file);
        }
    });
    let place = Place::new();
    let mut most = 0;
    let mut watch = |received, _| {
        most = received;
        true
    };
    let entry = place.store().pull_from(&hub, NAME, &mut watch).unwrap();
    assert_eq!((entry.sha256, entry.bytes), (sha256, most));
    let mut files = place.files();
    files.sort();
    assert_eq!(files, ["deep/in/store/mobilenet_v2.safetensors", "deep/in/store/weights.json"]);
}

#[test]
fn headers_that_are_paths_name_no_file() {
    for evil in ["../../../../evil", "/tmp/blemish-evil", "..\\..\\evil"] {
        let headers = format!("etag: \"{evil}\"\r\nx-linked-etag: {evil}\r\nx-repo-commit: {evil}\r\n");
        let message = refused(&giving(headers, b"the hub's own bytes".to_vec()));
        assert!(message.contains("no weights of mobilenet_v2"), "{message}");
    }
    assert!(!Path::new("/tmp/blemish-evil").exists());
}

#[test]
fn a_hub_that_is_silent_or_drips_is_given_up() {
    let silent = hub(|_, _| std::thread::sleep(Duration::from_secs(60)));
    refused(&silent);
    let after_the_head = hub(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
        std::thread::sleep(Duration::from_secs(60));
    });
    refused(&after_the_head);
    let drips = hub(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(refused(&drips).contains("next to nothing came"));
    let drips_headers = hub(|stream, _| {
        while stream.write_all(b"a: b\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    refused(&drips_headers);
}

#[test]
fn broken_hubs_give_an_error() {
    let answering = |head: &'static str| hub(move |stream, _| drop(stream.write_all(head.as_bytes())));
    assert!(refused(&answering("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")).contains("answered 500"));
    let promise = "HTTP/1.1 200 OK\r\ncontent-length: 107374182400\r\n\r\n";
    assert!(refused(&answering(promise)).contains("promises 107374182400 bytes"));
    let round = "HTTP/1.1 302 Found\r\nconnection: close\r\ncontent-length: 0\r\nlocation: /again\r\n\r\n";
    assert!(refused(&answering(round)).contains("more than 5 times"));
    let to_a_file = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: file:///etc/passwd\r\n\r\n";
    assert!(refused(&answering(to_a_file)).contains("not followed"));
    refused(&answering("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"));
    refused(&answering("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"));
    refused(&answering("\0\0\0\0 not http at all\r\n\r\n"));
    refused(&answering(""));
    refused(&Hub { endpoint: "file:///etc".into(), ..answering("") });
}

#[test]
fn a_cut_or_changed_transfer_is_refused() {
    let cut =
        hub(|stream, _| drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this")));
    refused(&cut);
    let file = weights();
    let short = file[..file.len() / 2].to_vec();
    let shorter_than_stated = giving(format!("x-linked-size: {}\r\n", file.len()), short.clone());
    assert!(refused(&shorter_than_stated).contains(&format!(
        "after {} of {} bytes",
        short.len(),
        file.len()
    )));
    let longer_than_stated = giving("x-linked-size: 100\r\n".into(), file.clone());
    assert!(refused(&longer_than_stated).contains("more than the 100 bytes"));
    let stated = digest(&file);
    let mut changed = file.clone();
    changed[100_000] ^= 1;
    let wrong_digest = giving(format!("x-linked-etag: \"{stated}\"\r\n"), changed);
    assert!(refused(&wrong_digest).contains("has the digest"));
    assert!(refused(&giving(String::new(), short)).contains("no weights of mobilenet_v2"));
}

#[test]
fn a_pull_stops_at_once_when_told_to() {
    let silent = hub(|_, _| std::thread::sleep(Duration::from_secs(60)));
    let silent = Hub { patience: Duration::from_secs(60), ..silent };
    let place = Place::new();
    let started = Instant::now();
    let stop = &mut |_, _| started.elapsed() < Duration::from_millis(200);
    assert!(matches!(place.store().pull_from(&silent, NAME, stop), Err(FeatureError::Interrupted)));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(place.files().is_empty());
}
