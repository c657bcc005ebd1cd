//! What an evaluation is made of.

/// A labelled image and what a detector says of it.
#[derive(Clone, Copy, Debug)]
pub struct LabelledImage<'a> {
    /// What is inspected, such as `bottle`; any one word where there is a single category.
    pub category: &'a str,
    /// Number of the video that it is a frame of; `None` for a still image.
    pub sequence: Option<u32>,
    /// The kind of defect; `None` for a good image.
    pub defect: Option<&'a str>,
    /// Image score, unbounded, larger is more anomalous.
    pub score: f32,
    /// Anomaly map, height x width scores, row-major.
    pub map: &'a [f32],
    /// Which pixels are defective, height x width; not looked at for a good image.
    pub mask: Option<&'a [bool]>,
    /// (height, width) of map and mask.
    pub size: (usize, usize),
}
