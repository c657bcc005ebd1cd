//! Where names contradict what their images would be taken as.

use super::dataset::{Layout, Sample, category_name};
use super::names::{Class, Split, class_of, class_of_file, is_nameless, is_sure_kind, masked_stem};
use super::place::Said;
use super::scan::stem;
use super::sorting::Sorting;
use super::tree::Picture;
use crate::error::DataError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Folders that contradict themselves, why, and how many images each holds.
#[derive(Default)]
pub(super) struct Doubts(BTreeMap<String, (String, usize)>);

impl Doubts {
    pub(super) fn add(&mut self, folder: &str, doubt: &str) {
        self.0.entry(folder.to_owned()).or_insert_with(|| (doubt.to_owned(), 0)).1 += 1;
    }

    /// # Errors
    /// [`DataError::Names`] if there are any.
    pub(super) fn refuse(self, root: &Path) -> Result<(), DataError> {
        let said: Vec<String> = self
            .0
            .iter()
            .take(3)
            .map(|(folder, (doubt, count))| format!("in `{folder}` ({count} images) {doubt}"))
            .collect();
        if said.is_empty() {
            return Ok(());
        }
        let reason = format!("{}; rename the folder or move its images", said.join(", "));
        Err(DataError::Names { path: root.to_path_buf(), reason })
    }
}

/// Refuses where it cannot be told what is good.
pub(super) fn refuse(
    sorting: &Sorting<'_>,
    pictures: &[Picture],
    train: &[Sample],
    tested: usize,
    doubts: Doubts,
) -> Result<(), DataError> {
    let wrong = |path: &Path, reason: &str| Err(DataError::dataset(path, reason));
    let is_silent = |one: &&Picture| one.place.said == Said::Nothing && one.is_defective_by_mask.is_none();
    let silent = |split: Option<Split>| pictures.iter().filter(is_silent).any(|one| one.place.split == split);
    if let (Some(folder), 0) = (&sorting.options.test_dir, tested) {
        return match silent(Some(Split::Test)) {
            true => {
                wrong(folder, "its images have no labels; put them into `good` and folders named by defect")
            }
            false => wrong(folder, "it holds no `good` folder and no defect folders with images"),
        };
    }
    let is_open = |one: &&Picture| one.place.split == Some(Split::Test) && !one.place.is_private;
    if tested == 0 && pictures.iter().filter(is_silent).any(|one| is_open(&one)) {
        let reason = "its test images have no labels; put them into `good` and folders named by defect";
        return wrong(sorting.root, reason);
    }
    if !sorting.has_good && silent(Some(Split::Train)) && (sorting.has_test || tested > 0) {
        return wrong(
            sorting.root,
            "it has `train` and `test` but no `train/good`; put the good training images into `train/good`",
        );
    }
    if train.is_empty() && silent(None) && sorting.has_splits() && sorting.options.test_dir.is_none() {
        return wrong(
            sorting.root,
            "it has good images beside a `test` folder; move the good ones into `train/good`, or name the test folder",
        );
    }
    doubts.refuse(sorting.root)?;
    let is_unsplit = !sorting.has_splits() || sorting.options.test_dir.is_some();
    if is_unsplit
        && !sorting.has_good
        && !sorting.is_masked
        && (sorting.has_defective || sorting.has_masks || has_sure_hints(pictures))
    {
        return Err(nothing_speaks_of_good(sorting.root, pictures));
    }
    if sorting.layout() == Layout::Folder && !sorting.has_good {
        check_root(sorting.root)?;
    }
    check_names(sorting.root, train)
}

/// Whether images to learn from lie in a folder whose name is a kind of defect and nothing else.
fn has_sure_hints(pictures: &[Picture]) -> bool {
    pictures.iter().any(
        |one| matches!(&one.place.said, Said::Defective(kind) if one.place.is_hint && is_sure_kind(kind)),
    )
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

/// Refuses a plain folder to learn from whose own name is a word for defects or masks. Names that begin with a dot are made by programs, often
/// by chance, and say nothing.
///
/// # Errors
/// [`DataError::Names`].
fn check_root(root: &Path) -> Result<(), DataError> {
    let name = category_name(root);
    if name.starts_with('.') {
        return Ok(());
    }
    let what = match class_of(&name) {
        Class::Masks => "masks",
        Class::Defective if is_nameless(&name) => "defects",
        _ => return Ok(()),
    };
    let reason = format!("its own name `{name}` speaks of {what}; name the folder of good images");
    Err(DataError::Names { path: root.to_path_buf(), reason })
}

/// Refuses images to learn from whose own names speak of defects or masks, unless all of them do and so the names say nothing.
///
/// # Errors
/// [`DataError::Names`].
fn check_names(root: &Path, train: &[Sample]) -> Result<(), DataError> {
    let stems: Vec<String> = train.iter().map(|sample| stem(&sample.path)).collect();
    let known: BTreeSet<String> = stems.iter().map(|stem| stem.to_lowercase()).collect();
    let is_mask = |stem: &str| {
        let lower = stem.to_lowercase();
        let (image, is_named) = masked_stem(&lower);
        // "product_label.png" is no mask unless there is a "product.png".
        is_named && (known.contains(image) && image != lower || class_of_file(&lower) == Class::Masks)
    };
    let is_defective = |stem: &str| matches!(class_of_file(stem), Class::Defective | Class::Both);
    for (what, is) in [("masks", &is_mask as &dyn Fn(&str) -> bool), ("defects", &is_defective)] {
        let mut found = train.iter().zip(&stems).filter(|(_, stem)| is(stem));
        let Some((first, _)) = found.next() else { continue };
        let count = 1 + found.count();
        if count == train.len() && train.len() > 1 {
            continue;
        }
        let reason = format!(
            "{count} of {} images to learn from have names that speak of {what}, such as `{}`; move them out of the folder of good images",
            train.len(),
            first.path.display()
        );
        return Err(DataError::Names { path: root.to_path_buf(), reason });
    }
    Ok(())
}
