//! `serve.toml`: the options of the command line under their long names, sinks, and sources of the station.
//!
//! ```toml
//! listen = "0.0.0.0:8443"
//! token_file = "tokens"
//! tls_cert = "line.pem"
//! tls_key = "line.key"
//! memory_limit = "2GiB"
//! timeout = "30s"
//! keep = "flagged"
//! keep_dir = "flagged"
//!
//! [models]
//! line = "line.blemish"
//! lid = "lids/v3.blemish"
//!
//! [[sink]]
//! kind = "mqtt"
//! url = "mqtts://broker:8883"
//! prefix = "plant/line3"
//! username = "line3"
//! password_env = "MQTT_PASSWORD"
//! ```
//! Paths that are not absolute begin at the folder of the file. Keys may be written with `-` or `_`. The command line says more: what it
//! states takes the place of what the file says.

mod sink;
mod source;
mod table;
#[cfg(test)]
mod tests;
pub mod units;

use crate::fault::Fault;
use crate::options::{Listen, ModelOption, ServeOptions, Tls, Which, check_name};
use std::path::Path;
use table::Section;
use toml::{Table, Value};

/// Bytes of a file, at most.
const LARGEST: u64 = 1 << 20;

/// The options in a file; where it is silent, the defaults.
///
/// # Errors
/// `io` if it cannot be read; `setting` with file, table and key of what is wrong.
pub fn read(path: &Path) -> Result<ServeOptions, Fault> {
    let bytes = blemish::data::files::read(path, LARGEST)
        .map_err(|error| Fault::new("io", format!("cannot read `{}`: {error}", path.display())))?;
    parse(path, &String::from_utf8_lossy(&bytes))
}

/// The same of the text of a file; `path` is for messages, and paths in it begin at its folder.
///
/// # Errors
/// `setting` with file, table and key of what is wrong.
pub fn parse(path: &Path, text: &str) -> Result<ServeOptions, Fault> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        Fault::new("setting", format!("`{}` is no TOML: {}", path.display(), error.to_string().trim()))
    })?;
    let mut top = Section::new(path, "", table);
    let sinks = sink::all(path, top.tables("sink")?)?;
    let sources = source::all(path, top.tables("source")?)?;
    let models = models(path, &mut top)?;
    let options = ServeOptions { models, sinks, sources, ..options(&mut top)? };
    top.end()?;
    Ok(options)
}

fn models(path: &Path, top: &mut Section<'_>) -> Result<Vec<ModelOption>, Fault> {
    let table = match top.take("models") {
        None => return Ok(Vec::new()),
        Some(Value::Table(table)) => table,
        Some(_) => {
            return Err(
                top.fault("models", "it is no table; write [models] and a line NAME = \"PATH\" for each")
            );
        }
    };
    let place = Section::new(path, "[models]", Table::new());
    let model = |(name, value): (String, Value)| {
        check_name(&name).map_err(|fault| place.fault(&name, fault))?;
        match value {
            Value::String(file) => Ok(ModelOption { name, path: place.resolve(&file) }),
            _ => Err(place.fault(&name, "it is no path; write NAME = \"PATH\"")),
        }
    };
    table.into_iter().map(model).collect()
}

/// Puts a value in its place, if there is one.
fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

const WHICH: [(&str, Which); 3] = [("none", Which::None), ("flagged", Which::Flagged), ("all", Which::All)];

fn options(top: &mut Section<'_>) -> Result<ServeOptions, Fault> {
    let mut options = ServeOptions::default();
    if let Some(listen) = top.text("listen")? {
        options.listen = match listen.parse().map_err(|why: String| top.fault("listen", why))? {
            Listen::Unix(path) => Listen::Unix(top.resolve(&path.to_string_lossy())),
            tcp => tcp,
        };
    }
    set(&mut options.hosts, top.texts("host")?);
    set(&mut options.cors, top.texts("cors")?);
    options.token_file = top.path("token_file")?;
    set(&mut options.is_insecure, top.flag("insecure")?);
    let (certificate, key) = (top.path("tls_cert")?, top.path("tls_key")?);
    let client_authorities = top.path("tls_client_ca")?;
    options.tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Tls { certificate, key, client_authorities }),
        (Some(_), None) => {
            return Err(top.fault("tls_key", "it is missing; tls_cert needs the certificate's key"));
        }
        (None, Some(_)) => return Err(top.fault("tls_cert", "it is missing; tls_key needs its certificate")),
        (None, None) if client_authorities.is_some() => {
            return Err(top.fault(
                "tls_client_ca",
                "clients can only be asked for certificates over TLS; give tls_cert and tls_key",
            ));
        }
        (None, None) => None,
    };
    set(&mut options.queue, top.count("queue", 1)?.map(clamped));
    set(&mut options.batch, top.count("batch", 1)?.map(clamped));
    set(&mut options.batch_wait, top.unit("batch_wait", units::milliseconds)?);
    set(&mut options.memory_limit, top.unit("memory_limit", units::bytes)?);
    set(&mut options.max_body, top.unit("max_body", units::bytes)?);
    set(&mut options.max_pixels, top.unit("max_pixels", units::pixels)?);
    set(&mut options.timeout, top.unit("timeout", units::duration)?);
    set(&mut options.drain, top.unit("drain", units::duration)?);
    set(&mut options.verifies, top.choice("verify", &[("on", true), ("off", false)])?);
    options.monitor = top.path("monitor")?;
    set(&mut options.keep, top.choice("keep", &WHICH)?);
    options.keep_dir = top.path("keep_dir")?;
    set(&mut options.keep_max, top.unit("keep_max", units::bytes)?);
    set(&mut options.keep_count, top.count("keep_count", 1)?);
    options.threads = top.count("threads", 1)?.map(clamped);
    if let Some(engine) = top.text("engine")? {
        options.engine = engine.parse().map_err(|why| top.fault("engine", why))?;
    }
    if let Some(device) = top.text("device")? {
        options.device = device.parse().map_err(|why| top.fault("device", why))?;
    }
    set(&mut options.logs_json, top.choice("logs", &[("json", true), ("text", false)])?);
    options.station = top.path("station")?;
    set(&mut options.record, top.choice("record", &WHICH)?);
    set(&mut options.history_max, top.unit("history_max", units::bytes)?);
    set(
        &mut options.history_days,
        top.count("history_days", 1)?.map(|days| u32::try_from(days).unwrap_or(u32::MAX)),
    );
    set(&mut options.audit, top.number("audit", (0.0, 1.0))?);
    Ok(options)
}

fn clamped(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
