//! Binary masks: ground truth of defects and regions of interest.

use crate::error::ImageFault;

/// Whole numbers up to this are labels of kinds, in whatever file a mask lies; larger ones may be shades.
pub(crate) const LARGEST_LABEL: u16 = 31;

/// A binary H x W mask, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// H x W; true is marked (a defect, or inside the region of interest).
    pub marked: Vec<bool>,
}

impl Mask {
    /// Marks what another mask of the same size marks.
    pub(crate) fn unite(&mut self, other: &Self) {
        self.marked.iter_mut().zip(&other.marked).for_each(|(own, other)| *own |= other);
    }

    /// Checks that the mask has the size of its image, height x width.
    ///
    /// # Errors
    /// [`ImageFault::MaskSize`].
    pub fn check_size(&self, (height, width): (usize, usize)) -> Result<(), ImageFault> {
        if (self.height, self.width) == (height, width) {
            return Ok(());
        }
        Err(ImageFault::MaskSize { mask_width: self.width, mask_height: self.height, width, height })
    }
}
