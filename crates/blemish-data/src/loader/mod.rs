//! Batches from a source: decoded in background threads, delivered in a fixed order, in bounded memory.
//!
//! Workers claim positions of the order one after another and may run ahead of the reader by a window of `prefetch`
//! batches; the reader takes results by position. So at any time at most one window plus one batch of transformed images
//! is held, however many there are, and the order never depends on which thread is faster. Clips hold that many clips, and as
//! many single frames that clips share.

mod batch;
mod decoded;
mod job;
mod order;
mod values;
mod workers;

#[cfg(test)]
mod tests;

pub use batch::LoadedBatch;
pub use decoded::{DecodedImage, DecodedImages};
pub use order::order_of;
pub use values::ValueSurvey;

use crate::error::{DataError, Skipped};
use crate::source::Source;
use crate::transform::{Resize, Transform};
use job::{Job, Loaded, left_out};
use std::sync::Arc;
use std::thread::Builder;
use workers::Shared;

/// How images are streamed. Threads and prefetch change the speed and memory, never the batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Images per batch; the last one may be smaller, and so are batches that end where native images change size.
    pub batch_size: usize,
    /// How many batches are made ready ahead of their use.
    pub prefetch: usize,
    /// Decoding threads; 0 is one per processor.
    pub threads: usize,
    /// Shuffles the images by this seed; `None` keeps their order.
    pub shuffle_seed: Option<u64>,
    /// Leave unusable images out, and list them, instead of failing.
    pub skip_bad: bool,
    /// Also read and transform the masks.
    pub with_masks: bool,
    /// Frames that come with each image: itself and those before it ([`Source::window`]); 1 is the image alone.
    pub clip: usize,
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
            clip: 1,
        }
    }
}

/// Streams images as batches. The first error ends the iteration. Dropping it stops its threads.
pub struct Loader<'a> {
    shared: Arc<Shared<'a>>,
    /// Position in the stream to position in the images given.
    order: Vec<usize>,
    batch_size: usize,
    skip_bad: bool,
    /// Whether a batch ends where the size changes (images at their own size); otherwise a change is an error.
    is_native: bool,
    /// The first image of the next batch, taken already, and its position in the images given.
    held: Option<(usize, Loaded)>,
    next: usize,
    delivered: usize,
    skipped: Vec<Skipped>,
    left_out: Vec<usize>,
    is_finished: bool,
    /// An error of the options, reported by the first batch.
    refused: Option<DataError>,
}

impl Loader<'_> {
    /// Loads the images of `source` at `indices` while `work` takes the batches; all threads have ended when this returns.
    ///
    /// `indices` may hold an index more than once. An error in the options or the transform comes with the first batch. `work` may
    /// return or panic before the last batch.
    pub fn over<T>(
        source: &dyn Source,
        indices: &[usize],
        transform: &Transform,
        options: &LoaderOptions,
        work: impl FnOnce(&mut Loader<'_>) -> T,
    ) -> T {
        let (loader, threads) = Loader::prepared(source, indices, transform, options);
        std::thread::scope(|scope| {
            // Moved in, so that the loader stops the threads before the scope waits for them, on a panic of `work` too.
            let mut loader = loader;
            let start = |number: &usize| {
                let shared = loader.shared.clone();
                named(*number).spawn_scoped(scope, move || shared.work()).is_ok()
            };
            let started = (0..threads).filter(start).count();
            loader.check_threads(started, threads);
            work(&mut loader)
        })
    }
}

/// The name shows in debuggers and profiles.
fn named(number: usize) -> Builder {
    Builder::new().name(format!("blemish-load-{number}"))
}

impl<'a> Loader<'a> {
    /// A loader without its threads, and how many it wants.
    fn prepared(
        source: &'a dyn Source,
        indices: &[usize],
        transform: &'a Transform,
        options: &LoaderOptions,
    ) -> (Self, usize) {
        let refused = options_fault(source, indices, transform, options);
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let window = options.batch_size.saturating_mul(options.prefetch.max(1)).max(threads);
        let order = order_of(indices.len(), options.shuffle_seed);
        let stream = order.iter().map(|&position| indices[position]).collect();
        let threads = if refused.is_some() { 0 } else { threads.min(indices.len()) };
        let is_native = transform.resize == Resize::Native;
        let job = Job::new(source, transform, options.with_masks, options.clip, window);
        let loader = Self {
            shared: Arc::new(Shared::new(job, stream, window)),
            order,
            batch_size: options.batch_size,
            skip_bad: options.skip_bad,
            is_native,
            held: None,
            next: 0,
            delivered: 0,
            skipped: Vec::new(),
            left_out: Vec::new(),
            is_finished: false,
            refused,
        };
        (loader, threads)
    }

    fn check_threads(&mut self, started: usize, wanted: usize) {
        if wanted > 0 && started == 0 {
            self.refused = Some(DataError::Setting(
                "the system gives no threads for reading images; close other programs".into(),
            ));
        }
    }

    /// What was left out so far, in the order of loading.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The positions of what was left out so far in the images given; one for each of [`Self::skipped`].
    pub fn left_out(&self) -> &[usize] {
        &self.left_out
    }

    /// The next image that can be used and its position in the images given.
    fn next_image(&mut self) -> Result<Option<(usize, Loaded)>, DataError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while self.next < self.order.len() {
            let position = self.order[self.next];
            let index = self.shared.stream()[self.next];
            let loaded = self.shared.take(self.next);
            self.next += 1;
            match loaded {
                Ok(loaded) => return Ok(Some((position, loaded))),
                Err(error) if self.skip_bad => {
                    self.skipped.push(left_out(self.shared.job().source(), index, &error));
                    self.left_out.push(position);
                }
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
        while let Some((position, loaded)) = self.next_image()? {
            // Room for what is left, at most: a batch size may be any number.
            let capacity = self.batch_size.min(1 + self.order.len() - self.next);
            let batch = batch.get_or_insert_with(|| LoadedBatch::like(&loaded, capacity));
            if self.is_native && !batch.has_size_of(&loaded.image) {
                self.held = Some((position, loaded));
                break;
            }
            let index = self.shared.stream()[self.next - 1];
            batch.push(position, &self.shared.job().source().facts(index).name, loaded)?;
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

/// What is wrong with the options, the transform or the indices.
fn options_fault(
    source: &dyn Source,
    indices: &[usize],
    transform: &Transform,
    options: &LoaderOptions,
) -> Option<DataError> {
    let setting = |reason: String| Some(DataError::Setting(reason));
    if options.batch_size == 0 {
        return setting("the batch size must be at least 1".into());
    }
    if options.clip == 0 {
        return setting("a clip must have at least 1 frame".into());
    }
    if let Some(beyond) = indices.iter().find(|&&index| index >= source.len()) {
        return setting(format!("there is no image {beyond} among {}; indices run from 0", source.len()));
    }
    transform.check().err()
}

impl Iterator for Loader<'_> {
    type Item = Result<LoadedBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        let batch = self.next_batch().transpose();
        if !matches!(batch, Some(Ok(_))) {
            self.is_finished = true;
            self.shared.stop();
        }
        batch
    }
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
