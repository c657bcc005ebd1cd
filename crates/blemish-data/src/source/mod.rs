//! Where images come from: files, memory, frames of videos. Everything above reads images through [`Source`] alone.
//!
//! A source knows the [`Facts`] of each image without opening it, and reads, measures and identifies one image at a time, from
//! several threads at once. [`Subset`] is a view of some images of another source: a fold, or what is left after a trim.

mod digest;
mod files;
mod frames;
mod memory;
mod subset;

#[cfg(test)]
mod tests;

pub use digest::source_digest;
pub use files::Files;
pub use frames::Frames;
pub use memory::{Memory, MemoryImage};
pub use subset::Subset;

use crate::error::DataError;
use crate::layout::{Label, defect_of};
use crate::mask::Mask;
use crate::reader::{ReadOptions, RgbImage};
use std::sync::Arc;

/// A list of images that can be read one by one, in any order and from several threads.
///
/// An `index` runs from 0 to `len() - 1`. Implementations may panic at an index beyond, as slices do.
pub trait Source: Sync {
    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of an image without opening it.
    fn facts(&self, index: usize) -> &Facts;

    /// The names that [`Facts::category`] counts in; at least one.
    fn categories(&self) -> &[String];

    /// Height and width of the upright image, in pixels, without decoding it where possible.
    ///
    /// # Errors
    /// As [`Source::read`], as far as the head of the image shows.
    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError>;

    /// The upright image at its native depth. It is shared, so that a source in memory copies no pixels.
    ///
    /// # Errors
    /// [`DataError::Image`] naming the image.
    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError>;

    /// The mask of an image's defects at the image's own size; `None` where it has none.
    ///
    /// # Errors
    /// [`DataError::Image`] naming the mask.
    fn mask(&self, _index: usize) -> Result<Option<Mask>, DataError> {
        Ok(None)
    }

    /// What messages call the mask of an image (its file); `None` for images without a mask.
    fn mask_name(&self, _index: usize) -> Option<String> {
        None
    }

    /// The images of the clip of `length` frames that ends at `index`, oldest first; the last is `index` itself.
    ///
    /// An image that is not a frame of a sequence stands still: its clip is the image repeated.
    fn window(&self, index: usize, length: usize) -> Vec<usize> {
        vec![index; length]
    }

    /// SHA-256 of the content: of a file's bytes, or of shape, depth and pixels of an image in memory.
    ///
    /// # Errors
    /// [`DataError::Io`] if a file cannot be read.
    fn digest(&self, index: usize) -> Result<[u8; 32], DataError>;
}

/// What is known of an image without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The path as it was found, or the name that was given.
    pub name: String,
    /// Good, defective or unknown.
    pub label: Label,
    /// "good", "unknown", or the kind of defect.
    pub defect: String,
    /// Index into [`Source::categories`].
    pub category: usize,
    /// What the image shares with others (the part, the shot, the video); such images are kept together in folds.
    pub group: Option<String>,
    /// The place in a sequence; `None` for single images.
    pub moment: Option<Moment>,
}

/// A place in a sequence of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Which sequence, from 0.
    pub sequence: u32,
    /// Which frame of the sequence, from 0.
    pub frame: u32,
}

impl Facts {
    /// A single image of the first category, without a group; its kind of defect follows the label.
    pub fn new(name: impl Into<String>, label: Label) -> Self {
        let defect = defect_of(label).to_owned();
        Self { name: name.into(), label, defect, category: 0, group: None, moment: None }
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn facts(&self, index: usize) -> &Facts {
        (**self).facts(index)
    }

    fn categories(&self) -> &[String] {
        (**self).categories()
    }

    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError> {
        (**self).size(index, options)
    }

    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError> {
        (**self).read(index, options)
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        (**self).mask(index)
    }

    fn mask_name(&self, index: usize) -> Option<String> {
        (**self).mask_name(index)
    }

    fn window(&self, index: usize, length: usize) -> Vec<usize> {
        (**self).window(index, length)
    }

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        (**self).digest(index)
    }
}
