//! Thresholds, what they promise, and what is decided by them.

use super::json;
use crate::support::Bench;
use serde_json::Value;
use std::fs;

#[test]
fn a_fit_says_what_its_threshold_promises_and_calibrate_changes_it() {
    let bench = Bench::with_model();
    let words = bench.ok("fit set --size 64x64 -o again.blemish");
    for part in [
        "6 good images",
        "without its fold (5 folds)",
        "thresholds: image score",
        "at most 14.3 % false alarms",
        "99 would allow 1 %",
    ] {
        assert!(words.contains(part), "{part} in {words}");
    }
    let same = bench.ok("fit set --size 64x64 --false-alarm 0.0001 -o again.blemish");
    assert!(same.contains("at most 14.3 %") && same.contains("9999 would allow 0.01 %"), "{same}");
    assert!(bench.fails("calibrate model.blemish --false-alarm 2").contains("above 0 and below 1"));
    let before = bench.ok("predict model.blemish set/test --progress none");
    let words = bench.ok("calibrate model.blemish --false-alarm 0.2");
    assert!(words.contains("at most 20 %") && words.contains("thresholds: image score"), "{words}");
    let after = bench.ok("predict model.blemish set/test");
    for (before, after) in before.lines().map(json).zip(after.lines().map(json)) {
        assert_eq!((&before["score"], &before["p_value"]), (&after["score"], &after["p_value"]));
        assert!(
            before["threshold"].is_number() && before["anomalous"].is_boolean(),
            "a default fit decides: {before}"
        );
        let flagged = after["score"].as_f64() > after["threshold"].as_f64();
        assert_eq!(after["anomalous"], Value::Bool(flagged));
        assert_eq!(flagged, after["p_value"].as_f64().unwrap() <= 0.2);
    }
    let words = bench.ok("calibrate model.blemish --labelled set --by recall --recall 1");
    assert!(words.contains("defective images are found"), "{words}");
    let json_line =
        json(&bench.ok("calibrate model.blemish --with-good set/test/good --false-alarm 0.4 --json"));
    assert_eq!(
        (&json_line["images"], &json_line["source"]["kind"]),
        (&Value::from(2), &"good_images".into())
    );
    bench.ok("fit set --size 64x64 --folds 0 -o plain.blemish");
    let line = bench.ok("predict plain.blemish set/test/good");
    assert!(!line.contains("p_value") && !line.contains("anomalous"), "{line}");
}

#[test]
fn a_single_image_gives_no_threshold_and_the_way_to_one() {
    let bench = Bench::new();
    bench.ok("data synth set --train 1 --test-good 3 --test-per-defect 1 --size 64x64");
    let output = bench.command("fit set --size 64x64 -o model.blemish").output().unwrap();
    let (words, warnings) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && words.contains("blemish calibrate model.blemish --with-good"),
        "{words}"
    );
    assert!(warnings.contains("at least two"), "{warnings}");
    assert!(bench.fails("predict model.blemish set/test --fail-on-anomaly").contains("blemish calibrate"));
    let words = bench.ok("calibrate model.blemish --with-good set/test/good");
    assert!(words.contains("at most 25 % false alarms") && words.contains("99 would allow 1 %"), "{words}");
    assert!(bench.ok("predict model.blemish set/test").contains("\"anomalous\":"));
}

#[test]
fn images_that_belong_together_are_found_or_named_by_a_column_or_a_pattern() {
    let bench = Bench::new();
    bench.ok("data synth parts --train 15 --test-good 1 --test-per-defect 1 --size 64x64");
    fs::create_dir(bench.path("shots")).unwrap();
    let mut list = "path,shot\n".to_owned();
    for part in 0..15 {
        let image = image::open(bench.path(&format!("parts/train/good/{part:03}.png"))).unwrap().to_rgb8();
        for shot in 0..2 {
            let mut image = image.clone();
            image.iter_mut().for_each(|value| *value = (f32::from(*value) * (0.7 + 0.1 * shot as f32)) as u8);
            let name = format!("shots/{}_{part}.png", ["left", "right"][shot]);
            image.save(bench.path(&name)).unwrap();
            list += &format!("{name},{part}\n");
        }
    }
    fs::write(bench.path("shots.csv"), list).unwrap();
    let fit = "--size 64x64 -o model.blemish --false-alarm 0.1";
    let words = bench.ok(&format!("fit shots {fit}"));
    for part in ["30 good images in 15 groups (found by", "at most 10 % false alarms", "--groups none"] {
        assert!(words.contains(part), "{part} in {words}");
    }
    let single = bench.ok(&format!("fit shots {fit} --groups none"));
    assert!(single.contains("calibrated on 30 good images, each"), "{single}");
    for groups in ["*_{}.png", r"_(\d+)\.png"] {
        let told = bench.ok(&format!("fit shots {fit} --groups {groups}"));
        assert!(told.contains("30 good images in 15 groups (told by their names)"), "{told}");
    }
    let column = bench.ok(&format!("fit shots.csv {fit} --groups shot"));
    assert!(column.contains("30 good images in 15 groups, each"), "{column}");
    assert!(bench.fails(&format!("fit shots.csv {fit} --groups part")).contains("no column `part`"));
    assert!(bench.fails(&format!("fit shots {fit} --groups part")).contains("captures nothing"));
    let calibrated = bench.ok("calibrate model.blemish --with-good shots --false-alarm 0.2");
    assert!(calibrated.contains("30 good images in 15 groups"), "{calibrated}");
}

#[test]
fn anomalies_give_an_exit_code_regions_and_exports() {
    let bench = Bench::with_model();
    bench.ok("calibrate model.blemish --false-alarm 0.2");
    let run = |line: &str| bench.command(line).output().unwrap();
    let output = run("predict model.blemish set/test -o out --export coco,labelme --fail-on-anomaly");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("images are anomalous"));
    let lines = fs::read_to_string(bench.path("out/scores.jsonl")).unwrap();
    let regions: usize = lines.lines().map(|line| json(line)["regions"].as_array().unwrap().len()).sum();
    let first = lines.lines().map(json).find(|line| line["regions"][0].is_object()).unwrap();
    let region = &first["regions"][0];
    assert!(
        region["area"].as_f64().unwrap() > 0.0
            && region["peak"]["score"].as_f64() >= region["mean_score"].as_f64()
    );
    let coco = json(&fs::read_to_string(bench.path("out/coco.json")).unwrap());
    assert_eq!(coco["annotations"].as_array().unwrap().len(), regions);
    assert_eq!(coco["images"].as_array().unwrap().len(), lines.lines().count());
    assert_eq!(fs::read_dir(bench.path("out/labelme")).unwrap().count(), lines.lines().count());
    let csv = bench.ok("predict model.blemish set/test/good --format csv --min-area 5000");
    assert!(csv.starts_with("path,score,overlay,map,p_value,threshold,anomalous,regions\n"), "{csv}");
    assert!(csv.lines().skip(1).all(|line| line.ends_with(",0")), "{csv}");
    assert_eq!(run("predict model.blemish set/test --export coco").status.code(), Some(2));
    bench.ok("eval model.blemish set --json metrics.json");
    let metrics = json(&fs::read_to_string(bench.path("metrics.json")).unwrap());
    let alarms = &metrics["decisions"]["false_alarms"];
    assert_eq!(alarms["of"], Value::from(2));
    assert!(alarms["interval"]["high"].as_f64().unwrap() > 0.5, "two images say little: {alarms}");
    assert!(bench.ok("eval model.blemish set").contains("decisions at the model's threshold"));
}
