//! Verdicts to an MQTT broker, version 3.1.1, each delivered at least once and in order.
//!
//! | topic | what |
//! |---|---|
//! | `{prefix}/{model}/result` | a verdict, QoS 1 |
//! | `{prefix}/{model}/drift` | drift was found, QoS 1 |
//! | `{prefix}/status` | `online` or `offline`, retained; the broker itself says `offline` if we vanish |
//!
//! A message leaves the buffer for good once the broker has acknowledged it. When a connection breaks, those without an acknowledgement
//! go back to the front of the buffer, and the next connection begins anew: the client library forgets what a broker does not remember.

use super::options::MqttOptions;
use super::{Line, Message, PAUSES};
use crate::fault::Fault;
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, LastWill, Outgoing, QoS, TlsConfiguration, Transport,
};
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

/// Messages on their way at once.
const WINDOW: usize = 16;

/// Bytes of a message, at most; a larger one would end the connection.
const LARGEST: usize = 32 << 20;

/// A connection that is silent for so long is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Seconds that a connection may take to come about, and a message to get out.
const CONNECT: u64 = 5;

/// Connections in a row that may end before the first message of each is acknowledged. Then the oldest message is given up: a broker
/// ends connections for messages that it does not allow.
const REFUSED: u32 = 5;

/// The broker.
pub struct Broker {
    options: rumqttc::MqttOptions,
    prefix: String,
}

/// Why a connection ended.
enum End {
    /// All is said.
    Closed,
    /// It broke, or was never there.
    Broken(String),
}

impl Broker {
    /// Ready to connect; nothing is sent yet.
    ///
    /// # Errors
    /// [`Fault`] if a certificate cannot be read.
    pub fn new(options: &MqttOptions) -> Result<Self, Fault> {
        let mut mqtt = rumqttc::MqttOptions::new(&options.client_id, &options.host, options.port);
        mqtt.set_keep_alive(KEEP_ALIVE);
        mqtt.set_inflight(WINDOW as u16 + 2);
        mqtt.set_max_packet_size(1 << 16, LARGEST + (1 << 16));
        let status = format!("{}/status", options.prefix);
        mqtt.set_last_will(LastWill::new(status, "offline", QoS::AtLeastOnce, true));
        if let Some((name, password)) = &options.login {
            mqtt.set_credentials(name, password.reveal());
        }
        if options.is_tls {
            mqtt.set_transport(Transport::Tls(tls(options)?));
        }
        Ok(Self { options: mqtt, prefix: options.prefix.clone() })
    }

    /// Passes messages on until the end.
    pub(super) fn run(&self, line: &Line) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                line.note(Some(format!("no connections to brokers can be made: {error}")));
                return;
            }
        };
        runtime.block_on(self.pass_on(line));
    }

    async fn pass_on(&self, line: &Line) {
        let (mut pause, mut refused) = (PAUSES.0, 0);
        loop {
            let (client, events) = AsyncClient::new(self.options.clone(), WINDOW + 4);
            let mut session = Session {
                line,
                prefix: &self.prefix,
                client,
                on_way: VecDeque::new(),
                is_connected: false,
                has_left: false,
                acknowledged: 0,
            };
            let end = session.run(events).await;
            let was_connected = session.is_connected;
            let mut on_way: VecDeque<Message> = session.on_way.into_iter().flatten().collect();
            match (session.acknowledged, was_connected && !on_way.is_empty()) {
                (0, true) => refused += 1,
                (0, false) => {}
                _ => refused = 0,
            }
            if refused == REFUSED {
                refused = 0;
                on_way.pop_front();
                line.count("failed", 1);
            }
            let waiting = on_way.into_iter().map(|message| {
                let bytes = message.bytes();
                (message, bytes)
            });
            line.count("dropped", line.messages.put_back(waiting));
            match end {
                End::Closed => return,
                End::Broken(why) => {
                    let (host, port) = self.options.broker_address();
                    line.note(Some(format!("the broker {host}:{port} cannot be reached: {why}")));
                }
            }
            if line.messages.closes().is_some_and(|until| until <= Instant::now() || line.messages.is_empty())
            {
                return;
            }
            pause = if was_connected { PAUSES.0 } else { (2 * pause).min(PAUSES.1) };
            let left = line.messages.closes().map(|until| until.saturating_duration_since(Instant::now()));
            let rest = tokio::time::sleep(left.map_or(pause, |left| left.min(pause)));
            tokio::pin!(rest);
            loop {
                tokio::select! {
                    () = &mut rest => break,
                    // The end cuts the pause short once, and is waited for after that.
                    () = line.messages.changed() => if left.is_none() && line.messages.closes().is_some() { break },
                }
            }
        }
    }
}

/// One connection.
struct Session<'a> {
    line: &'a Line,
    prefix: &'a str,
    client: AsyncClient,
    /// What waits for its acknowledgement, the oldest first; `None` is a status. Brokers acknowledge in order.
    on_way: VecDeque<Option<Message>>,
    is_connected: bool,
    /// Whether `offline` is said.
    has_left: bool,
    /// Messages that the broker has.
    acknowledged: u64,
}

impl Session<'_> {
    async fn run(&mut self, mut events: EventLoop) -> End {
        events.network_options.set_connection_timeout(CONNECT);
        loop {
            // A poll that has begun is never given up: it may have written half a message.
            let event = {
                let poll = events.poll();
                tokio::pin!(poll);
                loop {
                    tokio::select! {
                        event = &mut poll => break event,
                        () = self.line.messages.changed() => self.advance(),
                        () = tokio::time::sleep(Duration::from_millis(100)), if self.line.messages.closes().is_some() => {}
                    }
                    if self.line.messages.is_over() {
                        return End::Closed;
                    }
                }
            };
            match event {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    self.is_connected = true;
                    self.line.note(None);
                    self.tell_status("online");
                }
                Ok(Event::Incoming(Incoming::PubAck(_))) => {
                    if let Some(Some(_)) = self.on_way.pop_front() {
                        self.acknowledged += 1;
                        self.line.count("sent", 1);
                    }
                }
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return End::Closed,
                Ok(_) => continue,
                Err(error) => return End::Broken(error.to_string()),
            }
            self.advance();
        }
    }

    /// Sends as many messages as may be on their way, and takes leave after the last.
    fn advance(&mut self) {
        if !self.is_connected || self.has_left {
            return self.leave_if_done();
        }
        while self.on_way.len() < WINDOW {
            let Some((message, _)) = self.line.messages.try_pop() else { break };
            let message = message.embedded();
            if message.json().len() > LARGEST {
                self.line.count("failed", 1);
                continue;
            }
            let kind = if message.event == "drift" { "drift" } else { "result" };
            let topic = format!("{}/{}/{kind}", self.prefix, message.model);
            match self.client.try_publish(topic, QoS::AtLeastOnce, false, message.json()) {
                Ok(()) => self.on_way.push_back(Some(message)),
                // The window is smaller than the queue of the client, so that this is a topic that nobody can have.
                Err(_) => self.line.count("failed", 1),
            }
        }
        self.leave_if_done();
    }

    fn leave_if_done(&mut self) {
        let is_done = self.is_connected && self.on_way.is_empty() && self.line.messages.is_empty();
        if !is_done || self.line.messages.closes().is_none() {
            return;
        }
        match self.has_left {
            false => {
                self.has_left = true;
                self.tell_status("offline");
            }
            true => drop(self.client.try_disconnect()),
        }
    }

    fn tell_status(&mut self, status: &str) {
        let topic = format!("{}/status", self.prefix);
        if self.client.try_publish(topic, QoS::AtLeastOnce, true, status).is_ok() {
            self.on_way.push_back(None);
        }
    }
}

/// How the connection is encrypted.
fn tls(options: &MqttOptions) -> Result<TlsConfiguration, Fault> {
    // May have been done by whoever listens with TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| {
            Fault::new("io", format!("cannot read `{}` of an MQTT sink: {error}", path.display()))
        })
    };
    let client_auth = match &options.certificate {
        Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
        None => None,
    };
    match (&options.authorities, client_auth) {
        (Some(path), client_auth) => {
            Ok(TlsConfiguration::Simple { ca: read(path)?, alpn: None, client_auth })
        }
        (None, Some(_)) => Err(Fault::new(
            "setting",
            "an MQTT sink with a certificate of its own needs the broker's authorities; name their file as `ca`",
        )),
        // The library panics if the system's store holds something that it does not understand.
        (None, None) => std::panic::catch_unwind(TlsConfiguration::default).map_err(|_| {
            Fault::new(
                "setting",
                "the system's certificates cannot be read; name the broker's authorities as `ca`",
            )
        }),
    }
}
