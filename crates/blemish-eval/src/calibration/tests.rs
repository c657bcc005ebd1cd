//! Hand-checked numbers, the equivalence of p-values and thresholds, and simulations of what is promised.

use super::conformal::{likely_below, lowest_rate, needed, p_value, threshold};
use super::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn one_to_ten() -> Vec<f32> {
    (1..=10).map(|score| score as f32).collect()
}

fn good(scores: &[f32]) -> Vec<Extremes> {
    scores.iter().map(|&score| Extremes { image_score: score, map_maximum: score / 2.0 }).collect()
}

/// The numbers of the specification, section 10.
#[test]
fn p_values_and_thresholds_of_one_to_ten_are_those_by_hand() {
    let scores = one_to_ten();
    assert_eq!(p_value(&scores, 10, 5.0), 7.0 / 11.0);
    assert_eq!(p_value(&scores, 10, 10.0), 2.0 / 11.0);
    assert_eq!(p_value(&scores, 10, 11.0), 1.0 / 11.0);
    assert_eq!(p_value(&scores, 10, 0.0), 1.0);
    assert_eq!(threshold(&scores, 10, 0.1), Some(10.0));
    assert_eq!(threshold(&scores, 10, 0.2), Some(9.0));
    assert_eq!(threshold(&scores, 10, 0.05), None);
    assert_eq!(threshold(&[], 0, 0.5), None);
}

#[test]
fn as_many_images_are_needed_as_the_rate_says() {
    for (rate, images) in [(0.1, 9), (0.05, 19), (0.01, 99), (0.29, 3), (0.5, 1), (0.001, 999)] {
        assert_eq!(needed(rate), images, "{rate}");
        let scores = vec![1.0; images];
        assert!(
            threshold(&scores, images, rate).is_some() && threshold(&scores[1..], images - 1, rate).is_none(),
            "{rate}"
        );
    }
    assert_eq!(lowest_rate(99), 0.01);
}

/// One of n = 1: the rate is uniform, so 95 % of thresholds stay below 0.95. Two of 202: Beta(2, 201), by R's `qbeta(0.95, 2, 201)`.
#[test]
fn the_rate_of_one_threshold_has_the_quantiles_of_its_beta_distribution() {
    assert!((likely_below(1, 0.5, 0.95) - 0.95).abs() < 1e-9);
    assert!((likely_below(99, 0.01, 0.95) - (1.0 - 0.05f64.powf(1.0 / 99.0))).abs() < 1e-9);
}

proptest! {
    #[test]
    fn a_score_is_above_the_threshold_exactly_when_its_p_value_is_at_most_the_rate(
        mut scores in prop::collection::vec(0i32..20, 1..60),
        score in -1i32..21,
        rate in 1u32..100,
        share in 1usize..5,
    ) {
        scores.sort_unstable();
        let scores: Vec<f32> = scores.into_iter().map(|score| score as f32).collect();
        let rate = f64::from(rate) / 100.0;
        let groups = scores.len().div_ceil(share);
        let flagged = threshold(&scores, groups, rate).is_some_and(|threshold| score as f32 > threshold);
        prop_assert_eq!(flagged, p_value(&scores, groups, score as f32) <= rate + 1e-12);
    }
}

/// The guarantee: over draws of calibrating and new images the mean false-alarm rate is floor((n + 1) a) / (n + 1) <= a, whatever the
/// distribution, here a heavy-tailed one; and a share of 95 % of thresholds keeps below [`likely_below`].
#[test]
fn simulated_false_alarms_keep_the_promise() {
    const DRAWS: usize = 10_000;
    for (images, rate) in [(999, 0.001), (2500, 0.001), (99, 0.01), (202, 0.01), (40, 0.05), (202, 0.05)] {
        let mut random = ChaCha8Rng::seed_from_u64(images as u64);
        let bound = likely_below(images, rate, 0.95);
        let (mut sum, mut squares, mut kept) = (0.0, 0.0, 0);
        for _ in 0..DRAWS {
            // For a Pareto tail P(S > s) = 1 / s the true rate of a threshold is its inverse.
            let mut scores: Vec<f32> =
                (0..images).map(|_| (1.0 / (1.0 - random.random::<f64>())) as f32).collect();
            scores.sort_unstable_by(f32::total_cmp);
            let true_rate = 1.0 / f64::from(threshold(&scores, images, rate).unwrap());
            sum += true_rate;
            squares += true_rate * true_rate;
            kept += usize::from(true_rate <= bound);
        }
        let mean = sum / DRAWS as f64;
        let error = ((squares / DRAWS as f64 - mean * mean) / DRAWS as f64).sqrt();
        let promised = ((images + 1) as f64 * rate + 1e-9).floor() / (images + 1) as f64;
        assert!((mean - promised).abs() < 4.0 * error, "{images} at {rate}: {mean} +- {error}");
        let share = kept as f64 / DRAWS as f64;
        println!(
            "{images} images, target {rate}: mean rate {mean:.6} +- {:.6}, promised {promised:.6}; {share} of thresholds below {bound:.5}",
            1.96 * error
        );
        assert!((share - 0.95).abs() < 0.01, "{images} at {rate}: {share} of thresholds below {bound}");
    }
}

/// Images of a group share most of their score: 20 groups of six cannot promise what 120 images could, and keep what they promise.
#[test]
fn simulated_groups_keep_the_promise_of_their_number() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let (groups, rate, draws) = (20, 0.06, 4_000);
    let mut group = || -> Vec<f32> {
        let part: f32 = random.random();
        (0..6).map(|_| part + 0.02 * random.random::<f32>()).collect()
    };
    let (mut alarms, mut torn) = (0, 0);
    for _ in 0..draws {
        let mut scores: Vec<f32> = (0..groups).flat_map(|_| group()).collect();
        scores.sort_unstable_by(f32::total_cmp);
        let new = group()[0];
        alarms += usize::from(new > threshold(&scores, groups, rate).unwrap());
        torn += usize::from(new > threshold(&scores, 120, rate).unwrap());
        assert!(threshold(&scores, groups, 0.04).is_none());
    }
    let share = |count: usize| count as f64 / f64::from(draws);
    assert!(share(alarms) < rate, "{}", share(alarms));
    assert!(share(torn) > rate + 0.015, "counting images: {}", share(torn));
}

/// The wanted recall is promised in the same way.
#[test]
fn simulated_misses_keep_the_promised_recall() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (draws, wanted) = (4_000, 0.9);
    let mut missed = 0.0;
    for _ in 0..draws {
        let scores: Vec<f32> = (0..40).map(|_| random.random::<f32>()).collect();
        // 30 defective images, uniform scores: the true miss rate is the threshold itself.
        let labels: Vec<bool> = (0..40).map(|index| index < 30).collect();
        missed += f64::from(labelled_threshold(&scores, &labels, &Criterion::Recall { wanted }).unwrap());
    }
    let rate = missed / f64::from(draws);
    // floor(31 x 0.1) / 31 = 3 / 31 is the bound; halfway to the next score below it is a little less.
    assert!(rate < 3.0 / 31.0 && rate > 2.0 / 31.0, "{rate}");
}

#[test]
fn labelled_thresholds_are_those_by_hand() {
    let scores = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let labels = [false, false, true, false, true, true];
    let found = |criterion| labelled_threshold(&scores, &labels, &criterion).unwrap();
    // Flagging from 3 on: F1 = 6/7; from 5 on 4/5.
    assert_eq!(found(Criterion::F1), 2.5);
    let cost = |miss, false_alarm, defect_share| Criterion::Cost { miss, false_alarm, defect_share };
    // From 5 on: one miss of three; from 3 on: one false alarm of three.
    assert_eq!(found(cost(1.0, 2.0, None)), 4.5);
    assert_eq!(found(cost(2.0, 1.0, None)), 2.5);
    assert_eq!(found(cost(2.0, 1.0, Some(0.01))), 4.5);
    assert_eq!(found(cost(0.0, 1.0, None)), 4.5);
    // Three defective images promise a recall of 3/4: the lowest of them.
    assert_eq!(found(Criterion::Recall { wanted: 0.75 }), 2.5);
    assert_eq!(found(Criterion::Recall { wanted: 0.5 }), 4.5);
    assert_eq!(found(Criterion::Recall { wanted: 1.0 }), 2.5);
    assert!(!Criterion::Recall { wanted: 1.0 }.is_promised(3));
    assert!(labelled_threshold(&scores, &[true; 6], &Criterion::F1).is_err());
    // Nothing lies below the lowest score, and neighbours in floating point have no middle.
    assert!(labelled_threshold(&[1.0, 1.0], &[true, false], &Criterion::F1).unwrap() < 1.0);
    let next = 1.0f32.next_up();
    assert_eq!(labelled_threshold(&[1.0, next], &[false, true], &Criterion::F1).unwrap(), 1.0);
}

#[test]
fn a_calibration_sets_both_thresholds_and_says_what_they_promise() {
    let scores = one_to_ten();
    let mut calibration =
        Calibration::new(&good(&scores), Source::Folds { folds: 5, groups: None }, 0.1).unwrap();
    assert_eq!((calibration.image_threshold, calibration.pixel_threshold), (Some(10.0), Some(5.0)));
    assert_eq!(calibration.is_anomalous(10.0), Some(false));
    assert_eq!(calibration.is_anomalous(10.5), Some(true));
    assert!(calibration.promise().contains("at most 10 %"), "{}", calibration.promise());
    assert!(calibration.origin().contains("5 folds"));
    assert_eq!(calibration.lowest_rate(), 0.091);
    calibration.learn_from_labels(&good(&[1.0, 20.0]), &[false, true], Criterion::F1).unwrap();
    assert_eq!((calibration.image_threshold, calibration.pixel_threshold), (Some(10.5), Some(5.25)));
    assert_eq!(calibration.p_value(11.0), 1.0 / 11.0);
    assert!(Calibration::new(&[], Source::GoodImages, 0.1).is_none());
}

/// 10 images hold 1/11 at best; 48 hold 1/49 = 2.04 %, which is below 2.1 %.
#[test]
fn too_few_images_for_a_rate_give_the_threshold_of_the_lowest_rate_that_holds() {
    let mut calibration = Calibration::new(&good(&one_to_ten()), Source::GoodImages, 0.01).unwrap();
    assert_eq!((calibration.image_threshold, calibration.pixel_threshold), (Some(10.0), Some(5.0)));
    assert_eq!(calibration.rule, Rule::FalseAlarm { rate: 1.0 / 11.0, asked: Some(0.01) });
    assert_eq!((calibration.is_anomalous(10.5), calibration.is_anomalous(10.0)), (Some(true), Some(false)));
    let words = calibration.promise();
    for part in ["at most 9.1 % false alarms", "10 good images can promise", "99 would allow 1 %"] {
        assert!(words.contains(part), "{part} in {words}");
    }
    let scores: Vec<f32> = (0..48).map(|score| score as f32).collect();
    let words = Calibration::new(&good(&scores), Source::GoodImages, 0.01).unwrap().promise();
    assert!(words.contains("at most 2.1 % false alarms"), "{words}");
    calibration.allow_false_alarms(0.2);
    assert_eq!(calibration.rule, Rule::FalseAlarm { rate: 0.2, asked: None });
    let json =
        serde_json::to_string(&Calibration::new(&good(&scores), Source::GoodImages, 0.01).unwrap()).unwrap();
    assert!(serde_json::from_str::<Calibration>(&json).unwrap().is_valid());
    // Files of programs that gave no threshold then stay as they are.
    let old = r#"{"image_scores":[1.0],"map_maxima":[2.0],"image_threshold":null,"pixel_threshold":null,
        "rule":{"kind":"false_alarm","rate":0.01}}"#;
    let old = serde_json::from_str::<Calibration>(old).unwrap();
    assert!(old.is_valid() && old.is_anomalous(9.0).is_none() && old.promise().contains("no threshold"));
}

#[test]
fn groups_promise_what_as_many_images_can() {
    let scores: Vec<f32> = (0..60).map(|score| score as f32).collect();
    let grouping = Grouping { groups: 10, by: GroupedBy::Names };
    let all = Calibration::new(&good(&scores), Source::GoodImages, 0.05).unwrap();
    assert_eq!(all.rule, Rule::FalseAlarm { rate: 0.05, asked: None });
    let calibration = all.in_groups(grouping);
    assert_eq!(calibration.rule, Rule::FalseAlarm { rate: 1.0 / 11.0, asked: Some(0.05) });
    assert!(calibration.is_valid() && calibration.groups() == 10);
    assert!(calibration.promise().contains("10 groups of good images can promise; 19 would allow 5 %"));
    assert!(calibration.origin().contains("60 good images in 10 groups (found by what they look like"));
    assert!(!calibration.clone().in_groups(Grouping { groups: 61, ..grouping }).is_valid());
}

#[test]
fn what_makes_no_sense_is_not_valid_and_older_files_are() {
    let calibration = Calibration::new(&good(&one_to_ten()), Source::GoodImages, 0.1).unwrap();
    assert!(calibration.is_valid());
    let broken: [fn(&mut Calibration); 5] = [
        |one| one.image_scores.reverse(),
        |one| one.map_maxima[9] = f32::NAN,
        |one| one.map_maxima.truncate(9),
        |one| one.pixel_threshold = Some(f32::INFINITY),
        |one| one.rule = Rule::FalseAlarm { rate: 0.0, asked: None },
    ];
    for spoil in broken {
        let mut one = calibration.clone();
        spoil(&mut one);
        assert!(!one.is_valid(), "{one:?}");
    }
    let json = serde_json::to_string(&calibration).unwrap();
    assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap(), calibration);
    let old = r#"{"image_scores":[1.0],"map_maxima":[2.0],"image_threshold":null,"pixel_threshold":null}"#;
    assert_eq!(serde_json::from_str::<Calibration>(old).unwrap().source, Source::Unstated);
}

#[test]
fn each_category_is_judged_by_its_own_good_images() {
    // Scores of cables are ten times those of bottles, and their maps reach half of them.
    let bottles: Vec<Extremes> =
        (1..=9).map(|i| Extremes { image_score: i as f32, map_maximum: i as f32 }).collect();
    let cables: Vec<Extremes> =
        (1..=9).map(|i| Extremes { image_score: 10.0 * i as f32, map_maximum: 5.0 * i as f32 }).collect();
    let calibrated = |good: &[Extremes]| Calibration::new(good, Source::GoodImages, 0.1).unwrap();
    let all = calibrated(&[&bottles[..], &cables].concat());
    let own = [("cable".to_owned(), calibrated(&cables)), ("bottle".to_owned(), calibrated(&bottles))];
    let mut calibration = all.clone().with_categories(own.clone());
    assert!(calibration.is_valid());
    let order: Vec<&str> = calibration.categories.iter().map(|one| &one.category[..]).collect();
    assert_eq!(order, ["bottle", "cable"]);
    let (bottle, cable) = (calibration.of("bottle"), calibration.of("cable"));
    assert_eq!((bottle.image_threshold, cable.image_threshold), (Some(9.0), Some(90.0)));
    assert_eq!((bottle.pixel_threshold, cable.pixel_threshold), (Some(9.0), Some(45.0)));
    // 15 lies above every bottle and above one cable: p-values 1/10 and 9/10.
    assert_eq!((bottle.p_value(15.0), cable.p_value(15.0)), (0.1, 0.9));
    assert_eq!((bottle.is_anomalous(15.0), cable.is_anomalous(15.0)), (Some(true), Some(false)));
    // All together, the 18th smallest of 18 allows one of 19.
    assert_eq!(calibration.of("screw").images(), 18);
    assert_eq!(calibration.image_threshold, Some(90.0));
    calibration.allow_false_alarms(0.2);
    assert_eq!(calibration.of("bottle").image_threshold, Some(8.0));
    let labelled = good(&[1.0, 20.0]);
    let bottle = calibration.of_mut("bottle").unwrap();
    bottle.learn_from_labels(&labelled, &[false, true], Criterion::F1).unwrap();
    assert_eq!(calibration.of("bottle").image_threshold, Some(10.5));
    assert_eq!(calibration.of("cable").image_threshold, Some(80.0));
    assert!(calibration.of_mut("screw").is_none());
    let json = serde_json::to_string(&calibration).unwrap();
    assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap(), calibration);
    calibration.categories[0].calibration.image_scores.reverse();
    assert!(!calibration.is_valid());
    // One category is what it was before there were categories.
    let one = all.clone().with_categories(own.into_iter().take(1));
    assert_eq!(one, all);
    assert!(!serde_json::to_string(&one).unwrap().contains("categories"));
}
