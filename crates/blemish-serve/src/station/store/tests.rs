//! The store: files of other times and damaged ones, what a crash leaves, filters, and how long they take.

use super::history::{Filter, counts_since, last_scores, pairs};
use super::images::{Frame, Row, Said, image, image_id, verdicts};
use super::labels::{Label, label, labels};
use super::*;
use crate::answer::Milliseconds;
use std::time::SystemTime;

/// An image of the history; `number` is its time in seconds.
pub(crate) fn row(number: u64, score: f32, anomalous: bool) -> Row {
    let received = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_824_000 + number);
    let said = Said {
        model: "line".into(),
        version: "0123456789ab".into(),
        score,
        p_value: Some(if anomalous { 0.001 } else { 0.5 }),
        threshold: Some(5.0),
        anomalous: Some(anomalous),
        regions: Vec::new(),
        milliseconds: Milliseconds::default(),
        frame: Frame { x: 0, y: 0, width: 6, height: 4 },
        shadow: false,
        words: None,
        rank: Some((3, 250)),
    };
    Row {
        id: image_id(received, &format!("r-{number}"), "line"),
        request: format!("r-{number}"),
        time: 1_795_824_000.0 + number as f64,
        source: if number.is_multiple_of(2) { "http" } else { "folder" }.into(),
        name: format!("{number}.png"),
        sha256: "00".into(),
        size: [4, 6],
        bytes: 0,
        has_original: false,
        has_map: false,
        pinned: false,
        label: None,
        verdict: Some(said),
        file: None,
        map: None,
        audit: false,
    }
}

fn add(store: &Store, rows: Vec<Row>) {
    store.write(move |connection| rows.iter().try_for_each(|row| row.insert(connection))).unwrap();
}

fn ids(store: &Store, filter: Filter) -> Vec<String> {
    store
        .read(|connection| Ok(filter.list(connection)?.images.into_iter().map(|row| row.name).collect()))
        .unwrap()
}

#[test]
fn rows_come_back_and_the_latest_label_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("history.db")).unwrap();
    let one = row(7, 6.5, true);
    add(&store, vec![one.clone(), row(8, 1.0, false)]);
    // The same image again changes nothing.
    add(&store, vec![Row { name: "other".into(), ..one.clone() }]);
    let read = store.read(|connection| image(connection, &one.id)).unwrap();
    let words = Some("3 of 250 good images score like this or worse".to_owned());
    let verdict = one.verdict.clone().map(|said| Said { words, ..said });
    assert_eq!(read, Row { verdict, ..one.clone() });
    let id = one.id.clone();
    let unknown = store
        .write(move |connection| {
            let ids = [id, "nobody".to_owned()];
            label(connection, &ids, Label::Good, "Ada", "shadow of a hair")?;
            label(connection, &ids, Label::Defective, "Bo", "")
        })
        .unwrap();
    assert_eq!(unknown, ["nobody"]);
    let (now, all) = store
        .read(|connection| Ok((image(connection, &one.id)?.label, labels(connection, &one.id)?)))
        .unwrap();
    assert_eq!(now.as_deref(), Some("defective"));
    assert_eq!(all.iter().map(|given| given.author.as_str()).collect::<Vec<_>>(), ["Bo", "Ada"]);
    assert_eq!(all[1].note, "shadow of a hair");
    let missing = store.read(|connection| image(connection, "0".repeat(20).as_str())).unwrap_err();
    assert_eq!(missing.code, "not_found");
}

#[test]
fn filters_find_what_they_say_and_pages_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("history.db")).unwrap();
    let mut rows: Vec<Row> = (0..10).map(|number| row(number, number as f32, number >= 7)).collect();
    rows[2].audit = true;
    rows[3].pinned = true;
    let id = |number: usize| rows[number].id.clone();
    let labelled = [(id(8), Label::Good), (id(1), Label::Defective), (id(4), Label::Good)];
    add(&store, rows.clone());
    store
        .write(move |connection| {
            for (id, one) in labelled {
                label(connection, &[id], one, "", "")?;
            }
            Ok(())
        })
        .unwrap();
    let text = |text: &str| Some(text.to_owned());
    let of = |filter: Filter| ids(&store, filter);
    assert_eq!(of(Filter { verdict: text("flagged"), ..Filter::default() }), ["9.png", "8.png", "7.png"]);
    assert_eq!(of(Filter { filter: text("disagreements"), ..Filter::default() }), ["8.png", "1.png"]);
    assert_eq!(of(Filter { filter: text("unlabelled"), ..Filter::default() }), ["9.png", "7.png"]);
    assert_eq!(of(Filter { filter: text("questions"), ..Filter::default() }), ["9.png", "7.png", "2.png"]);
    assert_eq!(of(Filter { filter: text("pinned"), ..Filter::default() }), ["3.png"]);
    assert_eq!(of(Filter { label: text("good"), ..Filter::default() }), ["8.png", "4.png"]);
    assert_eq!(
        of(Filter { p_max: Some(0.01), source: text("folder"), ..Filter::default() }),
        ["9.png", "7.png"]
    );
    assert_eq!(of(Filter { day: text("2026-11-27"), ..Filter::default() }).len(), 0);
    assert_eq!(of(Filter { day: text("2026-11-28"), model: text("line"), ..Filter::default() }).len(), 10);
    let page =
        store.read(|connection| Filter { limit: Some(4), ..Filter::default() }.list(connection)).unwrap();
    assert_eq!(page.images.len(), 4);
    let next = Filter { limit: Some(4), before: page.next, ..Filter::default() };
    assert_eq!(of(next), ["5.png", "4.png", "3.png", "2.png"]);
    let after = Filter { after: Some(id(6)), limit: Some(2), ..Filter::default() };
    assert_eq!(of(after), ["8.png", "7.png"], "those that follow, newest first");
    let questions = Filter { filter: text("questions"), ..Filter::default() };
    let asked = store.read(|connection| questions.list(connection)).unwrap();
    assert!(asked.images.iter().all(|row| row.verdict.is_none()), "whoever answers shall not know");
    for wrong in [
        Filter { verdict: text("'; DROP TABLE image"), ..Filter::default() },
        Filter { day: text("today"), ..Filter::default() },
        Filter { p_max: Some(2.0), ..Filter::default() },
        Filter { filter: text("all"), ..Filter::default() },
        Filter { label: text("bad"), ..Filter::default() },
    ] {
        let fault =
            store.read(|connection| wrong.list(connection).map(|page| page.images.len())).unwrap_err();
        assert_eq!(fault.code, "request", "{wrong:?}");
    }
    assert_eq!(store.read(|connection| counts_since(connection, 0)).unwrap(), [10, 3, 3]);
    assert_eq!(
        store.read(|connection| last_scores(connection, "line", "0123456789ab", 3)).unwrap()[2].score,
        7.0
    );
}

#[test]
fn verdicts_in_shadow_stand_beside_and_make_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("history.db")).unwrap();
    let one = row(1, 2.0, false);
    let said = Said {
        shadow: true,
        version: "ffff-2".into(),
        anomalous: Some(true),
        ..one.verdict.clone().unwrap()
    };
    let id = one.id.clone();
    add(&store, vec![one.clone(), row(2, 3.0, false)]);
    store.write(move |connection| said.insert(connection, &id)).unwrap();
    let all = store.read(|connection| verdicts(connection, &one.id)).unwrap();
    assert_eq!(all.iter().map(|said| said.shadow).collect::<Vec<_>>(), [false, true]);
    let pairs = store.read(|connection| pairs(connection, "line", "ffff-2", 10)).unwrap();
    assert_eq!(pairs.len(), 1);
    assert_eq!((pairs[0].said[0].2, pairs[0].said[1].2), (Some(false), Some(true)));
}

#[test]
fn a_newer_file_is_refused_and_stays_and_a_damaged_one_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let store = Store::open(&path).unwrap();
    add(&store, vec![row(1, 1.0, false)]);
    drop(store);
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(connection);
    let fault = Store::open(&path).err().unwrap();
    assert_eq!(fault.code, "newer_version");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", schema::VERSION).unwrap();
    drop(connection);
    let store = Store::open(&path).unwrap();
    assert!(store.banner.is_none());
    assert_eq!(ids(&store, Filter::default()), ["1.png"], "it was left as it was");
    drop(store);
    // Nothing of a database is left.
    std::fs::write(&path, b"this is no database at all, and long enough to be looked at as one, surely")
        .unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.banner.as_ref().unwrap().contains("corrupt-"), "{:?}", store.banner);
    assert!(ids(&store, Filter::default()).is_empty());
    add(&store, vec![row(2, 1.0, false)]);
    drop(store);
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("history.db.corrupt-")), "{names:?}");
    // A page in the middle is overwritten.
    let bytes = std::fs::read(&path).unwrap();
    let damaged: Vec<u8> =
        bytes.iter().enumerate().map(|(at, &byte)| if at > 4200 { 0xa5 } else { byte }).collect();
    std::fs::write(&path, damaged).unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.banner.is_some());
    add(&store, vec![row(3, 1.0, false)]);
    assert_eq!(ids(&store, Filter::default()), ["3.png"]);
}

#[test]
fn what_fails_takes_nothing_else_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("history.db")).unwrap();
    let (first, second) = (row(1, 1.0, false), row(2, 1.0, false));
    store.write_soon(move |connection| first.insert(connection), || {});
    let fault = store.write(|connection| {
        row(5, 1.0, false).insert(connection)?;
        Err::<(), _>(Fault::request("no"))
    });
    assert_eq!(fault.unwrap_err().text, "no");
    store.write_soon(
        |connection| connection.execute("no SQL", []).map(drop).map_err(of_sqlite),
        || panic!("failed"),
    );
    let (told, heard) = std::sync::mpsc::channel();
    store.write_soon(move |connection| second.insert(connection), move || told.send(()).unwrap());
    heard.recv().unwrap();
    assert_eq!(ids(&store, Filter::default()), ["2.png", "1.png"]);
    assert_eq!(store.failures(), 1);
    store.close();
    assert_eq!(store.write(|_| Ok(())).unwrap_err().code, "shutting_down");
}

/// A hundred thousand rows: lists and filters read an index. What is counted is rows that are looked at, not milliseconds.
#[test]
fn lists_of_a_long_history_read_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("history.db")).unwrap();
    for part in 0..10 {
        add(
            &store,
            (part * 10_000..(part + 1) * 10_000).map(|number| row(number, 1.0, number % 100 == 0)).collect(),
        );
    }
    let text = |text: &str| Some(text.to_owned());
    let began = std::time::Instant::now();
    for filter in [
        Filter::default(),
        Filter { verdict: text("flagged"), ..Filter::default() },
        Filter { filter: text("questions"), ..Filter::default() },
        Filter { filter: text("disagreements"), ..Filter::default() },
        Filter { label: text("good"), ..Filter::default() },
        Filter { p_max: Some(0.01), ..Filter::default() },
        Filter { model: text("line"), ..Filter::default() },
        Filter { day: text("2026-11-28"), ..Filter::default() },
    ] {
        let begun = std::time::Instant::now();
        let page = store.read(|connection| filter.list(connection)).unwrap();
        let count = store.read(|connection| filter.count(connection)).unwrap();
        eprintln!("{:?}: {} of {count} in {:?}", filter, page.images.len(), begun.elapsed());
        assert!(count <= 100_000);
    }
    // Far above what it takes: only a plan that reads all of it for every row would be caught here.
    assert!(began.elapsed() < Duration::from_secs(30));
}
