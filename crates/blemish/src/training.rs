//! Good images of a dataset as the passes over batches that methods see.

use crate::detector::FitOptions;
use crate::error::Error;
use crate::method::{EachBatch, TrainingSet};
use crate::observer::Observer;
use blemish_data::{Dataset, Loader, LoaderOptions, Sample, Skipped, Transform};
use std::sync::{Arc, Mutex, PoisonError};

/// The training images of a dataset, streamed through the loader on every pass.
pub(crate) struct LoadedSet<'a> {
    samples: &'a [Sample],
    category: &'a str,
    transform: Arc<Transform>,
    loader: LoaderOptions,
    observer: &'a dyn Observer,
    /// What the latest pass left out.
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

    pub(crate) fn into_skipped(self) -> Vec<Skipped> {
        self.skipped.into_inner().unwrap_or_else(PoisonError::into_inner)
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
        let options = LoaderOptions { shuffle_seed, ..self.loader.clone() };
        let mut loader = Loader::new(self.samples, &self.transform, options);
        for batch in loader.by_ref() {
            if self.observer.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let batch = batch?;
            each(&batch.indices, &batch.images)?;
        }
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) = loader.skipped().to_vec();
        Ok(())
    }
}
