//! Hosts: posts, their signatures, and hosts that fail or are down.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Reads a request of HTTP: its headers in small letters, and its body.
fn received(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap() == 0 {
            return (head, Vec::new());
        }
    }
    let head = head.to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

#[test]
fn a_host_gets_signed_posts_in_order_and_again_after_its_own_errors() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let webhook = WebhookOptions {
        url: format!("http://{}/verdicts", host.local_addr().unwrap()),
        secret: Some(Secret::new("key")),
        authorities: None,
        timeout: Duration::from_secs(5),
    };
    let (sinks, bus, metrics) = started(SinkOptions { overlay: true, ..sink(SinkKind::Webhook(webhook)) });
    [1, 2, 3, 4].iter().for_each(|&number| say(&bus, number, true));
    // 1 fails once, 2 is not wanted, of 3 the connection breaks, 4 fails until it is given up.
    let answers = [
        Some(503),
        Some(200),
        Some(404),
        None,
        Some(204),
        Some(500),
        Some(500),
        Some(500),
        Some(500),
        Some(500),
    ];
    let mut heard = Vec::new();
    for status in answers {
        let (mut stream, _) = host.accept().unwrap();
        let (head, body) = received(&mut stream);
        assert!(
            head.starts_with("post /verdicts ") && head.contains("content-type: application/json"),
            "{head}"
        );
        let expected = signature(&Secret::new("key"), &body);
        assert!(head.contains(&format!("x-blemish-signature: {expected}")), "{head}");
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert!(value["overlay_png"].as_str().is_some_and(|text| text.starts_with("iVBOR")));
        heard.push(value["score"].as_f64().unwrap() as u32);
        if let Some(status) = status {
            write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        }
    }
    assert_eq!(heard, [1, 1, 2, 3, 3, 4, 4, 4, 4, 4]);
    until("all are counted", || (counted(&metrics, "sent"), counted(&metrics, "failed")) == (2, 2));
    assert!(sinks.states()[0].error.as_deref().unwrap().contains("500"));
    sinks.close(Duration::from_secs(1));
}

#[test]
fn a_host_that_is_down_holds_up_nobody_and_what_waits_is_bounded() {
    // A port on which nobody listens.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhook = WebhookOptions {
        url: format!("http://{address}/"),
        secret: None,
        authorities: None,
        timeout: Duration::from_secs(1),
    };
    let (sinks, bus, metrics) = started(SinkOptions { buffer: 5, ..sink(SinkKind::Webhook(webhook)) });
    (0..100).for_each(|number| say(&bus, number, true));
    assert!(sinks.states()[0].waiting <= 5);
    until("the reason is told", || sinks.states()[0].error.is_some());
    let began = Instant::now();
    sinks.close(Duration::from_millis(200));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(counted(&metrics, "sent"), 0);
    assert!(counted(&metrics, "dropped") >= 99);
}
