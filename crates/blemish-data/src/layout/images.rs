//! Files, folders and globs, as a user names them, to a list of images.

use super::account::{PassedOver, Reason};
use super::glob;
use super::place::Place;
use super::scan::{self, Fault, Listing, byte_order};
use super::walk::Walk;
use crate::error::{DataError, Skipped};
use crate::files::is_results;
use crate::reader::FORMATS;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
/// In the order of the inputs; what a folder or pattern gives is in the byte order of paths. An image comes once, however often and by
/// whatever links to folders it is reached. A file that is named is taken under any name; whether it is an image shows when it is read.
/// Folders of masks below a named folder that holds other images are passed over. On `skip_bad` links to nowhere and folders that may not
/// be read are left out and listed.
///
/// # Errors
/// [`DataError`] if an input names nothing, or holds no images; without `skip_bad` for what would be left out.
pub fn find_images<P: AsRef<Path>>(inputs: &[P], skip_bad: bool) -> Result<FoundImages, DataError> {
    let mut once = Once::default();
    let mut found = FoundImages::default();
    for input in inputs {
        let listing = images_of(input.as_ref(), skip_bad)?;
        found.images.extend(listing.images.into_iter().filter(|path| once.is_new(path)));
        found.skipped.extend(listing.skipped);
        found.passed_over.merge(listing.passed_over);
    }
    let mut seen = HashSet::new();
    found.skipped.retain(|one| seen.insert(one.path.clone()));
    match found.skipped.first() {
        Some(first) if found.images.is_empty() => Err(DataError::NothingLeft {
            count: found.skipped.len(),
            first: first.path.clone(),
            reason: first.reason.clone(),
        }),
        _ => Ok(found),
    }
}

/// The images of [`find_images`], where nothing may be left out.
///
/// # Errors
/// As [`find_images`].
pub fn list_images<P: AsRef<Path>>(inputs: &[P]) -> Result<Vec<PathBuf>, DataError> {
    find_images(inputs, false).map(|found| found.images)
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

fn images_of(input: &Path, skip_bad: bool) -> Result<Listing, DataError> {
    if input.is_dir() {
        let listing = without_masks(input, scan::list(input, &[], skip_bad)?);
        return if listing.images.is_empty() && listing.skipped.is_empty() {
            Err(no_images(input, &listing.passed_over))
        } else {
            Ok(listing)
        };
    }
    // A name with brackets may be a file's own, so existing files come before patterns.
    if input.exists() {
        return Ok(Listing { images: vec![input.to_path_buf()], ..Listing::default() });
    }
    let mut listing = Listing::default();
    if let Some(error) = scan::broken_link(input) {
        listing.take_faults(vec![Fault { path: input.to_path_buf(), error }], skip_bad)?;
        return Ok(listing);
    }
    if !glob::is_pattern(input) {
        return Err(DataError::dataset(input, "there is no such file or folder"));
    }
    let mut walk = Walk::default();
    let named = glob::matches(input, &mut walk)?.into_iter().filter(|path| !is_own(input, path));
    let (folders, files): (Vec<_>, Vec<_>) = named.partition(|path| path.is_dir());
    listing.images.extend(files);
    listing.merge(scan::list_all(&folders, &[], skip_bad)?);
    listing.take_faults(walk.faults, skip_bad)?;
    if listing.images.is_empty() && listing.skipped.is_empty() {
        return Err(DataError::dataset(input, "the pattern matches nothing"));
    }
    listing.images.sort_by(|one, other| byte_order(one, other));
    Ok(listing)
}

/// Whether a pattern has come upon pictures that Blemish has written: such a folder, or a file in one, that the pattern does not name.
fn is_own(pattern: &Path, path: &Path) -> bool {
    let is_own = |folder: &Path| is_results(folder) && !pattern.starts_with(folder);
    is_own(path) || path.parent().is_some_and(is_own)
}

/// A listing of a folder without the folders of masks, unless it holds nothing else.
fn without_masks(folder: &Path, mut listing: Listing) -> Listing {
    let mut known: HashMap<PathBuf, bool> = HashMap::new();
    let mut is_mask = |path: &Path| {
        let below =
            path.parent().and_then(|parent| parent.strip_prefix(folder).ok()).unwrap_or(Path::new(""));
        if let Some(&is_mask) = known.get(below) {
            return is_mask;
        }
        let is_mask = Place::below(below, None).is_mask;
        known.insert(below.to_path_buf(), is_mask);
        is_mask
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

fn no_images(folder: &Path, passed_over: &PassedOver) -> DataError {
    let reason = match passed_over.words() {
        nothing if nothing.is_empty() => {
            format!("it holds no images; supported are {FORMATS}")
        }
        words => format!("it holds no images that can be read, but files {words}; supported are {FORMATS}"),
    };
    DataError::dataset(folder, reason)
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
        assert!(error.contains("set/7.png") && error.contains("it points to `/nowhere/7.png`"), "{error}");
        let listing = find_images(&[at("set"), at("set/7.png")], true).unwrap();
        assert_eq!(listing.images, [at("set/1.png")]);
        let skipped: Vec<&Path> = listing.skipped.iter().map(|one| one.path.as_path()).collect();
        assert_eq!(skipped, [at("set/7.png"), at("set/notes")]);
        assert_eq!(listed(folder.path(), &["set/1.*"]), ["set/1.png"], "other names do not matter");
        let error = find_images(&[at("set/7.png")], true).unwrap_err().to_string();
        assert!(error.contains("none of the 1 images"), "{error}");
    }
}
