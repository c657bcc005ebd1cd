//! Everything in the folders of a set: images with what their folders say, and the masks that belong to them.

use super::account::Account;
use super::dataset::OpenOptions;
use super::masks::{Found, Masks};
use super::names::masked_stem;
use super::place::{Place, Said};
use super::scan::{self, Listing, extension, stem};
use crate::error::{DataError, Skipped};
use crate::ground_truth::read_marked;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// An image and the folders on the way to it.
pub(super) struct Picture {
    pub(super) path: PathBuf,
    pub(super) place: Rc<Place>,
    pub(super) masks: Found,
    /// What its mask says of it, where no folder says anything.
    pub(super) is_defective_by_mask: Option<bool>,
}

/// Everything in the folders of a set.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) pictures: Vec<Picture>,
    pub(super) masks: Masks,
    pub(super) account: Account,
    pub(super) skipped: Vec<Skipped>,
}

impl Tree {
    /// Adds what a folder holds; `under` is the folder that its own are read below.
    pub(super) fn add(
        &mut self,
        folder: &Path,
        under: Option<&str>,
        excluded: &[PathBuf],
        options: &OpenOptions,
    ) -> Result<(), DataError> {
        let Listing { images, others, passed_over, skipped } =
            scan::list(folder, excluded, options.skip_bad)?;
        self.account.passed_over.merge(passed_over);
        self.skipped.extend(skipped);
        let mut places: HashMap<PathBuf, Rc<Place>> = HashMap::new();
        let mut place_of = |path: &Path| {
            let parent = path.parent().unwrap_or(folder);
            let place = places
                .entry(parent.to_path_buf())
                .or_insert_with(|| Rc::new(place(folder, parent, under, options)));
            place.clone()
        };
        let names: BTreeSet<(PathBuf, String)> = images
            .iter()
            .map(|path| (path.parent().unwrap_or(folder).to_path_buf(), stem(path).to_lowercase()))
            .collect();
        // `x_mask.png` beside `x.png` is a mask wherever it lies.
        let is_beside = |path: &Path| {
            let own = stem(path).to_lowercase();
            let (image, is_named) = masked_stem(&own);
            is_named
                && image != own
                && names.contains(&(path.parent().unwrap_or(folder).to_path_buf(), image.to_owned()))
        };
        let twins = masks_by_extension(&images, &mut place_of);
        // Where names do not count, only a set with train and test has a place for masks.
        let has_mask_folders = !options.trust_folders
            || under.is_some()
            || images.iter().any(|path| place_of(path).split.is_some());
        for path in images {
            let place = place_of(&path);
            let is_mask_by_file = !options.trust_folders && (is_beside(&path) || twins.contains(&path));
            if is_mask_by_file || (place.is_mask && has_mask_folders) {
                self.masks.add(path, place, true);
            } else {
                let masks = Found::default();
                self.pictures.push(Picture { path, place, masks, is_defective_by_mask: None });
            }
        }
        for path in others {
            let place = place_of(&path);
            // Texts about masks are no masks, but pictures and arrays are.
            let is_text = ["txt", "csv", "md", "json", "xml", "yaml", "yml", "db", "html", "pdf"]
                .contains(&extension(&path).as_str());
            if !is_text && (place.is_mask || is_beside(&path)) {
                self.masks.add(path, place, false);
            }
        }
        Ok(())
    }

    /// Finds every image's masks, and labels the images of which only masks say anything.
    pub(super) fn pair(&mut self, options: &OpenOptions) -> Result<(), DataError> {
        let names: BTreeSet<String> =
            self.pictures.iter().map(|picture| stem(&picture.path).to_lowercase()).collect();
        let Self { pictures, masks, skipped, .. } = self;
        let mut faults: Vec<(usize, DataError)> = Vec::new();
        // Defective images come first, since a mask that two could have is theirs.
        let rank = |picture: &Picture| match picture.place.said {
            Said::Defective(_) => 0,
            Said::Nothing => 1,
            Said::Good => 2,
        };
        let mut order: Vec<usize> = (0..pictures.len()).collect();
        order.sort_by_key(|&index| rank(&pictures[index]));
        let first = order.first().map_or(0, |&index| rank(&pictures[index]));
        for index in order {
            let picture = &mut pictures[index];
            if picture.place.is_cloud {
                continue;
            }
            match masks.of(&picture.path, &picture.place, &names) {
                Ok(found) => picture.masks = found,
                Err(_) if rank(picture) > first || first == 2 => {}
                Err((mask, other)) => {
                    let reason = format!(
                        "the mask `{}` may belong to it and to `{}`; put the masks into folders named as those of the images",
                        mask.display(),
                        other.display()
                    );
                    faults.push((index, DataError::dataset(&picture.path, reason)));
                }
            }
        }
        label_by_masks(pictures, &mut faults);
        faults.sort_by_key(|(index, _)| *index);
        for (index, fault) in faults.into_iter().rev() {
            if !options.skip_bad {
                return Err(fault);
            }
            let path = pictures.remove(index).path;
            skipped.push(Skipped { path, reason: fault.to_string() });
        }
        Ok(())
    }
}

/// Labels the images of which no folder says anything by their masks, if all of them have one, or train and test are told apart: an image
/// whose masks mark something is defective, any other good.
fn label_by_masks(pictures: &mut [Picture], faults: &mut Vec<(usize, DataError)>) {
    let is_silent = |one: &Picture| one.place.said == Said::Nothing && !one.place.is_cloud;
    let silent = || pictures.iter().filter(|one| is_silent(one));
    let has_masks = silent().any(|one| !one.masks.masks.is_empty());
    let is_sure =
        silent().all(|one| !one.masks.masks.is_empty()) || silent().all(|one| one.place.split.is_some());
    if !(has_masks && is_sure) {
        return;
    }
    for (index, picture) in pictures.iter_mut().enumerate().filter(|(_, picture)| is_silent(picture)) {
        let marks = |mask: &PathBuf| read_marked(mask).map(|read| read.mask.marked.contains(&true));
        match picture.masks.masks.iter().map(marks).collect::<Result<Vec<bool>, DataError>>() {
            Ok(marks) => picture.is_defective_by_mask = Some(marks.contains(&true)),
            Err(error) => faults.push((index, error)),
        }
    }
}

/// How the folder of an image is read, below the set's own.
fn place(root: &Path, folder: &Path, under: Option<&str>, options: &OpenOptions) -> Place {
    let below = folder.strip_prefix(root).unwrap_or(Path::new(""));
    let mut place = Place::below(below, under);
    if let (Some(under), true) = (under, options.test_dir.is_some() || options.mask_dir.is_some()) {
        // A folder that was named lies anywhere.
        let rest = place.decided_by.strip_prefix(under).unwrap_or_default().trim_start_matches('/');
        place.decided_by = root.join(rest).display().to_string();
    } else if let Some(under) = under {
        let rest = place.decided_by.strip_prefix(under).unwrap_or_default().trim_start_matches('/');
        place.decided_by = if rest.is_empty() { ".".into() } else { rest.to_owned() };
    }
    if options.trust_folders {
        place.doubt = None;
    }
    place
}

/// In folders of defective images, the PNG files that each share the name of a JPEG or BMP: Real-IAD keeps its masks so.
fn masks_by_extension(
    images: &[PathBuf],
    place_of: &mut impl FnMut(&Path) -> Rc<Place>,
) -> BTreeSet<PathBuf> {
    let mut masks = BTreeSet::new();
    for folder in images.chunk_by(|one, other| one.parent() == other.parent()) {
        if !matches!(place_of(&folder[0]).said, Said::Defective(_)) {
            continue;
        }
        let (flat, photos): (Vec<&PathBuf>, Vec<&PathBuf>) =
            folder.iter().partition(|path| extension(path) == "png");
        let photos: BTreeSet<String> = photos.iter().map(|path| stem(path)).collect();
        if !flat.is_empty() && flat.iter().all(|path| photos.contains(&stem(path))) {
            masks.extend(flat.into_iter().cloned());
        }
    }
    masks
}
