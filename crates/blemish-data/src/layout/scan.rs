//! Listing folders: images and other files, sorted by the bytes of their paths; what is passed over is counted by its reason.

use super::account::{PassedOver, Reason};
use super::unwanted::unwanted;
use super::walk::Walk;
pub(super) use super::walk::{Fault, broken_link, byte_order};
use crate::error::{DataError, Skipped};
use crate::reader::looks_like_image;
pub(super) use crate::reader::{extension, has_image_name, stem};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Extensions of pictures in formats that may not be read; whether they are is decided by the content.
const PICTURES: [&str; 26] = [
    "avif", "heic", "heif", "jp2", "j2k", "jpx", "jxl", "jxr", "psd", "svg", "exr", "hdr", "dng", "raw",
    "cr2", "nef", "arw", "pcx", "tga", "ico", "dds", "npy", "npz", "mat", "dcm", "xcf",
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

/// Everything inside `folder` and its subfolders, except below `excluded`. With `skip_bad` links to nowhere and folders that may not be
/// read are left out and listed instead of being errors. Links in circles end where they begin.
pub(super) fn list(folder: &Path, excluded: &[PathBuf], skip_bad: bool) -> Result<Listing, DataError> {
    list_all(&[folder.to_path_buf()], excluded, skip_bad)
}

/// The same for several folders, whose files come once.
pub(super) fn list_all(
    folders: &[PathBuf],
    excluded: &[PathBuf],
    skip_bad: bool,
) -> Result<Listing, DataError> {
    let mut listing = Listing::default();
    let mut walk = Walk::without(excluded);
    for folder in folders {
        walk.below(folder, &mut |_, files| files.into_iter().for_each(|file| listing.add(file)));
    }
    listing.passed_over.merge(walk.passed_over);
    listing.take_faults(walk.faults, skip_bad)?;
    listing.images.sort_by(|one, other| byte_order(one, other));
    listing.others.sort_by(|one, other| byte_order(one, other));
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

    /// Leaves out what could not be listed.
    ///
    /// # Errors
    /// The first of it, if nothing may be left out.
    pub(super) fn take_faults(&mut self, mut faults: Vec<Fault>, skip_bad: bool) -> Result<(), DataError> {
        faults.sort_by(|one, other| byte_order(&one.path, &other.path));
        if !skip_bad && !faults.is_empty() {
            return Err(faults.swap_remove(0).error);
        }
        self.skipped.extend(faults.into_iter().map(Fault::left_out));
        Ok(())
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

fn looks_like_one(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(32).read_to_end(&mut head));
    read.is_ok() && looks_like_image(&head)
}
