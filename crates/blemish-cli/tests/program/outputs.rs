//! What the program writes: never over what it reads, to pipes as to pipes, one change of a model after the other, nothing left behind.

use crate::support::Bench;
use blemish::file::{Claim, format};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Names in a folder and below, sorted.
fn listed(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            names.push(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    names.sort();
    names
}

fn is_unfinished(name: &str) -> bool {
    name.contains(".blemish-unfinished") || name.contains(".blemish-lock") || name.contains(".tmp")
}

/// Waits until something holds, at most half a minute.
fn wait_for(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn start(bench: &Bench, line: &str) -> Child {
    bench.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn nothing_is_written_over_what_is_read() {
    let bench = Bench::with_model();
    let image = "set/train/good/000.png";
    fs::write(
        bench.path("list.csv"),
        "path,label\nset/test/good/000.png,good\nset/train/good/000.png,good\n",
    )
    .unwrap();
    fs::copy(bench.path("list.csv"), bench.path("leaderboard.csv")).unwrap();
    bench.ok("predict model.blemish set/test -o out");
    fs::copy(bench.path("model.blemish"), bench.path("out/coco.json")).unwrap();
    let before: Vec<Vec<u8>> =
        [image, "model.blemish", "list.csv"].iter().map(|name| fs::read(bench.path(name)).unwrap()).collect();
    let overlays = listed(&bench.path("out"));
    for line in [
        "fit set --size 64x64 -o set/train/good/000.png",
        "fit list.csv --size 64x64 -o list.csv",
        "predict model.blemish out/overlays -o out",
        "predict model.blemish set/test --monitor model.blemish",
        "predict out/coco.json set/test -o out --export coco",
        "eval model.blemish set --json model.blemish",
        "eval model.blemish set --json ./set/../set/test/good/000.png",
        "eval model.blemish set --report set/test/good/000.png",
        "eval model.blemish set -o set/test/good",
        "calibrate model.blemish --with-good set/train/good -o set/train/good/000.png",
        "update model.blemish set -o set/train/good/000.png",
        "pick set --latency 1000 -o set/train/good/000.png",
        "bench leaderboard.csv -o .",
    ] {
        let told = bench.fails(line);
        let is_clear = ["which is read", "among the images"];
        assert!(is_clear.iter().any(|words| told.contains(words)), "{line}: {told}");
    }
    let after: Vec<Vec<u8>> =
        [image, "model.blemish", "list.csv"].iter().map(|name| fs::read(bench.path(name)).unwrap()).collect();
    assert!(before == after && listed(&bench.path("out")) == overlays);
}

#[test]
fn a_run_into_its_own_inputs_is_the_same_the_second_time() {
    let bench = Bench::with_model();
    fs::create_dir(bench.path("in")).unwrap();
    for name in ["000", "001", "002", "003"] {
        let image = bench.path(&format!("set/train/good/{name}.png"));
        fs::copy(image, bench.path(&format!("in/{name}.png"))).unwrap();
    }
    let run = |inputs: &str| {
        bench.ok(&format!("predict model.blemish {inputs} -o in"));
        (fs::read_to_string(bench.path("in/scores.jsonl")).unwrap(), listed(&bench.path("in")))
    };
    let first = run("in");
    assert_eq!(first.0.lines().count(), 4);
    assert!(first.1.contains(&"overlays/000.png".into()), "{:?}", first.1);
    assert_eq!(run("in"), first);
    assert_eq!(run("in/**/*.png"), first);
    // Nor are they learnt from, whoever wrote them.
    bench.ok("eval model.blemish set -o set/results");
    assert!(bench.ok("fit set --size 64x64 --folds 0 -o again.blemish").contains("on 6 images"));
    bench.ok("data suspects in -o in/suspects --size 64x64 --folds 2 --show 1 --method statistical --set align=none");
    assert_eq!(run("in").0, first.0);
}

#[test]
fn a_folder_in_the_way_is_found_before_the_work() {
    let bench = Bench::with_model();
    fs::create_dir_all(bench.path("out/scores.jsonl")).unwrap();
    let told = bench.fails("predict model.blemish set/test -o out");
    assert!(told.contains("scores.jsonl") && told.contains("a folder"), "{told}");
    assert_eq!(listed(&bench.path("out")), ["scores.jsonl"], "nothing was scored");
    fs::create_dir_all(bench.path("metrics.json")).unwrap();
    assert!(bench.fails("eval model.blemish set --json metrics.json").contains("a folder"));
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_stay_what_they_are() {
    use std::os::unix::fs::FileTypeExt;
    let bench = Bench::with_model();
    let pipe = bench.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    bench.ok("eval model.blemish set --json pipe");
    let metrics: serde_json::Value = serde_json::from_slice(&reader.join().unwrap()).unwrap();
    assert!(metrics["image"]["auroc"].is_number(), "{metrics}");
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    bench.ok("calibrate model.blemish --false-alarm 0.4 -o pipe");
    fs::write(bench.path("piped.blemish"), reader.join().unwrap()).unwrap();
    assert!(bench.ok("verify piped.blemish").contains("verified"));
    bench.ok("calibrate model.blemish --false-alarm 0.4 -o /dev/null");
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    // Standard output goes to a file, and is named as one as well: both texts arrive.
    let both = fs::File::create(bench.path("both.txt")).unwrap();
    let status =
        bench.command("eval model.blemish set --json both.txt").stdout(both).stderr(Stdio::null()).status();
    assert!(status.unwrap().success());
    let text = fs::read_to_string(bench.path("both.txt")).unwrap();
    assert!(text.starts_with('{') && text.contains("good images: 2"), "{text}");
    // As inputs they are refused at once.
    std::os::unix::fs::symlink("/dev/zero", bench.path("zero.onnx")).unwrap();
    for line in [
        "predict pipe set/test",
        "info pipe",
        "info /dev/zero",
        "fit pipe -o x.blemish",
        "fit /dev/zero -o x.blemish",
        "predict model.blemish set/test --monitor /dev/zero",
        "predict model.blemish set/test --monitor pipe",
        "fit set --backbone zero.onnx --layers a -o x.blemish",
        "info zero.onnx",
    ] {
        let told = bench.fails(line);
        assert!(
            told.contains("a pipe") || told.contains("a device") || told.contains("not a file"),
            "{line}: {told}"
        );
    }
}

#[test]
fn what_killed_runs_leave_goes_with_the_next_run() {
    let bench = Bench::with_model();
    fs::create_dir_all(bench.path("out/overlays")).unwrap();
    fs::create_dir_all(bench.path("bench")).unwrap();
    for folder in [".", "out", "out/overlays", "bench"] {
        let left = bench.path(folder).join(".blemish-unfinished-Ab3dEf9h1j");
        fs::write(&left, "half").unwrap();
        fs::create_dir(left.with_extension("d")).unwrap();
    }
    fs::write(bench.path("bench/.blemish-unfinished-Ab3dEf9h1j.d/model.blemish"), "half").unwrap();
    bench.ok("calibrate model.blemish --false-alarm 0.4");
    bench.ok("predict model.blemish set/test -o out");
    bench.ok("bench set --methods statistical:align=none:size=64x64 -o bench");
    let left: Vec<String> = listed(&bench.path("")).into_iter().filter(|name| is_unfinished(name)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[cfg(unix)]
#[test]
fn a_killed_synthesis_leaves_no_set_and_the_same_command_makes_it() {
    let bench = Bench::new();
    let line = "data synth set --train 400 --test-good 1 --test-per-defect 1 --size 96x96";
    let mut child = start(&bench, line);
    let is_under_way = || listed(&bench.path("")).iter().any(|name| name.ends_with(".png"));
    wait_for(is_under_way);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(listed(&bench.path("")).iter().any(|name| is_unfinished(name)), "it was killed under way");
    bench.fails("fit set --size 64x64 -o model.blemish");
    let again = "data synth set --train 4 --test-good 1 --test-per-defect 1 --size 96x96";
    bench.ok(again);
    assert!(!listed(&bench.path("")).iter().any(|name| is_unfinished(name)));
}

#[test]
fn two_updates_of_one_model_at_once_are_both_learnt() {
    let bench = Bench::new();
    for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        bench.ok(&format!(
            "data synth {name} --seed {seed} --train 4 --test-good 1 --test-per-defect 1 --size 64x64"
        ));
    }
    bench.ok("fit a --size 64x64 --updatable --folds 0 -o m.blemish");
    // Held by this test until both wait.
    let claim = Claim::new(&bench.path("m.blemish"), &blemish::Silent).unwrap();
    let children = ["update m.blemish b", "update m.blemish c"].map(|line| start(&bench, line));
    std::thread::sleep(Duration::from_millis(1500));
    drop(claim);
    let told = children.map(finish);
    assert!(told.iter().any(|told| told.contains("another process is changing `m.blemish`")), "{told:?}");
    let (header, _) = format::read(&bench.path("m.blemish")).unwrap();
    assert_eq!(header.data.images, 12);
    assert!(!listed(&bench.path("")).iter().any(|name| is_unfinished(name)));
}

#[test]
fn two_runs_with_one_monitor_take_turns() {
    let bench = Bench::with_model();
    bench.ok("data synth more --train 30 --test-good 1 --test-per-defect 1 --size 64x64");
    let claim = Claim::new(&bench.path("line.json"), &blemish::Silent).unwrap();
    let line = "predict model.blemish more/train --monitor line.json --monitor-reference 20";
    let children = [0, 1].map(|_| start(&bench, line));
    std::thread::sleep(Duration::from_millis(1500));
    drop(claim);
    let told = children.map(finish);
    assert!(told.iter().all(|told| told.contains("another process is changing `line.json`")), "{told:?}");
    let monitor: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(bench.path("line.json")).unwrap()).unwrap();
    // Both runs' images are in it: 20 are the reference.
    let seen = told
        .iter()
        .filter(|told| told.contains("no drift in 40 images") || told.contains("no drift in 10 images"));
    assert_eq!(seen.count(), 2, "{told:?} {monitor}");
}

#[cfg(unix)]
#[test]
fn a_wait_for_a_model_ends_with_an_interrupt() {
    let bench = Bench::with_model();
    let _claim = Claim::new(&bench.path("model.blemish"), &blemish::Silent).unwrap();
    let child = start(&bench, "calibrate model.blemish --false-alarm 0.4");
    std::thread::sleep(Duration::from_millis(1500));
    crate::support::signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_model_of_an_older_program_works_and_is_told_apart() {
    let bench = Bench::with_model();
    let (header, state) = format::read(&bench.path("model.blemish")).unwrap();
    let mut header = serde_json::to_value(header).unwrap();
    header.as_object_mut().unwrap().remove("file_digest");
    let about = [("blemish".to_owned(), header.to_string())].into();
    safetensors::serialize_to_file(state.tensors(), Some(about), &bench.path("older.blemish")).unwrap();
    assert_eq!(bench.ok("predict older.blemish set/test"), bench.ok("predict model.blemish set/test"));
    let told =
        |line: &str| String::from_utf8_lossy(&bench.command(line).output().unwrap().stderr).into_owned();
    assert!(told("predict older.blemish set/test").contains("note: `older.blemish` was written by an older"));
    assert_eq!(told("predict older.blemish set/test --progress none"), "");
    assert!(!told("predict model.blemish set/test").contains("note:"));
    bench.ok("calibrate older.blemish --false-alarm 0.4");
    assert!(!told("predict older.blemish set/test").contains("note:"), "written anew it is covered");
}
