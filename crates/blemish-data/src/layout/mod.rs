//! What a path holds: datasets in the layouts that people have, recognised by themselves.
//!
//! | layout | recognised by |
//! |---|---|
//! | [`Layout::Mvtec`] | `train/good` (or only `test/<defect>`); also a folder of such categories |
//! | [`Layout::Visa`] | `split_csv/1cls.csv`, or that file itself |
//! | [`Layout::List`] | a CSV file, a JSON array or JSON Lines |
//! | [`Layout::Folder`] | any other folder: all images in it are good |
//!
//! Samples are always in the byte order of their paths, so nothing depends on the file system's order.

mod dataset;
mod folders;
mod glob;
mod images;
mod list;
mod scan;
mod visa;
mod walk;

#[cfg(test)]
mod tests;

use crate::error::DataError;
pub(crate) use dataset::defect_of;
pub use dataset::{Dataset, Label, Layout, OpenOptions, Sample};
use dataset::{category_name, chosen};
pub use images::{Listing, find_images, list_images, searched_folders};
use std::path::{Path, PathBuf};

/// Recognises the layout of a folder or list and collects its samples.
///
/// # Errors
/// [`DataError`]: nothing there, no images, several categories, a missing mask or file, a wrong line of a list.
pub fn open_dataset(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let metadata = std::fs::metadata(path).map_err(DataError::io("open", path))?;
    let mut dataset = if metadata.is_dir() { open_folder(path, options)? } else { open_file(path, options)? };
    for samples in [&mut dataset.train, &mut dataset.test] {
        samples.sort_by(|one, other| scan::byte_order(&one.path, &other.path));
    }
    if dataset.train.is_empty() && dataset.test.is_empty() {
        return Err(DataError::dataset(
            path,
            "it holds no images that can be used; supported are PNG, JPEG, BMP, TIFF and WebP",
        ));
    }
    Ok(dataset)
}

/// Opens every category of a set with several: of a folder of MVTec AD categories, of a list with a `category` column, of a VisA split.
/// One that the options choose, or the only one, comes alone. Sorted by name.
///
/// # Errors
/// As [`open_dataset`]; [`DataError::Setting`] if one test or mask folder is given for several categories.
pub fn open_categories(path: &Path, options: &OpenOptions) -> Result<Vec<Dataset>, DataError> {
    let found = match open_dataset(path, options) {
        Err(DataError::Category { wanted: None, found, .. }) => found,
        opened => return Ok(vec![opened?]),
    };
    if options.test_dir.is_some() || options.mask_dir.is_some() {
        return Err(DataError::Setting(format!(
            "a test or mask folder belongs to one category, but `{}` holds {}; choose one of: {}",
            path.display(),
            found.len(),
            found.join(", ")
        )));
    }
    let open = |category| open_dataset(path, &OpenOptions { category: Some(category), ..options.clone() });
    found.into_iter().map(open).collect()
}

fn open_folder(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let split = path.join(visa::SPLIT);
    if split.is_file() {
        return visa::open(&split, path, options);
    }
    if is_category(path) {
        chosen(path, options, vec![category_name(path)])?;
        return folders::open_mvtec(path, options);
    }
    if path.join("train").is_dir() && path.join("test").is_dir() {
        return Err(DataError::dataset(
            path,
            "it has `train` and `test` but no `train/good`; put the good training images into `train/good`",
        ));
    }
    let categories: Vec<PathBuf> =
        scan::subfolders(path)?.into_iter().filter(|folder| is_category(folder)).collect();
    if categories.is_empty() {
        // Defective test images must not be learnt as good.
        if options.test_dir.is_none() && path.join("test").is_dir() {
            return Err(DataError::dataset(
                path,
                "it has good images beside a `test` folder; move the good ones into `train/good`, or name the test folder",
            ));
        }
        return folders::open_plain(path, options);
    }
    let name = chosen(path, options, categories.iter().map(|folder| category_name(folder)).collect())?;
    match categories.iter().find(|folder| category_name(folder) == name) {
        Some(folder) => folders::open_mvtec(folder, options),
        // Renamed since it was listed a moment ago.
        None => Err(DataError::dataset(path, format!("its category `{name}` is gone; open it again"))),
    }
}

fn open_file(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let text = list::read_text(path)?;
    let base = path.parent().unwrap_or(Path::new(""));
    if visa::is_split(&text) {
        // The split lies in `split_csv/`, and its paths start one folder above.
        let in_place = path.ends_with(visa::SPLIT);
        let root = if in_place { base.parent().unwrap_or(Path::new("")) } else { base };
        return visa::open(path, root, options);
    }
    list::open(path, &text, options)
}

/// True for an MVTec AD category, also one with test images only.
fn is_category(folder: &Path) -> bool {
    let has_test_only = || {
        let test = folder.join("test");
        !folder.join("train").exists()
            && scan::subfolders(&test).is_ok_and(|folders| !folders.is_empty())
            && scan::images_in(folder).is_ok_and(|loose| loose.is_empty())
    };
    folder.join("train").join(scan::GOOD).is_dir() || has_test_only()
}
