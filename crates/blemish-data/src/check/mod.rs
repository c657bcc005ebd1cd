//! What is wrong with a data set, before it spoils an evaluation.
//!
//! ```text
//! open ─> every image read once ─> size, digest, thumbnail ─> duplicates, leaks
//!     └─> every mask read ───────> missing, of another size, empty, orphaned
//! ```

mod issue;
mod masks;
#[cfg(test)]
mod tests;
mod twins;

use crate::digest::file_digest;
use crate::error::DataError;
use crate::layout::{Dataset, FolderUse, Label, OpenOptions, PassedOver, Sample, open_dataset};
use crate::names;
use crate::progress::Answer;
use crate::reader::{ReadOptions, read_image};
pub use issue::{Finding, Issue, Severity};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use twins::{Picture, Thumbnail, TwinKind, find_twins};

/// A size and how many images have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeCount {
    /// W, in pixels.
    pub width: usize,
    /// H, in pixels.
    pub height: usize,
    /// Images of this size.
    pub images: usize,
}

/// What a category holds and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CategoryCheck {
    /// Its name.
    pub category: String,
    /// Its folder or list.
    #[serde(serialize_with = "names::serialize")]
    pub root: PathBuf,
    /// Good images to learn from.
    pub train: usize,
    /// Test images by kind of defect, "good" among them.
    pub test: BTreeMap<String, usize>,
    /// Defective test images with a mask.
    pub masks: usize,
    /// Sizes, the most frequent first.
    pub sizes: Vec<SizeCount>,
    /// What the images of each folder were taken as.
    pub folders: Vec<FolderUse>,
    /// Files that were passed over.
    pub passed_over: PassedOver,
    /// What one should know of how the set was read.
    pub remarks: Vec<String>,
    /// What was found, the worst first.
    pub issues: Vec<Issue>,
}

impl CategoryCheck {
    /// Findings that would spoil an evaluation.
    pub fn problems(&self) -> usize {
        self.issues.iter().filter(|issue| issue.severity == Severity::Problem).count()
    }
}

/// Checks a data set, all of its categories if it has several and none was chosen.
///
/// `progress` is called with the images done and their number, from several threads, and may stop the work.
///
/// # Errors
/// [`DataError`] if there is no data set at all, or if `progress` stops the work; faults of single files are [`Issue`]s.
pub fn check_dataset<A: Answer>(
    path: &Path,
    options: &OpenOptions,
    progress: &(dyn Fn(u64, u64) -> A + Sync),
) -> Result<Vec<CategoryCheck>, DataError> {
    let datasets = open_all(path, options)?;
    let total = datasets.iter().map(|dataset| dataset.train.len() + dataset.test.len()).sum::<usize>() as u64;
    let done = AtomicU64::new(0);
    let tick = || match progress(done.fetch_add(1, Ordering::Relaxed) + 1, total).is_stop() {
        true => Err(DataError::Interrupted),
        false => Ok(()),
    };
    datasets.iter().map(|dataset| check_category(dataset, &tick)).collect()
}

/// Opens a data set, leaving out what is broken; all categories if there are several and none was chosen.
///
/// # Errors
/// As [`open_dataset`].
pub fn open_all(path: &Path, options: &OpenOptions) -> Result<Vec<Dataset>, DataError> {
    let options = OpenOptions { skip_bad: true, ..options.clone() };
    match open_dataset(path, &options) {
        Err(DataError::Category { wanted: None, found, .. }) => found
            .into_iter()
            .map(|category| open_dataset(path, &OpenOptions { category: Some(category), ..options.clone() }))
            .collect(),
        opened => Ok(vec![opened?]),
    }
}

/// An image, read.
struct Seen<'a> {
    sample: &'a Sample,
    is_train: bool,
    /// Height and width.
    size: (usize, usize),
    picture: Picture,
}

fn check_category(
    dataset: &Dataset,
    tick: &(dyn Fn() -> Result<(), DataError> + Sync),
) -> Result<CategoryCheck, DataError> {
    let sides = [(&dataset.train, true), (&dataset.test, false)];
    let samples: Vec<(&Sample, bool)> = sides
        .iter()
        .flat_map(|(samples, is_train)| samples.iter().map(|sample| (sample, *is_train)))
        .collect();
    let read: Vec<Result<Seen<'_>, Issue>> = samples
        .par_iter()
        .map(|&(sample, is_train)| {
            let seen = look_at(sample, is_train);
            tick().map(|()| seen)
        })
        .collect::<Result<_, DataError>>()?;
    let (mut seen, mut issues) = (Vec::new(), Vec::new());
    for one in read {
        match one {
            Ok(one) => seen.push(one),
            Err(issue) => issues.push(issue),
        }
    }
    for skipped in &dataset.skipped {
        // The layouts leave out images whose mask is missing, and list entries whose file is.
        let finding =
            if skipped.reason.contains("has no mask") { Finding::MissingMask } else { Finding::Unreadable };
        issues.push(Issue::new(finding, &[&skipped.path], skipped.reason.clone()));
    }
    issues.extend(duplicates(&seen));
    let sizes_of: HashMap<&Path, (usize, usize)> =
        seen.iter().map(|one| (one.sample.path.as_path(), one.size)).collect();
    issues.extend(masks::check(dataset, &sizes_of));
    let kinds = |label| dataset.test.iter().filter(|sample| sample.label == label).count();
    if !dataset.test.is_empty() && (kinds(Label::Good) == 0 || kinds(Label::Defective) == 0) {
        let missing = if kinds(Label::Good) == 0 { "good" } else { "defective" };
        let detail = format!("there are no {missing} test images; image metrics are undefined without them");
        issues.push(Issue::new(Finding::OneClass, &[], detail));
    }
    issues.sort_by(|one, other| {
        (one.severity, one.finding, &one.files).cmp(&(other.severity, other.finding, &other.files))
    });
    let mut test = BTreeMap::new();
    dataset.test.iter().for_each(|sample| *test.entry(sample.defect.clone()).or_default() += 1);
    Ok(CategoryCheck {
        category: dataset.category.clone(),
        root: dataset.root.clone(),
        train: dataset.train.len(),
        test,
        masks: dataset.test.iter().filter(|sample| !sample.masks.is_empty()).count(),
        sizes: sizes(&seen),
        folders: dataset.account.folders.clone(),
        passed_over: dataset.account.passed_over.clone(),
        remarks: dataset.account.remarks.clone(),
        issues,
    })
}

fn look_at(sample: &Sample, is_train: bool) -> Result<Seen<'_>, Issue> {
    let refuse = |error: DataError| {
        let detail = match error {
            DataError::Image { fault, .. } => fault.to_string(),
            other => other.to_string(),
        };
        Issue::new(Finding::Unreadable, &[&sample.path], detail)
    };
    // Measured values of any range are fine here: the range is chosen at the fit.
    let options =
        ReadOptions { value_range: Some((f32::MIN / 4.0, f32::MAX / 4.0)), ..ReadOptions::default() };
    let image = read_image(&sample.path, &ReadOptions::default())
        .or_else(|_| read_image(&sample.path, &options))
        .map_err(refuse)?;
    Ok(Seen {
        sample,
        is_train,
        size: (image.height, image.width),
        picture: Picture {
            digest: file_digest(&sample.path).map_err(refuse)?,
            thumbnail: Thumbnail::of(&image),
        },
    })
}

fn duplicates(seen: &[Seen<'_>]) -> Vec<Issue> {
    let pictures: Vec<&Picture> = seen.iter().map(|one| &one.picture).collect();
    find_twins(&pictures)
        .into_iter()
        .map(|twin| {
            let (one, other) = (&seen[twin.one], &seen[twin.other]);
            let files = [one.sample.path.as_path(), other.sample.path.as_path()];
            let is_leak = one.is_train != other.is_train;
            let (finding, detail) = match twin.kind {
                TwinKind::Bytes if one.sample.label != other.sample.label => {
                    (Finding::Contradiction, "the bytes are the same; decide which label is right".to_owned())
                }
                TwinKind::Bytes if is_leak => {
                    (Finding::Leak, "the bytes are the same; take one of them out".into())
                }
                TwinKind::Bytes => (Finding::Duplicate, "the bytes are the same".into()),
                TwinKind::Picture if is_leak => {
                    let detail = format!(
                        "the same picture in other bytes, re-encoded, resized or taken twice ({}); take one of them out",
                        twin.words()
                    );
                    (Finding::Leak, detail)
                }
                TwinKind::Picture => (
                    Finding::Duplicate,
                    format!("the same picture in other bytes, re-encoded, resized or taken twice ({})", twin.words()),
                ),
                TwinKind::Near if is_leak => (Finding::NearLeak, twin.words()),
                TwinKind::Near => (Finding::NearDuplicate, twin.words()),
            };
            Issue::new(finding, &files, detail)
        })
        .collect()
}

fn sizes(seen: &[Seen<'_>]) -> Vec<SizeCount> {
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    seen.iter().for_each(|one| *counts.entry(one.size).or_default() += 1);
    let mut sizes: Vec<SizeCount> =
        counts.into_iter().map(|((height, width), images)| SizeCount { width, height, images }).collect();
    sizes.sort_by_key(|size| std::cmp::Reverse(size.images));
    sizes
}
