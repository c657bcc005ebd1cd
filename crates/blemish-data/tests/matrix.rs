//! Thousands of generated files of all formats hold the pixels that Pillow, libtiff and libjpeg-turbo see.
//!
//! `matrix/make.py` writes the files into a temporary folder, with a list of what they hold. By default a small slice is tried; all of them with
//! `cargo test --release -p blemish-data --test matrix -- --ignored --nocapture`. Without Python, Pillow and NumPy it is skipped, aloud.

use blemish_data::{DataError, Pixels, ReadOptions, RgbImage, read_image, read_size};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

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
