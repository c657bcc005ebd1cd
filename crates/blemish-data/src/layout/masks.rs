//! Which masks belong to which image, in any naming in use: `x_mask`, `x_gt`, `x`, several of them, or a folder of masks an image.

use super::names::{is_nameless, masked_stem};
use super::place::{Place, Said};
use super::scan::stem;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A file in a place for masks, or named as the mask of an image beside it.
struct MaskFile {
    path: PathBuf,
    /// Whether its name says that it is a mask.
    is_named: bool,
    place: Rc<Place>,
    can_be_read: bool,
}

/// All masks of a set, found by the names of images.
#[derive(Default)]
pub(super) struct Masks {
    files: Vec<MaskFile>,
    /// Of the images' names in lower case, without extensions.
    by_stem: HashMap<String, Vec<usize>>,
    /// Of the names of the folders that the masks are in.
    by_folder: HashMap<String, Vec<usize>>,
    /// Of names before a last number.
    by_series: HashMap<String, Vec<usize>>,
    /// Masks and the images that they were found for.
    used: HashMap<usize, PathBuf>,
}

/// The masks of one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Those that can be read; what any of them marks is marked.
    pub(super) masks: Vec<PathBuf>,
    /// Those in a format that is not read.
    pub(super) unread: Vec<PathBuf>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.masks.is_empty() && self.unread.is_empty()
    }
}

impl Masks {
    pub(super) fn add(&mut self, path: PathBuf, place: Rc<Place>, can_be_read: bool) {
        let stem = stem(&path).to_lowercase();
        let (image, is_named) = masked_stem(&stem);
        let index = self.files.len();
        self.by_stem.entry(image.to_owned()).or_default().push(index);
        let folder =
            path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().to_lowercase());
        self.by_folder.entry(folder.unwrap_or_default()).or_default().push(index);
        let before = image.trim_end_matches(|c: char| c.is_ascii_digit());
        let series = before.trim_end_matches(['_', '-']);
        if before != image && series != before {
            self.by_series.entry(series.to_owned()).or_default().push(index);
        }
        self.files.push(MaskFile { path, is_named, place, can_be_read });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The masks of an image in a place. `images` are the names of all images, so that a mask that is another's is not taken.
    ///
    /// # Errors
    /// The mask and the other image, if a mask may belong to two.
    pub(super) fn of(
        &mut self,
        image: &Path,
        place: &Place,
        images: &BTreeSet<String>,
    ) -> Result<Found, (PathBuf, PathBuf)> {
        let name = stem(image).to_lowercase();
        let mut chosen = self.best(self.by_stem.get(&name), place, "");
        if chosen.is_empty() {
            chosen = self.best(self.by_folder.get(&name), place, &name);
        }
        if chosen.is_empty() {
            let others = |index: &usize| {
                !images.contains(masked_stem(&stem(&self.files[*index].path).to_lowercase()).0)
            };
            let series: Vec<usize> =
                self.by_series.get(&name).into_iter().flatten().copied().filter(others).collect();
            chosen = self.best(Some(&series), place, "");
        }
        let mut found = Found::default();
        for &index in &chosen {
            if let Some(other) = self.used.get(&index).filter(|other| *other != image) {
                return Err((self.files[index].path.clone(), other.clone()));
            }
        }
        for index in chosen {
            self.used.insert(index, image.to_path_buf());
            let file = &self.files[index];
            let list = if file.can_be_read { &mut found.masks } else { &mut found.unread };
            list.push(file.path.clone());
        }
        Ok(found)
    }

    /// Of masks that may belong to an image in a place those whose folders say most; of these those that are named as masks, if any are.
    fn best(&self, candidates: Option<&Vec<usize>>, place: &Place, own_folder: &str) -> Vec<usize> {
        let fits: Vec<(usize, usize)> = candidates
            .into_iter()
            .flatten()
            .filter_map(|&index| Some((fit(&self.files[index].place, place, own_folder)?, index)))
            .collect();
        let Some(most) = fits.iter().map(|(fit, _)| *fit).max() else { return Vec::new() };
        let best = || fits.iter().filter(|(fit, _)| *fit == most).map(|(_, index)| *index);
        let named: Vec<usize> = best().filter(|&index| self.files[index].is_named).collect();
        if named.is_empty() { best().collect() } else { named }
    }

    /// Masks that belong to no image, and files for masks that cannot be read, used or not.
    pub(super) fn rest(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let unused = |index: &usize| !self.used.contains_key(index) && self.files[*index].can_be_read;
        let unused =
            (0..self.files.len()).filter(unused).map(|index| self.files[index].path.clone()).collect();
        let unread =
            self.files.iter().filter(|file| !file.can_be_read).map(|file| file.path.clone()).collect();
        (unused, unread)
    }

    /// The folders of the masks, and how many each holds.
    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|file| file.can_be_read).map(|file| file.place.decided_by.as_str())
    }
}

/// How many folders a mask shares with an image; `None` if it has one that the image lacks.
fn fit(mask: &Place, image: &Place, own_folder: &str) -> Option<usize> {
    if let (Some(one), Some(other)) = (mask.split, image.split)
        && one != other
    {
        return None;
    }
    let is_nameless_kind = matches!(&image.said, Said::Defective(kind) if is_nameless(kind));
    let mut shared = 0;
    for part in &mask.context {
        if image.context.contains(part) {
            shared += 1;
        } else if part != own_folder && !(is_nameless_kind && is_nameless(part)) {
            return None;
        }
    }
    Some(shared)
}

/// Where the mask of an image would lie, by an image of the same kind that has one.
pub(super) fn expected(image: &Path, sibling: &Path, mask: &Path) -> PathBuf {
    let (own, other) = (stem(image), stem(sibling));
    let folder = mask.parent().unwrap_or(Path::new(""));
    let name = mask.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if folder.file_name().is_some_and(|name| name.to_string_lossy() == other) {
        return folder.with_file_name(own).join(name);
    }
    folder.join(name.replacen(&other, &own, 1))
}
