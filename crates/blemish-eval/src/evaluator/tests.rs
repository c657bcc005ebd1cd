//! Categories and videos, with numbers by hand.

use super::{Evaluator, LabelledImage};
use crate::{Evaluation, MetricError, PixelOptions};

const SIZE: (usize, usize) = (1, 2);

fn still<'a>(category: &'a str, defect: Option<&'a str>, score: f32, map: &'a [f32; 2]) -> LabelledImage<'a> {
    LabelledImage { category, sequence: None, defect, score, map, mask: None, size: SIZE }
}

/// Bottles are told apart perfectly, cables by half; scores of cables are a hundred times those of bottles, and have no masks.
fn two_categories(evaluator: &mut Evaluator) {
    // The two pixels of the crack's image share a bin where scores are counted.
    let (low, high) = ([0.1, 0.2], [0.3, 0.30001]);
    evaluator.add_image(&still("cable", None, 10.0, &low)).unwrap();
    evaluator.add_image(&still("cable", None, 30.0, &low)).unwrap();
    evaluator.add_image(&still("cable", Some("cut"), 20.0, &low)).unwrap();
    evaluator.add_image(&still("bottle", None, 0.1, &low)).unwrap();
    evaluator.add_image(&still("bottle", None, 0.2, &low)).unwrap();
    let masked = LabelledImage { mask: Some(&[false, true]), ..still("bottle", Some("crack"), 0.3, &high) };
    evaluator.add_image(&masked).unwrap();
}

#[test]
fn metrics_of_several_categories_are_the_means_of_theirs() {
    let mut evaluator = Evaluator::new();
    two_categories(&mut evaluator);
    let (evaluation, curve) = evaluator.finish_with_curve().unwrap();
    let [bottle, cable] = &evaluation.categories[..] else { panic!("two categories: {evaluation:?}") };
    assert_eq!((&bottle.category[..], &cable.category[..]), ("bottle", "cable"));
    // Of one defective and two good cables one is below: AUROC 1/2. By falling score good, defective, good: AP 1/2, F1 2/3.
    assert_eq!((bottle.evaluation.image.auroc, cable.evaluation.image.auroc), (Some(1.0), Some(0.5)));
    // All scores in one pot would give 5/8.
    assert_eq!((evaluation.image.auroc, evaluation.image.ap), (Some(0.75), Some(0.75)));
    let f1 = evaluation.image.f1_max.unwrap();
    assert!((f1 - 5.0 / 6.0).abs() < 1e-12, "{f1}");
    assert_eq!((evaluation.image.f1_max_threshold, evaluation.image.auroc_interval), (None, None));
    // Only bottles have masks, so that the mean is theirs.
    assert_eq!((evaluation.pixel.auroc, cable.evaluation.pixel.auroc), (Some(1.0), None));
    assert_eq!((evaluation.counts.good, evaluation.counts.defective, evaluation.counts.masked), (4, 2, 1));
    assert_eq!(evaluation.pixel.regions, 1);
    assert!(evaluation.notes.iter().any(|note| note.starts_with("cable: there are no masks")));
    assert_eq!(bottle.evaluation.per_defect[0].defect, "crack");
    assert!(evaluation.per_defect.is_empty() && curve.is_empty());
    let json = serde_json::to_value(&evaluation).unwrap();
    assert_eq!(json["categories"][1]["category"], "cable");
    assert_eq!(json["categories"][1]["image"]["auroc"], 0.5);
    assert_eq!(serde_json::from_value::<Evaluation>(json).unwrap(), evaluation);
}

#[test]
fn one_category_is_evaluated_as_its_images_alone_and_adds_no_field() {
    let (mut named, mut unnamed) = (Evaluator::new(), Evaluator::new());
    for (defect, is_defective, score) in [("good", false, 0.2), ("dent", true, 0.1), ("dent", true, 0.4)] {
        let map = [score, 0.05];
        let mask = is_defective.then_some(&[true, false][..]);
        let defect_of = is_defective.then_some(defect);
        named.add_image(&LabelledImage { mask, ..still("screw", defect_of, score, &map) }).unwrap();
        unnamed.add(defect, is_defective, score, &map, mask, SIZE).unwrap();
    }
    let (named, unnamed) = (named.finish_with_curve().unwrap(), unnamed.finish_with_curve().unwrap());
    assert_eq!(named, unnamed);
    assert_eq!((named.0.image.auroc, named.1.is_empty()), (Some(0.5), false));
    let json = serde_json::to_value(&named.0).unwrap();
    let mut fields: Vec<&String> = json.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["counts", "image", "notes", "per_defect", "pixel"]);
}

#[test]
fn frames_are_compared_after_each_video_is_brought_to_its_own_range() {
    let mut evaluator = Evaluator::new();
    let videos: [&[(f32, bool)]; 3] = [
        // 0, 1/2 and, defective, 1.
        &[(1.0, false), (2.0, false), (3.0, true)],
        // 0, 2/3 (defective), 1/3 and 1.
        &[(100.0, false), (300.0, true), (200.0, false), (400.0, false)],
        // One half each.
        &[(5.0, false), (5.0, false)],
    ];
    for (number, frames) in videos.iter().enumerate() {
        for &(score, is_defective) in *frames {
            let map = [score, score];
            let image = still("walk", is_defective.then_some("bicycle"), score, &map);
            let image = LabelledImage { sequence: Some(number as u32), ..image };
            evaluator.add_image(&image).unwrap();
        }
    }
    let evaluation = evaluator.finish().unwrap();
    let found = evaluation.sequences.unwrap();
    // Of 2 x 7 pairs: 1 is above six good frames and level with one, 2/3 above six.
    assert!((found.frame_auroc.unwrap() - 12.5 / 14.0).abs() < 1e-12, "{found:?}");
    // 1 and 2/3; the video without a defective frame has none.
    assert!((found.mean_auroc.unwrap() - 5.0 / 6.0).abs() < 1e-12, "{found:?}");
    assert_eq!(found.per_sequence.iter().map(|one| one.frames).collect::<Vec<_>>(), [3, 4, 2]);
    assert_eq!((found.per_sequence[1].defective, found.per_sequence[2].auroc), (1, None));
    // The plain image metric knows nothing of videos: 8 of 14 pairs.
    assert!((evaluation.image.auroc.unwrap() - 8.0 / 14.0).abs() < 1e-12);
}

#[test]
fn memory_for_pixels_is_shared_by_the_categories() {
    let report = |exact_pixels| {
        let options = PixelOptions { exact_pixels, ..PixelOptions::default() };
        let mut evaluator = Evaluator::with_options(options).unwrap();
        two_categories(&mut evaluator);
        evaluator.finish().unwrap()
    };
    // Six pixels of bottles and, without those of the cut that has no mask, four of cables.
    assert_eq!(report(10).pixel.error, 0.0);
    assert!(report(9).pixel.error > 0.0);
    assert!(report(9).notes.iter().any(|note| note.contains("counted in bins")));
}

#[test]
fn limits_outside_of_shares_are_errors() {
    let with = |pro_limit, pimo_bounds| {
        let options = PixelOptions { pro_limit, pimo_bounds, ..PixelOptions::default() };
        Evaluator::with_options(options).map(|_| ())
    };
    assert_eq!(with(0.05, (1e-6, 1e-4)), Ok(()));
    for (pro_limit, pimo_bounds, words) in [
        (0.0, (1e-5, 1e-4), "AUPRO's limit is 0"),
        (f64::NAN, (1e-5, 1e-4), "AUPRO"),
        (0.3, (1e-4, 1e-4), "must ascend"),
        (0.3, (0.0, 1e-4), "above 0"),
    ] {
        match with(pro_limit, pimo_bounds) {
            Err(MetricError::Setting { reason }) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}
