//! Decoded images one after another, for tiles: only one is in memory at a time.

use super::job::{decoded, left_out};
use crate::error::{DataError, Skipped};
use crate::mask::Mask;
use crate::reader::RgbImage;
use crate::source::Source;
use crate::transform::Transform;
use std::sync::Arc;

/// A decoded image and where it came from.
#[derive(Debug)]
pub struct DecodedImage {
    /// Index in the source.
    pub index: usize,
    /// The image, not transformed.
    pub image: Arc<RgbImage>,
    /// Its mask, transformed; `None` where the image has none or masks were not asked for.
    pub mask: Option<Mask>,
}

/// Decodes images in a given order, each when it is asked for. The first error ends the iteration.
pub struct DecodedImages<'a> {
    source: &'a dyn Source,
    order: std::vec::IntoIter<usize>,
    transform: &'a Transform,
    skip_bad: bool,
    with_masks: bool,
    delivered: usize,
    skipped: Vec<Skipped>,
    left_out: Vec<usize>,
    is_finished: bool,
}

impl<'a> DecodedImages<'a> {
    /// The images of `source` at the indices of `order`, for `transform`; masks come along if `with_masks`; images that cannot be
    /// used are left out if `skip_bad`.
    pub fn over(
        source: &'a dyn Source,
        order: Vec<usize>,
        transform: &'a Transform,
        skip_bad: bool,
        with_masks: bool,
    ) -> Self {
        Self {
            source,
            order: order.into_iter(),
            transform,
            skip_bad,
            with_masks,
            delivered: 0,
            skipped: Vec::new(),
            left_out: Vec::new(),
            is_finished: false,
        }
    }

    /// What was left out so far, in order.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The indices in the source of what was left out so far; one for each of [`Self::skipped`].
    pub fn left_out(&self) -> &[usize] {
        &self.left_out
    }
}

impl Iterator for DecodedImages<'_> {
    type Item = Result<DecodedImage, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        let source = self.source;
        for index in self.order.by_ref() {
            match decoded(source, index, self.transform, self.with_masks) {
                Ok((image, mask)) => {
                    self.delivered += 1;
                    return Some(Ok(DecodedImage { index, image, mask }));
                }
                Err(error) if self.skip_bad => {
                    self.skipped.push(left_out(source, index, &error));
                    self.left_out.push(index);
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
