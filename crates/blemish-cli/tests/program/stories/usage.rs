//! Wrong usage, damaged models, interruptions, help.

use crate::support::Bench;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn damaged_model_files_each_have_their_own_error() {
    let bench = Bench::with_model();
    let model = fs::read(bench.path("model.blemish")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(bench.path(name), bytes).unwrap();
    write("short.blemish", &model[..model.len() / 2]);
    assert!(bench.fails("predict short.blemish set/test").contains("truncated"));
    let mut flipped = model.clone();
    let last = flipped.len() - 100;
    flipped[last] ^= 1;
    write("flipped.blemish", &flipped);
    assert!(bench.fails("predict flipped.blemish set/test").contains("corrupt"));
    let newer = String::from_utf8_lossy(&model).find("format_version").unwrap();
    let mut newer_model = model.clone();
    let digit = newer + model[newer..].iter().position(u8::is_ascii_digit).unwrap();
    newer_model[digit] = b'9';
    write("newer.blemish", &newer_model);
    assert!(bench.fails("predict newer.blemish set/test").contains("format version 9"));
    fs::copy(
        fs::read_dir(bench.path("set/train/good")).unwrap().next().unwrap().unwrap().path(),
        bench.path("image.blemish"),
    )
    .unwrap();
    assert!(bench.fails("predict image.blemish set/test").contains("PNG"));
    write("empty.blemish", b"");
    assert!(bench.fails("predict empty.blemish set/test").contains("empty"));
    assert!(bench.fails("predict absent.blemish set/test").contains("absent.blemish"));
}

#[cfg(unix)]
#[test]
fn an_interruption_leaves_nothing_half_written() {
    let bench = Bench::new();
    bench.ok("data synth set --train 300 --test-good 1 --test-per-defect 1 --size 64x64");
    let mut child = bench
        .command("fit set --progress json -o model.blemish")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(events.any(|event| event.contains("extracting features")));
    // Twice within a moment, as `timeout -s INT` does, is still one interruption.
    crate::support::signal(&child, libc::SIGINT);
    std::thread::sleep(std::time::Duration::from_millis(20));
    crate::support::signal(&child, libc::SIGINT);
    let told: Vec<String> = events.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{told:?}");
    assert!(told.iter().any(|event| event.contains("interrupted")), "{told:?}");
    let left: Vec<_> =
        fs::read_dir(bench.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["set"], "{told:?}");
}

#[cfg(unix)]
#[test]
fn a_pull_from_a_silent_hub_ends_with_the_first_interruption() {
    let bench = Bench::new();
    let hub = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pull = bench.command("weights pull mobilenet_v2");
    pull.env("HF_ENDPOINT", format!("http://{}", hub.local_addr().unwrap()));
    pull.env("HF_HUB_CACHE", bench.path("cache")).env_remove("HF_HUB_OFFLINE");
    let mut child = pull.stderr(Stdio::null()).spawn().unwrap();
    let _silent = hub.accept().unwrap();
    let started = std::time::Instant::now();
    crate::support::signal(&child, libc::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(started.elapsed().as_secs() < 5);
    let left = fs::read_dir(bench.path("weight-store")).unwrap();
    assert_eq!(
        left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(),
        Vec::<std::ffi::OsString>::new()
    );
}

#[test]
fn wrong_usage_says_what_is_right() {
    let bench = Bench::with_model();
    assert!(bench.fails("fit set --method patchwork").contains("patchcore"));
    assert!(bench.fails("fit set --set coreset_ratio=2").contains("0.0001 to 1"));
    assert!(bench.fails("fit set --set speed=2").contains("coreset_ratio"));
    assert!(bench.fails("fit nowhere").contains("nowhere"));
    assert!(bench.fails("fit set --backbone resnet18").contains("blemish weights"));
    assert!(bench.fails("fit set --layers layer9").contains("layer9"));
    assert!(bench.fails("predict model.blemish nothing-*.png").contains("nothing-*.png"));
    assert!(bench.fails("fit set -o missing/folder/model.blemish").contains("missing/folder"));
    let wrong = bench.command("fit").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn methods_info_and_completions_tell_what_there_is() {
    let bench = Bench::with_model();
    assert!(bench.ok("methods").contains("padim"));
    let settings = bench.ok("methods patchcore");
    assert!(settings.contains("coreset_ratio = 0.1, 0.0001 to 1"), "{settings}");
    assert!(bench.ok("info model.blemish").contains("efficientnet_lite0"));
    assert!(bench.ok("info resnet18").contains("layer3"));
    assert!(bench.ok("completions bash").contains("blemish"));
    assert!(bench.ok("weights path").contains("weight-store"));
}
