//! VisA (Zou et al., ECCV 2022, arXiv 2207.14315) with its own split file `split_csv/1cls.csv`.
//!
//! Columns are object, split, label, image and mask; paths are relative to the dataset's folder. All defective images are
//! of the one kind "anomaly". Masks hold a small number per kind of defect; any of them marks.

use super::dataset::{Dataset, Layout, OpenOptions, chosen};
use super::list::{self, Columns, Entry};
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
    let category = chosen(root, options, rows.iter().map(|entry| entry.category.clone()).collect())?;
    let mut dataset = Dataset::empty(root, Layout::Visa, category.clone());
    for entry in rows.iter().filter(|entry| entry.category == category) {
        list::add(&mut dataset, split, root, entry, options)?;
    }
    dataset.account.finish();
    Ok(dataset)
}

/// The rows, with the object as category.
pub(super) fn rows(split: &Path, text: &str) -> Result<Vec<Entry>, DataError> {
    let names: Columns<'_> = [&["image"], &["split"], &["label"], &["mask"], &["defect"], &[], &["object"]];
    let mut entries = list::csv_rows(split, text, names)?;
    // VisA names no kinds of defect.
    entries.iter_mut().for_each(|entry| entry.defect = "anomaly".into());
    Ok(entries)
}
