//! Real-IAD (Wang et al., CVPR 2024, arXiv 2403.12580): a JSON file a category, with the images in folders named by their resolution.
//!
//! `{"meta": {"normal_class": "OK", "prefix": "audiojack/"}, "train": [...], "test": [...]}`; an entry has `category`, `anomaly_class`,
//! `image_path` and `mask_path`, below the prefix. The lists lie in `realiad_jsons/realiad_jsons/`, the images in `realiad_1024/`,
//! `realiad_512/` or `realiad_256/`.

use super::dataset::{Dataset, Layout, OpenOptions, chosen};
use super::list::{self, Entry, fault};
use crate::error::DataError;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The folder of lists in the set's own.
const LISTS: &str = "realiad_jsons";
/// Folders of images, the finest first.
const IMAGES: [&str; 6] = ["", "realiad_raw", "realiad_1024", "realiad_512", "realiad_256", "realiad"];

/// The list of each category, where a folder holds a whole Real-IAD.
pub(super) fn lists(root: &Path) -> Option<Vec<(String, PathBuf)>> {
    let folder = root.join(LISTS);
    let folder = if folder.join(LISTS).is_dir() { folder.join(LISTS) } else { folder };
    let mut lists: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (super::scan::stem(&path), path))
        .collect();
    lists.sort();
    (!lists.is_empty()).then_some(lists)
}

/// The object in a text, if it has what a list of Real-IAD has.
pub(super) fn parse(text: &str) -> Option<Value> {
    // JSON Lines begin with a brace too, but hold more than one value.
    let value: Value = serde_json::from_str(text).ok()?;
    let has = |name: &str| value.get(name).is_some_and(Value::is_array);
    (has("train") || has("test")).then_some(value)
}

/// The set of a category.
pub(super) fn open(path: &Path, set: &Value, options: &OpenOptions) -> Result<Dataset, DataError> {
    let prefix = set["meta"]["prefix"].as_str().unwrap_or_default();
    let normal = set["meta"]["normal_class"].as_str().unwrap_or("OK");
    let mut entries = Vec::new();
    for split in ["train", "test"] {
        for value in set[split].as_array().into_iter().flatten() {
            let line = entries.len() as u64 + 1;
            entries.push(entry(path, line, split, prefix, normal, value)?);
        }
    }
    let names = entries
        .iter()
        .map(|entry| entry.category.clone())
        .filter(|name| !name.is_empty())
        .collect::<Vec<_>>();
    let names = if names.is_empty() { vec![super::scan::stem(path)] } else { names };
    let category = chosen(path, options, names)?;
    let base = images_of(path, &entries)?;
    let mut dataset = Dataset::empty(path, Layout::RealIad, category.clone());
    for entry in entries.iter().filter(|entry| entry.category.is_empty() || entry.category == category) {
        list::add(&mut dataset, path, &base, entry, options)?;
    }
    dataset.account.remarks.push(format!("the images are those in `{}`", base.join(prefix).display()));
    dataset.account.finish();
    Ok(dataset)
}

/// An entry, by its number from 1 on.
fn entry(
    path: &Path,
    line: u64,
    split: &str,
    prefix: &str,
    normal: &str,
    value: &Value,
) -> Result<Entry, DataError> {
    let field = |name: &str| value[name].as_str().unwrap_or_default();
    let Some(image) = value["image_path"].as_str() else {
        return Err(fault(path, line, "the entry has no `image_path`".into()));
    };
    let label = match field("anomaly_class") {
        class if class == normal => "good",
        "" => return Err(fault(path, line, "the entry has no `anomaly_class`".into())),
        class => class,
    };
    let below = |name: &str| if name.is_empty() { String::new() } else { format!("{prefix}{name}") };
    Ok(Entry {
        line,
        path: below(image),
        split: split.to_owned(),
        label: label.to_owned(),
        mask: below(field("mask_path")),
        category: field("category").to_owned(),
        ..Entry::default()
    })
}

/// The folder that the entries' paths begin in: beside the list or above it, the finest resolution that is there.
fn images_of(path: &Path, entries: &[Entry]) -> Result<PathBuf, DataError> {
    let Some(first) = entries.first() else {
        return Err(DataError::dataset(path, "its lists `train` and `test` are empty"));
    };
    let start = path.parent().unwrap_or(Path::new(""));
    let start = if start.as_os_str().is_empty() { Path::new(".") } else { start };
    let start = std::fs::canonicalize(start).map_err(DataError::io("open", start))?;
    for above in start.ancestors().take(4) {
        let found =
            IMAGES.iter().map(|folder| above.join(folder)).find(|folder| folder.join(&first.path).is_file());
        if let Some(folder) = found {
            return Ok(folder);
        }
    }
    let reason = format!(
        "there is no file `{}` beside it, nor in `realiad_1024`, `realiad_512` or `realiad_256` up to three folders above; \
         keep the lists and the images in one folder, as they are published",
        first.path
    );
    Err(fault(path, first.line, reason))
}
