//! Fitting: collecting the patches of the good images and choosing the coreset among them.

use super::NAME;
use super::config::{PatchCoreConfig, Variant};
use super::embedding::{Embedding, embed};
use crate::error::Error;
use crate::method::{FitContext, TrainingSet};
use crate::region::cells_inside;
use crate::rows::{RowStore, Rows};
use blemish_features::Backbone;
use blemish_kernels::k_centre::{self, Coreset, KCentreOptions, Start};
use blemish_kernels::projection::{Projection, safe_dimensions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;

/// Distortion that anomalib grants its random projection.
const DISTORTION: f64 = 0.9;

/// All patches of the training images and what the coreset is chosen by.
pub(super) struct Collected {
    pub(super) features: Rows,
    pub(super) dimensions: usize,
    /// Projected features; `None` where the coreset is chosen among the features themselves.
    projected: Option<(Vec<f32>, usize)>,
}

/// Streams the good images through the backbone once, keeping every patch feature and its projection.
pub(super) fn collect(
    config: &PatchCoreConfig,
    backbone: &Backbone,
    train: &dyn TrainingSet,
    context: &FitContext<'_>,
) -> Result<Collected, Error> {
    context.observer.stage("extracting features", Some(train.len() as u64));
    let mut store: Option<RowStore> = None;
    let mut projection: Option<Option<Projection>> = None;
    let (mut projected, mut dimensions) = (Vec::new(), 0);
    train.for_each_features(backbone, None, &mut |_, batch| {
        let embedding = embed(config, &batch.maps, batch.count);
        let (cells, length) = (embedding.height * embedding.width, embedding.dimensions);
        dimensions = length;
        let projection = match &projection {
            Some(known) => known,
            None => projection.insert(make_projection(config, length, train.len() * cells, context.seed)?),
        };
        // The projected rows stay in memory throughout; features take what else the limit leaves.
        let store = store.get_or_insert_with(|| {
            let limit = context.memory_limit.map(|limit| limit / 2);
            RowStore::new(length, limit, context.scratch.as_deref())
        });
        let inside = cells_inside(batch.region_of_interest.as_deref(), embedding.height, embedding.width);
        let rows = if inside.contains(&false) { keep_inside(&embedding, &inside) } else { embedding.rows };
        if let Some(projection) = projection {
            projected.extend(projection.apply(&rows).map_err(fit_error)?);
        }
        store.push(&rows)?;
        context.observer.advance(batch.count as u64);
        Ok(())
    })?;
    let Some(store) = store else {
        return Err(Error::Fit { method: NAME, reason: "there are no training images".into() });
    };
    let projected = projection.flatten().map(|projection| (projected, projection.to()));
    Ok(Collected { features: store.finish()?, dimensions, projected })
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

/// Chooses the coreset.
pub(super) fn select(
    config: &PatchCoreConfig,
    collected: &Collected,
    context: &FitContext<'_>,
) -> Result<Coreset, Error> {
    let rows = collected.features.len();
    let count = ((rows as f64 * config.coreset_ratio) as usize).min(config.coreset_max);
    if count == 0 {
        let reason =
            format!("a coreset of {} of {rows} patches is empty; raise coreset_ratio", config.coreset_ratio);
        return Err(Error::Fit { method: NAME, reason });
    }
    let start = match config.variant {
        Variant::Official => {
            Start::MeanOfRandom { points: config.starting_points.min(rows), seed: context.seed }
        }
        Variant::Anomalib => Start::Index(ChaCha8Rng::seed_from_u64(context.seed).random_range(0..rows)),
    };
    let (points, dimensions) = match &collected.projected {
        Some((projected, dimensions)) => (projected.as_slice(), *dimensions),
        None => (collected.features.as_slice(), collected.dimensions),
    };
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

fn fit_error(error: blemish_kernels::KernelError) -> Error {
    Error::Fit { method: NAME, reason: error.to_string() }
}
