//! Reports, leaderboards, picks and checks, as a user gets them.

use crate::support::{Bench, in_browser};
use serde_json::Value;
use std::fs;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn eval_writes_a_report_that_says_what_the_metrics_say() {
    let bench = Bench::with_model();
    bench.ok("eval model.blemish set --report report.html --json metrics.json");
    let page = fs::read_to_string(bench.path("report.html")).unwrap();
    let metrics = json(&fs::read_to_string(bench.path("metrics.json")).unwrap());
    let auroc = format!("{:.1} %", 100.0 * metrics["image"]["auroc"].as_f64().unwrap());
    assert!(page.contains(&auroc), "{auroc}");
    let scores = &page[page.find("type=\"application/json\">").unwrap() + 24..];
    let scores = json(&scores[..scores.find('<').unwrap()]);
    let defective: usize =
        scores["defects"].as_array().unwrap().iter().map(|kind| kind.as_array().unwrap().len()).sum();
    assert_eq!(metrics["counts"]["good"], scores["good"].as_array().unwrap().len());
    assert_eq!(metrics["counts"]["defective"], defective);
    assert!(page.contains("blemish eval model.blemish set --report report.html"));
    assert!(page.matches("sha256").count() >= 4 && page.contains("data:image/jpeg;base64,"));
    assert!(metrics["run"]["images_per_second"].as_f64().unwrap() > 0.0);
    // With a folder the report lies beside the overlays.
    bench.ok("eval model.blemish set -o out");
    assert!(bench.path("out/report.html").exists());
    assert!(
        bench.fails("eval model.blemish set --report no/such/folder/report.html").contains("no/such/folder")
    );
}

#[test]
fn a_report_works_in_a_browser_on_a_desk_and_on_a_phone_without_any_request() {
    let bench = Bench::with_model();
    bench.ok("eval model.blemish set --report report.html");
    let report = bench.path("report.html");
    let Some(seen) = in_browser("blemish-report/tests/browse.mjs", &[&report]) else { return };
    let seen = json(&seen);
    assert_eq!(seen.as_array().unwrap().len(), 3);
    assert_eq!(seen[2]["after"]["fp"], "0", "at the end of the slider nothing is flagged");
}

#[test]
fn bench_makes_a_leaderboard_and_goes_on_where_it_was() {
    let bench = Bench::with_model();
    let line = "bench set --methods patchcore:size=64x64:coreset_ratio=0.05,padim:size=64x64:dimensions=20 --seeds 2 -o out";
    let table = bench.ok(line);
    assert!(table.contains("patchcore:size=64x64") && table.contains('±'), "{table}");
    for name in ["leaderboard.html", "leaderboard.csv", "leaderboard.md"] {
        assert!(bench.path(&format!("out/{name}")).exists(), "{name}");
    }
    let cells: Vec<_> =
        fs::read_dir(bench.path("out/cells")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(cells.len(), 4);
    let record = json(&fs::read_to_string(&cells[0]).unwrap());
    assert!(record["cell"]["model_bytes"].as_u64().unwrap() > 1000);
    // A second run does only what is missing: a marked cell stays, a lost one is made anew.
    let marked = fs::read_to_string(&cells[0]).unwrap().replace("\"fit_seconds\": ", "\"fit_seconds\": 7000");
    fs::write(&cells[0], &marked).unwrap();
    fs::remove_file(&cells[1]).unwrap();
    bench.ok(line);
    assert_eq!(fs::read_to_string(&cells[0]).unwrap(), marked);
    assert!(cells[1].exists());
    let csv = fs::read_to_string(bench.path("out/leaderboard.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
    assert_eq!(fs::read_dir(bench.path("out")).unwrap().count(), 4, "nothing temporary is left");
    let wrong = bench.command("bench set --methods patchwork").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn pick_recommends_from_good_images_alone_and_keeps_to_the_limit() {
    let bench = Bench::new();
    bench.ok("data synth set --train 8 --test-good 1 --test-per-defect 1 --size 64x64");
    fs::remove_dir_all(bench.path("set/test")).unwrap();
    fs::remove_dir_all(bench.path("set/ground_truth")).unwrap();
    let picked =
        json(&bench.ok("pick set --latency 100000 --per-image 2 --keep made --json -o model.blemish"));
    let candidates = picked["candidates"].as_array().unwrap();
    assert!(candidates.len() >= 8);
    assert_eq!(picked["pick"], candidates[0]);
    assert_eq!((picked["fitted_on"].as_u64(), picked["held_out"].as_u64()), (Some(6), Some(2)));
    let shares: f64 = candidates.iter().map(|one| one["is_best_share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{shares}");
    assert!(bench.path("made/test/good").is_dir() && bench.path("model.blemish").exists());
    assert!(bench.fails("pick set --latency 0.0001").contains("allow more time"));
}

#[test]
fn data_check_fails_only_where_an_evaluation_would_be_spoilt() {
    let bench = Bench::new();
    bench.ok("data synth set --train 3 --test-good 1 --test-per-defect 1 --size 64x64");
    assert!(bench.ok("data check set").contains("nothing is wrong"));
    fs::copy(bench.path("set/train/good/000.png"), bench.path("set/test/good/copy.png")).unwrap();
    assert!(bench.fails("data check set").contains("1 problem"));
    let output = bench.command("data check set --json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found = json(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(found["categories"][0]["issues"][0]["finding"], "leak");
    assert!(bench.fails("data check nowhere").contains("nowhere"));
}
