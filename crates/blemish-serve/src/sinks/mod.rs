//! Where verdicts go beside the answer: folders, brokers, hosts and programs.
//!
//! ```text
//! bus -> which images, how often -> a buffer a sink, the oldest dropped when full -> its own thread -> outlet
//! ```
//! A sink that is down, slow or full never delays a verdict: hearing of one costs a short text in a queue. Pictures are drawn by the
//! thread of the sink.

mod buffer;
mod command;
mod folder;
mod message;
mod modbus;
mod mqtt;
pub mod options;
#[cfg(test)]
mod tests;
mod webhook;

pub(crate) use buffer::{Buffer, Popped};
pub use folder::day_and_time;
pub use message::Message;
pub use modbus::{Look, Outlook};
pub use options::{ModbusOptions, MqttOptions, Secret, SinkKind, SinkOptions, WebhookOptions};
pub use webhook::signature;

use crate::bus::{Event, Happening, Listener};
use crate::fault::Fault;
use crate::metrics::Metrics;
use command::Running;
use modbus::Registers;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that wait for one sink, at most: with pictures, a thousand messages would be gigabytes.
const WAITING_BYTES: u64 = 256 << 20;

/// The first and the longest pause before something that failed is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What of the time at the end is left to connections, to end in order.
const LEAVE: Duration = Duration::from_millis(500);

/// How a message fared.
enum Sent {
    /// It was taken.
    Yes,
    /// It will not be taken, for this reason.
    No(String),
    /// It was not taken and may be later, for this reason.
    Later(String),
}

/// Where messages leave us one after another.
trait Outlet: Send {
    /// Makes a message ready, once, before it is sent.
    fn prepared(&self, message: Message) -> Message {
        message.embedded()
    }

    /// Sends a message; may take its time.
    fn send(&mut self, message: &Message) -> Sent;

    /// Ends in order, until then.
    fn close(&mut self, _until: Instant) {}
}

/// How a sink stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SinkState {
    /// Its name.
    pub name: String,
    /// `folder`, `mqtt`, `webhook`, `command` or `modbus`.
    pub kind: &'static str,
    /// Messages that wait.
    pub waiting: usize,
    /// Why messages do not leave, if they do not.
    pub error: Option<String>,
}

/// What the thread of a sink and whoever hears of answers share.
struct Line {
    name: String,
    kind: &'static str,
    messages: Buffer<Message>,
    metrics: Arc<Metrics>,
    error: Mutex<Option<String>>,
    /// Whether a message was taken out and has not left.
    has_one: AtomicBool,
}

impl Line {
    fn count(&self, outcome: &'static str, messages: u64) {
        if messages > 0 {
            self.metrics.sink_messages(&self.name, outcome, messages);
        }
    }

    /// Takes note of why messages do not leave, and says so in the log when it begins and when it is over.
    fn note(&self, error: Option<String>) {
        let mut known = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &error) {
            (None, Some(why)) => {
                tracing::warn!(sink = %self.name, "{why}; messages wait, {} at most", self.messages.capacity())
            }
            (Some(_), None) => tracing::info!(sink = %self.name, "messages leave again"),
            _ => {}
        }
        *known = error;
    }
}

struct Sink {
    line: Arc<Line>,
    only_anomalous: bool,
    overlay: bool,
    /// Between two verdicts, at least.
    interval: Option<Duration>,
    last: Mutex<Option<Instant>>,
    /// Hears when the thread is done.
    done: Mutex<Receiver<()>>,
    /// Ends what the thread may hang on.
    running: Option<Running>,
    /// Where the last verdict is all that counts.
    registers: Option<Arc<Registers>>,
}

/// All sinks. They hear of everything on the bus.
pub struct Sinks(Vec<Sink>);

impl Sinks {
    /// Starts a thread for each; `look` tells those that are asked how the server is.
    ///
    /// # Errors
    /// [`Fault`] if a folder cannot be made or a file of certificates not be read. A broker or host that is down is no error.
    pub fn start(options: &[SinkOptions], metrics: &Arc<Metrics>, look: &Look) -> Result<Arc<Self>, Fault> {
        let start = |options: &SinkOptions| Sink::start(options, metrics.clone(), look);
        Ok(Arc::new(Self(options.iter().map(start).collect::<Result<_, _>>()?)))
    }

    /// Checks what each is made of, such as certificates, and neither connects, listens nor makes folders.
    ///
    /// # Errors
    /// [`Fault`] if a file of certificates cannot be read.
    pub fn check(options: &[SinkOptions]) -> Result<(), Fault> {
        for sink in options {
            match &sink.kind {
                SinkKind::Mqtt(mqtt) => drop(mqtt::Broker::new(mqtt)?),
                SinkKind::Webhook(webhook) => drop(webhook::Webhook::new(webhook)?),
                SinkKind::Folder(_) | SinkKind::Command(_) | SinkKind::Modbus(_) => {}
            }
        }
        Ok(())
    }

    /// How each stands.
    pub fn states(&self) -> Vec<SinkState> {
        let state = |Sink { line, .. }: &Sink| SinkState {
            name: line.name.clone(),
            kind: line.kind,
            waiting: line.messages.len(),
            error: line.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.0.iter().map(state).collect()
    }

    /// Takes no more messages, and waits until those that are left have gone, for so long at most; what then remains is counted as
    /// dropped and returned: how many messages of which sink. All sinks share the time.
    pub fn close(&self, timeout: Duration) -> Vec<(String, usize)> {
        let end = Instant::now() + timeout;
        // The last moment is for the orderly end of connections.
        let until = end - LEAVE.min(timeout / 4);
        for sink in &self.0 {
            sink.line.messages.close(until);
        }
        let mut unsent = Vec::new();
        for Sink { line, done, running, .. } in &self.0 {
            let done = done.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = done.recv_timeout(end.saturating_duration_since(Instant::now()));
            if let Some(running) = running {
                running.kill();
            }
            line.count("dropped", line.messages.len() as u64);
            match line.messages.len() + usize::from(line.has_one.load(Ordering::Relaxed)) {
                0 => {}
                left => unsent.push((line.name.clone(), left)),
            }
        }
        unsent
    }
}

impl Listener for Sinks {
    fn take(&self, event: &Event) {
        for sink in &self.0 {
            sink.take(event);
        }
    }
}

impl Sink {
    fn start(options: &SinkOptions, metrics: Arc<Metrics>, look: &Look) -> Result<Self, Fault> {
        let line = Arc::new(Line {
            name: options.name.clone(),
            kind: options.kind.name(),
            messages: Buffer::new(options.buffer, WAITING_BYTES),
            metrics,
            error: Mutex::new(None),
            has_one: AtomicBool::new(false),
        });
        let (done, is_done) = channel();
        let (mut running, mut registers) = (None, None);
        match &options.kind {
            SinkKind::Folder(path) => {
                let folder = folder::Folder::new(path).map_err(|error| {
                    Fault::new(
                        "io",
                        format!(
                            "cannot make the folder `{}` of the sink `{}`: {error}",
                            path.display(),
                            options.name
                        ),
                    )
                })?;
                spawn(&line, done, folder)?;
            }
            SinkKind::Webhook(webhook) => spawn(&line, done, webhook::Webhook::new(webhook)?)?,
            SinkKind::Command(command) => {
                let (command, started) = command::Command::new(command);
                running = Some(started);
                spawn(&line, done, command)?;
            }
            SinkKind::Modbus(modbus) => {
                let listener = modbus::listen(modbus)?;
                let shared = Arc::new(Registers::new(modbus.model.clone(), look.clone()));
                registers = Some(shared.clone());
                let line = line.clone();
                thread(&options.name, move || {
                    modbus::run(&line, listener, &shared);
                    drop(done);
                })?;
            }
            SinkKind::Mqtt(mqtt) => {
                let broker = mqtt::Broker::new(mqtt)?;
                let line = line.clone();
                thread(&options.name, move || {
                    broker.run(&line);
                    drop(done);
                })?;
            }
        }
        let interval =
            options.rate.map(|rate| Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX));
        Ok(Self {
            line,
            only_anomalous: options.only_anomalous,
            overlay: options.overlay,
            interval,
            last: Mutex::default(),
            done: Mutex::new(is_done),
            running,
            registers,
        })
    }

    fn take(&self, event: &Event) {
        match (&event.what, &self.registers) {
            (Happening::Answered(answered), _) if answered.is_shadow => return,
            (Happening::Answered(answered), Some(registers)) => return registers.note(&answered.verdict),
            (Happening::Told(_), Some(_)) => return,
            (Happening::Answered(answered), None) => {
                if self.only_anomalous && answered.verdict.anomalous != Some(true) {
                    return;
                }
                if self.is_too_soon() {
                    return self.line.count("limited", 1);
                }
            }
            (Happening::Told(_), None) => {}
        }
        let Some(message) = Message::of(event, self.overlay) else { return };
        let bytes = message.bytes();
        self.line.count("dropped", self.line.messages.push(message, bytes));
    }

    /// Whether the last verdict is so recent that this one is left out.
    fn is_too_soon(&self) -> bool {
        let Some(interval) = self.interval else { return false };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.is_some_and(|last| now.duration_since(last) < interval) {
            return true;
        }
        *last = Some(now);
        false
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
    let builder = std::thread::Builder::new().name(format!("sink {name}"));
    let started = builder.spawn(work);
    started
        .map(drop)
        .map_err(|error| Fault::new("io", format!("cannot start a thread for the sink `{name}`: {error}")))
}

fn spawn(line: &Arc<Line>, done: Sender<()>, outlet: impl Outlet + 'static) -> Result<(), Fault> {
    let (name, line) = (line.name.clone(), line.clone());
    thread(&name, move || {
        pass_on(&line, outlet);
        drop(done);
    })
}

/// Passes messages on one after another until the end.
fn pass_on(line: &Line, mut outlet: impl Outlet) {
    loop {
        match line.messages.pop(Duration::from_secs(60)) {
            Popped::Nothing => {}
            Popped::Closed => break,
            Popped::Item(message) => {
                line.has_one.store(true, Ordering::Relaxed);
                let message = outlet.prepared(message);
                let (outcome, error) = send(line, &mut outlet, &message);
                line.has_one.store(outcome == "dropped", Ordering::Relaxed);
                line.count(outcome, 1);
                line.note(error);
            }
        }
    }
    let until = line.messages.closes().unwrap_or_else(Instant::now);
    outlet.close(until);
}

/// Sends a message until it is taken or will not be, with growing pauses.
fn send(line: &Line, outlet: &mut impl Outlet, message: &Message) -> (&'static str, Option<String>) {
    let mut pause = PAUSES.0;
    loop {
        match outlet.send(message) {
            Sent::Yes => return ("sent", None),
            Sent::No(why) => return ("failed", Some(why)),
            Sent::Later(why) if line.messages.is_over() => return ("dropped", Some(why)),
            Sent::Later(why) => line.note(Some(why)),
        }
        match line.messages.closes() {
            None => line.messages.rest(pause),
            Some(until) => std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now()))),
        }
        pause = (2 * pause).min(PAUSES.1);
    }
}
