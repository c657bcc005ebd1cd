//! The files of a watched folder: which there are, and where they go.

use crate::station::sources::option::After;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders inside folders that are looked into.
const DEPTH: usize = 8;

/// Files with these extensions are images.
const EXTENSIONS: [&str; 14] =
    ["png", "jpg", "jpeg", "jpe", "bmp", "tif", "tiff", "webp", "gif", "pnm", "ppm", "pgm", "pbm", "pam"];

/// What a file looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    length: u64,
    modified: Option<SystemTime>,
}

/// All images in a folder and below, without those that were set aside or moved.
pub(super) fn list(folder: &Path, after: &After) -> std::io::Result<HashMap<PathBuf, Look>> {
    let mut found = HashMap::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    let unreadable = folder.join("unreadable");
    while let Some((folder, depth)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // Of the folders inside some may be closed to us, or just gone.
            Err(_) if depth > 0 => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            let is_moved = matches!(after, After::Move(to) if *to == path);
            if name.starts_with('.') || name.ends_with('~') || path == unreadable || is_moved {
                continue;
            }
            if kind.is_dir() && depth < DEPTH {
                folders.push((path, depth + 1));
            } else if kind.is_file() && is_image(&path) {
                let Ok(metadata) = entry.metadata() else { continue };
                found.insert(path, Look { length: metadata.len(), modified: metadata.modified().ok() });
            }
        }
    }
    Ok(found)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// Does with a file that was taken what is to be done.
pub(super) fn put_away(path: &Path, after: &After) -> std::io::Result<()> {
    match after {
        After::Keep => Ok(()),
        After::Delete => std::fs::remove_file(path),
        After::Move(to) => move_to(path, to).map(drop),
    }
}

/// Moves a file into a folder under a name that is free there.
fn move_to(path: &Path, folder: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension =
        path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    let mut to = folder.join(name);
    for number in 2.. {
        if !to.exists() {
            break;
        }
        to = folder.join(format!("{stem}-{number}{extension}"));
    }
    if std::fs::rename(path, &to).is_err() {
        // Another disk.
        std::fs::copy(path, &to)?;
        std::fs::remove_file(path)?;
    }
    Ok(to)
}

/// Moves a file that is no image into a folder, with the reason beside it.
pub(super) fn set_aside(path: &Path, folder: &Path, reason: &str) -> std::io::Result<()> {
    let to = move_to(path, folder)?;
    let mut note = to.into_os_string();
    note.push(".txt");
    std::fs::write(note, format!("{reason}\n"))
}
