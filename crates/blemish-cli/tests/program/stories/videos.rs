//! Clips from a made-up street to curves over time.

use super::json;
use crate::support::Bench;
use std::fs;

const SMALL: &str = "--method mnad --set task=prediction --set width=4 --set steps=3 --size 32x32";

/// Clips of a street and a model fitted on them, both tiny.
fn street() -> Bench {
    let bench = Bench::new();
    let words = bench.ok(
        "data synth street --look traffic --train 6 --test-good 1 --test-per-defect 1 --frames 20 --size 32x32",
    );
    assert!(words.contains("6 good clips") && words.contains("1 wrong_way"), "{words}");
    assert!(words.contains("fit street --method mnad --set task=prediction"), "{words}");
    bench.ok(&format!("fit street {SMALL} -o street.blemish"));
    bench
}

#[test]
fn a_street_is_learnt_and_every_clip_is_measured_frame_by_frame() {
    let bench = street();
    let words = bench.ok("eval street.blemish street --report street.html");
    for line in ["Test/wrong_way_001", "frame AUROC of all videos", "by the published rule"] {
        assert!(words.contains(line), "{line}: {words}");
    }
    let page = fs::read_to_string(bench.path("street.html")).unwrap();
    assert!(page.contains("Scores of the frames of Test/wrong_way_001"), "no curve over time");
    let metrics = json(&bench.ok("eval street.blemish street --json"));
    let videos = metrics["sequences"]["per_sequence"].as_array().unwrap();
    assert_eq!((videos.len(), videos[0]["frames"].as_u64()), (5, Some(20)));
    assert!(metrics["sequences"]["published_auroc"].is_number());
}

#[test]
fn scores_of_a_clip_do_not_depend_on_the_clips_beside_it() {
    let bench = street();
    let scores = |line: &str| -> Vec<(String, String)> {
        let one = |line: &str| {
            let verdict = json(line);
            (verdict["path"].as_str().unwrap().to_owned(), verdict["score"].to_string())
        };
        bench.ok(line).lines().map(one).collect()
    };
    let alone = scores("predict street.blemish street/Test/stop_001");
    let beside =
        scores("predict street.blemish street/Test/odd_object_001 street/Test/stop_001 --batch-size 3");
    assert_eq!((alone.len(), beside.len()), (20, 40));
    assert!(alone.iter().all(|one| beside.contains(one)));
}

#[test]
fn clips_become_animations_and_a_gif_is_a_clip() {
    let bench = street();
    bench.ok("predict street.blemish street/Test/stop_001 -o out --pictures animation");
    let pictures = bench.pictures("out/animations");
    assert_eq!(pictures.len(), 1);
    assert!(pictures[0].ends_with("stop_001.gif"));
    let again = bench.ok("predict street.blemish out/animations/stop_001.gif");
    assert_eq!(again.lines().count(), 20);
    assert!(again.contains("stop_001.gif/000007.png"), "{again}");
    let error =
        bench.misused("predict street.blemish street/Test/stop_001 -o out --pictures animation --method x");
    assert!(error.contains("--method"), "{error}");
}

#[test]
fn short_clips_and_films_without_a_reader_are_said() {
    let bench = street();
    fs::create_dir_all(bench.path("short/a")).unwrap();
    for frame in ["001.png", "002.png"] {
        fs::copy(bench.path("street/Train/Train001").join(frame), bench.path("short/a").join(frame)).unwrap();
    }
    let error = bench.fails(&format!("fit short {SMALL} --folds 0 -o short.blemish"));
    assert!(error.contains("has 2 frames") && error.contains("5 that follow each other"), "{error}");
    fs::write(bench.path("walk.mp4"), b"film").unwrap();
    let output = bench.command("predict street.blemish walk.mp4").env("PATH", "").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("ffmpeg"), "{error}");
    fs::create_dir_all(bench.path("nothing")).unwrap();
    assert!(bench.fails("predict street.blemish nothing").contains("no images"));
}
