//! A source as it is set up, from a table `[[source]]`.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
