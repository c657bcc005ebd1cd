//! Good images of a dataset as the passes over batches that methods see.

use crate::error::Error;
use crate::method::{EachBatch, TrainingSet};
use crate::observer::Observer;
use blemish_data::{Loader, LoaderOptions, Sample, Skipped, Transform};
use std::sync::{Arc, Mutex, PoisonError};

/// What every set of training images, whole or in tiles, is streamed with.
#[derive(Clone)]
pub(crate) struct SetOptions<'a> {
    pub(crate) category: &'a str,
    pub(crate) loader: LoaderOptions,
    pub(crate) observer: &'a dyn Observer,
}

/// The training images of a dataset, streamed through the loader on every pass.
pub(crate) struct LoadedSet<'a> {
    samples: &'a [Sample],
    transform: Arc<Transform>,
    options: SetOptions<'a>,
    /// What the latest pass left out.
    skipped: Mutex<Vec<Skipped>>,
}

impl<'a> LoadedSet<'a> {
    pub(crate) fn new(samples: &'a [Sample], transform: &Arc<Transform>, options: SetOptions<'a>) -> Self {
        Self { samples, transform: transform.clone(), options, skipped: Mutex::default() }
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
        self.options.category
    }

    fn for_each_batch(&self, shuffle_seed: Option<u64>, each: &mut EachBatch<'_>) -> Result<(), Error> {
        let options = LoaderOptions { shuffle_seed, ..self.options.loader.clone() };
        let mut loader = Loader::new(self.samples, &self.transform, options);
        for batch in loader.by_ref() {
            if self.options.observer.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let batch = batch?;
            each(&batch.indices, &batch.images)?;
        }
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) = loader.skipped().to_vec();
        Ok(())
    }
}
