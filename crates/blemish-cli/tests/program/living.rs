//! Models after their fit, end to end: updated, merged, verified, watched.

use crate::support::Bench;
use std::fs;

/// Good images in two folders, and a model of each.
fn shards(fit: &str) -> Bench {
    let bench = Bench::new();
    for (name, seed) in [("a", 1), ("b", 2)] {
        bench.ok(&format!(
            "data synth {name} --seed {seed} --train 4 --test-good 2 --test-per-defect 1 --size 64x64"
        ));
        bench.ok(&format!("fit {name} --size 64x64 {fit} -o {name}.blemish"));
    }
    bench
}

fn scores(bench: &Bench, model: &str, images: &str) -> Vec<f64> {
    let lines = bench.ok(&format!("predict {model} {images}"));
    let score =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["score"].as_f64().unwrap();
    lines.lines().map(score).collect()
}

#[test]
fn padim_learns_on_and_is_joined_as_if_it_had_seen_everything() {
    let fit = "--method padim --set dimensions=20 --set precision=single --updatable";
    let bench = shards(fit);
    fs::create_dir(bench.path("all")).unwrap();
    for name in ["a", "b"] {
        for file in fs::read_dir(bench.path(&format!("{name}/train/good"))).unwrap().map(Result::unwrap) {
            let target = format!("all/{name}-{}", file.file_name().to_string_lossy());
            fs::copy(file.path(), bench.path(&target)).unwrap();
        }
    }
    bench.ok(&format!("fit all --size 64x64 {fit} -o all.blemish"));
    let merged = bench.ok("merge a.blemish b.blemish -o merged.blemish");
    assert!(merged.contains("8 images"), "{merged}");
    let updated = bench.ok("update a.blemish b/train/good/*.png -o updated.blemish --json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&updated).unwrap()["images"], 8);
    let expected = scores(&bench, "all.blemish", "a/test");
    for model in ["merged.blemish", "updated.blemish"] {
        for (found, expected) in scores(&bench, model, "a/test").iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 1e-4, "{model}: {found} {expected}");
        }
        assert!(bench.ok(&format!("verify {model}")).contains("verified"));
    }
}

#[test]
fn patchcore_is_updated_in_place_and_tells_how_well_its_bank_covers() {
    let bench = shards("--updatable");
    let before = scores(&bench, "a.blemish", "b/train");
    let told = bench.ok("update a.blemish b");
    assert!(told.contains("8 images") && told.contains("for 512 patches, each at most"), "{told}");
    let after = scores(&bench, "a.blemish", "b/train");
    assert!(
        after.iter().sum::<f64>() < 0.9 * before.iter().sum::<f64>(),
        "what it has learnt scores lower: {after:?}"
    );
    assert!(bench.ok("verify a.blemish").contains("verified"));
    bench.ok("calibrate a.blemish --with-good b/test/good --false-alarm 0.5");
    let verified = bench.ok("verify a.blemish");
    assert!(verified.contains("decisions: as calibrated"), "calibrating writes decisions anew: {verified}");
    bench.ok("merge a.blemish b.blemish -o merged.blemish --json");
}

#[test]
fn what_cannot_be_done_is_said_with_the_way_out() {
    let bench = shards("");
    bench.ok("fit a --size 64x64 --method padim --set dimensions=20 -o fixed.blemish");
    assert!(bench.fails("update fixed.blemish b").contains("`updatable`"));
    let refused = bench.fails("fit a --tile 32x32 --updatable -o x.blemish");
    assert!(refused.contains("--tile"), "{refused}");
    let refused = bench.fails("fit a --method statistical --updatable -o x.blemish");
    assert!(
        refused.contains("statistical stay as they were fitted") && refused.contains("padim"),
        "{refused}"
    );
    assert!(
        bench
            .fails("merge a.blemish fixed.blemish -o x.blemish")
            .contains("method padim, the first patchcore")
    );
    bench.ok("fit b --size 48x48 -o small.blemish");
    assert!(bench.fails("merge a.blemish small.blemish -o x.blemish").contains("transform"));
    assert!(bench.fails("update a.blemish nowhere").contains("nowhere"));
    assert!(bench.fails("update a.blemish b -o missing/x.blemish").contains("missing"));
    assert!(!bench.path("x.blemish").exists());
    let methods = bench.ok("methods");
    assert!(methods.contains("can update, merge"), "{methods}");
    assert!(bench.ok("methods padim --json").contains("\"abilities\""));
}

#[test]
fn verification_holds_on_every_engine_and_fails_on_an_altered_model() {
    let bench = Bench::with_model();
    bench.ok("fit set --size 64x64 --method padim --set dimensions=20 -o padim.blemish");
    for model in ["model.blemish", "padim.blemish"] {
        let native = bench.ok(&format!("verify {model}"));
        assert!(native.contains("last bit") && native.contains("noise"), "{native}");
        for engine in ["native", "rten", "burn"] {
            let line = format!("verify {model} --engine {engine} --json");
            let told: serde_json::Value = serde_json::from_str(&bench.ok(&line)).unwrap();
            assert_eq!(
                (told["passed"].as_bool(), told["is_exact"].as_bool()),
                (Some(true), Some(engine == "native"))
            );
        }
    }
    let (header, mut state) = blemish::file::format::read(&bench.path("model.blemish")).unwrap();
    let (shape, bank) = state.f32("bank", 2).map(|(shape, bank)| (shape.to_vec(), bank.to_vec())).unwrap();
    state.set_f32("bank", &shape, bank.iter().map(|value| value * 1.1).collect::<Vec<_>>());
    blemish::file::format::write(&bench.path("altered.blemish"), &header, &state).unwrap();
    let error = bench.fails("verify altered.blemish");
    assert!(error.contains("off by up to") && error.contains("%"), "{error}");
}

#[test]
fn a_monitor_warns_of_darker_images_and_says_when_it_watches_scores_alone() {
    let bench = Bench::with_model();
    bench.ok("data synth line --seed 5 --train 60 --test-good 1 --test-per-defect 1 --size 64x64");
    fs::create_dir(bench.path("dark")).unwrap();
    for file in fs::read_dir(bench.path("line/train/good")).unwrap().map(Result::unwrap).take(40) {
        let mut image = image::open(file.path()).unwrap().to_rgb8();
        image.iter_mut().for_each(|value| *value = (0.8 * f32::from(*value)) as u8);
        image.save(bench.path("dark").join(file.file_name())).unwrap();
    }
    let run = |line: &str| {
        let output = bench.command(line).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let quiet = run("predict model.blemish line/train --monitor line.json --monitor-reference 40");
    assert!(quiet.contains("no drift in 20 images") && !quiet.contains("only scores"), "{quiet}");
    let dark = run("predict model.blemish dark --monitor line.json");
    // A darker image has less contrast, too; whichever is found first.
    let is_found = ["are darker", "have less contrast"]
        .iter()
        .any(|what| dark.contains(&format!("warning: drift: images {what}")));
    assert!(is_found, "{dark}");
    // As a program that watched scores alone would have left it.
    let text = fs::read_to_string(bench.path("line.json")).unwrap();
    let mut monitor: serde_json::Value = serde_json::from_str(&text).unwrap();
    monitor["drift"].as_object_mut().unwrap().remove("streams");
    fs::write(bench.path("old.json"), monitor.to_string()).unwrap();
    let old = run("predict model.blemish dark --monitor old.json");
    assert!(old.contains("only scores are watched"), "{old}");
}

#[test]
fn a_monitor_warns_when_images_blur_and_goes_on_between_runs() {
    let bench = Bench::with_model();
    bench.ok("data synth line --seed 5 --train 60 --test-good 1 --test-per-defect 1 --size 64x64");
    let images = || {
        let mut paths: Vec<_> =
            fs::read_dir(bench.path("line/train/good")).unwrap().map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths
    };
    fs::create_dir(bench.path("blurred")).unwrap();
    for path in &images()[..20] {
        let image = image::imageops::blur(&image::open(path).unwrap().to_rgb8(), 2.0);
        image.save(bench.path("blurred").join(path.file_name().unwrap())).unwrap();
    }
    let run = |line: &str| {
        let output = bench.command(line).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let quiet = run("predict model.blemish line/train --monitor line.json --monitor-reference 30");
    assert!(quiet.contains("no drift in 30 images"), "{quiet}");
    let blurred = run("predict model.blemish blurred --monitor line.json");
    assert!(blurred.contains("warning: drift") && blurred.contains("clean or adjust"), "{blurred}");
    let later = run("predict model.blemish line/train/good --monitor line.json --json");
    assert!(later.contains("\"event\":\"monitor\"") && later.contains("\"drift\":{"), "{later}");
    bench.ok("fit line --size 64x64 -o other.blemish");
    assert!(bench.fails("predict other.blemish blurred --monitor line.json").contains("another model"));
    assert!(bench.fails("predict model.blemish blurred --monitor blurred").contains("blurred"));
    fs::write(bench.path("text.json"), "no monitor").unwrap();
    assert!(bench.fails("predict model.blemish blurred --monitor text.json").contains("another name"));
}
