//! Some images of a source as a source of their own.

use super::{Facts, Source};
use crate::error::DataError;
use crate::mask::Mask;
use crate::reader::{ReadOptions, RgbImage};
use std::collections::HashMap;
use std::sync::Arc;

/// Images of another source by their indices there; nothing is copied. Folds and trims are such views.
pub struct Subset<'a> {
    source: &'a dyn Source,
    indices: Vec<usize>,
    /// Where the images of sequences stand in `indices`; empty if there are only single images.
    places: HashMap<usize, usize>,
}

impl<'a> Subset<'a> {
    /// The images at `indices` of `source`, in that order.
    ///
    /// # Panics
    /// If an index is beyond the source, as slices do.
    pub fn new(source: &'a dyn Source, indices: Vec<usize>) -> Self {
        let frames = indices.iter().enumerate().filter(|(_, index)| source.facts(**index).moment.is_some());
        let places = frames.map(|(place, &index)| (index, place)).collect();
        Self { source, indices, places }
    }

    /// Where its images stand in the source that it looks at.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl Source for Subset<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn facts(&self, index: usize) -> &Facts {
        self.source.facts(self.indices[index])
    }

    fn categories(&self) -> &[String] {
        self.source.categories()
    }

    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError> {
        self.source.size(self.indices[index], options)
    }

    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError> {
        self.source.read(self.indices[index], options)
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        self.source.mask(self.indices[index])
    }

    fn mask_name(&self, index: usize) -> Option<String> {
        self.source.mask_name(self.indices[index])
    }

    /// The clip of the source; a frame that the subset leaves out is replaced by the next later one that it holds.
    fn window(&self, index: usize, length: usize) -> Vec<usize> {
        let mut window = self.source.window(self.indices[index], length);
        let mut later = index;
        for frame in window.iter_mut().rev() {
            if *frame != self.indices[index] {
                later = self.places.get(frame).copied().unwrap_or(later);
            }
            *frame = later;
        }
        window
    }

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        self.source.digest(self.indices[index])
    }
}
