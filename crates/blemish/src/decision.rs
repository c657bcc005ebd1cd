//! From a score and a map to a decision by a model's calibration.

use blemish_core::map::Scored;
use blemish_data::{ImageFault, Transform};
use blemish_eval::{Calibration, Frame, Region, find_regions};
use serde::{Deserialize, Serialize};

/// What a calibrated model says of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The share of good images that score like this or worse, at most; see [`blemish_eval::calibration`].
    pub p_value: f64,
    /// An image with a score above this is anomalous; null if the calibration allows none.
    pub threshold: Option<f32>,
    /// Whether the image is; null without a threshold.
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

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_core::map::AnomalyMap;
    use blemish_eval::{Extremes, Source};

    /// A 4 x 4 map with one hot pixel at row 1, column 2.
    fn scored() -> Scored {
        let values = (0..16).map(|pixel| if pixel == 6 { 9.0 } else { 1.0 }).collect();
        Scored { score: 7.0, map: AnomalyMap { height: 4, width: 4, values } }
    }

    fn calibration() -> Calibration {
        let good: Vec<Extremes> =
            (1..=9).map(|one| Extremes { image_score: one as f32, map_maximum: 0.5 * one as f32 }).collect();
        Calibration::new(&good, Source::GoodImages, 0.1).unwrap()
    }

    #[test]
    fn regions_are_in_pixels_of_the_original_image() {
        let decide = |transform: &Transform, size, area| {
            Decision::new(&calibration(), &scored(), transform, size, area).unwrap()
        };
        let whole = decide(&Transform::resize_to(4, 4), (8, 16), 0.0);
        assert_eq!((whole.p_value, whole.threshold, whole.anomalous), (0.4, Some(9.0), Some(false)));
        let bounds = whole.regions[0].bounds;
        assert_eq!((bounds.x, bounds.y, bounds.width, bounds.height), (8, 2, 4, 2));
        assert_eq!((whole.regions.len(), whole.regions[0].area), (1, 8.0));
        assert!(decide(&Transform::resize_to(4, 4), (8, 16), 8.5).regions.is_empty());
        // Only the middle half of rows and columns is seen: 4 x 4 of 8 x 8 resized, 16 x 16 original pixels.
        let cropped = decide(&Transform::resize_to(8, 8).with_crop(4, 4), (16, 16), 0.0).regions[0].bounds;
        assert_eq!((cropped.x, cropped.y, cropped.width, cropped.height), (8, 6, 2, 2));
    }

    #[test]
    fn without_a_threshold_nothing_is_decided_but_the_p_value() {
        // As files of programs have it that gave no threshold where images were too few.
        let calibration = Calibration { image_threshold: None, pixel_threshold: None, ..calibration() };
        let decision =
            Decision::new(&calibration, &scored(), &Transform::resize_to(4, 4), (4, 4), 0.0).unwrap();
        assert_eq!((decision.p_value, decision.anomalous, decision.threshold), (0.4, None, None));
        assert!(decision.regions.is_empty());
    }
}
