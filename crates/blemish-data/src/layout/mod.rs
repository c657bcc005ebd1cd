//! What a path holds: datasets in the layouts that people have, recognised by themselves. [`table`] has a picture of each.
//!
//! ```text
//! scan ─> every file ─> place: what its folders say ─> masks: whose they are ─> folders: what each image is taken as
//!                         └── names: what a word says ──> list: what a label says
//! ```
//!
//! Samples are always in the byte order of their paths (frames of videos in the order of time), so nothing depends on the file system's order. What was taken as what, and what
//! was passed over, is in [`Dataset::account`]; where names contradict what their images would be taken as, opening is refused.

mod account;
mod dataset;
mod doubt;
mod folders;
mod glob;
mod images;
mod list;
mod masks;
mod names;
mod place;
mod realiad;
mod scan;
mod several;
mod sorting;
pub mod table;
mod tree;
mod unwanted;
mod videos;
mod visa;
mod walk;
mod words;

#[cfg(test)]
mod tests;

use crate::error::DataError;
use crate::film::Unpacked;
use crate::reader::FORMATS;
pub use account::{Account, FolderUse, PassedOver, Reason, Use, remark_of_gifs};
pub(crate) use dataset::defect_of;
pub use dataset::{Dataset, Label, Layout, OpenOptions, Sample, in_sequences};
use dataset::{category_name, chosen};
pub use images::{FoundImages, find_images, list_images, searched_folders};
use names::{Class, Split};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Recognises the layout of a folder or list and collects its samples.
///
/// # Errors
/// [`DataError`]: nothing there, no images, several categories of which none was chosen (nor all), a missing mask or file, a wrong line of a list, names that contradict
/// what their images would be taken as.
pub fn open_dataset(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    if options.frames {
        return open_videos(path, options);
    }
    match options.all_categories && options.category.is_none() {
        true => Dataset::joined(path, open_categories(path, options)?),
        false => open_one(path, options),
    }
}

/// The good images that several inputs hold: of folders and lists those that a fit learns from; of single files and glob patterns all.
///
/// # Errors
/// As [`open_dataset`] and [`find_images`]; [`DataError::Setting`] if there are no inputs.
pub fn open_good<P: AsRef<Path>>(inputs: &[P], options: &OpenOptions) -> Result<Dataset, DataError> {
    let mut all: Option<Dataset> = None;
    for path in inputs.iter().map(AsRef::as_ref) {
        let is_list = path.extension().is_some_and(|extension| extension == "csv" || extension == "json");
        let one = if path.is_dir() || is_list {
            open_dataset(path, options)?
        } else {
            let found = find_images(&[path], options.skip_bad)?;
            let train = found.images.iter().map(|path| Sample::unlabelled(path)).collect();
            Dataset { train, skipped: found.skipped, ..Dataset::empty(path, Layout::Folder, "") }
        };
        match &mut all {
            None => all = Some(one),
            Some(all) => {
                all.train.extend(one.train);
                all.skipped.extend(one.skipped);
            }
        }
    }
    all.ok_or_else(|| {
        DataError::Setting("there are no new images; name files or folders of good images".into())
    })
}

/// The only category, or the one that the options choose.
fn open_one(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| scan::broken_link(path).unwrap_or_else(|| DataError::io("open", path)(error)))?;
    let mut dataset = if metadata.is_dir() { open_folder(path, options)? } else { open_file(path, options)? };
    if dataset.layout != Layout::Videos {
        for samples in [&mut dataset.train, &mut dataset.test] {
            samples.sort_by(|one, other| scan::byte_order(&one.path, &other.path));
        }
    }
    if dataset.train.is_empty() && dataset.test.is_empty() {
        return Err(nothing(path, &dataset));
    }
    let remark = account::remark_of_gifs(dataset.files());
    dataset.account.remarks.extend(remark);
    Ok(dataset)
}

/// The same where all images are frames of videos.
fn open_videos(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let mut unpacked = Unpacked::new(None)?;
    let place = unpacked.stand_in(path)?;
    let test_dir = options.test_dir.as_ref().map(|folder| unpacked.stand_in(folder)).transpose()?;
    let options = OpenOptions { frames: false, test_dir, ..options.clone() };
    let dataset = open_dataset(&place, &options)?.into_videos();
    Ok(Dataset { unpacked: Some(Arc::new(unpacked)), ..dataset })
}

/// Why a set has no images, with what it holds instead.
fn nothing(path: &Path, dataset: &Dataset) -> DataError {
    let folders = dataset.account.folders.iter().take(5);
    let mut held: Vec<String> = folders
        .map(|one| format!("`{}` ({} images, {})", one.folder, one.images, one.taken_as.words()))
        .collect();
    let over = dataset.account.passed_over.words();
    held.extend((!over.is_empty()).then_some(format!("files {over}")));
    if let Some(first) = dataset.skipped.first() {
        held.push(format!(
            "{} left out, such as `{}`: {}",
            dataset.skipped.len(),
            first.path.display(),
            first.reason
        ));
    }
    let held = if held.is_empty() { String::new() } else { format!(", but {}", held.join(", ")) };
    let reason = format!("it holds no images that can be used{held}; supported are {FORMATS}");
    DataError::dataset(path, reason)
}

/// Opens every category of a set with several: of a folder of MVTec AD categories, of a list with a `category` column, of a VisA split.
/// One that the options choose, or the only one, comes alone. Sorted by name.
///
/// # Errors
/// As [`open_dataset`]; [`DataError::Setting`] if one test or mask folder is given for several categories.
pub fn open_categories(path: &Path, options: &OpenOptions) -> Result<Vec<Dataset>, DataError> {
    let open = |category| {
        let options = OpenOptions { category, ..options.clone() };
        match options.frames {
            true => open_videos(path, &OpenOptions { all_categories: false, ..options }),
            false => open_one(path, &options),
        }
    };
    let found = match open(options.category.clone()) {
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
    found.into_iter().map(|category| open(Some(category))).collect()
}

fn open_folder(path: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let split = path.join(visa::SPLIT);
    if split.is_file() {
        return visa::open(&split, path, options);
    }
    if let Some(set) = visa_category(path, options)? {
        return Ok(set);
    }
    if let Some(lists) = realiad::lists(path) {
        let name = chosen(path, options, lists.iter().map(|(name, _)| name.clone()).collect())?;
        let list = lists.iter().find(|(other, _)| *other == name).map_or(path, |(_, list)| list);
        return open_file(list, options);
    }
    let root = unwrapped(path)?;
    if is_category(&root)? {
        chosen(path, options, vec![category_name(&root)])?;
        return open_category(&root, options);
    }
    let named: Vec<PathBuf> = [&options.test_dir, &options.mask_dir]
        .into_iter()
        .flatten()
        .filter_map(|path| std::fs::canonicalize(path).ok())
        .collect();
    let mut categories = Vec::new();
    let mut others = Vec::new();
    for folder in scan::subfolders(&root)? {
        let is_named = std::fs::canonicalize(&folder).is_ok_and(|path| named.contains(&path));
        if !is_named && is_category(&folder)? { categories.push(folder) } else { others.push(folder) }
    }
    // Good and defective folders here and there may be taken for good; folders for train and test part categories.
    let mut is_plain = options.trust_folders && options.category.is_none() && !options.all_categories;
    for folder in &categories {
        is_plain = is_plain && !holds(folder, |name| names::split_of(name).is_some())?;
    }
    if categories.is_empty() || is_plain {
        return folders::open(&root, options);
    }
    if holds_files(&root)? {
        let reason = format!(
            "it has images of its own beside `{0}`, which is a set; name `{0}` itself, or move the images into folders that say what they are",
            categories[0].display()
        );
        return Err(DataError::Names { path: root, reason });
    }
    let name = chosen(&root, options, categories.iter().map(|folder| category_name(folder)).collect())?;
    let Some(folder) = categories.iter().find(|folder| category_name(folder) == name) else {
        // Renamed since it was listed a moment ago.
        return Err(DataError::dataset(path, format!("its category `{name}` is gone; open it again")));
    };
    let mut dataset = open_category(folder, options)?;
    for other in others {
        let images = scan::list(&other, &[], true)?.images.len();
        if images > 0 {
            let whose = match options.all_categories {
                true => "any category".to_owned(),
                false => format!("category `{name}`"),
            };
            let remark =
                format!("`{}` ({images} images) is no part of {whose} and was passed over", other.display());
            dataset.account.remarks.push(remark);
        }
    }
    Ok(dataset)
}

/// A set with folders for train and test, of videos or of images.
fn open_category(folder: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    match videos::open(folder, options)? {
        Some(videos) => Ok(videos),
        None => folders::open(folder, options),
    }
}

/// A category's folder of VisA, with the split of the set that it lies in.
fn visa_category(path: &Path, options: &OpenOptions) -> Result<Option<Dataset>, DataError> {
    let name = category_name(path);
    let real = std::fs::canonicalize(path).map_err(DataError::io("open", path))?;
    let Some(root) =
        real.parent().filter(|root| path.join("Data").is_dir() && root.join(visa::SPLIT).is_file())
    else {
        return Ok(None);
    };
    let split = root.join(visa::SPLIT);
    if !visa::rows(&split, &list::read_text(&split)?)?.iter().any(|entry| entry.category == name) {
        return Ok(None);
    }
    chosen(path, options, vec![name.clone()])?;
    visa::open(&split, root, &OpenOptions { category: Some(name), ..options.clone() }).map(Some)
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
    match realiad::parse(&text) {
        Some(set) => realiad::open(path, &set, options),
        None => list::open(path, &text, options),
    }
}

/// The folder inside folders that hold nothing but one folder each, as archives unpack, if there is a set or categories in it.
fn unwrapped(path: &Path) -> Result<PathBuf, DataError> {
    let mut inner = path.to_path_buf();
    for _ in 0..3 {
        let subfolders = scan::subfolders(&inner)?;
        let [only] = subfolders.as_slice() else { break };
        if is_category(&inner)? || holds_files(&inner)? {
            break;
        }
        inner = only.clone();
        let is_set = |folder: &PathBuf| is_category(folder).unwrap_or(false);
        if scan::subfolders(&inner)?.iter().any(is_set) {
            return Ok(inner);
        }
    }
    Ok(path.to_path_buf())
}

fn holds_files(folder: &Path) -> Result<bool, DataError> {
    let entries = std::fs::read_dir(folder).map_err(DataError::io("list", folder))?;
    Ok(entries
        .filter_map(Result::ok)
        .any(|entry| entry.path().is_file() && scan::has_image_name(&entry.path())))
}

/// Whether a folder is a set of its own: it holds folders for train or test, or of good images.
fn is_category(folder: &Path) -> Result<bool, DataError> {
    holds(folder, |name| {
        matches!(names::split_of(name), Some(Split::Train | Split::Test))
            || names::class_of(name) == Class::Good
    })
}

/// Whether a folder holds one whose name is wanted, itself or in folders that say nothing (VisA has `Data/Images/Normal`).
fn holds(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<bool, DataError> {
    let mut look_into: Vec<(PathBuf, usize)> = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = look_into.pop() {
        // What may not be listed is told of where its files are.
        for path in scan::subfolders(&folder).unwrap_or_default() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if is_wanted(&name) {
                return Ok(true);
            }
            if names::is_neutral(&name) && depth < 2 {
                look_into.push((path, depth + 1));
            }
        }
    }
    Ok(false)
}
