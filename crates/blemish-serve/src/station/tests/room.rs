//! Which pictures go when there is no room.

use super::*;

/// 10 MiB of room, 30 MiB of images: what is left is what the order says, and no more than one image is ever beyond the limit.
#[tokio::test(flavor = "multi_thread")]
async fn pictures_make_room_in_their_order() {
    const LIMIT: u64 = 10 << 20;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("history.db")).unwrap());
    let pictures = Pictures::new(folder.path().join("images"));
    let limits = retention::Limits { bytes: LIMIT, days: 36_500 };
    let now = SystemTime::now();
    let map = blemish::map::AnomalyMap { height: 0, width: 0, values: Vec::new() };
    let on_disk = || bytes_below(pictures.root());
    let each = 100 << 10;
    let count = 300u64;
    let mut kinds = std::collections::HashMap::new();
    for number in 0..count {
        let mut row = store::tests::row(number, 1.0, number % 10 == 1);
        let kind = match number % 10 {
            0 => "pinned",
            1 => "flagged",
            2 => "labelled",
            _ => "passed",
        };
        row.pinned = kind == "pinned" && number < 100;
        row.bytes = each;
        let (file, _, bytes) = pictures.write(&row.id, &vec![b'B'; each as usize], &map, (0.0, 1.0)).unwrap();
        assert_eq!(bytes, each);
        row.file = file;
        kinds.insert(row.id.clone(), (kind, number));
        let label = kind == "labelled";
        let written = row.clone();
        store
            .write(move |connection| {
                written.insert(connection)?;
                if label {
                    store::labels::label(
                        connection,
                        std::slice::from_ref(&written.id),
                        store::labels::Label::Good,
                        "",
                        "",
                    )?;
                }
                Ok(())
            })
            .unwrap();
        assert!(on_disk() <= LIMIT + each, "beyond the limit by more than one image");
        retention::enforce(&store, &pictures, limits, 0, now).unwrap();
        assert!(on_disk() <= LIMIT);
    }
    let left: Vec<String> = store
        .read(|connection| {
            let mut list = connection.prepare("SELECT id FROM image WHERE bytes > 0 ORDER BY id").unwrap();
            Ok(list.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap())
        })
        .unwrap();
    let of = |wanted: &str| left.iter().filter(|id| kinds[*id].0 == wanted).count();
    let pinned: Vec<u64> = left
        .iter()
        .map(|id| kinds[id])
        .filter(|(kind, number)| *kind == "pinned" && *number < 100)
        .map(|(_, number)| number)
        .collect();
    assert_eq!(pinned, (0..10).map(|ten| ten * 10).collect::<Vec<_>>(), "pinned ones stay, however old");
    assert_eq!(
        (of("labelled"), of("flagged")),
        (30, 30),
        "labelled and flagged ones stay while others can go"
    );
    let passed: Vec<u64> = left
        .iter()
        .map(|id| kinds[id])
        .filter(|(kind, number)| *kind == "passed" || (*kind == "pinned" && *number >= 100))
        .map(|(_, number)| number)
        .collect();
    assert_eq!(passed.len(), 102 - 70);
    assert!(
        passed.iter().all(|number| *number >= passed[0]) && *passed.last().unwrap() == count - 1,
        "the newest that passed"
    );
    // A smaller limit takes flagged ones next, the oldest first, and labelled ones last.
    retention::enforce(&store, &pictures, retention::Limits { bytes: 4 << 20, ..limits }, 0, now).unwrap();
    let rows = store
        .read(|connection| store::history::Filter { limit: Some(500), ..Default::default() }.list(connection))
        .unwrap()
        .images;
    let has = |row: &&store::images::Row| row.has_original;
    assert_eq!(rows.len(), 300, "rows outlive pictures");
    assert_eq!(rows.iter().filter(has).filter(|row| row.label.is_some()).count(), 30);
    assert_eq!(
        rows.iter()
            .filter(has)
            .filter(|row| row.verdict.as_ref().unwrap().anomalous == Some(true) && row.label.is_none())
            .count(),
        0
    );
    retention::enforce(&store, &pictures, retention::Limits { bytes: 0, ..limits }, 0, now).unwrap();
    assert_eq!(on_disk(), 10 * each, "pinned ones stay whatever happens");
    assert!(store.read(retention::held).unwrap().pictures == 10);
}
