//! Outputs over a server in this process: what monitors, metrics, the log and the keeping make of real answers.

use crate::bus::{Event, Happening, Listener};
use crate::models::{Given, Served};
use crate::options::{ServeOptions, Which};
use crate::outputs::room;
use crate::samples::Page;
use crate::server::{Closing, Server};
use crate::sinks::{SinkKind, SinkOptions, WebhookOptions};
use crate::testing::{ask, asked, bench, form, options, request, with_outputs};
use axum::body::{Bytes, to_bytes};
use blemish::data::{Files, Pixels, ReadOptions, RgbImage, Sample, decode_image};
use blemish::monitor::{Monitor, Reference};
use blemish::{Detector, ScoreOptions, Watched};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn close(closings: Vec<Closing>) {
    closings.into_iter().for_each(|close| close(Duration::from_secs(20)));
}

async fn score(served: &Served, given: Given) {
    served.score(served.reserve_when_free().await, given, asked("")).await.unwrap();
}

/// The file that `predict --monitor` makes of these images in this order, several times over.
fn monitored(path: &Path, runs: usize) -> String {
    let detector = Detector::load(&bench().path("line"), &Default::default()).unwrap();
    let mut monitor = Monitor::open(path, &detector, Reference::Auto, 0.01).unwrap();
    for _ in 0..runs {
        let samples: Vec<Sample> =
            bench().dataset.test.iter().map(|sample| Sample::unlabelled(&sample.path)).collect();
        let files = Files::new(samples, "");
        let watched = Watched::new(&files);
        detector
            .score_source(&watched, &ScoreOptions::default(), |one| -> Result<(), blemish::Error> {
                monitor.observe(one.scored.score, watched.take(one.index).as_ref()).unwrap();
                Ok(())
            })
            .unwrap();
    }
    monitor.save().unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_is_the_one_that_predict_makes_of_the_same_images() {
    let (options, folder) = options(&["line"]);
    let monitors = folder.path().join("monitors");
    let options = ServeOptions { monitor: Some(monitors.clone()), ..options };
    let expected = monitored(&folder.path().join("predict.json"), 10);
    let mut version = String::new();
    // In two runs of the server, each of which goes on where the last one ended.
    for _ in 0..2 {
        let (server, app, closings) = with_outputs(options.clone(), std::io::sink()).await;
        version.clone_from(&server.models.get("line").unwrap().current().version);
        for _ in 0..5 {
            for file in bench().images() {
                let (status, answer) = ask(&app, request("POST", "/score", file)).await;
                assert_eq!(status, 200, "{answer}");
            }
        }
        close(closings);
        let state = server.plugs.watch.get().unwrap().state("line").unwrap();
        assert_eq!(state.version, version);
    }
    let found = std::fs::read_to_string(monitors.join(format!("line-{version}.json"))).unwrap();
    assert_eq!(found, expected);
    // A server beside this one would write over it.
    let (first, _, closings) = with_outputs(options.clone(), std::io::sink()).await;
    let second = Server::open(options).unwrap();
    let fault = room(&second, std::io::sink()).map(|_| ()).unwrap_err();
    assert!(fault.text.contains("another process"), "{fault:?}");
    close(closings);
    drop(first);
}

/// Keeps what was told of drift.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Listener for Heard {
    fn take(&self, event: &Event) {
        if let Happening::Told(told) = &event.what
            && told.kind == "drift"
        {
            self.0.lock().unwrap().push(told.text.clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_an_event_a_metric_and_a_message_once_and_a_new_monitor_begins_anew() {
    let (options, folder) = options(&["line"]);
    let verdicts = folder.path().join("verdicts");
    let sink = SinkOptions {
        name: "folder".into(),
        kind: SinkKind::Folder(verdicts.clone()),
        only_anomalous: true,
        rate: None,
        overlay: false,
        buffer: 1000,
    };
    let monitors = folder.path().join("monitors");
    let options = ServeOptions { monitor: Some(monitors.clone()), sinks: vec![sink], ..options };
    let (server, app, closings) = with_outputs(options, std::io::sink()).await;
    let heard = Arc::new(Heard::default());
    server.bus.join(heard.clone());
    let model = server.models.get("line").unwrap();
    let good: Vec<Bytes> =
        bench().dataset.train.iter().map(|sample| std::fs::read(&sample.path).unwrap().into()).collect();
    for at in 0..100 {
        score(&model, Given::Encoded(good[at % good.len()].clone())).await;
    }
    // The lamp goes dim.
    for at in 0..200 {
        let image = decode_image(&good[at % good.len()], &ReadOptions::default()).unwrap();
        let Pixels::U8(values) = image.pixels else { panic!("8 bit") };
        let pixels = Pixels::U8(values.iter().map(|value| value / 2).collect());
        score(&model, Given::Pixels(RgbImage { pixels, ..image })).await;
    }
    crate::testing::until("drift is told", || !heard.0.lock().unwrap().is_empty()).await;
    let watch = server.plugs.watch.get().unwrap().clone();
    crate::testing::until("all are watched", || watch.state("line").unwrap().watched >= 150).await;
    let told = heard.0.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("drift: "), "{told:?}");
    let state = watch.state("line").unwrap();
    assert_eq!((state.words.as_str(), state.missing, state.watches_images), (told[0].as_str(), 0, true));
    let metrics = async || {
        let response = crate::testing::send(&app, request("GET", "/metrics", "")).await;
        String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    };
    assert!(metrics().await.contains("blemish_drift{model=\"line\"} 1\n"));

    watch.restart("line", &model.current().detector).unwrap();
    let state = watch.state("line").unwrap();
    assert_eq!((state.watched, state.missing, state.drift), (0, 100, None));
    assert!(metrics().await.contains("blemish_drift{model=\"line\"} 0\n"));
    let files: Vec<String> = std::fs::read_dir(&monitors)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(files.iter().any(|name| name.ends_with(".old1.json")), "{files:?}");
    close(closings);
    let lines: String = std::fs::read_dir(&verdicts)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(lines.matches("\"event\":\"drift\"").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks_that_are_down_hold_up_the_end_for_two_seconds_together() {
    let (options, _folder) = options(&["line"]);
    // One that nobody listens at, and one that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent_at = silent.local_addr().unwrap();
    let sink = |name: &str, address: std::net::SocketAddr| SinkOptions {
        name: name.into(),
        kind: SinkKind::Webhook(WebhookOptions {
            url: format!("http://{address}/"),
            secret: None,
            authorities: None,
            timeout: Duration::from_secs(10),
        }),
        only_anomalous: false,
        rate: None,
        overlay: false,
        buffer: 1000,
    };
    let sinks = vec![sink("gone", gone), sink("silent", silent_at), sink("mute", silent_at)];
    let (server, app, closings) = with_outputs(ServeOptions { sinks, ..options }, std::io::sink()).await;
    for _ in 0..3 {
        assert_eq!(ask(&app, request("POST", "/score", bench().images()[0].clone())).await.0, 200);
    }
    let began = std::time::Instant::now();
    close(closings);
    let took = began.elapsed();
    assert!(took < Duration::from_millis(3500), "{took:?}");
    let unsent = server.plugs.sinks.get().unwrap().close(Duration::ZERO);
    assert_eq!(unsent, ["gone", "silent", "mute"].map(|name| (name.to_owned(), 3)));
}

/// A file system of its own of so many bytes, for who may mount one.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "blemish-test"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: only root may mount a file system");
            return None;
        }
        Some(Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_no_verdict_and_is_counted() {
    let Some(disk) = Disk::new(1 << 20) else { return };
    let (options, _folder) = options(&["line"]);
    let keep_dir = Some(disk.0.path().join("kept"));
    let options = ServeOptions { keep: Which::All, keep_dir, keep_max: 1 << 30, ..options };
    let (server, app, closings) = with_outputs(options, std::io::sink()).await;
    let file = &bench().images()[0];
    let rounds = 2 * (1 << 20) / file.len() + 10;
    for _ in 0..rounds {
        let (status, answer) = ask(&app, request("POST", "/v1/models/line/score", file.clone())).await;
        assert_eq!(status, 200, "{answer}");
    }
    close(closings);
    let text = server.plugs.metrics.get().unwrap().encode(&server);
    let counted = |outcome: &str| -> usize {
        let key = format!("blemish_kept_images_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&key)?.parse().ok()).unwrap_or(0)
    };
    assert!(counted("kept") > 10 && counted("failed") > 10, "{text}");
    assert_eq!(counted("kept") + counted("failed") + counted("dropped"), rounds);
    // Nothing half written is left.
    let day = std::fs::read_dir(disk.0.path().join("kept")).unwrap().next().unwrap().unwrap().path();
    let names: Vec<String> = std::fs::read_dir(day)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".json")).count(), counted("kept"));
    assert!(!names.iter().any(|name| name.ends_with(".part")));
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_and_lines_equal_the_requests_and_paths_make_no_labels() {
    let (options, _folder) = options(&["line"]);
    let page = Page::default();
    let (server, app, closings) = with_outputs(options, page.clone()).await;
    let files = bench().images();
    for file in &files {
        assert_eq!(
            ask(&app, request("POST", "/score?min_area=secret-of-the-query", file.clone())).await.0,
            400
        );
        assert_eq!(ask(&app, request("POST", "/score", file.clone())).await.0, 200);
    }
    let parts: Vec<(&str, &[u8])> = files.iter().map(|file| ("secret-name.png", &file[..])).collect();
    assert_eq!(ask(&app, form("POST", "/v1/models/line/score-batch", &parts)).await.0, 200);
    assert_eq!(ask(&app, request("POST", "/v2/models/line/infer", "secret body")).await.0, 400);
    for number in 0..10_000 {
        assert_eq!(ask(&app, request("GET", &format!("/secret/{number}"), "")).await.0, 404);
    }
    close(closings);
    let text = server.plugs.metrics.get().unwrap().encode(&server);
    for line in [
        format!("blemish_requests_total{{route=\"/score\",status=\"200\"}} {}", files.len()),
        format!("blemish_requests_total{{route=\"/score\",status=\"400\"}} {}", files.len()),
        "blemish_requests_total{route=\"other\",status=\"404\"} 10000".into(),
        format!("blemish_rejected_total{{model=\"line\",reason=\"request\"}} {}", files.len() + 1),
        "blemish_queue_length{model=\"line\"} 0".into(),
        format!("blemish_stage_seconds_count{{model=\"line\",stage=\"decode\"}} {}", 2 * files.len()),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let said = |verdict: &str| -> usize {
        let key = format!("blemish_images_total{{model=\"line\",verdict=\"{verdict}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&key)?.parse().ok()).unwrap_or(0)
    };
    assert_eq!(said("good") + said("anomalous") + said("undecided"), 2 * files.len());
    assert!(text.lines().count() < 200, "{} lines", text.lines().count());
    let log = page.text();
    assert_eq!(log.lines().count(), 2 * files.len() + 2 + 10_000);
    assert!(!log.contains("secret") && !text.contains("secret"));
}
