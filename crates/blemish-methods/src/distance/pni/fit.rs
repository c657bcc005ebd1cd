//! Fitting: two passes over the features, one greedy order, the two conditions.

use super::config::{NAME, PniConfig, Variant};
use super::grid::PatchGrid;
use super::model::{Neighbourhood, PatchModel, aggregation, projected, rows_of};
use super::neighbourhood::{Lessons, Neighbours, train};
use super::position::PositionHistogram;
use crate::shared::bank::{BankOptions, Collected, Collector, FirstPick, Projected, Search};
use crate::shared::embedding::embed;
use crate::shared::kept::{Kept, Planes};
use crate::shared::trainer::Trainer;
use blemish_core::error::Error;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_core::region::cells_inside;
use blemish_core::state::Shared;
use blemish_data::loader::order_of;
use blemish_features::Backbone;
use blemish_kernels::bits::BitRows;
use blemish_kernels::knn::MemoryBank;
use blemish_kernels::principal::{principal_directions, project};

/// Rows whose nearest entries are looked up at once: bounds memory.
const SEARCHED_AT_ONCE: usize = 1 << 15;

/// Rows by which projections are scaled.
const SAMPLE: usize = 4096;

/// The features of the good images' inner cells, and where each lies.
struct Patches {
    collected: Collected,
    /// Image times cells plus cell of each row.
    positions: Vec<usize>,
    grid: PatchGrid,
    /// Settings with every choice filled in.
    config: PniConfig,
    /// Checksum of the features.
    digest: u32,
}

fn options(config: &PniConfig) -> BankOptions {
    BankOptions {
        method: NAME,
        ratio: config.coreset_ratio(),
        min: 1,
        max: config.coreset_max,
        shards: 1,
        is_updatable: false,
        projection: Projected::WithinDistortion,
        start: FirstPick::Random,
        search: Search::Exact,
    }
}

fn fail(reason: String) -> Error {
    Error::Fit { method: NAME, reason }
}

fn kernel_error(error: blemish_kernels::KernelError) -> Error {
    fail(error.to_string())
}

/// The first pass: features of the inner cells.
fn collect(config: &PniConfig, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Patches, Error> {
    let options = options(config);
    let mut collector = Collector::new(&options, context);
    let mut known: Option<(PatchGrid, PniConfig)> = None;
    let mut positions = Vec::new();
    // Images that cannot be read are left out, so that numbers of images have gaps.
    let mut seen = 0;
    context.observer.stage("extracting features", Some(train.len() as u64));
    train.for_each(Pass::MAPS, &mut |input| {
        let batch = input.maps()?;
        let channels = batch.maps.iter().map(|map| map.channels).sum();
        let settled = config.settled(channels, (batch.height, batch.width));
        let embedding = embed(aggregation(&settled, settled.dimensions()), &batch.maps, batch.count);
        let grid = PatchGrid { height: embedding.height, width: embedding.width, rim: config.rim() };
        let (expected, _) = known.get_or_insert((grid, settled));
        if *expected != grid {
            let reason = "the images give grids of different sizes, but PNI learns what belongs at each position; resize all images \
                          to one size";
            return Err(fail(reason.into()));
        }
        if grid.height.min(grid.width) <= 2 * grid.rim {
            let reason = format!(
                "a grid of {} x {} patches has no cell inside a rim of {}; use larger images or a smaller `patch_size`",
                grid.height, grid.width, grid.rim
            );
            return Err(fail(reason));
        }
        let inside = cells_inside(batch.region_of_interest.as_deref(), grid.height, grid.width);
        let inner: Vec<usize> = grid.inner().into_iter().filter(|&cell| inside[cell]).collect();
        for index in 0..batch.count {
            let rows = rows_of(&embedding.rows, embedding.dimensions, index * grid.cells(), &inner);
            collector.push(&rows, embedding.dimensions, train.len() * inner.len())?;
            positions.extend(inner.iter().map(|cell| seen * grid.cells() + cell));
            seen += 1;
        }
        context.observer.advance(batch.count as u64);
        Ok(())
    })?;
    let collected = collector.finish()?;
    let Some((grid, config)) = known else { return Err(fail("there are no training images".into())) };
    if positions.len() < 2 {
        return Err(fail("the region of interest leaves fewer than two patches; make it larger".into()));
    }
    let digest = crc32fast::hash(bytemuck::cast_slice(collected.rows()));
    Ok(Patches { collected, positions, grid, config, digest })
}

/// The second pass: features of all cells in the dimensions that the network sees, images x cells x dimensions.
fn neighbours(
    patches: &Patches,
    projection: Option<&[f32]>,
    train: &dyn TrainingSet,
    context: &FitContext<'_>,
) -> Result<Kept, Error> {
    let dimensions = patches.config.dimensions();
    let width = projection.map_or(dimensions, |projection| projection.len() / dimensions);
    Kept::collect(NAME, train, Pass::MAPS, context, "looking at neighbourhoods", |input| {
        let batch = input.maps()?;
        let embedding = embed(aggregation(&patches.config, dimensions), &batch.maps, batch.count);
        let rows = projected(embedding.rows, dimensions, projection);
        Ok(vec![Planes::of_vectors(rows, patches.grid.cells() * width)])
    })
}

/// The nearest entry of every row.
fn nearest(bank: &MemoryBank<Shared<f32>>, rows: &[f32]) -> Result<Vec<u32>, Error> {
    let mut found = Vec::with_capacity(rows.len() / bank.dimensions());
    for rows in rows.chunks(SEARCHED_AT_ONCE * bank.dimensions()) {
        let indices = bank.search(rows, 1).map_err(kernel_error)?.indices;
        found.extend(indices.into_iter().map(|index| index as u32));
    }
    Ok(found)
}

/// Sizes of the embedding and the distribution coreset for so many patches.
pub(super) fn sizes(config: &PniConfig, patches: usize) -> (usize, usize) {
    let embedding = ((patches as f64 * config.coreset_ratio()) as usize).min(config.coreset_max);
    (embedding.max(1), config.distribution_size().min(patches))
}

/// Both coresets: prefixes of one greedy order.
fn coresets(patches: &Patches, context: &FitContext<'_>) -> Result<[Vec<f32>; 2], Error> {
    let (embedding, distribution) = sizes(&patches.config, patches.positions.len());
    // The released code starts from a random patch that it does not keep.
    let skipped = usize::from(patches.config.variant == Variant::Released && patches.positions.len() > 1);
    let count = (embedding.max(distribution) + skipped).min(patches.positions.len());
    let order = patches.collected.order(&options(&patches.config), count, context)?;
    let order = &order[skipped.min(order.len() - 1)..];
    let dimensions = patches.config.dimensions();
    let rows =
        |count: usize| rows_of(patches.collected.rows(), dimensions, 0, &order[..count.min(order.len())]);
    Ok([rows(embedding), rows(distribution)])
}

/// p(c | x) of the bank's first entries as gates of the inner cells for all of them.
fn position_gate(patches: &Patches, bank: &MemoryBank<Shared<f32>>) -> Result<BitRows, Error> {
    let PniConfig { half_window, .. } = patches.config;
    let learnt = learnt_positions(&patches.config, patches.positions.len(), bank.len());
    let first = bank.rows()[..learnt * bank.dimensions()].to_vec();
    let first = MemoryBank::new(Shared::from(first), bank.dimensions()).map_err(kernel_error)?;
    let mut histogram = PositionHistogram::new(patches.grid, half_window, learnt);
    let nearest_first = nearest(&first, patches.collected.rows())?;
    for (&position, &entry) in patches.positions.iter().zip(&nearest_first) {
        histogram.count(position % patches.grid.cells(), entry as usize);
    }
    let stands_for = nearest(&first, bank.rows())?;
    Ok(histogram.gate(&patches.grid.inner(), &stands_for, patches.config.threshold(learnt)))
}

/// Entries at the front of a bank of `entries` whose positions are learnt, for so many patches.
pub(super) fn learnt_positions(config: &PniConfig, patches: usize, entries: usize) -> usize {
    ((patches as f64 * config.position_ratio) as usize).clamp(1, entries)
}

/// Directions that the neighbours' features are projected on, scaled so that the projections have a mean square of 1; `None` for all
/// dimensions as they are.
fn projection(patches: &Patches) -> Result<Option<Vec<f32>>, Error> {
    let (dimensions, to) = (patches.config.dimensions(), patches.config.neighbour_dimensions());
    if to == 0 || to >= dimensions {
        return Ok(None);
    }
    let rows = patches.collected.rows();
    let mut directions = principal_directions(rows, dimensions, to).map_err(kernel_error)?;
    let sample = &rows[..rows.len().min(SAMPLE * dimensions)];
    let squares: f64 =
        project(sample, dimensions, &directions).iter().map(|&value| f64::from(value).powi(2)).sum();
    let scale = (squares / (sample.len() / dimensions * to) as f64).sqrt().max(1e-6).recip() as f32;
    directions.iter_mut().for_each(|value| *value *= scale);
    Ok(Some(directions))
}

/// Rows of images that are trained on, and of those that the best epoch is chosen on: whole images, since neighbouring cells share most of
/// what they see.
fn split(patches: &Patches, targets: &[u32], seed: u64) -> [Vec<(usize, u32)>; 2] {
    let image_of = |position: usize| position / patches.grid.cells();
    let images = patches.positions.last().map_or(0, |&last| image_of(last) + 1);
    let share = images as f64 * patches.config.validation;
    let held_out = if share > 0.0 && images > 1 { (share.round() as usize).clamp(1, images - 1) } else { 0 };
    let mut is_held_out = vec![false; images];
    order_of(images, Some(seed)).into_iter().take(held_out).for_each(|image| is_held_out[image] = true);
    let lessons = patches.positions.iter().copied().zip(targets.iter().copied());
    let (validation, train) = lessons.partition(|&(position, _)| is_held_out[image_of(position)]);
    [train, validation]
}

/// p(c | N), trained.
fn neighbourhood(
    patches: &Patches,
    bank: &MemoryBank<Shared<f32>>,
    distribution: Vec<f32>,
    surroundings: Surroundings<'_>,
    trainer: &Trainer<'_>,
) -> Result<Neighbourhood, Error> {
    let Surroundings { images, context, .. } = surroundings;
    let config = &patches.config;
    let distribution = MemoryBank::new(distribution.into(), config.dimensions()).map_err(kernel_error)?;
    let targets = nearest(&distribution, patches.collected.rows())?;
    let projection = projection(patches)?;
    let values = neighbours(patches, projection.as_deref(), images, context)?;
    let dimensions = projection.as_ref().map_or(config.dimensions(), |p| p.len() / config.dimensions());
    let [train_on, validation] = split(patches, &targets, context.seed);
    let lessons = Lessons {
        neighbours: Neighbours {
            values: values.layer(0),
            dimensions,
            grid: patches.grid,
            half_window: config.half_window,
            variant: config.variant,
        },
        train: train_on,
        validation,
        entries: distribution.len(),
    };
    let (network, curve) = train(config, &lessons, trainer, context.seed)?;
    Ok(Neighbourhood {
        projection,
        network,
        curve,
        stands_for: nearest(&distribution, bank.rows())?,
        entries: distribution.len(),
        distribution: (config.variant == Variant::Released).then_some(distribution),
    })
}

/// What a fit looks at and is surrounded by.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) backbone: &'a Backbone,
    pub(super) images: &'a dyn TrainingSet,
    pub(super) context: &'a FitContext<'a>,
}

/// Fits everything but the refinement. Returns the settings with every choice filled in, and what trains the networks of this fit, too.
pub(super) fn fit<'a>(
    config: &PniConfig,
    surroundings: Surroundings<'a>,
) -> Result<(PniConfig, PatchModel, Trainer<'a>), Error> {
    let Surroundings { images, context, .. } = surroundings;
    let patches = collect(config, images, context)?;
    let networks = usize::from(config.neighbourhood) + usize::from(config.refinement);
    let trainer = Trainer::new(NAME, &patches.config, patches.digest, networks.max(1), context)?;
    let trainer = trainer.beside(config.preset.other(), config.other_work());
    let [embedding, distribution] = coresets(&patches, context)?;
    let bank = MemoryBank::new(embedding.into(), patches.config.dimensions()).map_err(kernel_error)?;
    context.check_cancelled()?;
    let position = match config.position {
        true => Some(position_gate(&patches, &bank)?),
        false => None,
    };
    context.check_cancelled()?;
    let neighbourhood = match config.neighbourhood {
        true => Some(neighbourhood(&patches, &bank, distribution, surroundings, &trainer)?),
        false => None,
    };
    let model = PatchModel { grid: patches.grid, bank, position, neighbourhood };
    Ok((patches.config, model, trainer))
}
