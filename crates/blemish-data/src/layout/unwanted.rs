//! Files and folders that are nobody's image, told by their names: hidden ones, those of the system, thumbnails, backups.

use super::account::Reason;
use crate::reader::{EXTENSIONS, extension, has_image_name, stem};
use std::path::Path;
use walkdir::WalkDir;

/// Why a file or folder is nobody's image, by its name alone.
pub(super) fn unwanted(path: &Path, is_folder: bool) -> Option<Reason> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_lowercase();
    let is = |names: &[&str]| names.contains(&lower.as_str());
    if is(&[
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        ".ds_store",
        "__macosx",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "@eadir",
        ".directory",
    ]) {
        return Some(Reason::System);
    }
    if is(&["thumbnails", ".thumbnails", "thumbs", "thumbnail"]) && is_folder {
        return Some(Reason::Thumbnail);
    }
    if (is(&["backup", "backups", "bak"]) && is_folder)
        || lower.ends_with('~')
        || name.starts_with("~$")
        || [".bak", ".backup", ".orig", ".old", ".tmp", ".swp", ".part", ".crdownload"]
            .iter()
            .any(|end| lower.ends_with(end))
    {
        return Some(Reason::Backup);
    }
    if name.starts_with('.') {
        return Some(Reason::Hidden);
    }
    let stem = stem(Path::new(&lower));
    let is_thumbnail = |word: &str| ["thumb", "thumbnail"].contains(&word);
    let ends = [stem.rsplit(['_', '-', '.']).next(), stem.split(['_', '-', '.']).next()];
    // `thumb_screw_12.png` may well be a screw; a small copy lies beside its image.
    let is_small_copy = !is_folder
        && stem.contains(['_', '-', '.'])
        && ends.into_iter().flatten().any(is_thumbnail)
        && has_original(path, &name);
    is_small_copy.then_some(Reason::Thumbnail)
}

/// Whether the image that a thumbnail is of lies beside it.
fn has_original(path: &Path, name: &str) -> bool {
    let stem = stem(Path::new(name));
    let separators = ['_', '-', '.'];
    let before = stem.rsplit_once(separators).map(|(before, _)| before.to_owned());
    let after = stem.split_once(separators).map(|(_, after)| after.to_owned());
    let beside = |stem: String| {
        let own = extension(path);
        let extensions = EXTENSIONS.iter().copied().chain([own.as_str()]);
        extensions
            .flat_map(|end| [end.to_owned(), end.to_uppercase()])
            .any(|end| path.with_file_name(format!("{stem}.{end}")).is_file())
    };
    [before, after].into_iter().flatten().any(beside)
}

/// The number of images in a folder that is passed over.
pub(super) fn images_below(folder: &Path) -> usize {
    let files =
        WalkDir::new(folder).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files.filter(|entry| has_image_name(entry.path())).count().max(1)
}
