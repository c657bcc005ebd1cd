//! Sinks against real brokers, hosts, programs and folders. Those that need mosquitto skip aloud where it is missing.

mod modbus;
mod mqtt;
mod webhook;

use super::*;
use crate::bus::{Bus, Happening};
use crate::samples::answered;
use serde_json::Value;
use std::net::TcpListener;
use std::path::PathBuf;

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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
