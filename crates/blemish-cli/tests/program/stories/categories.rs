//! Several categories in one model.

use super::json;
use crate::support::Bench;
use std::fs;

/// A folder of two looks and a model of both.
fn with_both() -> Bench {
    let bench = Bench::new();
    for look in ["fabric", "metal"] {
        let line = format!(
            "data synth all/{look} --look {look} --train 6 --test-good 2 --test-per-defect 1 --size 64x64"
        );
        bench.ok(&line);
    }
    bench.ok("fit all --all-categories --size 64x64 -o both.blemish");
    bench
}

/// A number in single precision, which some documents write out and others widen.
fn single(value: &serde_json::Value) -> f32 {
    value.as_f64().unwrap() as f32
}

#[test]
fn a_folder_of_categories_makes_one_model_that_judges_each_by_its_own_threshold() {
    let bench = with_both();
    let error = bench.fails("fit all --size 64x64");
    assert!(error.contains("fabric, metal") && error.contains("--all-categories"), "{error}");
    bench.misused("fit all --category metal --all-categories");
    let words = bench.ok("fit all --all-categories --size 64x64");
    assert!(bench.path("all-patchcore.blemish").exists(), "named after the folder: {words}");
    for part in
        ["fabric/train/good", "fitted on 12 images", "  fabric: image score", "by 6 good images of its own"]
    {
        assert!(words.contains(part), "{part} in {words}");
    }
    let summary = json(&bench.ok("fit all --all-categories --size 64x64 -o both.blemish --json"));
    let thresholds = summary["calibration"]["categories"].clone();
    assert!(thresholds["metal"]["image_threshold"].is_number(), "{summary}");

    // The same scores, decided by the thresholds of all or of one.
    let lines = |more: &str| -> Vec<serde_json::Value> {
        let text = bench.ok(&format!("predict both.blemish all/metal/test/good {more}"));
        text.lines().map(json).collect()
    };
    let (all, own) = (lines(""), lines("--category metal"));
    assert_eq!(all.len(), 2);
    for (all, own) in all.iter().zip(&own) {
        assert_eq!(all["score"], own["score"]);
        assert_eq!(single(&all["threshold"]), single(&summary["calibration"]["image_threshold"]));
        assert_eq!(single(&own["threshold"]), single(&thresholds["metal"]["image_threshold"]));
    }
    let error = bench.misused("predict both.blemish all/metal/test/good --category nut");
    assert!(error.contains("`nut`") && error.contains("fabric, metal"), "{error}");
    bench.ok("verify both.blemish");
    // New good images of one category change its thresholds alone.
    let after =
        json(&bench.ok("calibrate both.blemish --with-good all/metal/test/good --category metal --json"));
    let (then, now) = (&thresholds, &after["categories"]);
    assert_eq!((&then["fabric"], &now["metal"]["images"]), (&now["fabric"], &2.into()), "{after}");
    assert_eq!(after["images"], summary["calibration"]["images"]);
    assert!(bench.ok("info both.blemish").contains("of fabric: "));
}

#[test]
fn categories_are_evaluated_each_and_together() {
    let bench = with_both();
    let words = bench.ok("eval both.blemish all --all-categories --report report.html --json metrics.json");
    let starts = |word: &str| words.lines().any(|line| line.starts_with(word));
    assert!(starts("category") && starts("fabric") && starts("metal") && starts("mean"), "{words}");
    assert!(words.contains("each category by its own threshold"), "{words}");
    let metrics = json(&fs::read_to_string(bench.path("metrics.json")).unwrap());
    let of = |at: usize| metrics["categories"][at]["image"]["auroc"].as_f64().unwrap();
    let mean = metrics["image"]["auroc"].as_f64().unwrap();
    assert!((mean - (of(0) + of(1)) / 2.0).abs() < 1e-9, "{metrics}");
    assert!(fs::read_to_string(bench.path("report.html")).unwrap().contains("Per category"));
    // A single category of the set is judged by its own threshold, one that was not learned by that of all, aloud.
    let one = json(&bench.ok("eval both.blemish all --category metal --json -"));
    let judged = &metrics["categories"][1]["decisions"]["image_threshold"];
    assert_eq!((&one["decisions"]["image_threshold"], judged.is_number()), (judged, true));
    fs::rename(bench.path("all/metal"), bench.path("steel")).unwrap();
    let words = bench.ok("eval both.blemish steel");
    assert!(words.contains("has not learned category steel"), "{words}");
}

#[test]
fn a_column_of_categories_does_what_folders_do() {
    let bench = with_both();
    let mut list = "path,category,split,label\n".to_owned();
    for look in ["fabric", "metal"] {
        for (folder, split) in [("train/good", "train"), ("test/good", "test")] {
            for path in bench.pictures(&format!("all/{look}/{folder}")) {
                list += &format!("{},{look},{split},good\n", path.display());
            }
        }
    }
    fs::write(bench.path("list.csv"), list).unwrap();
    let error = bench.fails("fit list.csv --size 64x64");
    assert!(error.contains("--all-categories"), "{error}");
    bench.ok("fit list.csv --all-categories --size 64x64 -o listed.blemish");
    let scores = |model: &str| {
        let text = bench.ok(&format!("predict {model} all/fabric/test --progress none"));
        text.lines().map(|line| json(line)["score"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(scores("listed.blemish"), scores("both.blemish"));
}
