//! Images out of a zip: within limits that hold whatever its head claims.

use super::{Limits, Refused, shown};
use crate::fault::Fault;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use zip::ZipArchive;

/// Refusals that are listed one by one.
const LISTED: usize = 100;

/// Bytes of the list of entries, at most: some zips have as many as they claim, in a gigabyte of names.
const DIRECTORY: u64 = 64 << 20;

/// Takes the name and the bytes of an entry.
pub type Take<'a> = dyn FnMut(&str, Vec<u8>) -> Result<(), Fault> + 'a;

/// Gives every image of a zip to `each`, with the name it has there; lists what was not taken.
///
/// # Errors
/// What `each` returns; `io` if the file cannot be read.
pub fn unzip(path: &Path, limits: Limits, each: &mut Take<'_>) -> Result<Vec<Refused>, Fault> {
    let mut refused = Refusals::default();
    let mut file = std::fs::File::open(path)
        .map_err(|error| Fault::new("io", format!("cannot read the upload: {error}; send it again")))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    if length > limits.zip {
        refused.add("the zip", format!("it has more than {} GiB", limits.zip >> 30));
        return Ok(refused.list());
    }
    // Before the list of entries is read: of a million it would take hundreds of megabytes.
    match claimed(&mut file, length) {
        Some((entries, _)) if entries > limits.entries => {
            refused.add(
                "the zip",
                format!("it has {entries} entries, more than {}; send it in parts", limits.entries),
            );
            return Ok(refused.list());
        }
        Some((_, directory)) if directory > DIRECTORY => {
            refused.add("the zip", "its list of entries is too long; send it in parts".into());
            return Ok(refused.list());
        }
        Some(_) => {}
        None => {
            refused.add("the zip", "it is cut short or damaged; send it again".into());
            return Ok(refused.list());
        }
    }
    let mut archive = match ZipArchive::new(std::io::BufReader::new(file)) {
        Ok(archive) => archive,
        Err(error) => {
            refused.add("the zip", format!("it is damaged: {error}"));
            return Ok(refused.list());
        }
    };
    if archive.len() as u64 > limits.entries {
        refused.add(
            "the zip",
            format!("it has {} entries, more than {}; send it in parts", archive.len(), limits.entries),
        );
        return Ok(refused.list());
    }
    let mut rest = limits.zip;
    for number in 0..archive.len() {
        let mut entry = match archive.by_index(number) {
            Ok(entry) => entry,
            Err(error) => {
                refused.add(&format!("entry {}", number + 1), format!("it cannot be read: {error}"));
                continue;
            }
        };
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.is_dir() || is_clutter(&name) {
            continue;
        }
        if entry.is_symlink() {
            refused.add(&name, "it is a link, which leads somewhere else".into());
            continue;
        }
        if leads_out(&name) {
            refused.add(&name, "its name leads out of the folder".into());
            continue;
        }
        if entry.size() > limits.image {
            refused.add(&name, format!("it has more than {} MiB", limits.image >> 20));
            continue;
        }
        // What it really unpacks to counts, not what it claims.
        let most = limits.image.min(rest);
        let mut bytes = Vec::new();
        match (&mut entry).take(most + 1).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > most => {
                if most < limits.image {
                    refused.add(
                        "the zip",
                        format!("it unpacks to more than {} GiB; the rest was left out", limits.zip >> 30),
                    );
                    break;
                }
                refused.add(&name, format!("it unpacks to more than {} MiB", limits.image >> 20));
                rest = rest.saturating_sub(most);
            }
            Ok(_) => {
                rest -= bytes.len() as u64;
                each(&name, bytes)?;
            }
            Err(error) => refused.add(&name, format!("it is damaged: {error}")),
        }
    }
    Ok(refused.list())
}

/// Refusals, the first of them one by one.
#[derive(Default)]
struct Refusals {
    all: Vec<Refused>,
    more: usize,
}

impl Refusals {
    fn add(&mut self, name: &str, reason: String) {
        if self.all.len() < LISTED {
            self.all.push(Refused { name: shown(name), reason });
        } else {
            self.more += 1;
        }
    }

    fn list(mut self) -> Vec<Refused> {
        if self.more > 0 {
            self.all.push(Refused {
                name: format!("and {} more", self.more),
                reason: "for the like reasons".into(),
            });
        }
        self.all
    }
}

/// Whether a name is absolute or has a way up in it, by the rules of any system.
fn leads_out(name: &str) -> bool {
    let has_drive = name.as_bytes().get(1) == Some(&b':');
    name.starts_with(['/', '\\'])
        || has_drive
        || name.contains('\0')
        || name.split(['/', '\\']).any(|part| part == "..")
}

/// What systems put into zips by themselves.
fn is_clutter(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or_default();
    name.starts_with("__MACOSX/")
        || matches!(file, ".DS_Store" | "Thumbs.db" | "desktop.ini")
        || file.starts_with("._")
}

/// The number of entries and the bytes of their list, as the end of a zip states them; `None` if there is no such end.
fn claimed(file: &mut std::fs::File, length: u64) -> Option<(u64, u64)> {
    // The end is 22 bytes and a comment of up to 65,535; the end of large zips stands 76 bytes before.
    let looked = length.min(22 + 65_535 + 76);
    file.seek(SeekFrom::Start(length - looked)).ok()?;
    let mut tail = Vec::new();
    file.take(looked).read_to_end(&mut tail).ok()?;
    file.seek(SeekFrom::Start(0)).ok()?;
    let at = tail.windows(4).rposition(|four| four == b"PK\x05\x06")?;
    let end = tail.get(at..at + 22)?;
    let entries = u64::from(u16::from_le_bytes([end[10], end[11]]));
    let directory = u64::from(u32::from_le_bytes([end[12], end[13], end[14], end[15]]));
    let large = tail.windows(4).rposition(|four| four == b"PK\x06\x06").and_then(|at| tail.get(at..at + 48));
    match large {
        Some(large) => {
            let number = |at: usize| Some(u64::from_le_bytes(large.get(at..at + 8)?.try_into().ok()?));
            Some((entries.max(number(32)?), directory.min(u64::from(u32::MAX - 1)).max(number(40)?)))
        }
        // 65,535 means that the true number stands in the end of large zips; without one it is the number.
        None => Some((entries, directory)),
    }
}
