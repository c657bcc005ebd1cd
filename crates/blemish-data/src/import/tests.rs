use super::*;
use crate::layout::{Label, OpenOptions, open_dataset};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A picture as small as PNG allows, different for each number.
fn picture(number: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_pixel(8, 8, image::Luma([number]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// 12 mono (6 good, 2 uncertain, 4 defective) and 4 poly cells.
fn labels() -> String {
    let probability = |i: usize| match i % 6 {
        0 | 2 | 4 => "0.0",
        1 | 5 => "1.0",
        _ => "0.3333333333333333",
    };
    let kind = |i: usize| if i < 12 { "mono" } else { "poly" };
    (0..16).map(|i| format!("images/cell{i:04}.png  {}  {}\n", probability(i), kind(i))).collect()
}

fn files() -> Vec<(String, Vec<u8>)> {
    let pictures = (0..16).map(|i| (format!("elpv_dataset/data/images/cell{i:04}.png"), picture(i)));
    std::iter::once(("elpv_dataset/data/labels.csv".to_owned(), labels().into_bytes()))
        .chain(pictures)
        .collect()
}

fn wheel(folder: &Path, files: &[(String, Vec<u8>)]) -> PathBuf {
    let path = folder.join("elpv.whl");
    let mut writer = ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in files {
        writer.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn import(source: &Path, out: &Path, options: &ElpvOptions) -> Result<ImportReport, ImportError> {
    import_elpv(source, out, options, &|_, _| {})
}

#[test]
fn a_wheel_becomes_an_mvtec_set_with_its_bytes_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (wheel(folder.path(), &files()), folder.path().join("deep/set"));
    let calls = std::cell::RefCell::new(Vec::new());
    let note = |done, total| calls.borrow_mut().push((done, total));
    let report = import_elpv(&source, &out, &ElpvOptions::default(), &note).unwrap();
    let expected = ImportReport {
        folder: out.clone(),
        train: 4,
        test_good: 2,
        test_defective: 4,
        uncertain: 2,
        other_type: 4,
        unused: 0,
    };
    assert_eq!(report, expected);
    assert_eq!(calls.into_inner(), (1..=10).map(|done| (done, 10)).collect::<Vec<_>>());
    assert_eq!(
        names(&out.join("test/defective")),
        ["cell0001.png", "cell0005.png", "cell0007.png", "cell0011.png"]
    );
    assert_eq!(std::fs::read(out.join("test/defective/cell0007.png")).unwrap(), picture(7));
    let set = open_dataset(&out, &OpenOptions::default()).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (4, 6));
    assert!(set.test.iter().all(|sample| sample.masks.is_empty()));
    assert_eq!(set.test.iter().filter(|sample| sample.label == Label::Defective).count(), 4);
    assert_eq!(names(&folder.path().join("deep")), ["set"], "nothing temporary stays");
}

#[test]
fn folders_give_the_same_split_as_the_wheel() {
    let folder = tempfile::tempdir().unwrap();
    let source = wheel(folder.path(), &files());
    let unpacked = folder.path().join("unpacked");
    for (name, bytes) in files() {
        let path = unpacked.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let sources =
        [source, unpacked.clone(), unpacked.join("elpv_dataset"), unpacked.join("elpv_dataset/data")];
    let splits = sources.map(|source| {
        let out = tempfile::tempdir().unwrap();
        import(&source, out.path(), &ElpvOptions::default()).unwrap();
        names(&out.path().join("train/good"))
    });
    assert!(splits.iter().all(|split| *split == splits[0] && split.len() == 4));
}

#[test]
fn seed_type_and_counts_are_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let source = wheel(folder.path(), &files());
    let train = |name: &str, options: ElpvOptions| {
        let out = folder.path().join(name);
        (import(&source, &out, &options).unwrap(), names(&out.join("train/good")))
    };
    let default = ElpvOptions::default();
    let splits: Vec<_> =
        (0..6).map(|seed| train(&format!("seed{seed}"), ElpvOptions { seed, ..default.clone() }).1).collect();
    assert!(splits.iter().any(|split| *split != splits[0]), "the seed matters");
    let counts =
        ElpvOptions { train: Some(2), test_good: Some(1), test_defective: Some(3), ..default.clone() };
    let report = train("counts", counts).0;
    assert_eq!((report.train, report.test_good, report.test_defective, report.unused), (2, 1, 3, 4));
    let report = train("all", ElpvOptions { cell_type: CellType::All, ..default.clone() }).0;
    assert_eq!((report.other_type, report.uncertain), (0, 3));
    let too_many = ElpvOptions { train: Some(7), ..default.clone() };
    let error = import(&source, &folder.path().join("x"), &too_many).unwrap_err().to_string();
    assert!(error.contains("7 good images") && error.contains("has 6"), "{error}");
    let too_many = ElpvOptions { test_defective: Some(5), ..default };
    let error = import(&source, &folder.path().join("x"), &too_many).unwrap_err().to_string();
    assert!(error.contains("5 defective images"), "{error}");
    assert!(!folder.path().join("x").exists());
    assert!("amorphous".parse::<CellType>().unwrap_err().to_string().contains("mono, poly, all"));
}

/// The message of an import that must fail, and proof that it left nothing behind.
fn failure(folder: &Path, source: &Path) -> String {
    let out = folder.join("out");
    let message = import(source, &out, &ElpvOptions::default()).unwrap_err().to_string();
    assert!(!out.exists());
    assert!(!names(folder).iter().any(|name| name.starts_with(".blemish")), "{message}");
    message
}

#[test]
fn paths_that_would_escape_are_refused() {
    for evil in [
        "images/../../evil.png",
        "/etc/evil.png",
        "images/a/b.png",
        "images/.png",
        "images/..\\e.png",
        "C:x.png",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files();
        files[0].1.extend(format!("{evil} 1.0 mono\n").bytes());
        files.push((format!("elpv_dataset/data/{evil}"), picture(1)));
        let message = failure(folder.path(), &wheel(folder.path(), &files));
        assert!(message.contains("line 17") && message.contains("images/NAME.png"), "{message}");
    }
}

#[test]
fn foreign_damaged_and_incomplete_sources_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let other = wheel(path, &[("numpy/__init__.py".into(), b"x".to_vec())]);
    assert!(failure(path, &other).contains("pip download"));
    assert!(failure(path, path).contains("labels.csv"));
    assert!(failure(path, &path.join("absent.whl")).contains("absent.whl"));
    std::fs::write(path.join("elpv.whl"), b"%PDF-1.7").unwrap();
    assert!(failure(path, &path.join("elpv.whl")).contains("neither a wheel"));

    let mut incomplete = files();
    incomplete.retain(|(name, _)| !name.ends_with("cell0000.png") && !name.ends_with("cell0002.png"));
    assert!(failure(path, &wheel(path, &incomplete)).contains("does not hold it"));
    let mut pointers = files();
    pointers.iter_mut().skip(1).for_each(|(_, bytes)| *bytes = b"version https://git-lfs".to_vec());
    assert!(failure(path, &wheel(path, &pointers)).contains("not a PNG"));
    for (line, reason) in [
        ("images/a.png 1.0", "2 fields"),
        ("images/a.png 7 mono", "[0, 1]"),
        ("images/a.png x mono", "not a probability"),
        ("images/a.png 1 thin", "not a type"),
        ("images/cell0001.png 1 mono", "listed twice"),
    ] {
        let mut wrong = files();
        wrong[0].1.extend(line.bytes());
        let message = failure(path, &wheel(path, &wrong));
        assert!(message.contains("line 17") && message.contains(reason), "{message}");
    }
}

#[test]
fn no_damage_to_a_wheel_panics_or_leaves_files() {
    let folder = tempfile::tempdir().unwrap();
    let source = wheel(folder.path(), &files());
    let bytes = std::fs::read(&source).unwrap();
    for cut in (0..bytes.len()).step_by(bytes.len() / 40) {
        std::fs::write(&source, &bytes[..cut]).unwrap();
        failure(folder.path(), &source);
    }
    for at in (0..bytes.len()).step_by(11) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5a;
        std::fs::write(&source, &damaged).unwrap();
        let out = folder.path().join("out");
        match import(&source, &out, &ElpvOptions::default()) {
            // Damage to what is not read, such as dates, does no harm.
            Ok(_) => std::fs::remove_dir_all(&out).unwrap(),
            Err(_) => assert!(!out.exists()),
        }
    }
    assert_eq!(names(folder.path()), ["elpv.whl"]);
}

#[test]
fn a_folder_in_use_is_never_written_into() {
    let folder = tempfile::tempdir().unwrap();
    let source = wheel(folder.path(), &files());
    let error = import(&source, folder.path(), &ElpvOptions::default()).unwrap_err().to_string();
    assert!(error.contains("not an empty folder"), "{error}");
    assert_eq!(names(folder.path()), ["elpv.whl"]);
}

/// Needs the published wheel: `pip download --no-deps elpv-dataset`, then its path in `BLEMISH_ELPV_WHEEL`.
#[test]
fn the_published_wheel_has_the_known_counts() {
    let Some(source) = std::env::var_os("BLEMISH_ELPV_WHEEL") else {
        println!("skipped: BLEMISH_ELPV_WHEEL does not name the wheel of elpv-dataset");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (cell_type, good, defective, uncertain) in
        [(CellType::Mono, 588, 313, 173), (CellType::Poly, 920, 402, 228), (CellType::All, 1508, 715, 401)]
    {
        let out = folder.path().join(format!("{cell_type:?}"));
        let options = ElpvOptions { cell_type, ..ElpvOptions::default() };
        let report = import(Path::new(&source), &out, &options).unwrap();
        assert_eq!((report.train + report.test_good, report.test_defective), (good, defective));
        assert_eq!((report.train, report.uncertain), (good * 2 / 3, uncertain));
        let set = open_dataset(&out, &OpenOptions::default()).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (report.train, report.test_good + defective));
        crate::reader::read_image(&set.test[0].path, &Default::default()).unwrap();
    }
}

#[test]
fn an_import_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (wheel(folder.path(), &files()), folder.path().join("set"));
    let stop = |done: u64, _: u64| if done < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let before = names(folder.path());
    let stopped = import_elpv(&source, &out, &ElpvOptions::default(), &stop);
    assert!(matches!(stopped, Err(ImportError::Interrupted)));
    assert_eq!(names(folder.path()), before);
}
