//! VisA (Zou et al., ECCV 2022, arXiv 2207.14315) with its own split file `split_csv/1cls.csv`.
//!
//! Columns are object, split, label, image and mask; paths are relative to the dataset's folder. All defective images are
//! of the one kind "anomaly". Masks hold a small number per kind of defect; any of them marks.

use super::list::{self, Entry};
use super::{Dataset, Layout, OpenOptions, unknown_category};
use crate::error::DataError;
use std::path::Path;

/// Where the split file lies in the dataset.
pub(super) const SPLIT: &str = "split_csv/1cls.csv";

/// True if a CSV has VisA's header.
pub(super) fn is_split(text: &str) -> bool {
    let header = text.lines().next().unwrap_or_default().to_ascii_lowercase();
    let columns: Vec<&str> = header.split(',').map(str::trim).collect();
    ["object", "split", "image"].iter().all(|name| columns.contains(name))
}

/// The category that the options choose, or the only one.
pub(super) fn open(split: &Path, root: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let rows = rows(split, &list::read_text(split)?)?;
    let mut found: Vec<String> = rows.iter().map(|(category, _)| category.clone()).collect();
    found.sort();
    found.dedup();
    let category = match (&options.category, found.as_slice()) {
        (None, [only]) => only.clone(),
        (Some(wanted), all) if all.contains(wanted) => wanted.clone(),
        _ => return Err(unknown_category(root, options, found)),
    };
    let mut dataset = Dataset {
        root: root.to_path_buf(),
        layout: Layout::Visa,
        category: category.clone(),
        train: Vec::new(),
        test: Vec::new(),
        skipped: Vec::new(),
    };
    for (_, entry) in rows.iter().filter(|(name, _)| *name == category) {
        list::add(&mut dataset, split, root, entry, options)?;
    }
    Ok(dataset)
}

/// The rows with their categories.
pub(super) fn rows(split: &Path, text: &str) -> Result<Vec<(String, Entry)>, DataError> {
    // VisA names no kinds of defect, so that column serves to carry the category.
    let mut entries = list::csv_rows(split, text, ["image", "split", "label", "mask", "object", "group"])?;
    let mut rows = Vec::with_capacity(entries.len());
    for mut entry in entries.drain(..) {
        let category = std::mem::replace(&mut entry.defect, "anomaly".into());
        rows.push((category, entry));
    }
    Ok(rows)
}
