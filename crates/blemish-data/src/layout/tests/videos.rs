//! Sets of videos: their order, their labels, what is refused.

use super::*;
use crate::npy::written;
use crate::source::{Files, Source};

/// A grey picture of 8 x 8, half of it white or nothing.
fn picture(folder: &tempfile::TempDir, name: &str, is_marked: bool) {
    let image =
        image::GrayImage::from_fn(8, 8, |x, _| image::Luma([if x < 4 && is_marked { 255 } else { 0 }]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    put(folder, name, &bytes.into_inner());
}

fn put(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Clips of so many frames, named by numbers without zeros before them.
fn clips(clips: &[(&str, usize)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (clip, frames) in clips {
        (1..=*frames).for_each(|frame| picture(&folder, &format!("{clip}/{frame}.png"), false));
    }
    folder
}

fn open(folder: &tempfile::TempDir) -> Result<Dataset, String> {
    open_dataset(folder.path(), &OpenOptions::default()).map_err(|error| error.to_string())
}

/// Whether each test frame is defective.
fn odd(dataset: &Dataset) -> Vec<bool> {
    dataset.test.iter().map(|sample| sample.label == Label::Defective).collect()
}

#[test]
fn frames_and_clips_are_in_the_order_of_their_numbers() {
    let folder = clips(&[("Train/Train10", 2), ("Train/Train2", 12), ("Test/Test1", 3)]);
    put(&folder, "Test/UCSDped.m", b"TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [2:2];\n");
    let set = open(&folder).unwrap();
    assert_eq!(set.layout, Layout::Videos);
    let name = |at: usize| set.train[at].path.file_stem().unwrap().to_str().unwrap().to_owned();
    assert_eq!((name(1), name(9), name(11)), ("2".into(), "10".into(), "12".into()));
    assert_eq!(set.train[12].group.as_deref(), Some("Train/Train10"));
    let files = Files::training(&set);
    let moment = |at: usize| files.facts(at).moment.map(|moment| (moment.sequence, moment.frame));
    assert_eq!((moment(11), moment(12), moment(13)), (Some((0, 11)), Some((1, 0)), Some((1, 1))));
    // Before the first frame of a clip stands the first frame, not the clip before.
    assert_eq!(files.window(13, 5), [12, 12, 12, 12, 13]);
    assert_eq!(files.window(6, 5), [2, 3, 4, 5, 6]);
}

#[test]
fn labels_come_from_ranges_from_arrays_or_from_masks() {
    let folder = clips(&[("Train/Train001", 5), ("Test/Test001", 4), ("Test/Test002", 3)]);
    put(
        &folder,
        "Test/UCSDped1.m",
        b"TestVideoFile{end+1}.gt_frame = [1:2, 4];\nTestVideoFile{end+1}.gt_frame = [3:3];",
    );
    assert_eq!(odd(&open(&folder).unwrap()), [true, true, false, true, false, false, true]);

    let folder = clips(&[("training/frames/01", 5), ("testing/frames/01", 2), ("testing/frames/02", 1)]);
    put(
        &folder,
        "frame_labels_avenue.npy",
        &written("<i8", "1, 3", &[0u64, 1, 1].map(u64::to_le_bytes).concat()),
    );
    let set = open(&folder).unwrap();
    assert_eq!((odd(&set), set.test[1].defect.as_str()), (vec![false, true, true], "anomaly"));

    let folder = clips(&[("Train/a", 5), ("Test/wrong_way_1", 2), ("Test/quiet_1", 1)]);
    picture(&folder, "Test/wrong_way_1_gt/1.png", false);
    picture(&folder, "Test/wrong_way_1_gt/2.png", true);
    let set = open(&folder).unwrap();
    assert_eq!(odd(&set), [false, false, true]);
    assert_eq!((set.test[2].defect.as_str(), set.test[2].masks.len()), ("wrong_way", 1));
}

#[test]
fn masks_in_an_array_are_read_frame_by_frame() {
    let folder = clips(&[("training/frames/01", 5), ("testing/frames/01", 2)]);
    put(&folder, "testing/test_frame_mask/01.npy", &written("|u1", "2,", &[0, 1]));
    let mut pixels = vec![0; 128];
    pixels[64 + 9] = 1;
    put(&folder, "testing/test_pixel_mask/01.npy", &written("|b1", "2, 8, 8", &pixels));
    let set = open(&folder).unwrap();
    let mask = Files::test(&set).mask(1).unwrap().unwrap();
    assert_eq!((mask.height, mask.width), (8, 8));
    assert_eq!((0..64).filter(|&at| mask.marked[at]).collect::<Vec<_>>(), [9]);
}

#[test]
fn what_does_not_fit_together_is_refused_in_words() {
    let folder = clips(&[("Train/Train001", 5), ("Test/Test001", 3)]);
    picture(&folder, "Test/Test001_gt/1.png", true);
    let error = open(&folder).unwrap_err();
    assert!(
        error.contains("Test001_gt") && error.contains("1 masks") && error.contains("3 frames"),
        "{error}"
    );

    let folder = clips(&[("training/frames/01", 5), ("testing/frames/01", 2)]);
    put(&folder, "testing/test_frame_mask/01.npy", &written("|u1", "3,", &[0, 1, 1]));
    let error = open(&folder).unwrap_err();
    assert!(error.contains("01.npy") && error.contains("[3]") && error.contains("2 frames"), "{error}");

    let folder = clips(&[("training/frames/01", 5), ("testing/frames/01", 2)]);
    put(&folder, "testing_label_mask/1_label.mat", b"MATLAB 5.0 MAT-file");
    let error = open(&folder).unwrap_err();
    assert!(error.contains("1_label.mat") && error.contains("loadmat"), "{error}");

    let folder = clips(&[("training/frames/01", 5), ("testing/frames/01", 2)]);
    let set = open(&folder).unwrap();
    assert!(set.test.is_empty() && set.account.remarks[0].contains("no labels"), "{:?}", set.account.remarks);
}

#[test]
fn any_folder_of_folders_is_clips_when_asked() {
    let folder = clips(&[("b", 2), ("a", 11)]);
    let options = OpenOptions { frames: true, ..OpenOptions::default() };
    let set = open_dataset(folder.path(), &options).unwrap();
    assert_eq!((set.layout, set.train.len()), (Layout::Videos, 13));
    assert!(set.train[10].path.ends_with("a/11.png") && set.train[11].path.ends_with("b/1.png"));
    assert_eq!(open(&folder).unwrap().layout, Layout::Folder);
}
