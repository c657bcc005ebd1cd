//! What goes out beside answers, put together as a room of the server: metrics, access log, sinks, kept originals, monitors of drift.

use crate::access::AccessLog;
use crate::bus::Listener;
use crate::fault::Fault;
use crate::keep::Keep;
use crate::metrics::Metrics;
use crate::server::{Room, Server};
use crate::sinks::{Look, Outlook, Sinks};
use crate::v2;
use crate::watch::Watch;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// What sinks are given at the end, at most: one that is down must not hold up the end.
const SINKS: Duration = Duration::from_secs(2);

/// The room of all outputs and of the Open Inference Protocol. Access lines go to `log`.
///
/// # Errors
/// [`Fault`] if a folder cannot be made, a file of certificates not be read, or a monitor not be gone on with.
pub fn room(server: &Arc<Server>, log: impl Write + Send + 'static) -> Result<Room, Fault> {
    let options = &server.options;
    let metrics = Arc::new(Metrics::new());
    let access = Arc::new(AccessLog::start(log, options.logs_json)?);
    let sinks = Sinks::start(&options.sinks, &metrics, &look(server))?;
    let _ = server.plugs.sinks.set(sinks.clone());
    let keep = match &options.keep_dir {
        // Requests may ask for it even if nothing else does.
        Some(folder) => {
            Some(Keep::start(options.keep, folder, (options.keep_max, options.keep_count), metrics.clone())?)
        }
        None => None,
    };
    let watch = options.monitor.as_ref().map(|folder| watch(server, folder, &metrics)).transpose()?;
    let mut listeners: Vec<Arc<dyn Listener>> = vec![metrics.clone(), sinks.clone()];
    listeners.extend(keep.clone().map(|keep| keep as Arc<dyn Listener>));
    listeners.extend(watch.clone().map(|watch| watch as Arc<dyn Listener>));
    let close = {
        let access = access.clone();
        move |timeout: Duration| {
            let until = Instant::now() + timeout;
            let left = || until.saturating_duration_since(Instant::now());
            // What costs nothing to wait for comes first.
            if let Some(watch) = watch {
                watch.close(left());
            }
            if let Some(keep) = keep {
                keep.close(left());
            }
            access.close(left().min(Duration::from_secs(1)));
            let unsent = sinks.close(left().min(SINKS));
            if !unsent.is_empty() {
                let all: Vec<String> = unsent.iter().map(|(sink, count)| format!("{sink} {count}")).collect();
                tracing::warn!("messages were left unsent: {}", all.join(", "));
            }
        }
    };
    Ok(Room {
        routes: v2::routes(),
        listeners,
        access: vec![metrics.clone(), access],
        metrics: Some(metrics),
        close: Some(Box::new(close)),
        ..Room::default()
    })
}

/// How the server is, for sinks that are asked.
fn look(server: &Arc<Server>) -> Look {
    let weak = Arc::downgrade(server);
    Arc::new(move |model: Option<&str>| {
        let Some(server) = weak.upgrade() else { return Outlook::default() };
        let has_drift = |model: &str| {
            let state = server.plugs.watch.get().and_then(|watch| watch.state(model));
            state.is_some_and(|state| state.drift.is_some())
        };
        let has_drift = match model {
            Some(model) => has_drift(model),
            None => server.models.all().iter().any(|served| has_drift(served.name())),
        };
        Outlook { is_ready: server.readiness().ready, has_drift }
    })
}

/// The monitors of all models, opened at once, so that one that cannot be gone on with ends the start.
fn watch(
    server: &Arc<Server>,
    folder: &std::path::Path,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Watch>, Fault> {
    let watch = Watch::new(folder, metrics.clone())?;
    for served in server.models.all() {
        let version = served.current();
        watch.open(served.name(), &version.version, &version.detector)?;
    }
    let weak = Arc::downgrade(server);
    let find = move |model: &str, version: &str| {
        let current = weak.upgrade()?.models.get(model)?.current();
        (current.version == version).then_some(current)
    };
    watch.start(&server.bus, Box::new(find))?;
    let _ = server.plugs.watch.set(watch.clone());
    Ok(watch)
}
