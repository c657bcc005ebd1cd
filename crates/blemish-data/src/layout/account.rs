//! What was taken of a set, and as what: a line a folder, and what was passed over.

use crate::reader::extension;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why files are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Pictures in a format that is not read.
    Format,
    /// Names that begin with a dot.
    Hidden,
    /// What operating systems leave behind (`Thumbs.db`, `__MACOSX`).
    System,
    /// Small copies beside the images.
    Thumbnail,
    /// Copies of editors and unfinished downloads.
    Backup,
    /// Masks, where images were asked for.
    Mask,
    /// What a second link leads to.
    Again,
    /// Everything else: texts, lists, annotations.
    Other,
}

impl Reason {
    /// In words, after a number of files.
    pub fn words(self) -> &'static str {
        match self {
            Self::Format => "in a format that is not read",
            Self::Hidden => "hidden",
            Self::System => "of the system",
            Self::Thumbnail => "thumbnails",
            Self::Backup => "backups",
            Self::Mask => "masks",
            Self::Again => "in folders that were read by another path",
            Self::Other => "of other kinds",
        }
    }
}

/// What one should know of GIF files among images and masks; `None` without any.
pub fn remark_of_gifs<'a>(files: impl IntoIterator<Item = &'a Path>) -> Option<String> {
    match files.into_iter().filter(|file| extension(file) == "gif").count() {
        0 => None,
        1 => Some("of the one GIF file the first frame is taken".into()),
        count => Some(format!("of the {count} GIF files the first frame of each is taken")),
    }
}

/// Files that were passed over, counted by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// How many, by reason.
    pub counts: BTreeMap<Reason, usize>,
    /// The extensions of pictures in formats that are not read, and how many.
    pub formats: BTreeMap<String, usize>,
}

impl PassedOver {
    /// Counts files; the extension is kept of those whose format is the reason.
    pub(super) fn add(&mut self, reason: Reason, extension: &str, files: usize) {
        *self.counts.entry(reason).or_default() += files;
        if reason == Reason::Format {
            *self.formats.entry(extension.to_owned()).or_default() += files;
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (reason, count) in other.counts {
            *self.counts.entry(reason).or_default() += count;
        }
        for (format, count) in other.formats {
            *self.formats.entry(format).or_default() += count;
        }
    }

    /// In words ("3 in a format that is not read (avif 3), 1 hidden"); empty if nothing was passed over.
    pub fn words(&self) -> String {
        let one = |(reason, count): (&Reason, &usize)| {
            let formats: Vec<String> =
                self.formats.iter().map(|(format, count)| format!("{format} {count}")).collect();
            let which =
                if *reason == Reason::Format { format!(" ({})", formats.join(", ")) } else { String::new() };
            format!("{count} {}{which}", reason.words())
        };
        self.counts.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// What the images of a folder were taken as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// Good images to learn from.
    Learnt,
    /// Good images to test with.
    TestGood,
    /// Defective images to test with.
    TestDefective,
    /// Masks of defects.
    Masks,
    /// Nothing, for this reason.
    PassedOver(String),
}

impl Use {
    /// In words, after a number of images.
    pub fn words(&self) -> String {
        match self {
            Self::Learnt => "good, to learn from".into(),
            Self::TestGood => "good, to test with".into(),
            Self::TestDefective => "defective, to test with".into(),
            Self::Masks => "masks".into(),
            Self::PassedOver(reason) => format!("passed over: {reason}"),
        }
    }
}

/// A folder of a set and what its images were taken as. A folder whose images were taken as several things has a line for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FolderUse {
    /// The folder below the set's own; `.` for that itself.
    pub folder: String,
    /// Its images, those of subfolders that say nothing else included.
    pub images: usize,
    /// What they were taken as.
    pub taken_as: Use,
}

/// What was taken of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What became of the images of each folder, in the order of their names.
    pub folders: Vec<FolderUse>,
    /// Files that were passed over.
    pub passed_over: PassedOver,
    /// Masks that belong to no image.
    pub unused_masks: Vec<PathBuf>,
    /// Files where masks are expected that cannot be read as images.
    pub unread_masks: Vec<PathBuf>,
    /// What one should know of how the set was read, each in a sentence.
    pub remarks: Vec<String>,
}

impl Account {
    /// Counts an image of a folder.
    pub(super) fn count(&mut self, folder: &str, taken_as: Use) {
        let found =
            self.folders.iter_mut().rev().find(|one| one.folder == folder && one.taken_as == taken_as);
        match found {
            Some(one) => one.images += 1,
            None => self.folders.push(FolderUse { folder: folder.to_owned(), images: 1, taken_as }),
        }
    }

    /// The files that should be masks and are not read: each folder, and how many of a format it holds, in words.
    pub(crate) fn unread_by_folder(&self) -> impl Iterator<Item = (&Path, String)> {
        let mut folders: BTreeMap<(&Path, String), usize> = BTreeMap::new();
        for path in &self.unread_masks {
            let folder = path.parent().unwrap_or(Path::new(""));
            *folders.entry((folder, extension(path))).or_default() += 1;
        }
        folders.into_iter().map(|((folder, extension), count)| {
            let files = if count == 1 { "file" } else { "files" };
            (
                folder,
                format!("{count} {files} in a format that is not read (.{extension}); save masks as PNG"),
            )
        })
    }

    /// Says of files that should be masks that they are not read, a sentence a folder and format.
    pub(super) fn remark_unread(&mut self) {
        let remark = |(folder, words): (&Path, String)| format!("`{}` holds {words}", folder.display());
        let remarks: Vec<String> = self.unread_by_folder().map(remark).collect();
        self.remarks.extend(remarks);
    }

    /// Brings the folders in order.
    pub(super) fn finish(&mut self) {
        self.folders
            .sort_by(|one, other| (&one.folder, &one.taken_as).cmp(&(&other.folder, &other.taken_as)));
    }
}
