//! Where names contradict what their images would be taken as.

use super::dataset::{Sample, category_name};
use super::names::{Class, class_of, class_of_file, is_nameless, masked_stem};
use super::scan::stem;
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

/// Refuses a plain folder to learn from whose own name is a word for defects or masks.
///
/// # Errors
/// [`DataError::Names`].
pub(super) fn check_root(root: &Path) -> Result<(), DataError> {
    let name = category_name(root);
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
pub(super) fn check_names(root: &Path, train: &[Sample]) -> Result<(), DataError> {
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
