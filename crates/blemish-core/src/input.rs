//! What a method reads, in a fit and in scoring alike.

use crate::error::Error;
use crate::feature_batch::FeatureBatch;
use crate::map::{MapStage, Scored};
use blemish_data::{Facts, ImageBatch, Mask};

/// A batch of images, as pixels, as the backbone's maps, or as both: what [`Needs::reads`](crate::needs::Needs::reads) asks for.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The position of each image in the set that is passed over, or in the batch to score.
    pub indices: &'a [usize],
    /// What is known of each image without looking at it; empty where nothing is known. A tile has the facts of its image.
    pub facts: &'a [&'a Facts],
    /// The names that [`Facts::category`] counts in.
    pub categories: &'a [String],
    /// The pixels, N x 3 x H x W, or N x T x 3 x H x W for clips.
    pub images: Option<&'a ImageBatch>,
    /// The backbone's feature maps.
    pub maps: Option<&'a FeatureBatch>,
}

impl<'a> Input<'a> {
    /// Pixels alone, without facts.
    pub fn of_images(images: &'a ImageBatch) -> Self {
        Self { indices: &[], facts: &[], categories: &[], images: Some(images), maps: None }
    }

    /// Feature maps alone, without facts.
    pub fn of_maps(maps: &'a FeatureBatch) -> Self {
        Self { indices: &[], facts: &[], categories: &[], images: None, maps: Some(maps) }
    }

    /// The same with feature maps.
    pub fn with_maps(self, maps: &'a FeatureBatch) -> Self {
        Self { maps: Some(maps), ..self }
    }

    /// The pixels.
    ///
    /// # Errors
    /// [`Error::Score`] if they were not asked for.
    pub fn images(&self) -> Result<&'a ImageBatch, Error> {
        self.images.ok_or_else(|| missing("the pixels of the images"))
    }

    /// The feature maps.
    ///
    /// # Errors
    /// [`Error::Score`] if they were not asked for.
    pub fn maps(&self) -> Result<&'a FeatureBatch, Error> {
        self.maps.ok_or_else(|| missing("the backbone's feature maps"))
    }

    /// N, the number of images.
    pub fn count(&self) -> usize {
        self.images.map_or_else(|| self.maps.map_or(0, |maps| maps.count), |images| images.count)
    }

    /// H and W of the images that enter the method, in pixels.
    pub fn size(&self) -> (usize, usize) {
        match (self.images, self.maps) {
            (Some(images), _) => (images.height, images.width),
            (None, Some(maps)) => (maps.height, maps.width),
            (None, None) => (0, 0),
        }
    }

    /// Where to look (true) and what to ignore (false), H x W; `None` looks everywhere.
    pub fn region(&self) -> Option<&'a Mask> {
        match (self.images, self.maps) {
            (Some(images), _) => images.region_of_interest.as_deref(),
            (None, maps) => maps?.region_of_interest.as_deref(),
        }
    }

    /// The category's name of image `at` of the batch; `None` where nothing is known of it.
    pub fn category(&self, at: usize) -> Option<&'a str> {
        self.categories.get(self.facts.get(at)?.category).map(String::as_str)
    }

    /// Brings patch scores of this batch to maps of its size.
    ///
    /// # Errors
    /// As [`MapStage::finish_batch`].
    pub fn finish(
        &self,
        stage: MapStage,
        patches: Vec<crate::map::PatchScores>,
    ) -> Result<Vec<Scored>, Error> {
        stage.finish_batch(patches, self.size(), self.region())
    }
}

fn missing(what: &str) -> Error {
    Error::Score { reason: format!("the method was not given {what}, which it reads") }
}
