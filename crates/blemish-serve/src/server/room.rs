//! What the rooms of the server are made of: routes, and what listens.

use super::Server;
use crate::bus::Listener;
use crate::fault::Fault;
use crate::guard::rights::Logins;
use serde::Serialize;
use std::sync::Arc;
use std::sync::{OnceLock, RwLock};
use std::time::{Duration, SystemTime};
use utoipa_axum::router::OpenApiRouter;

/// A request that was answered, for access logs and metrics.
#[derive(Clone, Debug)]
pub struct Access {
    /// When it came.
    pub time: SystemTime,
    /// Its id: the caller's own, or made here.
    pub id: String,
    /// Who asked: an address, or `unix`.
    pub peer: String,
    /// The verb.
    pub verb: String,
    /// The route, such as `/v1/models/{name}/score`; empty where there is none. Never the path, which is data.
    pub route: String,
    /// The status; 499 if the caller went away before the answer.
    pub status: u16,
    /// Bytes of the answer; unknown for streams.
    pub bytes: Option<u64>,
    /// From the head of the request to the head of the answer.
    pub took: Duration,
    /// The code of the error.
    pub code: Option<&'static str>,
    /// What handlers noted.
    pub noted: Noted,
}

/// What a handler notes for the log, as an extension of its response.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// The model that was asked for; only names of models that are served.
    pub model: Option<String>,
    /// What was answered.
    pub answered: Vec<Arc<crate::answer::Answered>>,
    /// How long it took to write the answer: pictures, maps, JSON.
    pub encoded: Option<Duration>,
}

/// Whoever wants to know of each request. Returns at once: the answer waits for it.
pub trait AccessHook: Send + Sync {
    /// Takes note.
    fn answered(&self, access: &Access);
}

/// Who writes the page of metrics.
pub trait MetricsText: Send + Sync {
    /// The page, as OpenMetrics text.
    fn encode(&self, server: &Server) -> String;
}

/// A part of the server: its routes, and what else it plugs in.
#[derive(Default)]
pub struct Room {
    /// Its routes.
    pub routes: OpenApiRouter<Arc<Server>>,
    /// Who is told what happens.
    pub listeners: Vec<Arc<dyn Listener>>,
    /// Who is told of each request.
    pub access: Vec<Arc<dyn AccessHook>>,
    /// Who writes the page of metrics.
    pub metrics: Option<Arc<dyn MetricsText>>,
    /// Who knows logins.
    pub logins: Option<Arc<dyn Logins>>,
    /// What begins with the server, on its runtime.
    pub begin: Option<Box<dyn FnOnce() + Send>>,
    /// What is done at the end, within the time given, once the last request is answered. May block.
    pub close: Option<Box<dyn FnOnce(Duration) + Send>>,
}

/// What rooms have plugged in.
#[derive(Default)]
pub struct Plugs {
    pub(crate) access: RwLock<Vec<Arc<dyn AccessHook>>>,
    pub(crate) metrics: OnceLock<Arc<dyn MetricsText>>,
    pub(crate) logins: OnceLock<Arc<dyn Logins>>,
    /// The monitors of drift, where there are any.
    pub watch: OnceLock<Arc<crate::watch::Watch>>,
    /// Where verdicts go beside answers.
    pub sinks: OnceLock<Arc<crate::sinks::Sinks>>,
    /// The description of all routes, as JSON.
    pub(crate) openapi: OnceLock<String>,
}

/// Whether the server is alive or ready, as JSON.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// Whether it is.
    pub ready: bool,
    /// Why not; empty if it is.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// # Errors
    /// `not_ready` with the reasons.
    pub fn check(&self) -> Result<(), Fault> {
        match self.ready {
            true => Ok(()),
            false => Err(Fault::new(
                "not_ready",
                format!("the server is not ready: {}; ask again in a second", self.reasons.join(", ")),
            )),
        }
    }
}
