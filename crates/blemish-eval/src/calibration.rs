//! What good images that a model has not learnt from say about its scores: the ground of every decision.

use serde::{Deserialize, Serialize};

/// Out-of-sample scores of good images and the thresholds that follow from them; part of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Image scores of good images that the scoring model had not seen, ascending.
    pub image_scores: Vec<f32>,
    /// The highest value of each of their anomaly maps, ascending.
    pub map_maxima: Vec<f32>,
    /// An image with a score above this is anomalous; `None` if the images are too few to promise the asked rate.
    pub image_threshold: Option<f32>,
    /// A pixel with a score above this is anomalous; `None` as above.
    pub pixel_threshold: Option<f32>,
}
