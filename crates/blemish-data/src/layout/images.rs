//! Files, folders and globs, as a user names them, to a list of images.

use super::scan;
use crate::error::DataError;
use crate::files::is_results;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The images that files, folders (with subfolders) and glob patterns name.
///
/// In the order of the inputs; what a folder or pattern gives is in the byte order of paths. An image named twice comes
/// once. A file that is named is taken under any name; whether it is an image shows when it is read.
///
/// # Errors
/// [`DataError`] if an input names nothing, or holds no images.
pub fn list_images<P: AsRef<Path>>(inputs: &[P]) -> Result<Vec<PathBuf>, DataError> {
    let mut seen = HashSet::new();
    let mut images = Vec::new();
    for input in inputs {
        let named = images_of(input.as_ref())?;
        images.extend(named.into_iter().filter(|path| seen.insert(path.clone())));
    }
    Ok(images)
}

/// The folders that [`list_images`] searches with all their subfolders for these inputs.
pub fn searched_folders<P: AsRef<Path>>(inputs: &[P]) -> Vec<PathBuf> {
    let searched = |input: &Path| -> Option<PathBuf> {
        if input.is_dir() {
            return Some(input.to_owned());
        }
        let pattern = input.to_str().filter(|pattern| !input.exists() && pattern.contains("**"))?;
        let is_plain =
            |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        let folder: PathBuf = Path::new(pattern).components().take_while(is_plain).collect();
        Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder })
    };
    inputs.iter().filter_map(|input| searched(input.as_ref())).collect()
}

fn images_of(input: &Path) -> Result<Vec<PathBuf>, DataError> {
    if input.is_dir() {
        let images = scan::images_below(input, &[])?;
        return if images.is_empty() { Err(no_images(input)) } else { Ok(images) };
    }
    // A name with brackets may be a file's own, so existing files come before patterns.
    if input.exists() {
        return Ok(vec![input.to_path_buf()]);
    }
    let pattern = input.to_string_lossy();
    if !pattern.contains(['*', '?', '[']) {
        return Err(DataError::dataset(input, "there is no such file or folder"));
    }
    let matches = glob::glob(&pattern)
        .map_err(|error| DataError::dataset(input, format!("the pattern is wrong: {}", error.msg)))?;
    let mut images = Vec::new();
    for path in matches {
        let path = path.map_err(|error| {
            let path = error.path().to_path_buf();
            DataError::io("list", &path)(error.into())
        })?;
        if path.is_dir() {
            images.extend(scan::images_below(&path, &[])?);
        } else if !is_own(input, &path) {
            images.push(path);
        }
    }
    if images.is_empty() {
        return Err(DataError::dataset(input, "the pattern matches nothing"));
    }
    images.sort_by(|one, other| scan::byte_order(one, other));
    Ok(images)
}

/// Whether a pattern has come upon a picture that Blemish has written, in a folder that the pattern does not name.
fn is_own(pattern: &Path, path: &Path) -> bool {
    path.parent().is_some_and(|folder| is_results(folder) && !pattern.starts_with(folder))
}

fn no_images(folder: &Path) -> DataError {
    DataError::dataset(folder, "it holds no images; supported are PNG, JPEG, BMP, TIFF and WebP")
}
