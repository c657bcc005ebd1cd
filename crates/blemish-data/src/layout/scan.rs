//! Listing folders: images and other files, sorted by the bytes of their paths; what is passed over is counted by its reason.

use super::account::{PassedOver, Reason};
use crate::error::{DataError, Skipped};
use crate::reader::looks_like_image;
use std::cmp::Ordering;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

const EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp"];

/// Extensions of pictures in formats that may not be read; whether they are is decided by the content.
const PICTURES: [&str; 31] = [
    "gif", "avif", "heic", "heif", "jp2", "j2k", "jpx", "jxl", "jxr", "psd", "svg", "exr", "hdr", "dng",
    "raw", "cr2", "nef", "arw", "pgm", "ppm", "pbm", "pnm", "pcx", "tga", "ico", "dds", "npy", "npz", "mat",
    "dcm", "xcf",
];

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Images, in the byte order of their paths.
    pub(super) images: Vec<PathBuf>,
    /// Visible files that are no images that can be read, in the same order.
    pub(super) others: Vec<PathBuf>,
    pub(super) passed_over: PassedOver,
    /// What cannot be listed, where that is to be left out.
    pub(super) skipped: Vec<Skipped>,
}

/// The one order of samples everywhere.
pub(super) fn byte_order(one: &Path, other: &Path) -> Ordering {
    one.as_os_str().as_encoded_bytes().cmp(other.as_os_str().as_encoded_bytes())
}

/// The folders directly inside `folder`, without those of the system and hidden ones.
pub(super) fn subfolders(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(DataError::io("list", folder))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(DataError::io("list", folder))?.path();
        // A link to nowhere is told of where files are listed.
        if path.is_dir() && unwanted(&path, true).is_none() {
            found.push(path);
        }
    }
    found.sort_by(|one, other| byte_order(one, other));
    Ok(found)
}

/// Everything inside `folder` and its subfolders, except below `excluded`. With `skip_bad` links to nowhere, links in circles and
/// folders that may not be read are left out and listed instead of being errors.
pub(super) fn list(folder: &Path, excluded: &[PathBuf], skip_bad: bool) -> Result<Listing, DataError> {
    let mut listing = Listing::default();
    let mut passed_over = PassedOver::default();
    let visible = |entry: &DirEntry| {
        // The folder itself was asked for, even if its name is a hidden one.
        if entry.depth() == 0 {
            return true;
        }
        let is_folder = entry.file_type().is_dir();
        if let Some(reason) = unwanted(entry.path(), is_folder) {
            passed_over.add(reason, "", if is_folder { images_below(entry.path()) } else { 1 });
            return false;
        }
        !(is_folder && is_among(entry.path(), excluded))
    };
    // A folder linked into itself is reported by the walk as an error and so ends it.
    let entries = WalkDir::new(folder).follow_links(true).min_depth(1).into_iter();
    for entry in entries.filter_entry(visible) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => listing.add(entry.into_path()),
            // Folders are walked; pipes and devices hold no images.
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                let fault = fault(&path, error);
                if !skip_bad {
                    return Err(fault);
                }
                listing.skipped.push(Skipped { path, reason: reason_of(fault) });
            }
        }
    }
    listing.passed_over.merge(passed_over);
    listing.images.sort_by(|one, other| byte_order(one, other));
    listing.others.sort_by(|one, other| byte_order(one, other));
    listing.skipped.sort_by(|one, other| byte_order(&one.path, &other.path));
    Ok(listing)
}

impl Listing {
    /// Adds another listing's files.
    pub(super) fn merge(&mut self, other: Self) {
        self.images.extend(other.images);
        self.others.extend(other.others);
        self.passed_over.merge(other.passed_over);
        self.skipped.extend(other.skipped);
    }

    /// Sorts a file in: images by extension, files of other names by their first bytes, so that a file of other content fails when it
    /// is read. The formats of files that are passed over are told by their extensions.
    fn add(&mut self, path: PathBuf) {
        let extension = extension(&path);
        if has_image_name(&path) || looks_like_one(&path) {
            self.images.push(path);
            return;
        }
        let is_picture = PICTURES.contains(&extension.as_str());
        self.passed_over.add(if is_picture { Reason::Format } else { Reason::Other }, &extension, 1);
        self.others.push(path);
    }
}

/// Whether a file has the extension of an image.
pub(super) fn has_image_name(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(path).as_str())
}

/// The extension in lower case, or nothing.
pub(super) fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// The name without its extension.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn looks_like_one(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(32).read_to_end(&mut head));
    read.is_ok() && looks_like_image(&head)
}

/// Why a file or folder is nobody's image, by its name alone.
fn unwanted(path: &Path, is_folder: bool) -> Option<Reason> {
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
    let stem =
        Path::new(&lower).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
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
    let stem =
        Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
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
fn images_below(folder: &Path) -> usize {
    let files =
        WalkDir::new(folder).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files.filter(|entry| has_image_name(entry.path())).count().max(1)
}

fn is_among(folder: &Path, excluded: &[PathBuf]) -> bool {
    !excluded.is_empty() && std::fs::canonicalize(folder).is_ok_and(|folder| excluded.contains(&folder))
}

/// Why an entry cannot be listed, in words that say where a link leads.
fn fault(path: &Path, error: walkdir::Error) -> DataError {
    if error.loop_ancestor().is_some() {
        return DataError::dataset(path, "the link leads in a circle; remove it");
    }
    broken_link(path).unwrap_or_else(|| DataError::io("list", path)(error.into()))
}

/// The error of a link that leads nowhere; `None` if the path is something else.
pub(super) fn broken_link(path: &Path) -> Option<DataError> {
    let target = std::fs::read_link(path).ok()?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason = format!(
                "it is a link to nowhere: it points to `{}`; mend the link or remove it",
                target.display()
            );
            Some(DataError::Link { path: path.to_path_buf(), reason })
        }
        Err(error) => {
            let reason = format!(
                "it is a link that cannot be followed (to `{}`: {error}); mend the link or remove it",
                target.display()
            );
            Some(DataError::Link { path: path.to_path_buf(), reason })
        }
        Ok(_) => None,
    }
}

/// The reason for the list of what was left out, which names the path itself.
pub(super) fn reason_of(fault: DataError) -> String {
    match fault {
        DataError::Link { reason, .. } | DataError::Dataset { reason, .. } => reason,
        other => other.to_string(),
    }
}
