//! A week of the line in simulated time: everything but the scoring is the station's own.
//!
//!     BLEMISH_SOAK_EVERY=1 cargo test --release -p blemish-serve a_week -- --nocapture
//!
//! takes an image every second and some minutes; it also looks at memory, which says something only where no other test runs. Without the
//! variable an image comes every other minute, and it takes seconds.

use super::*;
use crate::answer::{Answered, Milliseconds, Origin, Verdict};
use crate::bus::Happening;
use axum::body::Bytes;
use blemish::map::AnomalyMap;
use feedback::Audit;
use store::history::Filter;
use store::labels::{Label, label};

const DAY: u64 = 86_400;

/// 4 January 2100: after today, so that the station's own clock finds nothing old; the same in each run, so that the audit draws the same.
const BEGIN: u64 = 4_102_704_000;

/// Days of pictures.
const DAYS: u64 = 3;

/// Images that a monitor of drift without a calibration to rest on begins with.
const REFERENCE: u64 = 100;

/// Bytes of an original.
const ORIGINAL: usize = 2048;

/// Shares: of images that are defective, of these that pass, and of good ones that are flagged.
const DEFECTIVE: f64 = 0.005;
const MISSED: f64 = 0.2;
const ALARMED: f64 = 0.01;

/// A number in [0, 1) that belongs to an image and a question about it.
fn drawn(number: u64, question: u64) -> f64 {
    let mut bits =
        number.wrapping_mul(4).wrapping_add(question).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// The answer to an image of the line; its name says what it is. From `moved` on, scores lie higher.
fn answered(number: u64, second: u64, version: &str, is_moved: bool) -> Answered {
    let is_defective = drawn(number, 0) < DEFECTIVE;
    let is_flagged = drawn(number, 1) < if is_defective { 1.0 - MISSED } else { ALARMED };
    let spread = drawn(number, 2) as f32;
    let score = if is_flagged { 6.0 } else { 4.0 } + spread + if is_moved { 0.9 } else { 0.0 };
    let mut bytes = vec![0; ORIGINAL];
    bytes[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
    bytes[3..11].copy_from_slice(&number.to_le_bytes());
    Answered {
        verdict: Verdict {
            id: format!("week-{number}"),
            model: "line".into(),
            version: version.into(),
            score,
            p_value: Some(if is_flagged { 0.005 } else { 0.5 }),
            threshold: Some(6.0),
            anomalous: Some(is_flagged),
            regions: Vec::new(),
            size: [64, 64],
            milliseconds: Milliseconds { queue: 0.1, decode: 1.0, score: 20.0 },
        },
        origin: Origin::Http,
        name: if is_defective { "defective" } else { "good" }.into(),
        received: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
        bytes: Bytes::from(bytes),
        map: Arc::new(AnomalyMap { height: 4, width: 4, values: vec![score; 16] }),
        colours: (0.0, 20.0),
        covered: (0..64, 0..64),
        look: None,
        keep: None,
        is_shadow: false,
    }
}

/// Labels everything that people are asked about, by what the names say.
fn answer_questions(station: &Station) {
    loop {
        let asked = Filter { filter: Some("questions".into()), limit: Some(500), ..Filter::default() };
        let page = station.store.read(|connection| asked.list(connection)).unwrap().images;
        if page.is_empty() {
            return;
        }
        station
            .store
            .write(move |connection| {
                for (name, of) in [("good", Label::Good), ("defective", Label::Defective)] {
                    let ids: Vec<String> =
                        page.iter().filter(|row| row.name == name).map(|row| row.id.clone()).collect();
                    label(connection, &ids, of, "Ada", "")?;
                }
                Ok(())
            })
            .unwrap();
    }
}

fn count(station: &Station, sql: &str) -> u64 {
    let one =
        |connection: &Connection| Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap());
    station.store.read(one).unwrap() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_the_line_stays_within_its_limits() {
    let every: Option<u64> = std::env::var("BLEMISH_SOAK_EVERY").ok().and_then(|every| every.parse().ok());
    let (is_long, every) = (every.is_some(), every.unwrap_or(120));
    let folder = tempfile::tempdir().unwrap();
    let (mut options, _models) = options(&["line"]);
    options.station = Some(folder.path().to_owned());
    options.monitor = Some(folder.path().join("monitors"));
    let server = Server::open(options).unwrap();
    server.models.verify().await.unwrap();
    let station = Station::open_with(folder.path(), &server, std::env::current_exe().unwrap()).unwrap();
    let outputs = crate::outputs::room(&server, std::io::sink()).unwrap();
    let (app, _closings) = server.app(vec![outputs, station.room()]);
    let version = server.models.get("line").unwrap().current().version.clone();
    let drift = || server.plugs.watch.get().unwrap().state("line").unwrap();

    // Room for less than a day of pictures, so that bytes decide of what passed, and days of what is labelled.
    let one = answered(0, BEGIN, &version, false);
    let each = (ORIGINAL + pictures::map_png(&one.map, one.colours).len()) as u64;
    let (per_day, limit) = (DAY / every, each * (DAY / every) * 4 / 5);
    let changes = json!({"history_max": limit, "history_days": DAYS, "audit": 0.02});
    let (status, told) = json_of(&app, request("PUT", "/v1/station/settings", changes.to_string())).await;
    assert_eq!(status, StatusCode::OK, "{told}");

    let mut memory = Vec::new();
    let mut pinned = Vec::new();
    for number in 0..7 * per_day {
        let second = BEGIN + number * every;
        let is_moved = number >= 6 * per_day;
        let answered = answered(number, second, &version, is_moved);
        let id = store::images::image_id(answered.received, &answered.verdict.id, "line");
        server.bus.tell(Happening::Answered(Arc::new(answered)));
        let sent = number + 1;
        // Time runs faster than disks write: the queue is given the time that it has on a line.
        if sent.is_multiple_of(400) || sent == 100 || sent.is_multiple_of(per_day) {
            let is_there = format!("SELECT count(*) FROM image WHERE id = '{id}'");
            until("the rows are there", || count(&station, &is_there) == 1).await;
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        // The station's own minute, as the simulated clock has it.
        if sent.is_multiple_of((600 / every).max(1)) {
            station.make_room(now).unwrap();
        }
        if sent.is_multiple_of((3600 / every).max(1)) {
            let held = station.store.read(retention::bytes_held).unwrap();
            assert!(held <= limit + each, "{held} bytes of {limit} after {sent} images");
            answer_questions(&station);
        }
        if sent == 100 {
            let first = Filter { limit: Some(5), ..Filter::default() };
            pinned = station.store.read(|connection| first.list(connection)).unwrap().images;
            let ids: Vec<String> = pinned.iter().map(|row| row.id.clone()).collect();
            let pin = move |connection: &Connection| {
                ids.iter().try_for_each(|id| store::images::pin(connection, id, true).map(drop))
            };
            station.store.write(pin).unwrap();
        }
        if sent.is_multiple_of(per_day) {
            let day = sent / per_day;
            let on_disk = bytes_below(station.pictures.root());
            assert!(on_disk <= limit + each, "day {day}: {on_disk} bytes of {limit}");
            if day == 6 {
                until("the monitor has seen all", || drift().watched + REFERENCE == sent).await;
                assert_eq!(drift().drift, None, "nothing has moved yet: {:?}", drift());
            }
            memory.push(crate::metrics::resident_bytes().unwrap_or(0));
        }
    }
    let (rows, end) = (7 * per_day, BEGIN + 7 * DAY);
    station.make_room(SystemTime::UNIX_EPOCH + Duration::from_secs(end)).unwrap();

    // No verdict is missing, and each lies on its day.
    assert_eq!((station.dropped(), station.store.failures()), (0, 0));
    assert_eq!(count(&station, "SELECT count(*) FROM image"), rows);
    assert_eq!(count(&station, "SELECT count(*) FROM verdict"), rows);
    for day in 4..11 {
        let of = Filter { day: Some(format!("2100-01-{day:02}")), ..Filter::default() };
        assert_eq!(station.store.read(|connection| of.count(connection)).unwrap(), per_day, "day {day}");
    }

    // Of pictures older than the limit of days only the pinned ones are left; what is younger and labelled is all there.
    let old = store::images::first_id((end - DAYS * DAY) * 1000);
    let kept =
        |what: &str| count(&station, &format!("SELECT count(*) FROM image WHERE bytes > 0 AND {what}"));
    assert_eq!(kept(&format!("id < '{old}'")), 5);
    assert_eq!(kept("pinned = 1"), 5);
    assert!(pinned.iter().all(|row| station.pictures.read(&format!("2100/01/04/{}.jpg", row.id)).is_some()));
    let labelled =
        |more: &str| format!("SELECT count(*) FROM image WHERE label IS NOT NULL AND id >= '{old}' {more}");
    assert_eq!(count(&station, &labelled("AND bytes > 0")), count(&station, &labelled("")));
    let held = station.store.read(retention::bytes_held).unwrap();
    assert_eq!(bytes_below(station.pictures.root()), held, "files and rows tell the same");

    // The audit is a fair sample, whatever retention has taken.
    let audit = station.store.read(|connection| Audit::read(connection, Some("line"), 0.02)).unwrap();
    let (wanted, deviation) = (0.02 * rows as f64, (0.02 * 0.98 * rows as f64).sqrt());
    assert!((audit.audited as f64 - wanted).abs() < 4.0 * deviation, "{audit:?}");
    assert!(audit.false_alarms.low <= ALARMED && ALARMED <= audit.false_alarms.high, "{audit:?}");
    assert!(audit.misses.low <= MISSED && MISSED <= audit.misses.high, "{audit:?}");

    until("the monitor has seen all", || drift().watched + REFERENCE == rows).await;
    let found = drift().drift.expect("the last day is another");
    assert!(found.image + REFERENCE > 6 * per_day, "{found:?}");

    // The history stays quick, and a row small.
    let began = Instant::now();
    for verdict in [None, Some("flagged".to_owned())] {
        let filter = Filter { verdict, ..Filter::default() };
        let page = station.store.read(|connection| Ok((filter.list(connection)?, filter.count(connection)?)));
        assert_eq!(page.unwrap().0.images.len(), 60);
    }
    let looked = began.elapsed() / 2;
    let database = |end: &str| {
        std::fs::metadata(folder.path().join(format!("history.db{end}"))).map_or(0, |file| file.len())
    };
    let (bytes, log) = (database(""), database("-wal"));
    assert!(bytes / rows < 1024, "{bytes} bytes of {rows} rows");
    assert!(log < 64 << 20, "{log} bytes wait in the journal");
    eprintln!(
        "{rows} rows in {bytes} bytes ({} each), journal {log}; pictures {held} of {limit} bytes; a page in {looked:?}; audit {} of {wanted:.0}, \
         false alarms {:?}, misses {:?}; drift found at {}; resident MiB by day {:?}",
        bytes / rows,
        audit.audited,
        audit.false_alarms,
        audit.misses,
        found.image,
        memory.iter().map(|bytes| bytes >> 20).collect::<Vec<_>>(),
    );
    if is_long {
        let grown = memory[6].saturating_sub(memory[0]);
        assert!(grown <= 10 << 20, "{grown} bytes more are resident than after the first day");
        assert!(looked < Duration::from_millis(300), "{looked:?}");
    }
    station.close(Duration::from_secs(1));
}
