//! Where images come from beside HTTP: folders that are watched and programs that deliver pictures.
//!
//! Sources name paths and programs, so no request may set them up: they stand in `serve.toml`, where paths begin at its folder, and in
//! `sources.toml` in the station's folder, which only who has the machine can write.
//!
//! ```toml
//! [[source]]
//! name = "inbox"
//! folder = "/srv/parts"
//! after = "move:/srv/done"       # keep (default), delete, move:DIR
//!
//! [[source]]
//! name = "camera"
//! command = ["ffmpeg", "-f", "v4l2", "-i", "/dev/video0", "-f", "image2pipe", "-c:v", "mjpeg", "-"]
//! model = "line"                 # may be left out where one model is served
//! trigger = "500ms"              # every (default), request, or a time
//! ```

mod command;
mod folder;
mod frames;
mod status;
#[cfg(test)]
mod tests;

use super::Station;
use crate::answer::{Answered, Origin};
use crate::fault::Fault;
use crate::models::{Asked, Given};
use crate::options::ServeOptions;
use axum::body::Bytes;
use serde::Deserialize;
pub use status::{Status, Told};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What becomes of a file after its verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// It stays.
    #[default]
    Keep,
    /// It is deleted.
    Delete,
    /// It goes to a folder.
    Move(PathBuf),
}

/// Which frames are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// The newest one as soon as the one before is done.
    #[default]
    Every,
    /// The newest one at most so often.
    Interval(Duration),
    /// The next one after each request.
    Request,
}

/// What kind of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder, and what becomes of its files.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What becomes of files.
        after: After,
        /// Whether the system is asked to tell of changes; a scan every two seconds finds them in any case.
        events: bool,
    },
    /// A program that writes pictures to its standard output.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// How long it may be silent.
        stall: Duration,
        /// Which frames are scored.
        trigger: Trigger,
    },
}

/// A source as it is set up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct SourceOption {
    /// Its name.
    pub name: String,
    /// The model that scores its images; the only one where none is named.
    pub model: Option<String>,
    /// Regions under this area, in pixels of the image, are left out.
    pub min_area: u32,
    /// What it is.
    pub kind: Kind,
}

/// A table `[[source]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    model: Option<String>,
    #[serde(default)]
    min_area: u32,
    folder: Option<PathBuf>,
    after: Option<String>,
    events: Option<bool>,
    command: Option<Vec<String>>,
    stall: Option<String>,
    trigger: Option<String>,
}

impl TryFrom<Table> for SourceOption {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let Table { name, model, min_area, folder, after, events, command, stall, trigger } = table;
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err("a source needs a name of 1 to 64 characters".into());
        }
        let fail = |what: &str| Err(format!("source `{name}`: {what}"));
        let kind = match (folder, command) {
            (Some(path), None) => {
                if stall.is_some() || trigger.is_some() {
                    return fail("stall and trigger belong to commands; a folder takes each file once");
                }
                let after = match after.as_deref().unwrap_or("keep") {
                    "keep" => After::Keep,
                    "delete" => After::Delete,
                    other => match other.strip_prefix("move:").filter(|to| !to.is_empty()) {
                        Some(to) => After::Move(to.into()),
                        None => return fail("after is keep, delete or move:DIR"),
                    },
                };
                Kind::Folder { path, after, events: events.unwrap_or(true) }
            }
            (None, Some(command)) => {
                if after.is_some() || events.is_some() {
                    return fail("after and events belong to folders");
                }
                if command.first().is_none_or(String::is_empty) {
                    return fail("command is a list: the program and its arguments");
                }
                let stall = match stall.as_deref() {
                    None => Duration::from_secs(10),
                    Some(text) => match duration(text) {
                        Some(stall) if !stall.is_zero() => stall,
                        _ => return fail("stall is a time such as 10s"),
                    },
                };
                let trigger = match trigger.as_deref().unwrap_or("every") {
                    "every" => Trigger::Every,
                    "request" => Trigger::Request,
                    text => match duration(text) {
                        Some(pause) if !pause.is_zero() => Trigger::Interval(pause),
                        _ => return fail("trigger is every, request or a time such as 500ms"),
                    },
                };
                Kind::Command { command, stall, trigger }
            }
            _ => return fail("give either folder or command"),
        };
        Ok(Self { name, model, min_area, kind })
    }
}

impl SourceOption {
    /// The same with paths that begin at a folder, where they are not absolute.
    pub(crate) fn resolved(mut self, base: &Path) -> Self {
        if let Kind::Folder { path, after, .. } = &mut self.kind {
            *path = base.join(&path);
            if let After::Move(to) = after {
                *to = base.join(&to);
            }
        }
        self
    }
}

/// `500ms`, `10s`, `2m`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

/// Reads `sources.toml`; no file is no sources.
///
/// # Errors
/// `setting` with the place of what is wrong.
fn read(path: &Path) -> Result<Vec<SourceOption>, Fault> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Tables {
        #[serde(default)]
        source: Vec<SourceOption>,
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Fault::new(
                "io",
                format!("cannot read `{}`: {error}; see who may read it", path.display()),
            ));
        }
    };
    let tables: Tables = toml::from_str(&text)
        .map_err(|error| Fault::new("setting", format!("cannot read `{}`: {error}", path.display())))?;
    Ok(tables.source)
}

/// The sources of a station: those of the options, then those of `sources.toml` in its folder.
///
/// # Errors
/// `setting` for a table that cannot be read, and if two have the same name.
pub fn all(options: &ServeOptions, folder: &Path) -> Result<Vec<SourceOption>, Fault> {
    let path = folder.join("sources.toml");
    let mut sources = options.sources.clone();
    for source in read(&path)? {
        if sources.iter().any(|other| other.name == source.name) {
            return Err(Fault::new(
                "setting",
                format!(
                    "`{}`: two sources are called `{}`, here or in serve.toml; give them names of their own",
                    path.display(),
                    source.name
                ),
            ));
        }
        sources.push(source);
    }
    Ok(sources)
}

/// A source at work.
pub struct Source {
    /// How it is set up.
    pub option: SourceOption,
    /// How it is doing.
    pub status: Status,
    triggers: command::Triggers,
}

impl Source {
    /// A source that has not begun.
    pub fn new(option: SourceOption) -> Self {
        Self { status: Status::new(&option), option, triggers: Default::default() }
    }

    /// Works until the station is gone.
    pub async fn run(self: Arc<Self>, station: Weak<Station>) {
        match &self.option.kind {
            Kind::Folder { path, after, events } => {
                folder::Folder::new(&self, path, after, *events).run(&station).await;
            }
            Kind::Command { command, stall, trigger } => {
                command::run(&self, command, *stall, *trigger, &station).await;
            }
        }
    }

    /// The verdict on the next frame.
    ///
    /// # Errors
    /// `conflict` for a folder, `deadline` if no frame comes in time, else as scoring.
    pub async fn trigger(&self, patience: Duration) -> Result<Arc<Answered>, Fault> {
        if let Kind::Folder { .. } = self.option.kind {
            return Err(Fault::new(
                "conflict",
                format!(
                    "the source `{}` is a folder, which takes files as they come; trigger a command",
                    self.option.name
                ),
            ));
        }
        self.triggers.ask(patience).await
    }

    /// Scores an image that has come from here, once there is room for it.
    async fn score(
        &self,
        station: &Station,
        bytes: Bytes,
        name: String,
        origin: Origin,
    ) -> Result<Arc<Answered>, Fault> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let server = station.server()?;
        let served = match &self.option.model {
            Some(name) => server.models.find(name)?,
            None => server.models.only()?,
        };
        let place = served.reserve_when_free().await;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let asked = Asked {
            id: format!("s-{:x}-{number:x}", station.begun()),
            name,
            origin,
            min_area: f64::from(self.option.min_area),
            deadline: Instant::now() + server.options.timeout,
        };
        served.score(place, Given::Encoded(bytes), asked).await
    }
}

/// Whether an image is at fault, and trying it again will hardly help.
fn is_of_the_image(fault: &Fault) -> bool {
    matches!(fault.status().as_u16(), 413 | 415 | 422 | 400)
}
