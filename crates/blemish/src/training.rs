//! Good images of a dataset as the passes over batches that methods see.

use crate::detector::FitOptions;
use blemish_core::error::Error;
use blemish_core::method::{EachBatch, TrainingSet};
use blemish_core::observer::Observer;
use blemish_data::{Dataset, Loader, LoaderOptions, Sample, Skipped, Transform};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The training images of a dataset, streamed through the loader on every pass.
pub(crate) struct LoadedSet<'a> {
    samples: &'a [Sample],
    category: &'a str,
    transform: Arc<Transform>,
    loader: LoaderOptions,
    observer: &'a dyn Observer,
    /// What any pass left out.
    skipped: Mutex<Vec<Skipped>>,
}

impl<'a> LoadedSet<'a> {
    pub(crate) fn new(dataset: &'a Dataset, transform: &Arc<Transform>, options: &FitOptions<'a>) -> Self {
        let loader = LoaderOptions {
            batch_size: options.batch_size,
            skip_bad: options.skip_bad,
            ..LoaderOptions::default()
        };
        Self {
            samples: &dataset.train,
            category: &dataset.category,
            transform: transform.clone(),
            loader,
            observer: options.observer,
            skipped: Mutex::default(),
        }
    }

    pub(crate) fn samples(&self) -> &'a [Sample] {
        self.samples
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.loader.batch_size.max(1)
    }

    pub(crate) fn observer(&self) -> &'a dyn Observer {
        self.observer
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Skipped>> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the passes so far have left out, in the order of the paths.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        let mut skipped = self.lock().clone();
        skipped.sort_by(|one, other| one.path.cmp(&other.path));
        skipped
    }

    /// The images that the passes so far have not left out.
    pub(crate) fn usable(&self) -> Vec<usize> {
        let skipped = self.lock();
        let is_usable =
            |index: &usize| !skipped.iter().any(|skipped| skipped.path == self.samples[*index].path);
        (0..self.samples.len()).filter(is_usable).collect()
    }

    /// Passes over some of the images; `each` gets positions in `indices`.
    pub(crate) fn for_each_batch_of(
        &self,
        indices: &[usize],
        shuffle_seed: Option<u64>,
        each: &mut EachBatch<'_>,
    ) -> Result<(), Error> {
        let samples: Vec<Sample> = indices.iter().map(|&index| self.samples[index].clone()).collect();
        self.pass(&samples, shuffle_seed, each)
    }

    fn pass(
        &self,
        samples: &[Sample],
        shuffle_seed: Option<u64>,
        each: &mut EachBatch<'_>,
    ) -> Result<(), Error> {
        let options = LoaderOptions { shuffle_seed, ..self.loader.clone() };
        let mut loader = Loader::new(samples, &self.transform, options);
        for batch in loader.by_ref() {
            if self.observer.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let batch = batch?;
            each(&batch.indices, &batch.images)?;
        }
        let mut skipped = self.lock();
        let new = loader.skipped().iter().filter(|new| !skipped.iter().any(|known| known.path == new.path));
        let new: Vec<Skipped> = new.cloned().collect();
        skipped.extend(new);
        Ok(())
    }
}

impl TrainingSet for LoadedSet<'_> {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn category(&self, _index: usize) -> &str {
        self.category
    }

    fn for_each_batch(&self, shuffle_seed: Option<u64>, each: &mut EachBatch<'_>) -> Result<(), Error> {
        self.pass(self.samples, shuffle_seed, each)
    }
}
