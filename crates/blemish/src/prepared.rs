//! What a fit needs beside images, brought up from its configuration.

use crate::calibrate::Fits;
use crate::detector::{DetectorConfig, FitOptions};
use crate::feature_cache::CachingSet;
use crate::training::LoadedSet;
use blemish_core::entry::MethodEntry;
use blemish_core::error::Error;
use blemish_core::limits::CacheLimits;
use blemish_core::method::{FitContext, MethodInfo};
use blemish_data::{Dataset, Transform};
use blemish_features::{Backbone, EngineOptions};
use blemish_methods::registry;
use std::sync::Arc;

/// Method, transform and backbones of a fit.
pub(crate) struct Prepared {
    pub(crate) entry: &'static dyn MethodEntry,
    pub(crate) transform: Arc<Transform>,
    /// One, and those of an ensemble; none for a method that needs none.
    pub(crate) backbones: Vec<Arc<Backbone>>,
}

impl Prepared {
    /// Looks the method up, settles the transform and loads the backbones.
    ///
    /// # Errors
    /// [`Error`]: unknown method or setting, missing weights, an ensemble that makes no sense.
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
        let backbones = load_backbones(entry.info(), config, &options.engine)?;
        Ok(Self { entry, transform: Arc::new(transform), backbones })
    }

    /// What to call a backbone among the others: its name, numbered where an earlier one has the same.
    pub(crate) fn backbone_name(&self, number: usize) -> String {
        let name = self.backbones[number].name();
        match self.backbones[..number].iter().filter(|earlier| earlier.name() == name).count() {
            0 => name.to_owned(),
            earlier => format!("{name} ({})", earlier + 1),
        }
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
            ..options.context(config.seed, self.backbones.first().cloned())
        };
        let fits = Fits { entry: self.entry, settings: &config.settings, context: &context };
        work(&fits, &CachingSet::new(&loaded, limits))
    }
}

/// The backbones that a configuration asks for: one, and those of its ensemble.
///
/// # Errors
/// [`Error::Fit`] for an ensemble of a method without a backbone, or one with the same member twice; [`Error::Features`].
fn load_backbones(
    method: &MethodInfo,
    config: &DetectorConfig,
    engine: &EngineOptions,
) -> Result<Vec<Arc<Backbone>>, Error> {
    let refuse = |reason: String| Error::Fit { method: method.name, reason };
    if method.needs.strides.is_empty() {
        return match config.ensemble.is_empty() {
            true => Ok(Vec::new()),
            false => Err(refuse(
                "it uses no backbone, so there are none to make an ensemble of; leave --ensemble out".into(),
            )),
        };
    }
    let mut loaded: Vec<Arc<Backbone>> = Vec::new();
    for spec in std::iter::once(&config.backbone).chain(&config.ensemble) {
        let backbone = Backbone::load(spec, method.needs.strides, engine)?;
        if loaded.iter().any(|other| other.digest() == backbone.digest()) {
            return Err(refuse(format!(
                "{} with the same weights and layers is in the ensemble twice and would only count double; name backbones that differ",
                backbone.name()
            )));
        }
        loaded.push(Arc::new(backbone));
    }
    Ok(loaded)
}
