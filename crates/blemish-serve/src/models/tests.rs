//! The engine: scores are those of the library whatever is going on, limits hold, and nothing is left behind.

use super::*;
use crate::answer::Answered;
use crate::bus::{Event, Happening, Listener};
use crate::testing::{asked, bench, options, score, server, until};
use axum::body::Bytes;
use blemish::data::{Pixels, RgbImage};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// An image of this name makes the scoring panic, as a fault in a method would.
pub(crate) const PANICS: &str = "panic, please";

/// Keeps what was answered.
#[derive(Default)]
struct Heard(Mutex<Vec<Arc<Answered>>>, Mutex<Vec<String>>);

impl Listener for Heard {
    fn take(&self, event: &Event) {
        match &event.what {
            Happening::Answered(answered) => self.0.lock().unwrap().push(answered.clone()),
            Happening::Told(told) => self.1.lock().unwrap().push(told.kind.into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_and_any_batch_give_bitwise_the_scores_of_predict() {
    let images = bench().images();
    for batch in [1, 3, 8] {
        let (options, _folder) = options(&["line", "tiled", "native"]);
        let (server, _) =
            server(ServeOptions { batch, batch_wait: Duration::from_millis(5), ..options }).await;
        for name in ["line", "tiled", "native"] {
            let (served, expected) = (server.models.get(name).unwrap(), bench().scores(name));
            let mut work = tokio::task::JoinSet::new();
            for client in 0..32 {
                let (served, images, expected) = (served.clone(), images.clone(), expected.clone());
                work.spawn(async move {
                    for step in 0..images.len() {
                        let at = (client + step) % images.len();
                        assert_eq!(score(&served, &images[at]).await.to_bits(), expected[at].to_bits());
                    }
                });
            }
            while let Some(done) = work.join_next().await {
                done.unwrap();
            }
            assert_eq!(served.counts().images, 32 * images.len() as u64);
        }
        until("everything is free", || {
            let free = server.models.memory().free();
            server.models.all().iter().all(|served| served.queued() == 0)
                && free.0 + free.1 == server.options.memory_limit
        })
        .await;
    }
}

#[tokio::test]
async fn verdicts_are_those_of_the_library_for_files_and_pixels() {
    let (options, _folder) = options(&["line", "native"]);
    let (server, _) = server(options).await;
    let heard = Arc::new(Heard::default());
    server.bus.join(heard.clone());
    for name in ["line", "native"] {
        let served = server.models.get(name).unwrap();
        let detector = blemish::Detector::load(&bench().path(name), &Default::default()).unwrap();
        for bytes in bench().images() {
            let image = blemish::data::decode_image(&bytes, &detector.transform().read_options()).unwrap();
            let expected = detector.judge("", &image).unwrap();
            for given in [Given::Encoded(bytes.clone()), Given::Pixels(image.clone())] {
                let answered = served.score(served.reserve().unwrap(), given, asked("a.png")).await.unwrap();
                let verdict = &answered.verdict;
                assert_eq!(verdict.score.to_bits(), expected.score.to_bits());
                assert_eq!(verdict.p_value, expected.decision.as_ref().map(|decision| decision.p_value));
                assert_eq!(
                    verdict.anomalous,
                    expected.decision.as_ref().and_then(|decision| decision.anomalous)
                );
                // Outlines are for drawing and are not part of the JSON.
                let regions =
                    expected.decision.as_ref().map(|decision| &decision.regions[..]).unwrap_or_default();
                assert_eq!(verdict.regions, regions);
                assert_eq!((verdict.size, verdict.model.as_str()), ([64, 64], name));
                assert_eq!(verdict.version, served.current().identity[..12]);
                // What is answered is on the bus by then.
                assert!(Arc::ptr_eq(heard.0.lock().unwrap().last().unwrap(), &answered));
            }
        }
    }
}

#[tokio::test]
async fn images_that_are_none_and_too_large_ones_say_so() {
    let (options, _folder) = options(&["line"]);
    let options = ServeOptions { memory_limit: 8 << 20, max_pixels: 3_000_000, ..options };
    let (server, _) = server(options).await;
    let served = server.models.get("line").unwrap();
    let code = async |given: Given| {
        served
            .score(served.reserve().unwrap(), given, asked(""))
            .await
            .map(|_| "")
            .map_err(|fault| (fault.code, fault.status().as_u16()))
    };
    let encoded = |bytes: &[u8]| Given::Encoded(Bytes::copy_from_slice(bytes));
    let image = &bench().images()[0];
    assert_eq!(code(encoded(b"%PDF-1.4 and so on")).await, Err(("image_format", 415)));
    assert_eq!(code(encoded(b"")).await, Err(("image_unreadable", 422)));
    assert_eq!(code(encoded(&image[..image.len() / 2])).await, Err(("image_unreadable", 422)));
    assert_eq!(code(encoded(&png_head(60_000, 60_000))).await, Err(("image_too_large", 413)));
    // Within the pixels that are allowed, but not within the memory.
    assert_eq!(code(encoded(&png_head(1700, 1700))).await, Err(("image_too_large", 413)));
    assert_eq!(code(encoded(&png_head(4, 4))).await, Err(("image_too_small", 422)));
    let pixels =
        |height, width, count| Given::Pixels(RgbImage { height, width, pixels: Pixels::U8(vec![0; count]) });
    assert_eq!(code(pixels(10, 10, 299)).await, Err(("pixels", 400)));
    assert_eq!(code(pixels(10, 10, 300)).await, Ok(""));
    assert_eq!(code(encoded(image)).await, Ok(""));
    // It is given back once the work has ended, which may be after the answer.
    let free = || server.models.memory().free().0 + server.models.memory().free().1;
    for _ in 0..500 {
        if free() == 8 << 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(free(), 8 << 20);
}

/// A PNG of that size in 8-bit RGB, whose data is missing.
pub(crate) fn png_head(width: u32, height: u32) -> Vec<u8> {
    let mut head = Vec::from(*b"\x89PNG\r\n\x1a\n");
    let mut chunk = |kind: &[u8], data: &[u8]| {
        head.extend_from_slice(&(data.len() as u32).to_be_bytes());
        head.extend_from_slice(kind);
        head.extend_from_slice(data);
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        head.extend_from_slice(&crc.sum().to_be_bytes());
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[&size[..], &[8, 2, 0, 0, 0]].concat());
    chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01]);
    head
}

#[tokio::test]
async fn a_full_queue_says_so_at_once_and_time_is_kept() {
    let (options, _folder) = options(&["line"]);
    let (server, _) = server(ServeOptions { queue: 2, ..options }).await;
    let served = server.models.get("line").unwrap();
    let (first, second) = (served.reserve().unwrap(), served.reserve().unwrap());
    assert_eq!((served.reserve().unwrap_err().code, served.queued()), ("queue_full", 2));
    drop(second);
    let third = served.reserve().unwrap();
    let late = Asked { deadline: Instant::now(), ..asked("") };
    let given = || Given::Encoded(bench().images()[0].clone());
    assert_eq!(served.score(first, given(), late).await.unwrap_err().code, "deadline");
    served.score(third, given(), asked("")).await.unwrap();
    until("places are free", || served.queued() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_leaves_nothing_behind() {
    let (options, _folder) = options(&["line"]);
    let (server, _) = server(options).await;
    let served = server.models.get("line").unwrap();
    let image = bench().images()[0].clone();
    for round in 0..60 {
        let work = served.score(served.reserve_when_free().await, Given::Encoded(image.clone()), asked(""));
        // At different moments: before, in and after decoding, while scored.
        let _ = tokio::time::timeout(Duration::from_micros(50 * round), work).await;
    }
    until("places and memory are free", || {
        let free = server.models.memory().free();
        served.queued() == 0 && free.0 + free.1 == server.options.memory_limit
    })
    .await;
    score(&served, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_image_alone_and_a_second_one_the_model() {
    let (options, _folder) = options(&["line"]);
    let (server, _) = server(ServeOptions { batch_wait: Duration::from_millis(50), ..options }).await;
    let served = server.models.get("line").unwrap();
    let given = || Given::Encoded(bench().images()[0].clone());
    let together = [asked(""), asked(PANICS), asked("")]
        .map(|asked| served.score(served.reserve().unwrap(), given(), asked));
    let outcomes = futures_util::future::join_all(together).await;
    let codes: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().map_err(|fault| fault.code).map(|_| ())).collect();
    assert_eq!(codes, [Ok(()), Err("panic"), Ok(())]);
    assert_eq!(served.state(), State::Ready);
    assert!(served.score(served.reserve().unwrap(), given(), asked(PANICS)).await.is_err());
    assert!(matches!(served.state(), State::Failed(_)));
    assert_eq!(served.reserve().unwrap_err().code, "not_ready");
    assert_eq!(server.readiness().reasons.len(), 1);
    served.reload().await.unwrap();
    served.score(served.reserve().unwrap(), given(), asked("")).await.unwrap();
}

#[tokio::test]
async fn a_bad_file_leaves_the_old_version_in_place() {
    let (options, _folder) = options(&["line"]);
    let (server, _) = server(options).await;
    let heard = Arc::new(Heard::default());
    server.bus.join(heard.clone());
    let served = server.models.get("line").unwrap();
    let (path, image) = (served.path().to_owned(), bench().images()[0].clone());
    let (good, before) = (std::fs::read(&path).unwrap(), served.current());
    let expected = score(&served, &image).await;
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let (key, mut newer) = (b"format_version", good.clone());
    let at = good.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    let digit = at + good[at..].iter().position(u8::is_ascii_digit).unwrap();
    newer[digit] = b'9';
    let bad = [
        ("truncated", good[..good.len() - 100].to_vec()),
        ("empty", Vec::new()),
        ("foreign", b"no model at all".to_vec()),
        ("flipped in the middle", flipped(good.len() / 2)),
        ("flipped at the end", flipped(good.len() - 1)),
        ("newer", newer),
    ];
    let count = bad.len() as u64;
    for (name, bytes) in bad {
        // In place, as `cp` does.
        std::fs::write(&path, bytes).unwrap();
        let fault = served.reload().await.err().unwrap_or_else(|| panic!("{name} was taken"));
        assert_eq!(fault.status().as_u16(), 422, "{name}: {fault}");
        assert!(Arc::ptr_eq(&served.current(), &before) && server.readiness().ready);
        assert_eq!(score(&served, &image).await.to_bits(), expected.to_bits());
        assert_eq!(served.reload_error(), Some(fault.to_string()));
    }
    assert_eq!((served.counts().reload_failures, heard.1.lock().unwrap().len() as u64), (count, count));
    std::fs::copy(bench().path("other"), &path).unwrap();
    served.reload().await.unwrap();
    assert_ne!(served.current().version, before.version);
    assert_eq!((served.reload_error(), heard.1.lock().unwrap().last().unwrap().as_str()), (None, "reload"));
    assert_eq!(score(&served, &image).await.to_bits(), bench().scores("other")[0].to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_change_under_load_and_every_score_is_of_the_version_that_it_names() {
    let (options, _folder) = options(&["line"]);
    let (server, _) = server(ServeOptions { verifies: false, ..options }).await;
    let served = server.models.get("line").unwrap();
    let path = served.path().to_owned();
    let version = |name: &str| Version::load(&bench().path(name), &Default::default()).unwrap().version;
    let expected = [(version("line"), bench().scores("line")), (version("other"), bench().scores("other"))];
    assert_ne!(expected[0].0, expected[1].0);
    let (images, swaps) = (bench().images(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let mut work = tokio::task::JoinSet::new();
    for client in 0..8 {
        let (served, images, expected, swaps) =
            (served.clone(), images.clone(), expected.clone(), swaps.clone());
        work.spawn(async move {
            let (mut count, mut seen) = (0, std::collections::BTreeSet::new());
            while count < 125 || swaps.load(std::sync::atomic::Ordering::Relaxed) < 20 {
                let at = (client + count) % images.len();
                let place = served.reserve_when_free().await;
                let answered =
                    served.score(place, Given::Encoded(images[at].clone()), asked("")).await.unwrap();
                let known =
                    expected.iter().find(|(version, _)| *version == answered.verdict.version).unwrap();
                assert_eq!(answered.verdict.score.to_bits(), known.1[at].to_bits());
                seen.insert(answered.verdict.version.clone());
                count += 1;
            }
            seen.len()
        });
    }
    for swap in 0..20 {
        replace(&bench().path(["other", "line"][swap % 2]), &path, swap % 3 == 0);
        served.reload().await.unwrap();
        swaps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let mut seen = 0;
    while let Some(done) = work.join_next().await {
        seen = seen.max(done.unwrap());
    }
    assert_eq!((seen, served.counts().failed), (2, 0));
}

/// Puts a file in the place of another: in place, or whole.
fn replace(from: &Path, to: &Path, in_place: bool) {
    if in_place {
        std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
        return;
    }
    let beside = to.with_extension("new");
    std::fs::copy(from, &beside).unwrap();
    std::fs::rename(&beside, to).unwrap();
}

#[tokio::test]
async fn a_new_file_is_seen_once_it_stands_still_and_tried_once() {
    let (options, _folder) = options(&["line"]);
    let (server, _) = server(options).await;
    let served = server.models.get("line").unwrap();
    let path = served.path().to_owned();
    assert!(!served.has_new_file() && !served.has_other_file());
    std::fs::write(&path, b"half of a mod").unwrap();
    assert!(!served.has_new_file());
    std::fs::write(&path, b"half of a model").unwrap();
    assert!(!served.has_new_file() && served.has_other_file());
    assert!(served.has_new_file());
    assert!(served.reload().await.is_err());
    assert!(!served.has_new_file() && !served.has_new_file());
    std::fs::remove_file(&path).unwrap();
    assert!(!served.has_new_file());
    replace(&bench().path("other"), &path, false);
    assert!(!served.has_new_file());
    assert!(served.has_new_file());
    served.reload().await.unwrap();
    assert!(!served.has_new_file());
}

#[tokio::test]
async fn a_version_in_shadow_scores_after_the_answer_and_answers_nobody() {
    let (options, _folder) = options(&["line"]);
    let (server, _) = server(options).await;
    let heard = Arc::new(Heard::default());
    server.bus.join(heard.clone());
    let served = server.models.get("line").unwrap();
    let bad = served.set_shadow(Some("none.blemish".into())).await.unwrap_err();
    assert_eq!(bad.code, "io");
    served.set_shadow(Some(bench().path("tiled"))).await.unwrap();
    let image = bench().images()[0].clone();
    assert_eq!(score(&served, &image).await.to_bits(), bench().scores("line")[0].to_bits());
    until("the shadow has scored", || heard.0.lock().unwrap().len() == 2).await;
    let shadow = heard.0.lock().unwrap()[1].clone();
    assert!(shadow.is_shadow && shadow.verdict.version == served.shadow().unwrap().version);
    assert_eq!(shadow.verdict.score.to_bits(), bench().scores("tiled")[0].to_bits());
    served.set_shadow(None).await.unwrap();
    score(&served, &image).await;
    assert_eq!((heard.0.lock().unwrap().len(), served.counts().images), (3, 2));
}

#[tokio::test]
async fn models_come_and_go() {
    let (options, folder) = options(&["line"]);
    let (server, _) = server(options).await;
    let option = |name: &str, path: PathBuf| ModelOption { name: name.into(), path };
    assert!(server.models.only().is_ok());
    server.models.add(option("second", bench().path("other"))).await.unwrap();
    assert_eq!(server.models.only().err().unwrap().code, "several_models");
    assert_eq!(
        server.models.add(option("second", bench().path("line"))).await.err().unwrap().code,
        "conflict"
    );
    assert_eq!(server.models.add(option("a b", bench().path("line"))).await.err().unwrap().code, "setting");
    assert_eq!(server.models.add(option("none", folder.path().join("none"))).await.err().unwrap().code, "io");
    let served = server.models.get("second").unwrap();
    server.models.remove("second");
    assert!(server.models.find("second").is_err());
    // Whoever has it yet finishes with it.
    score(&served, &bench().images()[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_watched() {
    let (options, _folder) = options(&["line"]);
    let (server, _) = server(options).await;
    let watching = tokio::spawn(server.models.clone().watch());
    let served = server.models.get("line").unwrap();
    let before = served.current().version.clone();
    replace(&bench().path("other"), served.path(), true);
    until("the new file is taken", || served.current().version != before).await;
    assert_eq!(served.counts().reload_failures, 0);

    // A file that goes away is said once, and what comes back is read, even if it is the same.
    let away = served.path().with_extension("away");
    let told = |kind: &str| {
        let of_kind = |event: &Event| matches!(&event.what, Happening::Told(told) if told.kind == kind);
        server.bus.since(0).0.iter().filter(|event| of_kind(event)).count()
    };
    for round in 1..=2 {
        let reloads = told("reload");
        std::fs::rename(served.path(), &away).unwrap();
        until("it is said", || told("reload_failed") == round).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!((told("reload_failed"), served.counts().reload_failures), (round, round as u64));
        assert!(served.reload_error().unwrap().contains("any more"));
        assert_eq!(server.models.not_ready(), Vec::<String>::new());
        std::fs::rename(&away, served.path()).unwrap();
        until("it is back", || told("reload") == reloads + 1 && served.reload_error().is_none()).await;
    }
    watching.abort();
}
