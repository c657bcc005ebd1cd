//! Thousands of generated files of all formats hold the pixels that Pillow, libtiff and libjpeg-turbo see; and broken files do no harm.
//!
//! `matrix/make.py` writes the files into a temporary folder, with a list of what they hold. By default a small slice is tried; all of them with
//! `cargo test --release -p blemish-data --test matrix -- --ignored --nocapture`. Without Python, Pillow and NumPy it is skipped, aloud.

use blemish_data::{DataError, Pixels, ReadOptions, RgbImage, read_image, read_size};
use blemish_data::{ImageFault, decode_image, decode_mask, image_size};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Reads every `every`th file; gives how many and what differs.
fn tried(every: usize) -> Option<(usize, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix/make.py");
    let python = std::env::var("BLEMISH_PYTHON").unwrap_or_else(|_| "python3".into());
    let made = Command::new(&python).arg(script).arg(folder.path()).arg(every.to_string()).output();
    let skipped = |why: &str| {
        eprintln!("SKIPPED: the matrix of image files needs {python} with Pillow and NumPy ({})", why.trim());
        None
    };
    let made = match made {
        Err(error) => return skipped(&error.to_string()),
        Ok(made) if made.status.code() == Some(77) => return skipped(&String::from_utf8_lossy(&made.stderr)),
        Ok(made) => made,
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    eprint!("{}", String::from_utf8_lossy(&made.stdout));
    let list = std::fs::read_to_string(folder.path().join("list.tsv")).unwrap();
    let differing = list.lines().filter_map(|line| difference(line).err()).collect();
    Some((list.lines().count(), differing))
}

fn read(path: &str) -> Result<RgbImage, DataError> {
    read_image(Path::new(path), &ReadOptions { minimum_side: 1, ..ReadOptions::default() })
}

/// Compares a file with its line of the list.
fn difference(line: &str) -> Result<(), String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let (path, kind, expected) = (fields[0], fields[1], fields[2]);
    let name = Path::new(path).file_name().unwrap().to_string_lossy().into_owned();
    let differs = |what: String| Err(format!("{name}: {what}"));
    let image = match (read(path), kind) {
        (Err(error), "refused") if error.to_string().contains(expected) => return Ok(()),
        (outcome, "refused") => {
            return differs(format!("refused for `{expected}`? {:?}", outcome.map(|_| ())));
        }
        (Err(error), _) => {
            return differs(error.to_string().split("`: ").last().unwrap_or_default().to_owned());
        }
        (Ok(image), _) => image,
    };
    let options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
    if read_size(Path::new(path), &options).ok() != Some((image.height, image.width)) {
        return differs("its size is another than that of its head".into());
    }
    let size = format!("{}x{}", image.height, image.width);
    match kind {
        "same" => match read(expected) {
            Ok(other) if other == image => Ok(()),
            _ => differs("other pixels than the same picture coded otherwise".into()),
        },
        "near" => {
            let mut limits = expected.split(' ');
            let (wanted, most, mean) =
                (limits.next().unwrap(), limits.next().unwrap(), limits.next().unwrap());
            let raw = std::fs::read(fields[3]).unwrap();
            let Pixels::U8(values) = &image.pixels else { return differs("not 8 bit".into()) };
            if size != wanted || values.len() != raw.len() {
                return differs(format!("{size} instead of {wanted}"));
            }
            let apart = values.iter().zip(&raw).map(|(one, other)| u64::from(one.abs_diff(*other)));
            let (worst, sum) = apart.fold((0, 0), |(worst, sum), one| (one.max(worst), sum + one));
            let average = sum as f64 / raw.len() as f64;
            if worst > most.parse().unwrap() || average > mean.parse().unwrap() {
                return differs(format!(
                    "off by up to {worst}, on average by {average:.2} ({most}, {mean} allowed)"
                ));
            }
            Ok(())
        }
        _ => {
            let (found, bytes): (&str, Vec<u8>) = match &image.pixels {
                Pixels::U8(values) => ("u8", values.clone()),
                Pixels::U16(values) => ("u16", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
                Pixels::F32(values) => ("f32", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            };
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            match (found == kind, format!("{size} {digest}") == expected) {
                (true, true) => Ok(()),
                (false, _) => differs(format!("{found} instead of {kind}")),
                _ => differs("other pixels".into()),
            }
        }
    }
}

fn report(count: usize, differing: &[String]) {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for line in differing {
        *reasons.entry(line.split_once(": ").map_or("", |(_, reason)| reason)).or_default() += 1;
    }
    eprintln!("{count} files, {} differ", differing.len());
    for (reason, count) in &reasons {
        eprintln!("  {count} x {reason}");
    }
    assert!(differing.is_empty(), "{}", differing.iter().take(60).cloned().collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_slice_of_the_matrix_holds_the_pixels_that_others_see() {
    if let Some((count, differing)) = tried(40) {
        report(count, &differing);
    }
}

#[test]
#[ignore = "several thousand files, a minute"]
fn every_file_of_the_matrix_holds_the_pixels_that_others_see() {
    if let Some((count, differing)) = tried(1) {
        assert!(count >= 1500, "only {count} files were made");
        report(count, &differing);
    }
}

/// All small files of the golden folders.
fn golden_files() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folders = ["formats", "scans", "tiles"].map(|name| golden.join(name));
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Bytes flipped, cut, swapped, repeated, and numbers in heads made large.
fn mutated(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random.next_u32() % 6 {
        let length = bytes.len().max(1);
        let near_head = random.next_u32().is_multiple_of(2);
        let at = random.next_u32() as usize % if near_head { length.min(200) } else { length };
        if at >= bytes.len() {
            return bytes;
        }
        match random.next_u32() % 8 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next_u32() as u8),
            2 => bytes[at] ^= 1 << (random.next_u32() % 8),
            3 => bytes[at] = [0, 0xFF, 0x7F, 0x80][random.next_u32() as usize % 4],
            4 => {
                let other = random.next_u32() as usize % bytes.len();
                bytes.swap(at, other);
            }
            5 => {
                let end = (at + 1 + random.next_u32() as usize % 40).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill([0xFF, 0x7F, 0][random.next_u32() as usize % 3]);
            }
            _ => bytes[at] = random.next_u32() as u8,
        }
    }
    bytes
}

/// The most memory that this process has held, in MiB; `None` where the system does not say.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[test]
#[ignore = "tens of thousands of broken files, minutes"]
fn broken_files_of_every_kind_end_in_an_error_or_pixels_soon_and_in_little_memory() {
    let options = ReadOptions::default();
    let (mut count, mut fine, mut slowest) = (0, 0, Duration::ZERO);
    for (number, path) in golden_files().iter().enumerate() {
        let original = std::fs::read(path).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        for round in 0..1000 {
            let bytes = mutated(&original, &mut random);
            let started = Instant::now();
            let outcome = decode_image(&bytes, &options);
            let size = image_size(&bytes, &options);
            let _ = decode_mask(&bytes, &options);
            slowest = slowest.max(started.elapsed());
            assert!(started.elapsed() < Duration::from_secs(10), "{} {round}", path.display());
            count += 1;
            match outcome {
                Ok(image) => {
                    image.check_pixels().unwrap();
                    assert_eq!(size, Ok((image.height, image.width)), "{} {round}", path.display());
                    fine += 1;
                }
                Err(ImageFault::Reader { detail, .. }) if detail.contains("unexpectedly") => {
                    panic!("{} {round}: the decoder panicked, though it was caught", path.display())
                }
                Err(_) => {}
            }
        }
    }
    let peak = peak_mib();
    eprintln!("{count} broken files, {fine} still read; slowest {slowest:?}, peak memory {peak:?} MiB");
    assert!(peak.is_none_or(|peak| peak < 2048));
}
