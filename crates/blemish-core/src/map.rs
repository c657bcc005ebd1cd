//! The one way from patch scores to an anomaly map of the input's size.

use crate::error::Error;
use blemish_data::Mask;
use blemish_eval::Extremes;
use blemish_kernels::map::{Border, gaussian_blur, resize_aligned, resize_bilinear, resize_nearest};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a method says of one image: a score per cell of its grid, and perhaps one for the whole image.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchScores {
    /// Rows of the grid.
    pub height: usize,
    /// Columns of the grid.
    pub width: usize,
    /// Height x width scores, unbounded, higher is worse.
    pub values: Vec<f32>,
    /// The image's score where the method has a rule of its own; else the maximum of the finished map counts.
    pub image_score: Option<f32>,
}

impl PatchScores {
    /// Whether every score is a finite number.
    pub fn is_finite(&self) -> bool {
        self.values.iter().chain(&self.image_score).all(|score| score.is_finite())
    }
}

/// The patch of the highest score; ties go to the first.
pub fn worst_of(scores: &[f32]) -> usize {
    (0..scores.len()).fold(0, |best, patch| if scores[patch] > scores[best] { patch } else { best })
}

/// How patch scores are brought to the input's size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapStage {
    /// Interpolation from the grid to the input's size.
    pub interpolation: Interpolation,
    /// Standard deviation of the Gaussian blur in input pixels; 0 is none.
    pub sigma: f32,
    /// What the blur sees beyond the border.
    pub border: BlurBorder,
}

/// Interpolation from the grid to the input's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Half-pixel centres.
    Bilinear,
    /// The centres of the outermost cells on those of the outermost pixels.
    BilinearAligned,
    /// The cell a pixel lies in.
    Nearest,
}

/// What a blur sees beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlurBorder {
    /// The mirror image, the edge pixel repeated (d c b a | a b c d), as in the papers' reference codes.
    Repeat,
    /// The mirror image, the edge pixel not repeated (d c b | a b c d), as in anomalib.
    Mirror,
}

/// An anomaly map: one score per pixel of the network's input.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Height x width scores, unbounded, higher is worse.
    pub values: Vec<f32>,
}

/// The outcome for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The image score, unbounded, higher is worse.
    pub score: f32,
    /// Where.
    pub map: AnomalyMap,
}

impl Scored {
    /// The scores that decisions rest on.
    pub fn extremes(&self) -> Extremes {
        let map_maximum = self.map.values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Extremes { image_score: self.score, map_maximum }
    }
}

impl MapStage {
    /// Bilinear interpolation and a blur that mirrors at the border.
    pub fn bilinear(sigma: f32) -> Self {
        Self { interpolation: Interpolation::Bilinear, sigma, border: BlurBorder::Mirror }
    }

    /// Brings the patch scores of a batch to maps of `height` x `width`, see [`Self::finish`].
    ///
    /// # Errors
    /// [`Error::Score`] if a score is not finite: it would be passed on as neither good nor bad.
    pub fn finish_batch(
        &self,
        patches: Vec<PatchScores>,
        (height, width): (usize, usize),
        region: Option<&Mask>,
    ) -> Result<Vec<Scored>, Error> {
        if let Some(at) = patches.iter().position(|patches| !patches.is_finite()) {
            let reason = format!(
                "image {at} of the batch has a score that is not a finite number; its pixels or the model's values are out of range"
            );
            return Err(Error::Score { reason });
        }
        let inside = region.map(|mask| mask.marked.as_slice());
        Ok(patches.into_par_iter().map(|patches| self.finish(patches, height, width, inside)).collect())
    }

    /// Brings patch scores to `height` x `width`, blurs them and settles the image score.
    ///
    /// `inside`, if given, is the region of interest, height x width: the map is 0 outside, before and after the blur, so what lies
    /// outside neither leaks in nor counts.
    pub fn finish(
        &self,
        patches: PatchScores,
        height: usize,
        width: usize,
        inside: Option<&[bool]>,
    ) -> Scored {
        let grid = (patches.height, patches.width);
        let mut values = match self.interpolation {
            _ if grid == (height, width) => patches.values,
            Interpolation::Bilinear => resize_bilinear(&patches.values, grid, (height, width)),
            Interpolation::BilinearAligned => resize_aligned(&patches.values, grid, (height, width)),
            Interpolation::Nearest => resize_nearest(&patches.values, grid, (height, width)),
        };
        clear_outside(&mut values, inside);
        if self.sigma > 0.0 {
            let border = match self.border {
                BlurBorder::Repeat => Border::Repeat,
                BlurBorder::Mirror => Border::Mirror,
            };
            values = gaussian_blur(&values, (height, width), self.sigma, border);
            clear_outside(&mut values, inside);
        }
        let mut scored = Scored { score: 0.0, map: AnomalyMap { height, width, values } };
        scored.score = patches.image_score.unwrap_or_else(|| scored.extremes().map_maximum);
        scored
    }
}

fn clear_outside(values: &mut [f32], inside: Option<&[bool]>) {
    if let Some(inside) = inside {
        for (value, &is_inside) in values.iter_mut().zip(inside) {
            if !is_inside {
                *value = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: MapStage =
        MapStage { interpolation: Interpolation::Bilinear, sigma: 0.0, border: BlurBorder::Mirror };

    #[test]
    fn image_score_is_the_methods_own_or_the_maximum_of_the_finished_map() {
        let patches = |image_score| PatchScores { height: 1, width: 2, values: vec![0.0, 1.0], image_score };
        let scored = PLAIN.finish(patches(None), 1, 4, None);
        assert_eq!(scored.map.values, [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(scored.score, 1.0);
        let aligned = MapStage { interpolation: Interpolation::BilinearAligned, ..PLAIN };
        assert_eq!(aligned.finish(patches(None), 1, 5, None).map.values, [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(PLAIN.finish(patches(Some(7.0)), 1, 4, None).score, 7.0);
        let blurred = MapStage { sigma: 1.0, ..PLAIN };
        assert!(blurred.finish(patches(None), 8, 8, None).score < 1.0);
        assert_eq!(blurred.finish(patches(Some(7.0)), 8, 8, None).score, 7.0);
    }

    #[test]
    fn what_lies_outside_the_region_of_interest_does_not_leak_in() {
        let patches = PatchScores { height: 1, width: 2, values: vec![1.0, 100.0], image_score: None };
        let inside: Vec<bool> = (0..64).map(|i| i % 8 < 4).collect();
        let stage = MapStage { interpolation: Interpolation::Nearest, sigma: 1.0, ..PLAIN };
        let scored = stage.finish(patches, 8, 8, Some(&inside));
        assert!(scored.score <= 1.0 + 1e-6);
        assert!(scored.map.values.iter().zip(&inside).all(|(&value, &is_inside)| is_inside || value == 0.0));
    }
}
