//! Several categories as one set, for one model of all.

use super::account::Account;
use super::dataset::{Dataset, Layout, Sample, category_name};
use super::scan;
use crate::error::DataError;
use std::path::Path;

impl Dataset {
    /// The sets of several categories, in their order, as one set called after the folder or list that holds them.
    ///
    /// Each sample knows its category, and its group begins with it: parts and videos of two categories are never one. A single set stays
    /// what it is.
    ///
    /// # Errors
    /// [`DataError::Dataset`] if there are none, or if some hold videos and others images.
    pub fn joined(root: &Path, mut parts: Vec<Self>) -> Result<Self, DataError> {
        let layout = match &parts[..] {
            [] => return Err(DataError::dataset(root, "it holds no categories")),
            [_] => return Ok(parts.remove(0)),
            [first, ..] => first.layout,
        };
        let is_video = |part: &&Self| part.layout == Layout::Videos;
        if let (Some(films), Some(stills)) =
            (parts.iter().find(is_video), parts.iter().find(|part| !is_video(part)))
        {
            let reason = format!(
                "its category `{}` holds videos and its category `{}` images; choose one of them, or categories of one kind",
                films.category, stills.category
            );
            return Err(DataError::dataset(root, reason));
        }
        let layout = if parts.iter().all(|part| part.layout == layout) { layout } else { Layout::Mvtec };
        let name = match root.is_file() {
            true => scan::stem(root),
            false => category_name(root),
        };
        let mut whole = Self::empty(root, layout, name);
        for part in parts {
            let of = |sample: Sample| Sample {
                group: sample.group.map(|group| format!("{}/{group}", part.category)),
                category: Some(part.category.clone()),
                ..sample
            };
            whole.train.extend(part.train.into_iter().map(of));
            whole.test.extend(part.test.into_iter().map(of));
            whole.skipped.extend(part.skipped);
            whole.account.take(part.account, &part.category);
            whole.unpacked = whole.unpacked.or(part.unpacked);
        }
        Ok(whole)
    }

    /// The names of the categories of its samples, sorted: at least its own.
    pub fn categories(&self) -> Vec<String> {
        let samples = self.train.iter().chain(&self.test);
        let mut names: Vec<String> =
            samples.map(|sample| sample.category.as_ref().unwrap_or(&self.category).clone()).collect();
        names.sort();
        names.dedup();
        if names.is_empty() { vec![self.category.clone()] } else { names }
    }
}

impl Account {
    /// Takes over what was taken of a category's folder.
    fn take(&mut self, other: Self, category: &str) {
        let Self { folders, passed_over, unused_masks, unread_masks, remarks } = other;
        self.folders.extend(folders.into_iter().map(|mut one| {
            one.folder = match one.folder.as_str() {
                "." => category.to_owned(),
                folder => format!("{category}/{folder}"),
            };
            one
        }));
        self.passed_over.merge(passed_over);
        self.unused_masks.extend(unused_masks);
        self.unread_masks.extend(unread_masks);
        for remark in remarks {
            // What lies beside the categories is the same for all of them.
            if !self.remarks.contains(&remark) {
                self.remarks.push(remark);
            }
        }
    }
}
