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
pub mod option;
mod status;
#[cfg(test)]
mod tests;

use super::Station;
use crate::answer::{Answered, Origin};
use crate::fault::Fault;
use crate::models::{Asked, Given};
use crate::options::ServeOptions;
use axum::body::Bytes;
pub use option::{After, Kind, SourceOption, Trigger};
use serde::Deserialize;
pub use status::{Status, Told};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

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
