//! The station as it listens to the bus, and as its recorder knows it.

use super::recorder::Recording;
use super::store::LogLine;
use super::store::images::Row;
use super::{Station, retention};
use crate::answer::Answered;
use crate::bus::{Event, Happening, Listener};
use crate::options::Which;
use rusqlite::Connection;
use std::sync::Weak;

impl Station {
    fn hear(&self, event: &Event) {
        match &event.what {
            Happening::Answered(answered) => {
                if let Some(recorder) = self.recorder.get() {
                    recorder.take(answered);
                }
            }
            Happening::Told(told) if told.kind == "drift" => {
                let text = told.text.clone();
                let work = move |connection: &Connection| LogLine::add(connection, "drift", "", &text);
                // Listeners must return at once; the queue of the history may be full.
                let store = self.store.clone();
                std::thread::spawn(move || store.write_soon(work, || {}));
            }
            Happening::Told(_) => {}
        }
    }
}

/// The station as it listens: it ends with the server, not with the bus.
pub(super) struct Heard(pub(super) Weak<Station>);

impl Listener for Heard {
    fn take(&self, event: &Event) {
        if let Some(station) = self.0.upgrade() {
            station.hear(event);
        }
    }
}

/// The station as the recorder knows it.
pub(super) struct Recorded(pub(super) Weak<Station>);

impl Recording for Recorded {
    fn rule(&self) -> (Which, f64) {
        self.0.upgrade().map_or((Which::None, 0.0), |station| {
            let settings = station.settings();
            (settings.record, settings.audit)
        })
    }

    fn version(&self, answered: &Answered) -> (String, Option<(u64, u64)>) {
        match self.0.upgrade() {
            Some(station) => station.version_and_rank(answered),
            None => (answered.verdict.version.clone(), None),
        }
    }

    fn limits(&self) -> retention::Limits {
        let unlimited = retention::Limits { bytes: u64::MAX, days: u32::MAX };
        self.0.upgrade().map_or(unlimited, |station| station.settings().limits())
    }

    fn recorded(&self, row: Row) {
        if let Some(station) = self.0.upgrade() {
            let model = row.verdict.as_ref().map(|said| said.model.clone()).unwrap_or_default();
            let data = serde_json::to_value(&row).unwrap_or_default();
            station.say("image", &model, format!("image {}", row.id), data);
        }
    }

    fn compared(&self, model: &str, id: &str) {
        if let Some(station) = self.0.upgrade() {
            station.say("compared", model, format!("image {id} in shadow"), serde_json::json!({ "id": id }));
        }
    }

    fn made_room(&self, pictures: u64, bytes: u64) {
        if let Some(station) = self.0.upgrade() {
            station.say_retention(pictures, bytes);
        }
    }
}
