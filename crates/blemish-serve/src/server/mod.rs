//! The server: what all routes share, and how they are put together.
//!
//! ```text
//! access (id, log, panics) -> guard (host, origin, token) -> route
//! ```

mod access;
mod app;
mod linger;
mod listen;
mod ping;
mod room;
mod start;
#[cfg(test)]
mod tests;
mod tls;
mod watchdog;

use crate::bus::Bus;
use crate::fault::Fault;
use crate::guard::tokens::Tokens;
use crate::models::Models;
use crate::options::ServeOptions;
pub use access::{Peer, RequestId};
use axum::Router;
pub use ping::ping;
pub use room::{Access, AccessHook, MetricsText, Noted, Plugs, Readiness, Room};
pub use start::{Checked, MakeRooms, check, serve};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// What every route is given.
pub struct Server {
    /// The models.
    pub models: Arc<Models>,
    /// What happens.
    pub bus: Arc<Bus>,
    /// The options.
    pub options: Arc<ServeOptions>,
    /// Who may do what.
    pub tokens: Arc<Tokens>,
    /// What rooms have plugged in.
    pub plugs: Plugs,
    /// Cancelled once the server is asked to stop: streams without an end must end then.
    pub stopping: CancellationToken,
    /// When it was started.
    pub started: SystemTime,
}

impl Server {
    /// A server with its models, which are read and not yet verified. Takes a while.
    ///
    /// # Errors
    /// As [`ServeOptions::check`], [`Tokens::open`] and [`Models::load`].
    pub fn open(options: ServeOptions) -> Result<Arc<Self>, Fault> {
        options.check()?;
        let options = Arc::new(options);
        let tokens = Arc::new(Tokens::open(options.token_file.as_deref())?);
        let bus = Arc::new(Bus::new(Vec::new()));
        let models = Arc::new(Models::new(options.clone(), bus.clone())?);
        models.load()?;
        Ok(Arc::new(Self {
            models,
            bus,
            options,
            tokens,
            plugs: Plugs::default(),
            stopping: CancellationToken::new(),
            started: SystemTime::now(),
        }))
    }

    /// When a request that begins now must be answered.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    /// Whether every model answers, and if not, why.
    pub fn readiness(&self) -> Readiness {
        let mut reasons = self.models.not_ready();
        if self.stopping.is_cancelled() {
            reasons.push("the server is shutting down".into());
        }
        Readiness { ready: reasons.is_empty(), reasons }
    }
}

/// A server that runs in this process until it is stopped or dropped.
pub struct Running {
    /// The server.
    pub server: Arc<Server>,
    /// Where it listens.
    pub address: String,
    control: axum_server::Control,
    serving: tokio::task::JoinHandle<Result<(), Fault>>,
}

impl Running {
    /// Listens where the options say and serves.
    ///
    /// # Errors
    /// `io` if the address is in use; `setting` if the certificates cannot be used.
    pub fn new(server: Arc<Server>, app: Router) -> Result<Self, Fault> {
        let socket = listen::Socket::open(&server.options.listen)?;
        let (address, control) = (socket.address(), axum_server::Control::new());
        let serving = tokio::spawn({
            let (server, control) = (server.clone(), control.clone());
            async move { socket.serve(app, &server.options, control).await }
        });
        Ok(Self { server, address, control, serving })
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.control.connection_count()
    }

    /// Stops accepting and lets what was accepted be answered within the options' time.
    pub fn stop(&self) {
        self.server.stopping.cancel();
        self.control.graceful_shutdown(Some(self.server.options.drain));
    }

    /// The end of serving: after [`Self::stop`], or because of an error.
    ///
    /// # Errors
    /// `io`.
    pub async fn ended(&mut self) -> Result<(), Fault> {
        let ended = (&mut self.serving).await;
        ended.unwrap_or_else(|error| Err(Fault::new("panic", format!("the server failed: {error}"))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.shutdown();
    }
}

/// What a room does at the end.
pub type Closing = Box<dyn FnOnce(std::time::Duration) + Send>;
