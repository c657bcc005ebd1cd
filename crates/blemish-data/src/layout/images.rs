//! Files, folders and globs, as a user names them, to a list of images.

use super::account::{PassedOver, Reason};
use super::place::Place;
use super::scan::{self, Listing};
use crate::error::{DataError, Skipped};
use glob::{MatchOptions, Pattern};
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use walkdir::WalkDir;

/// The images that inputs name, and what was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundImages {
    /// The images, in the order of the inputs.
    pub images: Vec<PathBuf>,
    /// What was left out on request.
    pub skipped: Vec<Skipped>,
    /// Files that were passed over.
    pub passed_over: PassedOver,
}

/// The images that files, folders (with subfolders) and glob patterns name.
///
/// In the order of the inputs; what a folder or pattern gives is in the byte order of paths. An image named twice comes
/// once. A file that is named is taken under any name; whether it is an image shows when it is read. Folders of masks below a named
/// folder that holds other images are passed over.
///
/// # Errors
/// [`DataError`] if an input names nothing, or holds no images; without `skip_bad` also for links to nowhere or in circles and for
/// folders that may not be read.
pub fn find_images<P: AsRef<Path>>(inputs: &[P], skip_bad: bool) -> Result<FoundImages, DataError> {
    let mut seen = HashSet::new();
    let mut found = FoundImages::default();
    for input in inputs {
        let listing = images_of(input.as_ref(), skip_bad)?;
        found.images.extend(listing.images.into_iter().filter(|path| seen.insert(path.clone())));
        found.skipped.extend(listing.skipped);
        found.passed_over.merge(listing.passed_over);
    }
    Ok(found)
}

/// The images of [`find_images`], where nothing may be left out.
///
/// # Errors
/// As [`find_images`].
pub fn list_images<P: AsRef<Path>>(inputs: &[P]) -> Result<Vec<PathBuf>, DataError> {
    find_images(inputs, false).map(|found| found.images)
}

fn images_of(input: &Path, skip_bad: bool) -> Result<Listing, DataError> {
    if input.is_dir() {
        let listing = without_masks(input, scan::list(input, &[], skip_bad)?);
        return if listing.images.is_empty() {
            Err(no_images(input, &listing.passed_over))
        } else {
            Ok(listing)
        };
    }
    // A name with brackets may be a file's own, so existing files come before patterns.
    if input.exists() {
        return Ok(Listing { images: vec![input.to_path_buf()], ..Listing::default() });
    }
    if let Some(fault) = scan::broken_link(input) {
        return if skip_bad { Ok(left_out(input, fault)) } else { Err(fault) };
    }
    // As the walk spells paths: without doubled separators.
    let pattern = input.components().collect::<PathBuf>();
    let pattern = pattern.to_string_lossy();
    if !pattern.contains(['*', '?', '[']) {
        return Err(DataError::dataset(input, "there is no such file or folder"));
    }
    let mut listing = matches(input, &pattern, skip_bad)?;
    if listing.images.is_empty() && listing.skipped.is_empty() {
        return Err(DataError::dataset(input, "the pattern matches nothing"));
    }
    listing.images.sort_by(|one, other| scan::byte_order(one, other));
    listing.images.dedup();
    Ok(listing)
}

/// The files that match a pattern, and the images in folders that match it. Links in circles end where they begin.
fn matches(input: &Path, text: &str, skip_bad: bool) -> Result<Listing, DataError> {
    let wrong =
        |error: glob::PatternError| DataError::dataset(input, format!("the pattern is wrong: {}", error.msg));
    let pattern = Pattern::new(text).map_err(wrong)?;
    let is_plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let parts: Vec<Component<'_>> = input.components().collect();
    let fixed: PathBuf = parts.iter().take_while(|part| is_plain(part)).collect();
    let wild = &parts[parts.iter().take_while(|part| is_plain(part)).count()..];
    let is_deep = wild.iter().any(|part| part.as_os_str() == "**");
    let depth = if is_deep { usize::MAX } else { wild.len() };
    let start = if fixed.as_os_str().is_empty() { Path::new(".") } else { &fixed };
    let rules = MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: false,
        case_sensitive: true,
    };
    let mut listing = Listing::default();
    if !start.is_dir() {
        return Ok(listing);
    }
    for entry in WalkDir::new(start).follow_links(true).min_depth(1).max_depth(depth) {
        let (path, fault) = match entry {
            Ok(entry) => (entry.path().to_path_buf(), None),
            Err(error) => {
                let path = error.path().unwrap_or(start).to_path_buf();
                // Below a folder of a circle nothing is that was not seen.
                let is_circle = error.loop_ancestor().is_some();
                let fault =
                    scan::broken_link(&path).unwrap_or_else(|| DataError::io("list", &path)(error.into()));
                (path, (!is_circle).then_some(fault))
            }
        };
        let shown = if fixed.as_os_str().is_empty() {
            path.strip_prefix(".").unwrap_or(&path).to_path_buf()
        } else {
            path.clone()
        };
        if !pattern.matches_path_with(&shown, rules) {
            continue;
        }
        match fault {
            Some(fault) if skip_bad => listing.merge(left_out(&shown, fault)),
            Some(fault) => return Err(fault),
            None if shown.is_dir() => listing.merge(scan::list(&shown, &[], skip_bad)?),
            None if shown.is_file() => listing.images.push(shown),
            None => {}
        }
    }
    Ok(listing)
}

/// A listing of a folder without the folders of masks, unless it holds nothing else.
fn without_masks(folder: &Path, mut listing: Listing) -> Listing {
    let is_mask = |path: &Path| {
        let below =
            path.parent().and_then(|parent| parent.strip_prefix(folder).ok()).unwrap_or(Path::new(""));
        let names: Vec<String> =
            below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        Place::read(&names.iter().map(String::as_str).collect::<Vec<_>>()).is_mask
    };
    let (masks, images): (Vec<PathBuf>, Vec<PathBuf>) =
        std::mem::take(&mut listing.images).into_iter().partition(|path| is_mask(path));
    if images.is_empty() {
        return Listing { images: masks, ..listing };
    }
    if !masks.is_empty() {
        listing.passed_over.add(Reason::Mask, "", masks.len());
    }
    Listing { images, ..listing }
}

fn left_out(path: &Path, fault: DataError) -> Listing {
    let skipped = vec![Skipped { path: path.to_path_buf(), reason: scan::reason_of(fault) }];
    Listing { skipped, ..Listing::default() }
}

fn no_images(folder: &Path, passed_over: &PassedOver) -> DataError {
    let reason = match passed_over.words() {
        nothing if nothing.is_empty() => {
            "it holds no images; supported are PNG, JPEG, BMP, TIFF and WebP".to_owned()
        }
        words => format!(
            "it holds no images that can be read, but files {words}; supported are PNG, JPEG, BMP, TIFF and WebP"
        ),
    };
    DataError::dataset(folder, reason)
}
