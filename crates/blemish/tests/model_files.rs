//! Model files: the same scores after a round trip, and a clear error for every way to break one.

mod support;

use blemish::data::Transform;
use blemish::features::EngineOptions;
use blemish::file::{FORMAT_VERSION, Header, format};
use blemish::settings::Settings;
use blemish::state::{State, Values};
use blemish::{Detector, DetectorConfig, Error};
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use support::Bench;

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

/// How many mutations are tried; `BLEMISH_MUTATIONS=10000 cargo test --workspace --release --test model_files` is the long run.
fn mutations() -> usize {
    std::env::var("BLEMISH_MUTATIONS").map_or(1_200, |count| count.parse().unwrap())
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

#[test]
fn mutations_of_the_bytes_never_panic() {
    let bench = Bench::new(2);
    let path = bench.path("saved.blemish");
    for (number, config) in bench.configs().iter().enumerate() {
        let good = bench.saved(&bench.fit(config));
        let header_end = 8 + u64::from_le_bytes(*good.first_chunk().unwrap()) as usize;
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(number as u64);
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut accepted = 0;
        let rounds = mutations() / bench.configs().len();
        for _ in 0..rounds {
            // Half of the changes hit the header, where they mean most.
            let range = if random.next_u32() % 2 == 0 { header_end } else { good.len() };
            let at = random.next_u32() as usize % range;
            let value =
                [0, 0xFF, b'9', b'-', good[at] ^ 1, random.next_u32() as u8][random.next_u32() as usize % 6];
            let cut = random.next_u32() % 8 == 0;
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[value]).unwrap();
            if cut {
                file.set_len(at as u64).unwrap();
            }
            accepted += usize::from(survives(&path, bench.first_test_image()) && value != good[at]);
            file.seek(SeekFrom::Start(if cut { 0 } else { at as u64 })).unwrap();
            file.write_all(if cut { &good } else { &good[at..=at] }).unwrap();
        }
        // Only what scoring does not depend on (a digit of the version that wrote it, say) may change unnoticed.
        assert!(accepted < rounds / 5, "{accepted} of {rounds} altered files were accepted");
    }
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
