//! How a source is doing, as pages show it.

use super::{After, Kind, SourceOption, Trigger};
use crate::station::clock;
use crate::station::store::lock;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Lines of error output that are kept, and characters of each.
const TAIL: (usize, usize) = (20, 500);

/// An error that comes again and again stands in the log at most so often.
const AGAIN: Duration = Duration::from_secs(60);

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

/// The same, changing. What goes wrong also stands in the log, since whoever reads that sees no page.
pub struct Status(Mutex<(Told, Logged)>);

/// The last error in the log, and when it came there.
#[derive(Default)]
struct Logged(Option<(String, Instant)>);

impl Logged {
    /// Whether an error belongs into the log now.
    fn is_news(&mut self, error: &str, now: Instant) -> bool {
        let is_known = self.0.as_ref().is_some_and(|(known, when)| known == error && now < *when + AGAIN);
        if !is_known {
            self.0 = Some((error.to_owned(), now));
        }
        !is_known
    }
}

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
        let told = Told {
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
        };
        Self(Mutex::new((told, Logged::default())))
    }

    /// As it is now.
    pub fn told(&self) -> Told {
        lock(&self.0).0.clone()
    }

    /// Changes it; whether its state or its error has become another.
    pub fn change(&self, change: impl FnOnce(&mut Told)) -> bool {
        let mut guard = lock(&self.0);
        let (told, logged) = &mut *guard;
        let before = (told.state, told.error.clone());
        change(told);
        if let Some(error) = told.error.as_ref().filter(|_| told.error != before.1)
            && logged.is_news(error, Instant::now())
        {
            tracing::warn!(source = told.name, "{error}");
        }
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
        let told = &mut lock(&self.0).0;
        if told.tail.len() == TAIL.0 {
            told.tail.pop_front();
        }
        told.tail.push_back(line.chars().filter(|one| !one.is_control()).take(TAIL.1).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_stands_in_the_log_once_a_minute_and_another_one_at_once() {
        let mut logged = Logged::default();
        let now = Instant::now();
        assert!(logged.is_news("it has ended", now));
        assert!(!logged.is_news("it has ended", now + AGAIN / 2));
        assert!(logged.is_news("no picture for 10 s", now + AGAIN / 2));
        assert!(logged.is_news("it has ended", now + AGAIN));
        assert!(logged.is_news("it has ended", now + 2 * AGAIN));
    }
}
