//! Fitting: collecting the patches of the good images and choosing the coreset among them.

use super::NAME;
use super::bank::PatchBank;
use super::config::{PatchCoreConfig, Variant};
use super::coverage::{Coverage, Part, measured_radius, picks};
use super::embedding::{Embedding, embed};
use crate::error::Error;
use crate::method::{FitContext, TrainingSet};
use crate::region::cells_inside;
use crate::rows::{RowStore, Rows};
use blemish_features::Backbone;
use blemish_kernels::k_centre::{self, Coreset, KCentreOptions, Start};
use blemish_kernels::projection::{Projection, safe_dimensions};
use blemish_kernels::simd::squared_distance;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;

/// Distortion that anomalib grants its random projection.
const DISTORTION: f64 = 0.9;

/// Rows to choose a bank from, and what they stand for.
pub(super) struct Collected {
    features: Rows,
    dimensions: usize,
    /// Projected features; `None` where the coreset is chosen among the features themselves.
    projected: Option<(Vec<f32>, usize)>,
    /// Whom the rows come from, in their order.
    parts: Vec<Part>,
    /// Patches that the rows stand for.
    patches: u64,
}

/// Takes rows in, keeping each and its projection.
struct Collector<'a> {
    config: &'a PatchCoreConfig,
    context: &'a FitContext<'a>,
    dimensions: usize,
    store: Option<RowStore>,
    projection: Option<Projection>,
    projected: Vec<f32>,
    rows: usize,
}

impl<'a> Collector<'a> {
    fn new(config: &'a PatchCoreConfig, context: &'a FitContext<'a>) -> Self {
        let (store, projection) = (None, None);
        Self { config, context, dimensions: 0, store, projection, projected: Vec::new(), rows: 0 }
    }

    /// Adds rows of `length` values; the first ones settle the projection, for about `expected` rows.
    fn push(&mut self, rows: &[f32], length: usize, expected: usize) -> Result<(), Error> {
        if self.store.is_none() {
            self.projection = make_projection(self.config, length, expected, self.context.seed)?;
            self.dimensions = length;
        }
        // The projected rows stay in memory throughout; features take what else the limit leaves.
        let store = self.store.get_or_insert_with(|| {
            let limit = self.context.memory_limit.map(|limit| limit / 2);
            RowStore::new(length, limit, self.context.scratch.as_deref())
        });
        if length != self.dimensions {
            let reason = format!("features have {length} values, those before had {}", self.dimensions);
            return Err(Error::Fit { method: NAME, reason });
        }
        if let Some(projection) = &self.projection {
            self.projected.extend(projection.apply(rows).map_err(fit_error)?);
        }
        self.rows += rows.len() / length.max(1);
        store.push(rows)
    }

    fn finish(self, parts: Vec<Part>, patches: u64) -> Result<Collected, Error> {
        let Some(store) = self.store else {
            return Err(Error::Fit { method: NAME, reason: "there are no training images".into() });
        };
        let projected = self.projection.map(|projection| (self.projected, projection.to()));
        Ok(Collected { features: store.finish()?, dimensions: self.dimensions, projected, parts, patches })
    }
}

/// Streams good images through the backbone once, keeping every patch feature; what a bank has learnt `before` comes first.
pub(super) fn collect(
    config: &PatchCoreConfig,
    backbone: &Backbone,
    train: &dyn TrainingSet,
    before: Option<&PatchBank>,
    context: &FitContext<'_>,
) -> Result<Collected, Error> {
    let mut collector = Collector::new(config, context);
    let (mut parts, mut patches) = (Vec::new(), 0);
    if let Some(bank) = before {
        let coverage = bank.living("update")?;
        patches = coverage.patches;
        parts.push(push_bank(&mut collector, bank, coverage, coverage.patches)?);
    }
    let known = collector.rows;
    context.observer.stage("extracting features", Some(train.len() as u64));
    train.for_each_features(backbone, None, &mut |_, batch| {
        let embedding = embed(config, &batch.maps, batch.count);
        let cells = embedding.height * embedding.width;
        let inside = cells_inside(batch.region_of_interest.as_deref(), embedding.height, embedding.width);
        let dimensions = embedding.dimensions;
        let rows = if inside.contains(&false) { keep_inside(&embedding, &inside) } else { embedding.rows };
        collector.push(&rows, dimensions, train.len() * cells)?;
        context.observer.advance(batch.count as u64);
        Ok(())
    })?;
    let new = collector.rows - known;
    parts.push(Part { rows: new, radius: Some(0.0) });
    collector.finish(parts, patches + new as u64)
}

/// The picks of several banks, one after another.
pub(super) fn join(
    config: &PatchCoreConfig,
    banks: &[&PatchBank],
    context: &FitContext<'_>,
) -> Result<Collected, Error> {
    let coverages = banks.iter().map(|bank| bank.living("merge")).collect::<Result<Vec<_>, _>>()?;
    let patches = coverages.iter().map(|coverage| coverage.patches).sum();
    let mut collector = Collector::new(config, context);
    let parts = banks
        .iter()
        .zip(coverages)
        .map(|(bank, coverage)| push_bank(&mut collector, bank, coverage, patches))
        .collect::<Result<_, _>>()?;
    collector.finish(parts, patches)
}

fn push_bank(
    collector: &mut Collector<'_>,
    bank: &PatchBank,
    coverage: &Coverage,
    patches: u64,
) -> Result<Part, Error> {
    let before = collector.rows;
    for rows in [bank.entries(), &coverage.reserve] {
        collector.push(rows, bank.dimensions(), patches as usize)?;
    }
    Ok(Part { rows: collector.rows - before, radius: coverage.reserve_radius })
}

fn keep_inside(embedding: &Embedding, inside: &[bool]) -> Vec<f32> {
    let rows = embedding.rows.chunks_exact(embedding.dimensions).zip(inside.iter().cycle());
    rows.filter(|(_, is_inside)| **is_inside).flat_map(|(row, _)| row).copied().collect()
}

/// The random projection of the variant; `None` where it would not make rows shorter.
fn make_projection(
    config: &PatchCoreConfig,
    from: usize,
    rows: usize,
    seed: u64,
) -> Result<Option<Projection>, Error> {
    let projection = match (config.projection_dimension, config.variant) {
        (Some(0), _) => return Ok(None),
        (Some(to), _) => (to < from).then(|| Projection::official(seed, from, to)),
        (None, Variant::Official) => (from > 128).then(|| Projection::official(seed, from, 128)),
        (None, Variant::Anomalib) => (safe_dimensions(rows.max(2), DISTORTION).map_err(fit_error)? < from)
            .then(|| Projection::sparse(seed, from, rows.max(2), DISTORTION)),
    };
    projection.transpose().map_err(fit_error)
}

/// Where the fit of a variant starts: the official one at the mean distance to random points, which is no pick.
pub(super) fn first_start(config: &PatchCoreConfig, collected: &Collected, seed: u64) -> Start {
    let rows = collected.features.len().max(1);
    match config.variant {
        Variant::Official => Start::MeanOfRandom { points: config.starting_points.min(rows), seed },
        Variant::Anomalib => Start::Index(ChaCha8Rng::seed_from_u64(seed).random_range(0..rows)),
    }
}

/// Where an update goes on: from the `entries` of the old bank, which all stay while the cap leaves room for more, so that what was
/// covered stays covered as closely; else from the first of them.
pub(super) fn next_start(config: &PatchCoreConfig, collected: &Collected, entries: usize) -> Start {
    let (bank, _) = picks(config, collected.patches, collected.features.len());
    let is_capped = collected.patches as f64 * config.coreset_ratio >= config.coreset_max as f64;
    if is_capped || entries > bank { Start::Index(0) } else { Start::Leading(entries) }
}

/// Chooses the bank among what was collected, and measures how well it stands for it.
pub(super) fn choose(
    config: &PatchCoreConfig,
    collected: &Collected,
    start: Start,
    context: &FitContext<'_>,
) -> Result<PatchBank, Error> {
    let (dimensions, rows) = (collected.dimensions, collected.features.len());
    let (bank, kept) = picks(config, collected.patches, rows);
    if bank == 0 {
        let reason =
            format!("a coreset of {} of {rows} patches is empty; raise coreset_ratio", config.coreset_ratio);
        return Err(Error::Fit { method: NAME, reason });
    }
    let coreset = select(collected, kept, start, context)?;
    let bank = bank.min(coreset.indices.len());
    let entries = collected.features.gather(&coreset.indices);
    let (points, length) = collected.points();
    // Greedy picks come farthest first, so the next one tells the radius of those before it.
    let selection_radius = match (coreset.covering_radius, coreset.indices.get(bank)) {
        (Some(_), Some(&next)) => {
            let next = &points[next * length..][..length];
            let picked = coreset.indices[..bank].iter().map(|&pick| &points[pick * length..][..length]);
            Some(picked.map(|pick| squared_distance(pick, next)).fold(f32::INFINITY, f32::min).sqrt())
        }
        (radius, _) => radius,
    };
    let is_first = matches!(collected.parts[..], [Part { radius: Some(0.0), .. }]);
    let (radius, reserve_radius) = if is_first && collected.projected.is_none() && selection_radius.is_some()
    {
        (selection_radius, coreset.covering_radius)
    } else if is_first && !config.updatable {
        (None, None)
    } else {
        context.observer.stage("measuring the covering radius", None);
        let measure = |centres: &[f32]| {
            measured_radius(&collected.parts, collected.features.as_slice(), centres, dimensions)
        };
        let all = measure(&entries)?;
        (if bank * dimensions == entries.len() { all } else { measure(&entries[..bank * dimensions])? }, all)
    };
    let reserve = entries[bank * dimensions..].to_vec().into();
    let coverage = Coverage { patches: collected.patches, radius, reserve_radius, reserve };
    let mut entries = entries;
    entries.truncate(bank * dimensions);
    let bank = PatchBank::new(config.clone(), entries.into(), dimensions, radius.or(selection_radius))?;
    Ok(bank.with_coverage(coverage))
}

impl Collected {
    /// What the coreset is chosen by: rows and their length.
    fn points(&self) -> (&[f32], usize) {
        match &self.projected {
            Some((projected, dimensions)) => (projected, *dimensions),
            None => (self.features.as_slice(), self.dimensions),
        }
    }
}

fn select(
    collected: &Collected,
    count: usize,
    start: Start,
    context: &FitContext<'_>,
) -> Result<Coreset, Error> {
    let (points, dimensions) = collected.points();
    context.observer.stage("selecting the coreset", Some(count as u64));
    let options =
        KCentreOptions { count, start, max_memory_bytes: context.memory_limit.map(|limit| limit / 2) };
    let coreset = k_centre::select(points, dimensions, &options, &mut |_| {
        context.observer.advance(1);
        if context.observer.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .map_err(fit_error)?;
    if coreset.interrupted { Err(Error::Interrupted) } else { Ok(coreset) }
}

pub(super) fn fit_error(error: blemish_kernels::KernelError) -> Error {
    Error::Fit { method: NAME, reason: error.to_string() }
}
