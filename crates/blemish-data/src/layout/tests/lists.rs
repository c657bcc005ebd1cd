//! Labels, columns and paths as other programs write them.

use super::*;

fn open_list(folder: &TempDir, text: &str) -> Result<Dataset, DataError> {
    open_dataset(&write(folder, "list.csv", text), &OpenOptions::default())
}

#[test]
fn labels_of_good_in_any_word_and_number_are_good() {
    let folder = tree(&FILES);
    for (good, bad) in [
        ("OK", "NG"),
        ("ok", "ko"),
        ("0", "1"),
        ("0.0", "1.0"),
        ("False", "True"),
        ("pass", "fail"),
        ("i.O.", "n.i.O."),
    ] {
        let set =
            open_list(&folder, &format!("path,label\na.png,{good}\nb.png,{good}\nc.png,{bad}\n")).unwrap();
        assert_eq!(brief(&folder, &set.train), ["a.png good -", "b.png good -"], "{good}");
        assert_eq!(brief(&folder, &set.test), ["c.png defective -"], "{bad}");
        let set =
            open_list(&folder, &format!("path,split,label\na.png,test,{good}\nc.png,test,{bad}\n")).unwrap();
        assert_eq!(brief(&folder, &set.test), ["a.png good -", "c.png defective -"]);
    }
}

#[test]
fn labels_that_say_nothing_sure_are_refused_by_their_line() {
    let folder = tree(&FILES);
    for label in ["-1", "unknown", "ok_scratch", "nan"] {
        let error = open_list(&folder, &format!("path,split,label\na.png,train,good\nb.png,test,{label}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 3") && error.contains(label), "{error}");
    }
}

#[test]
fn a_first_line_for_excel_is_not_the_header() {
    let folder = tree(&FILES);
    for text in [
        "\u{feff}sep=;\r\npath;label\r\na.png;good\r\nc.png;cut\r\n",
        "\"sep=,\"\npath,label\na.png,good\nc.png,cut\n",
        "sep=\t\npath\tlabel\na.png\tgood\nc.png\tcut\n",
        "path\tlabel\na.png\tgood\nc.png\tcut\n",
    ] {
        let set = open_list(&folder, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((set.train.len(), brief(&folder, &set.test)), (1, vec!["c.png cut -".to_owned()]));
    }
    let error = open_list(&folder, "sep=;\npath;label\na.png;good\nzz.png;good\n").unwrap_err().to_string();
    assert!(error.contains("line 4"), "lines are counted as the file has them: {error}");
}

#[test]
fn paths_with_backslashes_and_of_the_folder_above_are_found() {
    let folder = tree(&["images/a.png", "images/b.png", "masks/b.png"]);
    let text = "path,label,mask\nimages\\a.png,OK,\nimages\\b.png,NG,masks\\b.png\n";
    let set = open_list(&folder, text).unwrap();
    assert_eq!(brief(&folder, &set.train), ["images/a.png good -"]);
    assert_eq!(brief(&folder, &set.test), ["images/b.png defective masks/b.png"]);
    let below = write(
        &folder,
        "images/anno.csv",
        "image,label,mask\nimages/a.png,normal,\nimages/b.png,burn,masks/b.png\n",
    );
    let set = open_dataset(&below, &OpenOptions::default()).unwrap();
    assert_eq!((set.train.len(), set.test[0].defect.as_str()), (1, "burn"));
    let error = open_list(&folder, "path\nC:\\data\\a.png\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("Windows"), "{error}");
}

#[test]
fn columns_of_other_programs_and_images_for_validation_are_known() {
    let folder = tree(&FILES);
    let text = "image_path,split,label_index,mask_path\na.png,train,0,\nb.png,val,0,\nc.png,test,1,m/c.png\n";
    let set = open_list(&folder, text).unwrap();
    assert_eq!((set.train.len(), brief(&folder, &set.test)), (1, vec!["c.png defective m/c.png".to_owned()]));
    assert!(set.account.folders.iter().any(|one| one.taken_as.words().contains("validation")));
}
