//! What a fit needs beside images, brought up from its configuration.

use crate::calibrate::Fits;
use crate::detector::{DetectorConfig, FitOptions};
use crate::error::Error;
use crate::feature_cache::{CacheLimits, CachingSet};
use crate::method::{FitContext, MethodEntry};
use crate::registry;
use crate::training::LoadedSet;
use blemish_data::{Dataset, Transform};
use blemish_features::Backbone;
use std::sync::Arc;

/// Method, transform and backbone of a fit.
pub(crate) struct Prepared {
    pub(crate) entry: &'static dyn MethodEntry,
    pub(crate) transform: Arc<Transform>,
    pub(crate) backbone: Option<Arc<Backbone>>,
}

impl Prepared {
    /// Looks the method up, settles the transform and loads the backbone.
    ///
    /// # Errors
    /// [`Error`]: unknown method or setting, missing weights.
    pub(crate) fn new(config: &DetectorConfig, options: &FitOptions<'_>) -> Result<Self, Error> {
        config.calibration.check()?;
        let entry = registry::method(&config.method)?;
        let transform = match &config.transform {
            Some(transform) => transform.clone(),
            None => config.default_transform()?,
        };
        // More than one are views of their own.
        let transform = match config.input_sizes.as_slice() {
            &[side] => transform.at_side(side),
            _ => transform,
        };
        let strides = entry.info().needs.strides;
        let backbone = match strides.is_empty() {
            true => None,
            false => Some(Arc::new(Backbone::load(&config.backbone, strides, &options.engine)?)),
        };
        Ok(Self { entry, transform: Arc::new(transform), backbone })
    }

    /// Runs fits on the training images of a dataset, which share one cache of features.
    pub(crate) fn with_fits<T>(
        &self,
        config: &DetectorConfig,
        dataset: &Dataset,
        options: &FitOptions<'_>,
        work: impl FnOnce(&Fits<'_>, &CachingSet<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let loaded = LoadedSet::new(dataset, &self.transform, options);
        let limits = CacheLimits::new(options.memory_limit, options.scratch.clone());
        let context = FitContext {
            // What the cache may take is not there for the method.
            memory_limit: options.memory_limit.map(|limit| limit - limits.in_memory.min(limit)),
            ..options.context(config.seed, self.backbone.clone())
        };
        let fits = Fits { entry: self.entry, settings: &config.settings, context: &context };
        work(&fits, &CachingSet::new(&loaded, limits))
    }
}
