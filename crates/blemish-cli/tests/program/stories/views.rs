//! Input sizes, tiles, ensembles and backbones of fixed size.

use super::json;
use crate::support::{Bench, write_made_up_weights, write_onnx_of_one_size};
use std::fs;

#[test]
fn an_onnx_file_for_one_size_is_fitted_at_that_size() {
    let bench = Bench::new();
    let layers = write_onnx_of_one_size(&bench.path("fixed.onnx"));
    bench.ok("data synth set --train 4 --test-good 1 --test-per-defect 1 --size 128x128");
    let fit = format!("fit set --backbone fixed.onnx --layers {layers} --folds 0 -o fixed.blemish");
    bench.ok(&fit);
    let header = json(&bench.ok("info fixed.blemish --json"));
    assert!(header.to_string().contains("96") && header.to_string().contains("64"), "{header}");
    bench.ok("predict fixed.blemish set/train/good");
    let error = bench.fails(&format!("{fit} --size 96x64"));
    assert!(error.contains("images of 64x96 only") && error.contains("--size 64x96"), "{error}");
    bench.ok(&format!("{fit} --size 64x96"));
}

#[test]
fn large_images_are_scored_in_tiles_at_their_own_size() {
    let bench = Bench::new();
    bench.ok("data synth set --train 4 --test-good 2 --test-per-defect 1 --size 160x96");
    for (options, name) in [
        ("--tile 64x64 --tile-overlap 16", "shared"),
        ("--method padim --set dimensions=20 --tile 64x64 --tile-models each", "each"),
        ("--tile 64x64 --tiles-per-image 2 --multi-scale 96,64", "pyramid"),
    ] {
        bench.ok(&format!("fit set {options} -o {name}.blemish"));
        let one = bench.ok(&format!("predict {name}.blemish set/test --threads 1 --batch-size 1"));
        assert_eq!(one, bench.ok(&format!("predict {name}.blemish set/test --threads 2 --batch-size 5")));
        bench.ok(&format!("predict {name}.blemish set/test/good -o {name}"));
        for (folder, kind) in [("maps", "tiff"), ("overlays", "png")] {
            let path = bench.pictures(&format!("{name}/{folder}")).swap_remove(0);
            assert!(path.extension().unwrap() == kind);
            let size = blemish::data::read_size(&path, &Default::default()).unwrap();
            assert_eq!(size, (96, 160), "{name} {folder}");
        }
        bench.ok(&format!("eval {name}.blemish set --json metrics.json"));
        let metrics = json(&fs::read_to_string(bench.path("metrics.json")).unwrap());
        assert!(metrics["pixel"]["auroc"].as_f64().unwrap() > 0.6, "{name}: {metrics}");
    }
    assert!(bench.ok("info each.blemish --json").contains("\"models\": \"each\""));
}

#[test]
fn an_ensemble_is_fitted_scored_and_told_of() {
    let bench = Bench::with_model();
    write_made_up_weights(&bench.path("w.safetensors"));
    let fit = "fit set --size 64x64 --ensemble squeezenet1.1:w.safetensors";
    let output = bench.command(&format!("{fit} --progress plain -o both.blemish")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for name in ["efficientnet_lite0", "squeezenet1_1"] {
        assert!(told.contains(&format!("{name}: extracting features")), "{name} in {told}");
        assert!(bench.ok("info both.blemish").contains(&format!("through       {name} at")));
    }
    bench.ok("verify both.blemish");
    bench.ok("eval both.blemish set --report report.html --json metrics.json");
    assert!(fs::read_to_string(bench.path("report.html")).unwrap().contains("squeezenet1_1 at"));
    let metrics = json(&fs::read_to_string(bench.path("metrics.json")).unwrap());
    assert!(metrics["pixel"]["auroc"].as_f64().unwrap() > 0.6, "{metrics}");
    for (line, words) in [
        ("fit set --ensemble efficientnet-lite0", "twice"),
        ("fit set --ensemble squeezenet1.1:absent.pth", "absent.pth"),
        ("fit set --ensemble squeezenet1.1", "--ensemble squeezenet1_1:FILE"),
        ("fit set --ensemble net", "there is no network"),
        ("fit set --ensemble mine.onnx", "make it the --backbone"),
        ("fit set --method filter --ensemble squeezenet1.1:w.safetensors", "uses no backbone"),
        (
            "fit set --method padim --updatable --ensemble squeezenet1.1:w.safetensors",
            "leave --updatable out",
        ),
        ("update both.blemish set/test/good", "through several backbones"),
        ("merge both.blemish both.blemish -o merged.blemish", "through several backbones"),
    ] {
        let error = bench.fails(line);
        assert!(error.contains(words), "`{line}` says {error}");
    }
}

#[test]
fn impossible_tiles_say_what_would_do() {
    let bench = Bench::with_model();
    assert!(bench.fails("fit set --tile 64x64 --tile-overlap 64").contains("overlap smaller"));
    assert!(bench.fails("fit set --tile 8x8").contains("16 to 4096"));
    bench.ok("fit set --tile 256x256 -o small.blemish");
    fs::create_dir(bench.path("other")).unwrap();
    image::GrayImage::new(64, 64).save(bench.path("other/1.png")).unwrap();
    image::GrayImage::new(64, 80).save(bench.path("other/2.png")).unwrap();
    let error = bench.fails("fit other --method padim --tile 32x32 --tile-models each");
    assert!(error.contains("2.png") && error.contains("share one model"), "{error}");
    assert_eq!(bench.command("fit set --tile-overlap 3").output().unwrap().status.code(), Some(2));
    let output = bench.command("predict model.blemish other/2.png").output().unwrap();
    assert!(output.status.success());
}

#[test]
fn a_fit_without_a_size_chooses_by_the_images_and_fast_is_the_small_one() {
    let bench = Bench::new();
    bench.ok("data synth set --train 3 --test-good 1 --test-per-defect 1 --size 300x320");
    let output = bench.command("fit set --folds 0 -o chosen.blemish").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("input: 384x384 and 256x256, since"), "{told}");
    let header = json(&bench.ok("info chosen.blemish --json"));
    assert_eq!(header["views"].as_array().map(Vec::len), Some(2), "{header}");
    let refused = bench.fails("update chosen.blemish set/test/good");
    assert!(refused.contains("--updatable"), "{refused}");
    // What is said on the command line is done, and done silently.
    let models = ["--fast", "--size 256x256"].map(|size| {
        let output = bench.command(&format!("fit set --folds 0 {size} -o small.blemish")).output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("input:"));
        fs::read(bench.path("small.blemish")).unwrap()
    });
    assert!(models[0] == models[1]);
    bench.ok("fit set --folds 0 --updatable -o one.blemish");
    bench.ok("update one.blemish set/test/good");
    assert_eq!(bench.command("fit set --fast --size 64x64").output().unwrap().status.code(), Some(2));
}
