//! Where names contradict what their images would be taken as, nobody guesses.

use super::*;

fn refused(files: &[&str]) -> String {
    let folder = tree(files);
    let error = open(&folder).unwrap_err();
    assert!(matches!(error, DataError::Names { .. }), "{files:?}: {error}");
    let options = OpenOptions { trust_folders: true, ..OpenOptions::default() };
    open_dataset(folder.path(), &options).unwrap_or_else(|error| panic!("{files:?}: trusted, {error}"));
    error.to_string()
}

#[test]
fn folders_to_learn_from_that_speak_of_defects_or_masks_are_refused() {
    for (files, named) in [
        (&["a/1.png", "defects/2.png"] as &[&str], "`defects` (1 images)"),
        (&["1.png", "NG/2.png"], "`NG`"),
        (&["def_front/1.png"], "`def_front`"),
        (&["1.png", "2.png", "scratches/3.png"], "`scratches`"),
        (&["1.png", "2.png", "masks/1.png"], "1 of 2 images have masks"),
        (&["1.png", "1_mask.png", "2.png"], "1 of 2 images have masks"),
        (&["train/good/1.png", "train/good/bad/2.png"], "`bad`"),
        (&["good/1.png", "good/x/defect 2/2.png"], "`defect 2`"),
        (&["ok_001.png", "ng_002.png"], "ng_002.png"),
        (&["train/good/1.png", "train/good/defect_7.png"], "defect_7.png"),
    ] {
        let said = refused(files);
        assert!(said.contains(named), "{files:?}: {said}");
    }
}

#[test]
fn folders_of_defects_that_speak_of_good_are_refused() {
    for (folder, named) in [
        ("ok_scratch", "`ok_scratch`"),
        ("bad/good", "`bad` speaks of a defect"),
        ("0", "`0`"),
        ("scratch/ok", "`scratch`"),
    ] {
        let said = refused(&["train/good/1.png", "test/good/2.png", &format!("test/{folder}/3.png")]);
        assert!(said.contains(named), "{folder}: {said}");
    }
}

#[test]
fn a_folder_of_good_images_may_have_any_name_that_does_not_speak_of_defects() {
    for files in [
        &["badge/1.png", "goodyear/2.png", "koala/3.png"] as &[&str],
        &["product_label.png", "badge_1.png", "default_2.png"],
        &["thread/1.png", "color/2.png", "normal_map/3.png", "4.png"],
        &["anomaly_dataset_1.png", "anomaly_dataset_2.png"],
        &["3f2504e0-4f89-11d3-9a0c-0305e82c3301.png", "bad9def0.png"],
    ] {
        let folder = tree(files);
        let set = open(&folder).unwrap_or_else(|error| panic!("{files:?}: {error}"));
        assert_eq!((set.train.len(), set.test.len()), (files.len(), 0), "{files:?}");
    }
}

#[test]
fn the_folder_that_was_named_is_judged_by_its_own_name_too() {
    let folder = tree(&[
        "set/ground_truth/cut/1.png",
        "set/bad/1.png",
        "set/ok_parts/1.png",
        "set/.tmpbNAGts/1.png",
        "set/test/good/1.png",
        "set/test/cut/2.png",
    ]);
    let open = |name: &str| open_dataset(&folder.path().join("set").join(name), &OpenOptions::default());
    for name in ["ground_truth", "bad"] {
        assert!(matches!(open(name), Err(DataError::Names { .. })), "{name}: {:?}", open(name));
    }
    for name in ["ok_parts", ".tmpbNAGts"] {
        assert_eq!(open(name).unwrap().train.len(), 1, "{name}");
    }
    let test = open("test").unwrap();
    assert_eq!((test.train.len(), test.test.len()), (0, 2), "a test folder is not learnt from");
}
