//! The access log: a line of JSON (or text) a request, written by a thread of its own.
//!
//! A reader that does not keep up costs lines, which are counted, and never time of a request. What a request says of itself stands in
//! no line but for its id, which is short and visible ASCII: no path, no query, no token.

use crate::answer::{Answered, Milliseconds};
use crate::fault::Fault;
use crate::server::{Access, AccessHook};
use serde::Serialize;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Lines that wait to be written.
const WAITING: usize = 4096;

/// Writes the log.
pub struct AccessLog {
    lines: Mutex<Option<SyncSender<String>>>,
    done: Mutex<Receiver<()>>,
    is_json: bool,
    dropped: AtomicU64,
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    id: &'a str,
    peer: &'a str,
    verb: &'a str,
    route: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    ms: Stages,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(flatten)]
    said: Option<Said<'a>>,
    /// Of a request with several images, what was said of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Said<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_lines: Option<u64>,
}

#[derive(Serialize)]
struct Stages {
    total: f64,
    #[serde(flatten)]
    image: Option<Milliseconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encode: Option<f64>,
}

#[derive(Serialize)]
struct Said<'a> {
    version: &'a str,
    score: f32,
    anomalous: Option<bool>,
    /// Of an image of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<Milliseconds>,
}

impl AccessLog {
    /// A log into this.
    ///
    /// # Errors
    /// `io` if the system gives no thread.
    pub fn start(mut to: impl Write + Send + 'static, is_json: bool) -> Result<Self, Fault> {
        let (lines, todo) = sync_channel::<String>(WAITING);
        let (end, done) = sync_channel(0);
        let work = move || {
            for line in todo {
                // A reader that has gone is no reason to stop.
                let _ = to.write_all(line.as_bytes()).and_then(|()| to.flush());
            }
            drop(end);
        };
        std::thread::Builder::new().name("access log".into()).spawn(work).map_err(|error| {
            Fault::new("io", format!("cannot start the thread of the access log: {error}"))
        })?;
        Ok(Self {
            lines: Mutex::new(Some(lines)),
            done: Mutex::new(done),
            is_json,
            dropped: AtomicU64::new(0),
        })
    }

    /// Writes what waits, for so long at most.
    pub fn close(&self, timeout: Duration) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        // It hears nothing but the end of the thread.
        let _ = self.done.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(timeout);
    }

    fn line(&self, access: &Access, dropped: u64) -> String {
        let line = Line::of(access, dropped);
        match self.is_json {
            true => serde_json::to_string(&line).unwrap_or_default() + "\n",
            false => line.in_words() + "\n",
        }
    }
}

impl AccessHook for AccessLog {
    fn answered(&self, access: &Access) {
        let line = self.line(access, self.dropped.swap(0, Ordering::Relaxed));
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.as_ref().is_some_and(|lines| lines.try_send(line).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> Line<'a> {
    fn of(access: &'a Access, dropped: u64) -> Self {
        let answered = &access.noted.answered;
        let only = match answered.as_slice() {
            [only] => Some(&only.verdict),
            _ => None,
        };
        let said = |answered: &'a Answered, ms| {
            let verdict = &answered.verdict;
            Said { version: &verdict.version, score: verdict.score, anomalous: verdict.anomalous, ms }
        };
        Self {
            time: rfc3339(access.time),
            id: &access.id,
            peer: &access.peer,
            verb: &access.verb,
            route: &access.route,
            status: access.status,
            bytes: access.bytes,
            code: access.code,
            ms: Stages {
                total: milliseconds(access.took),
                image: only.map(|verdict| verdict.milliseconds),
                encode: access.noted.encoded.map(milliseconds),
            },
            model: access.noted.model.as_deref(),
            said: only.and(answered.first()).map(|answered| said(answered, None)),
            images: match only {
                Some(_) => Vec::new(),
                None => answered
                    .iter()
                    .map(|answered| said(answered, Some(answered.verdict.milliseconds)))
                    .collect(),
            },
            dropped_lines: (dropped > 0).then_some(dropped),
        }
    }

    fn in_words(&self) -> String {
        let route = if self.route.is_empty() { "-" } else { self.route };
        let mut text = format!(
            "{} {} {} {route} {} {:.1} ms {}",
            self.time, self.peer, self.verb, self.status, self.ms.total, self.id
        );
        if let Some(code) = self.code {
            text += &format!(" {code}");
        }
        if let (Some(model), Some(said)) = (self.model, &self.said) {
            text += &format!(" {model} {} score {}", said.version, said.score);
            text += match said.anomalous {
                Some(true) => " anomalous",
                Some(false) => " good",
                None => "",
            };
        }
        text
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    // Milliseconds are enough for a log, and lines align.
    let time = time.replace_nanosecond(time.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Page, answered};
    use crate::server::Noted;
    use std::sync::Arc;

    fn access(images: usize) -> Access {
        let answered = (0..images).map(|_| Arc::new(answered("line"))).collect();
        Access {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_123),
            id: "a-1".into(),
            peer: "127.0.0.1:9".into(),
            verb: "POST".into(),
            route: "/v1/models/{name}/score".into(),
            status: 200,
            bytes: Some(321),
            took: Duration::from_micros(23_456),
            code: None,
            noted: Noted { model: Some("line".into()), answered, encoded: Some(Duration::from_micros(40)) },
        }
    }

    #[test]
    fn a_request_is_a_line_with_its_stages_and_what_was_said() {
        let page = Page::default();
        let log = AccessLog::start(page.clone(), true).unwrap();
        [1, 2].iter().for_each(|&images| log.answered(&access(images)));
        log.close(Duration::from_secs(10));
        let text = page.text();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], "2026-11-18T11:06:40.123Z");
        assert_eq!((&lines[0]["status"], &lines[0]["bytes"]), (&200.into(), &321.into()));
        assert_eq!(
            (&lines[0]["model"], &lines[0]["version"], &lines[0]["anomalous"]),
            (&"line".into(), &"0123456789ab".into(), &true.into())
        );
        let stages =
            serde_json::json!({"total": 23.456, "queue": 0.1, "decode": 1.0, "score": 20.0, "encode": 0.04});
        assert_eq!(lines[0]["ms"], stages);
        assert_eq!(lines[1]["images"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_log_for_people_is_a_line_of_words() {
        let log = AccessLog::start(std::io::sink(), false).unwrap();
        let line = log.line(&access(1), 0);
        assert!(
            line.ends_with(
                "POST /v1/models/{name}/score 200 23.5 ms a-1 line 0123456789ab score 17.8 anomalous\n"
            ),
            "{line}"
        );
    }
}
