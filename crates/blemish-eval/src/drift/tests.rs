//! Known values, and simulations of false alarms and delays.

use super::ranks::normal_quantile;
use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Standard normal numbers, a stream a run.
fn normal(run: u64) -> impl FnMut() -> f32 {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    random.set_stream(run);
    move || normal_quantile(random.random_range(f64::EPSILON..1.0)) as f32
}

/// Scores as methods give them: positive and skewed to the right.
fn skewed(z: f32) -> f32 {
    3.0 + (0.4 * z).exp()
}

/// Image at which a monitor with a reference of `reference` warns: `before` good images, then moved by `shift` standard deviations
/// (before the skew), up to `limit` images.
fn alarm(run: u64, reference: usize, before: u64, shift: f32, limit: u64) -> Option<Drift> {
    let mut draw = normal(run);
    let options = DriftOptions { reference, false_alarm: 0.05 };
    let mut monitor = DriftMonitor::new(options).unwrap();
    for _ in 0..reference {
        monitor.observe(skewed(draw())).unwrap();
    }
    (0..limit).find_map(|image| {
        let moved = if image < before { 0.0 } else { shift };
        monitor.observe(skewed(draw() + moved)).unwrap()
    })
}

#[test]
fn normal_quantiles_are_those_of_the_tables() {
    for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.99, 2.326_347_874), (0.001, -3.090_232_306)] {
        assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}");
    }
}

#[test]
fn bins_keep_the_order_and_round_by_less_than_a_ten_thousandth() {
    let scores = [-7.0f32, -1.0, -1e-3, 0.0, 1e-30, 0.5, 1.0, 1.0002, 3.0, 1e30];
    assert!(scores.windows(2).all(|pair| bin(pair[0]) < bin(pair[1])));
    assert_eq!(bin(-0.0), bin(0.0));
    assert_eq!(bin(1.000_01), bin(1.0));
}

/// A bet that wins with certainty gains its factor at every step; stakes of all starts sum to 1.
#[test]
fn capital_starts_at_1_and_keeps_its_average() {
    let mut evidence = Evidence::new(1);
    assert_eq!(evidence.capital(), 1.0);
    for image in 1..=1000 {
        evidence.bet(image, |_| 0.0);
        assert!((evidence.capital() - 1.0).abs() < 1e-4);
    }
    // First step: the stake is 1 - 1 / (1 + ln 2), doubled.
    let mut doubled = Evidence::new(1);
    doubled.bet(1, |_| 2f64.ln());
    let waiting = 1.0 / (1.0 + 2f64.ln());
    assert!((doubled.capital() - (2.0 * (1.0 - waiting) + waiting)).abs() < 1e-6);
}

/// With a bound of 5 %, at most 5 % of quiet streams may ever warn; allowed is what 400 streams exceed once in 1,000 times.
#[test]
fn quiet_streams_warn_no_more_often_than_the_bound() {
    let alarms = (0..400).filter(|&run| alarm(run, 50, 0, 0.0, 600).is_some()).count();
    assert!(alarms <= 34, "{alarms} of 400");
}

/// Scores that jump between two values tie all the time; defects at a rate of one in ten are set aside.
#[test]
fn ties_and_defects_raise_no_alarm() {
    let mut alarms = 0;
    for run in 0..100 {
        let mut draw = normal(1000 + run);
        let mut monitor = DriftMonitor::new(DriftOptions::default()).unwrap();
        for image in 0..600 {
            let score = match draw() {
                _ if image > 100 && image % 10 == 0 => 50.0,
                z if z > 1.0 => 2.0,
                z => 1.0 + (z > 0.0) as u8 as f32 * 0.5,
            };
            alarms += usize::from(monitor.observe(score).unwrap().is_some());
        }
        assert!(monitor.set_aside() >= 45);
    }
    assert!(alarms <= 5, "{alarms} of 100 at a bound of 1 %");
}

#[test]
fn moves_are_found_soon_with_their_direction_and_start() {
    for (shift, most) in [(0.5, 150), (1.0, 60), (2.0, 40), (-0.5, 150), (-1.0, 40), (-2.0, 20)] {
        let mut delays: Vec<u64> = (0..60)
            .map(|run| match alarm(run, 100, 500, shift, 1500) {
                Some(drift) if drift.image > 500 => {
                    if shift.abs() >= 1.0 {
                        let kind = if shift > 0.0 { DriftKind::Higher } else { DriftKind::Lower };
                        assert!(drift.kind == kind || drift.kind == DriftKind::SetAside, "{drift:?}");
                        assert!(drift.since.abs_diff(501) < 200, "{drift:?}");
                    }
                    drift.image - 500
                }
                _ => 1000,
            })
            .collect();
        delays.sort_unstable();
        println!("shift {shift}: median delay {}", delays[30]);
        assert!(delays[30] <= most, "shift {shift}: median delay {}", delays[30]);
    }
}

/// Statistics of an image as cameras give them: correlated, of all signs, with shares of black and white that are often 0.
fn statistics(draw: &mut impl FnMut() -> f32) -> ImageStatistics {
    let light = 0.4 + 0.05 * draw();
    let mut values = [0f32; 11];
    for value in &mut values {
        *value = light + 0.02 * draw();
    }
    values[8] = -3.0 + 0.2 * draw();
    (values[9], values[10]) = ((0.01 * draw()).max(0.0), (0.01 * draw()).max(0.0));
    ImageStatistics { values }
}

/// Image at which a monitor of scores and images warns: `before` images as they were, then changed, up to `limit` images.
fn alarm_of_images(run: u64, before: u64, limit: u64, change: impl Fn(&mut [f32; 11])) -> Option<Drift> {
    let mut draw = normal(run);
    let mut monitor = DriftMonitor::new(DriftOptions { reference: 50, false_alarm: 0.05 }).unwrap();
    (0..50 + limit).find_map(|image| {
        let score = skewed(draw());
        let mut one = statistics(&mut draw);
        if image >= 50 + before {
            change(&mut one.values);
        }
        monitor.observe_image(score, Some(&one)).unwrap()
    })
}

/// As for scores alone: of 150 streams at a bound of 5 %, more than 16 warn less than once in 1,000 times.
#[test]
fn eleven_statistics_beside_scores_keep_the_bound() {
    let alarms = (0..150).filter(|&run| alarm_of_images(run, 0, 300, |_| {}).is_some()).count();
    assert!(alarms <= 16, "{alarms} of 150");
}

#[test]
fn changes_of_the_camera_are_found_and_named_although_scores_stay() {
    type Change = fn(&mut [f32; 11]);
    let darker: Change = |values| values[..3].iter_mut().for_each(|mean| *mean -= 0.1);
    let contrast: Change = |values| values[3..6].iter_mut().for_each(|spread| *spread += 0.15);
    let cast: Change = |values| values[6] += 0.15;
    let blurred: Change = |values| values[8] -= 0.5;
    for (kind, change) in [
        (DriftKind::Darker, darker),
        (DriftKind::HigherContrast, contrast),
        (DriftKind::ColourCast, cast),
        (DriftKind::Blurred, blurred),
    ] {
        for run in 0..5 {
            let drift = alarm_of_images(run, 100, 300, change).expect("a change of two deviations is found");
            assert!(drift.kind == kind && drift.kind.is_of_images(), "{drift:?} is not {kind:?}");
            assert!((101..=140).contains(&drift.image), "{kind:?}: {drift:?}");
        }
    }
}

#[test]
fn images_are_watched_only_if_all_of_the_reference_have_statistics() {
    let mut draw = normal(7);
    let one = statistics(&mut draw);
    let mut monitor = DriftMonitor::new(DriftOptions { reference: 20, ..DriftOptions::default() }).unwrap();
    let mut partly = monitor.clone();
    for image in 0..20 {
        monitor.observe_image(skewed(draw()), Some(&one)).unwrap();
        partly.observe_image(skewed(draw()), (image > 0).then_some(&one)).unwrap();
    }
    assert!(monitor.watches_images() && !partly.watches_images());
    let text = serde_json::to_string(&monitor).unwrap();
    assert_eq!(serde_json::from_str::<DriftMonitor>(&text).unwrap(), monitor);
    // An image without statistics is watched by its score.
    assert!(monitor.observe(3.0).is_ok());
    // A monitor of an earlier program knows nothing of them.
    let text = serde_json::to_string(&partly).unwrap();
    assert!(!text.contains("streams"), "{text}");
    let reference: Vec<f32> = (0..30).map(|_| skewed(draw())).collect();
    let options = DriftOptions::default();
    let of_images = DriftMonitor::with_reference(options, &reference, &[one; 30], None).unwrap();
    assert!(of_images.watches_images());
    assert!(!DriftMonitor::with_reference(options, &reference, &[], None).unwrap().watches_images());
}

/// Prints the table of BENCHMARKS.md.
#[test]
#[ignore = "minutes: cargo test --release -p blemish-eval drift_table -- --ignored --nocapture"]
fn drift_table() {
    for (reference, streams, length) in [(50, 2000, 2000), (200, 2000, 2000), (100, 100, 20_000)] {
        let alarms = (0..streams).filter(|&run| alarm(run, reference, 0, 0.0, length).is_some()).count();
        println!(
            "reference {reference}: {alarms} of {streams} quiet streams of {length} images warned, bound 5 %"
        );
    }
    for reference in [100, 300] {
        for before in [0, 200, 2000] {
            for shift in [-1.0, 0.5, 1.0, 2.0] {
                let end = before + 2000;
                let mut delays: Vec<u64> = (0..100)
                    .map(|run| alarm(run, reference, before, shift, end).map_or(2000, |drift| drift.image))
                    .map(|image| image.saturating_sub(before))
                    .collect();
                delays.sort_unstable();
                println!(
                    "reference {reference}, {before} quiet images, shift {shift}: median delay {}, 90 % within {}",
                    delays[50], delays[90]
                );
            }
        }
    }
}

#[test]
fn a_jump_beyond_the_limit_is_found_although_it_is_set_aside() {
    let mut draw = normal(5);
    let reference: Vec<f32> = (0..200).map(|_| skewed(draw())).collect();
    let mut monitor =
        DriftMonitor::with_reference(DriftOptions::default(), &reference, &[], Some(9.0)).unwrap();
    let mut found = None;
    for image in 0..320 {
        let score = if image < 300 { skewed(draw()) } else { 20.0 };
        found = found.or(monitor.observe(score).unwrap());
    }
    let drift = found.expect("twenty anomalous images in a row are a change");
    assert_eq!(drift.kind, DriftKind::SetAside);
    assert!(drift.image <= 315 && drift.since >= 295, "{drift:?}");
}

#[test]
fn a_restart_changes_nothing() {
    let mut draw = normal(3);
    let mut whole = DriftMonitor::new(DriftOptions { reference: 30, ..DriftOptions::default() }).unwrap();
    let mut parts = whole.clone();
    for image in 0..200 {
        let score = skewed(draw() + if image > 150 { 3.0 } else { 0.0 });
        let text = serde_json::to_string(&parts).unwrap();
        parts = serde_json::from_str(&text).unwrap();
        assert_eq!(whole.observe(score).unwrap(), parts.observe(score).unwrap());
    }
    assert_eq!(whole, parts);
    assert!(whole.drift().is_some());
}

#[test]
fn wrong_settings_and_scores_are_refused() {
    for options in [
        DriftOptions { false_alarm: 0.0, ..DriftOptions::default() },
        DriftOptions { false_alarm: f64::NAN, ..DriftOptions::default() },
        DriftOptions { reference: 19, ..DriftOptions::default() },
    ] {
        assert!(DriftMonitor::new(options).is_err());
    }
    let mut monitor = DriftMonitor::new(DriftOptions::default()).unwrap();
    assert!(monitor.observe(f32::NAN).is_err());
    assert!(DriftMonitor::with_reference(DriftOptions::default(), &[1.0; 5], &[], None).is_err());
}
