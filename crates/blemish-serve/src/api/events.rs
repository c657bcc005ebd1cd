//! What happens, as server-sent events.

use crate::bus::Event;
use crate::fault::Fault;
use crate::guard::{Right, Rights};
use crate::server::Server;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// The header by which a browser says what it had last.
const LAST: HeaderName = HeaderName::from_static("last-event-id");

/// How often a quiet stream says that it is there, so that nothing between takes it for dead.
const ALIVE: Duration = Duration::from_secs(15);

/// Someone who follows what happens.
struct Follower {
    server: Arc<Server>,
    missed: VecDeque<Event>,
    follow: Receiver<Event>,
    last: u64,
}

impl Follower {
    /// What happened next; `None` when the server stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.missed.pop_front() {
                return Some(event);
            }
            let received = tokio::select! {
                received = self.follow.recv() => received,
                () = self.server.stopping.cancelled() => return None,
            };
            match received {
                Ok(event) if event.id > self.last => return Some(event),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    let (missed, follow) = self.server.bus.since(self.last);
                    (self.missed, self.follow) = (missed.into(), follow);
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Tells what happens: verdicts, drift, reloads and what else there is, each with an id; goes on after `Last-Event-ID` within the last 1,000.
#[utoipa::path(get, path = "/v1/events", tag = "events", security(("token" = ["read"])),
    params(("Last-Event-ID" = Option<u64>, Header, description = "The id of the event after which to go on.")),
    responses((status = 200, description = "Events without end.", content((String = "text/event-stream"))),
        (status = "default", description = "An error.", body = super::ErrorBody)))]
pub(super) async fn events(
    State(server): State<Arc<Server>>,
    rights: Rights,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Fault> {
    rights.need(Right::Read)?;
    let last = match headers.get(LAST) {
        None => server.bus.last(),
        Some(value) => {
            let number = value.to_str().ok().and_then(|value| value.trim().parse::<u64>().ok());
            let number = number
                .ok_or_else(|| Fault::request("Last-Event-ID is not a number; send the id of an event"))?;
            // Of a server before a restart, whose numbers were other ones: from the beginning.
            if number > server.bus.last() { 0 } else { number }
        }
    };
    let (missed, follow) = server.bus.since(last);
    let follower = Follower { server, missed: missed.into(), follow, last };
    let stream = unfold(follower, async |mut follower| {
        loop {
            let event = follower.next().await?;
            follower.last = event.id;
            if let Some((kind, json)) = event.wire() {
                let told = sse::Event::default().id(event.id.to_string()).event(kind).data(json);
                return Some((Ok(told), follower));
            }
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE)))
}
