//! Archives whose bytes depend on nothing but their content.

use super::Failure;
use super::contents::Entry;
use lzma_rust2::{XzOptions, XzWriter};
use std::collections::BTreeSet;
use std::io::Write;
use tar::{Builder, EntryType, Header};

/// Files below one folder, as .tar.xz.
///
/// # Errors
/// Paths that are too long.
pub fn tar_xz(folder: &str, entries: &[Entry], epoch: u64) -> Result<Vec<u8>, Failure> {
    let moved = |entry: &Entry| Entry { path: format!("{folder}/{}", entry.path), ..entry.clone() };
    xz(&tar(&entries.iter().map(moved).collect::<Vec<_>>(), epoch)?)
}

/// A tar of files and their folders, sorted, with one time, owned by root.
///
/// # Errors
/// Paths that are too long.
pub fn tar(entries: &[Entry], epoch: u64) -> Result<Vec<u8>, Failure> {
    let mut builder = Builder::new(Vec::new());
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|one, other| one.path.cmp(&other.path));
    let mut folders = BTreeSet::new();
    for entry in sorted {
        // `./` begins the paths of Debian's packages, and is a folder itself.
        for (at, _) in entry.path.match_indices('/') {
            let folder = &entry.path[..=at];
            if folders.insert(folder.to_owned()) {
                append(&mut builder, folder, EntryType::Directory, 0o755, &[], epoch)?;
            }
        }
        let mode = if entry.is_program { 0o755 } else { 0o644 };
        append(&mut builder, &entry.path, EntryType::Regular, mode, &entry.bytes, epoch)?;
    }
    Ok(builder.into_inner()?)
}

fn append(
    builder: &mut Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
    epoch: u64,
) -> Result<(), Failure> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(epoch);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    header.set_size(bytes.len() as u64);
    // As it is: `set_path` would leave `./` out.
    let name = header.as_old_mut();
    if path.len() > name.name.len() {
        return Err(format!("the path `{path}` is too long for an archive").into());
    }
    name.name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    Ok(builder.append(&header, bytes)?)
}

/// Compressed as .xz.
///
/// # Errors
/// If the compressor fails.
pub fn xz(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(6))?;
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}
