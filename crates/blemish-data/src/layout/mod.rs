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
    /// Nothing is said of it. In a training folder it is learnt from, as a good one.
    Unknown,
}

/// The kind of defect of images whose label is all that is known.
pub(crate) fn defect_of(label: Label) -> &'static str {
    match label {
        Label::Good => scan::GOOD,
        Label::Defective => "defective",
        Label::Unknown => "unknown",
    }
}

/// One image of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image file.
    pub path: PathBuf,
    /// Good, defective or unknown.
    pub label: Label,
    /// "good", "unknown", or the kind of defect.
    pub defect: String,
    /// The file that marks the defect; `None` for good images and where masks are absent.
    pub mask: Option<PathBuf>,
    /// What it shares with other images (the part, the shot), where a list says so; such images are kept together in folds.
    pub group: Option<String>,
}

impl Sample {
    /// An image of which nothing is known.
    pub fn unlabelled(path: &Path) -> Self {
        Self::new(path.to_path_buf(), Label::Unknown)
    }

    fn good(path: PathBuf) -> Self {
        Self::new(path, Label::Good)
    }

    fn new(path: PathBuf, label: Label) -> Self {
        Self { path, label, defect: defect_of(label).to_owned(), mask: None, group: None }
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

/// The last part of a path's real name, so that `.` and `..` have one too.
fn category_name(path: &Path) -> String {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    real.file_name().map_or_else(|| "images".into(), |name| name.to_string_lossy().into_owned())
}

/// The category that the options choose, or the only one of those found.
///
/// # Errors
/// [`DataError::Category`] with all of them, sorted.
fn chosen(path: &Path, options: &OpenOptions, mut found: Vec<String>) -> Result<String, DataError> {
    found.sort();
    found.dedup();
    match (&options.category, found.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (Some(wanted), all) if all.contains(wanted) => Ok(wanted.clone()),
        _ => Err(DataError::Category { path: path.to_path_buf(), wanted: options.category.clone(), found }),
    }
}
