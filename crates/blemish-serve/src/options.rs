//! Every option of the server, with its default; the command line and `serve.toml` fill the same struct.

use crate::fault::Fault;
use crate::sinks::options::SinkOptions;
use crate::station::sources::option::SourceOption;
use blemish::features::{Device, Engine, EngineOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Characters that the name of a model may have, at most.
const NAME: usize = 64;

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
    /// What runs the backbones.
    pub engine: Engine,
    /// The device of what is searched, and of the backbones on some engines.
    pub device: Device,
    /// The file of settings and sinks.
    pub config: Option<PathBuf>,
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
    /// Where verdicts go beside answers; from `serve.toml` alone.
    pub sinks: Vec<SinkOptions>,
    /// Where the station's images come from, beside its own `sources.toml`; from `serve.toml` alone.
    pub sources: Vec<SourceOption>,
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
            engine: Engine::default(),
            device: Device::default(),
            config: None,
            logs_json: true,
            station: None,
            record: Which::All,
            history_max: 20 * GIB,
            history_days: 90,
            audit: 0.02,
            sinks: Vec::new(),
            sources: Vec::new(),
        }
    }
}

impl ServeOptions {
    /// Engine, device and threads of the models.
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions { engine: self.engine, device: self.device, threads: self.threads }
    }

    /// Checks what does not depend on files: names of models, numbers, and who can reach the server.
    ///
    /// # Errors
    /// `setting`.
    pub fn check(&self) -> Result<(), Fault> {
        for (at, model) in self.models.iter().enumerate() {
            check_name(&model.name)?;
            if self.models[..at].iter().any(|before| before.name == model.name) {
                return setting(format!(
                    "two models are called `{}`; name one of them with NAME=PATH",
                    model.name
                ));
            }
        }
        if self.models.is_empty() && self.station.is_none() {
            return setting("there is no model to serve; name model files, or a folder with --station");
        }
        if let (Some(source), None) = (self.sources.first(), &self.station) {
            return setting(format!(
                "the source `{}` of [[source]] is for a station, and there is none; give its folder with --station, or leave the table out",
                source.name
            ));
        }
        if self.keep != Which::None && self.keep_dir.is_none() {
            return setting("images are to be kept, but not where; name a folder with --keep-dir");
        }
        if self.queue == 0 || self.batch == 0 {
            return setting("a queue or a batch of 0 images lets none through; give 1 at least");
        }
        if self.timeout.is_zero() {
            return setting("a timeout of 0 lets no request through; give it a second at least");
        }
        let Listen::Tcp(address) = &self.listen else { return Ok(()) };
        if !address.ip().is_loopback() && self.token_file.is_none() && !self.is_insecure {
            return setting(format!(
                "{address} can be reached from other machines, and nothing tells who asks; give tokens with --token-file, or allow everybody \
                 everything with --insecure"
            ));
        }
        Ok(())
    }

    /// Whether only this machine reaches the server by TCP: then a web page in a browser here is what must be kept out.
    pub fn is_loopback(&self) -> bool {
        matches!(&self.listen, Listen::Tcp(address) if address.ip().is_loopback())
    }
}

fn setting<T>(text: impl std::fmt::Display) -> Result<T, Fault> {
    Err(Fault::new("setting", text))
}

/// Checks the name of a model: it stands in paths, labels of metrics and topics of messages.
///
/// # Errors
/// `setting` with what a name may be.
pub fn check_name(name: &str) -> Result<(), Fault> {
    let is_allowed = |one: char| one.is_ascii_alphanumeric() || matches!(one, '.' | '_' | '-');
    if !name.is_empty() && name.len() <= NAME && name.chars().all(is_allowed) && !matches!(name, "." | "..") {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME).collect();
    setting(format!(
        "`{shown}` cannot be the name of a model: it takes 1 to {NAME} of A-Z a-z 0-9 . _ -; name it with NAME=PATH"
    ))
}

impl std::str::FromStr for ModelOption {
    type Err = String;

    /// Reads `PATH`, served under the file's stem, or `NAME=PATH`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) if !name.contains(['/', '\\']) => (name.to_owned(), path),
            _ => {
                let stem = Path::new(text).file_stem().and_then(|stem| stem.to_str());
                (stem.unwrap_or_default().to_owned(), text)
            }
        };
        check_name(&name).map_err(|fault| fault.to_string())?;
        match path.is_empty() {
            true => Err(format!("`{text}` names no file")),
            false => Ok(Self { name, path: path.into() }),
        }
    }
}

impl std::str::FromStr for Listen {
    type Err = String;

    /// Reads `ADDRESS:PORT`, `localhost:PORT`, `:PORT` or `unix:PATH`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err("`unix:` names no socket file".to_owned()),
                false => Ok(Self::Unix(path.into())),
            };
        }
        let address = match text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')) {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        address.parse().map(Self::Tcp).map_err(|_| {
            format!("`{text}` is no address to listen on, such as 127.0.0.1:8080, [::]:8080 or unix:/run/blemish.sock")
        })
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(to),
            Self::Unix(path) => write!(to, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_by_their_files_or_by_hand() {
        let read = |text: &str| text.parse::<ModelOption>().map(|model| (model.name, model.path));
        assert_eq!(read("a/line.blemish"), Ok(("line".into(), "a/line.blemish".into())));
        assert_eq!(read("lid=a/v3.blemish"), Ok(("lid".into(), "a/v3.blemish".into())));
        assert_eq!(read("a=b/c=d.blemish").unwrap().1, PathBuf::from("b/c=d.blemish"));
        for wrong in ["", "=a", "a=", "two words=a", "..", "\u{e9}=a", &format!("{}=a", "x".repeat(65))] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_read_and_others_reach_the_server_only_on_purpose() {
        let options = |listen: &str| ServeOptions {
            listen: listen.parse().unwrap(),
            models: vec!["a=b".parse().unwrap()],
            ..Default::default()
        };
        for fine in ["127.0.0.1:80", "[::1]:80", "localhost:80", ":80", "unix:/run/x"] {
            assert_eq!(options(fine).check(), Ok(()), "{fine}");
        }
        let refused = options("0.0.0.0:80").check().unwrap_err();
        assert!(refused.help.contains("--token-file") && refused.help.contains("--insecure"), "{refused:?}");
        assert!(ServeOptions { is_insecure: true, ..options("0.0.0.0:80") }.check().is_ok());
        for wrong in ["", "unix:", "80", "example.org:80", "127.0.0.1"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }
}
