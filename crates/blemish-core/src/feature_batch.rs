//! What a backbone makes of a batch of images, as methods on frozen features see it.

use crate::error::Error;
use blemish_data::{ImageBatch, Mask};
use blemish_features::{Backbone, FeatureMap};
use std::sync::Arc;

/// The feature maps of a batch of equally sized images.
#[derive(Clone, Debug)]
pub struct FeatureBatch {
    /// N, the number of images.
    pub count: usize,
    /// H of the network's input, in pixels.
    pub height: usize,
    /// W of the network's input, in pixels.
    pub width: usize,
    /// One a tap, shallow to deep, each N x C x h x w, or N x T x C x h x w for clips of T frames.
    pub maps: Vec<FeatureMap>,
    /// Where to look (true) and what to ignore (false), H x W; `None` looks everywhere.
    pub region_of_interest: Option<Arc<Mask>>,
}

impl FeatureBatch {
    /// Runs the backbone on a batch of images.
    ///
    /// # Errors
    /// [`Error::Features`] if the engine fails or the images are too small for it.
    pub fn extract(backbone: &Backbone, batch: &ImageBatch) -> Result<Self, Error> {
        Ok(Self {
            count: batch.count,
            height: batch.height,
            width: batch.width,
            maps: backbone.extract(&batch.pixels, [batch.count * batch.frames, batch.height, batch.width])?,
            region_of_interest: batch.region_of_interest.clone(),
        })
    }

    /// The images of another batch behind those of this one; false, and nothing happens, if their maps have other shapes.
    pub fn append(&mut self, other: &Self) -> bool {
        let shape = |map: &FeatureMap| (map.channels, map.height, map.width);
        let is_alike = self.maps.len() == other.maps.len()
            && self.maps.iter().map(shape).eq(other.maps.iter().map(shape))
            && self.region_of_interest == other.region_of_interest;
        if is_alike {
            self.count += other.count;
            for (own, more) in self.maps.iter_mut().zip(&other.maps) {
                own.data.extend_from_slice(&more.data);
            }
        }
        is_alike
    }

    /// The maps of image `at`, as a batch of its own.
    ///
    /// # Panics
    /// If `at` is not below [`Self::count`].
    pub fn single(&self, at: usize) -> Self {
        assert!(at < self.count, "image {at} of {}", self.count);
        let single = |map: &FeatureMap| {
            let length = map.data.len() / self.count;
            FeatureMap { data: map.data[at * length..][..length].to_vec(), ..map.clone() }
        };
        Self { count: 1, maps: self.maps.iter().map(single).collect(), ..self.clone() }
    }
}
