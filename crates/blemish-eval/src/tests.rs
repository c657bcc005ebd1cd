//! Golden values, hand-checkable cases, and properties against slow obvious versions.

use crate::pixel::{PixelMetrics, PixelOptions, PixelReport};
use crate::{
    Evaluator, MetricError, auroc, average_precision, bootstrap_interval, f1_max, pr_curve, roc_curve,
};
use proptest::prelude::*;
use serde_json::Value;

fn golden() -> Option<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/metrics.json");
    match std::fs::read_to_string(path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            println!("skipped: {path} is absent");
            None
        }
    }
}

fn floats(value: &Value) -> Vec<f64> {
    let number = |value: &Value| if value == "inf" { f64::INFINITY } else { value.as_f64().unwrap() };
    value.as_array().unwrap().iter().map(number).collect()
}

fn flags(value: &Value) -> Vec<bool> {
    floats(value).into_iter().map(|flag| flag == 1.0).collect()
}

fn near(found: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn image_metrics_equal_the_golden_values() {
    let Some(golden) = golden() else { return };
    for (name, case) in golden["image_level"].as_object().unwrap() {
        let (scores, labels) = (floats(&case["scores"]), flags(&case["labels"]));
        near(auroc(&scores, &labels).unwrap(), &case["auroc"]);
        near(average_precision(&scores, &labels).unwrap(), &case["average_precision"]);
        let best = f1_max(&scores, &labels).unwrap();
        near(best.value, &case["f1_max"]);
        near(best.threshold, &case["f1_max_threshold"]);
        let roc = roc_curve(&scores, &labels).unwrap();
        if case.get("roc_fpr").is_some() {
            assert_eq!(
                roc.iter().map(|point| point.threshold).collect::<Vec<_>>(),
                floats(&case["roc_thresholds"]),
                "{name}"
            );
            for (point, (fpr, tpr)) in
                roc.iter().zip(floats(&case["roc_fpr"]).iter().zip(floats(&case["roc_tpr"])))
            {
                assert!((point.fpr - fpr).abs() < 1e-9 && (point.tpr - tpr).abs() < 1e-9, "{name}");
            }
        }
    }
}

fn pixel_case(maps: &Value, masks: &Value, options: PixelOptions) -> PixelMetrics {
    let mut metrics = PixelMetrics::new(options);
    for (map, mask) in maps.as_array().unwrap().iter().zip(masks.as_array().unwrap()) {
        let (rows, mask_rows) = (map.as_array().unwrap(), mask.as_array().unwrap());
        let values: Vec<f32> = rows.iter().flat_map(floats).map(|value| value as f32).collect();
        let marked: Vec<bool> = mask_rows.iter().flat_map(flags).collect();
        metrics.add(&values, Some(&marked), rows.len(), floats(&rows[0]).len()).unwrap();
    }
    metrics
}

#[test]
fn pixel_metrics_equal_the_golden_values() {
    let Some(golden) = golden() else { return };
    for (name, case) in golden["pixel_level"].as_object().unwrap() {
        for (limit, key) in [(0.05, "aupro_fpr0.05"), (0.3, "aupro_fpr0.3"), (1.0, "aupro_fpr1.0")] {
            let options = PixelOptions { pro_limit: limit, ..PixelOptions::default() };
            let report = pixel_case(&case["maps"], &case["masks"], options).finish().unwrap();
            assert!(
                (report.aupro - case[key].as_f64().unwrap()).abs() < 1e-9,
                "{name} {key}: {}",
                report.aupro
            );
            near(report.auroc, &case["pixel_auroc"]);
            near(report.ap, &case["pixel_average_precision"]);
            assert_eq!(report.regions, case["n_regions_8_connected"].as_u64().unwrap());
            assert!(report.exact && report.error == 0.0);
        }
    }
}

#[test]
fn aupimo_equals_the_golden_values() {
    let Some(golden) = golden() else { return };
    let case = &golden["aupimo"];
    let bounds = floats(&case["fpr_bounds"]);
    let options = PixelOptions { pimo_bounds: (bounds[0], bounds[1]), ..PixelOptions::default() };
    let pimo = pixel_case(&case["maps"], &case["masks"], options).finish().unwrap().aupimo.unwrap();
    let expected = floats(&Value::Array(case["expected_per_image"].as_array().unwrap()[2..].to_vec()));
    for (found, expected) in pimo.per_image.iter().zip(&expected) {
        assert!((found - expected).abs() < 2e-3, "{found} is not {expected}");
    }
}

#[test]
fn the_hand_checked_cases_hold() {
    let labels = [false, false, true, true, false, true];
    let scores = [0.1, 0.4, 0.35, 0.8, 0.2, 0.9];
    assert!((auroc(&scores, &labels).unwrap() - 8.0 / 9.0).abs() < 1e-12);
    assert!((average_precision(&scores, &labels).unwrap() - 11.0 / 12.0).abs() < 1e-12);
    let best = f1_max(&scores, &labels).unwrap();
    assert!((best.value - 6.0 / 7.0).abs() < 1e-12 && best.threshold == 0.35);
    // All equal: the diagonal, and F1 of flagging everything.
    let (labels, scores) = ([false, true, false, true, true], [0.5; 5]);
    assert_eq!(auroc(&scores, &labels).unwrap(), 0.5);
    assert!((f1_max(&scores, &labels).unwrap().value - 0.75).abs() < 1e-12);
    // Two regions of 1 and 4 pixels, 11 background pixels: AUPRO at 0.3 is (0.875/11 + 0.3 - 1/11) / 0.3.
    let map = [0.9, 0.1, 0.2, 0.05, 0.15, 0.3, 0.8, 0.7, 0.25, 0.35, 0.6, 0.4, 0.02, 0.03, 0.04, 0.5];
    let mask: Vec<bool> = [1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0].map(|flag| flag == 1).to_vec();
    let mut metrics = PixelMetrics::new(PixelOptions::default());
    metrics.add(&map, Some(&mask), 4, 4).unwrap();
    let report = metrics.finish().unwrap();
    assert!((report.aupro - (0.875 / 11.0 + 0.3 - 1.0 / 11.0) / 0.3).abs() < 1e-9);
    assert!((report.auroc - 54.0 / 55.0).abs() < 1e-9);
}

#[test]
fn undefined_metrics_are_errors_and_never_numbers() {
    assert_eq!(auroc(&[0.1, 0.2], &[true, true]), Err(MetricError::OneClass { missing: "good" }));
    assert_eq!(auroc(&[0.1, f64::NAN], &[true, false]), Err(MetricError::NotFinite { index: 1 }));
    assert!(matches!(auroc(&[0.1], &[true, false]), Err(MetricError::Length { .. })));
    let mut metrics = PixelMetrics::new(PixelOptions::default());
    assert!(metrics.add(&[f32::INFINITY], None, 1, 1).is_err());
    assert!(metrics.add(&[1.0], Some(&[true, false]), 1, 1).is_err());
    metrics.add(&[1.0], None, 1, 1).unwrap();
    assert_eq!(metrics.finish(), Err(MetricError::OneClass { missing: "defective" }));
}

#[test]
fn the_evaluator_reports_per_defect_and_notes_what_is_absent() {
    let mut evaluator = Evaluator::new();
    let (cold, hot, corner) = ([0.1f32, 0.2, 0.3, 0.2], [0.1f32, 0.2, 0.9, 0.2], [false, false, true, false]);
    evaluator.add("good", false, 0.3, &cold, None, (2, 2)).unwrap();
    evaluator.add("dent", true, 0.9, &hot, Some(&corner), (2, 2)).unwrap();
    evaluator.add("scratch", true, 0.2, &cold, None, (2, 2)).unwrap();
    let empty = evaluator.add("dent", true, 0.9, &hot, Some(&[false; 4]), (2, 2));
    assert_eq!(empty, Err(MetricError::EmptyMask { defect: "dent".into() }));
    let evaluation = evaluator.finish().unwrap();
    let json = serde_json::to_value(&evaluation).unwrap();
    assert_eq!(json["pixel"]["auroc"], 1.0);
    assert_eq!(evaluation.per_defect[0].image.auroc, Some(1.0));
    assert_eq!(evaluation.per_defect[1].image.auroc, Some(0.0));
    assert_eq!(json["per_defect"][1]["pixel"]["auroc"], Value::Null);
    assert!(evaluation.notes.iter().any(|note| note.contains("1 defective images have no mask")));
    let mut one_class = Evaluator::new();
    one_class.add("good", false, 0.3, &cold, None, (2, 2)).unwrap();
    let evaluation = one_class.finish().unwrap();
    assert_eq!((evaluation.image.auroc, evaluation.pixel.aupro), (None, None));
    assert_eq!(evaluation.notes.len(), 2);
}

#[test]
fn intervals_hold_the_value_and_are_fixed_by_the_seed() {
    let scores: Vec<f64> =
        (0..60).map(|i| f64::from((i * 37) % 60) + if i % 2 == 0 { 15.0 } else { 0.0 }).collect();
    let labels: Vec<bool> = (0..60).map(|i| i % 2 == 0).collect();
    let interval = |seed| bootstrap_interval(auroc, &scores, &labels, 500, 0.95, seed).unwrap();
    let value = auroc(&scores, &labels).unwrap();
    assert!(interval(1).low < value && value < interval(1).high);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(interval(1), pool.install(|| interval(1)));
    assert_ne!(interval(1), interval(2));
}

/// Scores with many ties, and labels of both kinds.
fn labelled() -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
    prop::collection::vec((0..12u8, any::<bool>()), 2..60)
        .prop_filter("both kinds", |samples| samples.iter().any(|s| s.1) && samples.iter().any(|s| !s.1))
        .prop_map(|samples| samples.into_iter().map(|(score, label)| (f64::from(score), label)).unzip())
}

/// Images of 5 x 4 with masks; the first is good.
fn images() -> impl Strategy<Value = Vec<(Vec<f32>, Vec<bool>)>> {
    let image = (prop::collection::vec(0..9u8, 20), prop::collection::vec(prop::bool::weighted(0.3), 20));
    prop::collection::vec(image, 2..5).prop_filter_map("a defect", |images| {
        let mut images: Vec<(Vec<f32>, Vec<bool>)> = images
            .into_iter()
            .map(|(map, mask)| (map.into_iter().map(|v| f32::from(v) / 8.0 - 0.5).collect(), mask))
            .collect();
        images[0].1.fill(false);
        images.iter().any(|image| image.1.contains(&true)).then_some(images)
    })
}

fn measured(images: &[(Vec<f32>, Vec<bool>)], options: PixelOptions) -> PixelReport {
    let mut metrics = PixelMetrics::new(options);
    images.iter().for_each(|(map, mask)| metrics.add(map, Some(mask), 5, 4).unwrap());
    metrics.finish().unwrap()
}

/// Regions by repeated flooding, the slow and obvious way.
fn flooded_regions(mask: &[bool]) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = (0..20).filter(|&pixel| mask[pixel]).collect();
    let mut regions = Vec::new();
    while let Some(start) = left.pop() {
        let mut region = vec![start];
        let mut at = 0;
        while at < region.len() {
            let (y, x) = (region[at] / 4, region[at] % 4);
            let (near, far) =
                left.iter().partition(|&&p| (p / 4usize).abs_diff(y) <= 1 && (p % 4).abs_diff(x) <= 1);
            region.extend::<Vec<usize>>(near);
            left = far;
            at += 1;
        }
        regions.push(region);
    }
    regions
}

/// AUPRO at 0.3 by evaluating every threshold.
fn slow_aupro(images: &[(Vec<f32>, Vec<bool>)]) -> f64 {
    let mut thresholds: Vec<f32> = images.iter().flat_map(|image| image.0.clone()).collect();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let mut curve = vec![(0.0, 0.0)];
    for t in thresholds {
        let (mut overlaps, mut wrong, mut background) = (Vec::new(), 0.0, 0.0);
        for (map, mask) in images {
            for region in flooded_regions(mask) {
                overlaps.push(region.iter().filter(|&&p| map[p] >= t).count() as f64 / region.len() as f64);
            }
            background += mask.iter().filter(|marked| !**marked).count() as f64;
            wrong += (0..20).filter(|&p| !mask[p] && map[p] >= t).count() as f64;
        }
        curve.push((wrong / background, overlaps.iter().sum::<f64>() / overlaps.len() as f64));
    }
    let area = curve.windows(2).map(|pair| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if x0 >= 0.3 || x1 == x0 {
            return 0.0;
        }
        let end = x1.min(0.3);
        (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2.0
    });
    area.sum::<f64>() / 0.3
}

proptest! {
    #[test]
    fn auroc_is_the_chance_of_the_right_order((scores, labels) in labelled()) {
        let (mut right, mut pairs) = (0.0, 0.0);
        for (a, _) in scores.iter().zip(&labels).filter(|(_, label)| **label) {
            for (b, _) in scores.iter().zip(&labels).filter(|(_, label)| !**label) {
                right += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                pairs += 1.0;
            }
        }
        let area = auroc(&scores, &labels).unwrap();
        prop_assert!((area - right / pairs).abs() < 1e-12);
        let negated: Vec<f64> = scores.iter().map(|score| -score).collect();
        prop_assert!((auroc(&negated, &labels).unwrap() - (1.0 - area)).abs() < 1e-12);
        let bent: Vec<f64> = scores.iter().map(|score| (score * 0.3).exp()).collect();
        prop_assert_eq!(auroc(&bent, &labels).unwrap(), area);
        prop_assert!((average_precision(&bent, &labels).unwrap() - average_precision(&scores, &labels).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn f1_max_is_the_best_of_all_thresholds_and_the_lowest_such((scores, labels) in labelled()) {
        let best = f1_max(&scores, &labels).unwrap();
        for point in pr_curve(&scores, &labels).unwrap() {
            let f1 = if point.recall > 0.0 { 2.0 * point.precision * point.recall / (point.precision + point.recall) } else { 0.0 };
            prop_assert!(f1 < best.value + 1e-12);
            prop_assert!(f1 < best.value - 1e-12 || point.threshold >= best.threshold);
        }
    }

    #[test]
    fn pixel_metrics_equal_the_slow_versions(images in images()) {
        let report = measured(&images, PixelOptions::default());
        let scores: Vec<f64> = images.iter().flat_map(|image| image.0.iter().map(|&v| f64::from(v))).collect();
        let labels: Vec<bool> = images.iter().flat_map(|image| image.1.clone()).collect();
        prop_assert!((report.auroc - auroc(&scores, &labels).unwrap()).abs() < 1e-12);
        prop_assert!((report.ap - average_precision(&scores, &labels).unwrap()).abs() < 1e-12);
        let best = f1_max(&scores, &labels).unwrap();
        prop_assert!((report.f1_max - best.value).abs() < 1e-12);
        prop_assert!((report.f1_max_threshold - best.threshold).abs() < 1e-6);
        prop_assert!((report.aupro - slow_aupro(&images)).abs() < 1e-9);
    }

    #[test]
    fn merging_equals_seeing_everything(images in images()) {
        let whole = measured(&images, PixelOptions::default());
        let mut first = PixelMetrics::new(PixelOptions::default());
        let mut second = PixelMetrics::new(PixelOptions::default());
        for (index, (map, mask)) in images.iter().enumerate() {
            let half = if index % 2 == 0 { &mut first } else { &mut second };
            half.add(map, Some(mask), 5, 4).unwrap();
        }
        first.merge(second);
        let merged = first.finish().unwrap();
        prop_assert!((merged.auroc - whole.auroc).abs() < 1e-12 && (merged.aupro - whole.aupro).abs() < 1e-12);
        prop_assert_eq!(merged.regions, whole.regions);
    }

    #[test]
    fn counting_in_bins_stays_within_its_stated_bound(images in images(), scale in 0.0f32..1e-4) {
        // Scores so close together that bins must lump some.
        let close: Vec<_> = images.iter().map(|(map, mask)| (map.iter().map(|v| 1.0 + v * scale).collect(), mask.clone())).collect();
        let exact = measured(&close, PixelOptions::default());
        let binned = measured(&close, PixelOptions { exact_pixels: 0, ..PixelOptions::default() });
        prop_assert!(!binned.exact);
        for (a, b) in [(exact.auroc, binned.auroc), (exact.ap, binned.ap), (exact.f1_max, binned.f1_max), (exact.aupro, binned.aupro)] {
            prop_assert!((a - b).abs() <= binned.error + 1e-12, "{} {} {}", a, b, binned.error);
        }
    }
}

#[test]
fn the_area_under_the_drawn_region_curve_is_aupro() {
    // Scores without ties, two regions of unlike size in each map.
    let mut evaluator = Evaluator::new();
    for image in 0..4u32 {
        let map: Vec<f32> = (0..400u32).map(|i| ((i * 7919 + image * 104_729) % 4001) as f32).collect();
        let mask: Vec<bool> = (0..400).map(|i| i % 20 < 3 && i < 120 || i == 399).collect();
        let is_defective = image > 0;
        evaluator.add("cut", is_defective, 0.0, &map, is_defective.then_some(&mask[..]), (20, 20)).unwrap();
    }
    let (evaluation, curve) = evaluator.finish_with_curve().unwrap();
    assert_eq!((curve[0].fpr, curve[0].overlap), (0.0, 0.0));
    assert!(
        curve.windows(2).all(|pair| pair[0].fpr <= pair[1].fpr && pair[0].threshold >= pair[1].threshold)
    );
    let end = |pair: &[crate::ProPoint]| pair[1].fpr.min(0.3);
    let area: f64 = curve
        .windows(2)
        .map(|pair| (end(pair) - pair[0].fpr).max(0.0) * (pair[0].overlap + pair[1].overlap) / 2.0)
        .sum();
    // Thinning and the cut of the last step leave less than their step.
    assert!((area / 0.3 - evaluation.pixel.aupro.unwrap()).abs() < 0.01, "{area} {evaluation:?}");
}
