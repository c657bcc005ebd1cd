//! What happened, told to whoever listens.

use crate::answer::{Answered, Origin, Verdict};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// Events that a listener who was away can still be told.
const REMEMBERED: usize = 1000;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// An image was answered.
    Answered(Arc<Answered>),
    /// Something in words.
    Told(Told),
}

/// Something that happened, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// `drift`, `reload`, `reload_failed`, `source`, `job`, `label`, `threshold`, `retention`, ...
    pub kind: &'static str,
    /// The model that it is about; empty for none.
    pub model: String,
    /// For a person, without a full stop.
    pub text: String,
    /// For a program: whatever belongs to the kind.
    pub data: serde_json::Value,
}

/// A happening with its place in the order of all.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts from 1 since the start.
    pub id: u64,
    /// When.
    pub time: SystemTime,
    /// What.
    pub what: Happening,
}

impl Event {
    /// The name and the JSON under which server-sent events tell it; `None` for verdicts in shadow.
    pub fn wire(&self) -> Option<(&'static str, String)> {
        let json = |value: Result<String, serde_json::Error>| value.unwrap_or_else(|_| "null".into());
        match &self.what {
            Happening::Answered(answered) if answered.is_shadow => None,
            Happening::Answered(answered) => {
                Some(("verdict", json(serde_json::to_string(&Line::of(answered)))))
            }
            Happening::Told(told) => Some((told.kind, json(serde_json::to_string(told)))),
        }
    }
}

/// An answer as JSON for whoever was not asked: the verdict, and where the image came from.
#[derive(Serialize)]
pub struct Line<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    origin: Origin,
    name: &'a str,
    time: f64,
}

impl<'a> Line<'a> {
    /// Of an answer.
    pub fn of(answered: &'a Answered) -> Self {
        let Answered { verdict, origin, name, received, .. } = answered;
        Self { verdict, origin: *origin, name, time: seconds(*received) }
    }
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Whoever wants to be told in the order of events, on the thread that tells: it must return at once, and never waits for a disk or a
/// network. What it cannot take it drops and counts.
pub trait Listener: Send + Sync {
    /// Takes note.
    fn take(&self, event: &Event);
}

/// The last events, those who follow them, and those who are told each.
pub struct Bus {
    listeners: RwLock<Vec<Arc<dyn Listener>>>,
    told: Mutex<Remembered>,
    follow: broadcast::Sender<Event>,
}

#[derive(Default)]
struct Remembered {
    last: u64,
    events: VecDeque<Event>,
}

impl Bus {
    /// A bus that tells these.
    pub fn new(listeners: Vec<Arc<dyn Listener>>) -> Self {
        Self {
            listeners: RwLock::new(listeners),
            told: Mutex::default(),
            follow: broadcast::Sender::new(REMEMBERED),
        }
    }

    /// Tells this one, too, from now on.
    pub fn join(&self, listener: Arc<dyn Listener>) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Tells what happened; listeners hear events in the order of their numbers.
    pub fn tell(&self, what: Happening) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.last += 1;
        let event = Event { id: told.last, time: SystemTime::now(), what };
        // Memory stays flat: what is remembered holds verdicts, and no images and maps of another time.
        if told.events.len() == REMEMBERED {
            told.events.pop_front();
        }
        let light = light(&event);
        told.events.push_back(light.clone());
        for listener in self.listeners.read().unwrap_or_else(PoisonError::into_inner).iter() {
            listener.take(&event);
        }
        // Nobody may be following.
        let _ = self.follow.send(light);
    }

    /// Tells something in words.
    pub fn say(
        &self,
        kind: &'static str,
        model: &str,
        text: impl std::fmt::Display,
        data: serde_json::Value,
    ) {
        self.tell(Happening::Told(Told { kind, model: model.to_owned(), text: text.to_string(), data }));
    }

    /// What happened after the event of that number, as far as it is remembered, and what will.
    pub fn since(&self, id: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (told.events.iter().filter(|event| event.id > id).cloned().collect(), self.follow.subscribe())
    }

    /// The number of the last event.
    pub fn last(&self) -> u64 {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).last
    }
}

/// The event without the picture and the map.
fn light(event: &Event) -> Event {
    let what = match &event.what {
        Happening::Answered(answered) => Happening::Answered(Arc::new(Answered {
            bytes: axum::body::Bytes::new(),
            map: Arc::new(blemish::map::AnomalyMap { height: 0, width: 0, values: Vec::new() }),
            name: answered.name.clone(),
            verdict: answered.verdict.clone(),
            covered: answered.covered.clone(),
            look: None,
            ..**answered
        })),
        told @ Happening::Told(_) => told.clone(),
    };
    Event { what, ..*event }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(Mutex<Vec<u64>>);

    impl Listener for Count {
        fn take(&self, event: &Event) {
            self.0.lock().unwrap().push(event.id);
        }
    }

    #[test]
    fn listeners_hear_in_order_and_followers_resume_within_what_is_remembered() {
        let count = Arc::new(Count(Mutex::default()));
        let bus = Bus::new(vec![count.clone()]);
        for number in 0..REMEMBERED + 5 {
            bus.say("test", "", number, serde_json::Value::Null);
        }
        assert_eq!(*count.0.lock().unwrap(), (1..=REMEMBERED as u64 + 5).collect::<Vec<_>>());
        let (missed, _) = bus.since(REMEMBERED as u64);
        assert_eq!(missed.iter().map(|event| event.id).collect::<Vec<_>>(), [1001, 1002, 1003, 1004, 1005]);
        let (all, mut follow) = bus.since(0);
        assert_eq!((all.len(), all[0].id), (REMEMBERED, 6));
        bus.say("test", "", "one more", serde_json::Value::Null);
        assert_eq!(follow.try_recv().unwrap().id, 1006);
    }
}
