//! Files, folders and globs, as a user names them, to a list of images.

use super::glob;
use super::scan::{byte_order, is_image_file};
use super::walk::{Walk, broken_link};
use crate::error::{DataError, Skipped};
use crate::files::is_results;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The images that were named, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In the order of the inputs; what a folder or pattern gives is in the byte order of paths.
    pub images: Vec<PathBuf>,
    /// Links to nowhere and folders that may not be read.
    pub skipped: Vec<Skipped>,
}

/// The images that files, folders (with subfolders) and glob patterns name: [`find_images`] where nothing may be left out.
///
/// # Errors
/// [`DataError`] if an input names nothing or holds no images, for a link to nowhere, and for a folder that may not be read.
pub fn list_images<P: AsRef<Path>>(inputs: &[P]) -> Result<Vec<PathBuf>, DataError> {
    Ok(find_images(inputs, false)?.images)
}

/// The images that files, folders (with subfolders) and glob patterns name.
///
/// An image comes once, however often and by whatever links to folders it is reached. A file that is named is taken under any name;
/// whether it is an image shows when it is read. On `skip_bad` links to nowhere and folders that may not be read are left out and listed.
///
/// # Errors
/// [`DataError`] if an input names nothing or holds no images; without `skip_bad` for what would be left out.
pub fn find_images<P: AsRef<Path>>(inputs: &[P], skip_bad: bool) -> Result<Listing, DataError> {
    let mut listing = Listing::default();
    let mut once = Once::default();
    for input in inputs {
        let mut walk = Walk::default();
        let mut named = images_of(input.as_ref(), &mut walk)?;
        walk.faults.sort_by(|one, other| byte_order(place(one), place(other)));
        if !skip_bad && !walk.faults.is_empty() {
            return Err(walk.faults.swap_remove(0));
        }
        listing.skipped.extend(walk.faults.into_iter().map(|fault| match fault {
            DataError::Image { path, fault } => Skipped { path, reason: fault.to_string() },
            other => Skipped { path: place(&other).to_path_buf(), reason: other.to_string() },
        }));
        named.retain(|path| once.is_new(path));
        listing.images.append(&mut named);
    }
    let mut seen = HashSet::new();
    listing.skipped.retain(|one| seen.insert(one.path.clone()));
    match listing.skipped.first() {
        Some(first) if listing.images.is_empty() => Err(DataError::NothingLeft {
            count: listing.skipped.len(),
            first: first.path.clone(),
            reason: first.reason.clone(),
        }),
        _ => Ok(listing),
    }
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

/// Tells images that were seen before, by whatever links to their folder.
#[derive(Default)]
struct Once {
    seen: HashSet<(PathBuf, OsString)>,
    folders: HashMap<PathBuf, PathBuf>,
}

impl Once {
    fn is_new(&mut self, image: &Path) -> bool {
        let folder = image.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = self
            .folders
            .entry(folder.to_path_buf())
            .or_insert_with(|| std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf()));
        let name = image.file_name().unwrap_or(image.as_os_str());
        self.seen.insert((real.clone(), name.to_owned()))
    }
}

/// Where a fault was found.
fn place(fault: &DataError) -> &Path {
    match fault {
        DataError::Image { path, .. } | DataError::Io { path, .. } => path,
        _ => Path::new(""),
    }
}

fn images_of(input: &Path, walk: &mut Walk) -> Result<Vec<PathBuf>, DataError> {
    if input.is_dir() {
        let images = images_below(&[input.to_path_buf()], walk);
        let is_empty = images.is_empty() && walk.faults.is_empty();
        return if is_empty { Err(no_images(input)) } else { Ok(images) };
    }
    // A name with brackets may be a file's own, so existing files come before patterns.
    if input.exists() {
        return Ok(vec![input.to_path_buf()]);
    }
    if input.is_symlink() {
        let error = std::fs::metadata(input).err();
        walk.faults.extend(error.map(|error| broken_link(input, &error)));
        return Ok(Vec::new());
    }
    if !glob::is_pattern(input) {
        return Err(DataError::dataset(input, "there is no such file or folder"));
    }
    let named = glob::matches(input, walk)?.into_iter().filter(|path| !is_own(input, path));
    let (folders, mut images): (Vec<_>, Vec<_>) = named.partition(|path| path.is_dir());
    images.extend(images_below(&folders, walk));
    if images.is_empty() && walk.faults.is_empty() {
        return Err(DataError::dataset(input, "the pattern matches nothing"));
    }
    images.sort_by(|one, other| byte_order(one, other));
    Ok(images)
}

/// Whether a pattern has come upon pictures that Blemish has written: such a folder, or a file in one, that the pattern does not name.
fn is_own(pattern: &Path, path: &Path) -> bool {
    let is_own = |folder: &Path| is_results(folder) && !pattern.starts_with(folder);
    is_own(path) || path.parent().is_some_and(is_own)
}

/// The images inside folders and their subfolders.
fn images_below(folders: &[PathBuf], walk: &mut Walk) -> Vec<PathBuf> {
    let mut images = Vec::new();
    for folder in folders {
        walk.below(folder, &mut |_, files| {
            images.extend(files.into_iter().filter(|file| is_image_file(file)));
        });
    }
    images.sort_by(|one, other| byte_order(one, other));
    images
}

fn no_images(folder: &Path) -> DataError {
    DataError::dataset(folder, "it holds no images; supported are PNG, JPEG, BMP, TIFF and WebP")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        folder
    }

    /// What inputs inside a folder give, relative to it.
    fn listed(folder: &Path, inputs: &[&str]) -> Vec<String> {
        let inputs: Vec<PathBuf> = inputs.iter().map(|input| folder.join(input)).collect();
        let below = |path: PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        list_images(&inputs).unwrap().into_iter().map(below).collect()
    }

    #[test]
    fn patterns_match_within_names_and_two_stars_match_folders() {
        let folder = folder(&["a/1.png", "a/b/2.png", "a/b/c/2.jpg", "d/2.png", "d/.hidden.png", "3.png"]);
        for (pattern, expected) in [
            ("**/*.png", &["3.png", "a/1.png", "a/b/2.png", "d/2.png"][..]),
            ("a/**/2.*", &["a/b/2.png", "a/b/c/2.jpg"]),
            ("**/b/**/2.jpg", &["a/b/c/2.jpg"]),
            ("*/2.png", &["d/2.png"]),
            ("[ad]/[12].png", &["a/1.png", "d/2.png"]),
            ("a/**", &["a/1.png", "a/b/2.png", "a/b/c/2.jpg"]),
            ("?", &["a/1.png", "a/b/2.png", "a/b/c/2.jpg", "d/2.png"]),
            ("d/.*", &["d/.hidden.png"]),
            ("a/../d/*.png", &["a/../d/2.png"]),
        ] {
            assert_eq!(listed(folder.path(), &[pattern]), expected, "{pattern}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_in_circles_end_and_give_every_image_once() {
        use std::os::unix::fs::symlink;
        let folder = folder(&["set/1.png", "set/deep/2.png", "set/z/3.png"]);
        let set = folder.path().join("set");
        for name in ["again", "deep/up", "zz"] {
            symlink(&set, set.join(name)).unwrap();
        }
        symlink(set.join("z"), set.join("deep/first")).unwrap();
        let expected = ["set/1.png", "set/deep/2.png", "set/z/3.png"];
        for input in ["set", "set/**/*.png", "set/**", "**/*.png", "**/**/[0-9].png"] {
            assert_eq!(listed(folder.path(), &[input]), expected, "{input}");
        }
        assert_eq!(
            listed(folder.path(), &["set/*/*.png"])[..],
            ["set/again/1.png", "set/deep/2.png", "set/z/3.png"]
        );
        assert_eq!(listed(folder.path(), &["set", "set/again", "set/zz/z/3.png"]), expected);
        // A ladder of two links a rung has 2^40 paths.
        let ladder = folder.path().join("ladder");
        for rung in 0..40 {
            let here = ladder.join(rung.to_string());
            std::fs::create_dir_all(&here).unwrap();
            for name in ["left", "right"] {
                symlink(ladder.join((rung + 1).to_string()), here.join(name)).unwrap();
            }
        }
        std::fs::create_dir(ladder.join("40")).unwrap();
        std::fs::write(ladder.join("40/end.png"), b"x").unwrap();
        for input in ["ladder/0", "ladder/0/**/*.png"] {
            assert_eq!(listed(folder.path(), &[input]).len(), 1, "{input}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_to_nowhere_say_where_they_point_or_are_listed() {
        use std::os::unix::fs::symlink;
        let folder = folder(&["set/1.png"]);
        let at = |name: &str| folder.path().join(name);
        symlink("/nowhere/7.png", at("set/7.png")).unwrap();
        symlink("notes", at("set/notes")).unwrap();
        let error = list_images(&[at("set")]).unwrap_err().to_string();
        assert!(error.contains("set/7.png") && error.contains("link to `/nowhere/7.png`"), "{error}");
        let listing = find_images(&[at("set"), at("set/7.png")], true).unwrap();
        assert_eq!(listing.images, [at("set/1.png")]);
        let skipped: Vec<&Path> = listing.skipped.iter().map(|one| one.path.as_path()).collect();
        assert_eq!(skipped, [at("set/7.png"), at("set/notes")]);
        assert_eq!(listed(folder.path(), &["set/1.*"]), ["set/1.png"], "other names do not matter");
        let error = find_images(&[at("set/7.png")], true).unwrap_err().to_string();
        assert!(error.contains("none of the 1 images"), "{error}");
    }
}
