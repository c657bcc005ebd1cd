//! From options to a server that runs until it is asked to stop.

use super::{Closing, Room, Running, Server, tls, watchdog};
use crate::fault::{Fault, beside};
use crate::options::{Listen, ServeOptions};
use sd_notify::NotifyState;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is left of the time to drain for rooms to close, at least.
const CLOSING: Duration = Duration::from_secs(2);

/// Interrupts within this time are one: `timeout -s INT` and the like send theirs to the program and to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(250);

/// The exit code after a second signal, as shells count it (128 + SIGINT).
const EXIT_INTERRUPTED: i32 = 130;

/// Makes the rooms of a server, on its runtime, before it listens.
pub type MakeRooms = Box<dyn FnOnce(&Arc<Server>) -> Result<Vec<Room>, Fault> + Send>;

/// What a server would serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Where it would listen.
    pub listen: String,
    /// The models: name, version, method.
    pub models: Vec<(String, String, String)>,
}

/// Checks options and everything that they name: models are read and verified, tokens and certificates read, and `rooms` checks what else
/// there is. Nothing is listened on, connected to, made or written, so that this can be done beside a server that runs.
///
/// # Errors
/// The first thing that would keep the server from serving.
pub fn check(
    options: ServeOptions,
    rooms: impl FnOnce(&ServeOptions) -> Result<(), Fault>,
) -> Result<Checked, Fault> {
    runtime()?.block_on(async {
        let server = opened(options).await?;
        rooms(&server.options)?;
        server.models.verify().await?;
        let models = server.models.all().into_iter().map(|served| {
            let version = served.current();
            (served.name().to_owned(), version.version.clone(), version.header.method.clone())
        });
        Ok(Checked { listen: server.options.listen.to_string(), models: models.collect() })
    })
}

/// Serves until SIGTERM or SIGINT, and then until what was accepted is answered. `told` is given the address once the server listens.
///
/// # Errors
/// What keeps it from starting; a model that is not verified at the start.
pub fn serve(options: ServeOptions, rooms: MakeRooms, told: impl FnOnce(&str)) -> Result<(), Fault> {
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let signals = Signals::listen()?;
        let server = opened(options).await?;
        let rooms = rooms(&server)?;
        let (app, closings) = server.app(rooms);
        let mut running = Running::new(server.clone(), app)?;
        let address = running.address.clone();
        let scheme = if server.options.tls.is_some() { "https" } else { "http" };
        let shown = match server.options.listen {
            Listen::Tcp(_) => format!("{scheme}://{address}"),
            Listen::Unix(_) => address,
        };
        told(&shown);
        tracing::info!(models = server.models.all().len(), "listening on {shown}");
        let outcome = run(&mut running, signals).await;
        close(closings, server.options.drain).await;
        outcome
    });
    // What still decodes or scores is of no use to anybody.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

/// # Errors
/// `io` if the system gives no threads.
fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("serve")
        .build()
        .map_err(|error| Fault::new("io", format!("the system gives no threads to serve with: {error}")))
}

async fn opened(options: ServeOptions) -> Result<Arc<Server>, Fault> {
    if let Some(files) = &options.tls {
        tls::config(files)?;
    }
    beside("reading the models failed unexpectedly; copy them again", || Server::open(options)).await
}

/// Runs until a signal, then drains.
async fn run(running: &mut Running, mut signals: Signals) -> Result<(), Fault> {
    let server = &running.server.clone();
    let watching = tokio::spawn(server.models.clone().watch());
    let feeding = tokio::spawn(watchdog::feed(server.models.clone()));
    let verifying = server.models.verify();
    tokio::pin!(verifying);
    let mut is_verifying = true;
    let outcome = loop {
        tokio::select! {
            verified = &mut verifying, if is_verifying => {
                is_verifying = false;
                match verified {
                    // There is no version before that could go on.
                    Err(fault) => break Err(fault),
                    Ok(()) => {
                        tracing::info!("ready");
                        let _ = sd_notify::notify(&[NotifyState::Ready]);
                    }
                }
            }
            ended = running.ended() => {
                watching.abort();
                return ended;
            }
            signal = signals.next() => match signal {
                Signal::Reload => reload(server).await,
                Signal::Stop => break Ok(()),
            },
        }
    };
    // Stopping has a limit of its own.
    feeding.abort();
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!(connections = running.connections(), "stopping");
    watching.abort();
    running.stop();
    let first = Instant::now();
    loop {
        tokio::select! {
            ended = running.ended() => return outcome.and(ended),
            signal = signals.next() => {
                if matches!(signal, Signal::Stop) && first.elapsed() > SAME_SIGNAL {
                    tracing::warn!("stopped at once, as asked twice");
                    std::process::exit(EXIT_INTERRUPTED);
                }
            }
        }
    }
}

/// Reads tokens and changed models anew.
async fn reload(server: &Arc<Server>) {
    match server.tokens.reload() {
        Ok(()) => tracing::info!("tokens were read anew"),
        Err(fault) => tracing::error!("the old tokens go on: {fault}"),
    }
    server.models.reload_changed().await;
}

/// Lets rooms write out what they hold.
async fn close(closings: Vec<Closing>, within: Duration) {
    let within = within.max(CLOSING);
    let all = closings.into_iter().map(|closing| tokio::task::spawn_blocking(move || closing(within)));
    let all = futures_util::future::join_all(all.collect::<Vec<_>>());
    if tokio::time::timeout(within, all).await.is_err() {
        tracing::warn!("not everything was written out in time");
    }
}

enum Signal {
    Reload,
    Stop,
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Result<Self, Fault> {
        use tokio::signal::unix::{SignalKind, signal};
        let fault = |error: std::io::Error| Fault::new("io", format!("cannot listen for signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(fault)?,
            terminate: signal(SignalKind::terminate()).map_err(fault)?,
            hangup: signal(SignalKind::hangup()).map_err(fault)?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Result<Self, Fault> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        let _ = tokio::signal::ctrl_c().await;
        Signal::Stop
    }
}
