//! What a dataset is: its samples, how it is laid out, and how to open it.

use super::account::Account;
use crate::error::{DataError, Skipped};
use crate::film::Unpacked;
use crate::names::text_of;
use crate::natural::natural_order;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a dataset is laid out on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Any folder of good images.
    Folder,
    /// MVTec AD and its relatives: folders for train and test, in these folders of good and defective images.
    Mvtec,
    /// Folders of good and of defective images without a split: the good ones are learnt from, the defective ones are for tests.
    Classes,
    /// Images that their masks label, such as Kolektor SDD and DAGM.
    Masked,
    /// VisA with its `split_csv/1cls.csv`.
    Visa,
    /// A CSV or JSON list.
    List,
    /// A JSON file of Real-IAD.
    RealIad,
    /// Frames of videos, sequence after sequence in the order of time; each sample's group is its sequence.
    Videos,
}

/// What is known of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// Free of defects.
    Good,
    /// With a defect.
    Defective,
    /// Nothing is said of it. In a training folder it is learnt from, as a good one.
    Unknown,
}

/// The kind of defect of images whose label is all that is known.
pub(crate) fn defect_of(label: Label) -> &'static str {
    match label {
        Label::Good => "good",
        Label::Defective => "defective",
        Label::Unknown => "unknown",
    }
}

/// One image of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image file.
    pub path: PathBuf,
    /// Good, defective or unknown.
    pub label: Label,
    /// "good", "unknown", or the kind of defect.
    pub defect: String,
    /// The files that mark the defect, together; empty for good images and where masks are absent.
    pub masks: Vec<PathBuf>,
    /// What it shares with other images (the part, the shot), where a list says so; such images are kept together in folds.
    pub group: Option<String>,
    /// Its category, in a set of several; else it is that of the set.
    pub category: Option<String>,
}

impl Sample {
    /// An image of which nothing is known.
    pub fn unlabelled(path: &Path) -> Self {
        Self::new(path.to_path_buf(), Label::Unknown)
    }

    pub(super) fn good(path: PathBuf) -> Self {
        Self::new(path, Label::Good)
    }

    fn new(path: PathBuf, label: Label) -> Self {
        Self {
            path,
            label,
            defect: defect_of(label).to_owned(),
            masks: Vec::new(),
            group: None,
            category: None,
        }
    }
}

/// The images of one category, or of several as one set ([`Dataset::joined`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The folder or list it was opened from (for a set of categories, the category's folder).
    pub root: PathBuf,
    /// The layout that was recognised.
    pub layout: Layout,
    /// The category's name, or the folder's; of several categories that of the folder or list that holds them.
    pub category: String,
    /// Good images to learn from; empty in sets for evaluation only.
    pub train: Vec<Sample>,
    /// Labelled images to evaluate on; may be empty.
    pub test: Vec<Sample>,
    /// What was left out because of [`OpenOptions::skip_bad`].
    pub skipped: Vec<Skipped>,
    /// What was taken as what, and what was passed over.
    pub account: Account,
    /// The frames of clips that were files, where there are any; they go with the last copy of this.
    pub unpacked: Option<Arc<Unpacked>>,
}

impl Dataset {
    /// A set without images yet.
    pub fn empty(root: &Path, layout: Layout, category: impl Into<String>) -> Self {
        Self {
            root: root.to_path_buf(),
            layout,
            category: category.into(),
            train: Vec::new(),
            test: Vec::new(),
            skipped: Vec::new(),
            account: Account::default(),
            unpacked: None,
        }
    }
}

/// Puts samples that are frames into their order: sequence after sequence, in each the natural order of names (`frame2` before `frame10`). A
/// sample's sequence is its group, or without one its folder.
pub fn in_sequences(mut samples: Vec<Sample>) -> Vec<Sample> {
    for sample in &mut samples {
        let folder = || text_of(sample.path.parent().unwrap_or(Path::new("")));
        sample.group.get_or_insert_with(folder);
    }
    let name = |sample: &Sample| text_of(&sample.path);
    samples.sort_by(|one, other| {
        let groups = natural_order(
            one.group.as_deref().unwrap_or_default(),
            other.group.as_deref().unwrap_or_default(),
        );
        groups.then_with(|| natural_order(&name(one), &name(other)))
    });
    samples
}

impl Dataset {
    /// The same with all images as frames of videos: one sequence a group, or without groups one a folder.
    pub fn into_videos(self) -> Self {
        if self.layout == Layout::Videos {
            return self;
        }
        let [train, test] = [self.train, self.test].map(in_sequences);
        Self { layout: Layout::Videos, train, test, ..self }
    }

    /// A path as messages show it: of a frame that was unpacked the file that it is of, and the frame in it.
    pub fn shown(&self, path: &Path) -> PathBuf {
        self.unpacked.as_ref().map_or_else(|| path.to_path_buf(), |unpacked| unpacked.shown(path))
    }

    /// Every file that is read of it: images and masks, and the list where there is one.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let samples = self.train.iter().chain(&self.test);
        let files = samples.flat_map(|sample| std::iter::once(&sample.path).chain(&sample.masks));
        files.map(PathBuf::as_path).chain([self.root.as_path()])
    }
}

/// How to open a dataset. The default recognises everything by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Which category of a set with several.
    pub category: Option<String>,
    /// Takes all categories of a set with several, as one set. It is not heeded where a category is chosen.
    pub all_categories: bool,
    /// Folder with `good` and defect folders; instead of the layout's own.
    pub test_dir: Option<PathBuf>,
    /// Folder of masks (`<defect>/NAME_mask.png`, `<defect>/NAME.png`, or the same without defect folders); instead of the
    /// layout's own.
    pub mask_dir: Option<PathBuf>,
    /// Leave out images whose mask or file is missing, links to nowhere and folders that may not be read, and list them, instead of
    /// failing.
    pub skip_bad: bool,
    /// Take folders by their place alone, whatever their names say: in a folder of good images all images are good.
    pub trust_folders: bool,
    /// All images are frames of videos, a sequence a group or folder ([`Dataset::into_videos`]), and films, animated GIFs and multi-page TIFFs are
    /// clips.
    pub frames: bool,
    /// The column of a list that names the group of an image; `group` by default.
    pub group_column: Option<String>,
}

/// The last part of a path's real name, so that `.` and `..` have one too.
pub(super) fn category_name(path: &Path) -> String {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    real.file_name().map_or_else(|| "images".into(), |name| name.to_string_lossy().into_owned())
}

/// The category that the options choose, or the only one of those found.
///
/// # Errors
/// [`DataError::Category`] with all of them, sorted.
pub(super) fn chosen(
    path: &Path,
    options: &OpenOptions,
    mut found: Vec<String>,
) -> Result<String, DataError> {
    found.sort();
    found.dedup();
    match (&options.category, found.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (Some(wanted), all) if all.contains(wanted) => Ok(wanted.clone()),
        _ => Err(DataError::Category { path: path.to_path_buf(), wanted: options.category.clone(), found }),
    }
}
