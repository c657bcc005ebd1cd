//! What a fit needs beside images, brought up from its configuration: the method, the backbones and the views.

use super::set::{Reading, ViewSet};
use crate::config::{DetectorConfig, FitOptions};
use blemish_core::entry::MethodEntry;
use blemish_core::error::Error;
use blemish_core::limits::CacheLimits;
use blemish_core::needs::{Backing, Needs};
use blemish_data::{Source, Transform};
use blemish_features::{Backbone, EngineOptions};
use blemish_foundation::clip::Clip;
use blemish_methods::registry;
use std::sync::Arc;

/// What is to be fitted.
pub(crate) struct Plan {
    pub(crate) entry: &'static dyn MethodEntry,
    pub(crate) needs: Needs,
    /// One, and those of an ensemble; none for a method that needs none.
    pub(crate) backbones: Vec<Arc<Backbone>>,
    /// For a method that needs one.
    pub(crate) image_text: Option<Arc<Clip>>,
    /// At least one: the largest input first, and for each the backbones in their order.
    pub(crate) views: Vec<PlannedView>,
}

/// A view that is to be fitted.
pub(crate) struct PlannedView {
    pub(crate) transform: Arc<Transform>,
    /// Its number among the fit's; 0 for a method without any.
    pub(crate) backbone: usize,
    /// What its progress begins with.
    pub(crate) name: String,
}

impl Plan {
    /// Looks the method up, settles transforms and views and loads the backbones.
    ///
    /// # Errors
    /// [`Error`]: unknown method or setting, missing weights, an impossible size, an ensemble or tiles that the method cannot have.
    pub(crate) fn new(config: &DetectorConfig, options: &FitOptions<'_>) -> Result<Self, Error> {
        Self::of(registry::method(&config.method)?, config, options)
    }

    /// The same for a method that may be in no list.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn of(
        entry: &'static dyn MethodEntry,
        config: &DetectorConfig,
        options: &FitOptions<'_>,
    ) -> Result<Self, Error> {
        config.calibration.check()?;
        let needs = entry.needs(&config.settings)?;
        if let Some(tiles) = &config.tiles {
            tiles.tiling.check()?;
            if needs.clip > 1 {
                let reason =
                    "it looks at frames before each image as well, so it takes whole images, not tiles";
                return Err(Error::Fit { method: entry.info().name, reason: reason.into() });
            }
        }
        if needs.clip > 1 && (config.input_sizes.len() > 1 || !config.ensemble.is_empty()) {
            let reason =
                "it looks at frames before each image as well, so it takes one input size and one backbone";
            return Err(Error::Fit { method: entry.info().name, reason: reason.into() });
        }
        let transform = match (&config.transform, &config.tiles) {
            (Some(transform), _) => transform.clone(),
            (None, Some(_)) => Transform::native(),
            (None, None) => match config.fixed_transform(needs)? {
                Some(transform) => transform,
                None => entry.default_transform(&config.settings)?,
            },
        };
        let backbones = load_backbones(entry, needs, config, &options.engine)?;
        let image_text = match (needs.backbone, &config.image_text) {
            (Backing::None | Backing::Maps(_), _) => None,
            (Backing::ImageText, Some(network)) => Some(network.clone()),
            (Backing::ImageText, None) => {
                let weights = config.backbone.weights.as_deref();
                Some(Arc::new(Clip::load(config.named_image_text()?, weights)?))
            }
        };
        let mut plan = Self { entry, needs, backbones, image_text, views: Vec::new() };
        let mut sides = config.input_sizes.clone();
        sides.sort_unstable_by(|a, b| b.cmp(a));
        sides.dedup();
        let sizes: Vec<(Option<String>, Transform)> = match sides.as_slice() {
            [] => vec![(None, transform)],
            [side] => vec![(None, transform.at_side(*side))],
            sides => {
                let named = |&side: &usize| (Some(format!("size {side}")), transform.at_side(side));
                sides.iter().map(named).collect()
            }
        };
        for (size, transform) in sizes {
            transform.check()?;
            let transform = Arc::new(transform);
            for backbone in 0..plan.backbones.len().max(1) {
                let network = (plan.backbones.len() > 1).then(|| plan.backbone_name(backbone));
                let parts: Vec<String> = network.into_iter().chain(size.clone()).collect();
                let name = if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(", ")) };
                plan.views.push(PlannedView { transform: transform.clone(), backbone, name });
            }
        }
        Ok(plan)
    }

    /// What to call a backbone among the others: its name, numbered where an earlier one has the same.
    fn backbone_name(&self, number: usize) -> String {
        let name = self.backbones[number].name();
        match self.backbones[..number].iter().filter(|earlier| earlier.name() == name).count() {
            0 => name.to_owned(),
            earlier => format!("{name} ({})", earlier + 1),
        }
    }

    /// The images of a source as each view sees them; `keeps` is for features that later fits will want again.
    ///
    /// # Errors
    /// Unreadable images unless they are to be skipped.
    pub(crate) fn sets<'a>(
        &self,
        source: &'a dyn Source,
        config: &DetectorConfig,
        options: &FitOptions<'a>,
        keeps: bool,
    ) -> Result<Vec<ViewSet<'a>>, Error> {
        let set = |view: &PlannedView| {
            let reading = Reading {
                transform: view.transform.clone(),
                backbone: self.backbones.get(view.backbone).cloned(),
                clip: self.needs.clip,
                batch_size: options.batch_size.max(1),
                skip_bad: options.skip_bad,
                observer: options.observer,
            };
            let set = match &config.tiles {
                None => ViewSet::whole(source, reading),
                Some(tiles) => ViewSet::tiled(source, reading, tiles, config.seed)?,
            };
            // The maps of clips would hold every frame several times.
            Ok(if keeps && self.needs.clip == 1 { set.keeping(self.limits(options)) } else { set })
        };
        self.views.iter().map(set).collect()
    }

    /// What the features of one view may take: all views together keep as much as one would.
    pub(crate) fn limits(&self, options: &FitOptions<'_>) -> CacheLimits {
        let CacheLimits { in_memory, largest, folder } =
            CacheLimits::new(options.memory_limit, options.scratch.clone());
        let views = self.views.len() as u64;
        CacheLimits { in_memory: in_memory / views, largest: largest / views, folder }
    }
}

/// The backbones that a configuration asks for: one, and those of its ensemble.
///
/// # Errors
/// [`Error::Fit`] for an ensemble of a method without a backbone, or one with the same member twice; [`Error::Features`].
fn load_backbones(
    entry: &dyn MethodEntry,
    needs: Needs,
    config: &DetectorConfig,
    engine: &EngineOptions,
) -> Result<Vec<Arc<Backbone>>, Error> {
    let refuse = |reason: String| Error::Fit { method: entry.info().name, reason };
    if !needs.has_maps() {
        let looks = match needs.backbone {
            Backing::ImageText => "it looks through one network of images and texts",
            Backing::None | Backing::Maps(_) => "it uses no backbone with these settings",
        };
        return match config.ensemble.is_empty() {
            true => Ok(Vec::new()),
            false => Err(refuse(format!(
                "{looks}, so there are none to make an ensemble of; leave the ensemble out"
            ))),
        };
    }
    let mut loaded: Vec<Arc<Backbone>> = Vec::new();
    for spec in std::iter::once(&config.backbone).chain(&config.ensemble) {
        let backbone = Backbone::load(spec, needs.strides(), engine)?;
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
