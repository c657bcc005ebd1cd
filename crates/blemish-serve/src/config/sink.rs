//! The tables `[[sink]]`.

use super::table::Section;
use super::units;
use crate::fault::Fault;
use crate::options::check_name;
use crate::sinks::options::BUFFER;
use crate::sinks::{ModbusOptions, MqttOptions, Secret, SinkKind, SinkOptions, WebhookOptions};
use std::path::Path;
use std::time::Duration;
use toml::Table;

/// Messages of a buffer, at most.
const LARGEST_BUFFER: u64 = 1_000_000;

/// Bytes of a file with a password or key, at most.
const LARGEST_SECRET: u64 = 1 << 16;

/// All of them; their names differ.
pub fn all(file: &Path, tables: Vec<Table>) -> Result<Vec<SinkOptions>, Fault> {
    let mut sinks: Vec<SinkOptions> = Vec::with_capacity(tables.len());
    for (at, table) in tables.into_iter().enumerate() {
        let place = format!("[[sink]] number {}", at + 1);
        let mut section = Section::new(file, &place, table);
        let mut sink = one(&mut section)?;
        let is_named = !sink.name.is_empty();
        if !is_named {
            // The kind alone where that tells it apart.
            let kind = sink.kind.name();
            let taken = |name: &str| sinks.iter().any(|other| other.name == name);
            sink.name = if taken(kind) { format!("{kind}-{}", at + 1) } else { kind.to_owned() };
        }
        if sinks.iter().any(|other| other.name == sink.name) {
            return Err(
                section.fault("name", format!("two sinks are called `{}`; give one another name", sink.name))
            );
        }
        section.end()?;
        sinks.push(sink);
    }
    Ok(sinks)
}

fn one(section: &mut Section<'_>) -> Result<SinkOptions, Fault> {
    let kind = section.needed("kind", "folder")?;
    let name = section.text("name")?.unwrap_or_default();
    if !name.is_empty() {
        check_name(&name).map_err(|fault| section.fault("name", fault))?;
    }
    let kind = match kind.as_str() {
        "folder" => {
            let path = section.needed("path", "verdicts")?;
            SinkKind::Folder(section.resolve(&path))
        }
        "mqtt" => SinkKind::Mqtt(mqtt(section)?),
        "webhook" => SinkKind::Webhook(webhook(section)?),
        "command" => {
            let command = section
                .texts("command")?
                .filter(|command| command.first().is_some_and(|program| !program.is_empty()));
            let why = "it is missing or empty; write command = [\"PROGRAM\", \"ARGUMENT\"]";
            SinkKind::Command(command.ok_or_else(|| section.fault("command", why))?)
        }
        "modbus" => SinkKind::Modbus(modbus(section)?),
        other => {
            return Err(
                section.fault("kind", format!("`{other}` is none of folder, mqtt, webhook, command, modbus"))
            );
        }
    };
    Ok(SinkOptions {
        name,
        kind,
        only_anomalous: section.choice("only", &[("all", false), ("anomalous", true)])?.unwrap_or(false),
        rate: section.number("rate", (1e-6, 1e6))?,
        overlay: section.choice("image", &[("none", false), ("overlay", true)])?.unwrap_or(false),
        buffer: match section.count("buffer", 1)? {
            Some(buffer) if buffer > LARGEST_BUFFER => {
                return Err(
                    section.fault("buffer", format!("{buffer} messages are more than {LARGEST_BUFFER}"))
                );
            }
            Some(buffer) => buffer as usize,
            None => BUFFER,
        },
    })
}

fn mqtt(section: &mut Section<'_>) -> Result<MqttOptions, Fault> {
    let example = "mqtt://broker:1883";
    let url = section.needed("url", example)?;
    let wrong = |section: &Section<'_>| {
        section.fault("url", format!("`{url}` is no broker; write {example} or mqtts://broker:8883"))
    };
    let (is_tls, rest) = match url.split_once("://") {
        Some(("mqtt", rest)) => (false, rest),
        Some(("mqtts", rest)) => (true, rest),
        _ => return Err(wrong(section)),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err(section.fault(
            "url",
            "names and passwords do not belong into it; write username and password_env or password_file",
        ));
    }
    let default = if is_tls { 8883 } else { 1883 };
    let (host, port) = match rest.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((host, port)) if !rest.ends_with(']') => (host, port.parse().map_err(|_| wrong(section))?),
        _ => (rest, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() || host.contains('/') {
        return Err(wrong(section));
    }
    let prefix = section.text("prefix")?.unwrap_or_else(|| "blemish".into());
    let is_topic = !prefix.is_empty()
        && prefix.len() <= 256
        && !prefix.contains(['#', '+', '\0'])
        && !prefix.ends_with('/');
    if !is_topic {
        return Err(section
            .fault("prefix", format!("`{prefix}` begins no topic; leave out #, + and a slash at the end")));
    }
    let client_id = section.text("client_id")?.unwrap_or_else(|| format!("blemish-{}", std::process::id()));
    let username = section.text("username")?;
    let password = secret(section, ("password_env", "password_file", "password"))?;
    let login = match (username, password) {
        (Some(name), password) => Some((name, password.unwrap_or_else(|| Secret::new("")))),
        (None, Some(_)) => return Err(section.fault("username", "it is missing; a password needs a name")),
        (None, None) => None,
    };
    let certificate = match (section.path("certificate")?, section.path("key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            return Err(
                section.fault("certificate", "a certificate and its key go together; give both or neither")
            );
        }
    };
    let authorities = section.path("ca")?;
    if !is_tls && (certificate.is_some() || authorities.is_some()) {
        return Err(section.fault("url", "certificates need an encrypted connection; write mqtts://"));
    }
    Ok(MqttOptions { host, port, is_tls, prefix, client_id, login, authorities, certificate })
}

/// Loopback unless an address is given: the protocol has no login.
const MODBUS: &str = "127.0.0.1:1502";

fn modbus(section: &mut Section<'_>) -> Result<ModbusOptions, Fault> {
    let listen = section.text("listen")?.unwrap_or_else(|| MODBUS.into());
    let listen = listen.parse().map_err(|_| {
        section.fault("listen", format!("`{listen}` is no address with a port; write {MODBUS}"))
    })?;
    let model = section.text("model")?;
    if let Some(model) = &model {
        check_name(model).map_err(|fault| section.fault("model", fault))?;
    }
    Ok(ModbusOptions { listen, model })
}

fn webhook(section: &mut Section<'_>) -> Result<WebhookOptions, Fault> {
    let url = section.needed("url", "https://host/path")?;
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(
            section.fault("url", format!("`{url}` is no address of a web server; write https://host/path"))
        );
    }
    let timeout = section.unit("timeout", units::duration)?.unwrap_or(Duration::from_secs(10));
    if timeout.is_zero() {
        return Err(section.fault("timeout", "it is 0, in which nothing can be sent; write 10s"));
    }
    Ok(WebhookOptions {
        url,
        secret: secret(section, ("secret_env", "secret_file", "secret"))?,
        authorities: section.path("ca")?,
        timeout,
    })
}

/// A password or key from the environment or a file; never from `serve.toml` itself, which is copied and mailed.
fn secret(
    section: &mut Section<'_>,
    (variable, file, plain): (&'static str, &'static str, &'static str),
) -> Result<Option<Secret>, Fault> {
    if section.take(plain).is_some() {
        return Err(section.fault(
            plain,
            format!("secrets do not stand here; name a variable as {variable} or a file as {file}"),
        ));
    }
    match (section.text(variable)?, section.path(file)?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(section.fault(file, format!("{variable} is given, too; give one"))),
        (Some(name), None) => match std::env::var(&name) {
            Ok(value) if !value.is_empty() => Ok(Some(Secret::new(value))),
            _ => Err(section
                .fault(variable, format!("the environment has no text `{name}`; set it before the start"))),
        },
        (None, Some(path)) => {
            let read = blemish::data::files::read(&path, LARGEST_SECRET);
            let bytes = read
                .map_err(|error| section.fault(file, format!("cannot read `{}`: {error}", path.display())))?;
            let text = String::from_utf8(bytes).map_err(|_| section.fault(file, "it holds no text"))?;
            Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
        }
    }
}
