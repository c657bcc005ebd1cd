//! Every option of the server, with its default; the command line and `serve.toml` fill the same struct.

use std::path::PathBuf;
use std::time::Duration;

/// A model to serve, and the name to serve it under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOption {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// The model file.
    pub path: PathBuf,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address with a port; port 0 takes any that is free.
    Tcp(std::net::SocketAddr),
    /// A socket file, of mode 0660.
    Unix(PathBuf),
}

/// Which images are kept or recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// None.
    #[default]
    None,
    /// Those that are anomalous.
    Flagged,
    /// All.
    All,
}

/// TLS with PEM files, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities one of which must have signed a client's certificate.
    pub client_authorities: Option<PathBuf>,
}

/// Every option of the server.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The models.
    pub models: Vec<ModelOption>,
    /// Where to listen.
    pub listen: Listen,
    /// Names under which the server is reached, beside those of this machine's loopback.
    pub hosts: Vec<String>,
    /// Pages of other origins that may read answers.
    pub cors: Vec<String>,
    /// The file of tokens, a line each: `TOKEN [score,read,admin]`.
    pub token_file: Option<PathBuf>,
    /// Whether an address that others reach may go without tokens.
    pub is_insecure: bool,
    /// TLS.
    pub tls: Option<Tls>,
    /// Images that may wait for a model.
    pub queue: usize,
    /// Images that a model scores at once, at most.
    pub batch: usize,
    /// How long a batch waits for more images.
    pub batch_wait: Duration,
    /// Bytes of images that may be held at once, encoded and decoded.
    pub memory_limit: u64,
    /// Bytes of a body, after decompression.
    pub max_body: u64,
    /// Pixels of an image.
    pub max_pixels: u64,
    /// How long a request may wait, be read and scored.
    pub timeout: Duration,
    /// How long requests in flight may take when the server stops.
    pub drain: Duration,
    /// Whether models prove that they score as they did when fitted, before they are served.
    pub verifies: bool,
    /// The folder of drift monitors, a file a model.
    pub monitor: Option<PathBuf>,
    /// Which images are kept, where, and how many bytes of them.
    pub keep: Which,
    /// The folder of kept images.
    pub keep_dir: Option<PathBuf>,
    /// Bytes of kept images, at most.
    pub keep_max: u64,
    /// Kept images, at most.
    pub keep_count: u64,
    /// Threads of the pool that scores; all cores if none is given.
    pub threads: Option<usize>,
    /// Whether logs are lines of JSON.
    pub logs_json: bool,
    /// The folder of the station; no station without it.
    pub station: Option<PathBuf>,
    /// Which images the station records.
    pub record: Which,
    /// Bytes of pictures in the history, at most.
    pub history_max: u64,
    /// Days that pictures stay in the history, at most.
    pub history_days: u32,
    /// The share of all images that the audit asks about.
    pub audit: f64,
}

impl Default for ServeOptions {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            models: Vec::new(),
            listen: Listen::Tcp(([127, 0, 0, 1], 8080).into()),
            hosts: Vec::new(),
            cors: Vec::new(),
            token_file: None,
            is_insecure: false,
            tls: None,
            queue: 64,
            batch: 8,
            batch_wait: Duration::ZERO,
            memory_limit: 2 * GIB,
            max_body: 32 << 20,
            max_pixels: 100_000_000,
            timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            verifies: true,
            monitor: None,
            keep: Which::None,
            keep_dir: None,
            keep_max: 5 * GIB,
            keep_count: 100_000,
            threads: None,
            logs_json: true,
            station: None,
            record: Which::All,
            history_max: 20 * GIB,
            history_days: 90,
            audit: 0.02,
        }
    }
}
