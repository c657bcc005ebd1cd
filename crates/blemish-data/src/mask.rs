//! Binary masks: ground truth of defects and regions of interest.

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
