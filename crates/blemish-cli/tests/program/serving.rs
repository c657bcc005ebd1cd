//! Models over HTTP, as the program serves them.

use crate::support::Bench;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A server that is killed when it is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    lines: BufReader<std::process::ChildStderr>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it on a free port and waits until it is ready.
    pub(crate) fn start(bench: &Bench, line: &str) -> Self {
        let listen = if line.contains("--listen") { "" } else { " --listen 127.0.0.1:0" };
        let mut command = bench.command(&format!("serve {line}{listen}"));
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut server =
            Self { lines: BufReader::new(child.stderr.take().unwrap()), child, address: String::new() };
        let told = server.until("listening on ");
        server.address = told.split("listening on ").nth(1).unwrap().trim().replace("http://", "");
        server.until("\"ready\"");
        server
    }

    /// The next line of the log with that text.
    fn until(&mut self, text: &str) -> String {
        let mut before = String::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the server ended: {before}");
            if line.contains(text) {
                return line;
            }
            before += &line;
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends a request, whose head may have one more line; gives the status and the body.
    pub(crate) fn request(&self, verb: &str, path: &str, about: &str, body: &[u8]) -> (String, String) {
        let mut stream = self.connect();
        stream.write_all(&head(verb, path, about, body.len())).unwrap();
        stream.write_all(body).unwrap();
        answer(stream)
    }

    /// Posts an image; gives the status and the body.
    pub(crate) fn score(&self, path: &str, image: &[u8]) -> (String, String) {
        self.request("POST", path, "", image)
    }

    /// The status of asking for the models with a token.
    fn models_for(&self, token: &str) -> String {
        self.request("GET", "/v1/models", &format!("Authorization: Bearer {token}\r\n"), b"").0
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: libc::c_int) {
        crate::support::signal(&self.child, signal);
    }

    /// What the system says of its memory, in KiB.
    fn memory(&self, key: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse().ok())
    }
}

fn head(verb: &str, path: &str, about: &str, length: usize) -> Vec<u8> {
    format!(
        "{verb} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{about}Content-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

fn answer(mut stream: impl Read) -> (String, String) {
    let mut text = Vec::new();
    // A connection that was reset has said all that it will.
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.split(' ').nth(1).unwrap_or_default().to_owned(), body.to_owned())
}

/// The text of a key's number, as it stands in JSON.
fn number(json: &str, key: &str) -> String {
    let rest = json.split(&format!("\"{key}\":")).nth(1).unwrap_or_else(|| panic!("{key} in {json}"));
    rest.split([',', '}']).next().unwrap().to_owned()
}

#[test]
fn the_server_says_what_predict_says_and_ends_when_asked() {
    let bench = Bench::with_model();
    let lines = bench.ok("predict model.blemish set/test");
    let mut server = Server::start(&bench, "model.blemish other=model.blemish --threads 1");
    for line in lines.lines() {
        let file: Value = serde_json::from_str(line).unwrap();
        let image = std::fs::read(bench.path(file["path"].as_str().unwrap())).unwrap();
        for path in ["/v1/models/model/score", "/v1/models/other/score"] {
            let (status, verdict) = server.score(path, &image);
            assert_eq!(status, "200", "{verdict}");
            for key in ["score", "p_value", "threshold"] {
                assert_eq!(number(&verdict, key), number(line, key));
            }
            let verdict: Value = serde_json::from_str(&verdict).unwrap();
            assert_eq!((&verdict["regions"], &verdict["anomalous"]), (&file["regions"], &file["anomalous"]));
        }
    }
    assert_eq!(bench.ok(&format!("ping {}", server.address)).trim(), "ready");
    assert_eq!(server.score("/score", b"").0, "409");
    #[cfg(unix)]
    {
        server.signal(libc::SIGTERM);
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        assert!(bench.fails(&format!("ping {}", server.address)).contains("does not answer"));
    }
}

#[cfg(unix)]
#[test]
fn what_is_in_flight_is_answered_before_the_end_and_the_socket_is_taken_away() {
    use std::os::unix::net::UnixStream;
    let bench = Bench::with_model();
    let socket = bench.path("s.sock");
    let mut server = Server::start(&bench, "model.blemish --listen unix:s.sock");
    let image = std::fs::read(bench.path("set/train/good/000.png")).unwrap();
    let streams: Vec<UnixStream> = (0..8)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(&head("POST", "/score", "", image.len())).unwrap();
            stream.write_all(&image[..image.len() / 2]).unwrap();
            stream
        })
        .collect();
    // Heads are read when their requests are counted: the model then has eight images under way.
    loop {
        let mut asked = UnixStream::connect(&socket).unwrap();
        asked.write_all(&head("GET", "/v1/models/model", "", 0)).unwrap();
        if number(&answer(asked).1, "queued") == "8" {
            break;
        }
    }
    server.signal(libc::SIGTERM);
    server.until("stopping");
    for mut stream in streams {
        stream.write_all(&image[image.len() / 2..]).unwrap();
        let (status, verdict) = answer(stream);
        assert!(status == "200" && verdict.contains("\"score\""), "{verdict}");
    }
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(!socket.exists());
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_tokens_and_models_anew() {
    let bench = Bench::with_model();
    std::fs::write(bench.path("tokens"), "first-token score,read\n").unwrap();
    let mut server = Server::start(&bench, "model.blemish --token-file tokens");
    assert_eq!(
        (server.models_for("first-token"), server.models_for("second-token")),
        ("200".into(), "401".into())
    );
    std::fs::write(bench.path("tokens"), "second-token score,read\n").unwrap();
    std::fs::write(bench.path("model.blemish"), "no model").unwrap();
    server.signal(libc::SIGHUP);
    let told = server.until("old version goes on");
    assert!(!told.contains("token"), "{told}");
    assert_eq!(
        (server.models_for("first-token"), server.models_for("second-token")),
        ("401".into(), "200".into())
    );
}

#[cfg(target_os = "linux")]
#[test]
fn bodies_and_heads_that_are_too_large_take_no_memory() {
    let bench = Bench::with_model();
    let server = Server::start(&bench, "model.blemish --max-body 8MiB");
    let image = std::fs::read(bench.path("set/train/good/000.png")).unwrap();
    for _ in 0..20 {
        assert_eq!(server.score("/score", &image).0, "200");
    }
    let before = server.memory("VmHWM:").unwrap();
    let mut stream = server.connect();
    stream
        .write_all(b"POST /score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = [b"100000\r\n", &[7; 0x100000][..], b"\r\n"].concat();
    let sent = (0..10 << 10).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent < 64, "{sent} MiB were taken");
    let (status, body) = server.score("/score", &png_head(60_000, 60_000));
    assert!(status == "413" && body.contains("image_too_large"), "{status}: {body}");
    let grown = server.memory("VmHWM:").unwrap() - before;
    assert!(grown < (2 * 8) << 10, "{grown} KiB");
    assert_eq!(server.score("/score", &image).0, "200");
}

/// A PNG of that size whose data is missing.
fn png_head(width: u32, height: u32) -> Vec<u8> {
    let small = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    image::RgbImage::new(1, 1).save(small.path()).unwrap();
    let mut bytes = std::fs::read(small.path()).unwrap();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    // The checksum of the header, CRC-32 bit by bit.
    let mut crc = u32::MAX;
    for byte in &bytes[12..29] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

#[test]
fn what_keeps_a_server_from_starting_is_said() {
    let bench = Bench::with_model();
    assert!(bench.fails("serve none.blemish").contains("none.blemish"));
    assert!(bench.misused("serve").contains("no model to serve"));
    assert!(bench.misused("serve model.blemish --listen 0.0.0.0:0").contains("--token-file"));
    assert!(bench.misused("serve model.blemish model.blemish").contains("NAME=PATH"));
    std::fs::write(bench.path("tokens"), "").unwrap();
    assert!(bench.misused("serve model.blemish --token-file tokens").contains("no token"));
    assert!(bench.misused("serve model.blemish --tls-cert tokens --tls-key tokens").contains("certificates"));
    let mut bytes = std::fs::read(bench.path("model.blemish")).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 1;
    std::fs::write(bench.path("flipped.blemish"), bytes).unwrap();
    assert!(bench.fails("serve flipped.blemish --check").contains("corrupt"));
    let checked: Value = serde_json::from_str(&bench.ok("serve model.blemish --check --json")).unwrap();
    assert_eq!(checked["models"][0][0], "model");
}

#[cfg(target_os = "linux")]
#[test]
fn the_watchdog_of_systemd_is_fed_while_nothing_hangs() {
    let bench = Bench::with_model();
    let socket = std::os::unix::net::UnixDatagram::bind(bench.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = bench.command("serve model.blemish --listen 127.0.0.1:0");
    command.env("NOTIFY_SOCKET", bench.path("notify")).env("WATCHDOG_USEC", "300000").stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let heard = || {
        let mut bytes = [0; 200];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    let (mut is_ready, mut fed) = (false, 0);
    while !is_ready || fed < 3 {
        let said = heard();
        is_ready |= said == "READY=1";
        fed += usize::from(is_ready && said == "WATCHDOG=1");
    }
    // Safety: the process is our own child, which has not been waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    while heard() != "STOPPING=1" {}
    assert!(child.wait().unwrap().success());
}
