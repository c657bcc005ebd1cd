//! Section by section what needs no network: boxes, saliency, scores, fusion.

use super::boxes::{DefectRule, Detection, objects};
use super::config::{Matching, Neighbours, Properties, SaaConfig, Variant};
use super::regions::{Fusion, Region, rescore};
use super::saliency::Features;
use blemish_features::FeatureMap;

fn region(mask: &[u8], score: f32) -> Region {
    Region { mask: mask.iter().map(|&inside| inside == 1).collect(), score }
}

/// The map of regions, of which the `most` count.
fn fuse(regions: &[Region], most: Option<usize>, pixels: usize) -> Vec<f32> {
    let mut fusion = Fusion::new(most, pixels);
    regions.iter().cloned().for_each(|region| fusion.add(region));
    fusion.finish()
}

fn detection(width: f32, height: f32, score: f32, phrase: &str) -> Detection {
    Detection { bounds: [0.5, 0.5, width, height], score, phrase: phrase.into() }
}

fn close(ours: f32, expected: f32) {
    assert!((ours - expected).abs() <= 1e-6, "{ours} is not {expected}");
}

#[test]
fn a_pixel_gets_the_sum_of_its_regions_over_one_more_than_their_number() {
    for most in [None, Some(5)] {
        let map = fuse(&[region(&[1, 1, 0], 0.5), region(&[0, 1, 0], 0.3)], most, 3);
        close(map[0], 0.25);
        close(map[1], 0.266_666_67);
        assert_eq!(map[2], 0.0);
    }
}

#[test]
fn salient_regions_score_higher_by_the_exponential_of_their_mean() {
    let mut salient = region(&[1, 1, 0], 0.4);
    rescore(&mut salient, &[0.1, 0.3, 9.0], 3.0);
    close(salient.score, 0.728_847_5);
    let mut empty = region(&[0, 0, 0], 0.4);
    rescore(&mut empty, &[0.1, 0.3, 9.0], 3.0);
    assert_eq!(empty.score, 0.4);
    let mut off = region(&[1, 1, 1], 0.4);
    rescore(&mut off, &[0.1, 0.3, 9.0], 0.0);
    assert_eq!(off.score, 0.4);
}

#[test]
fn only_the_most_certain_regions_stay_and_equals_keep_their_order() {
    let regions = [region(&[1, 0, 0], 0.3), region(&[0, 1, 0], 0.5), region(&[0, 0, 1], 0.5)];
    assert_eq!(fuse(&regions, Some(1), 3), [0.0, 0.25, 0.0]);
    assert_eq!(fuse(&regions, Some(2), 3), [0.0, 0.25, 0.25]);
    assert_eq!(fuse(&regions, Some(3), 3), [0.15, 0.25, 0.25]);
}

#[test]
fn defects_are_smaller_than_their_share_of_the_object() {
    let properties = Properties { objects: 1, most_anomalies: Some(5), largest_area: 0.3 };
    let object = objects(vec![detection(1.0, 0.5, 0.4, "nut")], &properties, 0.1);
    assert_eq!(object.area, 0.5);
    let rule = DefectRule {
        threshold: 0.1,
        area_limit: properties.largest_area * object.area,
        object: "nut",
        matching: Matching::Words,
    };
    let kept = rule.keep(vec![detection(0.4, 0.4, 0.9, "scratch"), detection(0.3, 0.4, 0.2, "scratch")]);
    assert_eq!(kept, [detection(0.3, 0.4, 0.2, "scratch")]);
}

#[test]
fn boxes_of_the_object_are_no_defects_and_words_are_compared_whole() {
    let rule = |matching| DefectRule { threshold: 0.1, area_limit: 0.5, object: "nut", matching };
    let found = || vec![detection(0.1, 0.1, 0.2, "hole on metal nut"), detection(0.1, 0.1, 0.2, "walnut")];
    assert_eq!(rule(Matching::Words).keep(found()), [detection(0.1, 0.1, 0.2, "walnut")]);
    assert_eq!(rule(Matching::Substring).keep(found()), []);
    assert!(Matching::Words.contains("a Metal  nut.", "metal nut"));
    assert!(!Matching::Words.contains("metal, a nut", "metal nut"));
    assert!(!Matching::Words.contains("anything", " "));
    let faint = rule(Matching::Words).keep(vec![detection(0.1, 0.1, 0.1, "hole")]);
    assert_eq!(faint, []);
}

#[test]
fn an_object_is_not_the_whole_image_and_not_more_than_its_share() {
    let one = Properties { objects: 1, most_anomalies: Some(5), largest_area: 0.3 };
    let whole = objects(vec![detection(1.0, 1.0, 0.9, "carpet")], &one, 0.1);
    assert_eq!((whole.boxes.len(), whole.area), (0, 1.0));
    let four = Properties { objects: 4, ..one };
    let found = vec![
        detection(0.5, 0.4, 0.9, "candle"),
        detection(0.5, 0.5, 0.9, "candle"),
        detection(0.2, 0.2, 0.05, "candle"),
        detection(0.0, 0.5, 0.9, "candle"),
    ];
    let kept = objects(found, &four, 0.1);
    assert_eq!(kept.boxes, [detection(0.5, 0.4, 0.9, "candle")]);
    close(kept.area, 0.2);
}

/// 4096 cells along the first axis, the last along the second.
fn outlier() -> Features {
    let mut rows = [1.0f32, 0.0].repeat(4096);
    rows[2 * 4095..].copy_from_slice(&[0.0, 1.0]);
    Features { height: 64, width: 64, dimensions: 2, rows }
}

#[test]
fn an_outlier_is_far_from_all_and_near_to_itself() {
    let farthest = outlier().of_all(Neighbours::Farthest, 400);
    close(farthest[4095], 0.5);
    assert!(farthest[..4095].iter().all(|value| (value - 0.00125).abs() < 1e-7));
    let nearest = outlier().of_all(Neighbours::Nearest, 400);
    close(nearest[4095], 0.5 * 399.0 / 400.0);
    assert!(nearest[..4095].iter().all(|value| *value == 0.0));
}

#[test]
fn where_all_is_alike_nothing_is_salient() {
    let alike = Features { height: 2, width: 3, dimensions: 2, rows: [0.6f32, 0.8].repeat(6) };
    for neighbours in [Neighbours::Farthest, Neighbours::Nearest] {
        assert!(alike.of_all(neighbours, 400).iter().all(|value| *value < 1e-6));
    }
    let objects =
        [vec![true, false, false, true, false, false], vec![false, true, false, false, true, false]];
    assert!(alike.between(&objects).iter().all(|value| *value < 1e-6));
}

#[test]
fn an_object_stands_out_where_no_other_object_looks_alike() {
    let mut rows = [1.0f32, 0.0].repeat(6);
    rows[6..8].copy_from_slice(&[0.0, 1.0]);
    let features = Features { height: 2, width: 3, dimensions: 2, rows };
    let objects =
        [vec![true, false, false, true, false, false], vec![false, true, false, false, true, false]];
    let saliency = features.between(&objects);
    assert_eq!(saliency, [0.0, 0.0, 0.0, 0.5, 0.0, 0.0]);
    // Of a single object nothing is known.
    assert_eq!(features.between(&objects[..1]), [0.0; 6]);
    assert_eq!(features.between(&[]), [0.0; 6]);
    // The third object looks like the odd cell, which is then odd no more.
    let third = [objects.to_vec(), vec![vec![false, false, false, true, false, false]]].concat();
    assert_eq!(features.between(&third)[3], 0.0);
}

#[test]
fn features_are_joined_on_the_first_grid_and_have_unit_length() {
    let fine = FeatureMap { channels: 1, height: 2, width: 4, data: vec![3.0; 8] };
    let coarse = FeatureMap { channels: 2, height: 1, width: 2, data: vec![4.0, 0.0, 0.0, 4.0] };
    let joined = Features::join(&[fine, coarse]);
    assert_eq!((joined.height, joined.width, joined.dimensions), (2, 4, 3));
    let left = [0.6, 0.8, 0.0];
    let right = [0.6, 0.0, 0.8];
    let expected: Vec<f32> = [left, left, right, right].concat().repeat(2);
    assert!(joined.rows.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", joined.rows);
}

#[test]
fn prompts_are_captions_with_what_boxes_must_not_show() {
    let config = SaaConfig { object: "metal nut".into(), ..SaaConfig::default() };
    let captions: Vec<String> = config.prompts().unwrap().into_iter().map(|prompt| prompt.caption).collect();
    assert_eq!(captions, ["defect on metal nut", "damage on metal nut", "flaw on metal nut"]);
    let own =
        SaaConfig { prompts: vec!["black hole. thread.".into(), "stain | felt".into()], ..config.clone() };
    let own = own.prompts().unwrap();
    assert_eq!((own[0].caption.as_str(), own[0].filter.as_str()), ("black hole. thread.", "metal nut"));
    assert_eq!((own[1].caption.as_str(), own[1].filter.as_str()), ("stain", "felt"));
    let empty =
        SaaConfig { prompts: vec![" . ".into()], ..config.clone() }.prompts().unwrap_err().to_string();
    assert!(empty.contains("prompts") && empty.contains("no words"), "{empty}");
    let nameless = SaaConfig { object: " ".into(), ..config }.prompts().unwrap_err().to_string();
    assert!(nameless.contains("object"), "{nameless}");
}

#[test]
fn the_plain_variant_knows_nothing_of_the_product() {
    let plain = SaaConfig { variant: Variant::Plain, objects: 4, largest_area: 0.1, ..SaaConfig::default() };
    let properties = plain.properties();
    assert_eq!((properties.objects, properties.largest_area, plain.exponent()), (1, 1.0, 0.0));
    let many = vec![region(&[1], 0.5); 40];
    close(fuse(&many, properties.most_anomalies, 1)[0], 20.0 / 41.0);
}

#[test]
fn without_regions_the_map_is_zero() {
    assert_eq!(fuse(&[], Some(5), 4), [0.0; 4]);
    let mut nothing = Region { mask: vec![false; 4], score: 0.0 };
    rescore(&mut nothing, &[0.5; 4], 3.0);
    assert_eq!(fuse(&[nothing], Some(5), 4), [0.0; 4]);
}

#[test]
fn corners_are_in_pixels_of_the_image() {
    let found = Detection { bounds: [0.5, 0.25, 0.5, 0.5], score: 0.0, phrase: String::new() };
    assert_eq!(found.corners((40, 80)), [20.0, 0.0, 60.0, 20.0]);
}
