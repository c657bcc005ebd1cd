//! Sets that are broken on purpose.

use super::*;
use crate::synth::{Look, SynthOptions, write_synthetic_set};
use image::ImageEncoder;

struct Set {
    folder: tempfile::TempDir,
}

impl Set {
    fn new() -> Self {
        Self::sized(96, 128)
    }

    fn sized(height: usize, width: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SynthOptions {
            train: 4,
            test_good: 2,
            test_per_defect: 1,
            height,
            width,
            ..SynthOptions::new(Look::Metal)
        };
        write_synthetic_set(&folder.path().join("set"), &options, &|_, _| {}).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("set").join(name)
    }

    fn check(&self) -> CategoryCheck {
        check_dataset(&self.path(""), &OpenOptions::default(), &|_, _| {}).unwrap().remove(0)
    }

    /// The findings, with the names of their files.
    fn found(&self) -> Vec<(Finding, Vec<String>)> {
        let name = |path: &PathBuf| path.strip_prefix(self.path("")).unwrap().display().to_string();
        self.check()
            .issues
            .iter()
            .map(|issue| (issue.finding, issue.files.iter().map(name).collect()))
            .collect()
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_sound_set_is_counted_and_nothing_is_found() {
    let check = Set::new().check();
    assert_eq!(check.issues, []);
    assert_eq!(
        (check.train, check.test["good"], check.test["scratch"], check.masks),
        (4, 2, 1, check.test.len() - 1)
    );
    assert_eq!(check.sizes, [SizeCount { width: 128, height: 96, images: 4 + 2 + check.masks }]);
}

#[test]
fn copies_are_sorted_by_where_they_lie_and_what_they_are_called() {
    let set = Set::new();
    std::fs::copy(set.path("train/good/000.png"), set.path("test/good/000.png")).unwrap();
    std::fs::copy(set.path("train/good/001.png"), set.path("train/good/002.png")).unwrap();
    std::fs::copy(set.path("test/good/001.png"), set.path("test/scratch/000.png")).unwrap();
    assert_eq!(
        set.found(),
        [
            (Finding::Leak, names(&["train/good/000.png", "test/good/000.png"])),
            (Finding::Contradiction, names(&["test/good/001.png", "test/scratch/000.png"])),
            (Finding::Duplicate, names(&["train/good/001.png", "train/good/002.png"])),
        ]
    );
    assert_eq!(set.check().problems(), 2);
}

#[test]
fn a_picture_saved_anew_as_jpeg_and_smaller_is_still_a_leak() {
    let set = Set::sized(192, 256);
    let image = image::open(set.path("train/good/003.png")).unwrap().to_rgb8();
    let small = image::imageops::resize(&image, 224, 168, image::imageops::FilterType::Triangle);
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 85)
        .write_image(&small, 224, 168, image::ExtendedColorType::Rgb8)
        .unwrap();
    std::fs::write(set.path("test/good/copy.jpg"), bytes).unwrap();
    assert_eq!(set.found(), [(Finding::Leak, names(&["train/good/003.png", "test/good/copy.jpg"]))]);
}

#[test]
fn masks_that_do_not_match_are_each_named() {
    let set = Set::new();
    let mask = |name: &str, size: (u32, u32), value: u8| {
        image::GrayImage::from_pixel(size.0, size.1, image::Luma([value])).save(set.path(name)).unwrap();
    };
    mask("ground_truth/scratch/000_mask.png", (64, 48), 255);
    mask("ground_truth/stain/000_mask.png", (128, 96), 0);
    mask("ground_truth/dent/000_mask.png", (128, 96), 1);
    mask("ground_truth/dent/777_mask.png", (128, 96), 255);
    std::fs::copy(set.path("test/pits/000.png"), set.path("test/pits/001.png")).unwrap();
    std::fs::write(set.path("ground_truth/pits/000_mask.png"), b"no picture").unwrap();
    let findings: Vec<Finding> = set.found().into_iter().map(|(finding, _)| finding).collect();
    let expected = [
        Finding::Unreadable,
        Finding::MissingMask,
        Finding::MaskSize,
        Finding::EmptyMask,
        Finding::FullMask,
        Finding::OrphanedMask,
    ];
    assert_eq!(findings, expected);
    assert_eq!(set.check().problems(), 4);
}

#[test]
fn unreadable_images_and_missing_kinds_are_named() {
    let set = Set::new();
    std::fs::write(set.path("train/good/001.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    std::fs::remove_dir_all(set.path("test/good")).unwrap();
    let found = set.found();
    assert_eq!(found[0], (Finding::Unreadable, names(&["train/good/001.png"])));
    assert_eq!(found[1], (Finding::OneClass, Vec::new()));
}

#[test]
fn all_categories_are_checked_where_there_are_several() {
    let folder = tempfile::tempdir().unwrap();
    for look in [Look::Fabric, Look::Print] {
        let options = SynthOptions {
            train: 2,
            test_good: 1,
            test_per_defect: 1,
            height: 64,
            width: 64,
            ..SynthOptions::new(look)
        };
        write_synthetic_set(&folder.path().join(look.name()), &options, &|_, _| {}).unwrap();
    }
    let checks = check_dataset(folder.path(), &OpenOptions::default(), &|_, _| {}).unwrap();
    let categories: Vec<&str> = checks.iter().map(|check| check.category.as_str()).collect();
    assert_eq!(categories, ["fabric", "print"]);
    assert!(check_dataset(&folder.path().join("nowhere"), &OpenOptions::default(), &|_, _| {}).is_err());
}

#[test]
fn a_check_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let options = SynthOptions {
        train: 3,
        test_good: 1,
        test_per_defect: 1,
        height: 64,
        width: 64,
        ..SynthOptions::new(Look::Metal)
    };
    write_synthetic_set(folder.path(), &options, &|_, _| {}).unwrap();
    let stopped =
        check_dataset(folder.path(), &OpenOptions::default(), &|_, _| std::ops::ControlFlow::Break(()));
    assert!(matches!(stopped, Err(DataError::Interrupted)));
}

/// Parts of one look under a fixed camera, all good.
fn aligned(look: Look, seed: u64, side: usize) -> Set {
    let folder = tempfile::tempdir().unwrap();
    let options = SynthOptions {
        seed,
        train: 40,
        test_good: 8,
        test_per_defect: 1,
        height: side,
        width: side,
        ..SynthOptions::new(look)
    };
    write_synthetic_set(&folder.path().join("set"), &options, &|_, _| {}).unwrap();
    Set { folder }
}

#[test]
fn aligned_parts_of_a_fixed_camera_are_no_twins() {
    for (look, side) in [(Look::Metal, 128), (Look::Print, 128), (Look::Fabric, 96)] {
        for seed in 0..3 {
            assert_eq!(aligned(look, seed, side).found(), [], "{look:?} {seed}");
        }
    }
}

#[test]
fn planted_copies_are_found_re_encoded_cropped_brightened_and_resized() {
    for (look, seed) in [(Look::Metal, 5), (Look::Print, 6), (Look::Fabric, 7)] {
        let set = aligned(look, seed, 160);
        let image =
            |number: usize| image::open(set.path(&format!("train/good/{number:03}.png"))).unwrap().to_rgb8();
        let jpeg = |name: &str, image: &image::RgbImage, quality: u8| {
            let mut bytes = Vec::new();
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality)
                .write_image(image, image.width(), image.height(), image::ExtendedColorType::Rgb8)
                .unwrap();
            std::fs::write(set.path(name), bytes).unwrap();
        };
        jpeg("test/good/jpeg.jpg", &image(3), 75);
        let cropped = image::imageops::crop_imm(&image(8), 2, 2, 156, 156).to_image();
        cropped.save(set.path("test/good/cropped.png")).unwrap();
        let brighter = image::RgbImage::from_fn(160, 160, {
            let image = image(15);
            move |x, y| {
                image::Rgb(image.get_pixel(x, y).0.map(|value| (f32::from(value) * 1.15).min(255.0) as u8))
            }
        });
        brighter.save(set.path("train/good/brighter.png")).unwrap();
        let small = image::imageops::resize(&image(22), 140, 140, image::imageops::FilterType::Triangle);
        jpeg("test/good/small.jpg", &small, 85);
        let found: Vec<Vec<String>> = set.found().into_iter().map(|(_, files)| files).collect();
        let mut expected = vec![
            names(&["train/good/003.png", "test/good/jpeg.jpg"]),
            names(&["train/good/008.png", "test/good/cropped.png"]),
            names(&["train/good/022.png", "test/good/small.jpg"]),
            names(&["train/good/015.png", "train/good/brighter.png"]),
        ];
        let mut sorted = found.clone();
        sorted.sort();
        expected.sort();
        for pair in &mut expected {
            // Either may be listed first.
            assert!(
                sorted.iter().any(|one| one == pair || one.iter().rev().eq(pair.iter())),
                "{look:?}: {pair:?} in {sorted:?}"
            );
        }
        assert_eq!(sorted.len(), expected.len(), "{look:?}: {sorted:?}");
    }
}

#[test]
fn masks_that_are_soft_or_not_read_and_folders_are_told() {
    let set = Set::new();
    let mask = image::open(set.path("ground_truth/dent/000_mask.png")).unwrap().to_luma8();
    image::imageops::blur(&mask, 2.0).save(set.path("ground_truth/dent/000_mask.png")).unwrap();
    std::fs::remove_file(set.path("ground_truth/scratch/000_mask.png")).unwrap();
    std::fs::write(set.path("ground_truth/scratch/000_mask.avif"), b"\0\0\0\x1cftypavif").unwrap();
    let check = set.check();
    let findings: Vec<Finding> = check.issues.iter().map(|issue| issue.finding).collect();
    assert_eq!(findings, [Finding::UnreadMasks, Finding::SoftMasks]);
    assert!(
        check.issues[0].detail.contains("1 file in a format that is not read (.avif)"),
        "{:?}",
        check.issues
    );
    assert!(
        check.folders.iter().any(|one| one.folder == "train/good" && one.images == 4),
        "{:?}",
        check.folders
    );
}
