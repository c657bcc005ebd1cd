use super::*;
use blemish_data::{Memory, MemoryImage, Pixels, RgbImage};

fn sides(sizes: &[(usize, usize)], count: usize) -> (Vec<usize>, Bound) {
    let choice = InputChoice::of(sizes, count, Views::Any).unwrap();
    (choice.sides, choice.bound)
}

#[test]
fn large_images_get_a_fine_and_a_coarse_input() {
    for size in [(1024, 1024), (640, 640), (384, 384), (3000, 4000), (usize::MAX, 2)] {
        assert_eq!(sides(&[size], 80), (vec![512, 256], Bound::Time), "{size:?}");
    }
}

#[test]
fn no_input_enlarges_the_typical_image_by_more_than_a_third() {
    assert_eq!(sides(&[(383, 383)], 80), (vec![384, 256], Bound::Images));
    assert_eq!(sides(&[(288, 288)], 80), (vec![384, 256], Bound::Images));
    assert_eq!(sides(&[(287, 287)], 80), (vec![256], Bound::Images));
    for side in 256..1200 {
        let fine = sides(&[(side, side)], 10).0[0];
        assert!(3 * fine <= 4 * side.max(COARSE), "{fine} for images of {side}");
    }
}

#[test]
fn the_typical_image_is_the_middle_one_by_pixels_in_any_order() {
    let mixed = [(64, 64), (2000, 2000), (300, 310), (250, 200), (600, 700)];
    let choice = InputChoice::of(&mixed, 5, Views::Any).unwrap();
    assert_eq!((choice.image, choice.sides), ((300, 310), vec![384, 256]));
    let mut turned = mixed;
    turned.reverse();
    assert_eq!(InputChoice::of(&turned, 5, Views::Any).unwrap().image, (300, 310));
    // A strip counts by its pixels.
    assert_eq!(sides(&[(128, 2048)], 5).0, [512, 256]);
}

#[test]
fn many_images_make_the_input_smaller() {
    let large = [(1024, 1024)];
    assert_eq!(sides(&large, 488), (vec![512, 256], Bound::Time));
    assert_eq!(sides(&large, 489), (vec![384, 256], Bound::Number));
    assert_eq!(sides(&large, 869), (vec![256], Bound::Number));
    assert_eq!(sides(&large, usize::MAX), (vec![256], Bound::Number));
}

#[test]
fn a_model_that_is_to_learn_on_has_one_input() {
    let choice = InputChoice::of(&[(1024, 1024)], 80, Views::One).unwrap();
    assert_eq!((choice.sides, choice.bound), (vec![384], Bound::OneInput));
    assert_eq!(InputChoice::of(&[(256, 256)], 80, Views::One).unwrap().sides, [256]);
    assert_eq!(InputChoice::of(&[], 0, Views::One), None);
}

fn images(height: usize, width: usize) -> Memory {
    let pixels = Pixels::U8(vec![9; 3 * height * width]);
    Memory::new([MemoryImage::new(RgbImage { height, width, pixels })]).unwrap()
}

#[test]
fn what_was_asked_for_stays() {
    let good = images(640, 640);
    let chosen = |change: &dyn Fn(&mut DetectorConfig)| {
        let mut config = DetectorConfig::default();
        change(&mut config);
        let before = format!("{config:?}");
        let choice = config.choose_inputs(&good).unwrap();
        assert_eq!(choice.is_none(), format!("{config:?}") == before);
        choice.map(|_| {
            (config.input_sizes.clone(), config.settings.get("coreset_max").and_then(|max| max.as_u64()))
        })
    };
    assert_eq!(chosen(&|_| {}), Some((vec![512, 256], Some(ENTRIES))));
    let set = |key: &'static str, value: serde_json::Value| {
        move |config: &mut DetectorConfig| drop(config.settings.insert(key.into(), value.clone()))
    };
    assert_eq!(chosen(&set("coreset_ratio", 0.3.into())), Some((vec![512, 256], None)));
    assert_eq!(chosen(&set("coreset_max", 50.into())), Some((vec![512, 256], Some(50))));
    assert_eq!(chosen(&set("updatable", true.into())), Some((vec![384], None)));
    assert_eq!(chosen(&set("shards", 2.into())), Some((vec![384], None)));
    // All else leaves the input to the method, as it was.
    assert_eq!(chosen(&set("variant", "official".into())), None);
    assert_eq!(chosen(&|config| config.method = "padim".into()), None);
    assert_eq!(chosen(&|config| config.transform = Some(Transform::resize_to(256, 256))), None);
    assert_eq!(chosen(&|config| config.input_sizes = vec![128]), None);
    assert_eq!(chosen(&|config| config.backbone.layers = vec!["stage2".into()]), None);
    assert_eq!(chosen(&|config| config.ensemble = vec![BackboneSpec::default()]), None);
}
