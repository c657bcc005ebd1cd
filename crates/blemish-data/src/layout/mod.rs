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

mod folders;
mod images;
mod list;
mod scan;
mod visa;

#[cfg(test)]
mod tests;

use crate::error::{DataError, Skipped};
pub use images::list_images;
use std::path::{Path, PathBuf};

/// How a dataset is laid out on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Any folder of good images.
    Folder,
    /// MVTec AD: `train/good`, `test/<defect>`, `ground_truth/<defect>/NAME_mask.png`.
    Mvtec,
    /// VisA with its `split_csv/1cls.csv`.
    Visa,
    /// A CSV or JSON list.
    List,
}

/// What is known of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// Free of defects.
    Good,
    /// With a defect.
    Defective,
}

/// One image of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image file.
    pub path: PathBuf,
    /// Good or defective.
    pub label: Label,
    /// "good", or the kind of defect.
    pub defect: String,
    /// The file that marks the defect; `None` for good images and where masks are absent.
    pub mask: Option<PathBuf>,
    /// What it shares with other images (the part, the shot), where a list says so; such images are kept together in folds.
    pub group: Option<String>,
}

impl Sample {
    /// An image of which nothing is known; it counts as good.
    pub fn unlabelled(path: &Path) -> Self {
        Self::good(path.to_path_buf())
    }

    fn good(path: PathBuf) -> Self {
        Self { path, label: Label::Good, defect: scan::GOOD.into(), mask: None, group: None }
    }
}

/// The images of one category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder or list it was opened from (for a set of categories, the category's folder).
    pub root: PathBuf,
    /// The layout that was recognised.
    pub layout: Layout,
    /// The category's name, or the folder's.
    pub category: String,
    /// Good images to learn from; empty in sets for evaluation only.
    pub train: Vec<Sample>,
    /// Labelled images to evaluate on; may be empty.
    pub test: Vec<Sample>,
    /// What was left out because of [`OpenOptions::skip_bad`].
    pub skipped: Vec<Skipped>,
}

/// How to open a dataset. The default recognises everything by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Which category of a set with several.
    pub category: Option<String>,
    /// Folder with `good` and defect folders; instead of the layout's own.
    pub test_dir: Option<PathBuf>,
    /// Folder of masks (`<defect>/NAME_mask.png`, `<defect>/NAME.png`, or the same without defect folders); instead of the
    /// layout's own.
    pub mask_dir: Option<PathBuf>,
    /// Leave out images whose mask or file is missing, and list them, instead of failing.
    pub skip_bad: bool,
}

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

fn open_folder(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let split = path.join(visa::SPLIT);
    if split.is_file() {
        return visa::open(&split, path, options);
    }
    if is_category(path) {
        let name = category_name(path);
        return match &options.category {
            Some(wanted) if *wanted != name => Err(unknown_category(path, options, vec![name])),
            _ => folders::open_mvtec(path, options),
        };
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
    let chosen = match (&options.category, categories.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(wanted), all) => all.iter().find(|folder| category_name(folder) == *wanted),
    };
    match chosen {
        Some(folder) => folders::open_mvtec(folder, options),
        None => {
            let found = categories.iter().map(|folder| category_name(folder)).collect();
            Err(unknown_category(path, options, found))
        }
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

/// The last part of a path's real name, so that `.` and `..` have one too.
fn category_name(path: &Path) -> String {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    real.file_name().map_or_else(|| "images".into(), |name| name.to_string_lossy().into_owned())
}

fn unknown_category(path: &Path, options: &OpenOptions, found: Vec<String>) -> DataError {
    DataError::Category { path: path.to_path_buf(), wanted: options.category.clone(), found }
}
