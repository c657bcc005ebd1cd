//! The `Host` and the `Origin` of requests.

use crate::fault::Fault;
use crate::options::ServeOptions;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, Version, header};

/// Checks on loopback that the request is for a name of ours.
///
/// # Errors
/// `host`.
pub fn check_host(
    options: &ServeOptions,
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Fault> {
    if !options.is_loopback() {
        return Ok(());
    }
    let hosts: Vec<&HeaderValue> = headers.get_all(header::HOST).iter().collect();
    let texts = hosts.iter().map(|value| value.to_str().unwrap_or_default());
    let named: Vec<&str> = texts.chain(uri.authority().map(|authority| authority.as_str())).collect();
    // Browsers always name a host. Programs that speak HTTP/1.0 need not.
    let is_ours = match named.as_slice() {
        [] => version == Version::HTTP_10,
        named => hosts.len() <= 1 && named.iter().all(|host| is_name_of_ours(options, host)),
    };
    if is_ours {
        return Ok(());
    }
    Err(Fault::new(
        "host",
        "the request is for a host that is not this server; ask for localhost, 127.0.0.1 or [::1], or start it with --host NAME",
    ))
}

fn is_name_of_ours(options: &ServeOptions, host: &str) -> bool {
    let name = without_port(host);
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(is) || options.hosts.iter().any(|known| is(known))
}

/// `name` of `name:port`; of `[::1]:port` the brackets stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => {
            if name.starts_with('[') == name.ends_with(']') { name } else { host }
        }
        _ => host,
    }
}

/// Checks that a verb that changes something does not come from a page of another origin.
///
/// # Errors
/// `origin`.
pub fn check_origin(options: &ServeOptions, method: &Method, headers: &HeaderMap) -> Result<(), Fault> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let origins: Vec<&HeaderValue> = headers.get_all(header::ORIGIN).iter().collect();
    let is_ours = match origins.as_slice() {
        [] => true,
        [origin] => is_own(origin, headers) || is_listed(options, origin),
        _ => false,
    };
    if is_ours {
        return Ok(());
    }
    Err(Fault::new(
        "origin",
        "the request comes from a web page of another origin; open the page from this server, or allow its origin with --cors ORIGIN",
    ))
}

/// Whether an origin is the host that the request is for.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(header::HOST).map(HeaderValue::to_str))
    else {
        return false;
    };
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(host)
}

fn is_listed(options: &ServeOptions, origin: &HeaderValue) -> bool {
    options
        .cors
        .iter()
        .any(|listed| origin.as_bytes().eq_ignore_ascii_case(listed.trim_end_matches('/').as_bytes()))
}

/// The origin of a request, if it is another one that may read answers.
pub(super) fn allowed(options: &ServeOptions, headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::ORIGIN).filter(|origin| is_listed(options, origin)).cloned()
}

/// Lets pages of an origin read an answer.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    let fixed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, accept, last-event-id, x-request-id",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "blemish-verdict, x-request-id"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_of_this_machine_reach_loopback() {
        let options = ServeOptions { hosts: vec!["line.local".into()], ..Default::default() };
        let check = |host: &str| {
            check_host(&options, Version::HTTP_11, &Uri::from_static("/"), &headers(&[("host", host)]))
                .is_ok()
        };
        for ours in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "line.local:80"] {
            assert!(check(ours), "{ours}");
        }
        for other in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "",
            "::1",
            "localhost:x",
            "[localhost",
        ] {
            assert!(!check(other), "{other}");
        }
        let none = HeaderMap::new();
        assert!(check_host(&options, Version::HTTP_11, &Uri::from_static("/"), &none).is_err());
        assert!(check_host(&options, Version::HTTP_10, &Uri::from_static("/"), &none).is_ok());
        let absolute = Uri::from_static("http://evil.example/");
        assert!(
            check_host(&options, Version::HTTP_11, &absolute, &headers(&[("host", "localhost")])).is_err()
        );
        let two = headers(&[("host", "localhost")]);
        let mut two = two;
        two.append("host", "localhost".parse().unwrap());
        assert!(check_host(&options, Version::HTTP_11, &Uri::from_static("/"), &two).is_err());
        let open = ServeOptions { listen: "0.0.0.0:80".parse().unwrap(), ..options };
        assert!(
            check_host(&open, Version::HTTP_11, &Uri::from_static("/"), &headers(&[("host", "any")])).is_ok()
        );
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let options = ServeOptions { cors: vec!["https://mes.example".into()], ..Default::default() };
        let check = |method: Method, origin: &str| {
            check_origin(&options, &method, &headers(&[("host", "localhost:8080"), ("origin", origin)]))
                .is_ok()
        };
        assert!(check(Method::POST, "http://localhost:8080") && check(Method::POST, "https://mes.example"));
        for other in [
            "http://localhost:9090",
            "http://evil.example",
            "null",
            "localhost:8080",
            "file://localhost:8080",
        ] {
            assert!(!check(Method::POST, other) && !check(Method::DELETE, other), "{other}");
            assert!(check(Method::GET, other));
        }
        assert!(check_origin(&options, &Method::POST, &headers(&[("host", "localhost")])).is_ok());
    }
}
