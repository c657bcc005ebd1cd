//! Brokers that are there, late, killed, full of demands or not to be trusted.

use super::*;
use crate::testing::certificate;
use rumqttc::{AsyncClient, Event as MqttEvent, Incoming, QoS};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

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
fn signed(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    certificate(folder, "localhost", &["-addext", "basicConstraints=critical,CA:FALSE"])?;
    Some((folder.join("localhost.key"), folder.join("localhost.pem")))
}

#[test]
fn a_broker_with_tls_and_a_password_hears_us_and_no_wrong_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (Some((key, own)), Some((_, foreign))) = (signed(folder.path()), signed(other.path())) else {
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
