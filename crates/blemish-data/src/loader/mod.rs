//! Batches from files: decoded in background threads, delivered in a fixed order, in bounded memory.
//!
//! Workers claim positions of the order one after another and may run ahead of the reader by a window of `prefetch`
//! batches; the reader takes results by position. So at any time at most one window plus one batch of transformed images
//! is held, however many there are, and the order never depends on which thread is faster.

mod decoded;
mod workers;

#[cfg(test)]
mod tests;

pub use decoded::{DecodedImage, DecodedImages};

use crate::batch::ImageBatch;
use crate::error::{DataError, Skipped};
use crate::layout::Sample;
use crate::mask::Mask;
use crate::transform::{PlanarImage, Resize, Transform};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::sync::Arc;
use workers::{Job, Loaded, Workers};

/// How images are streamed. Threads and prefetch change the speed and memory, never the batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Images per batch; the last one may be smaller, and so are batches that end where native images change size.
    pub batch_size: usize,
    /// How many batches are made ready ahead of their use.
    pub prefetch: usize,
    /// Decoding threads; 0 is one per processor.
    pub threads: usize,
    /// Shuffles the samples by this seed; `None` keeps their order.
    pub shuffle_seed: Option<u64>,
    /// Leave unusable images out, and list them, instead of failing.
    pub skip_bad: bool,
    /// Also read and transform the masks.
    pub with_masks: bool,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            batch_size: 8,
            prefetch: 2,
            threads: 0,
            shuffle_seed: None,
            skip_bad: false,
            with_masks: false,
        }
    }
}

/// A batch and where it came from; all lists have one entry an image.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedBatch {
    /// Positions in the samples that the loader was given.
    pub indices: Vec<usize>,
    /// The transformed images.
    pub images: ImageBatch,
    /// The transformed masks; `None` where the sample has none or masks were not asked for.
    pub masks: Vec<Option<Mask>>,
    /// Height and width of the images before the transform (upright), in pixels.
    pub original_sizes: Vec<(usize, usize)>,
}

/// Streams samples as batches. Dropping it stops its threads.
///
/// The first error ends the iteration.
pub struct Loader {
    samples: Arc<[Sample]>,
    order: Arc<[usize]>,
    batch_size: usize,
    skip_bad: bool,
    workers: Workers,
    /// Whether a batch ends where the size changes, as it may with images at their own size; else that is an error.
    is_native: bool,
    /// The first image of the next batch, taken already.
    held: Option<(usize, Loaded)>,
    next: usize,
    delivered: usize,
    skipped: Vec<Skipped>,
    is_finished: bool,
    /// An error of the options, reported by the first batch.
    refused: Option<DataError>,
}

impl Loader {
    /// Starts loading `samples`; an error in the options or the transform comes with the first batch.
    pub fn new(samples: &[Sample], transform: &Arc<Transform>, options: LoaderOptions) -> Self {
        let samples: Arc<[Sample]> = samples.into();
        let order: Arc<[usize]> = order_of(samples.len(), options.shuffle_seed).into();
        let mut refused = transform.check().err();
        if options.batch_size == 0 {
            refused = Some(DataError::Setting("the batch size must be at least 1".into()));
        }
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let window = options.batch_size.saturating_mul(options.prefetch.max(1)).max(threads);
        let job = Job {
            samples: samples.clone(),
            order: order.clone(),
            transform: transform.clone(),
            with_masks: options.with_masks,
        };
        let threads = if refused.is_some() { 0 } else { threads.min(samples.len()) };
        let workers = Workers::start(job, threads, window);
        if refused.is_none() && threads > 0 && workers.count() == 0 {
            refused = Some(DataError::Setting(
                "the system gives no threads for reading images; close other programs".into(),
            ));
        }
        Self {
            samples,
            order,
            batch_size: options.batch_size,
            skip_bad: options.skip_bad,
            workers,
            is_native: transform.resize == Resize::Native,
            held: None,
            next: 0,
            delivered: 0,
            skipped: Vec::new(),
            is_finished: false,
            refused,
        }
    }

    /// What was left out so far, in the order of loading.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The next image that can be used and its position in the samples.
    fn next_image(&mut self) -> Result<Option<(usize, Loaded)>, DataError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while self.next < self.order.len() {
            let index = self.order[self.next];
            let loaded = self.workers.take(self.next);
            self.next += 1;
            match loaded {
                Ok(loaded) => return Ok(Some((index, loaded))),
                Err(error) if self.skip_bad => self.skipped.push(left_out(&self.samples[index], &error)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The next batch, `None` after the last image.
    fn next_batch(&mut self) -> Result<Option<LoadedBatch>, DataError> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let mut batch: Option<LoadedBatch> = None;
        while let Some((index, loaded)) = self.next_image()? {
            let batch = batch.get_or_insert_with(|| LoadedBatch::like(&loaded.image, self.batch_size));
            if self.is_native && !batch.has_size_of(&loaded.image) {
                self.held = Some((index, loaded));
                break;
            }
            batch.push(index, &self.samples[index], loaded)?;
            if batch.indices.len() == self.batch_size {
                break;
            }
        }
        match batch {
            Some(batch) => {
                self.delivered += batch.indices.len();
                Ok(Some(batch))
            }
            None => match self.skipped.first() {
                Some(first) if self.delivered == 0 => Err(DataError::NothingLeft {
                    count: self.order.len(),
                    first: first.path.clone(),
                    reason: first.reason.clone(),
                }),
                _ => Ok(None),
            },
        }
    }
}

impl Iterator for Loader {
    type Item = Result<LoadedBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        let batch = self.next_batch().transpose();
        if !matches!(batch, Some(Ok(_))) {
            self.is_finished = true;
            self.workers.stop();
        }
        batch
    }
}

/// The entry of the list of what was left out; the path is not repeated in the reason.
fn left_out(sample: &Sample, error: &DataError) -> Skipped {
    let reason = match error {
        DataError::Image { path, fault } if *path == sample.path => fault.to_string(),
        other => other.to_string(),
    };
    Skipped { path: sample.path.clone(), reason }
}

/// 0 to `count` - 1, shuffled (Fisher-Yates on ChaCha8) if there is a seed.
///
/// Written out here because a library's shuffle may change between its versions, and the order must not.
pub fn order_of(count: usize, seed: Option<u64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if let Some(seed) = seed {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for last in (1..count).rev() {
            // The high half of the product is uniform in 0..=last up to a bias below 2^-32 for up to 2^32 files.
            let other = (u128::from(random.next_u64()) * (last as u128 + 1)) >> 64;
            order.swap(last, other as usize);
        }
    }
    order
}

impl LoadedBatch {
    /// An empty batch of images like `first`.
    fn like(first: &PlanarImage, capacity: usize) -> Self {
        Self {
            indices: Vec::with_capacity(capacity),
            images: ImageBatch {
                count: 0,
                height: first.height,
                width: first.width,
                pixels: Vec::with_capacity(capacity * first.pixels.len()),
                region_of_interest: first.region_of_interest.clone(),
            },
            masks: Vec::with_capacity(capacity),
            original_sizes: Vec::with_capacity(capacity),
        }
    }

    fn has_size_of(&self, image: &PlanarImage) -> bool {
        (image.height, image.width) == (self.images.height, self.images.width)
    }

    fn push(&mut self, index: usize, sample: &Sample, loaded: Loaded) -> Result<(), DataError> {
        let Loaded { image, mask, original_size } = loaded;
        if !self.has_size_of(&image) {
            return Err(DataError::MixedSizes {
                path: sample.path.clone(),
                width: image.width,
                height: image.height,
                batch_width: self.images.width,
                batch_height: self.images.height,
            });
        }
        // A crop may give images of different shapes one size, but not one place for the stretched region.
        if image.region_of_interest != self.images.region_of_interest {
            return Err(DataError::Setting(format!(
                "image `{}` has another shape than the first of its batch, so the region of interest lies elsewhere on it; \
                 resize to an exact size, or use batches of one image",
                sample.path.display()
            )));
        }
        self.indices.push(index);
        self.images.count += 1;
        self.images.pixels.extend_from_slice(&image.pixels);
        self.masks.push(mask);
        self.original_sizes.push(original_size);
        Ok(())
    }
}
