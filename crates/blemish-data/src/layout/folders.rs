//! Sets that say everything by their folders, in whichever layout: MVTec AD and its relatives, folders of good and defective images,
//! images with masks beside them, and any folder of good images.

use super::account::{Account, Use};
use super::dataset::{Dataset, Label, Layout, OpenOptions, Sample, category_name};
use super::doubt::{Doubts, check_names, check_root};
use super::masks::{Found, Masks, expected};
use super::names::{Split, is_sure_kind, masked_stem};
use super::place::{Place, Said};
use super::scan::{self, Listing, extension, stem};
use crate::error::{DataError, Skipped};
use crate::ground_truth::read_marked;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// An image and the folders on the way to it.
struct Picture {
    path: PathBuf,
    place: Rc<Place>,
    masks: Found,
    /// What its mask says of it, where no folder says anything.
    is_defective_by_mask: Option<bool>,
}

/// Everything in the folders of a set.
#[derive(Default)]
struct Tree {
    pictures: Vec<Picture>,
    masks: Masks,
    account: Account,
    skipped: Vec<Skipped>,
}

/// Reads the set in a folder.
pub(super) fn open(root: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let mut tree = Tree::default();
    let named: Vec<&PathBuf> = [&options.test_dir, &options.mask_dir].into_iter().flatten().collect();
    let excluded: Vec<PathBuf> =
        named.iter().filter_map(|folder| std::fs::canonicalize(folder).ok()).collect();
    let own_split = test_folder_by_name(root)?;
    tree.add(root, own_split, &excluded, options)?;
    // Another test folder takes the place of the set's own, another mask folder that of its masks.
    if let Some(folder) = &options.test_dir {
        tree.pictures.retain(|picture| picture.place.split != Some(Split::Test));
        tree.add(folder, Some("test"), &excluded[..0], options)?;
    }
    if let Some(folder) = &options.mask_dir {
        tree.masks = Masks::default();
        tree.add(folder, Some("masks"), &[], options)?;
    }
    tree.pair(options)?;
    let has_own_masks = !tree.masks.is_empty() && named.is_empty();
    Sorting::new(root, options, &tree.pictures, has_own_masks).finish(tree)
}

/// A folder that is itself one for testing is read as one, if it holds folders that say so.
fn test_folder_by_name(root: &Path) -> Result<Option<&'static str>, DataError> {
    let is_test = super::names::split_of(&category_name(root)) == Some(Split::Test);
    let says_good = |folder: &PathBuf| Place::read(&[category_name(folder).as_str()]).said == Said::Good;
    Ok((is_test && scan::subfolders(root)?.iter().any(says_good)).then_some("test"))
}

impl Tree {
    /// Adds what a folder holds; `under` is the folder that its own are read below.
    fn add(
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
        for path in images {
            let place = place_of(&path);
            if !options.trust_folders && !place.is_mask && (is_beside(&path) || twins.contains(&path)) {
                self.masks.add(path, place, true);
            } else if place.is_mask {
                self.masks.add(path, place, true);
            } else {
                self.pictures.push(Picture {
                    path,
                    place,
                    masks: Found::default(),
                    is_defective_by_mask: None,
                });
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
    fn pair(&mut self, options: &OpenOptions) -> Result<(), DataError> {
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
        let silent = |picture: &&mut Picture| picture.place.said == Said::Nothing && !picture.place.is_cloud;
        let has_masks = pictures
            .iter()
            .any(|picture| picture.place.said == Said::Nothing && !picture.masks.masks.is_empty());
        let all_masks = || {
            pictures
                .iter()
                .filter(|one| one.place.said == Said::Nothing)
                .all(|one| !one.masks.masks.is_empty())
        };
        let all_split = || {
            pictures.iter().filter(|one| one.place.said == Said::Nothing).all(|one| one.place.split.is_some())
        };
        if has_masks && (all_masks() || all_split()) {
            for (index, picture) in pictures.iter_mut().enumerate().filter(|(_, picture)| silent(&picture)) {
                let marks = picture
                    .masks
                    .masks
                    .iter()
                    .map(|mask| read_marked(mask).map(|read| read.mask.marked.contains(&true)));
                match marks.collect::<Result<Vec<bool>, DataError>>() {
                    Ok(marks) => picture.is_defective_by_mask = Some(marks.contains(&true)),
                    Err(error) => faults.push((index, error)),
                }
            }
        }
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

/// How the folder of an image is read, below the set's own.
fn place(root: &Path, folder: &Path, under: Option<&str>, options: &OpenOptions) -> Place {
    let below = folder.strip_prefix(root).unwrap_or(Path::new(""));
    let names: Vec<String> =
        below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let parts: Vec<&str> = under.into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut place = Place::read(&parts);
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

/// What all images of a set say together, by which each is taken.
struct Sorting<'a> {
    root: &'a Path,
    options: &'a OpenOptions,
    has_train: bool,
    has_test: bool,
    /// Whether some folder says that its images are good and to learn from.
    has_good: bool,
    /// Whether folders outside train and test speak of defects.
    has_defective: bool,
    has_masks: bool,
    /// Whether masks label the images.
    is_masked: bool,
    /// Whether images for validation are tested with, since there are no others.
    tests_validation: bool,
}

impl<'a> Sorting<'a> {
    fn new(root: &'a Path, options: &'a OpenOptions, pictures: &[Picture], has_masks: bool) -> Self {
        let any = |is: &dyn Fn(&Picture) -> bool| pictures.iter().any(is);
        let has = |split| any(&|one| one.place.split == Some(split));
        let is_defective = |one: &Picture| matches!(one.place.said, Said::Defective(_)) && !one.place.is_hint;
        let is_to_learn = |one: &Picture| !matches!(one.place.split, Some(Split::Test | Split::Validation));
        Self {
            root,
            options,
            has_train: has(Split::Train),
            has_test: has(Split::Test),
            has_good: any(&|one| is_to_learn(one) && one.place.said == Said::Good),
            has_defective: any(&|one| one.place.split.is_none() && is_defective(one)),
            has_masks,
            is_masked: any(&|one| one.is_defective_by_mask.is_some()),
            tests_validation: !has(Split::Test)
                && any(&|one| one.place.split == Some(Split::Validation) && is_defective(one)),
        }
    }

    /// Takes every image as what it is.
    fn finish(self, tree: Tree) -> Result<Dataset, DataError> {
        let Tree { pictures, masks, mut account, mut skipped } = tree;
        let mut doubts = Doubts::default();
        let (mut train, mut test) = (Vec::new(), Vec::new());
        let folders: BTreeSet<Option<&Path>> = pictures.iter().map(|one| one.path.parent()).collect();
        let is_grouped = self.is_masked && !self.has_splits() && folders.len() > 1;
        for picture in &pictures {
            let taken = self.take(picture);
            if let (Some(doubt), true) =
                (&picture.place.doubt, picture.place.split != Some(Split::Validation))
            {
                doubts.add(&picture.place.decided_by, doubt);
            }
            let below = picture.path.parent().map(|folder| folder.strip_prefix(self.root).unwrap_or(folder));
            let group = below.filter(|_| is_grouped).map(|folder| folder.to_string_lossy().into_owned());
            match &taken {
                Use::Learnt => train.push(Sample { group, ..Sample::good(picture.path.clone()) }),
                Use::TestGood => test.push((Sample { group, ..Sample::good(picture.path.clone()) }, picture)),
                Use::TestDefective => {
                    let defect = match &picture.place.said {
                        Said::Defective(kind) => kind.clone(),
                        _ => "defective".to_owned(),
                    };
                    let masks = picture.masks.masks.clone();
                    let sample =
                        Sample { path: picture.path.clone(), label: Label::Defective, defect, masks, group };
                    test.push((sample, picture));
                }
                Use::Masks | Use::PassedOver(_) => {}
            }
            account.count(&picture.place.decided_by, taken);
        }
        for folder in masks.places() {
            account.count(folder, Use::Masks);
        }
        if !self.options.trust_folders {
            self.refuse(&pictures, &train, test.len(), doubts)?;
        }
        let test = missing_masks(test, self.options, &mut skipped)?;
        (account.unused_masks, account.unread_masks) = masks.rest();
        account.remark_unread();
        account.finish();
        Ok(Dataset {
            root: self.root.to_path_buf(),
            layout: self.layout(),
            category: category_name(self.root),
            train,
            test,
            skipped,
            account,
        })
    }

    fn layout(&self) -> Layout {
        match () {
            () if self.is_masked => Layout::Masked,
            () if self.has_train || (self.has_test && self.options.test_dir.is_none()) => Layout::Mvtec,
            () if self.has_good && self.has_defective => Layout::Classes,
            () => Layout::Folder,
        }
    }

    /// What an image is taken as.
    fn take(&self, picture: &Picture) -> Use {
        let place = &picture.place;
        let over = |reason: &str| Use::PassedOver(reason.into());
        if place.is_cloud {
            return over("point clouds");
        }
        let said = match (picture.is_defective_by_mask, &place.said) {
            (Some(true), _) => Some(false),
            (Some(false), _) | (None, Said::Good) => Some(true),
            // "cracked" is a kind of defect beside "good", and else may be the name of a texture.
            (None, Said::Defective(_)) if place.is_hint && !self.has_good && place.split.is_none() => None,
            (None, Said::Defective(_)) => Some(false),
            (None, Said::Nothing) => None,
        };
        let trusted = self.options.trust_folders;
        match (place.split, said) {
            (Some(Split::Test), Some(true)) => Use::TestGood,
            (Some(Split::Test), Some(false)) => Use::TestDefective,
            (Some(Split::Test), None) if place.is_private => over("test images without labels"),
            (Some(Split::Test), None) => over("test images without a label"),
            (Some(Split::Validation), Some(true)) if self.tests_validation => Use::TestGood,
            (Some(Split::Validation), Some(false)) if self.tests_validation => Use::TestDefective,
            (Some(Split::Validation), _) => over("kept for validation"),
            (_, Some(true)) => Use::Learnt,
            (Some(Split::Train), _) | (None, _) if trusted => Use::Learnt,
            (Some(Split::Train), Some(false)) => over("defective, in a folder to learn from"),
            (None, Some(false)) if self.options.test_dir.is_some() => {
                over("defective, and not in the test folder")
            }
            (None, Some(false)) => Use::TestDefective,
            (Some(Split::Train), None) if self.has_good => over("neither good nor defective by its name"),
            (Some(Split::Train), None) => Use::Learnt,
            (None, None) if self.has_good || (self.has_splits() && self.options.test_dir.is_none()) => {
                over("neither good nor defective by its name")
            }
            (None, None) => Use::Learnt,
        }
    }

    fn has_splits(&self) -> bool {
        self.has_train || self.has_test
    }

    /// Refuses where it cannot be told what is good.
    fn refuse(
        &self,
        pictures: &[Picture],
        train: &[Sample],
        tested: usize,
        doubts: Doubts,
    ) -> Result<(), DataError> {
        let wrong = |path: &Path, reason: &str| Err(DataError::dataset(path, reason));
        let is_silent =
            |one: &&Picture| one.place.said == Said::Nothing && one.is_defective_by_mask.is_none();
        let silent =
            |split: Option<Split>| pictures.iter().filter(is_silent).any(|one| one.place.split == split);
        if let (Some(folder), 0) = (&self.options.test_dir, tested) {
            return match silent(Some(Split::Test)) {
                true => wrong(
                    folder,
                    "its images have no labels; put them into `good` and folders named by defect",
                ),
                false => wrong(folder, "it holds no `good` folder and no defect folders with images"),
            };
        }
        let is_open = |one: &&Picture| one.place.split == Some(Split::Test) && !one.place.is_private;
        if tested == 0 && pictures.iter().filter(is_silent).any(|one| is_open(&one)) {
            let reason = "its test images have no labels; put them into `good` and folders named by defect";
            return wrong(self.root, reason);
        }
        if !self.has_good && silent(Some(Split::Train)) && (self.has_test || tested > 0) {
            return wrong(
                self.root,
                "it has `train` and `test` but no `train/good`; put the good training images into `train/good`",
            );
        }
        if train.is_empty() && silent(None) && self.has_splits() && self.options.test_dir.is_none() {
            return wrong(
                self.root,
                "it has good images beside a `test` folder; move the good ones into `train/good`, or name the test folder",
            );
        }
        doubts.refuse(self.root)?;
        let is_unsplit = !self.has_splits() || self.options.test_dir.is_some();
        if is_unsplit
            && !self.has_good
            && !self.is_masked
            && (self.has_defective || self.has_masks || self.has_sure_hints(pictures))
        {
            return Err(nothing_speaks_of_good(self.root, pictures));
        }
        if self.layout() == Layout::Folder && !self.has_good {
            check_root(self.root)?;
        }
        check_names(self.root, train)
    }

    /// Whether images to learn from lie in a folder whose name is a kind of defect and nothing else.
    fn has_sure_hints(&self, pictures: &[Picture]) -> bool {
        pictures.iter().any(
            |one| matches!(&one.place.said, Said::Defective(kind) if one.place.is_hint && is_sure_kind(kind)),
        )
    }
}

/// Folders speak of defects or masks, and none of good.
fn nothing_speaks_of_good(root: &Path, pictures: &[Picture]) -> DataError {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for one in pictures {
        if matches!(&one.place.said, Said::Defective(kind) if !one.place.is_hint || is_sure_kind(kind)) {
            *folders.entry(&one.place.decided_by).or_default() += 1;
        }
    }
    let masked = pictures.iter().filter(|one| !one.masks.is_empty()).count();
    let named = |(folder, count): (&&str, &usize)| format!("`{folder}` ({count} images)");
    let names: Vec<String> = folders.iter().take(5).map(named).collect();
    let what = match names.is_empty() {
        true => format!("{masked} of {} images have masks", pictures.len()),
        false => {
            format!("{} {} of defects", names.join(", "), if names.len() == 1 { "speaks" } else { "speak" })
        }
    };
    let reason = format!("{what}, and no folder speaks of good; put the good images into a folder `good`");
    DataError::Names { path: root.to_path_buf(), reason }
}

/// The test images; one without a mask, among others of its kind that have theirs, is an error or left out.
fn missing_masks(
    test: Vec<(Sample, &Picture)>,
    options: &OpenOptions,
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<Sample>, DataError> {
    let mut masked: BTreeMap<&str, (&Path, &Path)> = BTreeMap::new();
    for (sample, picture) in &test {
        if let (Label::Defective, Some(mask)) = (sample.label, picture.masks.masks.first()) {
            masked.entry(picture.place.decided_by.as_str()).or_insert((&picture.path, mask));
        }
    }
    let mut samples = Vec::new();
    for (sample, picture) in test {
        let sibling = masked.get(picture.place.decided_by.as_str());
        if sample.label == Label::Defective
            && sample.masks.is_empty()
            && let Some((other, mask)) = sibling
        {
            let fault = match picture.masks.unread.first() {
                Some(unread) => DataError::dataset(
                    &sample.path,
                    format!(
                        "its mask `{}` is in a format that is not read; save it as PNG",
                        unread.display()
                    ),
                ),
                None => DataError::MissingMask {
                    image: sample.path.clone(),
                    expected: expected(&sample.path, other, mask),
                },
            };
            if !options.skip_bad {
                return Err(fault);
            }
            skipped.push(Skipped { path: sample.path, reason: fault.to_string() });
            continue;
        }
        samples.push(sample);
    }
    Ok(samples)
}
