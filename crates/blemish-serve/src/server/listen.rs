//! Sockets: made, given to the server, taken away.

use super::access::Peer;
use super::tls;
use crate::fault::Fault;
use crate::options::{Listen, ServeOptions, Tls};
use axum::Router;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Address, Control, Handle};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(10);

/// A socket that listens.
pub(super) enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

/// The file of a Unix socket; removed when dropped.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Listens.
    ///
    /// # Errors
    /// `io` if the address is in use or not ours.
    pub(super) fn open(listen: &Listen) -> Result<Self, Fault> {
        match listen {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).map_err(|error| {
                    Fault::new(
                        "io",
                        format!("cannot listen on {address}: {error}; choose another with --listen"),
                    )
                })?;
                Ok(Self::Tcp(listener))
            }
            #[cfg(unix)]
            Listen::Unix(path) => unix(path),
            #[cfg(not(unix))]
            Listen::Unix(_) => {
                Err(Fault::new("setting", "this system has no Unix sockets; listen on an address"))
            }
        }
    }

    /// Where it listens, with the port that was found if any was wanted.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
            }
            #[cfg(unix)]
            Self::Unix(_, file) => format!("unix:{}", file.0.display()),
        }
    }

    /// Serves until `control` says to stop.
    ///
    /// # Errors
    /// `io`.
    pub(super) async fn serve(
        self,
        app: Router,
        options: &ServeOptions,
        control: Control,
    ) -> Result<(), Fault> {
        let tls = options.tls.as_ref().map(|files| watched(files, control.clone())).transpose()?;
        let service = app.into_make_service_with_connect_info::<Peer>();
        let fault = |error: std::io::Error| Fault::new("io", format!("cannot serve: {error}"));
        match self {
            Self::Tcp(listener) => {
                let server = axum_server::from_tcp(listener).map_err(fault)?;
                let server = ready(server, Handle::<SocketAddr>::with_control(control));
                // An event must not wait until the caller has acknowledged the one before.
                let plain = NoDelayAcceptor::new();
                match tls {
                    Some(config) => {
                        server.acceptor(RustlsAcceptor::new(config).acceptor(plain)).serve(service).await
                    }
                    None => server.acceptor(plain).serve(service).await,
                }
                .map_err(fault)
            }
            #[cfg(unix)]
            Self::Unix(listener, file) => {
                let server = axum_server::from_unix(listener).map_err(fault)?;
                let handle = Handle::<std::os::unix::net::SocketAddr>::with_control(control);
                let served = match tls {
                    Some(config) => {
                        ready(server, handle).acceptor(RustlsAcceptor::new(config)).serve(service).await
                    }
                    None => ready(server, handle).serve(service).await,
                };
                drop(file);
                served.map_err(fault)
            }
        }
    }
}

/// A server of HTTP/1.1 whose callers send their heads in time.
fn ready<A: Address>(server: axum_server::Server<A>, handle: Handle<A>) -> axum_server::Server<A> {
    let mut server = server.http1_only().handle(handle);
    server.http_builder().http1().header_read_timeout(HEAD);
    server
}

/// TLS whose files are read again when they change.
fn watched(files: &Tls, control: Control) -> Result<RustlsConfig, Fault> {
    let config = RustlsConfig::from_config(tls::config(files)?);
    let (files, watched) = (files.clone(), config.clone());
    tokio::spawn(async move {
        let mut before = tls::changed(&files);
        // It ends with the runtime.
        let _control = control;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = tls::changed(&files);
            if now == before {
                continue;
            }
            match tls::config(&files) {
                Ok(config) => {
                    watched.reload_from_config(config);
                    tracing::info!("the certificate was read anew");
                }
                // Of two files one may have been written already and the other not: the next look has both.
                Err(fault) => tracing::error!("the old certificate goes on: {fault}"),
            }
            before = now;
        }
    });
    Ok(config)
}

#[cfg(unix)]
fn unix(path: &Path) -> Result<Socket, Fault> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    use std::os::unix::net::{UnixListener, UnixStream};
    let shown = path.display();
    let fault = |what: &dyn std::fmt::Display| {
        Fault::new(
            "io",
            format!("cannot listen on the socket `{shown}`: {what}; choose another with --listen unix:PATH"),
        )
    };
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(fault(&"there is a file of that name, which is no socket"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(fault(&"another server answers there"));
        }
        // Nobody answers: it is left over.
        std::fs::remove_file(path).map_err(|error| fault(&error))?;
    }
    let listener = UnixListener::bind(path).map_err(|error| fault(&error))?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(|error| fault(&error))?;
    Ok(Socket::Unix(listener, file))
}
