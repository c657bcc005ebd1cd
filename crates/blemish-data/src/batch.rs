//! The unit that flows from the loader through features and methods.

use crate::mask::Mask;
use std::sync::Arc;

/// A batch of equally sized RGB images, or of clips of them, ready for a method.
///
/// `pixels` is N x T x 3 x H x W, row-major, the oldest frame first, red first, in [0, 1]; T is 1 for single images. Normalisation belongs to
/// the backbone that wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBatch {
    /// N, the number of images; of clips, each is scored for its last frame.
    pub count: usize,
    /// T, the frames that each image comes with: itself and those before it; 1 for single images.
    pub frames: usize,
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// N x T x 3 x H x W values in [0, 1].
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
        Self { count, frames: 1, height, width, pixels, region_of_interest }
    }

    /// The T x 3 x H x W values of clip `index`, the oldest frame first.
    ///
    /// # Panics
    /// If `index` is not below `count`.
    pub fn clip(&self, index: usize) -> &[f32] {
        let length = self.frames * 3 * self.height * self.width;
        &self.pixels[index * length..(index + 1) * length]
    }

    /// The 3 x H x W values of image `index`; of a clip, its last frame.
    ///
    /// # Panics
    /// If `index` is not below `count`.
    pub fn image(&self, index: usize) -> &[f32] {
        let clip = self.clip(index);
        &clip[clip.len() - 3 * self.height * self.width..]
    }
}
