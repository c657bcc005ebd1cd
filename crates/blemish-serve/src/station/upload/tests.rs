//! Uploads: what is harmless to repeat, and zips that mean no good.

use super::*;
use zip::write::SimpleFileOptions;

fn png(seed: u8) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(16, 12, |x, y| image::Rgb([x as u8, y as u8, seed]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn uploads(limits: Limits) -> (Uploads, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let uploads = Uploads::new(folder.path().join("uploads"), limits);
    let set = uploads.begin().unwrap();
    (uploads, set, folder)
}

fn take(uploads: &Uploads, set: &str, name: &str, bytes: &[u8]) -> Set {
    let received = uploads.receive(set).unwrap();
    std::fs::write(received.path(), bytes).unwrap();
    let mut told = Set { set: set.into(), ..Set::default() };
    uploads.take(&mut told, name, received.path()).unwrap();
    told
}

/// Every file below a folder.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => found.extend(all_files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[test]
fn files_are_known_by_their_content() {
    let (uploads, set, _folder) = uploads(Limits::default());
    let first = take(&uploads, &set, "a.png", &png(1));
    assert_eq!((first.added, first.known, first.images), (1, 0, 1));
    // A client whose connection broke sends it again, under whatever name.
    let again = take(&uploads, &set, "b.png", &png(1));
    assert_eq!((again.added, again.known, again.images), (0, 1, 1));
    let other = take(&uploads, &set, "a.png", &png(2));
    assert_eq!(other.images, 2, "the same name with other content is another file");
    assert_ne!(other.files[0].name, other.files[1].name);
    assert_eq!(other.files[0].size, [12, 16]);
    let refused = take(&uploads, &set, "notes.txt", b"no image").refused;
    assert_eq!(refused[0].name, "notes.txt");
    assert_eq!(uploads.file(&set, &other.files[1].sha256).unwrap(), png(2));
    let rest = uploads.remove(&set, &other.files[0].sha256).unwrap();
    assert_eq!(rest.files, other.files[1..]);
    assert_eq!(uploads.delete(&set).unwrap(), 1);
    assert_eq!(uploads.set(&set).unwrap_err().code, "not_found");
    for name in ["../models", "u-", "u-../../../etc", "u-0123456789ag", "/etc"] {
        assert_eq!(uploads.set(name).unwrap_err().code, "not_found", "{name}");
    }
}

#[test]
fn a_zip_is_unpacked_and_names_that_lead_out_are_refused() {
    let (uploads, set, folder) = uploads(Limits::default());
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    for (name, seed) in [
        ("train/good/000.png", 1),
        ("../outside.png", 2),
        ("/absolute.png", 3),
        ("a/../../outside.png", 4),
        ("C:\\outside.png", 5),
        ("deep/good/b.png", 6),
        ("__MACOSX/._b.png", 7),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(&png(seed)).unwrap();
    }
    zip.start_file("readme.txt", options).unwrap();
    zip.write_all(b"hello").unwrap();
    zip.add_symlink("link.png", "/etc/passwd", options).unwrap();
    let told = take(&uploads, &set, "set.zip", &zip.finish().unwrap().into_inner());
    let names: Vec<&str> = told.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["train/good/000.png", "deep/good/b.png"]);
    for name in [
        "readme.txt",
        "../outside.png",
        "/absolute.png",
        "a/../../outside.png",
        "C:\\outside.png",
        "link.png",
    ] {
        assert!(told.refused.iter().any(|one| one.name == name), "{name}: {:?}", told.refused);
    }
    assert_eq!(told.refused.len(), 6, "{:?}", told.refused);
    let inside = folder.path().join("uploads").join(&set);
    assert!(all_files(folder.path()).iter().all(|path| path.starts_with(&inside)), "nothing lies outside");
}

#[test]
fn a_zip_of_zeros_is_refused_by_what_it_unpacks_to() {
    let limits = Limits { image: 1 << 20, zip: 4 << 20, ..Limits::default() };
    let (uploads, set, folder) = uploads(limits);
    // 64 MiB of zeros in one entry stand for 10 GiB: both are cut at the limit.
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("zeros.png", SimpleFileOptions::default()).unwrap();
    for _ in 0..64 {
        zip.write_all(&vec![0; 1 << 20]).unwrap();
    }
    zip.start_file("good.png", SimpleFileOptions::default()).unwrap();
    zip.write_all(&png(1)).unwrap();
    let mut bytes = zip.finish().unwrap().into_inner();
    let told = take(&uploads, &set, "bomb.zip", &bytes);
    assert_eq!((told.refused[0].name.as_str(), told.images), ("zeros.png", 1));
    // The same with a head that claims 100 bytes: what it really unpacks to counts.
    let claimed = (64u32 << 20).to_le_bytes();
    while let Some(at) = bytes.windows(4).position(|four| four == claimed) {
        bytes[at..at + 4].copy_from_slice(&100u32.to_le_bytes());
    }
    let told = take(&uploads, &set, "liar.zip", &bytes);
    assert_eq!(told.images, 1);
    assert!(!told.refused.is_empty(), "{told:?}");
    let total: u64 = all_files(folder.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(total < 1 << 20, "{total} bytes are left");
}

#[test]
fn a_zip_of_a_million_entries_is_refused_before_its_list_is_read() {
    let (uploads, set, _folder) = uploads(Limits::default());
    // The end of a large zip that claims 1,000,000 entries; what they would be does not matter any more.
    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.resize(100, 0);
    let at = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0]);
    bytes.extend([0; 8]);
    for number in [1_000_000u64, 1_000_000, 46_000_000, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07");
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(b"PK\x05\x06");
    bytes.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    let told = take(&uploads, &set, "many.zip", &bytes);
    assert_eq!(told.images, 0);
    assert!(told.refused[0].reason.contains("1000000 entries"), "{:?}", told.refused);
    // And a real one of a few more than are allowed.
    let few = Limits { entries: 50, ..Limits::default() };
    let (uploads, set, _folder) = self::uploads(few);
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for number in 0..51 {
        zip.start_file(format!("{number}.png"), SimpleFileOptions::default()).unwrap();
        zip.write_all(&png(number)).unwrap();
    }
    let told = take(&uploads, &set, "many.zip", &zip.finish().unwrap().into_inner());
    assert_eq!((told.images, told.refused.len()), (0, 1));
    for cut in ["PK\u{3}\u{4}", "PK\u{3}\u{4} and then nothing of a zip"] {
        assert_eq!(take(&uploads, &set, "cut.zip", cut.as_bytes()).refused.len(), 1);
    }
}
