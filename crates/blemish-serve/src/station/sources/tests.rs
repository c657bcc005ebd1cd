//! Sources: whatever a folder or a program does, each image comes once, and what is wrong is told.

use super::*;
use crate::station::tests::{Bed, until};
use crate::testing::bench;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

fn image(number: usize) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([(x + number as u32) as u8, y as u8, (number / 256) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

async fn bed(table: String) -> Bed {
    Bed::with(&["line"], |_| {}, |folder| fs::write(folder.join("sources.toml"), table).unwrap()).await
}

fn told(bed: &Bed) -> Told {
    bed.station.sources().remove(0)
}

fn folder_table(path: &Path, rest: &str) -> String {
    format!("[[source]]\nname = \"inbox\"\nfolder = {:?}\n{rest}", path.display().to_string())
}

fn command_table(script: &str, rest: &str) -> String {
    format!("[[source]]\nname = \"camera\"\ncommand = [\"sh\", \"-c\", {script:?}]\n{rest}")
}

#[test]
fn tables_say_what_is_wrong_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sources.toml");
    assert_eq!(read(&path).unwrap(), []);
    let of = |text: &str| {
        fs::write(&path, text).unwrap();
        all(&ServeOptions::default(), folder.path())
    };
    let two = of("[[source]]\nname = 'a'\nfolder = 'in'\nafter = 'move:done'\n[[source]]\nname = 'b'\ncommand = ['ffmpeg', '-']\ntrigger = '500ms'\nstall = '2s'").unwrap();
    assert_eq!(
        two[0].kind,
        Kind::Folder { path: "in".into(), after: After::Move("done".into()), events: true }
    );
    let trigger = Trigger::Interval(Duration::from_millis(500));
    assert_eq!(
        two[1].kind,
        Kind::Command { command: vec!["ffmpeg".into(), "-".into()], stall: Duration::from_secs(2), trigger }
    );
    for (text, wanted) in [
        ("[[source]]\nname = 'a'", "either folder or command"),
        ("[[source]]\nname = 'a'\nfolder = 'x'\ncommand = ['y']", "either folder or command"),
        ("[[source]]\nname = 'a'\nfolder = 'x'\nafter = 'burn'", "after is"),
        ("[[source]]\nname = 'a'\nfolder = 'x'\ntrigger = 'every'", "belong to commands"),
        ("[[source]]\nname = 'a'\ncommand = []", "command is a list"),
        ("[[source]]\nname = 'a'\ncommand = ['x']\ntrigger = 'soon'", "trigger is"),
        ("[[source]]\nname = ''\nfolder = 'x'", "needs a name"),
        ("[[source]]\nname = 'a'\nfolder = 'x'\n[[source]]\nname = 'a'\nfolder = 'y'", "are called"),
        ("[[source]]\nname = 'a'\nfodler = 'x'", "fodler"),
    ] {
        let fault = of(text).unwrap_err();
        assert!(
            fault.code == "setting" && format!("{} {}", fault.text, fault.help).contains(wanted),
            "{text}: {fault:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_of_the_options_go_beside_those_of_the_station() {
    let outer = tempfile::tempdir().unwrap();
    let table = |name: &str| format!("[[source]]\nname = \"{name}\"\nfolder = \"{name}\"\n");
    let given = crate::config::parse(&outer.path().join("serve.toml"), &table("given")).unwrap().sources;
    let bed = Bed::with(
        &["line"],
        |options| options.sources.clone_from(&given),
        |folder| fs::write(folder.join("sources.toml"), table("own")).unwrap(),
    )
    .await;
    let names: Vec<String> = bed.station.sources().into_iter().map(|told| told.name).collect();
    assert_eq!(names, ["given", "own"]);
    let Kind::Folder { path, .. } = &given[0].kind else { panic!("folder") };
    assert_eq!(*path, outer.path().join("given"));
    fs::write(outer.path().join("sources.toml"), table("given")).unwrap();
    let options = ServeOptions { sources: given, ..ServeOptions::default() };
    assert!(all(&options, outer.path()).unwrap_err().text.contains("two sources are called `given`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_gives_each_image_once_whatever_happens_to_it() {
    let outer = tempfile::tempdir().unwrap();
    let inbox = outer.path().join("in");
    let done = outer.path().join("done");
    fs::create_dir_all(&inbox).unwrap();
    let bed = bed(folder_table(&inbox, &format!("after = \"move:{}\"", done.display()))).await;
    until("it runs", || told(&bed).state == "running").await;
    // Written in halves: the first half alone is never taken for an image.
    let whole = image(1);
    let half = inbox.join("half.png");
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    fs::write(&half, &whole).unwrap();
    // Renamed into place.
    fs::write(outer.path().join("elsewhere.tmp"), image(2)).unwrap();
    fs::rename(outer.path().join("elsewhere.tmp"), inbox.join("renamed.png")).unwrap();
    // The same content twice, and one below.
    fs::create_dir_all(inbox.join("monday")).unwrap();
    fs::write(inbox.join("monday/again.png"), image(1)).unwrap();
    fs::write(inbox.join("monday/other.png"), image(3)).unwrap();
    // No image, and not even meant as one.
    fs::write(inbox.join("broken.png"), b"\x89PNG\r\n\x1a\n and then nothing").unwrap();
    fs::write(inbox.join("readme.txt"), b"hello").unwrap();
    until("three images came", || told(&bed).taken == 3).await;
    until("one was known", || told(&bed).repeated == 1).await;
    until("one is no image", || told(&bed).unreadable == 1).await;
    // It is counted a moment before its reason is written.
    let reason = || fs::read_to_string(inbox.join("unreadable/broken.png.txt"));
    until("its reason stands beside it", || reason().is_ok_and(|text| !text.trim().is_empty())).await;
    assert!(inbox.join("unreadable/broken.png").exists());
    assert!(told(&bed).error.unwrap().contains("broken.png"));
    until("files were moved", || !half.exists() && !inbox.join("monday/other.png").exists()).await;
    assert!(
        done.join("half.png").exists()
            && done.join("renamed.png").exists()
            && inbox.join("readme.txt").exists()
    );
    let names: HashSet<String> =
        bed.history(3).await.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
    assert!(names.contains("renamed.png") && names.contains("other.png"), "{names:?}");
    // The folder goes and comes back.
    fs::remove_dir_all(&inbox).unwrap();
    until("it waits", || {
        told(&bed).state == "waiting" && told(&bed).error.is_some() && told(&bed).retry_at.is_some()
    })
    .await;
    fs::create_dir_all(&inbox).unwrap();
    fs::write(inbox.join("after.png"), image(4)).unwrap();
    until("it goes on", || told(&bed).taken == 4 && told(&bed).state == "running").await;
    // While the line is paused images count as skipped.
    bed.json("POST", "/v1/station/pause", json!({})).await;
    fs::write(inbox.join("paused.png"), image(5)).unwrap();
    until("it was skipped", || told(&bed).skipped == 1).await;
    bed.json("POST", "/v1/station/resume", json!({})).await;
    assert_eq!(told(&bed).taken, 4);
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_files_of_a_share_without_events_come_once_also_after_a_restart() {
    let outer = tempfile::tempdir().unwrap();
    let inbox = outer.path().join("in");
    fs::create_dir_all(&inbox).unwrap();
    let table = folder_table(&inbox, "events = false");
    let bed = bed(table).await;
    for number in 0..1000 {
        fs::write(inbox.join(format!("{number:04}.png")), image(number)).unwrap();
    }
    let began = Instant::now();
    while told(&bed).taken < 1000 {
        assert!(began.elapsed() < Duration::from_secs(300), "{:?}", told(&bed));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (_, counted) = bed.json("GET", "/v1/station/images?limit=1", Value::Null).await;
    until("all are written", || {
        bed.station
            .store
            .read(|connection| crate::station::store::history::counts_since(connection, 0))
            .unwrap()[0]
            == 1000
    })
    .await;
    assert!(counted["total"].as_u64().unwrap() <= 1000);
    bed.station.close(Duration::from_secs(5));
    let folder = bed.folder;
    let (options, _models) = crate::testing::options(&["line"]);
    drop((bed.station, bed.server, bed.app));
    // The lock of the folder is free once the tasks of the station have seen that it is gone.
    let began = Instant::now();
    let (_server, station) = loop {
        let server = crate::server::Server::open(options.clone()).unwrap();
        server.models.verify().await.unwrap();
        match Station::open_with(folder.path(), &server, PathBuf::new()) {
            Ok(station) => {
                let _ = server.app(vec![station.room()]);
                break (server, station);
            }
            Err(fault) => {
                assert!(fault.code == "conflict" && began.elapsed() < Duration::from_secs(10), "{fault}")
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let told = || station.sources().remove(0);
    until("all are known", || told().repeated == 1000).await;
    assert_eq!(told().taken, 0);
    station.close(Duration::from_secs(1));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_hangs_or_writes_rubbish_is_started_again_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a.png");
    fs::write(&picture, &bench().images()[0]).unwrap();
    let show = picture.display();
    // It ends.
    let ends = bed(command_table(&format!("echo 'no light' >&2; cat {show}; exit 3"), "")).await;
    until("a frame came", || told(&ends).taken >= 1).await;
    until("it was started again", || told(&ends).restarts >= 1 && told(&ends).taken >= 2).await;
    until("it says why", || told(&ends).error.as_deref() == Some("it has ended with exit status: 3")).await;
    assert_eq!(told(&ends).tail[0], "no light");
    assert!(told(&ends).retry_at.is_some());
    ends.station.close(Duration::from_secs(1));
    // It hangs after a frame.
    let hangs = bed(command_table(&format!("cat {show}; sleep 1000"), "stall = \"1s\"")).await;
    until("it was started again", || told(&hangs).restarts >= 1).await;
    assert!(told(&hangs).taken >= 1);
    hangs.station.close(Duration::from_secs(1));
    // It writes what is no picture.
    let rubbish = bed(command_table("cat /dev/zero", "")).await;
    until("it says so", || told(&rubbish).error.is_some_and(|error| error.contains("neither JPEG nor PNG")))
        .await;
    assert_eq!(told(&rubbish).taken, 0);
    rubbish.station.close(Duration::from_secs(1));
    // It is not there.
    let table = "[[source]]\nname = \"camera\"\ncommand = [\"/no/such/program\"]\n".to_owned();
    let missing = bed(table).await;
    until("it says so", || {
        told(&missing).error.is_some_and(|error| error.contains("cannot start `/no/such/program`"))
    })
    .await;
    missing.station.close(Duration::from_secs(1));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn of_many_frames_the_newest_wins_and_a_trigger_takes_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a.png");
    fs::write(&picture, &bench().images()[0]).unwrap();
    // Hundreds of frames a second, of which one every 200 ms is scored.
    let loops = format!("while true; do cat {0} {0} {0} {0} {0}; done", picture.display());
    let fast = bed(command_table(&loops, "trigger = \"200ms\"")).await;
    until("frames are scored", || told(&fast).taken >= 5).await;
    let status = told(&fast);
    assert!(status.dropped > 10 * status.taken, "{} dropped, {} taken", status.dropped, status.taken);
    assert_eq!(status.state, "running");
    fast.json("POST", "/v1/station/pause", json!({})).await;
    until("frames are skipped", || told(&fast).skipped >= 1).await;
    fast.station.close(Duration::from_secs(1));
    let slow = format!("while true; do cat {}; sleep 0.05; done", picture.display());
    let asked = bed(command_table(&slow, "trigger = \"request\"")).await;
    until("it runs", || told(&asked).state == "running").await;
    assert_eq!(told(&asked).taken, 0);
    let (status, verdict) = asked.json("POST", "/v1/trigger", json!({})).await;
    assert_eq!(status, 200, "{verdict}");
    assert_eq!(verdict["score"].as_f64().unwrap() as f32, bench().scores("line")[0]);
    until("it was one", || told(&asked).taken == 1).await;
    assert_eq!(asked.history(1).await[0]["source"], "command");
    let (status, _) = asked.json("POST", "/v1/trigger", json!({"source": "nobody"})).await;
    assert_eq!(status, 404);
    asked.station.close(Duration::from_secs(1));
}
