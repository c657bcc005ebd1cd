//! `blemish export` as its users meet it, and its graphs in the browser.

use crate::support::{Bench, in_browser, text};
use std::path::Path;

/// The `dist` folder of onnxruntime-web, such as `npm install onnxruntime-web` makes.
const ORT_WEB: &str = "BLEMISH_TEST_ORT_WEB";

#[test]
fn a_model_leaves_as_a_graph_that_is_proved_and_can_be_checked_again() {
    let bench = Bench::with_model();
    let said = bench.ok("export model.blemish --selftest-images proof");
    assert!(said.contains("wrote model.onnx") && said.contains("proved") && said.contains("f32"), "{said}");
    assert!(bench.path("proof/selftest.json").is_file() && bench.path("proof/picture-1.png").is_file());
    let said = bench.ok("export model.blemish --check model.onnx --json");
    let checked: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(checked["parity"]["passed"], true);
    assert!(bench.ok("info model.onnx").contains("image"));
    // Cut short, as copies are.
    let bytes = std::fs::read(bench.path("model.onnx")).unwrap();
    std::fs::write(bench.path("cut.onnx"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(bench.fails("export model.blemish --check cut.onnx").contains("damaged"));
    assert!(bench.fails("export model.blemish -o model.blemish").contains("model.blemish"));
    assert!(bench.misused("export model.blemish --input big").contains("1920x1080"));
}

#[test]
fn methods_without_a_graph_say_so_before_any_work() {
    let bench = Bench::with_model();
    bench.ok("fit set --size 64x64 --method filter --set bank=sobel --folds 0 -o filter.blemish");
    let said = bench.misused("export filter.blemish");
    assert!(said.contains("no graph") && !bench.path("filter.onnx").exists(), "{said}");
    assert!(bench.ok("methods filter").contains("no export: "));
    assert!(bench.ok("methods patchcore").contains("can update, merge, export"));
    let listed: serde_json::Value = serde_json::from_str(&bench.ok("methods padim --json")).unwrap();
    assert!(listed["no_export"].is_null() && listed["abilities"].to_string().contains("export"));
}

#[test]
fn the_page_in_the_browser_scores_as_the_model() {
    let Some(dist) = std::env::var_os(ORT_WEB) else {
        println!("skipped: {ORT_WEB} names no folder with onnxruntime-web");
        return;
    };
    let bench = Bench::with_model();
    for input in ["tensor", "any"] {
        let line = format!("export model.blemish -o {input}.onnx --input {input} --selftest-images {input}");
        let output = bench.command(&line).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let (graph, folder) = (bench.path(&format!("{input}.onnx")), bench.path(input));
        let arguments = [Path::new(&dist), &graph, &folder];
        let Some(seen) = in_browser("../examples/browser/test.mjs", &arguments) else { return };
        println!("{input}: {seen}");
        assert!(seen.contains("scores as the model does"), "{seen}");
    }
}
