//! Several trainings of one fit, interrupted and resumed.

use blemish::data::Files;
use blemish::data::open_dataset;
use blemish::data::synth::{Look, SynthOptions, write_synthetic_set};
use blemish::features::BackboneSpec;
use blemish::{
    CalibrationConfig, Detector, DetectorConfig, Error, FitOptions, Observer, Silent, TrainingOptions,
    registry,
};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cancels after so many steps of progress.
struct Impatient {
    steps: AtomicU64,
    after: u64,
}

impl Observer for Impatient {
    fn advance(&self, steps: u64) {
        self.steps.fetch_add(steps, Ordering::Relaxed);
    }
    fn is_cancelled(&self) -> bool {
        self.steps.load(Ordering::Relaxed) >= self.after
    }
}

fn training(checkpoint: &Path, resume: bool) -> TrainingOptions {
    TrainingOptions { checkpoint: Some(checkpoint.to_owned()), resume, ..TrainingOptions::default() }
}

#[test]
fn each_model_of_a_fit_resumes_from_its_own_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("fabric");
    let small = SynthOptions {
        train: 3,
        test_good: 1,
        test_per_defect: 1,
        height: 64,
        width: 64,
        ..SynthOptions::new(Look::Fabric)
    };
    write_synthetic_set(&set, &small, &|_, _| {}).unwrap();
    let dataset = open_dataset(&set, &Default::default()).unwrap();
    let pairs = [("depth", "1"), ("width", "8"), ("steps", "10"), ("batch", "2")];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    // A model for each input size, then for each backbone.
    let other = BackboneSpec { layers: vec!["stage3".into()], ..BackboneSpec::default() };
    for (input_sizes, ensemble) in [(vec![64, 96], vec![]), (vec![64], vec![other])] {
        let config = DetectorConfig {
            method: "glow".into(),
            settings: registry::method("glow").unwrap().parse(&pairs).unwrap(),
            input_sizes,
            ensemble,
            calibration: CalibrationConfig { folds: 0, ..CalibrationConfig::default() },
            ..DetectorConfig::default()
        };
        let path = folder.path().join(format!("{}.checkpoint", config.ensemble.len()));
        let fit = |observer, resume| {
            let options = FitOptions { observer, training: training(&path, resume), ..FitOptions::default() };
            Detector::fit(&config, &Files::training(&dataset), &options)
        };
        // Two extractions of 3 images, the first training, what is measured between, and part of the second training.
        let observer = Impatient { steps: AtomicU64::new(0), after: 3 + 10 + 3 + 3 + 5 };
        assert!(matches!(fit(&observer, false), Err(Error::Interrupted)));
        let names = training(&path, true).checkpoints().len();
        assert_eq!(names, 2, "one checkpoint a model");
        let (resumed, whole) = (fit(&Silent, true).unwrap(), fit(&Silent, false).unwrap());
        let score = |detector: &Detector| detector.score_file(&dataset.test[0].path).unwrap();
        assert_eq!(score(&resumed), score(&whole));
    }
}
