//! The server, and asking whether it is ready.

use super::shared::{EngineArgs, MachineArgs};
use super::values::share;
use blemish_serve::config::units::{bytes, duration, milliseconds, pixels};
use blemish_serve::options::{Listen, ModelOption, ServeOptions, Tls, Which};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Model files, each served under its name without the ending, or under another: NAME=FILE.
    #[arg(value_name = "[NAME=]FILE")]
    pub models: Vec<ModelOption>,
    /// Where to listen: ADDRESS:PORT (port 0 takes a free one), or unix:PATH. 127.0.0.1:8080 by default.
    #[arg(long, value_name = "ADDRESS", help_heading = "Listening")]
    pub listen: Option<Listen>,
    /// A name under which this machine's loopback address is asked for, beside localhost; repeatable.
    #[arg(long, value_name = "NAME", help_heading = "Listening")]
    pub host: Vec<String>,
    /// An origin whose web pages may read answers, such as https://mes.example; repeatable.
    #[arg(long, value_name = "ORIGIN", help_heading = "Listening")]
    pub cors: Vec<String>,
    /// Tokens, a line each: TOKEN score,read,label,admin. Needed for an address that other machines reach; read again on SIGHUP.
    #[arg(long, value_name = "FILE", help_heading = "Listening")]
    pub token_file: Option<PathBuf>,
    /// Let everybody who reaches the server do everything.
    #[arg(long, conflicts_with = "token_file", help_heading = "Listening")]
    pub insecure: bool,
    /// Certificate chain for TLS, as PEM; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Listening")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Listening")]
    pub tls_key: Option<PathBuf>,
    /// Authorities, as PEM, one of which must have signed the certificate of whoever asks.
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Listening")]
    pub tls_client_ca: Option<PathBuf>,
    #[command(flatten)]
    pub limits: ServeLimitArgs,
    #[command(flatten)]
    pub keeping: KeepingArgs,
    #[command(flatten)]
    pub station: StationArgs,
    /// Settings and sinks, as TOML; options of the command line count more.
    #[arg(long, value_name = "serve.toml", help_heading = "Operation")]
    pub config: Option<PathBuf>,
    /// Whether models prove that they score as where they were fitted, before they answer.
    #[arg(long, value_enum, value_name = "on|off", help_heading = "Operation")]
    pub verify: Option<OnOff>,
    /// Folder of drift monitors, a file a model.
    #[arg(long, value_name = "DIR", help_heading = "Operation")]
    pub monitor: Option<PathBuf>,
    /// How logs are written to standard error; lines of JSON by default.
    #[arg(long, value_enum, help_heading = "Operation")]
    pub logs: Option<Logs>,
    /// Check models, tokens, certificates and settings, tell what would be served, and end.
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// What the server takes at once.
#[derive(Debug, Args)]
pub struct ServeLimitArgs {
    /// Images that may wait for a model; whoever comes after is refused at once. 64 by default.
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub queue: Option<usize>,
    /// Images that a model scores at once, at most. 8 by default.
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub batch: Option<usize>,
    /// How long a batch waits for more images, such as 2ms; a plain number is milliseconds. 0 by default.
    #[arg(long, value_name = "TIME", value_parser = milliseconds, help_heading = "Limits")]
    pub batch_wait: Option<Duration>,
    /// Memory that images may take at once, encoded and decoded; a plain number is bytes. 2GiB by default.
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "Limits")]
    pub memory_limit: Option<u64>,
    /// Size of a body, after decompression; a plain number is bytes. 32MiB by default.
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "Limits")]
    pub max_body: Option<u64>,
    /// Pixels of an image, such as 100MP, 10000x10000 or a plain number. 100MP by default.
    #[arg(long, value_name = "PIXELS", value_parser = pixels, help_heading = "Limits")]
    pub max_pixels: Option<u64>,
    /// How long a request may wait, be read and scored, such as 500ms; a plain number is seconds. 30s by default.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Limits")]
    pub timeout: Option<Duration>,
    /// How long requests in flight may take when the server is stopped; a plain number is seconds. 10s by default.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Limits")]
    pub drain: Option<Duration>,
}

/// Which images are kept.
#[derive(Debug, Args)]
pub struct KeepingArgs {
    /// Which images are kept as files. None by default.
    #[arg(long, value_enum, requires = "keep_dir", help_heading = "Keeping images")]
    pub keep: Option<Images>,
    /// Where.
    #[arg(long, value_name = "DIR", help_heading = "Keeping images")]
    pub keep_dir: Option<PathBuf>,
    /// Size of kept images, at most: the oldest give way; a plain number is bytes. 5GiB by default.
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "Keeping images")]
    pub keep_max: Option<u64>,
    /// Kept images, at most. 100000 by default.
    #[arg(long, value_name = "N", help_heading = "Keeping images")]
    pub keep_count: Option<u64>,
}

/// The inspector's pages.
#[derive(Debug, Args)]
pub struct StationArgs {
    /// Folder of a station: pages to watch and teach models, with their history.
    #[arg(long, value_name = "DIR", help_heading = "Station")]
    pub station: Option<PathBuf>,
    /// Which images the history has. All by default.
    #[arg(long, value_enum, requires = "station", help_heading = "Station")]
    pub record: Option<Images>,
    /// Size of pictures in the history, at most; a plain number is bytes. 20GiB by default.
    #[arg(long, value_name = "SIZE", value_parser = bytes, requires = "station", help_heading = "Station")]
    pub history_max: Option<u64>,
    /// Days that pictures stay in the history, at most. 90 by default.
    #[arg(long, value_name = "N", requires = "station", help_heading = "Station")]
    pub history_days: Option<u32>,
    /// The share of all images that is asked about, whatever the verdict. 0.02 by default.
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "station", help_heading = "Station")]
    pub audit: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Logs {
    /// Lines of JSON.
    Json,
    /// Lines for people.
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Images {
    None,
    /// Those that are anomalous.
    Flagged,
    All,
}

impl From<Images> for Which {
    fn from(images: Images) -> Self {
        match images {
            Images::None => Self::None,
            Images::Flagged => Self::Flagged,
            Images::All => Self::All,
        }
    }
}

/// Puts what was given in the place of what was there.
fn set<T>(place: &mut T, given: Option<impl Into<T>>) {
    if let Some(given) = given {
        *place = given.into();
    }
}

impl ServeArgs {
    /// Lets what the command line says count more than what the options say already.
    pub fn apply(&self, options: &mut ServeOptions) {
        let Self { limits, keeping, station, .. } = self;
        options.models.retain(|known| self.models.iter().all(|given| given.name != known.name));
        options.models.extend(self.models.iter().cloned());
        set(&mut options.listen, self.listen.clone());
        options.hosts.extend(self.host.iter().cloned());
        options.cors.extend(self.cors.iter().cloned());
        options.is_insecure |= self.insecure;
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let (certificate, key) = (certificate.clone(), key.clone());
            options.tls = Some(Tls { certificate, key, client_authorities: self.tls_client_ca.clone() });
        }
        set(&mut options.queue, limits.queue);
        set(&mut options.batch, limits.batch);
        set(&mut options.batch_wait, limits.batch_wait);
        set(&mut options.memory_limit, limits.memory_limit);
        set(&mut options.max_body, limits.max_body);
        set(&mut options.max_pixels, limits.max_pixels);
        set(&mut options.timeout, limits.timeout);
        set(&mut options.drain, limits.drain);
        set(&mut options.verifies, self.verify.map(|verify| verify == OnOff::On));
        set(&mut options.logs_json, self.logs.map(|logs| logs == Logs::Json));
        set(&mut options.keep, keeping.keep);
        set(&mut options.keep_max, keeping.keep_max);
        set(&mut options.keep_count, keeping.keep_count);
        set(&mut options.record, station.record);
        set(&mut options.history_max, station.history_max);
        set(&mut options.history_days, station.history_days);
        set(&mut options.audit, station.audit);
        for (place, given) in [
            (&mut options.token_file, &self.token_file),
            (&mut options.config, &self.config),
            (&mut options.monitor, &self.monitor),
            (&mut options.keep_dir, &keeping.keep_dir),
            (&mut options.station, &station.station),
        ] {
            if given.is_some() {
                place.clone_from(given);
            }
        }
    }
}

/// Where a server is asked.
fn asked(text: &str) -> Result<Listen, String> {
    text.parse().or_else(|why| match text.is_empty() {
        true => Err(why),
        false => format!("{text}:8080").parse().map_err(|_| why),
    })
}

/// How long somebody waits for an answer.
fn patience(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("`{text}` leaves no time to answer; write 5s")),
        time => Ok(time),
    }
}

#[derive(Debug, Args)]
pub struct PingArgs {
    /// Where the server listens, as `serve --listen` has it; port 8080 where none is given.
    #[arg(default_value = "127.0.0.1:8080", value_name = "ADDRESS", value_parser = asked)]
    pub listen: Listen,
    /// Ask by TLS; the certificate is not checked, since the question goes to an address.
    #[arg(long)]
    pub tls: bool,
    /// How long the answer may take; a plain number is seconds.
    #[arg(long, value_name = "TIME", value_parser = patience, default_value = "5s")]
    pub within: Duration,
}
