//! All metrics of a detector in one stream of images: those of each category, their mean, and those of videos.

mod category;
mod labelled;
mod mean;
mod sequences;
#[cfg(test)]
mod tests;

use crate::MetricError;
use crate::pixel::{PixelOptions, ProPoint};
use crate::report::{CategoryReport, Evaluation};
use category::Category;
pub use labelled::LabelledImage;
use std::collections::BTreeMap;

/// Takes scored images one by one and gives every metric, per category, per kind of defect and overall. Maps are not kept, only their
/// scores.
///
/// With one category the evaluation is that of its images. With several, each has an evaluation of its own, and the overall metrics are
/// their unweighted means, as the field reports them (UniAD, arXiv 2206.03687, and every table of MVTec AD): scores of
/// different categories have different scales, so that pooling them would measure the scales.
#[derive(Clone, Debug, Default)]
pub struct Evaluator {
    options: PixelOptions,
    categories: BTreeMap<String, Category>,
}

impl Evaluator {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing seen yet, with other limits or memory for pixels.
    ///
    /// # Errors
    /// [`MetricError::Setting`] as [`PixelOptions::check`].
    pub fn with_options(options: PixelOptions) -> Result<Self, MetricError> {
        options.check()?;
        Ok(Self { options, ..Self::default() })
    }

    /// Takes in a still image of the only category: its kind of defect, score, map of (height, width) and mask.
    ///
    /// # Errors
    /// As [`Self::add_image`].
    pub fn add(
        &mut self,
        defect: &str,
        is_defective: bool,
        score: f32,
        map: &[f32],
        mask: Option<&[bool]>,
        size: (usize, usize),
    ) -> Result<(), MetricError> {
        let defect = is_defective.then_some(defect);
        self.add_image(&LabelledImage { category: "", sequence: None, defect, score, map, mask, size })
    }

    /// Takes an image in. A defective image without a mask counts for image metrics only.
    ///
    /// # Errors
    /// [`MetricError`] for scores that are not finite, unequal lengths, or a defective image whose mask is empty.
    pub fn add_image(&mut self, image: &LabelledImage<'_>) -> Result<(), MetricError> {
        self.categories.entry(image.category.to_owned()).or_default().add(image)?;
        if self.categories.values().map(Category::kept).sum::<usize>() > self.options.exact_pixels {
            self.categories.values_mut().for_each(Category::coarsen);
        }
        Ok(())
    }

    /// The metrics of everything seen. What is undefined is absent, with a note.
    ///
    /// # Errors
    /// At present [`Self::add_image`] finds all that can be wrong, and this has no error of its own.
    pub fn finish(self) -> Result<Evaluation, MetricError> {
        Ok(self.finish_with_curve()?.0)
    }

    /// The metrics of everything seen, and the per-region overlap curve up to the limit of AUPRO (empty without masks), thinned so that
    /// no point left out lies farther than [`CURVE_STEP`](crate::curve::CURVE_STEP) from the drawn line. Several categories share no
    /// thresholds and have no common curve: it is empty.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_with_curve(self) -> Result<(Evaluation, Vec<ProPoint>), MetricError> {
        let Self { options, mut categories } = self;
        if categories.len() < 2 {
            let only = categories.pop_first().map(|(_, category)| category).unwrap_or_default();
            return Ok(only.finish(&options));
        }
        let reports = categories.into_iter().map(|(name, category)| CategoryReport {
            category: name,
            evaluation: category.finish(&options).0,
        });
        Ok((mean::of_categories(reports.collect()), Vec::new()))
    }
}
