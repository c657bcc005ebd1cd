//! Calibration, suspects and decisions of whole detectors.

use crate::support::{Bench, SIDE};
use blemish::data::Files;
use blemish::data::{Dataset, Sample};
use blemish::evaluate::{EvaluateOptions, evaluate};
use blemish::features::EngineOptions;
use blemish::metrics::{Calibration, Criterion, GroupedBy, Grouping, Rule, Source};
use blemish::monitor::{Monitor, Reference};
use blemish::verify::DecisionCheck;
use blemish::{
    CalibrationConfig, Detector, DetectorConfig, Error, FitOptions, Groups, Recalibration, Trim,
    file::format, find_suspects, recalibrate,
};
use serde_json::json;

fn without_calibration(config: &DetectorConfig) -> DetectorConfig {
    DetectorConfig {
        calibration: CalibrationConfig { folds: 0, ..CalibrationConfig::default() },
        ..config.clone()
    }
}

#[test]
fn calibration_leaves_the_model_as_it_is() {
    let bench = Bench::new(6);
    for config in bench.paths() {
        bench.saved(&bench.fit(&config));
        let (mut header, mut state) = format::read(&bench.path("saved.blemish")).unwrap();
        let calibration = header.calibration.take().unwrap();
        assert_eq!((calibration.images(), calibration.source), (6, Source::Folds { folds: 5, groups: None }));
        let plain = bench.fit(&without_calibration(&config));
        // What the calibration makes of the images of the verification record belongs to it.
        let (header_of_plain, mut state_of_plain) = {
            bench.saved(&plain);
            format::read(&bench.path("saved.blemish")).unwrap()
        };
        for state in [&mut state, &mut state_of_plain] {
            for name in ["verification.decisions", "verification.calibration"] {
                assert!(!state.split_off_prefix(name).tensors().is_empty());
            }
        }
        let bytes = |name: &str, header, state| {
            format::write(&bench.path(name), header, state).unwrap();
            std::fs::read(bench.path(name)).unwrap()
        };
        let (stripped, plain) = (bytes("a", &header, &state), bytes("b", &header_of_plain, &state_of_plain));
        assert!(stripped == plain, "{}", config.method);
    }
}

/// Each calibrating score is the one that a detector fitted without the image gives. PaDiM tells them without another fit, within the
/// factor that its documentation states.
#[test]
fn calibrating_scores_are_out_of_sample() {
    let bench = Bench::new(4);
    let patchcore = bench.configs().swap_remove(0);
    let padim = bench.config("padim", json!({"dimensions": 12, "precision": "single"}));
    for config in [patchcore, padim] {
        let calibration = bench.fit(&config).calibration().unwrap().clone();
        let plain = without_calibration(&config);
        let mut expected: Vec<f32> = (0..4)
            .map(|left_out| {
                let mut rest = bench.dataset.clone();
                let sample = rest.train.remove(left_out);
                let detector =
                    Detector::fit(&plain, &Files::training(&rest), &FitOptions::default()).unwrap();
                detector.score_file(&sample.path).unwrap().score
            })
            .collect();
        expected.sort_unstable_by(f32::total_cmp);
        let most = if config.method == "padim" { 1.5f32.sqrt() * 1.001 } else { 1.0 };
        for (found, expected) in calibration.image_scores.iter().zip(&expected) {
            let ratio = found / expected;
            assert!(ratio > 0.999 && ratio <= most, "{}: {found} for {expected}", config.method);
        }
    }
}

/// The same for groups: PaDiM tells without another fit how it would score the images of a group that it has not seen, within the factor that
/// its documentation states.
#[test]
fn padim_leaves_whole_groups_out_as_a_fit_without_them_would() {
    let bench = Bench::new(7);
    let config = bench.config("padim", json!({"dimensions": 4, "precision": "single"}));
    let mut grouped = bench.dataset.clone();
    for (number, sample) in grouped.train.iter_mut().enumerate() {
        sample.group = Some((number / 2).to_string());
    }
    let detector = Detector::fit(&config, &Files::training(&grouped), &FitOptions::default()).unwrap();
    let calibration = detector.calibration().unwrap();
    assert_eq!((calibration.groups(), calibration.source), (4, Source::Folds { folds: 4, groups: Some(4) }));
    assert!(calibration.origin().contains("leave one group out"), "{}", calibration.origin());
    let plain = without_calibration(&config);
    let mut expected = Vec::new();
    for group in 0..4 {
        let mut rest = grouped.clone();
        rest.train.retain(|sample| sample.group != Some(group.to_string()));
        let without = Detector::fit(&plain, &Files::training(&rest), &FitOptions::default()).unwrap();
        for sample in grouped.train.iter().filter(|sample| sample.group == Some(group.to_string())) {
            expected.push(without.score_file(&sample.path).unwrap().score);
        }
    }
    expected.sort_unstable_by(f32::total_cmp);
    for (found, expected) in calibration.image_scores.iter().zip(&expected) {
        let ratio = found / expected;
        assert!(ratio > 0.999 && ratio < (6.0f32 / 4.0).sqrt() * 1.001, "{found} for {expected}");
    }
}

/// The set with an image among the good ones that is half red.
fn with_a_bad_one(bench: &Bench) -> Dataset {
    let mut dataset = bench.dataset.clone();
    let path = dataset.train[2].path.clone();
    let mut image = image::open(&path).unwrap().to_rgb8();
    image.enumerate_pixels_mut().filter(|(x, _, _)| (*x as usize) < SIDE / 2).for_each(|(_, _, pixel)| {
        *pixel = image::Rgb([255, 0, 0]);
    });
    image.save(&path).unwrap();
    dataset.train.sort_by(|one, other| one.path.cmp(&other.path));
    dataset
}

#[test]
fn a_defect_among_the_good_images_is_the_first_suspect_and_can_be_trimmed() {
    let bench = Bench::new(8);
    let dataset = with_a_bad_one(&bench);
    let bad = dataset.train[2].path.clone();
    for config in bench.paths().iter().map(Bench::with_two_folds) {
        let found = find_suspects(&config, &Files::training(&dataset), &FitOptions::default(), 2).unwrap();
        assert_eq!((found.ranked.len(), &found.ranked[0].path), (8, &bad), "{}", config.method);
        assert!(found.ranked[0].deviations > 1.0 && found.ranked[1].score < found.ranked[0].score);
        let maps: Vec<bool> = found.ranked.iter().map(|one| one.map.is_some()).collect();
        assert_eq!(maps, [true, true, false, false, false, false, false, false]);

        let trimming = DetectorConfig { trim: Some(Trim::Count(1)), ..config.clone() };
        let trimmed = Detector::fit(&trimming, &Files::training(&dataset), &FitOptions::default()).unwrap();
        let names: Vec<_> = trimmed.trimmed().iter().map(|one| &one.path).collect();
        assert_eq!(names, [&bad]);
        // Exactly the detector of the other images, calibration and digest included.
        let mut rest = dataset.clone();
        rest.train.remove(2);
        let clean = Detector::fit(&config, &Files::training(&rest), &FitOptions::default()).unwrap();
        assert!(bench.saved(&trimmed) == bench.saved(&clean), "{}", config.method);
    }
}

#[test]
fn trimming_everything_is_refused() {
    let bench = Bench::new(3);
    let config = bench.configs().swap_remove(0);
    let all = DetectorConfig { trim: Some(Trim::Count(3)), ..config };
    let error = bench.try_fit(&all, &FitOptions::default()).err().unwrap().to_string();
    assert!(error.contains("3 of 3") && error.contains("trim fewer"), "{error}");
}

#[test]
fn new_thresholds_leave_scores_and_tensors_alone() {
    let bench = Bench::new(5);
    let config = bench.configs().swap_remove(0);
    let detector = bench.fit(&config);
    bench.saved(&detector);
    let (path, other) = (bench.path("saved.blemish"), bench.path("other.blemish"));
    let run = |request: &Recalibration<'_>| {
        recalibrate(&path, &other, request, &EngineOptions::default(), &EvaluateOptions::default())
    };
    let calibration = detector.calibration().unwrap();
    assert_eq!(calibration.image_threshold, calibration.image_scores.last().copied());
    assert_eq!(
        calibration.rule,
        Rule::FalseAlarm { rate: 1.0 / 6.0, asked: Some(0.01) },
        "the most five images can promise"
    );
    let (calibration, _) =
        run(&Recalibration { false_alarm: Some(0.4), ..Recalibration::default() }).unwrap();
    assert_eq!(calibration.image_threshold, Some(calibration.image_scores[3]));
    let loaded = Detector::load(&other, &EngineOptions::default()).unwrap();
    assert_eq!(loaded.calibration(), Some(&calibration));
    let first = bench.first_test_image();
    assert_eq!(loaded.score_file(first).unwrap(), detector.score_file(first).unwrap());
    assert!(
        loaded.verify(&EngineOptions::default()).unwrap().passed && loaded.identity() == detector.identity()
    );

    let good: Vec<Sample> =
        bench.dataset.test.iter().filter(|sample| sample.defect == "good").cloned().collect();
    let good = Files::new(good, "");
    let request = Recalibration { good: Some(&good), false_alarm: Some(0.4), ..Recalibration::default() };
    let (calibration, _) = run(&request).unwrap();
    assert_eq!((calibration.images(), calibration.source), (2, Source::GoodImages));

    let test = Files::test(&bench.dataset);
    let labelled = Some((&test as &dyn blemish::data::Source, Criterion::Recall { wanted: 1.0 }));
    let (calibration, _) = run(&Recalibration { labelled, ..Recalibration::default() }).unwrap();
    assert_eq!(calibration.images(), 5, "p-values still rest on the fit's scores");
    let Rule::Labelled { good: 2, defective, .. } = calibration.rule else {
        panic!("{:?}", calibration.rule)
    };
    let loaded = Detector::load(&other, &EngineOptions::default()).unwrap();
    let mut flagged = 0;
    let outcome = evaluate(
        &loaded,
        &Files::test(&bench.dataset),
        &EvaluateOptions::default(),
        &mut |index, scored, _| {
            let sample = &bench.dataset.test[index];
            flagged += usize::from(
                sample.defect != "good"
                    && loaded.calibration().unwrap().is_anomalous(scored.score) == Some(true),
            );
        },
    )
    .unwrap();
    assert_eq!(flagged, defective, "all labelled defects are found");
    assert_eq!(outcome.evaluation.decisions.unwrap().misses.count, 0);

    let wrong = run(&Recalibration { false_alarm: Some(1.5), ..Recalibration::default() }).unwrap_err();
    assert!(wrong.to_string().contains("false_alarm"));
    let one_kind = Some((&good as &dyn blemish::data::Source, Criterion::F1));
    let wrong = run(&Recalibration { labelled: one_kind, ..Recalibration::default() }).unwrap_err();
    assert!(matches!(wrong, Error::Calibration { .. }) && wrong.to_string().contains("defective"), "{wrong}");
}

#[test]
fn a_model_without_calibration_takes_one_from_good_images_only() {
    let bench = Bench::new(3);
    let config = bench.configs().swap_remove(0);
    let detector = bench.fit(&without_calibration(&config));
    assert!(detector.calibration().is_none());
    bench.saved(&detector);
    let path = bench.path("saved.blemish");
    let run = |request: &Recalibration<'_>| {
        recalibrate(&path, &path, request, &EngineOptions::default(), &EvaluateOptions::default())
    };
    let error = run(&Recalibration::default()).unwrap_err().to_string();
    assert!(error.contains("bring good images"), "{error}");
    let test = Files::test(&bench.dataset);
    let labelled = Some((&test as &dyn blemish::data::Source, Criterion::F1));
    let (calibration, _) = run(&Recalibration { labelled, ..Recalibration::default() }).unwrap();
    assert_eq!((calibration.source, calibration.images()), (Source::Labelled, 2));
    let scored = detector.score_file(bench.first_test_image()).unwrap();
    assert!(detector.decide(&scored, (SIDE, SIDE), 0.0).unwrap().is_none());
}

/// One flipped bit of a threshold, of a good score, or a rate that was never promised: the scores stay, the verification finds it.
#[test]
fn verification_finds_a_changed_threshold_and_a_changed_calibration() {
    let bench = Bench::new(5);
    let config = bench.configs().swap_remove(0);
    bench.saved(&bench.fit(&config));
    let (path, other) = (bench.path("saved.blemish"), bench.path("other.blemish"));
    let engine = EngineOptions::default();
    let verify = |path: &std::path::Path| Detector::load(path, &engine).unwrap().verify(&engine).unwrap();
    let intact = verify(&path);
    assert!(intact.passed && intact.decisions == DecisionCheck::Intact);
    assert!(
        intact
            .images
            .iter()
            .all(|image| image.decision.is_some() && image.decision == image.recorded_decision)
    );
    let changes: [fn(&mut Calibration); 4] = [
        |one| one.image_threshold = one.image_threshold.map(|value| 8.0 + value),
        |one| one.pixel_threshold = one.pixel_threshold.map(|value| f32::from_bits(value.to_bits() ^ 1)),
        |one| one.image_scores[2] = one.image_scores[1],
        |one| one.rule = Rule::FalseAlarm { rate: 0.001, asked: None },
    ];
    for (number, change) in changes.iter().enumerate() {
        let (mut header, state) = format::read(&path).unwrap();
        change(header.calibration.as_mut().unwrap());
        format::write(&other, &header, &state).unwrap();
        let altered = verify(&other);
        assert!(!altered.passed && altered.is_content_intact, "change {number}");
        assert_eq!(altered.decisions, DecisionCheck::Altered, "change {number}");
    }
    // Without a calibration nothing is decided, which is another decision.
    let (mut header, mut state) = format::read(&path).unwrap();
    header.calibration = None;
    format::write(&other, &header, &state).unwrap();
    assert_eq!(verify(&other).decisions, DecisionCheck::Altered);
    // A recalibration is what thresholds are changed by.
    let request = Recalibration { false_alarm: Some(0.4), ..Recalibration::default() };
    recalibrate(&path, &other, &request, &engine, &EvaluateOptions::default()).unwrap();
    assert!(verify(&other).passed);
    // A record of an older program says nothing of decisions, and is verified as it was.
    let (header, _) = format::read(&path).unwrap();
    for name in ["verification.decisions", "verification.calibration"] {
        state.split_off_prefix(name);
    }
    format::write(&other, &header, &state).unwrap();
    let older = verify(&other);
    assert!(older.passed && older.decisions == DecisionCheck::NotCovered);
    assert!(older.images.iter().all(|image| image.recorded_decision.is_none()));
}

/// 16 parts under three exposures each.
fn exposures(bench: &Bench, name: impl Fn(usize, usize) -> String) -> Vec<Sample> {
    let (folder, mut samples) = (bench.path("exposures"), Vec::new());
    std::fs::create_dir_all(&folder).unwrap();
    for (part, sample) in bench.dataset.train.iter().enumerate() {
        let image = image::open(&sample.path).unwrap().to_rgb8();
        for exposure in 0..3 {
            let mut bright = image.clone();
            let gain = 0.7 + 0.15 * exposure as f32;
            bright.iter_mut().for_each(|value| *value = (gain * f32::from(*value)) as u8);
            let path = folder.join(name(part, exposure));
            bright.save(&path).unwrap();
            samples.push(Sample::unlabelled(&path));
        }
    }
    samples.sort_by(|one, other| one.path.cmp(&other.path));
    samples
}

#[test]
fn exposures_of_a_part_are_found_left_out_together_and_counted_as_one() {
    let bench = Bench::new(16);
    let images = exposures(&bench, |part, exposure| {
        format!("exp{exposure}_num_{}.png", 1000 + 100 * part + 7 * exposure)
    });
    let fit = |config: &DetectorConfig, groups: Groups| {
        let calibration = CalibrationConfig { false_alarm: 0.05, groups, ..CalibrationConfig::default() };
        let config = DetectorConfig { calibration, ..config.clone() };
        Detector::fit(&config, &Files::new(images.clone(), ""), &FitOptions::default()).unwrap()
    };
    let padim = bench.config("padim", json!({"dimensions": 12, "precision": "single"}));
    for config in [bench.configs().swap_remove(0), padim] {
        let found = fit(&config, Groups::Auto);
        let calibration = found.calibration().unwrap();
        assert_eq!(
            calibration.grouping,
            Some(Grouping { groups: 16, by: GroupedBy::Names }),
            "{}",
            config.method
        );
        assert_eq!(calibration.rule, Rule::FalseAlarm { rate: 1.0 / 17.0, asked: Some(0.05) });
        assert!(calibration.promise().contains("16 groups of good images can promise; 19 would allow 5 %"));
        // Told by a pattern or a list they are the same; the model is whatever the groups.
        let pattern = fit(&config, Groups::Pattern("exp\\d_num_(\\d*?)\\d\\d\\.png".parse().unwrap()));
        let told = pattern.calibration().unwrap();
        assert_eq!(told.grouping, Some(Grouping { groups: 16, by: GroupedBy::Pattern }), "{}", config.method);
        assert_eq!(told.image_scores, calibration.image_scores, "{}", config.method);
        let none = fit(&config, Groups::None);
        let torn = none.calibration().unwrap();
        assert_eq!((torn.grouping, torn.groups()), (None, 48));
        assert_ne!(torn.image_scores, calibration.image_scores, "{}: other folds", config.method);
        assert_eq!(none.identity(), found.identity());
    }
    let wrong = CalibrationConfig {
        groups: Groups::Pattern("shot(\\d)".parse().unwrap()),
        ..CalibrationConfig::default()
    };
    let config = DetectorConfig { calibration: wrong, ..bench.configs().swap_remove(0) };
    let error =
        Detector::fit(&config, &Files::new(images.clone(), ""), &FitOptions::default()).err().unwrap();
    assert!(error.to_string().contains("fits none of the names"), "{error}");
}

/// New good images that come in groups promise what their groups can; they leave the reference of a monitor that watches images.
#[test]
fn a_recalibration_finds_groups_and_keeps_how_its_images_look() {
    let bench = Bench::new(16);
    let config = bench.configs().swap_remove(0);
    bench.saved(&bench.fit(&config));
    let path = bench.path("saved.blemish");
    let images = Files::new(exposures(&bench, |part, exposure| format!("part{part:02}-{exposure}.png")), "");
    let request = Recalibration { good: Some(&images), false_alarm: Some(0.1), ..Recalibration::default() };
    let (engine, options) = (EngineOptions::default(), EvaluateOptions::default());
    let (calibration, _) = recalibrate(&path, &path, &request, &engine, &options).unwrap();
    assert_eq!(calibration.grouping, Some(Grouping { groups: 16, by: GroupedBy::Names }));
    assert_eq!((calibration.images(), calibration.statistics.len()), (48, 48));
    let detector = Detector::load(&path, &engine).unwrap();
    let open = |name: &str, detector: &Detector| {
        Monitor::open(&bench.path(name), detector, Reference::Auto, 0.01).unwrap().drift().watches_images()
    };
    assert!(open("monitor.json", &detector));
    // Without statistics, as older programs left it, scores alone are watched.
    let (mut header, state) = format::read(&path).unwrap();
    header.calibration.as_mut().unwrap().statistics.clear();
    format::write(&path, &header, &state).unwrap();
    assert!(!open("other.json", &Detector::load(&path, &engine).unwrap()));
}

#[test]
fn a_calibration_that_makes_no_sense_is_corrupt() {
    let bench = Bench::new(3);
    bench.saved(&bench.fit(&bench.configs()[0]));
    let (mut header, state) = format::read(&bench.path("saved.blemish")).unwrap();
    header.calibration.as_mut().unwrap().map_maxima.clear();
    let path = bench.path("broken.blemish");
    format::write(&path, &header, &state).unwrap();
    let error = Detector::load(&path, &EngineOptions::default()).err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}
