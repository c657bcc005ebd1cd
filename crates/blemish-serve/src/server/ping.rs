//! Whether a server is ready, asked from outside.

use crate::fault::Fault;
use crate::options::Listen;
use std::fmt::Display;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;
use ureq::Agent;
use ureq::tls::TlsConfig;

/// Bytes of an answer that are looked at.
const ANSWER: u64 = 64 << 10;

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Asks a server whether it is ready, as health checks of containers do.
///
/// By TLS the certificate is not checked: the question goes to an address, not to the name that the certificate is for.
///
/// # Errors
/// `not_ready` with what it says, or `io` if it does not answer within the time.
pub fn ping(listen: &Listen, is_tls: bool, within: Duration) -> Result<(), Fault> {
    let silent = |error: &dyn Display| {
        let text =
            format!("the server at {listen} does not answer: {error}; check that it runs and listens there");
        Fault::new("io", text)
    };
    let answer = match listen {
        Listen::Tcp(address) if is_tls => {
            let answer = by_tls(reachable(*address), within).map_err(|error| silent(&error))?;
            return told(listen, answer);
        }
        Listen::Tcp(address) => {
            let connected = TcpStream::connect_timeout(&reachable(*address), within);
            let answer = connected.and_then(|stream| {
                stream.set_read_timeout(Some(within))?;
                exchange(stream)
            });
            answer.map_err(|error| silent(&error))?
        }
        #[cfg(unix)]
        Listen::Unix(path) if !is_tls => {
            let answer = std::os::unix::net::UnixStream::connect(path).and_then(|stream| {
                stream.set_read_timeout(Some(within))?;
                exchange(stream)
            });
            answer.map_err(|error| silent(&error))?
        }
        Listen::Unix(_) => {
            return Err(Fault::new(
                "setting",
                "a socket file is asked without TLS, on a system that has such; leave --tls out",
            ));
        }
    };
    // Who listens with TLS answers with an alert, or hangs up.
    let answer = http(&answer).ok_or_else(|| {
        Fault::new(
            "io",
            format!(
                "the server at {listen} does not speak plain HTTP; if it listens with TLS, ask with --tls"
            ),
        )
    })?;
    told(listen, answer)
}

/// What the answer says of the server.
fn told(listen: &Listen, (status, body): (String, String)) -> Result<(), Fault> {
    match status.as_str() {
        "200" => Ok(()),
        _ => Err(Fault::new("not_ready", format!("the server at {listen} is not ready ({status}): {body}"))),
    }
}

/// An address that can be asked: of all addresses the one of this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn by_tls(address: SocketAddr, within: Duration) -> Result<(String, String), ureq::Error> {
    let tls = TlsConfig::builder().disable_verification(true).build();
    let config =
        Agent::config_builder().tls_config(tls).timeout_global(Some(within)).http_status_as_error(false);
    let mut answer = Agent::from(config.build()).get(format!("https://{address}/readyz")).call()?;
    let status = answer.status().as_str().to_owned();
    Ok((status, answer.body_mut().with_config().limit(ANSWER).read_to_string()?))
}

/// Whatever comes back.
fn exchange(mut stream: impl Read + Write) -> std::io::Result<Vec<u8>> {
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    match stream.take(ANSWER).read_to_end(&mut answer) {
        Err(error) if answer.is_empty() && error.kind() != ErrorKind::ConnectionReset => Err(error),
        _ => Ok(answer),
    }
}

/// Status and body of an answer, if it is one of HTTP.
fn http(answer: &[u8]) -> Option<(String, String)> {
    let answer = String::from_utf8_lossy(answer);
    let status = answer.strip_prefix("HTTP/")?.split(' ').nth(1).unwrap_or_default().to_owned();
    Some((status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim().to_owned()))
}
