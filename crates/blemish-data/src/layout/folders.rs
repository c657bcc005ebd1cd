//! Sets that say everything by their folders, in whichever layout: MVTec AD and its relatives, folders of good and defective images,
//! images with masks beside them, and any folder of good images.

use super::account::{Account, Use};
use super::dataset::{Dataset, Label, OpenOptions, Sample, category_name};
use super::doubt::{Doubts, refuse};
use super::masks::{Masks, expected};
use super::names::Split;
use super::place::{Place, Said};
use super::scan;
use super::sorting::Sorting;
use super::tree::{Picture, Tree};
use crate::error::{DataError, Skipped};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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
    let Tree { pictures, masks, account, skipped } = tree;
    let sorting = Sorting::new(root, options, &pictures, has_own_masks);
    collect(&sorting, &pictures, &masks, account, skipped)
}

/// A folder that is itself one for testing is read as one, if it holds folders that say so.
fn test_folder_by_name(root: &Path) -> Result<Option<&'static str>, DataError> {
    let is_test = super::names::split_of(&category_name(root)) == Some(Split::Test);
    let says_good = |folder: &PathBuf| Place::read(&[category_name(folder).as_str()]).said == Said::Good;
    Ok((is_test && scan::subfolders(root)?.iter().any(says_good)).then_some("test"))
}

/// The samples of a set, every image taken as what it is.
fn collect(
    sorting: &Sorting<'_>,
    pictures: &[Picture],
    masks: &Masks,
    mut account: Account,
    mut skipped: Vec<Skipped>,
) -> Result<Dataset, DataError> {
    let mut doubts = Doubts::default();
    let (mut train, mut test) = (Vec::new(), Vec::new());
    let folders: BTreeSet<Option<&Path>> = pictures.iter().map(|one| one.path.parent()).collect();
    let is_grouped = sorting.is_masked && !sorting.has_splits() && folders.len() > 1;
    for picture in pictures {
        let taken = sorting.take(picture);
        if let (Some(doubt), true) = (&picture.place.doubt, picture.place.split != Some(Split::Validation)) {
            doubts.add(&picture.place.decided_by, doubt);
        }
        let below = picture.path.parent().map(|folder| folder.strip_prefix(sorting.root).unwrap_or(folder));
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
                let path = picture.path.clone();
                let sample = Sample { path, label: Label::Defective, defect, masks, group, category: None };
                test.push((sample, picture));
            }
            Use::Masks | Use::PassedOver(_) => {}
        }
        account.count(&picture.place.decided_by, taken);
    }
    for folder in masks.places() {
        account.count(folder, Use::Masks);
    }
    if !sorting.options.trust_folders {
        refuse(sorting, pictures, &train, test.len(), doubts)?;
    }
    let test = missing_masks(test, sorting.options, &mut skipped)?;
    (account.unused_masks, account.unread_masks) = masks.rest();
    account.remark_unread();
    account.finish();
    skipped.sort_by(|one, other| scan::byte_order(&one.path, &other.path));
    Ok(Dataset {
        root: sorting.root.to_path_buf(),
        layout: sorting.layout(),
        category: category_name(sorting.root),
        train,
        test,
        skipped,
        account,
        unpacked: None,
    })
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
