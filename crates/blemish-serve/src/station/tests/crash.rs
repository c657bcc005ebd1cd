//! The folder as a killed station leaves it.

use super::*;
use crate::testing::bench;

/// The folder as a killed station leaves it: copied while images come. After the start there is no row without its file and no file without
/// its row, and what was committed is there.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_rows_and_files_belong_together() {
    let bed = Bed::new(&["line"]).await;
    let image = bench().images()[0].clone();
    for _ in 0..20 {
        bed.score(image.clone()).await;
    }
    let before = bed.history(20).await;
    let copy = tempfile::tempdir().unwrap();
    let copied = copy.path().join("station");
    copy_all(bed.folder.path(), &copied);
    bed.station.close(Duration::from_secs(1));
    // A file whose row was not committed, and a row whose file is gone, as retention may leave them.
    let day = clock::day_folder(SystemTime::now());
    let id = store::images::image_id(SystemTime::now(), "lost", "line");
    let stray = copied.join("images").join(&day).join(format!("{id}.png"));
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, b"stray").unwrap();
    let others = copied.join("images").join(&day).join("notes.txt");
    std::fs::write(&others, b"not ours").unwrap();
    let gone = before[3]["id"].as_str().unwrap();
    std::fs::remove_file(copied.join("images").join(&day).join(format!("{gone}.png"))).unwrap();
    let store = Store::open(&copied.join("history.db")).unwrap();
    let pictures = Pictures::new(copied.join("images"));
    // What came since the start may be about to get its row.
    let began = |id: &str| store::images::milliseconds_of(id).unwrap();
    let first = before.last().unwrap()["id"].as_str().unwrap();
    assert_eq!(retention::mend(&store, &pictures, began(first)).unwrap(), (0, 0));
    assert!(stray.exists());
    assert_eq!(retention::mend(&store, &pictures, began(&id) + 1).unwrap(), (1, 1));
    assert!(!stray.exists() && others.exists());
    let rows = store
        .read(|connection| store::history::Filter { limit: Some(500), ..Default::default() }.list(connection))
        .unwrap()
        .images;
    assert_eq!(
        rows.iter().rev().map(|row| row.id.clone()).collect::<Vec<_>>(),
        before.iter().rev().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    );
    for row in &rows {
        let is_there = row.file.as_ref().is_some_and(|file| copied.join("images").join(file).exists());
        assert_eq!(is_there, row.id != gone, "{}", row.id);
        assert_eq!(row.has_original, is_there, "a row does not promise what is gone");
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        match entry.path().is_dir() {
            true => copy_all(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name()))),
        }
    }
}
