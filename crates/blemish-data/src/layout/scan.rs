//! Listing folders: images and subfolders, sorted by the bytes of their paths, hidden ones left aside.

use crate::error::DataError;
use crate::files::is_results;
use crate::reader::{EXTENSIONS, looks_like_image};
use std::cmp::Ordering;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The name of folders of good images.
pub(super) const GOOD: &str = "good";

/// The one order of samples everywhere.
pub(super) fn byte_order(one: &Path, other: &Path) -> Ordering {
    one.as_os_str().as_encoded_bytes().cmp(other.as_os_str().as_encoded_bytes())
}

/// The folders directly inside `folder`.
pub(super) fn subfolders(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    walk(folder, 1, |entry| entry.file_type().is_dir(), &[])
}

/// The images directly inside `folder`.
pub(super) fn images_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    walk(folder, 1, is_image, &[])
}

/// The images inside `folder` and its subfolders, except below `excluded`.
pub(super) fn images_below(folder: &Path, excluded: &[PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    walk(folder, usize::MAX, is_image, excluded)
}

fn walk(
    folder: &Path,
    depth: usize,
    wanted: impl Fn(&DirEntry) -> bool,
    excluded: &[PathBuf],
) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    let visible = |entry: &DirEntry| {
        let is_hidden =
            entry.file_name().as_encoded_bytes().starts_with(b".") || entry.file_name() == "__MACOSX";
        let is_excluded =
            || entry.file_type().is_dir() && (is_among(entry.path(), excluded) || is_results(entry.path()));
        // The folder itself was asked for, even if its name is a hidden one.
        entry.depth() == 0 || !(is_hidden || is_excluded())
    };
    // A folder linked into itself is reported by the walk as an error and so ends it.
    let entries = WalkDir::new(folder).follow_links(true).min_depth(1).max_depth(depth).into_iter();
    for entry in entries.filter_entry(visible) {
        match entry {
            Ok(entry) if wanted(&entry) => found.push(entry.into_path()),
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                return Err(DataError::io("list", &path)(error.into()));
            }
        }
    }
    found.sort_by(|one, other| byte_order(one, other));
    Ok(found)
}

fn is_among(folder: &Path, excluded: &[PathBuf]) -> bool {
    !excluded.is_empty() && std::fs::canonicalize(folder).is_ok_and(|folder| excluded.contains(&folder))
}

fn is_image(entry: &DirEntry) -> bool {
    entry.file_type().is_file() && is_image_file(entry.path())
}

/// By extension; files of other names by their first bytes. A file of other content fails when it is read.
pub(super) fn is_image_file(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    if extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) {
        return true;
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(32).read_to_end(&mut head));
    read.is_ok() && looks_like_image(&head)
}
