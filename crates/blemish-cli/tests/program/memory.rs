//! The program's lines are the library's verdicts.

use crate::support::Bench;
use blemish::Detector;
use blemish::data::decode_image;
use blemish::features::EngineOptions;
use std::sync::Arc;

#[test]
fn each_line_is_the_verdict_of_the_image_in_memory() {
    let bench = Bench::new();
    bench.ok("data synth set --train 6 --test-good 2 --test-per-defect 1 --size 64x64");
    bench.ok("fit set --size 64x64 --false-alarm 0.3 -o model.blemish");
    let lines = bench.ok("predict model.blemish set/test");
    let model = std::fs::read(bench.path("model.blemish")).unwrap();
    let detector = Detector::from_bytes(Arc::new(model), &EngineOptions::default()).unwrap();
    let mut seen = 0;
    for line in lines.lines() {
        let found: blemish::Verdict = serde_json::from_str(line).unwrap();
        let encoded = std::fs::read(bench.path(&found.path)).unwrap();
        let image = decode_image(&encoded, &detector.transform().read_options()).unwrap();
        let verdict = detector.judge(&found.path, &image).unwrap();
        assert_eq!(serde_json::to_string(&verdict).unwrap(), line);
        assert!(verdict.decision.is_some());
        seen += 1;
    }
    assert!(seen > 2, "{lines}");
}
