//! Fitting: a few passes over the good images.
//!
//! 1. Look: are they grey, and which is the reference for registration?
//! 2. Prepare, where a filter needs it: quantiles, textons, spectra (`prepare`).
//! 3. Learn: features into the model of normality (`normality`).
//! 4. Calibrate: maps of images that the passes before did not see (one in five, where there are ten or more) give every filter's
//!    usual value and usual worst value, so that filters can be compared and combined.
//!
//! Images of a batch are worked on side by side and taken in one after another, so neither threads nor batches matter.

use super::bank::Filter;
use super::config::{Align, ClassicalConfig, Colour, ModelChoice, NAME};
use super::expert::{Calibration, Detecting, Expert, Reference};
use super::learn::Builder;
use super::planes::{Planes, grey, is_grey};
use super::prepare::{self, Gathered};
use super::responses::{self, Features};
use super::tables::{TEXTON_RESPONSES, Tables};
use blemish_core::error::Error;
use blemish_core::method::{self, FitContext, TrainingSet};
use blemish_core::region::cells_inside;
use blemish_data::Mask;
use blemish_kernels::image::windows::Windows;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Images from which on one in [`FOLDS`] is held out for calibration.
const ENOUGH: usize = 10;
const FOLDS: usize = 5;

/// What an image is used for, in its random numbers too.
#[derive(Clone, Copy)]
enum Purpose {
    Prepare = 0,
    Learn = 1,
}

/// Fits every filter of the bank.
pub(super) fn fit(
    mut config: ClassicalConfig,
    filters: &[Filter],
    windows: Windows,
    train: &dyn TrainingSet,
    context: &FitContext<'_>,
) -> Result<Detecting, Error> {
    let models: Vec<ModelChoice> =
        filters.iter().map(|filter| filter.model(config.model)).collect::<Result<_, _>>()?;
    let reference = look(&mut config, filters, train, context)?;
    let pass = Pass { config: &config, reference: reference.as_ref(), train, context };
    let tables = prepare_all(&pass, filters)?;
    let mut builders: Vec<Builder> = models.iter().map(|&model| Builder::new(model)).collect();
    let learn = |image: usize, planes: &Planes, region: Option<&Mask>| {
        let each = filters.iter().zip(&tables).zip(&models).enumerate();
        each.map(|(index, ((&filter, tables), &model))| {
            let features = responses::features(filter, &config, windows, tables, planes)?;
            let inside = cells_inside(region, features.grid.0, features.grid.1);
            let mut random = pass.random(image, Purpose::Learn, index);
            Ok(Builder::thin(model, features, &inside, train.len(), &mut random))
        })
        .collect::<Result<Vec<Features>, Error>>()
    };
    pass.run("learning", Use::Learning, &learn, &mut |features| {
        builders.iter_mut().zip(features).try_for_each(|(builder, features)| builder.add(features))
    })?;
    context.observer.stage("choosing what to keep", None);
    let cancelled = || context.observer.is_cancelled();
    let parts = filters.iter().zip(tables.iter()).zip(builders).zip(&models);
    let experts = parts
        .map(|(((&filter, tables), builder), &model)| {
            let normality = builder.finish(filter, model, &config, context.seed, &cancelled)?;
            Ok(Expert { filter, tables: tables.clone(), normality, calibration: Calibration::NONE })
        })
        .collect::<Result<Vec<Expert>, Error>>()?;
    let mut detecting = Detecting { config: config.clone(), windows, reference: reference.clone(), experts };
    calibrate(&pass, &mut detecting)?;
    Ok(detecting)
}

/// Settles what the images decide: the colour planes, and the brightness of the first image for registration.
fn look(
    config: &mut ClassicalConfig,
    filters: &[Filter],
    train: &dyn TrainingSet,
    context: &FitContext<'_>,
) -> Result<Option<Reference>, Error> {
    let natural = filters.iter().map(|filter| filter.natural_align()).find(|align| *align != Align::None);
    let align = *config.align.get_or_insert(natural.unwrap_or(Align::None));
    context.observer.stage("looking at the images", Some(train.len() as u64));
    let (mut first, mut all_grey) = (None, true);
    train.for_each(method::Pass::IMAGES, &mut |input| {
        let batch = input.images()?;
        all_grey = all_grey && (0..batch.count).all(|at| is_grey(batch.image(at)));
        first.get_or_insert_with(|| Reference {
            size: (batch.height, batch.width),
            values: grey(batch.image(0)).into(),
        });
        context.observer.advance(batch.count as u64);
        Ok(())
    })?;
    let Some(first) = first else {
        return Err(Error::Fit { method: NAME, reason: "there are no training images".into() });
    };
    if config.colour == Colour::Auto {
        config.colour = if all_grey { Colour::Grey } else { Colour::Opponent };
    }
    Ok((align != Align::None).then_some(first))
}

/// What the filters learn before their features.
fn prepare_all(pass: &Pass<'_>, filters: &[Filter]) -> Result<Vec<Tables>, Error> {
    let needed: Vec<usize> = (0..filters.len()).filter(|&at| prepare::is_needed(filters[at])).collect();
    let mut tables = vec![Tables::new(); filters.len()];
    if needed.is_empty() {
        return Ok(tables);
    }
    let mut gathered: Vec<Option<Gathered>> = vec![None; filters.len()];
    let mut count = 0;
    let work = |image: usize, planes: &Planes, _: Option<&Mask>| {
        let gather = |&at: &usize| {
            let mut random = pass.random(image, Purpose::Prepare, at);
            prepare::gather(filters[at], pass.config, planes, pass.train.len(), &mut random)
        };
        Ok((planes.planes.len(), needed.iter().map(gather).collect::<Vec<Gathered>>()))
    };
    pass.run("preparing filters", Use::Learning, &work, &mut |(planes, found)| {
        count = planes;
        for (&at, found) in needed.iter().zip(found) {
            match &mut gathered[at] {
                Some(known) => known.absorb(found),
                none => *none = Some(found),
            }
        }
        Ok(())
    })?;
    for (at, gathered) in gathered.into_iter().enumerate() {
        if let Some(gathered) = gathered {
            let width = TEXTON_RESPONSES * count;
            tables[at] = prepare::settle(filters[at], gathered, width, pass.context.seed)?;
        }
    }
    Ok(tables)
}

/// Usual value and usual worst value of every filter's map.
fn calibrate(pass: &Pass<'_>, detecting: &mut Detecting) -> Result<(), Error> {
    let count = detecting.experts.len();
    let (mut means, mut worst, mut images) = (vec![0.0f64; count], vec![0.0f64; count], 0.0f64);
    let measure = |_: usize, planes: &Planes, region: Option<&Mask>| {
        let inside = region.map(|mask| mask.marked.as_slice());
        let each = detecting.experts.iter().map(|expert| {
            let map = detecting.expert_map(expert, planes)?;
            Ok(detecting.summary(&map, inside))
        });
        each.collect::<Result<Vec<(f32, f32)>, Error>>()
    };
    pass.run("calibrating", Use::Calibration, &measure, &mut |found| {
        images += 1.0;
        for (at, (mean, most)) in found.into_iter().enumerate() {
            means[at] += f64::from(mean);
            worst[at] += f64::from(most);
        }
        Ok(())
    })?;
    for (at, expert) in detecting.experts.iter_mut().enumerate() {
        let (mean, worst) = (means[at] / images, worst[at] / images);
        // Maps of images that all look the same may be flat: their scale is then of no account, but must not be 0.
        let spread = (worst - mean).max(1e-6 * worst.abs()).max(1e-12);
        expert.calibration = Calibration { usual: mean as f32, spread: spread as f32 };
    }
    Ok(())
}

/// Which images a pass takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Learning,
    Calibration,
}

/// A pass over the images.
struct Pass<'a> {
    config: &'a ClassicalConfig,
    reference: Option<&'a Reference>,
    train: &'a dyn TrainingSet,
    context: &'a FitContext<'a>,
}

/// What is done with an image on its own thread.
type Work<'a, T> = dyn Fn(usize, &Planes, Option<&Mask>) -> Result<T, Error> + Sync + 'a;

impl Pass<'_> {
    fn takes(&self, image: usize, what: Use) -> bool {
        let is_held_out = image % FOLDS == FOLDS - 1;
        self.train.len() < ENOUGH || is_held_out == (what == Use::Calibration)
    }

    /// The random numbers of an image, purpose and filter.
    fn random(&self, image: usize, purpose: Purpose, filter: usize) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.context.seed);
        random.set_stream((image as u64) << 8 | (filter as u64) << 1 | purpose as u64);
        random
    }

    /// Does `work` for every image that the pass takes, side by side, and calls `take` with the results in order.
    fn run<T: Send>(
        &self,
        stage: &str,
        what: Use,
        work: &Work<'_, T>,
        take: &mut dyn FnMut(T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.context.observer.stage(stage, Some(self.train.len() as u64));
        self.train.for_each(method::Pass::IMAGES, &mut |input| {
            let (indices, batch) = (input.indices, input.images()?);
            let size = (batch.height, batch.width);
            let wanted: Vec<usize> = (0..batch.count).filter(|&at| self.takes(indices[at], what)).collect();
            let done: Vec<Result<T, Error>> = wanted
                .into_par_iter()
                .map(|at| {
                    let planes =
                        super::expert::planes_of(self.config, self.reference, batch.image(at), size)?;
                    work(indices[at], &planes, batch.region_of_interest.as_deref())
                })
                .collect();
            self.context.observer.advance(batch.count as u64);
            done.into_iter().try_for_each(|result| take(result?))
        })
    }
}
