//! Masks that do not match their images.

use super::issue::{Finding, Issue};
use crate::error::DataError;
use crate::ground_truth::{Marked, read_marked};
use crate::layout::{Dataset, Sample};
use crate::mask::Mask;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What is wrong with the masks of a category; `sizes` are the heights and widths of the images that can be read.
pub(super) fn check(dataset: &Dataset, sizes: &HashMap<&Path, (usize, usize)>) -> Vec<Issue> {
    let looks: Vec<Look> = dataset
        .test
        .par_iter()
        .filter(|sample| !sample.masks.is_empty())
        .map(|sample| look_at(sample, sizes.get(sample.path.as_path()).copied()))
        .collect();
    let soft: Vec<&Path> = looks.iter().flat_map(|look| look.soft.iter().map(PathBuf::as_path)).collect();
    let mut issues: Vec<Issue> =
        soft.first().map(|first| soft_masks(first, soft.len())).into_iter().collect();
    issues.extend(looks.into_iter().flat_map(|look| look.issues));
    let unread = dataset.account.unread_by_folder();
    issues.extend(unread.map(|(folder, detail)| Issue::new(Finding::UnreadMasks, &[folder], detail)));
    let orphan = |mask: &PathBuf| {
        Issue::new(Finding::OrphanedMask, &[mask], "no test image belongs to it; its image may be missing")
    };
    issues.extend(dataset.account.unused_masks.iter().map(orphan));
    issues
}

/// The masks of one image.
#[derive(Default)]
struct Look {
    issues: Vec<Issue>,
    soft: Vec<PathBuf>,
}

fn look_at(sample: &Sample, image_size: Option<(usize, usize)>) -> Look {
    let mut look = Look::default();
    let mut union: Option<Mask> = None;
    let mut is_whole = true;
    for path in &sample.masks {
        let Marked { mask, is_soft } = match read_marked(path) {
            Ok(read) => read,
            Err(error) => {
                let detail = match error {
                    DataError::Image { fault, .. } => fault.to_string(),
                    other => other.to_string(),
                };
                look.issues.push(Issue::new(Finding::Unreadable, &[path], detail));
                is_whole = false;
                continue;
            }
        };
        if is_soft {
            look.soft.push(path.clone());
        }
        // The size of an image that cannot be read is not known; the image itself has its own issue.
        let expected = image_size.or(union.as_ref().map(|all| (all.height, all.width)));
        if let Some((height, width)) = expected.filter(|&size| size != (mask.height, mask.width)) {
            let detail = format!(
                "the mask is {}x{} pixels, its image {width}x{height}; export the mask at the image's size",
                mask.width, mask.height
            );
            look.issues.push(Issue::new(Finding::MaskSize, &[path, &sample.path], detail));
            is_whole = false;
            continue;
        }
        match &mut union {
            None => union = Some(mask),
            Some(all) => all.unite(&mask),
        }
    }
    if let (Some(mask), true) = (union, is_whole) {
        look.issues.extend(marks(&mask, &sample.masks[0], &sample.path));
    }
    look
}

/// A mask that marks nothing, or everything.
fn marks(mask: &Mask, path: &Path, image: &Path) -> Option<Issue> {
    match mask.marked.iter().filter(|&&is_marked| is_marked).count() {
        0 => {
            let detail = "it marks nothing; mark the defect, or move the image to the good ones";
            Some(Issue::new(Finding::EmptyMask, &[path, image], detail))
        }
        all if all == mask.marked.len() => {
            let detail = "it marks every pixel; perhaps its colours are inverted, or no colour of it is 0";
            Some(Issue::new(Finding::FullMask, &[path, image], detail))
        }
        _ => None,
    }
}

fn soft_masks(first: &Path, count: usize) -> Issue {
    let detail = format!(
        "{count} {} a spread of grey values, as JPEG or a resampling gives; values above half mark",
        if count == 1 { "mask has" } else { "masks have" }
    );
    Issue::new(Finding::SoftMasks, &[first], detail)
}
