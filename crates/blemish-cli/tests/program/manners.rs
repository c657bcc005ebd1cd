//! How the program behaves on terminals, to signals, with odd names and with wrong usage.

use crate::support::{self, Bench};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command line of this program by a shell, in the folder of the bench.
fn paste(bench: &Bench, line: &str) -> Output {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_blemish")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    Command::new("bash").args(["-c", line]).current_dir(bench.path("")).env("PATH", path).output().unwrap()
}

#[cfg(unix)]
#[test]
fn standard_error_that_is_full_or_closed_changes_nothing_about_the_work() {
    let bench = Bench::with_model();
    let closed = || Stdio::from(std::io::pipe().unwrap().1);
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    for (line, code) in [
        ("fit set --size 64x64 --folds 0 -o MADE", 0),
        ("fit set --size 64x64 --json --resume -o MADE", 0),
        ("-vvv fit set --size 64x64 --progress bar -o MADE", 0),
        ("predict model.blemish set/test -o MADE --progress json", 0),
        ("data synth MADE --train 2 --test-good 1 --test-per-defect 1 --size 64x64", 0),
        ("data suspects set --size 64x64 -o MADE", 0),
        ("eval model.blemish set --json MADE", 0),
        ("verify model.blemish --threads 10000", 0),
        ("fit nowhere", 1),
        ("fit set --method patchwork", 2),
        ("fit --no-such-option", 2),
    ] {
        for (number, stderr) in [closed(), full()].into_iter().enumerate() {
            let made = format!("made-{number}");
            let output = bench.command(&line.replace("MADE", &made)).stderr(stderr).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{line}");
            let made = bench.path(&made);
            assert_eq!(made.exists(), line.contains("MADE"), "{line}");
            if made.is_dir() {
                fs::remove_dir_all(made).unwrap()
            } else {
                fs::remove_file(made).unwrap_or(())
            }
        }
    }
    // The outcome stands where nobody reads the result either.
    fs::copy(bench.path("set/train/good/000.png"), bench.path("set/test/good/copy.png")).unwrap();
    let output = bench.command("data check set").stdout(closed()).stderr(closed()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

/// Starts a line, waits until it has said that it is at work, sends it a signal, and gives its exit code and what was left.
#[cfg(unix)]
fn interrupted(bench: &Bench, line: &str, signal: libc::c_int) -> (Option<i32>, Duration) {
    use std::io::{BufRead, BufReader};
    let mut command = bench.command(line);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().contains("\"stage\"")), "{line}");
    let sent = Instant::now();
    support::signal(&child, signal);
    let rest: Vec<String> = told.map_while(Result::ok).collect();
    let code = child.wait().unwrap().code();
    assert!(rest.iter().any(|line| line.contains("interrupted")), "{line} says {rest:?}");
    (code, sent.elapsed())
}

#[cfg(unix)]
#[test]
fn one_interrupt_ends_any_command_soon_and_leaves_nothing_half_written() {
    let bench = Bench::with_model();
    bench.ok("data synth many --train 600 --test-good 100 --test-per-defect 20 --size 32x32");
    let names = |folder: &str| {
        let mut names: Vec<_> =
            fs::read_dir(bench.path(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    fs::create_dir(bench.path("out")).unwrap();
    let before = names("");
    for (line, signal) in [
        ("data synth new --train 3000", libc::SIGINT),
        ("data synth many --overwrite --train 3000", libc::SIGTERM),
        ("data check many", libc::SIGHUP),
        ("data suspects many", libc::SIGTERM),
        ("eval model.blemish many --report out/report.html", libc::SIGINT),
        ("pick many --latency 1000 -o out/model", libc::SIGTERM),
        ("bench many --methods patchcore -o out", libc::SIGTERM),
        ("fit many --method fastflow --set steps=100000 -o out/model", libc::SIGINT),
    ] {
        let (code, took) = interrupted(&bench, &format!("{line} --progress json"), signal);
        assert_eq!(code, Some(130), "{line}");
        // A second where the machine has nothing else to do.
        assert!(took < Duration::from_secs(5), "{line} took {took:?}");
        let left: Vec<_> = names("out").into_iter().filter(|name| name != "cells").collect();
        assert!(left.is_empty(), "{line} leaves {left:?}");
        assert_eq!(names(""), before, "{line}");
        let _ = fs::remove_dir(bench.path("out/cells"));
    }
    let kept = fs::read_dir(bench.path("many/train/good")).unwrap().count();
    assert_eq!(kept, 600, "the earlier set stays");
}

#[cfg(unix)]
#[test]
fn nohup_keeps_a_hang_up_away() {
    let bench = Bench::with_model();
    let line = "trap '' HUP; exec \"$0\" data synth new --train 300 --test-good 1 --test-per-defect 1 --size 64x64 --progress json";
    let mut child = Command::new("bash")
        .args(["-c", line, env!("CARGO_BIN_EXE_blemish")])
        .current_dir(bench.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut told, &mut first).unwrap();
    support::signal(&child, libc::SIGHUP);
    std::io::copy(&mut told, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{first}");
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_told_apart_and_work_everywhere() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::with_model();
    let odd = |bytes: &[u8]| bench.path("").join(OsStr::from_bytes(bytes));
    let folder = odd(b"in\xff");
    fs::create_dir(&folder).unwrap();
    let image = bench.path("set/train/good/000.png");
    let names: [&[u8]; 3] = [b"\xfe.png", b"\xff.png", br"\xff.png"];
    for name in names {
        fs::copy(&image, folder.join(OsStr::from_bytes(name))).unwrap();
    }
    let run = |line: &str, last: &[&[u8]]| {
        let output =
            bench.command(line).args(last.iter().map(|word| OsStr::from_bytes(word))).output().unwrap();
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let expected = [r"in\xff/\x5cxff.png", r"in\xff/\xfe.png", r"in\xff/\xff.png"];
    let lines = run("predict model.blemish", &[b"in\xff"]);
    let paths: Vec<Value> = lines.lines().map(|line| json(line)["path"].clone()).collect();
    assert_eq!(paths, expected);
    let lines = run("predict model.blemish --format csv", &[b"in\xff/\xff.png"]);
    assert!(lines.lines().nth(1).unwrap().starts_with(r"in\xff/\xff.png,"), "{lines}");
    run("eval model.blemish set --report report.html -o", &[b"out\xff"]);
    assert!(odd(b"out\xff").is_dir());
    assert!(fs::read_to_string(bench.path("report.html")).unwrap().contains(r"out\377"));
    bench.ok("calibrate model.blemish --false-alarm 0.2");
    run("predict model.blemish set/test --export coco,labelme -o", &[b"scores\xff"]);
    run("fit --size 64x64 --folds 0 --json -o", &[b"m\xff.blemish", b"in\xff"]);
    assert!(run("info", &[b"m\xff.blemish"]).contains("3 good images"));
    assert_eq!(
        json(&run(
            "data synth --train 2 --test-good 1 --test-per-defect 1 --size 64x64 --json",
            &[b"new\xff"]
        ))["folder"],
        r"new\xff"
    );
    // The files are three times the same picture, which is told, and no panic.
    let output = bench.command("data check --json").arg(&folder).output().unwrap();
    let found = json(&text(&output.stdout));
    assert!(found["categories"][0]["issues"][0]["files"][0].as_str().unwrap().contains(r"\x"), "{found}");
    let ranked = json(&run("data suspects --size 64x64 --json -o", &[b"ranking\xff", b"in\xff"]));
    assert_eq!(ranked["suspects"].as_array().unwrap().len(), 3);
    let again = run("data suspects --size 64x64", &[b"in\xff"]);
    assert!(again.contains(r"in\xff/\xfe.png"), "{again}");
}

#[test]
fn cells_that_spreadsheets_would_compute_are_text() {
    let bench = Bench::with_model();
    for name in ["=1+1.png", "+1.png", "@SUM.png", "plain.png"] {
        fs::copy(bench.path("set/train/good/000.png"), bench.path(name)).unwrap();
    }
    let lines = bench.ok("predict model.blemish =1+1.png +1.png @SUM.png plain.png --format csv");
    let cells: Vec<&str> = lines.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(cells, ["path", "'=1+1.png", "'+1.png", "'@SUM.png", "plain.png"]);
    assert_eq!(json(&bench.ok("predict model.blemish =1+1.png"))["path"], "=1+1.png");
    bench.ok("predict model.blemish +1.png --format csv --output=-out");
    let written = fs::read_to_string(bench.path("-out/scores.csv")).unwrap();
    assert!(written.contains(",'-out/overlays/+1.png,"), "{written}");
}

#[cfg(unix)]
#[test]
fn signs_that_a_terminal_obeys_are_shown_not_sent() {
    let bench = Bench::with_model();
    let name = "set/train/good/\x1b[31m\u{202e}\rx.png";
    fs::write(bench.path(name), b"not an image").unwrap();
    let safe = |bytes: &[u8]| {
        let text = text(bytes);
        let is_obeyed = |sign: char| (sign.is_control() && sign != '\n') || sign == '\u{202e}';
        assert!(!text.contains(is_obeyed), "{text:?}");
        text.split_whitespace().filter(|word| *word != "│").collect::<String>()
    };
    for line in [
        "fit set --size 64x64 --folds 0 -o other",
        "fit set --size 64x64 --folds 0 -o other --skip-bad",
        "predict model.blemish set/train --skip-bad",
        "data check set",
        "-vv data suspects set --size 64x64 --skip-bad",
        "pick set --latency 1000",
    ] {
        let output = bench.command(line).output().unwrap();
        let told = safe(&output.stderr) + &safe(&output.stdout);
        assert!(told.contains(r"\u{1b}[31m\u{202e}\rx.png"), "{line} says {told}");
    }
    let output = bench.command("fit set --\x1b[1m\u{202e}").output().unwrap();
    assert!(safe(&output.stderr).contains(r"\u{202e}"), "{}", text(&output.stderr));
}

#[test]
fn images_with_the_longest_names_are_scored_and_their_pictures_have_shorter_ones() {
    let bench = Bench::with_model();
    fs::create_dir(bench.path("in")).unwrap();
    let stem = "n".repeat(250);
    for name in [format!("{stem}.png"), format!("{stem}1.png"), format!("{}2", "n".repeat(254))] {
        fs::copy(bench.path("set/train/good/000.png"), bench.path(&format!("in/{name}"))).unwrap();
    }
    bench.ok("predict model.blemish in -o out");
    let lines = fs::read_to_string(bench.path("out/scores.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 3);
    for line in lines.lines().map(json) {
        assert!(bench.path(line["overlay"].as_str().unwrap()).exists(), "{line}");
        assert!(bench.path(line["map"].as_str().unwrap()).exists(), "{line}");
    }
    assert_eq!(bench.pictures("out/overlays").len(), 3);
}

#[test]
fn wrong_usage_ends_with_2_and_what_is_not_used_is_said() {
    let bench = Bench::with_model();
    for (line, words) in [
        ("fit set --method patchwork", "patchcore"),
        ("fit set --set coreset_ratio=2", "0.0001 to 1"),
        ("fit set --set speed=2", "coreset_ratio"),
        ("fit set --layers layer9", "layer9"),
        ("fit set --backbone net", "no network"),
        ("fit set --engine steam", "steam"),
        ("fit set --false-alarm 2", "above 0 and below 1"),
        ("fit set --size 0x4", "not a size"),
        ("fit set --tile 8x8", "16 to 4096"),
        ("fit set --threads 0", "number of threads"),
        ("calibrate model.blemish --false-alarm nan", "above 0 and below 1"),
        ("data synth new --look silk", "fabric"),
        ("data synth new --size 16x16", "16x16"),
        ("data import elpv new out --cells blood", "mono"),
        ("methods patchwork", "patchcore"),
    ] {
        let error = bench.misused(line);
        assert!(error.contains(words), "`{line}` says {error}");
    }
    for line in
        ["fit nowhere", "fit set --backbone resnet18", "predict model.blemish nothing-*.png", "info nothing"]
    {
        assert_eq!(bench.command(line).output().unwrap().status.code(), Some(1), "{line}");
    }
    let output =
        bench.command("fit set --size 64x64 --folds 0 --time-limit 5s --precision mixed -o other").output();
    let told = text(&output.unwrap().stderr);
    assert!(told.contains("patchcore does not train: --time-limit, --precision"), "{told}");
}

#[test]
fn thousands_of_threads_are_not_started() {
    let bench = Bench::with_model();
    let started = Instant::now();
    let output = bench.command("info model.blemish --threads 10000").output().unwrap();
    assert!(
        output.status.success() && started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(text(&output.stderr).contains("--threads 10000:"), "{}", text(&output.stderr));
    assert_eq!(
        bench.ok("predict model.blemish set/test --threads 1000"),
        bench.ok("predict model.blemish set/test --threads 1")
    );
}

#[cfg(unix)]
#[test]
fn what_comes_next_can_be_pasted() {
    let bench = Bench::new();
    let next = |output: &Output| {
        let told = text(&output.stdout);
        assert!(output.status.success(), "{told}{}", text(&output.stderr));
        told.lines()
            .find_map(|line| line.strip_prefix("next: "))
            .unwrap_or_else(|| panic!("{told}"))
            .to_owned()
    };
    let folder = "it's my\u{1b} \"set\"";
    let synth = "data synth --train 6 --test-good 2 --test-per-defect 1 --size 64x64";
    let fit = next(&bench.command(synth).arg(folder).output().unwrap());
    let predict = next(&paste(&bench, &format!("{fit} --size 64x64")));
    assert!(paste(&bench, &predict).status.success(), "{predict}");
    let scores =
        fs::read_dir(bench.path("")).unwrap().map(|entry| entry.unwrap().path().join("scores.jsonl"));
    let scores: Vec<_> = scores.filter(|path| path.exists()).collect();
    assert_eq!(fs::read_to_string(&scores[0]).unwrap().lines().count(), 6, "the test images are scored");
    let predict = next(&paste(&bench, &format!("{fit} --size 64x64 --folds 0 --output=-m")));
    assert!(predict.starts_with("blemish predict ./-m "), "{predict}");
}

#[test]
fn info_speaks_to_a_person() {
    let bench = Bench::with_model();
    let told = bench.ok("info model.blemish");
    for words in [
        "a model of patchcore",
        "6 good images of set",
        "resized to 64x64",
        "efficientnet_lite0 at",
        "UTC",
        "without its fold",
        "blemish verify model.blemish",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert!(!told.contains('{') && !told.contains("nothing guards"), "{told}");
    let machine = json(&bench.ok("info model.blemish --json"));
    assert!(machine["tensors"].is_array() && machine["calibration"]["image_scores"].is_array());
}

#[test]
fn suspects_are_told_without_a_folder() {
    let bench = Bench::with_model();
    let before = fs::read_dir(bench.path("")).unwrap().count();
    let told = bench.ok("data suspects set --size 64x64 --show 2");
    assert!(told.contains("first 2 of 6 images") && told.lines().count() == 5, "{told}");
    assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), before);
    let machine = json(&bench.ok("data suspects set --size 64x64 --json"));
    assert!(machine["ranking"].is_null() && machine["suspects"].as_array().unwrap().len() == 6);
}

#[cfg(unix)]
#[test]
fn a_pattern_over_folders_that_lead_to_themselves_ends() {
    let bench = Bench::with_model();
    for name in ["set/a", "set/test/b"] {
        std::os::unix::fs::symlink(bench.path("set"), bench.path(name)).unwrap();
    }
    let plain = bench.ok("predict model.blemish set/test/good");
    assert_eq!(bench.ok("predict model.blemish set/**/test/good/*.png"), plain);
    let all = bench.ok("predict model.blemish set/**/*.png");
    let images = all.lines().filter(|line| !line.contains("/ground_truth/"));
    assert!(bench.ok("predict model.blemish set").lines().eq(images), "a folder's masks are no images");
}
