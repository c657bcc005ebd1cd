//! The unit that flows from the loader through features and methods.

use crate::mask::Mask;
use std::sync::Arc;

/// A batch of equally sized RGB images, ready for a method.
///
/// `pixels` is N x 3 x H x W, row-major, red first, in [0, 1]; normalisation belongs to the backbone that wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBatch {
    /// N, the number of images.
    pub count: usize,
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// N x 3 x H x W values in [0, 1].
    pub pixels: Vec<f32>,
    /// Where to look (true) and what to ignore (false), H x W; `None` looks everywhere.
    pub region_of_interest: Option<Arc<Mask>>,
}

impl ImageBatch {
    /// A batch of `count` single images.
    pub fn new(
        count: usize,
        height: usize,
        width: usize,
        pixels: Vec<f32>,
        region_of_interest: Option<Arc<Mask>>,
    ) -> Self {
        Self { count, height, width, pixels, region_of_interest }
    }

    /// The 3 x H x W values of image `index`.
    ///
    /// # Panics
    /// If `index` is not below `count`.
    pub fn image(&self, index: usize) -> &[f32] {
        let length = 3 * self.height * self.width;
        &self.pixels[index * length..(index + 1) * length]
    }
}
