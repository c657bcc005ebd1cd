//! Sinks against real brokers, hosts, programs and folders. Those that need mosquitto skip aloud where it is missing.

use super::*;
use crate::bus::{Bus, Happening};
use crate::samples::answered;
use rumqttc::{AsyncClient, Event as MqttEvent, Incoming, QoS};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "{what} does not hold after 30 seconds");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn sink(kind: SinkKind) -> SinkOptions {
    SinkOptions {
        name: "test".into(),
        kind,
        only_anomalous: false,
        rate: None,
        overlay: false,
        buffer: options::BUFFER,
    }
}

fn look() -> Look {
    Arc::new(|_| Outlook { is_ready: true, has_drift: true })
}

fn started(options: SinkOptions) -> (Arc<Sinks>, Bus, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let sinks = Sinks::start(&[options], &metrics, &look()).unwrap();
    let bus = Bus::new(vec![sinks.clone()]);
    (sinks, bus, metrics)
}

/// Tells of an answer by its number, which is its score.
fn say(bus: &Bus, number: u32, anomalous: bool) {
    let mut answer = answered("line");
    (answer.verdict.score, answer.verdict.anomalous) = (number as f32, Some(anomalous));
    bus.tell(Happening::Answered(Arc::new(answer)));
}

fn counted(metrics: &Metrics, outcome: &str) -> u64 {
    let key = format!("blemish_sink_messages_total{{sink=\"test\",outcome=\"{outcome}\"}} ");
    metrics.text().lines().find_map(|line| line.strip_prefix(&key)?.parse().ok()).unwrap_or(0)
}

fn numbers(lines: &str) -> Vec<u32> {
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["score"].as_f64().unwrap() as u32)
        .collect()
}

#[test]
fn a_folder_gets_lines_by_day_and_a_line_that_was_cut_short_stays_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verdicts");
    let (sinks, bus, metrics) =
        started(SinkOptions { overlay: true, ..sink(SinkKind::Folder(path.clone())) });
    [1, 2, 3].iter().for_each(|&number| say(&bus, number, number == 2));
    bus.say("drift", "line", "it is darker", Value::Null);
    sinks.close(Duration::from_secs(10));
    let days: Vec<PathBuf> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    // The drift is of today, the images are of the day that they name.
    assert_eq!(days.len(), 2, "{days:?}");
    let file = path.join("2026-11-18.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(numbers(&text), [1, 2, 3]);
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert!(path.join(line["overlay"].as_str().unwrap()).is_file(), "{line}");
    assert_eq!(counted(&metrics, "sent"), 4);

    std::fs::write(&file, format!("{text}{{\"cut sho")).unwrap();
    let (sinks, bus, _) = started(SinkOptions { only_anomalous: true, ..sink(SinkKind::Folder(path)) });
    [4, 5].iter().for_each(|&number| say(&bus, number, number == 5));
    sinks.close(Duration::from_secs(10));
    let text = std::fs::read_to_string(&file).unwrap();
    let last = text.lines().last().unwrap();
    assert_eq!((numbers(last), text.lines().count()), (vec![5], 5));
}

#[test]
fn verdicts_beyond_the_rate_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (sinks, bus, metrics) =
        started(SinkOptions { rate: Some(0.001), ..sink(SinkKind::Folder(folder.path().into())) });
    (0..5).for_each(|number| say(&bus, number, true));
    sinks.close(Duration::from_secs(10));
    assert_eq!((counted(&metrics, "sent"), counted(&metrics, "limited")), (1, 4));
}

#[test]
fn a_program_gets_lines_is_started_again_and_ends_with_us() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // Ends after its first line, so that a second one is needed for the rest.
    let script = format!(
        "if [ -e '{0}' ]; then cat >> '{0}'; else read line; echo \"$line\" > '{0}'; fi",
        out.display()
    );
    let (sinks, bus, metrics) =
        started(sink(SinkKind::Command(["sh", "-c", &script].map(str::to_owned).to_vec())));
    say(&bus, 1, true);
    until("the first line is there", || std::fs::read_to_string(&out).is_ok_and(|text| text.ends_with('\n')));
    std::thread::sleep(Duration::from_millis(200));
    [2, 3].iter().for_each(|&number| say(&bus, number, true));
    until("all have left", || counted(&metrics, "sent") == 3);
    sinks.close(Duration::from_secs(10));
    assert_eq!(numbers(&std::fs::read_to_string(&out).unwrap()), [1, 2, 3]);
}

#[test]
fn a_program_that_does_not_read_costs_messages_and_no_time() {
    let (sinks, bus, metrics) = started(SinkOptions {
        buffer: 10,
        ..sink(SinkKind::Command(["sleep", "600"].map(str::to_owned).to_vec()))
    });
    let began = Instant::now();
    (0..3000).for_each(|number| say(&bus, number, true));
    assert!(counted(&metrics, "dropped") > 1000);
    assert!(began.elapsed() < Duration::from_secs(10));
    sinks.close(Duration::from_millis(300));
    // The pipe holds some, and one may be half in it.
    let all = counted(&metrics, "sent") + counted(&metrics, "dropped");
    assert!((2999..=3000).contains(&all), "{all}");
}

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

/// A broker of its own on a free port.
struct Mosquitto {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Mosquitto {
    fn start(port: u16, more: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mosquitto.conf");
        std::fs::write(&path, format!("listener {port} 127.0.0.1\n{more}\n")).unwrap();
        Self::run(port, folder)
    }

    fn run(port: u16, folder: tempfile::TempDir) -> Option<Self> {
        let path = folder.path().join("mosquitto.conf");
        let program = ["/usr/sbin/mosquitto", "mosquitto"]
            .into_iter()
            .find(|program| Command::new(program).arg("-h").output().is_ok());
        let Some(program) = program else {
            eprintln!("skipped: mosquitto is not installed");
            return None;
        };
        let child = Command::new(program)
            .arg("-c")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the broker listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { child, port, folder })
    }

    /// Killed without a word.
    fn kill(mut self) -> (u16, tempfile::TempDir) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        (self.port, folder)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn broker(port: u16) -> MqttOptions {
    MqttOptions {
        host: "127.0.0.1".into(),
        port,
        is_tls: false,
        prefix: "plant/line3".into(),
        client_id: "test-sink".into(),
        login: None,
        authorities: None,
        certificate: None,
    }
}

/// What a broker passes on: topics and texts, until it is dropped.
struct Subscriber {
    heard: Arc<Mutex<Vec<(String, String)>>>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Subscriber {
    fn new(port: u16) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = channel();
        let note = heard.clone();
        let work = async move {
            let mut options = rumqttc::MqttOptions::new(format!("subscriber-{port}"), "127.0.0.1", port);
            options.set_max_packet_size(1 << 24, 1 << 20);
            let (client, mut events) = AsyncClient::new(options, 10);
            client.subscribe("plant/line3/#", QoS::AtLeastOnce).await.unwrap();
            loop {
                tokio::select! {
                    event = events.poll() => match event {
                        Ok(MqttEvent::Incoming(Incoming::SubAck(_))) => ready.send(()).unwrap(),
                        Ok(MqttEvent::Incoming(Incoming::Publish(publish))) => {
                            let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                            note.lock().unwrap().push((publish.topic, text));
                        }
                        Ok(_) => {}
                        Err(_) => return,
                    },
                    _ = &mut ended => return,
                }
            }
        };
        let thread = std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
        });
        is_ready.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { heard, end: Some(end), thread: Some(thread) }
    }

    fn of(&self, topic: &str) -> Vec<String> {
        self.heard
            .lock()
            .unwrap()
            .iter()
            .filter(|(of, _)| of == topic)
            .map(|(_, text)| text.clone())
            .collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.end.take().map(|end| end.send(()));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn a_broker_hears_verdicts_drift_and_whether_we_are_there() {
    let Some(mosquitto) = Mosquitto::start(free_port(), "allow_anonymous true") else { return };
    let subscriber = Subscriber::new(mosquitto.port);
    let (sinks, bus, metrics) =
        started(SinkOptions { overlay: true, ..sink(SinkKind::Mqtt(broker(mosquitto.port))) });
    (0..100).for_each(|number| say(&bus, number, true));
    bus.say("drift", "line", "it is darker", Value::Null);
    sinks.close(Duration::from_secs(20));
    until("all is heard", || subscriber.of("plant/line3/status") == ["online", "offline"]);
    let texts = subscriber.of("plant/line3/line/result");
    assert_eq!(numbers(&texts.join("\n")), (0..100).collect::<Vec<_>>());
    assert!(texts[0].contains("overlay_png"));
    assert_eq!(subscriber.of("plant/line3/line/drift").len(), 1);
    assert_eq!((counted(&metrics, "sent"), counted(&metrics, "dropped")), (101, 0));
    // The status stays with the broker for who comes later.
    let later = Subscriber::new(mosquitto.port);
    until("the status is told", || later.of("plant/line3/status") == ["offline"]);
}

#[test]
fn a_broker_that_comes_late_is_killed_and_comes_back_hears_all_in_order() {
    let port = free_port();
    let (sinks, bus, metrics) = started(sink(SinkKind::Mqtt(broker(port))));
    let began = Instant::now();
    (0..20).for_each(|number| say(&bus, number, true));
    assert!(began.elapsed() < Duration::from_secs(1), "a broker that is down delays nobody");
    until("the reason is told", || sinks.states()[0].error.is_some());
    let Some(mosquitto) = Mosquitto::start(port, "allow_anonymous true") else { return };
    let subscriber = Subscriber::new(port);
    until("what waited has left", || counted(&metrics, "sent") == 20);
    until("it is heard", || subscriber.of("plant/line3/line/result").len() == 20);
    let mut heard = numbers(&subscriber.of("plant/line3/line/result").join("\n"));
    assert_eq!(sinks.states()[0].error, None);

    let (port, folder) = mosquitto.kill();
    drop(subscriber);
    (20..60).for_each(|number| say(&bus, number, true));
    until("the break is noticed", || sinks.states()[0].error.is_some());
    let mosquitto = Mosquitto::run(port, folder).unwrap();
    let subscriber = Subscriber::new(port);
    until("what waited has left", || counted(&metrics, "sent") == 60);
    until("it is heard", || subscriber.of("plant/line3/line/result").len() >= 40);
    heard.extend(numbers(&subscriber.of("plant/line3/line/result").join("\n")));
    // At least once: what was on its way when the broker died may come twice, but never out of order.
    heard.dedup();
    assert_eq!(heard, (0..60).collect::<Vec<_>>());
    assert_eq!(counted(&metrics, "dropped"), 0);
    sinks.close(Duration::from_secs(10));
    drop(mosquitto);
}

#[test]
fn the_buffer_for_a_broker_that_is_away_keeps_the_newest() {
    let port = free_port();
    let (sinks, bus, metrics) = started(SinkOptions { buffer: 10, ..sink(SinkKind::Mqtt(broker(port))) });
    (0..50).for_each(|number| say(&bus, number, true));
    assert_eq!((counted(&metrics, "dropped"), sinks.states()[0].waiting), (40, 10));
    let Some(mosquitto) = Mosquitto::start(port, "allow_anonymous true") else { return };
    let subscriber = Subscriber::new(port);
    until("they are heard", || subscriber.of("plant/line3/line/result").len() == 10);
    assert_eq!(numbers(&subscriber.of("plant/line3/line/result").join("\n")), (40..50).collect::<Vec<_>>());
    sinks.close(Duration::from_secs(10));
    drop(mosquitto);
}

/// A proxy in front of a broker that cuts the line without a word, as a cable does.
#[test]
fn the_broker_says_offline_if_we_vanish() {
    let Some(mosquitto) = Mosquitto::start(free_port(), "allow_anonymous true") else { return };
    let subscriber = Subscriber::new(mosquitto.port);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker_port = mosquitto.port;
    let (cut, is_cut) = channel::<()>();
    let proxy = std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        drop(listener);
        let server = TcpStream::connect(("127.0.0.1", broker_port)).unwrap();
        let pairs = [
            (client.try_clone().unwrap(), server.try_clone().unwrap()),
            (server.try_clone().unwrap(), client.try_clone().unwrap()),
        ];
        for (mut from, mut to) in pairs {
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
        is_cut.recv().unwrap();
        for stream in [client, server] {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let (sinks, bus, _) = started(sink(SinkKind::Mqtt(broker(port))));
    say(&bus, 1, true);
    until("we are there", || subscriber.of("plant/line3/status") == ["online"]);
    cut.send(()).unwrap();
    proxy.join().unwrap();
    until("the last will is heard", || subscriber.of("plant/line3/status") == ["online", "offline"]);
    sinks.close(Duration::from_millis(100));
}

/// A key and a certificate for this machine, signed by itself.
fn certificate(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: openssl is not installed");
        return None;
    }
    Some((key, certificate))
}

#[test]
fn a_broker_with_tls_and_a_password_hears_us_and_no_wrong_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (Some((key, own)), Some((_, foreign))) = (certificate(folder.path()), certificate(other.path()))
    else {
        return;
    };
    let passwords = folder.path().join("passwords");
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&passwords)
        .args(["line3", "secret"])
        .status();
    let login = match made {
        Ok(status) if status.success() => {
            format!("allow_anonymous false\npassword_file {}", passwords.display())
        }
        _ => "allow_anonymous true".into(),
    };
    let more = format!("certfile {}\nkeyfile {}\n{login}\nuser root", own.display(), key.display());
    let Some(mosquitto) = Mosquitto::start(free_port(), &more) else { return };
    let tls = |authorities: &Path, password: &str| MqttOptions {
        is_tls: true,
        authorities: Some(authorities.to_owned()),
        login: Some(("line3".into(), Secret::new(password))),
        ..broker(mosquitto.port)
    };
    let (sinks, bus, metrics) = started(sink(SinkKind::Mqtt(tls(&own, "secret"))));
    say(&bus, 1, true);
    until("it has left", || counted(&metrics, "sent") == 1);
    sinks.close(Duration::from_secs(5));
    let (sinks, bus, metrics) = started(sink(SinkKind::Mqtt(tls(&foreign, "secret"))));
    say(&bus, 1, true);
    until("the reason is told", || sinks.states()[0].error.is_some());
    sinks.close(Duration::from_millis(100));
    assert_eq!(counted(&metrics, "sent"), 0);
    if login.contains("password_file") {
        let (sinks, bus, metrics) = started(sink(SinkKind::Mqtt(tls(&own, "wrong"))));
        say(&bus, 1, true);
        until("the reason is told", || sinks.states()[0].error.is_some());
        let error = sinks.states()[0].error.clone().unwrap();
        assert!(!error.contains("wrong"), "no password in an error: {error}");
        sinks.close(Duration::from_millis(100));
        assert_eq!(counted(&metrics, "sent"), 0);
    }
}

/// pymodbus, which many test their PLCs with, where the Python of `BLEMISH_CLIENTS_PYTHON` (else `python3`) has it.
#[test]
fn a_plc_reads_the_last_verdict() {
    let listen = ("127.0.0.1", free_port());
    let options =
        ModbusOptions { listen: format!("{}:{}", listen.0, listen.1).parse().unwrap(), model: None };
    let (sinks, bus, _) = started(sink(SinkKind::Modbus(options)));
    (1..=3).for_each(|number| say(&bus, number, true));
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(listen).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // A connection that is ended for rubbish may be reset.
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    // Two requests on one connection, of different transactions and units.
    let both = [&[0, 7, 0, 0, 0, 6, 1, 4, 0, 1, 0, 4][..], &[0, 8, 0, 0, 0, 6, 2, 2, 0, 0, 0, 3]].concat();
    let first = [0, 7, 0, 0, 0, 11, 1, 4, 8, 0, 3, 0, 40, 0x40, 0x40, 0, 0];
    assert_eq!(ask(&both), [&first[..], &[0, 8, 0, 0, 0, 4, 2, 2, 1, 0b111]].concat());
    // What is no Modbus ends the connection and nothing else.
    for rubbish in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 7], &[0, 1, 0, 0, 255, 255, 1], &[0, 1]] {
        assert!(ask(rubbish).is_empty());
    }
    let python = std::env::var("BLEMISH_CLIENTS_PYTHON").unwrap_or_else(|_| "python3".into());
    match Command::new(&python).args(["-c", "import pymodbus"]).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/modbus.py");
            let output = Command::new(&python)
                .arg(path)
                .arg(format!("{}:{}", listen.0, listen.1))
                .arg("3")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        _ => eprintln!("skipped: `{python}` has no module pymodbus"),
    }
    let began = Instant::now();
    sinks.close(Duration::from_secs(20));
    assert!(began.elapsed() < Duration::from_secs(10), "it does not wait for connections");
}
