//! What a sink is told in `serve.toml`.

use std::path::PathBuf;
use std::time::Duration;

/// Messages that wait for a sink, at most, unless its table says otherwise.
pub const BUFFER: usize = 1000;

/// A table `[[sink]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkOptions {
    /// For metrics and logs: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Where messages go.
    pub kind: SinkKind,
    /// Whether only anomalous images are told.
    pub only_anomalous: bool,
    /// Verdicts a second, at most; those between are left out and counted.
    pub rate: Option<f64>,
    /// Whether the heat map over the image goes along.
    pub overlay: bool,
    /// Messages that wait while nobody takes them; the oldest are dropped.
    pub buffer: usize,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    /// A file of JSON Lines a day, in this folder.
    Folder(PathBuf),
    /// An MQTT broker.
    Mqtt(MqttOptions),
    /// A POST an image.
    Webhook(WebhookOptions),
    /// A program that reads lines of JSON: itself and its arguments.
    Command(Vec<String>),
    /// Registers that a PLC polls.
    Modbus(ModbusOptions),
}

impl SinkKind {
    /// Its name in `serve.toml`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Mqtt(_) => "mqtt",
            Self::Webhook(_) => "webhook",
            Self::Command(_) => "command",
            Self::Modbus(_) => "modbus",
        }
    }
}

/// An MQTT broker.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttOptions {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// The first part of every topic.
    pub prefix: String,
    /// Under which the broker knows us; must be its own for every client.
    pub client_id: String,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    /// Authorities (PEM) one of which must have signed the broker's certificate; else those of the system.
    pub authorities: Option<PathBuf>,
    /// Our certificate and its key (PEM).
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// A POST an image.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookOptions {
    /// Where to.
    pub url: String,
    /// Signs each body.
    pub secret: Option<Secret>,
    /// Authorities (PEM) one of which must have signed the host's certificate; else the public ones.
    pub authorities: Option<PathBuf>,
    /// How long one try may take.
    pub timeout: Duration,
}

/// A Modbus TCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModbusOptions {
    /// Where it listens.
    pub listen: std::net::SocketAddr,
    /// The model whose verdicts it tells; all if none is named.
    pub model: Option<String>,
}

/// A password or key, which no log and no error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}
