//! Model files: the same scores after a round trip, and a clear error for every way to break one.

use crate::support::{Bench, SIDE};
use blemish::data::Transform;
use blemish::evaluate::EvaluateOptions;
use blemish::features::EngineOptions;
use blemish::file::{FORMAT_VERSION, Header, format};
use blemish::settings::Settings;
use blemish::state::{State, Values};
use blemish::{CalibrationConfig, Detector, DetectorConfig, Error, Recalibration, recalibrate};
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

fn load(path: &Path) -> Result<Detector, Error> {
    Detector::load(path, &EngineOptions::default())
}

#[test]
fn a_round_trip_keeps_every_bit_of_every_score() {
    let bench = Bench::new(3);
    for config in bench.configs() {
        let fitted = bench.fit(&config);
        let path = bench.path("model.blemish");
        fitted.save(&path).unwrap();
        let loaded = load(&path).unwrap();
        for sample in &bench.dataset.test {
            let (a, b) = (fitted.score_file(&sample.path).unwrap(), loaded.score_file(&sample.path).unwrap());
            assert_eq!((a.score, a.map.values), (b.score, b.map.values));
        }
        // Saving what was loaded gives the same file again.
        assert_eq!(bench.saved(&loaded), std::fs::read(&path).unwrap());
    }
}

/// The blur of PNI follows the size of the input.
#[test]
fn each_view_is_restored_with_its_own_settings() {
    let bench = Bench::new(4);
    let config = bench.config("pni", json!({"neighbourhood": false}));
    let config = DetectorConfig { input_sizes: vec![64, 32], ..config };
    bench.saved(&bench.fit(&config));
    let loaded = load(&bench.path("saved.blemish")).unwrap();
    assert!(loaded.verify(&EngineOptions::default()).unwrap().passed);
    let header = loaded.header();
    let sigma = |settings: &Settings| settings["sigma"].as_f64().unwrap();
    let of_small = header.views[1].settings.as_ref().unwrap();
    assert!((sigma(of_small) / sigma(&header.settings) - 0.5).abs() < 1e-6);
    assert!(header.views[0].settings.is_none(), "the first view's settings are the model's");
    assert_eq!(header.format_version, 2, "older programs would blur both alike");
}

#[test]
fn a_model_that_older_programs_can_read_is_written_as_they_expect_it() {
    let bench = Bench::new(2);
    for config in bench.configs().iter().filter(|config| config.ensemble.is_empty()) {
        let header = serde_json::to_value(bench.fit(config).header()).unwrap();
        assert_eq!(header["format_version"], 1);
        let is_known = |value: &Value, known: &[&str]| {
            value.as_object().unwrap().keys().all(|key| known.contains(&key.as_str()))
        };
        let keys = "format_version written_by method settings backbone transform seed data colour_range calibration views checksum";
        assert!(is_known(&header, &keys.split(' ').collect::<Vec<_>>()), "{header}");
        let mut views = header["views"].as_array().into_iter().flatten();
        assert!(views.all(|view| is_known(view, &["transform", "tiles", "spread"])), "{header}");
    }
}

#[cfg(unix)]
#[test]
fn whoever_may_read_an_ordinary_file_may_read_a_model() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(2);
    bench.saved(&bench.fit(&bench.configs()[0]));
    std::fs::write(bench.path("ordinary"), "").unwrap();
    let mode = |name: &str| std::fs::metadata(bench.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("saved.blemish"), mode("ordinary"));
}

#[test]
fn each_way_to_break_a_file_has_its_own_error() {
    let bench = Bench::new(2);
    let detector = bench.fit(&bench.configs()[0]);
    let good = bench.saved(&detector);
    let path = bench.path("broken.blemish");
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = load(&path).err().expect("a broken file must be refused");
        assert!(error.to_string().contains("broken.blemish"), "{error}");
        error
    };
    for end in [good.len() - 1, good.len() / 2, 40, 9] {
        assert!(matches!(error(&good[..end]), Error::Truncated { .. }), "cut after {end}");
    }
    assert!(matches!(error(b""), Error::NotAModel { .. }));
    assert!(matches!(error(b"\x89PNG\r\n\x1a\n and so on"), Error::NotAModel { .. }));
    assert!(matches!(error(b"just some text"), Error::NotAModel { .. }));
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(error(&altered), Error::Corrupt { .. }));
    let (mut header, state) = format::read(&bench.path("saved.blemish")).unwrap();
    header.format_version = FORMAT_VERSION + 1;
    format::write(&path, &header, &state).unwrap();
    assert!(matches!(load(&path), Err(Error::NewerVersion { .. })));
    assert!(matches!(load(&bench.path("absent.blemish")), Err(Error::Io { .. })));
    assert!(matches!(load(&bench.path("set")), Err(Error::NotAModel { .. } | Error::Io { .. })));
}

/// How many mutations are tried; `BLEMISH_MUTATIONS=10000 cargo test --workspace --release --test detector model_files` is the long run.
fn mutations() -> usize {
    std::env::var("BLEMISH_MUTATIONS").map_or(600, |count| count.parse().unwrap())
}

/// What a mutated model may do: be refused, by reading or by verification, or score with finite numbers (or refuse to score).
fn survives(path: &Path, image: &Path) -> bool {
    let Ok(detector) = load(path) else { return false };
    if let Ok(scored) = detector.score_file(image) {
        assert!(scored.score.is_finite() && scored.map.values.iter().all(|value| value.is_finite()));
    }
    // Altered content that loads all the same is found by verification.
    detector.verify(&EngineOptions::default()).is_ok_and(|verified| verified.passed)
}

/// What a user sees of an image: its verdict, with scores to the last bit.
fn verdict(detector: &Detector, image: &Path) -> (Vec<u32>, String) {
    let scored = detector.score_file(image).unwrap();
    let bits = [scored.score].iter().chain(&scored.map.values).map(|value| value.to_bits()).collect();
    let verdict = detector.verdict("image", &scored, (SIDE, SIDE), 0.0).unwrap();
    (bits, serde_json::to_string(&verdict).unwrap())
}

/// Another file: bits, bytes and words changed, pieces swapped, doubled, left out or added, the header edited as a person would, cut short.
fn mutated_bytes(good: &[u8], header_end: usize, random: &mut rand_chacha::ChaCha8Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let mut below = |end: usize| random.next_u32() as usize % end.max(1);
    // Half of the changes hit the header, where they mean most.
    let range = if below(2) == 0 { header_end } else { good.len() };
    let (at, other, length) = (below(range), below(range), 1 + below(64));
    let piece = at..(at + length).min(good.len());
    match below(12) {
        0..=2 => bytes[at] ^= 1 << below(8),
        3 => bytes[at] = [0, 0xFF, b'9', b'-', b' ', below(256) as u8][below(6)],
        4 => bytes.swap(at, other),
        5 => {
            let end = (other + piece.len()).min(good.len());
            bytes[other..end].copy_from_slice(&good[piece.start..piece.start + end - other]);
        }
        6 => drop(bytes.splice(at..at, good[piece].iter().copied())),
        7 => drop(bytes.drain(piece)),
        8 => bytes.truncate(at),
        9 => bytes.extend_from_slice(&good[piece]),
        // A digit of a number in the header, and a key.
        10 => {
            let digits: Vec<usize> = (8..header_end).filter(|&at| good[at].is_ascii_digit()).collect();
            bytes[digits[below(digits.len())]] = b'0' + below(10) as u8;
        }
        _ => {
            let letters: Vec<usize> = (8..header_end).filter(|&at| good[at].is_ascii_lowercase()).collect();
            bytes[letters[below(letters.len())]] = b'a' + below(26) as u8;
        }
    }
    bytes
}

#[test]
fn whatever_happens_to_the_bytes_is_found() {
    let bench = Bench::new(6);
    let path = bench.path("mutated.blemish");
    for (number, config) in bench.configs().iter().enumerate() {
        let calibration = CalibrationConfig { folds: 3, false_alarm: 0.3, ..Default::default() };
        let fitted = bench.fit(&DetectorConfig { calibration, ..config.clone() });
        let good = bench.saved(&fitted);
        let expected = verdict(&fitted, bench.first_test_image());
        assert!(expected.1.contains("threshold"), "{}", expected.1);
        let header_end = 8 + u64::from_le_bytes(*good.first_chunk().unwrap()) as usize;
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(number as u64);
        for round in 0..mutations() / bench.configs().len() {
            let bytes = mutated_bytes(&good, header_end, &mut random);
            std::fs::write(&path, &bytes).unwrap();
            match load(&path) {
                Ok(loaded) => {
                    assert!(bytes == good, "round {round} of {}: an altered file was read", config.method);
                    assert!(round > 50 || verdict(&loaded, bench.first_test_image()) == expected);
                }
                Err(error) => assert!(error.to_string().contains("mutated.blemish"), "{error}"),
            }
        }
    }
}

/// The threshold, a key, a blank, a tensor: one bit decides.
#[test]
fn any_flipped_bit_of_the_header_is_refused() {
    let bench = Bench::new(2);
    let good = bench.saved(&bench.fit(&bench.configs()[0]));
    let header_end = 8 + u64::from_le_bytes(*good.first_chunk().unwrap()) as usize;
    let bits = (0..header_end).map(|at| (at, at % 8)).chain((0..8).map(|bit| (good.len() - 1, bit)));
    for (at, bit) in bits {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        let bytes = std::sync::Arc::new(bytes);
        assert!(Detector::from_bytes(bytes, &EngineOptions::default()).is_err(), "bit {bit} of byte {at}");
    }
}

/// A model file as programs before the digest of the whole wrote it.
fn older_file(header: &Value, state: &State) -> Vec<u8> {
    let about = [("blemish".to_owned(), header.to_string())].into();
    safetensors::serialize(state.tensors(), Some(about)).unwrap()
}

/// What such a program said of a model.
fn older_header(header: &Header) -> Value {
    let mut header = serde_json::to_value(header).unwrap();
    header.as_object_mut().unwrap().remove("file_digest").expect("a written header has a digest");
    header
}

#[test]
fn files_of_older_programs_are_read_and_known_for_what_they_are() {
    let bench = Bench::new(2);
    for config in bench.configs() {
        let fitted = bench.fit(&config);
        let new = bench.saved(&fitted);
        assert!(fitted.is_covered() && load(&bench.path("saved.blemish")).unwrap().is_covered());
        let (header, state) = format::read(&bench.path("saved.blemish")).unwrap();
        let path = bench.path("older.blemish");
        let bytes = older_file(&older_header(&header), &state);
        std::fs::write(&path, &bytes).unwrap();
        let loaded = load(&path).unwrap();
        assert!(!loaded.is_covered());
        let image = bench.first_test_image();
        assert_eq!(verdict(&loaded, image), verdict(&fitted, image));
        assert_eq!(bench.saved(&loaded), new, "written again it is covered");
        // Its tensors are checked as ever.
        let mut altered = bytes.clone();
        *altered.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &altered).unwrap();
        assert!(matches!(load(&path), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn what_a_newer_program_says_is_not_passed_over() {
    let bench = Bench::new(2);
    bench.saved(&bench.fit(&bench.configs()[0]));
    let (header, state) = format::read(&bench.path("saved.blemish")).unwrap();
    let path = bench.path("newer.blemish");
    let refused = |place: &str, key: &str| {
        let mut header = older_header(&header);
        header.pointer_mut(place).unwrap()[key] = json!("anything");
        std::fs::write(&path, older_file(&header, &state)).unwrap();
        match load(&path) {
            Err(Error::NewerContent { key, .. }) => key,
            other => panic!("{:?}", other.err()),
        }
    };
    assert_eq!(refused("", "light"), "light");
    assert_eq!(refused("/transform", "gamma"), "transform.gamma");
    assert_eq!(refused("/backbone", "licence"), "backbone.licence");
    let error = load(&path).err().unwrap();
    let words = error.to_string();
    assert!(words.contains("newer.blemish") && words.contains("update blemish"), "{words}");
    assert_eq!(error.code(), "newer_version");
}

/// A mapped file would change scores, or end the process with SIGBUS.
#[test]
fn a_model_that_is_replaced_or_cut_under_way_gives_its_old_scores() {
    let bench = Bench::new(3);
    let configs = bench.configs();
    let other = bench.saved(&bench.fit(&configs[1]));
    let path = bench.path("used.blemish");
    let image = bench.first_test_image();
    for config in &configs[..2] {
        let fitted = bench.fit(config);
        for cut in [true, false] {
            fitted.save(&path).unwrap();
            let loaded = load(&path).unwrap();
            let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            if cut {
                file.set_len(0).unwrap();
            } else {
                file.write_all(&other).unwrap();
            }
            assert_eq!(verdict(&loaded, image), verdict(&fitted, image));
            assert!(loaded.verify(&EngineOptions::default()).unwrap().passed);
            assert!(loaded.to_bytes().unwrap() == fitted.to_bytes().unwrap());
        }
    }
}

#[cfg(unix)]
#[test]
fn what_never_ends_or_is_no_file_is_no_model() {
    let bench = Bench::new(2);
    let pipe = bench.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, kind) in [(pipe.as_path(), "a pipe"), (Path::new("/dev/zero"), "a device")] {
        let error = load(path).err().unwrap();
        assert!(matches!(error, Error::NotAModel { .. }) && error.to_string().contains(kind), "{error}");
    }
    // Twenty gigabytes of nothing behind a model, and alone: no memory is taken for them.
    let good = bench.saved(&bench.fit(&bench.configs()[0]));
    for start in [&good[..], &[]] {
        let path = bench.path("sparse.blemish");
        std::fs::write(&path, start).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(20 << 30).unwrap();
        assert!(matches!(load(&path), Err(Error::Corrupt { .. } | Error::NotAModel { .. })));
        std::fs::remove_file(&path).unwrap();
    }
}

/// A model holds training images: what only its owner may read stays so.
#[cfg(unix)]
#[test]
fn a_replaced_model_keeps_its_link_and_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(2);
    let detector = bench.fit(&bench.configs()[0]);
    let (path, link) = (bench.path("secret.blemish"), bench.path("link.blemish"));
    detector.save(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("secret.blemish", &link).unwrap();
    let request = Recalibration { false_alarm: Some(0.5), ..Recalibration::default() };
    let (engine, options) = (EngineOptions::default(), EvaluateOptions::default());
    let before = std::fs::read(&path).unwrap();
    recalibrate(&link, &link, &request, &engine, &options).unwrap();
    assert_ne!(std::fs::read(&path).unwrap(), before);
    assert!(std::fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Files whose checksum is right but whose content makes no sense, as a wrong or hostile writer would make them.
#[test]
fn mutations_of_the_meaning_never_panic() {
    let bench = Bench::new(2);
    for (number, config) in bench.configs().iter().enumerate() {
        bench.saved(&bench.fit(config));
        let (header, state) = format::read(&bench.path("saved.blemish")).unwrap();
        let path = bench.path("mutated.blemish");
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(100 + number as u64);
        let mut refused = 0;
        let rounds = mutations() / bench.configs().len();
        for _ in 0..rounds {
            let (header, state) = match random.next_u32() % 2 {
                0 => (mutated_header(&header, &mut random), state.clone()),
                _ => (Some(header.clone()), mutated_state(&state, &mut random)),
            };
            let Some(header) = header else { continue };
            format::write(&path, &header, &state).unwrap();
            refused += usize::from(!survives(&path, bench.first_test_image()));
        }
        assert!(refused > rounds / 5, "only {refused} of {rounds} were refused");
    }
}

/// Another number, text or null somewhere in the header; `None` where that is no header any more.
fn mutated_header(header: &Header, random: &mut rand_chacha::ChaCha8Rng) -> Option<Header> {
    fn leaves(value: &mut Value) -> Vec<&mut Value> {
        match value {
            Value::Object(map) => map.values_mut().flat_map(leaves).collect(),
            Value::Array(list) => list.iter_mut().flat_map(leaves).collect(),
            leaf => vec![leaf],
        }
    }
    let mut value = serde_json::to_value(header).unwrap();
    let mut leaves = leaves(&mut value);
    let at = random.next_u32() as usize % leaves.len();
    let choices = [
        json!(0),
        json!(1),
        json!(-1),
        json!(1e-30),
        json!(1e30),
        json!(u64::MAX),
        json!(77),
        json!(null),
        json!(""),
        json!("padim"),
        json!("patchcore"),
        json!("resnet18"),
        json!(true),
        json!([]),
        json!(16_000),
    ];
    *leaves[at] = choices[random.next_u32() as usize % choices.len()].clone();
    serde_json::from_value(value).ok()
}

/// A value that no fit gives, another shape, or a tensor less.
fn mutated_state(state: &State, random: &mut rand_chacha::ChaCha8Rng) -> State {
    let names: Vec<&String> = state.tensors().keys().collect();
    let chosen = names[random.next_u32() as usize % names.len()];
    let mut changed = State::default();
    for (name, tensor) in state.tensors() {
        let mut shape = tensor.shape.clone();
        let is_chosen = name == chosen;
        let kind = random.next_u32() % 4;
        if is_chosen && kind == 0 {
            continue;
        }
        if is_chosen && kind == 1 {
            match random.next_u32() % 3 {
                0 => shape.reverse(),
                1 => shape.insert(0, 1),
                _ => shape = vec![shape.iter().product()],
            }
        }
        let at = random.next_u32() as usize;
        let wild = [f32::NAN, f32::INFINITY, -1e30, 1e30, 0.0, -1.0][random.next_u32() as usize % 6];
        let bits = [0, u32::MAX, 1 << 20, 3][random.next_u32() as usize % 4];
        match &tensor.values {
            Values::F64(values) => {
                let mut values = values.to_vec();
                if let (true, Some(value)) = (is_chosen && kind > 1, at.checked_rem(values.len())) {
                    values[value] = f64::from(wild);
                }
                changed.set_f64(name, &shape, values);
            }
            Values::F32(values) => {
                let mut values = values.to_vec();
                if let (true, Some(value)) = (is_chosen && kind > 1, at.checked_rem(values.len())) {
                    values[value] = wild;
                }
                changed.set_f32(name, &shape, values);
            }
            Values::F16(values) => {
                let mut values = values.to_vec();
                if let (true, Some(value)) = (is_chosen && kind > 1, at.checked_rem(values.len())) {
                    values[value] = bits as u16;
                }
                changed.set_f16(name, &shape, values);
            }
            Values::U32(values) => {
                let mut values = values.to_vec();
                if let (true, Some(value)) = (is_chosen && kind > 1, at.checked_rem(values.len())) {
                    values[value] = bits;
                }
                changed.set_u32(name, &shape, values);
            }
            Values::U8(values) => {
                let mut values = values.to_vec();
                if let (true, Some(value)) = (is_chosen && kind > 1, at.checked_rem(values.len())) {
                    values[value] = bits as u8;
                }
                changed.set_u8(name, &shape, values);
            }
        }
    }
    changed
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let bench = Bench::new(2);
    let detector = bench.fit(&bench.configs()[0]);
    assert!(matches!(detector.save(&bench.path("absent/model.blemish")), Err(Error::Io { .. })));
    // A folder stands where the file should go: nothing is left beside it.
    let place = bench.path("place");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("kept"), "").unwrap();
    assert!(matches!(detector.save(&place), Err(Error::Io { .. })));
    let left = std::fs::read_dir(bench.path("")).unwrap().filter_map(Result::ok);
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".blemish-")));
    assert!(place.join("kept").exists());
}

#[test]
fn a_transform_that_no_image_satisfies_is_corrupt() {
    let bench = Bench::new(2);
    bench.saved(&bench.fit(&bench.configs()[0]));
    let (mut header, state) = format::read(&bench.path("saved.blemish")).unwrap();
    header.transform = Transform::resize_to(0, 64);
    let path = bench.path("zero.blemish");
    format::write(&path, &header, &state).unwrap();
    assert!(matches!(load(&path), Err(Error::Corrupt { .. })));
}
