//! What can be found wrong, and how bad it is.

use crate::names;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It would spoil a fit or an evaluation.
    Problem,
    /// Worth a look.
    Remark,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// An image or mask that cannot be read.
    Unreadable,
    /// The same bytes, or the same picture re-encoded or resized, in train and in test.
    Leak,
    /// Two files of the same bytes with different labels.
    Contradiction,
    /// Two files of the same bytes, both to learn from or both to test with.
    Duplicate,
    /// Two pictures that are nearly the same, in train and in test, perhaps of one object photographed twice.
    NearLeak,
    /// Two pictures that are nearly the same, on one side.
    NearDuplicate,
    /// A defective image without its mask, among others that have theirs.
    MissingMask,
    /// Files that should be masks, in formats that are not read.
    UnreadMasks,
    /// A mask of another size than its image.
    MaskSize,
    /// A mask that marks nothing.
    EmptyMask,
    /// A mask that marks everything.
    FullMask,
    /// Masks with a spread of grey values.
    SoftMasks,
    /// A mask without an image.
    OrphanedMask,
    /// No test images of one of the two kinds.
    OneClass,
}

impl Finding {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Unreadable
            | Self::Leak
            | Self::Contradiction
            | Self::MissingMask
            | Self::UnreadMasks
            | Self::MaskSize
            | Self::EmptyMask => Severity::Problem,
            Self::Duplicate
            | Self::NearLeak
            | Self::NearDuplicate
            | Self::FullMask
            | Self::SoftMasks
            | Self::OrphanedMask
            | Self::OneClass => Severity::Remark,
        }
    }

    /// In words, for a heading.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable files",
            Self::Leak => "pictures in train and in test",
            Self::Contradiction => "the same picture, labelled good and defective",
            Self::Duplicate => "duplicates",
            Self::NearLeak => "nearly the same picture in train and in test",
            Self::NearDuplicate => "nearly the same picture twice",
            Self::MissingMask => "defective images without their mask",
            Self::UnreadMasks => "masks in a format that is not read",
            Self::SoftMasks => "masks with grey values",
            Self::MaskSize => "masks of another size than their image",
            Self::EmptyMask => "empty masks of defective images",
            Self::FullMask => "masks that mark everything",
            Self::OrphanedMask => "masks without an image",
            Self::OneClass => "test images of one kind only",
        }
    }
}

/// One finding and its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// What it is.
    pub finding: Finding,
    /// How bad it is.
    pub severity: Severity,
    /// The files it concerns.
    #[serde(serialize_with = "names::serialize_all")]
    pub files: Vec<PathBuf>,
    /// What exactly, and how to mend it.
    pub detail: String,
}

impl Issue {
    pub(crate) fn new(finding: Finding, files: &[&Path], detail: impl Into<String>) -> Self {
        let files = files.iter().map(|path| path.to_path_buf()).collect();
        Self { finding, severity: finding.severity(), files, detail: detail.into() }
    }
}
