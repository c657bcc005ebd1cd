//! Masks that do not match their images.

use super::issue::{Finding, Issue};
use crate::error::DataError;
use crate::layout::{Dataset, Layout, OpenOptions, list_images};
use crate::reader::read_mask;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What is wrong with the masks of a category; `sizes` are the heights and widths of the images that can be read.
pub(super) fn check(
    dataset: &Dataset,
    options: &OpenOptions,
    sizes: &HashMap<&Path, (usize, usize)>,
) -> Result<Vec<Issue>, DataError> {
    let mut issues: Vec<Issue> = dataset
        .test
        .par_iter()
        .filter_map(|sample| {
            one(sample.mask.as_ref()?, sizes.get(sample.path.as_path()).copied(), &sample.path)
        })
        .collect();
    issues.extend(orphans(dataset, options)?);
    Ok(issues)
}

fn one(mask: &Path, image_size: Option<(usize, usize)>, image: &Path) -> Option<Issue> {
    let read = match read_mask(mask) {
        Ok(read) => read,
        Err(DataError::Image { fault, .. }) => {
            return Some(Issue::new(Finding::Unreadable, &[mask], fault.to_string()));
        }
        Err(error) => return Some(Issue::new(Finding::Unreadable, &[mask], error.to_string())),
    };
    // The size of an image that cannot be read is not known; the image itself has its own issue.
    if let Some((height, width)) = image_size.filter(|&size| size != (read.height, read.width)) {
        let detail = format!(
            "the mask is {}x{} pixels, its image {width}x{height}; export the mask at the image's size",
            read.width, read.height
        );
        return Some(Issue::new(Finding::MaskSize, &[mask, image], detail));
    }
    let marked = read.marked.iter().filter(|&&is_marked| is_marked).count();
    match marked {
        0 => {
            let detail = "it marks nothing; mark the defect, or move the image to the good ones";
            Some(Issue::new(Finding::EmptyMask, &[mask, image], detail))
        }
        all if all == read.marked.len() => {
            let detail = "it marks every pixel; perhaps its colours are inverted, or no colour of it is 0";
            Some(Issue::new(Finding::FullMask, &[mask, image], detail))
        }
        _ => None,
    }
}

/// Masks of folder layouts that no image refers to.
fn orphans(dataset: &Dataset, options: &OpenOptions) -> Result<Vec<Issue>, DataError> {
    let folder: PathBuf = match (&options.mask_dir, dataset.layout) {
        (Some(folder), _) => folder.clone(),
        (None, Layout::Mvtec) => dataset.root.join("ground_truth"),
        (None, _) => return Ok(Vec::new()),
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let used: HashSet<&Path> = dataset.test.iter().filter_map(|sample| sample.mask.as_deref()).collect();
    // A folder without images is not an error here.
    let masks = list_images(&[&folder]).unwrap_or_default();
    let unused = masks.iter().filter(|mask| !used.contains(mask.as_path()));
    Ok(unused
        .map(|mask| {
            Issue::new(
                Finding::OrphanedMask,
                &[mask],
                "no test image belongs to it; its image may be missing",
            )
        })
        .collect())
}
