//! The layouts that people bring, each as it is published.

use super::*;
use crate::layout::table::LAYOUTS;
use crate::layout::{PassedOver, Reason, Use};

/// The files of a picture, with what the picture says of them.
fn files_of(tree: &str) -> Vec<(String, String)> {
    let mut folders: Vec<&str> = Vec::new();
    let mut files = Vec::new();
    for line in tree.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let (name, comment) = line.trim_start().split_once("  ").unwrap_or((line.trim_start(), ""));
        folders.truncate(depth);
        match name.strip_suffix('/') {
            Some(folder) => folders.push(folder),
            None => files.push((
                folders.iter().copied().chain([name]).collect::<Vec<_>>().join("/"),
                comment.to_owned(),
            )),
        }
    }
    files
}

/// Half of it marked, or nothing.
fn save(path: &Path, is_empty: bool) {
    let image =
        image::GrayImage::from_fn(8, 8, |x, _| image::Luma([if x < 4 && !is_empty { 255 } else { 0 }]));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    std::fs::write(path, bytes.into_inner()).unwrap();
}

#[test]
fn every_layout_of_the_table_opens_with_the_images_of_its_picture() {
    for layout in LAYOUTS {
        let folder = tempfile::tempdir().unwrap();
        let files = files_of(layout.tree);
        for (name, comment) in &files {
            if [".txt", ".csv"].iter().any(|end| name.ends_with(end)) {
                write(&folder, name, "text");
            } else if name.ends_with(".npy") {
                // Two frames, of which the second is anomalous; by pixels 2 x 2 of each.
                let bytes = match comment.contains("by pixel") {
                    true => crate::npy::written("|b1", "2, 2, 2", &[0, 0, 0, 0, 0, 1, 0, 1]),
                    false => crate::npy::written("|u1", "2,", &[0, 1]),
                };
                std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
                std::fs::write(folder.path().join(name), bytes).unwrap();
            } else {
                save(&folder.path().join(name), comment == "empty");
            }
        }
        let root = folder.path().join(files[0].0.split('/').next().unwrap());
        let options = OpenOptions::default();
        let set = open_dataset(&root, &options).unwrap_or_else(|error| panic!("{}: {error}", layout.name));
        let count = |is: &dyn Fn(&Sample) -> bool| set.test.iter().filter(|sample| is(sample)).count();
        let found = [
            set.train.len(),
            count(&|one| one.label == Label::Good),
            count(&|one| one.label == Label::Defective),
            count(&|one| !one.masks.is_empty()),
        ];
        assert_eq!(found, layout.counts, "{}: {:#?}", layout.name, set.account);
        assert!(set.train.iter().all(|sample| sample.label == Label::Good), "{}", layout.name);
        assert_eq!(set.account.unused_masks.len(), 0, "{}", layout.name);
        // The archive's own folder, which holds nothing else, gives the same.
        if set.layout != Layout::Folder {
            let outside = open_dataset(folder.path(), &options)
                .unwrap_or_else(|error| panic!("{}: {error}", layout.name));
            let paths =
                |set: &Dataset| set.train.iter().map(|sample| sample.path.clone()).collect::<Vec<_>>();
            assert_eq!(paths(&outside), paths(&set), "{}", layout.name);
        }
    }
}

#[test]
fn folders_of_any_case_and_any_name_of_good_are_read() {
    for (train, test, good, truth) in [
        ("Train", "Test", "Good", "Ground_Truth"),
        ("TRAIN", "TEST", "OK", "GT"),
        ("training", "testing", "normal", "ground-truth"),
        ("train", "test", "io", "masks"),
        ("Train_Data", "Test Images", "Passed", "Labels"),
    ] {
        let names = [
            format!("{train}/{good}/0.png"),
            format!("{test}/{good}/1.png"),
            format!("{test}/Spot/2.png"),
            format!("{truth}/Spot/2_mask.png"),
        ];
        let folder = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let set = open(&folder).unwrap();
        assert_eq!(brief(&folder, &set.train), [format!("{train}/{good}/0.png good -")]);
        let mut expected = [
            format!("{test}/{good}/1.png good -"),
            format!("{test}/Spot/2.png Spot {truth}/Spot/2_mask.png"),
        ];
        expected.sort();
        assert_eq!(brief(&folder, &set.test), expected, "{good}");
    }
}

#[test]
fn good_and_defective_folders_without_a_split_are_told_apart() {
    let folder = tree(&[
        "good/0.png",
        "good/camera2/1.png",
        "bad/2.png",
        "scratch/3.png",
        "masks/2.png",
        "camera3/4.png",
        "5.png",
    ]);
    let set = open(&folder).unwrap();
    assert_eq!(set.layout, Layout::Classes);
    assert_eq!(brief(&folder, &set.train), ["good/0.png good -", "good/camera2/1.png good -"]);
    assert_eq!(brief(&folder, &set.test), ["bad/2.png bad masks/2.png", "scratch/3.png scratch -"]);
    let lines: Vec<String> = set
        .account
        .folders
        .iter()
        .map(|one| format!("{} {} {}", one.folder, one.images, one.taken_as.words()))
        .collect();
    assert_eq!(
        lines,
        [
            ". 1 passed over: neither good nor defective by its name",
            "bad 1 defective, to test with",
            "camera3 1 passed over: neither good nor defective by its name",
            "good 2 good, to learn from",
            "masks 1 masks",
            "scratch 1 defective, to test with",
        ]
    );
    let casting = tree(&[
        "train/ok_front/0.png",
        "train/def_front/1.png",
        "test/ok_front/2.png",
        "test/def_front/3.png",
    ]);
    let set = open(&casting).unwrap();
    assert_eq!(brief(&casting, &set.train), ["train/ok_front/0.png good -"]);
    assert_eq!(
        brief(&casting, &set.test),
        ["test/def_front/3.png def_front -", "test/ok_front/2.png good -"]
    );
    let over = set.account.folders.iter().find(|one| one.folder == "train/def_front").unwrap();
    assert!(matches!(&over.taken_as, Use::PassedOver(reason) if reason.contains("defective")));
}

#[test]
fn subfolders_of_test_folders_are_read_with_their_masks() {
    let folder = tree(&[
        "train/good/0.png",
        "test/good/camera1/1.png",
        "test/spot/camera1/1.png",
        "test/spot/camera2/1.png",
        "test/cut/a/b/7.png",
        "ground_truth/spot/camera1/1_mask.png",
        "ground_truth/spot/camera2/1_mask.png",
        "ground_truth/cut/7_mask.png",
    ]);
    let set = open(&folder).unwrap();
    assert_eq!(
        brief(&folder, &set.test),
        [
            "test/cut/a/b/7.png cut ground_truth/cut/7_mask.png",
            "test/good/camera1/1.png good -",
            "test/spot/camera1/1.png spot ground_truth/spot/camera1/1_mask.png",
            "test/spot/camera2/1.png spot ground_truth/spot/camera2/1_mask.png",
        ]
    );
    // With one mask for two images nobody can tell whose it is.
    let shared =
        tree(&["train/good/0.png", "test/spot/a/1.png", "test/spot/b/1.png", "ground_truth/spot/1_mask.png"]);
    let error = open(&shared).unwrap_err().to_string();
    assert!(error.contains("1_mask.png") && error.contains("may belong to"), "{error}");
}

#[test]
fn masks_of_any_naming_and_several_an_image_are_found() {
    for masks in [
        &["ground_truth/cut/7_mask.png"] as &[&str],
        &["ground_truth/cut/7_gt.bmp"],
        &["ground_truth/cut/7_GT.tif"],
        &["ground_truth/cut/7-label.png"],
        &["ground_truth/cut/7.jpg"],
        &["ground_truth/cut/mask_7.png"],
        &["ground_truth/cut/7.png_mask.png"],
        &["ground_truth/cut/7_mask1.png", "ground_truth/cut/7_mask2.png"],
        &["ground_truth/cut/7/000.png", "ground_truth/cut/7/001.png"],
        &["ground_truth/cut/7_0.png", "ground_truth/cut/7_1.png"],
        &["ground_truth/7_mask.png"],
        &["masks/cut/7.png"],
        &["annotations/7.png"],
        &["test/cut/7_mask.png"],
        &["test/cut/gt/7.png"],
        &["test/ground_truth/cut/7.png"],
    ] {
        let files: Vec<&str> = ["train/good/0.png", "test/good/7.png", "test/cut/7.png"]
            .into_iter()
            .chain(masks.iter().copied())
            .collect();
        let folder = tree(&files);
        let set = open(&folder).unwrap_or_else(|error| panic!("{masks:?}: {error}"));
        let defective =
            set.test.iter().filter(|one| one.label == Label::Defective).cloned().collect::<Vec<_>>();
        assert_eq!(brief(&folder, &defective), [format!("test/cut/7.png cut {}", masks.join("+"))]);
        assert_eq!(set.account.unused_masks.len(), 0, "{masks:?}");
    }
}

#[test]
fn masks_in_formats_that_are_not_read_are_told() {
    let folder = tree(&[
        "train/good/0.png",
        "test/spot/1.png",
        "test/spot/2.png",
        "ground_truth/spot/1_mask.avif",
        "ground_truth/spot/2_mask.avif",
    ]);
    let set = open(&folder).unwrap();
    assert_eq!((set.test.len(), set.account.unread_masks.len()), (2, 2));
    assert!(
        set.account.remarks[0].contains("2 files in a format that is not read (.avif)"),
        "{:?}",
        set.account.remarks
    );
    write(&folder, "ground_truth/spot/1_mask.png", "");
    std::fs::remove_file(folder.path().join("ground_truth/spot/1_mask.avif")).unwrap();
    let error = open(&folder).unwrap_err().to_string();
    assert!(
        error.contains("2.png") && error.contains("2_mask.avif") && error.contains("not read"),
        "{error}"
    );
}

#[test]
fn files_that_are_passed_over_are_counted_by_reason() {
    let folder = tree(&[
        "a.png",
        "b.png",
        "b_thumb.png",
        ".a.png",
        "._b.png",
        "Thumbs.db",
        ".DS_Store",
        "__MACOSX/a.png",
        "a.png~",
        "b.png.bak",
        "c.avif",
        "d.heic",
        "readme.txt",
        "thumb_screw.png",
        ".hidden/x.png",
        "backup/a.png",
    ]);
    let set = open(&folder).unwrap();
    assert_eq!(brief(&folder, &set.train), ["a.png good -", "b.png good -", "thumb_screw.png good -"]);
    let PassedOver { counts, formats } = &set.account.passed_over;
    let count = |reason| counts.get(&reason).copied().unwrap_or(0);
    assert_eq!(
        [Reason::Format, Reason::Hidden, Reason::System, Reason::Thumbnail, Reason::Backup, Reason::Other]
            .map(count),
        [2, 3, 3, 1, 3, 1]
    );
    assert_eq!(
        formats.iter().map(|(format, count)| format!("{format} {count}")).collect::<Vec<_>>(),
        ["avif 1", "heic 1"]
    );
    assert!(
        set.account
            .passed_over
            .words()
            .starts_with("2 in a format that is not read (avif 1, heic 1), 3 hidden")
    );
}

#[cfg(unix)]
#[test]
fn links_to_nowhere_are_errors_that_say_where_they_lead_or_are_left_out_and_circles_end() {
    use std::os::unix::fs::symlink;
    let folder = tree(&["train/good/0.png", "test/cut/1.png", "test/good/2.png"]);
    symlink("/nonexistent/7.png", folder.path().join("train/good/7.png")).unwrap();
    let error = open(&folder).unwrap_err().to_string();
    assert!(
        error.contains("train/good/7.png")
            && error.contains("link to nowhere")
            && error.contains("/nonexistent/7.png"),
        "{error}"
    );
    symlink(folder.path().join("test"), folder.path().join("test/cut/again")).unwrap();
    symlink("notes", folder.path().join("notes")).unwrap();
    let options = OpenOptions { skip_bad: true, ..OpenOptions::default() };
    let set = open_dataset(folder.path(), &options).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (1, 2));
    let left: Vec<&str> =
        set.skipped.iter().map(|one| one.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(left, ["notes", "7.png"]);
    let found = find_images(&[folder.path()], true).unwrap();
    assert_eq!((found.images.len(), found.skipped.len()), (3, 2));
    assert!(list_images(&[folder.path()]).unwrap_err().to_string().contains("notes"));
    // A pattern walks every folder once, whatever links lead back.
    symlink("..", folder.path().join("train/up")).unwrap();
    symlink("..", folder.path().join("train/up2")).unwrap();
    let pattern = folder.path().join("train/**/*.png");
    let found = find_images(&[&pattern], true).unwrap();
    assert!(
        found.images.iter().any(|path| path.ends_with("train/good/0.png")) && found.images.len() < 20,
        "{found:?}"
    );
}

#[test]
fn masks_below_a_folder_of_images_are_not_scored() {
    let folder = tree(&["test/cut/1.png", "test/good/2.png", "ground_truth/cut/1_mask.png"]);
    let found = find_images(&[folder.path()], false).unwrap();
    assert_eq!((found.images.len(), found.passed_over.words().as_str()), (2, "1 masks"));
    assert_eq!(list_images(&[folder.path().join("ground_truth")]).unwrap().len(), 1);
}

#[test]
fn a_whole_real_iad_is_read_by_its_lists() {
    let folder = tree(&[
        "realiad_256/toy/OK/S1/a.jpg",
        "realiad_1024/toy/OK/S1/a.jpg",
        "realiad_1024/toy/NG/AK/S2/b.jpg",
        "realiad_1024/toy/NG/AK/S2/b.png",
    ]);
    let list = r#"{"meta": {"normal_class": "OK", "prefix": "toy/"},
        "train": [{"category": "toy", "anomaly_class": "OK", "image_path": "OK/S1/a.jpg", "mask_path": null}],
        "test": [{"category": "toy", "anomaly_class": "AK", "image_path": "NG/AK/S2/b.jpg", "mask_path": "NG/AK/S2/b.png"}]}"#;
    let list = write(&folder, "realiad_jsons/realiad_jsons/toy.json", list);
    for path in [folder.path(), &list] {
        let set = open_dataset(path, &OpenOptions::default()).unwrap();
        assert_eq!((set.layout, set.category.as_str()), (Layout::RealIad, "toy"));
        assert!(set.train[0].path.ends_with("realiad_1024/toy/OK/S1/a.jpg"));
        assert_eq!((set.test[0].defect.as_str(), set.test[0].masks.len()), ("AK", 1));
    }
}

#[test]
fn a_visa_category_has_the_split_of_the_set_around_it() {
    let files = [
        "candle/Data/Images/Normal/0.JPG",
        "candle/Data/Images/Normal/1.JPG",
        "candle/Data/Images/Anomaly/0.JPG",
        "candle/Data/Masks/Anomaly/0.png",
    ];
    let folder = tree(&files);
    let alone = open_dataset(&folder.path().join("candle"), &OpenOptions::default()).unwrap();
    assert_eq!((alone.layout, alone.train.len(), alone.test.len()), (Layout::Classes, 2, 1));
    let split = "object,split,label,image,mask\ncandle,train,normal,candle/Data/Images/Normal/0.JPG,\n\
        candle,test,normal,candle/Data/Images/Normal/1.JPG,\ncandle,test,anomaly,candle/Data/Images/Anomaly/0.JPG,candle/Data/Masks/Anomaly/0.png\n";
    write(&folder, visa::SPLIT, split);
    let split = open_dataset(&folder.path().join("candle"), &OpenOptions::default()).unwrap();
    assert_eq!((split.layout, split.train.len(), split.test.len()), (Layout::Visa, 1, 2));
}
