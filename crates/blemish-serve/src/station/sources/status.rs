//! How a source is doing, as pages show it.

use super::{After, Kind, SourceOption, Trigger};
use crate::station::clock;
use crate::station::store::lock;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Mutex;
use utoipa::ToSchema;

/// Lines of error output that are kept, and characters of each.
const TAIL: (usize, usize) = (20, 500);

/// How a source is doing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Source)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// `folder` or `command`.
    pub kind: &'static str,
    /// The model that scores its images; null where it is the only one.
    pub model: Option<String>,
    /// `running`, `waiting`, `failed`, `paused`, `stopped`.
    pub state: &'static str,
    /// The last error.
    pub error: Option<String>,
    /// When it is tried again, in seconds since 1970.
    pub retry_at: Option<f64>,
    /// Images that were scored.
    pub taken: u64,
    /// Images that came while the line was paused.
    pub skipped: u64,
    /// Frames that a newer one has overtaken.
    pub dropped: u64,
    /// Files whose content was there before.
    pub repeated: u64,
    /// Files or frames that are no images.
    pub unreadable: u64,
    /// Times that the program was started again.
    pub restarts: u64,
    /// When the last image was scored, in seconds since 1970.
    pub last: Option<f64>,
    /// `every`, `request` or a time.
    pub trigger: String,
    /// The folder, or the program and its arguments.
    pub what: String,
    /// What becomes of files.
    pub after: Option<String>,
    /// The last lines of its error output.
    #[schema(value_type = Vec<String>)]
    pub tail: VecDeque<String>,
}

/// The same, changing.
pub struct Status(Mutex<Told>);

impl Status {
    /// Of a source that has not begun.
    pub fn new(option: &SourceOption) -> Self {
        let (kind, what, trigger, after) = match &option.kind {
            Kind::Folder { path, after, .. } => {
                let after = match after {
                    After::Keep => "keep".to_owned(),
                    After::Delete => "delete".to_owned(),
                    After::Move(to) => format!("move:{}", to.display()),
                };
                ("folder", path.display().to_string(), "every".to_owned(), Some(after))
            }
            Kind::Command { command, trigger, .. } => {
                let trigger = match trigger {
                    Trigger::Every => "every".to_owned(),
                    Trigger::Request => "request".to_owned(),
                    Trigger::Interval(pause) => format!("{}ms", pause.as_millis()),
                };
                ("command", command.join(" "), trigger, None)
            }
        };
        Self(Mutex::new(Told {
            name: option.name.clone(),
            kind,
            model: option.model.clone(),
            state: "waiting",
            error: None,
            retry_at: None,
            taken: 0,
            skipped: 0,
            dropped: 0,
            repeated: 0,
            unreadable: 0,
            restarts: 0,
            last: None,
            trigger,
            what,
            after,
            tail: VecDeque::new(),
        }))
    }

    /// As it is now.
    pub fn told(&self) -> Told {
        lock(&self.0).clone()
    }

    /// Changes it; whether its state or its error has become another.
    pub fn change(&self, change: impl FnOnce(&mut Told)) -> bool {
        let mut told = lock(&self.0);
        let before = (told.state, told.error.clone());
        change(&mut told);
        before != (told.state, told.error.clone())
    }

    /// An image was scored.
    pub fn took(&self) {
        self.change(|told| {
            told.taken += 1;
            told.last = Some(clock::now());
        });
    }

    /// A line of error output.
    pub fn heard(&self, line: &str) {
        let mut told = lock(&self.0);
        if told.tail.len() == TAIL.0 {
            told.tail.pop_front();
        }
        told.tail.push_back(line.chars().filter(|one| !one.is_control()).take(TAIL.1).collect());
    }
}
