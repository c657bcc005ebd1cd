use super::*;
use crate::source::{Files, Source};

fn all() -> OpenOptions {
    OpenOptions { all_categories: true, ..OpenOptions::default() }
}

#[test]
fn all_categories_of_a_folder_are_one_set_whose_images_know_theirs() {
    let folder = tree(&[
        "screw/train/good/a.png",
        "screw/test/good/b.png",
        "screw/test/bent/c.png",
        "bottle/train/good/a.png",
        "bottle/train/good/z.png",
        "bottle/test/cut/b.png",
        "notes/one.png",
    ]);
    let set = open_dataset(folder.path(), &all()).unwrap();
    assert_eq!(set.category, folder.path().file_name().unwrap().to_str().unwrap());
    assert_eq!((set.layout, set.categories()), (Layout::Mvtec, vec!["bottle".into(), "screw".into()]));
    let train =
        ["bottle/train/good/a.png good -", "bottle/train/good/z.png good -", "screw/train/good/a.png good -"];
    assert_eq!(brief(&folder, &set.train), train);
    let test =
        ["bottle/test/cut/b.png cut -", "screw/test/bent/c.png bent -", "screw/test/good/b.png good -"];
    assert_eq!(brief(&folder, &set.test), test);
    let (train, test) = (Files::training(&set), Files::test(&set));
    assert_eq!((train.categories(), train.categories()), (test.categories(), &set.categories()[..]));
    let of = |files: &Files| (0..files.len()).map(|at| files.facts(at).category).collect::<Vec<_>>();
    assert_eq!((of(&train), of(&test)), (vec![0, 0, 1], vec![0, 1, 1]));
    // Its folders are told apart, and what lies beside the categories is told once.
    let folders: Vec<&str> = set.account.folders.iter().map(|one| one.folder.as_str()).collect();
    assert_eq!(
        folders,
        ["bottle/test/cut", "bottle/train/good", "screw/test/bent", "screw/test/good", "screw/train/good"]
    );
    let beside = set.account.remarks.iter().filter(|remark| remark.contains("notes")).count();
    assert_eq!(beside, 1, "{:?}", set.account.remarks);
    // One that is chosen comes alone, and so does the only one.
    let one = OpenOptions { category: Some("screw".into()), ..all() };
    assert_eq!(open_dataset(folder.path(), &one).unwrap().categories(), ["screw"]);
    let screw = open_dataset(&folder.path().join("screw"), &all()).unwrap();
    assert_eq!((screw.category.as_str(), screw.train[0].category.as_deref()), ("screw", None));
    // Nothing said is still an error, which names them.
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("take all of them: bottle, screw"), "{error}");
}

#[test]
fn a_lists_column_of_categories_makes_one_set_and_keeps_groups_apart() {
    let folder = tree(&["a.png", "b.png", "c.png", "d.png"]);
    let list = write(
        &folder,
        "list.csv",
        "path,category,label,group\na.png,nut,good,1\nb.png,bolt,good,1\nc.png,bolt,bent,2\nd.png,nut,good,\n",
    );
    let set = open_dataset(&list, &all()).unwrap();
    assert_eq!(
        (set.layout, set.category.as_str(), set.categories()),
        (Layout::List, "list", vec!["bolt".into(), "nut".into()])
    );
    let groups: Vec<_> = set.train.iter().map(|sample| sample.group.as_deref()).collect();
    assert_eq!(groups, [Some("bolt/1"), Some("nut/1"), None]);
    assert_eq!((set.test.len(), set.test[0].category.as_deref()), (1, Some("bolt")));
}

#[test]
fn one_test_folder_for_several_categories_is_refused() {
    let folder = tree(&["a/train/good/a.png", "b/train/good/a.png", "new/bent/a.png"]);
    let options = OpenOptions { test_dir: Some(folder.path().join("new")), ..all() };
    let error = open_dataset(folder.path(), &options).unwrap_err().to_string();
    assert!(error.contains("belongs to one category"), "{error}");
}

#[test]
fn videos_and_images_are_no_one_set() {
    let parts = || {
        let videos = Dataset::empty(Path::new("walk"), Layout::Videos, "walk");
        vec![videos, Dataset::empty(Path::new("nut"), Layout::Mvtec, "nut")]
    };
    let error = Dataset::joined(Path::new("all"), parts()).unwrap_err().to_string();
    assert!(error.contains("`walk` holds videos") && error.contains("`nut` images"), "{error}");
    assert!(Dataset::joined(Path::new("all"), Vec::new()).is_err());
}

#[test]
fn good_images_come_from_folders_and_single_files_alike() {
    let folder = tree(&["a/train/good/1.png", "a/test/cut/2.png", "b/3.png"]);
    let inputs = ["a", "b/3.png"].map(|name| folder.path().join(name));
    let good = open_good(&inputs, &OpenOptions::default()).unwrap();
    assert_eq!(brief(&folder, &good.train), ["a/train/good/1.png good -", "b/3.png unknown -"]);
    let none: [&Path; 0] = [];
    assert!(open_good(&none, &OpenOptions::default()).unwrap_err().to_string().contains("no new images"));
}
