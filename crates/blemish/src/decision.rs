//! From a score and a map to a decision by a model's calibration.

use crate::map::Scored;
use blemish_data::{ImageFault, Transform};
use blemish_eval::{Calibration, Frame, Region, find_regions};

/// What a calibrated model says of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The share of good images that score like this or worse, at most; see [`blemish_eval::calibration`].
    pub p_value: f64,
    /// An image with a score above this is anomalous; `None` if the calibration allows none.
    pub threshold: Option<f32>,
    /// Whether the image is; `None` without a threshold.
    pub anomalous: Option<bool>,
    /// Where the map lies above the pixel threshold, in pixels of the original image; empty without one.
    pub regions: Vec<Region>,
}

impl Decision {
    /// Decides on an image of (height, width) pixels before the transform; regions under `minimum_area` pixels of it are left out.
    ///
    /// The image and its regions are judged by thresholds of their own, both for the same rate: a flagged image may show no region, and
    /// an image that passes may show one.
    ///
    /// # Errors
    /// [`ImageFault`] if no image of that size passes the transform.
    pub fn new(
        calibration: &Calibration,
        scored: &Scored,
        transform: &Transform,
        (height, width): (usize, usize),
        minimum_area: f64,
    ) -> Result<Self, ImageFault> {
        let (rows, columns) = transform.covered(height, width)?;
        let map = &scored.map;
        let size = (map.height, map.width);
        let regions = calibration.pixel_threshold.map_or_else(Vec::new, |threshold| {
            find_regions(&map.values, size, threshold, &Frame { rows, columns }, minimum_area)
        });
        Ok(Self {
            p_value: calibration.p_value(scored.score),
            threshold: calibration.image_threshold,
            anomalous: calibration.is_anomalous(scored.score),
            regions,
        })
    }
}
