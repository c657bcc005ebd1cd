//! What can go wrong between a folder of files and a batch of pixels. Messages say what, where, and how to mend it.
//!
//! [`ImageFault`] is why one image cannot be used; [`Skipped`] lists it where bad images are left out. [`DataError`] adds where it happened.

use std::path::{Path, PathBuf};

/// Why one image or mask cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFault {
    /// The file cannot be opened or read.
    #[error("{0}; check that the file exists and may be read")]
    Unreadable(String),
    /// A folder, a pipe or a device.
    #[error("it is not a regular file; name the image files or the folder that holds them")]
    NotAFile,
    /// No bytes at all.
    #[error("the file is empty (0 bytes); copy it again")]
    Empty,
    /// The first bytes belong to something else.
    #[error(
        "it is {found}, not an image; supported are PNG, JPEG, TIFF, BMP, WebP, PNM and GIF (its first frame)"
    )]
    Foreign {
        /// What the first bytes look like, with an article ("a PDF document").
        found: String,
    },
    /// The file stops before its picture does.
    #[error("the {format} file is cut short: it {ends}; copy the file again")]
    Truncated {
        /// The file format, by content.
        format: &'static str,
        /// How that shows ("ends after 3,000 of 88,214 bytes").
        ends: String,
    },
    /// The decoder found it inconsistent.
    #[error("the {format} data is damaged ({detail}); copy or export the file again")]
    Damaged {
        /// The file format, by content.
        format: &'static str,
        /// The decoder's own words.
        detail: String,
    },
    /// This program's decoder failed on a file that shows no damage.
    #[error(
        "this program's reader of {format} failed ({detail}), though the file may be sound; save it as an 8- or 16-bit RGB or grey PNG, and report the file"
    )]
    Reader {
        /// The file format, by content.
        format: &'static str,
        /// The decoder's own words.
        detail: String,
    },
    /// A valid file of a kind that is not read.
    #[error(
        "this kind of {format} is not supported ({detail}); save it as an 8- or 16-bit RGB or grey PNG or TIFF"
    )]
    Unsupported {
        /// The file format, by content.
        format: &'static str,
        /// The decoder's own words.
        detail: String,
    },
    /// Fewer pixels than anything can be judged on.
    #[error("it is {width}x{height} pixels, and at least {minimum} a side are needed; leave it out")]
    TooSmall {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The smallest side allowed.
        minimum: usize,
    },
    /// Decoding would need more memory than allowed.
    #[error("decoding it needs {}more than the {limit_mib} MiB allowed; shrink the image or raise the memory limit", needed(*needed_mib))]
    TooLarge {
        /// What it needs in MiB, if the head of the file says so.
        needed_mib: Option<u64>,
        /// The limit in MiB.
        limit_mib: u64,
    },
    /// More pixels than allowed.
    #[error(
        "it is {width}x{height} pixels, and at most {maximum} pixels are allowed; shrink the image or raise the limit of pixels"
    )]
    TooManyPixels {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The most pixels allowed, height times width.
        maximum: u64,
    },
    /// Samples in memory that do not fit the size, stride or format given for them.
    #[error("{0}")]
    Pixels(String),
    /// A float image with NaN or infinite values.
    #[error("it holds {count} values that are NaN or infinite; replace them before use")]
    NotFinite {
        /// How many such values.
        count: usize,
    },
    /// A float (or signed or 32-bit integer) image outside [0, 1] and no range given.
    #[error(
        "its values run from {lowest} to {highest}, not within [0, 1]; set the value range (lowest,highest) that maps to black and white"
    )]
    OutOfRange {
        /// Smallest value found.
        lowest: f32,
        /// Largest value found.
        highest: f32,
    },
    /// A mask that belongs to an image of another size.
    #[error(
        "the mask is {mask_width}x{mask_height} pixels but its image is {width}x{height}; export the mask at the image's size"
    )]
    MaskSize {
        /// Width of the mask in pixels.
        mask_width: usize,
        /// Height of the mask in pixels.
        mask_height: usize,
        /// Width of the image in pixels.
        width: usize,
        /// Height of the image in pixels.
        height: usize,
    },
    /// The transform cannot be applied to an image of this size.
    #[error("{0}")]
    Transform(String),
}

/// What can go wrong with images, datasets and transforms.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// One image or mask cannot be used.
    #[error("cannot use image `{}`: {fault}", path.display())]
    Image {
        /// The file, or the name of an image in memory.
        path: PathBuf,
        /// What is wrong with it.
        fault: ImageFault,
    },
    /// A file or folder operation failed.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried ("read", "write", "list").
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A folder or file is not a known dataset, or an incomplete one.
    #[error("cannot open dataset `{}`: {reason}", path.display())]
    Dataset {
        /// The dataset's folder or list.
        path: PathBuf,
        /// What is missing and how to mend it.
        reason: String,
    },
    /// A line of a CSV or JSON list is wrong.
    #[error("cannot read list `{}`, line {line}: {reason}", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// Line number from 1; in a JSON array the entry's number.
        line: u64,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// The dataset has several categories and none, or an unknown one, was chosen.
    #[error("{} in `{}`; choose one, or take all of them: {}", match wanted { Some(name) => format!("there is no category `{name}`"), None => "there are several categories".to_string() }, path.display(), found.join(", "))]
    Category {
        /// The dataset's folder.
        path: PathBuf,
        /// The category asked for.
        wanted: Option<String>,
        /// The categories that are there, sorted.
        found: Vec<String>,
    },
    /// A defective image without its mask, among others that have theirs.
    #[error("image `{}` has no mask: expected `{}`; add the mask, or skip bad files to leave the image out", image.display(), expected.display())]
    MissingMask {
        /// The image.
        image: PathBuf,
        /// Where the mask was looked for first.
        expected: PathBuf,
    },
    /// The names of folders or files contradict what their images would be taken as.
    #[error("cannot tell good images from others in `{}`: {reason}", path.display())]
    Names {
        /// The dataset's folder.
        path: PathBuf,
        /// Which names, and how to mend it.
        reason: String,
    },
    /// A link that leads nowhere.
    #[error("cannot use `{}`: {reason}", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it points, and how to mend it.
        reason: String,
    },
    /// A defective image whose masks mark nothing.
    #[error("the mask `{}` of image `{}` marks nothing; mark the defect, or move the image to the good ones", mask.display(), image.display())]
    EmptyMask {
        /// The image.
        image: PathBuf,
        /// The first of its masks.
        mask: PathBuf,
    },
    /// A setting of a transform, loader or generator is out of its range.
    #[error("{0}")]
    Setting(String),
    /// Images of one batch come out at different sizes.
    #[error("image `{}` comes out at {width}x{height} but the batch is at {batch_width}x{batch_height}; resize to an exact size, add a centre crop, or use batches of one image", path.display())]
    MixedSizes {
        /// The first image that differs.
        path: PathBuf,
        /// Its transformed width.
        width: usize,
        /// Its transformed height.
        height: usize,
        /// The width of the batch's first image.
        batch_width: usize,
        /// The height of the batch's first image.
        batch_height: usize,
    },
    /// Whoever watches has asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// Every file of a list was left out.
    #[error("none of the {count} images can be used; the first, `{}`: {reason}", first.display())]
    NothingLeft {
        /// How many images there were.
        count: usize,
        /// The first of them.
        first: PathBuf,
        /// Why the first was left out.
        reason: String,
    },
}

/// The begin of a message about memory.
fn needed(mib: Option<u64>) -> String {
    mib.map_or_else(String::new, |mib| format!("{mib} MiB, "))
}

impl ImageFault {
    /// A stable name for programs, in snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooSmall { .. } => "image_too_small",
            Self::TooLarge { .. } | Self::TooManyPixels { .. } => "image_too_large",
            Self::MaskSize { .. } | Self::Transform(_) => "image_does_not_fit",
            Self::NotFinite { .. } | Self::OutOfRange { .. } => "image_values",
            Self::Pixels(_) => "pixels",
            Self::Unsupported { .. } | Self::Foreign { .. } | Self::Reader { .. } => "image_format",
            Self::Unreadable(_)
            | Self::NotAFile
            | Self::Empty
            | Self::Truncated { .. }
            | Self::Damaged { .. } => "image_unreadable",
        }
    }
}

impl DataError {
    /// A stable name for programs, in snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Image { fault, .. } => fault.code(),
            Self::Io { .. } => "io",
            Self::Dataset { .. }
            | Self::List { .. }
            | Self::Category { .. }
            | Self::MissingMask { .. }
            | Self::Names { .. }
            | Self::EmptyMask { .. } => "dataset",
            Self::Link { .. } => "io",
            Self::Setting(_) => "setting",
            Self::MixedSizes { .. } => "image_does_not_fit",
            Self::NothingLeft { .. } => "image_unreadable",
            Self::Interrupted => "interrupted",
        }
    }

    /// An image error at `path`.
    pub(crate) fn image(path: &Path, fault: ImageFault) -> Self {
        Self::Image { path: path.to_path_buf(), fault }
    }

    /// A dataset error at `path`.
    pub(crate) fn dataset(path: &Path, reason: impl Into<String>) -> Self {
        Self::Dataset { path: path.to_path_buf(), reason: reason.into() }
    }

    /// Wraps a system error with what was tried and where, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// An image that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file, or the name of an image in memory.
    pub path: PathBuf,
    /// The reason, in the words of [`ImageFault`] or [`DataError`].
    pub reason: String,
}
