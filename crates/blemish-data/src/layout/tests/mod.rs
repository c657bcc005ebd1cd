mod layouts;
mod lists;
mod refusals;
mod several;
mod videos;

use super::*;
use crate::reader::tests::mutated;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;
use tempfile::TempDir;

/// Everything a list goes through before files are looked up.
fn parse_list(bytes: Vec<u8>) -> Result<usize, DataError> {
    let path = Path::new("list.csv");
    let text = list::text_of(path, bytes)?;
    if visa::is_split(&text) {
        return visa::rows(path, &text).map(|rows| rows.len());
    }
    let entries = list::entries(path, &text, None)?;
    entries.iter().try_for_each(|entry| list::sample_of(path, Path::new(""), entry).map(|_| ()))?;
    Ok(entries.len())
}

/// A folder with these files; the names of images suffice here, since opening reads none.
fn tree(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in files {
        write(&folder, name, "");
    }
    folder
}

fn write(folder: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}

fn open(folder: &TempDir) -> Result<Dataset, DataError> {
    open_dataset(folder.path(), &OpenOptions::default())
}

/// Paths below the folder, defect and mask of samples, readable in assertions.
fn brief(folder: &TempDir, samples: &[Sample]) -> Vec<String> {
    let below = |path: &Path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_string();
    samples
        .iter()
        .map(|sample| {
            assert_eq!(sample.label == Label::Good, sample.defect == "good");
            let masks: Vec<String> = sample.masks.iter().map(|mask| below(mask)).collect();
            let masks = if masks.is_empty() { "-".to_owned() } else { masks.join("+") };
            format!("{} {} {masks}", below(&sample.path), sample.defect)
        })
        .collect()
}

#[test]
fn a_category_in_mvtec_layout_is_recognised_with_its_masks() {
    let folder = tree(&[
        "train/good/b.png",
        "train/good/a.JPG",
        "train/good/.hidden.png",
        "train/good/notes.txt",
        "test/good/0.png",
        "test/scratch/10.png",
        "test/scratch/9.png",
        "test/stain/1.png",
        "ground_truth/scratch/9_mask.png",
        "ground_truth/scratch/10.png",
    ]);
    let dataset = open(&folder).unwrap();
    assert_eq!(dataset.layout, Layout::Mvtec);
    assert_eq!(dataset.category, folder.path().file_name().unwrap().to_str().unwrap());
    assert_eq!(brief(&folder, &dataset.train), ["train/good/a.JPG good -", "train/good/b.png good -"]);
    assert_eq!(
        brief(&folder, &dataset.test),
        [
            "test/good/0.png good -",
            "test/scratch/10.png scratch ground_truth/scratch/10.png",
            "test/scratch/9.png scratch ground_truth/scratch/9_mask.png",
            "test/stain/1.png stain -",
        ]
    );
}

#[test]
fn a_missing_mask_among_others_is_an_error_unless_skipped() {
    let folder =
        tree(&["train/good/a.png", "test/cut/1.png", "test/cut/2.png", "ground_truth/cut/1_mask.png"]);
    let error = open(&folder).unwrap_err();
    let DataError::MissingMask { image, expected } = &error else { panic!("{error}") };
    assert!(image.ends_with("test/cut/2.png") && expected.ends_with("ground_truth/cut/2_mask.png"));
    let options = OpenOptions { skip_bad: true, ..OpenOptions::default() };
    let dataset = open_dataset(folder.path(), &options).unwrap();
    assert_eq!(brief(&folder, &dataset.test), ["test/cut/1.png cut ground_truth/cut/1_mask.png"]);
    assert_eq!(dataset.skipped.len(), 1);
    assert!(dataset.skipped[0].path.ends_with("2.png") && dataset.skipped[0].reason.contains("2_mask.png"));
}

#[test]
fn several_categories_must_be_chosen_from() {
    let folder = tree(&["screw/train/good/a.png", "bottle/train/good/a.png", "readme.txt"]);
    let DataError::Category { found, wanted: None, .. } = open(&folder).unwrap_err() else {
        panic!("no choice")
    };
    assert_eq!(found, ["bottle", "screw"]);
    let choose = |name: &str| {
        let options = OpenOptions { category: Some(name.into()), ..OpenOptions::default() };
        open_dataset(folder.path(), &options)
    };
    assert_eq!(choose("screw").unwrap().category, "screw");
    let error = choose("nut").unwrap_err().to_string();
    assert!(error.contains("`nut`") && error.contains("bottle, screw"), "{error}");
    let options = OpenOptions { category: Some("nut".into()), ..OpenOptions::default() };
    assert!(open_dataset(&folder.path().join("screw"), &options).is_err());
}

#[test]
fn all_categories_open_at_once_from_folders_lists_and_splits() {
    let folder =
        tree(&["screw/train/good/a.png", "bottle/train/good/a.png", "bottle/test/cut/b.png", "c/1.png"]);
    let visa = "object,split,label,image,mask\nscrew,train,normal,screw/train/good/a.png,\n\
        bottle,train,normal,bottle/train/good/a.png,\nbottle,test,anomaly,bottle/test/cut/b.png,\n";
    let list = "path,category,label\nscrew/train/good/a.png,screw,\nbottle/train/good/a.png,bottle,\n\
        bottle/test/cut/b.png,bottle,cut\n";
    let json = r#"{"path":"screw/train/good/a.png","category":"screw"}
        {"path":"bottle/train/good/a.png","category":"bottle"}
        {"path":"bottle/test/cut/b.png","category":"bottle","label":"cut"}"#;
    let files = [
        folder.path().to_path_buf(),
        write(&folder, "visa.csv", visa),
        write(&folder, "list.csv", list),
        write(&folder, "list.jsonl", json),
    ];
    for path in files {
        let sets = open_categories(&path, &OpenOptions::default()).unwrap();
        let names: Vec<&str> = sets.iter().map(|set| set.category.as_str()).collect();
        assert_eq!(names, ["bottle", "screw"], "{}", path.display());
        assert_eq!(brief(&folder, &sets[0].train), ["bottle/train/good/a.png good -"]);
        assert_eq!((sets[0].test.len(), sets[1].train.len(), sets[1].test.len()), (1, 1, 0));
        let DataError::Category { wanted: None, .. } =
            open_dataset(&path, &OpenOptions::default()).unwrap_err()
        else {
            panic!("no choice")
        };
        let one = OpenOptions { category: Some("screw".into()), ..OpenOptions::default() };
        assert_eq!(open_categories(&path, &one).unwrap(), [open_dataset(&path, &one).unwrap()]);
        let unknown = OpenOptions { category: Some("nut".into()), ..OpenOptions::default() };
        assert!(open_categories(&path, &unknown).unwrap_err().to_string().contains("`nut`"));
    }
    let tested = OpenOptions { test_dir: Some("c".into()), ..OpenOptions::default() };
    let error = open_categories(folder.path(), &tested).unwrap_err().to_string();
    assert!(error.contains("choose one of: bottle, screw"), "{error}");
    let single = open_categories(&folder.path().join("c"), &OpenOptions::default()).unwrap();
    assert_eq!((single.len(), single[0].train.len()), (1, 1));
}

#[test]
fn test_images_alone_make_a_set_to_evaluate_on() {
    let folder = tree(&["test/cut/1.png", "test/good/1.png"]);
    let dataset = open(&folder).unwrap();
    assert_eq!((dataset.layout, dataset.train.len(), dataset.test.len()), (Layout::Mvtec, 0, 2));
}

#[test]
fn any_folder_is_a_folder_of_good_images_except_its_named_test_folder() {
    let folder =
        tree(&["x/2.png", "x/deep/1.bmp", "0.webp", "check/good/1.png", "check/bent/1.png", "masks/1.png"]);
    let options = OpenOptions {
        test_dir: Some(folder.path().join("check")),
        mask_dir: Some(folder.path().join("masks")),
        ..OpenOptions::default()
    };
    let dataset = open_dataset(folder.path(), &options).unwrap();
    assert_eq!(dataset.layout, Layout::Folder);
    assert_eq!(brief(&folder, &dataset.train), ["0.webp good -", "x/2.png good -", "x/deep/1.bmp good -"]);
    assert_eq!(
        brief(&folder, &dataset.test),
        ["check/bent/1.png bent masks/1.png", "check/good/1.png good -"]
    );
}

#[test]
fn an_image_without_an_extension_is_found_by_its_content() {
    let folder = tree(&["a.png", "b.txt"]);
    std::fs::write(folder.path().join("c"), [0x89, b'P', b'N', b'G', 0]).unwrap();
    let dataset = open(&folder).unwrap();
    assert_eq!(brief(&folder, &dataset.train), ["a.png good -", "c good -"]);
}

#[test]
fn folders_that_are_no_dataset_say_what_is_missing() {
    let said = |files: &[&str]| open(&tree(files)).unwrap_err().to_string();
    assert!(said(&[]).contains("holds no images"));
    assert!(said(&["readme.txt"]).contains("holds no images"));
    assert!(said(&["train/a.png", "test/cut/b.png"]).contains("`train/good`"));
    assert!(said(&["1.png", "test/cut/b.png"]).contains("beside a `test` folder"));
    assert!(said(&["train/good/notes.txt"]).contains("holds no images"));
    assert!(said(&["train/good/a.png", "test/b.png"]).contains("named by defect"));
    let error = open_dataset(Path::new("no/such/folder"), &OpenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}

#[test]
fn visas_split_file_gives_the_chosen_category() {
    let folder = tree(&["c/1.JPG", "c/2.JPG", "c/3.JPG", "c/3.png", "p/1.JPG"]);
    let text = "object,split,label,image,mask\n\
        candle,train,normal,c/2.JPG,\ncandle,test,normal,c/1.JPG,\ncandle,test,anomaly,c/3.JPG,c/3.png\n\
        pcb1,train,normal,p/1.JPG,\n";
    let split = write(&folder, visa::SPLIT, text);
    let DataError::Category { found, .. } = open(&folder).unwrap_err() else { panic!("no choice") };
    assert_eq!(found, ["candle", "pcb1"]);
    let options = OpenOptions { category: Some("candle".into()), ..OpenOptions::default() };
    for path in [folder.path(), &split] {
        let dataset = open_dataset(path, &options).unwrap();
        assert_eq!((dataset.layout, dataset.category.as_str()), (Layout::Visa, "candle"));
        assert_eq!(brief(&folder, &dataset.train), ["c/2.JPG good -"]);
        assert_eq!(brief(&folder, &dataset.test), ["c/1.JPG good -", "c/3.JPG anomaly c/3.png"]);
    }
}

const FILES: [&str; 5] = ["a.png", "b.png", "c.png", "d.png", "m/c.png"];
const EXPECTED_TEST: [&str; 3] = ["b.png good -", "c.png scratch m/c.png", "d.png defective -"];

#[test]
fn the_three_forms_of_a_list_say_the_same() {
    let folder = tree(&FILES);
    let csv = "\u{feff}path,split,label,mask\na.png,train,good,\nd.png,test,1,\nc.png,test,scratch,m/c.png\nb.png,test,0,\n";
    let lines = r#"{"path":"a.png"}
        {"path":"d.png","label":1}

        {"path":"c.png","label":"scratch","split":"test","mask":"m/c.png"}
        {"path":"b.png","split":"test","label":false,"mask":null}"#;
    let array = format!("[{}]", lines.replace("\n\n", "\n").trim().replace("}\n", "},\n"));
    let spreadsheet = csv.replace(',', ";");
    for (name, text) in [("l.csv", csv), ("l.jsonl", lines), ("l.json", &array), ("s.csv", &spreadsheet)] {
        let path = write(&folder, name, text);
        let dataset =
            open_dataset(&path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((dataset.layout, dataset.category.len()), (Layout::List, 1));
        assert_eq!(brief(&folder, &dataset.train), ["a.png good -"], "{name}");
        assert_eq!(brief(&folder, &dataset.test), EXPECTED_TEST, "{name}");
    }
}

#[test]
fn a_wrong_line_of_a_list_is_named() {
    let folder = tree(&FILES);
    let said = |text: &str| {
        let path = write(&folder, "list.csv", text);
        open_dataset(&path, &OpenOptions::default()).unwrap_err().to_string()
    };
    let has = |text: &str, parts: &[&str]| {
        let said = said(text);
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    };
    has("photo,label\na.png,0\n", &["line 1", "column `path`", "photo, label"]);
    has("path,split\na.png,train\nb.png,later\n", &["line 3", "later"]);
    has("path,split,label\na.png,train,scratch\n", &["line 2", "only good images"]);
    has("path,split\na.png,test\n", &["line 2", "needs a label"]);
    has("path\na.png\nzz.png\n", &["line 3", "zz.png"]);
    has("path,label\na.png,0\nb.png\n", &["line 3"]);
    has("{\"path\":\"a.png\"}\n{\"label\":1}\n", &["line 2", "no `path`"]);
    has("{\"path\":\"a.png\"}\n{\"path\":[1]}\n", &["line 2", "`path`"]);
    has("[{\"path\":\"a.png\"}, 7]", &["line 2", "object"]);
    has("[{\"path\":\"a.png\"},\n", &["line"]);
    has("path,category\na.png,x\nb.png,\n", &["line 3", "category is empty"]);
    has("", &["empty"]);
    has("path\n", &["no images"]);
    let picture = write(&folder, "image.png", "");
    std::fs::write(&picture, [0x89, b'P', b'N', b'G']).unwrap();
    let error = open_dataset(&picture, &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("it is an image"), "{error}");
}

#[test]
fn missing_files_of_a_list_can_be_skipped() {
    let folder = tree(&FILES);
    let path = write(&folder, "list.csv", "path\na.png\nzz.png\n");
    let dataset = open_dataset(&path, &OpenOptions { skip_bad: true, ..OpenOptions::default() }).unwrap();
    assert_eq!((dataset.train.len(), dataset.skipped.len()), (1, 1));
    assert!(dataset.skipped[0].path.ends_with("zz.png"));
}

#[test]
fn files_folders_and_globs_list_images_once() {
    let folder = tree(&["a/2.png", "a/1.png", "b/x[1].png", "b/y.png", "note.txt"]);
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let inputs = [at("b/y.png"), at("a"), at("*/*.png"), at("b/x[1].png")];
    let expected: Vec<PathBuf> =
        ["b/y.png", "a/1.png", "a/2.png", "b/x[1].png"].iter().map(|name| folder.path().join(name)).collect();
    assert_eq!(list_images(&inputs).unwrap(), expected);
    assert_eq!(list_images(&[at("b/x[1].png")]).unwrap(), [folder.path().join("b/x[1].png")]);
    let said = |name: &str| list_images(&[at(name)]).unwrap_err().to_string();
    assert!(said("zz.png").contains("no such file"));
    assert!(said("*.bmp").contains("matches nothing"));
    assert!(said("a/***").contains("pattern"));
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(said("empty").contains("no images"));
}

#[test]
fn ten_thousand_mutations_of_each_list_never_panic() {
    let seeds = [
        "path,split,label,mask\na.png,train,good,\nc.png,test,scratch,m/c.png\n\"d,e.png\",test,1,\n",
        "object,split,label,image,mask\ncandle,train,normal,c/2.JPG,\ncandle,test,anomaly,c/3.JPG,c/3.png\n",
        "{\"path\":\"a.png\"}\n{\"path\":\"c.png\",\"label\":\"scratch\",\"mask\":null}\n",
        "[{\"path\":\"a.png\",\"label\":0},{\"path\":\"c.png\",\"label\":true,\"split\":\"test\"}]",
    ];
    for (number, text) in seeds.iter().enumerate() {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let outcomes: Vec<bool> =
            (0..10_000).map(|_| parse_list(mutated(text.as_bytes(), &mut random)).is_ok()).collect();
        assert!(outcomes.contains(&true) && outcomes.contains(&false));
    }
}

/// Train, test good, and per kind of defect the number of images and of masks.
type Counts = (usize, usize, BTreeMap<String, (usize, usize)>);

fn counts(dataset: &Dataset) -> Counts {
    let mut defects = BTreeMap::<String, (usize, usize)>::new();
    for sample in dataset.test.iter().filter(|sample| sample.label == Label::Defective) {
        let counts = defects.entry(sample.defect.clone()).or_default();
        counts.0 += 1;
        counts.1 += usize::from(!sample.masks.is_empty() && sample.masks.iter().all(|mask| mask.is_file()));
    }
    let good = dataset.test.iter().filter(|sample| sample.label == Label::Good).count();
    (dataset.train.len(), good, defects)
}

#[test]
fn the_shared_sets_open_with_the_counts_of_their_description() {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    if !shared.is_dir() {
        println!("skipped: {} is not there", shared.display());
        return;
    }
    let open = |name: &str, options: &OpenOptions| open_dataset(&shared.join(name), options).unwrap();
    let check = |name: &str, train: usize, good: usize, defects: &[(&str, usize, usize)]| {
        let defects =
            defects.iter().map(|&(name, images, masks)| (name.to_string(), (images, masks))).collect();
        let dataset = open(name, &OpenOptions::default());
        assert_eq!(dataset.layout, Layout::Mvtec, "{name}");
        assert_eq!(counts(&dataset), (train, good, defects), "{name}");
    };
    let screw = [
        ("manipulated_front", 24, 24),
        ("scratch_head", 24, 24),
        ("scratch_neck", 25, 25),
        ("thread_side", 23, 23),
        ("thread_top", 23, 23),
    ];
    check("mvtec/screw", 80, 41, &screw);
    let leather = [("color", 1, 1), ("cut", 2, 2), ("fold", 2, 2), ("glue", 3, 3), ("poke", 3, 3)];
    check("mvtec/leather", 4, 4, &leather);
    let extra = [("color", 3, 0), ("cut", 2, 0), ("fold", 2, 0), ("glue", 1, 0), ("poke", 1, 0)];
    check("leather_extra", 0, 0, &extra);
    check("bottle_samples", 1, 1, &[("broken_large", 1, 0), ("broken_small", 1, 0), ("contamination", 1, 0)]);
    let tile =
        [("blowhole", 60, 60), ("break", 60, 60), ("crack", 57, 57), ("fray", 32, 32), ("uneven", 58, 58)];
    check("magnetic_tile", 202, 101, &tile);
    check("deeppcb", 119, 40, &[("mixed", 60, 60)]);
    let elpv = open("elpv_mono", &OpenOptions::default());
    assert_eq!((elpv.train.len(), elpv.test.len()), (120, 140));
    assert!(elpv.test.iter().all(|sample| sample.masks.is_empty()));
    let textures = open("dtd_subset", &OpenOptions::default());
    assert_eq!((textures.layout, textures.train.len()), (Layout::Folder, 80));
    let DataError::Category { found, .. } =
        open_dataset(&shared.join("mvtec"), &OpenOptions::default()).unwrap_err()
    else {
        panic!("no choice")
    };
    assert_eq!(found, ["leather", "screw"]);
}

#[test]
fn pictures_that_blemish_has_written_are_no_images() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("1.png"), "").unwrap();
    crate::files::results_folder(&root.join("out/overlays"), &[]).unwrap();
    std::fs::write(root.join("out/overlays/1.png"), "").unwrap();
    let own = root.join("out/overlays");
    let listed = |input: &Path| list_images(&[input]).unwrap();
    assert_eq!(listed(root), [root.join("1.png")]);
    assert_eq!(listed(&root.join("**/*.png")), [root.join("1.png")]);
    assert_eq!(open_dataset(root, &OpenOptions::default()).unwrap().train.len(), 1);
    // Who names them means them.
    assert_eq!(listed(&own), [own.join("1.png")]);
    assert_eq!(listed(&own.join("*.png")), [own.join("1.png")]);
}

#[cfg(unix)]
#[test]
fn a_device_or_a_pipe_is_no_list() {
    let error = open_dataset(Path::new("/dev/zero"), &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("/dev/zero") && error.contains("a device"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = open_dataset(&pipe, &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("a pipe") && error.contains("saved as a file"), "{error}");
}
