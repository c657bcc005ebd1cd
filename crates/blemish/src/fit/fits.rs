//! Fits of one configuration on any of the images of a source; all share the features that the first pass keeps.

use super::folds::Units;
use super::groups::{Reading, group};
use crate::config::{DetectorConfig, FitOptions, TileModels};
use crate::looks::Watched;
use crate::view::{
    Outcome, Plan, PlannedView, Sizes, TilesHeader, View, ViewSet, Work, score_source, seen_tiles,
};
use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::map::Scored;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_core::observer::{Named, Observer};
use blemish_core::training::TrainingOptions;
use blemish_data::{DecodedImages, Skipped, Source, Subset};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Takes the outcome of every image that is scored, by its index in the source.
pub(crate) type EachScored<'a> = dyn FnMut(usize, Scored) + 'a;

/// Fits of one configuration.
pub(crate) struct Fits<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) config: &'a DetectorConfig,
    pub(crate) source: &'a Watched<'a>,
    pub(crate) options: &'a FitOptions<'a>,
    /// Whether features are kept, since further fits follow.
    keeps: bool,
    /// The images as each view sees them.
    sets: Vec<ViewSet<'a>>,
    /// For each view the tiles of each place, where places have models of their own; `None` where no image shows anything.
    places: Vec<Places<'a>>,
    /// What was left out by a look that no set has made.
    skipped: Mutex<BTreeMap<usize, Skipped>>,
}

/// The sets of the places of a view's tiles, and the size of its images.
struct Places<'a> {
    sets: Vec<Option<ViewSet<'a>>>,
    image: Option<(usize, usize)>,
}

/// What a fit is run for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The model that is kept: it has the checkpoints.
    Model,
    /// A model that scores a fold.
    Fold,
}

impl<'a> Fits<'a> {
    /// `keeps` is for configurations that are fitted more than once.
    ///
    /// # Errors
    /// Unreadable images unless they are to be skipped; [`Error::Data`] if tiles of images of different sizes would need models of their
    /// own.
    pub(crate) fn new(
        plan: &'a Plan,
        config: &'a DetectorConfig,
        source: &'a Watched<'a>,
        options: &'a FitOptions<'a>,
        keeps: bool,
    ) -> Result<Self, Error> {
        let keeps = keeps && !plan.needs.trains_long();
        let sets = plan.sets(source, config, options, keeps)?;
        let places = Self::places(plan, config, options, &sets, keeps)?;
        Ok(Self { plan, config, source, options, keeps, sets, places, skipped: Mutex::default() })
    }

    fn places(
        plan: &Plan,
        config: &DetectorConfig,
        options: &FitOptions<'_>,
        sets: &[ViewSet<'a>],
        keeps: bool,
    ) -> Result<Vec<Places<'a>>, Error> {
        let Some(tiles) = config.tiles.as_ref().filter(|tiles| tiles.models == TileModels::Each) else {
            return Ok(Vec::new());
        };
        let of_view = |(view, set): (&PlannedView, &ViewSet<'a>)| {
            let sizes = set.common_size()?;
            // Without images the method itself says so.
            let one_tile = (tiles.tiling.height, tiles.tiling.width);
            let known = sizes.unwrap_or(Sizes { original: one_tile, transformed: one_tile });
            let seen = seen_tiles(&view.transform, &tiles.tiling, known)?;
            let mut limits = plan.limits(options);
            limits.in_memory /= seen.len() as u64;
            limits.largest /= seen.len() as u64;
            let of_place = |(tile, is_seen): (usize, &bool)| {
                let only = is_seen.then(|| set.only(tile))?;
                Some(if keeps { only.keeping(limits.clone()) } else { only })
            };
            let sets = seen.iter().enumerate().map(of_place).collect();
            Ok(Places { sets, image: sizes.map(|sizes| sizes.transformed) })
        };
        plan.views.iter().zip(sets).map(of_view).collect()
    }

    /// Fits every view on images of the source; `None` is all of them.
    ///
    /// # Errors
    /// As [`crate::Detector::fit`].
    pub(crate) fn fit(
        &self,
        images: Option<&[usize]>,
        purpose: Purpose,
        observer: &dyn Observer,
    ) -> Result<Vec<View>, Error> {
        // A model that is fitted once draws its tiles by their number among its own images.
        if let Some(images) = images.filter(|_| !self.keeps) {
            let subset = Subset::new(self.source, images.to_vec());
            let sets = self.plan.sets(&subset, self.config, self.options, false)?;
            let places = Fits::places(self.plan, self.config, self.options, &sets, false)?;
            let views = self.fit_on(&sets, &places, &subset, None, purpose, observer)?;
            self.note(sets.iter().flat_map(|set| set.skipped()).map(|(at, one)| (images[at], one)));
            return Ok(views);
        }
        self.fit_on(&self.sets, &self.places, self.source, images, purpose, observer)
    }

    fn fit_on(
        &self,
        sets: &[ViewSet<'_>],
        places: &[Places<'_>],
        source: &dyn Source,
        images: Option<&[usize]>,
        purpose: Purpose,
        observer: &dyn Observer,
    ) -> Result<Vec<View>, Error> {
        let begun = Cell::new(0);
        let mut views = Vec::with_capacity(sets.len());
        for (number, (planned, set)) in self.plan.views.iter().zip(sets).enumerate() {
            let named = Named { name: planned.name.clone(), inner: observer };
            let backbone = self.plan.backbones.get(planned.backbone).cloned();
            let model = |set: &ViewSet<'_>, observer: &dyn Observer| -> Result<Box<dyn Fitted>, Error> {
                let begun = begun.replace(begun.get() + 1);
                let training = self.training(begun, purpose);
                let context = self.options.context(self.config.seed, backbone.clone());
                let memory_limit = self.memory_limit();
                let image_text = self.plan.image_text.clone();
                let context = FitContext { observer, training, memory_limit, image_text, ..context };
                let part = match images {
                    None => set.all(),
                    Some(images) => set.part(images.to_vec()),
                };
                self.plan.entry.fit(&self.config.settings, &part, &context)
            };
            let (header, models) = match (&self.config.tiles, places.get(number)) {
                (None, _) => (None, vec![Some(model(set, &named)?)]),
                (Some(tiles), None) => {
                    let header = TilesHeader { tiling: tiles.tiling, models: tiles.models, image: None };
                    (Some(header), vec![Some(model(set, &named)?)])
                }
                (Some(tiles), Some(places)) => {
                    let count = places.sets.len();
                    let mut models = Vec::with_capacity(count);
                    for (tile, place) in places.sets.iter().enumerate() {
                        let name = format!("tile {} of {count}: ", tile + 1);
                        let named = Named { name, inner: &named };
                        models.push(place.as_ref().map(|place| model(place, &named)).transpose()?);
                    }
                    let image = places.image;
                    (Some(TilesHeader { tiling: tiles.tiling, models: tiles.models, image }), models)
                }
            };
            let mut view = View::new(planned, backbone.clone(), header, models);
            let is_alone = sets.len() == 1 && self.config.tiles.is_none();
            if !is_alone && view.models().any(|model| model.session().is_some()) {
                let reason = "its scores depend on the frames before, so it takes whole images at one size through one backbone";
                return Err(Error::Fit { method: self.plan.entry.info().name, reason: reason.into() });
            }
            if sets.len() > 1 {
                let work = Work { batch_size: self.options.batch_size, observer: &named };
                match images {
                    None => view.measure(source, work)?,
                    Some(images) => view.measure(&Subset::new(source, images.to_vec()), work)?,
                }
            }
            views.push(view);
        }
        Ok(views)
    }

    /// How the model of that number is trained: of several, each has checkpoints of its own.
    fn training(&self, number: usize, purpose: Purpose) -> TrainingOptions {
        let training = &self.options.training;
        let has_one = self.plan.views.len() == 1 && self.places.is_empty();
        match purpose {
            // A checkpoint is of the model's own training.
            Purpose::Fold => TrainingOptions { checkpoint: None, resume: false, ..training.clone() },
            Purpose::Model if has_one => training.clone(),
            Purpose::Model => training.of_model(number),
        }
    }

    /// What the kept features may take is not there for the method.
    fn memory_limit(&self) -> Option<u64> {
        let limits = self.plan.limits(self.options);
        let kept = if self.keeps { limits.in_memory * self.sets.len() as u64 } else { 0 };
        self.options.memory_limit.map(|limit| limit - kept.min(limit))
    }

    /// Scores images with views, from kept features where that is all the method reads.
    ///
    /// # Errors
    /// As scoring; what reading the images returns.
    pub(crate) fn score(
        &self,
        views: &[View],
        images: &[usize],
        each: &mut EachScored<'_>,
    ) -> Result<(), Error> {
        let work = Work { batch_size: self.options.batch_size, observer: self.options.observer };
        let mut tell = |outcome: Outcome| {
            each(outcome.index, outcome.scored);
            Ok(())
        };
        score_source(views, &self.sets, images, false, work, &mut tell).map(drop)
    }

    /// The set of the only view of whole images, whose features are then kept; `None` for everything else.
    pub(crate) fn only_set(&self) -> Option<&ViewSet<'a>> {
        match self.sets.as_slice() {
            [set] if self.config.tiles.is_none() => Some(set),
            _ => None,
        }
    }

    /// Finds out which images can be read, and keeps their features where further fits will want them.
    ///
    /// # Errors
    /// What reading them returns; [`Error::Features`].
    pub(crate) fn usable(&self) -> Result<Vec<usize>, Error> {
        let observer = self.options.observer;
        if !self.plan.needs.reads.images() && self.places.is_empty() {
            for set in &self.sets {
                observer.stage("extracting features", Some(set.all().len() as u64));
                set.all().for_each(Pass::MAPS, &mut |input| {
                    observer.advance(input.count() as u64);
                    Ok(())
                })?;
            }
        } else if self.options.skip_bad {
            let all = (0..self.source.len()).collect();
            let transform = &self.plan.views[0].transform;
            let mut images = DecodedImages::over(self.source, all, transform, true, false);
            for image in images.by_ref() {
                image?;
            }
            self.note(images.left_out().iter().copied().zip(images.skipped().iter().cloned()));
        }
        Ok(self.without_skipped(&(0..self.source.len()).collect::<Vec<_>>()))
    }

    /// Which of these images belong together.
    ///
    /// # Errors
    /// As [`group`].
    pub(crate) fn units(&self, images: &[usize]) -> Result<Units, Error> {
        let options = self.plan.views[0].transform.read_options();
        let FitOptions { skip_bad, observer, .. } = *self.options;
        group(
            self.source,
            images,
            &self.config.calibration.groups,
            Reading { options: &options, skip_bad, observer },
        )
    }

    fn note(&self, skipped: impl Iterator<Item = (usize, Skipped)>) {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).extend(skipped);
    }

    fn left_out(&self) -> BTreeMap<usize, Skipped> {
        let mut all = self.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let places = self.places.iter().flat_map(|places| places.sets.iter().flatten());
        for set in self.sets.iter().chain(places) {
            all.extend(set.skipped());
        }
        all
    }

    /// What was left out so far, in the order of the images.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        let mut skipped: Vec<Skipped> = self.left_out().into_values().collect();
        skipped.sort_by(|one, other| one.path.cmp(&other.path));
        skipped
    }

    /// The images that no pass has left out.
    pub(crate) fn without_skipped(&self, images: &[usize]) -> Vec<usize> {
        let left_out = self.left_out();
        images.iter().copied().filter(|image| !left_out.contains_key(image)).collect()
    }

    /// Why features are not kept for the folds, if a whole pass could not keep them.
    pub(crate) fn declined(&self) -> Option<String> {
        let places = self.places.iter().flat_map(|places| places.sets.iter().flatten());
        self.sets.iter().chain(places).find_map(ViewSet::declined)
    }
}
