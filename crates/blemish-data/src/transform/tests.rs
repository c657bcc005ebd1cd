use super::*;
use crate::reader::{Pixels, decode_image, read_mask};
use std::path::PathBuf;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/resize").join(name)
}

/// Sizes of the golden files, width first as in their names.
const SIZES: [(usize, usize); 7] = [(64, 48), (32, 32), (110, 90), (97, 30), (7, 5), (200, 20), (33, 61)];

fn read_any(path: &Path) -> RgbImage {
    read_image(path, &ReadOptions { minimum_side: 1, ..ReadOptions::default() }).unwrap()
}

/// The largest difference of our resize from Pillow's, in units of full scale.
fn worst_difference(name: &str, ending: &str) -> f32 {
    let source = read_any(&golden(&format!("{name}.{ending}")));
    let mut worst = 0.0_f32;
    for (width, height) in SIZES {
        let expected = read_any(&golden(&format!("{name}.to_{width}x{height}.{ending}")));
        let expected = Transform::resize_to(height, width).apply(&expected).unwrap();
        let found = Transform::resize_to(height, width).apply(&source).unwrap();
        for (one, other) in found.pixels.iter().zip(&expected.pixels) {
            worst = worst.max((one - other).abs());
        }
    }
    worst
}

#[test]
fn resizing_equals_pillows_bilinear() {
    for name in ["rgb", "grey"] {
        let worst = worst_difference(name, "png");
        assert!(worst <= 1.0001 / 255.0, "{name}: off by {} of 255", worst * 255.0);
    }
    let worst = worst_difference("float", "tif");
    assert!(worst < 1e-5, "float: off by {worst}");
}

#[test]
fn sixteen_bit_resizing_is_finer_than_eight_bit() {
    // The 8-bit picture times 257 is the same picture, and rounds 256 times finer.
    let source = read_any(&golden("rgb.png"));
    let Pixels::U8(values) = &source.pixels else { panic!("not 8 bit") };
    let wide = Pixels::U16(values.iter().map(|&value| u16::from(value) * 257).collect());
    let wide = RgbImage { pixels: wide, ..source.clone() };
    let float = Pixels::F32(values.iter().map(|&value| f32::from(value) / 255.0).collect());
    let float = RgbImage { pixels: float, ..source.clone() };
    let transform = Transform::resize_to(40, 41);
    let [eight, sixteen, exact] =
        [&source, &wide, &float].map(|image| transform.apply(image).unwrap().pixels);
    let worst = |found: &[f32]| found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst(&sixteen) < 3.0 / 65_535.0, "{}", worst(&sixteen));
    assert!(worst(&eight) < 1.01 / 255.0, "{}", worst(&eight));
}

#[test]
fn masks_resize_as_pillows_nearest() {
    let source = read_mask(&golden("mask.png")).unwrap();
    for (width, height) in SIZES {
        let expected = read_mask(&golden(&format!("mask.to_{width}x{height}.png"))).unwrap();
        assert_eq!(
            Transform::resize_to(height, width).apply_mask(&source).unwrap(),
            expected,
            "{width}x{height}"
        );
    }
}

#[test]
fn an_image_of_the_right_size_is_only_scaled() {
    let values: Vec<u8> = (0..12).map(|value| value * 20).collect();
    let image = RgbImage { height: 2, width: 2, pixels: Pixels::U8(values) };
    let planar = Transform::resize_to(2, 2).apply(&image).unwrap();
    let expected = [0, 60, 120, 180, 20, 80, 140, 200, 40, 100, 160, 220].map(|value| value as f32 / 255.0);
    assert_eq!(planar.pixels, expected);
    assert_eq!(planar.region_of_interest, None);
}

#[test]
fn the_shorter_side_rule_rounds_the_longer_side_down() {
    let transform = Transform::shorter_side(256);
    assert_eq!(transform.output_size(300, 450).unwrap(), (256, 384));
    // 256 * 401 / 300 = 342.2
    assert_eq!(transform.output_size(401, 300).unwrap(), (342, 256));
    assert_eq!(Transform::shorter_side(256).with_crop(224, 224).output_size(300, 450).unwrap(), (224, 224));
    let fault = transform.output_size(10, 10_000).unwrap_err();
    assert!(matches!(fault, ImageFault::Transform(_)), "{fault}");
    assert!(Transform::shorter_side(100).with_crop(101, 50).output_size(30, 60).is_err());
}

#[test]
fn centre_crops_start_where_torchvision_starts_them() {
    // round() to even: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, 3.5 -> 4.
    let offsets: Vec<usize> = (0..8).map(|margin| centre_offset(10 + margin, 10)).collect();
    assert_eq!(offsets, [0, 0, 1, 2, 2, 2, 3, 4]);
    // Columns hold their own number: a crop of 2 out of 5 starts at column 2.
    let values: Vec<u8> = (0..4).flat_map(|_| (0..5).flat_map(|x| [x; 3])).collect();
    let image = RgbImage { height: 4, width: 5, pixels: Pixels::U8(values) };
    let planar = Transform::resize_to(4, 5).with_crop(1, 2).apply(&image).unwrap();
    assert_eq!((planar.height, planar.width), (1, 2));
    assert_eq!(planar.pixels[..2], [2.0 / 255.0, 3.0 / 255.0]);
    let mask = Mask { height: 4, width: 5, marked: (0..20).map(|at| at % 5 == 3).collect() };
    let mask = Transform::resize_to(4, 5).with_crop(1, 2).apply_mask(&mask).unwrap();
    assert_eq!(mask.marked, [false, true]);
}

fn with_region(mut transform: Transform, mask: Mask) -> Transform {
    transform.region_of_interest = Some(RegionOfInterest::new(mask).unwrap());
    transform
}

#[test]
fn pixels_outside_the_region_are_mid_grey() {
    let mask = Mask { height: 1, width: 2, marked: vec![true, false] };
    let transform = with_region(Transform::resize_to(8, 8).with_crop(2, 4), mask);
    let image = RgbImage { height: 16, width: 16, pixels: Pixels::U16(vec![65_535; 3 * 256]) };
    let planar = transform.apply(&image).unwrap();
    assert_eq!(planar.pixels, [1.0, 1.0, 0.5, 0.5].repeat(6));
    let region = planar.region_of_interest.unwrap();
    assert_eq!((region.height, region.width), (2, 4));
    assert_eq!(region.marked, [true, true, false, false].repeat(2));
}

#[test]
fn a_transform_survives_its_stored_form() {
    let mut marked = vec![false; 35];
    marked[0] = true;
    marked[9..20].fill(true);
    let mask = Mask { height: 5, width: 7, marked };
    let transform =
        with_region(Transform::shorter_side(256).with_crop(224, 200).with_value_range((-1.5, 4095.0)), mask);
    let stored = serde_json::to_string(&transform).unwrap();
    assert!(stored.contains("[0,1,8,11,15]"), "{stored}");
    assert_eq!(serde_json::from_str::<Transform>(&stored).unwrap(), transform);
    let plain = serde_json::to_string(&Transform::resize_to(256, 128)).unwrap();
    assert_eq!(plain, r#"{"resize":{"exact":{"height":256,"width":128}}}"#);
}

#[test]
fn a_damaged_stored_region_is_refused() {
    let stored = |region: &str| {
        let text = format!(r#"{{"resize":{{"shorter_side":9}},"region_of_interest":{region}}}"#);
        serde_json::from_str::<Transform>(&text).map_err(|error| error.to_string())
    };
    assert!(stored(r#"{"height":2,"width":2,"runs":[1,3]}"#).is_ok());
    assert!(stored(r#"{"height":2,"width":2,"runs":[1,4]}"#).unwrap_err().contains("5 of 2x2"));
    assert!(stored(r#"{"height":2,"width":2,"runs":[4]}"#).unwrap_err().contains("no pixel is marked"));
    assert!(
        stored(r#"{"height":4294967296,"width":4294967296,"runs":[0,1]}"#).unwrap_err().contains("too large")
    );
    assert!(stored(r#"{"height":2,"width":2,"runs":[18446744073709551615,5]}"#).is_err());
}

#[test]
fn settings_that_no_image_could_satisfy_are_refused() {
    let refused = |transform: Transform| {
        assert!(matches!(transform.check(), Err(DataError::Setting(_))), "{transform:?}")
    };
    refused(Transform::resize_to(0, 4));
    refused(Transform::shorter_side(MAXIMUM_SIDE + 1));
    refused(Transform::resize_to(100, 100).with_crop(101, 100));
    refused(Transform::shorter_side(100).with_crop(0, 100));
    refused(Transform::resize_to(100, 100).with_value_range((1.0, 1.0)));
    refused(Transform::resize_to(100, 100).with_value_range((0.0, f32::NAN)));
    assert!(Transform::shorter_side(256).with_crop(224, 300).with_value_range((0.0, 255.0)).check().is_ok());
}

#[test]
fn a_region_file_must_mark_something() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roi.png");
    image::GrayImage::new(4, 4).save(&path).unwrap();
    let error = Transform::resize_to(8, 8).with_region_of_interest(&path).unwrap_err();
    assert!(error.to_string().contains("no pixel is marked"), "{error}");
    image::GrayImage::from_pixel(4, 4, image::Luma([1])).save(&path).unwrap();
    let transform = Transform::resize_to(8, 8).with_region_of_interest(&path).unwrap();
    let picture = folder.path().join("picture.png");
    image::GrayImage::from_pixel(30, 20, image::Luma([51])).save(&picture).unwrap();
    let batch = transform.load(&picture).unwrap();
    assert_eq!((batch.count, batch.height, batch.width), (1, 8, 8));
    assert_eq!(batch.image(0), [0.2; 3 * 64]);
    assert_eq!(batch.region_of_interest.unwrap().marked, [true; 64]);
}

#[test]
fn half_of_the_brightest_bounds_a_region_and_small_numbers_are_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roi.png");
    let marked = |values: [u8; 4]| {
        image::GrayImage::from_raw(4, 1, values.to_vec()).unwrap().save(&path).unwrap();
        let transform = Transform::resize_to(1, 4).with_region_of_interest(&path).unwrap();
        transform.region_of_interest.unwrap().mask().marked.clone()
    };
    // The ringing of a JPEG and a soft edge.
    assert_eq!(marked([255, 130, 120, 3]), [true, true, false, false]);
    assert_eq!(marked([100, 50, 49, 0]), [true, true, false, false]);
    assert_eq!(marked([31, 2, 1, 0]), [true, true, true, false]);
}

#[test]
fn a_value_range_stretches_16_bit_images_but_not_those_of_older_models() {
    let values: Vec<u16> = vec![0, 100, 4_095, 2_048, 60_000, 1];
    let picture = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(6, 1, values.clone()).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageLuma16(picture).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let read = |transform: &Transform| {
        let options = ReadOptions { minimum_side: 1, ..transform.read_options() };
        let image = decode_image(bytes.get_ref(), &options).unwrap();
        // Images in memory are read alike.
        let raw = RgbImage {
            pixels: Pixels::U16(values.iter().flat_map(|&value| [value; 3]).collect()),
            ..image.clone()
        };
        assert_eq!(*raw.as_read(&options).unwrap(), image);
        let Pixels::U16(values) = image.pixels else { panic!("not 16 bit") };
        values.into_iter().step_by(3).collect::<Vec<_>>()
    };
    let transform = Transform::resize_to(1, 6).with_value_range((0.0, 4_095.0));
    assert_eq!(read(&transform), [0, 1_600, 65_535, 32_776, 65_535, 16]);
    let old: Transform =
        serde_json::from_str(r#"{"resize":{"exact":{"height":1,"width":6}},"value_range":[0,4095]}"#)
            .unwrap();
    assert_eq!(read(&old), values);
    let stored = serde_json::to_string(&transform).unwrap();
    assert_eq!(serde_json::from_str::<Transform>(&stored).unwrap(), transform);
}

#[test]
fn windows_of_a_canvas_are_windows_of_the_whole() {
    let values: Vec<u8> = (0..3 * 9 * 7).map(|value| (value * 5 % 251) as u8).collect();
    let image = RgbImage { height: 9, width: 7, pixels: Pixels::U8(values) };
    let mask = Mask { height: 9, width: 7, marked: (0..63).map(|at| at % 7 < 4).collect() };
    for transform in [
        Transform::native(),
        Transform::resize_to(12, 11).with_crop(8, 9),
        with_region(Transform::native(), mask),
    ] {
        let whole = transform.apply(&image).unwrap();
        let canvas = transform.canvas(&image).unwrap();
        assert_eq!(canvas.size(), (whole.height, whole.width));
        let piece = canvas.cut(2..6, 3..6);
        let plane = whole.height * whole.width;
        for (at, value) in piece.pixels.iter().enumerate() {
            let (channel, y, x) = (at / 12, at / 3 % 4, at % 3);
            assert_eq!(*value, whole.pixels[channel * plane + (2 + y) * whole.width + 3 + x]);
        }
        if let Some(region) = piece.region_of_interest {
            assert_eq!(region.marked, [true, false, false].repeat(4));
        }
    }
}

#[test]
fn a_window_beyond_the_border_mirrors_the_image() {
    let values: Vec<u8> = [10, 20, 30].into_iter().flat_map(|value| [value; 3]).collect();
    let image = RgbImage { height: 1, width: 3, pixels: Pixels::U8(values) };
    let transform = Transform::native();
    let piece = transform.canvas(&image).unwrap().cut(0..2, 1..8);
    let row = [20, 30, 30, 20, 20, 30, 30].map(|value: u8| f32::from(value) / 255.0);
    assert_eq!((piece.height, piece.width), (2, 7));
    assert_eq!(piece.pixels, row.repeat(6));
}

#[test]
fn a_transform_moves_to_another_input_size_in_proportion() {
    let of = |transform: Transform| (transform.resize, transform.crop);
    assert_eq!(of(Transform::resize_to(256, 256).at_side(384)), of(Transform::resize_to(384, 384)));
    assert_eq!(of(Transform::resize_to(200, 300).at_side(100)), of(Transform::resize_to(100, 150)));
    let official = Transform::shorter_side(256).with_crop(224, 224);
    assert_eq!(of(official.at_side(512)), of(Transform::shorter_side(512).with_crop(448, 448)));
    assert_eq!(of(Transform::native().at_side(512)), of(Transform::shorter_side(512)));
}

#[test]
fn at_their_own_size_images_may_be_larger_than_any_resize() {
    let native = Transform::native();
    native.check().unwrap();
    assert_eq!(native.output_size(8_000, 12_000).unwrap(), (8_000, 12_000));
    assert_eq!(native.covered(8_000, 12_000).unwrap(), (0..8_000, 0..12_000));
    assert!(Transform::shorter_side(8_000).output_size(8_000, 12_000).is_err());
}
