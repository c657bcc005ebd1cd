//! Images one after another as their files hold them, for whoever cuts them up: only one is in memory at a time.

use super::left_out;
use super::workers::mask_of;
use crate::error::{DataError, Skipped};
use crate::layout::Sample;
use crate::mask::Mask;
use crate::reader::{RgbImage, read_image};
use crate::transform::Transform;

/// A decoded image and where it came from.
#[derive(Debug)]
pub struct DecodedImage {
    /// Position in the samples.
    pub index: usize,
    /// The image, not transformed.
    pub image: RgbImage,
    /// Its mask, transformed; `None` where the sample has none or masks were not asked for.
    pub mask: Option<Mask>,
}

/// Decodes samples in a given order, each when it is asked for. The first error ends the iteration.
pub struct DecodedImages<'a> {
    samples: &'a [Sample],
    order: std::vec::IntoIter<usize>,
    transform: &'a Transform,
    skip_bad: bool,
    with_masks: bool,
    delivered: usize,
    skipped: Vec<Skipped>,
    is_finished: bool,
}

impl<'a> DecodedImages<'a> {
    /// The samples of `order`, for `transform`; masks come along if `with_masks`; what cannot be used is left out if `skip_bad`.
    pub fn new(
        samples: &'a [Sample],
        order: Vec<usize>,
        transform: &'a Transform,
        skip_bad: bool,
        with_masks: bool,
    ) -> Self {
        let (delivered, skipped, is_finished) = (0, Vec::new(), false);
        Self {
            samples,
            order: order.into_iter(),
            transform,
            skip_bad,
            with_masks,
            delivered,
            skipped,
            is_finished,
        }
    }

    /// What was left out so far, in order.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    fn decode(&self, index: usize) -> Result<DecodedImage, DataError> {
        let sample = &self.samples[index];
        let at_image = |fault| DataError::image(&sample.path, fault);
        let image = read_image(&sample.path, &self.transform.read_options())?;
        self.transform.output_size(image.height, image.width).map_err(at_image)?;
        let mask = if self.with_masks { mask_of(sample, &image)? } else { None };
        let mask = mask.map(|mask| self.transform.apply_mask(&mask)).transpose().map_err(at_image)?;
        Ok(DecodedImage { index, image, mask })
    }
}

impl Iterator for DecodedImages<'_> {
    type Item = Result<DecodedImage, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        while let Some(index) = self.order.next() {
            match self.decode(index) {
                Ok(image) => {
                    self.delivered += 1;
                    return Some(Ok(image));
                }
                Err(error) if self.skip_bad => {
                    self.skipped.push(left_out(&self.samples[index], &error));
                }
                Err(error) => {
                    self.is_finished = true;
                    return Some(Err(error));
                }
            }
        }
        self.is_finished = true;
        let first = self.skipped.first().filter(|_| self.delivered == 0)?;
        Some(Err(DataError::NothingLeft {
            count: self.skipped.len(),
            first: first.path.clone(),
            reason: first.reason.clone(),
        }))
    }
}
