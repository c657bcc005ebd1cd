//! Building: collecting the patches of the good images and choosing the coreset among them.

use super::coverage::{Coverage, Part, measured_radius, picks};
use super::index::Index;
use super::memory_bank::Bank;
use super::options::{BankOptions, FirstPick, Projected, Search};
use crate::shared::embedding::Embedding;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_core::region::cells_inside;
use blemish_core::rows::{RowStore, Rows};
use blemish_kernels::k_centre::{self, Coreset, KCentreOptions, Start};
use blemish_kernels::projection::{Projection, safe_dimensions};
use blemish_kernels::simd::squared_distance;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;

/// Distortion that a projection within the Johnson-Lindenstrauss bound grants itself.
const DISTORTION: f64 = 0.9;
/// Patches on which the recall of an approximate index is measured.
const PROBES: usize = 1000;

/// Rows to choose a bank from, and what they stand for.
pub(crate) struct Collected {
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
pub(crate) struct Collector<'a> {
    options: &'a BankOptions,
    context: &'a FitContext<'a>,
    dimensions: usize,
    store: Option<RowStore>,
    projection: Option<Projection>,
    projected: Vec<f32>,
    rows: usize,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(options: &'a BankOptions, context: &'a FitContext<'a>) -> Self {
        let (store, projection) = (None, None);
        Self { options, context, dimensions: 0, store, projection, projected: Vec::new(), rows: 0 }
    }

    /// Adds rows of `length` values; the first ones settle the projection, for about `expected` rows.
    ///
    /// # Errors
    /// [`Error::Fit`] if rows change their length, [`Error::Io`] if they outgrow memory and cannot be written.
    pub(crate) fn push(&mut self, rows: &[f32], length: usize, expected: usize) -> Result<(), Error> {
        let method = self.options.method;
        if self.store.is_none() {
            self.projection = make_projection(self.options, length, expected, self.context.seed)?;
            self.dimensions = length;
        }
        // The projected rows stay in memory throughout; features take what else the limit leaves.
        let store = self.store.get_or_insert_with(|| {
            let limit = self.context.memory_limit.map(|limit| limit / 2);
            RowStore::new(length, limit, self.context.scratch.as_deref())
        });
        if length != self.dimensions {
            let reason = format!("features have {length} values, those before had {}", self.dimensions);
            return Err(Error::Fit { method, reason });
        }
        if let Some(projection) = &self.projection {
            self.projected.extend(projection.apply(rows).map_err(fit_error(method))?);
        }
        self.rows += rows.len() / length.max(1);
        store.push(rows)
    }

    /// All rows, each a patch of its own.
    ///
    /// # Errors
    /// [`Error::Fit`] if there are none.
    pub(crate) fn finish(self) -> Result<Collected, Error> {
        let part = Part { rows: self.rows, radius: Some(0.0) };
        let patches = self.rows as u64;
        self.finish_parts(vec![part], patches)
    }

    fn finish_parts(self, parts: Vec<Part>, patches: u64) -> Result<Collected, Error> {
        let Some(store) = self.store else {
            let reason = "there are no training images".into();
            return Err(Error::Fit { method: self.options.method, reason });
        };
        let projected = self.projection.map(|projection| (self.projected, projection.to()));
        Ok(Collected { features: store.finish()?, dimensions: self.dimensions, projected, parts, patches })
    }

    fn push_bank(&mut self, bank: &Bank, coverage: &Coverage, patches: u64) -> Result<Part, Error> {
        let before = self.rows;
        for rows in [bank.entries(), &coverage.reserve] {
            self.push(rows, bank.dimensions(), patches as usize)?;
        }
        Ok(Part { rows: self.rows - before, radius: coverage.reserve_radius })
    }

    /// Streams good images through the backbone once, adding every patch feature that lies inside the region of interest.
    ///
    /// # Errors
    /// As [`Self::push`]; what reading the images returns.
    pub(crate) fn push_images(
        &mut self,
        train: &dyn TrainingSet,
        embed: &dyn Fn(&FeatureBatch) -> Embedding,
    ) -> Result<(), Error> {
        self.context.observer.stage("extracting features", Some(train.len() as u64));
        train.for_each(Pass::MAPS, &mut |input| {
            let batch = input.maps()?;
            let embedding = embed(batch);
            let cells = embedding.height * embedding.width;
            let inside = cells_inside(batch.region_of_interest.as_deref(), embedding.height, embedding.width);
            let dimensions = embedding.dimensions;
            let rows =
                if inside.contains(&false) { keep_inside(&embedding, &inside) } else { embedding.rows };
            self.push(&rows, dimensions, train.len() * cells)?;
            self.context.observer.advance(batch.count as u64);
            Ok(())
        })
    }
}

fn keep_inside(embedding: &Embedding, inside: &[bool]) -> Vec<f32> {
    let rows = embedding.rows.chunks_exact(embedding.dimensions).zip(inside.iter().cycle());
    rows.filter(|(_, is_inside)| **is_inside).flat_map(|(row, _)| row).copied().collect()
}

/// The random projection; `None` where it would not make rows shorter.
fn make_projection(
    options: &BankOptions,
    from: usize,
    rows: usize,
    seed: u64,
) -> Result<Option<Projection>, Error> {
    let fail = fit_error(options.method);
    let projection = match options.projection {
        Projected::No => None,
        Projected::To(to) => (to < from).then(|| Projection::official(seed, from, to)),
        Projected::WithinDistortion => (safe_dimensions(rows.max(2), DISTORTION).map_err(&fail)? < from)
            .then(|| Projection::sparse(seed, from, rows.max(2), DISTORTION)),
    };
    projection.transpose().map_err(fail)
}

impl Bank {
    /// A bank of what `push` hands to the collector.
    ///
    /// # Errors
    /// [`Error::Fit`] if nothing is left to choose; what `push` returns.
    pub(crate) fn build(
        options: &BankOptions,
        context: &FitContext<'_>,
        push: impl FnOnce(&mut Collector<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut collector = Collector::new(options, context);
        push(&mut collector)?;
        let collected = collector.finish()?;
        choose(options, &collected, collected.start(options, context.seed), context)
    }

    /// This bank after more patches: chosen among its picks and all that `push` hands to the collector.
    ///
    /// The old entries all stay while the cap leaves room for more, so that what was covered stays covered as closely; else the choice
    /// starts from the first of them. The number of picks follows from the patches of all images together.
    ///
    /// # Errors
    /// [`Error::Living`] if an older program wrote the model; else as [`Self::build`].
    pub(crate) fn update(
        &self,
        options: &BankOptions,
        context: &FitContext<'_>,
        push: impl FnOnce(&mut Collector<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut collector = Collector::new(options, context);
        let coverage = self.living("update")?;
        let old = collector.push_bank(self, coverage, coverage.patches)?;
        let known = collector.rows;
        push(&mut collector)?;
        let new = collector.rows - known;
        let parts = vec![old, Part { rows: new, radius: Some(0.0) }];
        let collected = collector.finish_parts(parts, coverage.patches + new as u64)?;
        let (bank, _) = picks(options, collected.patches, collected.features.len());
        let is_capped = collected.patches as f64 * options.ratio >= options.max as f64;
        let leads = !is_capped && self.len() <= bank;
        let start = if leads { Start::Leading(self.len()) } else { Start::Index(0) };
        choose(options, &collected, start, context)
    }

    /// One bank of several: the second round of a two-round coreset, chosen among the picks of all, starting from the first of the first.
    ///
    /// They may have been chosen on different projections, since features are kept whole and radii are measured on them.
    ///
    /// # Errors
    /// [`Error::Living`] if an older program wrote one of the models.
    pub(crate) fn merge(
        options: &BankOptions,
        banks: &[&Self],
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        let coverages = banks.iter().map(|bank| bank.living("merge")).collect::<Result<Vec<_>, _>>()?;
        let patches = coverages.iter().map(|coverage| coverage.patches).sum();
        let mut collector = Collector::new(options, context);
        let parts = banks
            .iter()
            .zip(coverages)
            .map(|(bank, coverage)| collector.push_bank(bank, coverage, patches))
            .collect::<Result<_, _>>()?;
        choose(options, &collector.finish_parts(parts, patches)?, Start::Index(0), context)
    }
}

/// Chooses the bank among what was collected, and measures how well it stands for it.
fn choose(
    options: &BankOptions,
    collected: &Collected,
    start: Start,
    context: &FitContext<'_>,
) -> Result<Bank, Error> {
    let (dimensions, rows) = (collected.dimensions, collected.features.len());
    let (bank, kept) = picks(options, collected.patches, rows);
    if bank == 0 {
        let reason =
            format!("a coreset of {} of {rows} patches is empty; raise coreset_ratio", options.ratio);
        return Err(Error::Fit { method: options.method, reason });
    }
    let is_first = matches!(collected.parts[..], [Part { radius: Some(0.0), .. }]);
    let coreset = if is_first && bank == rows {
        // Every patch is kept: there is nothing to choose, which would take all pairs' distances. Joined banks may share picks.
        Coreset { indices: (0..rows).collect(), covering_radius: Some(0.0), interrupted: false }
    } else {
        coreset(options.method, collected.points(), kept, start, context)?
    };
    let bank = bank.min(coreset.indices.len());
    let entries = collected.features.gather(&coreset.indices);
    let (points, length) = collected.points();
    // Greedy picks come farthest first, so the distance of the next one is the radius of those before it.
    let selection_radius = match (coreset.covering_radius, coreset.indices.get(bank)) {
        (Some(_), Some(&next)) => {
            let next = &points[next * length..][..length];
            let picked = coreset.indices[..bank].iter().map(|&pick| &points[pick * length..][..length]);
            Some(picked.map(|pick| squared_distance(pick, next)).fold(f32::INFINITY, f32::min).sqrt())
        }
        (radius, _) => radius,
    };
    let (radius, reserve_radius) = if is_first && collected.projected.is_none() && selection_radius.is_some()
    {
        (selection_radius, coreset.covering_radius)
    } else if is_first && !options.is_updatable {
        (None, None)
    } else {
        context.observer.stage("measuring the covering radius", None);
        let measure = |centres: &[f32]| {
            measured_radius(&collected.parts, collected.features.as_slice(), centres, dimensions)
                .map_err(fit_error(options.method))
        };
        let all = measure(&entries)?;
        (if bank * dimensions == entries.len() { all } else { measure(&entries[..bank * dimensions])? }, all)
    };
    let reserve = entries[bank * dimensions..].to_vec().into();
    let coverage = Coverage { patches: collected.patches, radius, reserve_radius, reserve };
    let mut entries = entries;
    entries.truncate(bank * dimensions);
    let radius = radius.or(selection_radius);
    let bank = match options.search {
        Search::Exact => Bank::new(options.method, entries.into(), dimensions, radius)?,
        Search::Approximate => {
            let probes = collected.features.gather(&spread(rows, PROBES));
            let index = Index::approximate(options.method, entries.into(), dimensions, &probes, context)?;
            Bank { index, covering_radius: radius, coverage: None }
        }
    };
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

    /// Where a first choice starts.
    fn start(&self, options: &BankOptions, seed: u64) -> Start {
        let rows = self.features.len().max(1);
        match options.start {
            FirstPick::FarFromRandom(points) => Start::MeanOfRandom { points: points.min(rows), seed },
            FirstPick::Random => Start::Index(ChaCha8Rng::seed_from_u64(seed).random_range(0..rows)),
        }
    }

    /// The first `count` picks of the greedy order, as numbers of rows: every prefix is the coreset of its size.
    ///
    /// # Errors
    /// [`Error::Fit`] if the rows are not finite, [`Error::Interrupted`].
    pub(crate) fn order(
        &self,
        options: &BankOptions,
        count: usize,
        context: &FitContext<'_>,
    ) -> Result<Vec<usize>, Error> {
        let start = self.start(options, context.seed);
        Ok(coreset(options.method, self.points(), count, start, context)?.indices)
    }

    /// All rows, in the order of collecting.
    pub(crate) fn rows(&self) -> &[f32] {
        self.features.as_slice()
    }
}

/// Some numbers below `count`, evenly spread.
fn spread(count: usize, some: usize) -> Vec<usize> {
    (0..some.min(count)).map(|number| number * count / some.min(count)).collect()
}

/// The first `count` rows of the greedy order, with its progress; it takes half of the memory that the fit is allowed.
///
/// # Errors
/// [`Error::Fit`] if the rows are not finite or there is too little memory, [`Error::Interrupted`].
pub(crate) fn coreset(
    method: &'static str,
    (points, dimensions): (&[f32], usize),
    count: usize,
    start: Start,
    context: &FitContext<'_>,
) -> Result<Coreset, Error> {
    context.observer.stage("selecting the coreset", Some(count as u64));
    let options =
        KCentreOptions { count, start, max_memory_bytes: context.memory_limit.map(|limit| limit / 2) };
    let coreset = k_centre::select(points, dimensions, &options, &mut |_| {
        context.observer.advance(1);
        if context.observer.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .map_err(fit_error(method))?;
    if coreset.interrupted { Err(Error::Interrupted) } else { Ok(coreset) }
}

fn fit_error(method: &'static str) -> impl Fn(blemish_kernels::KernelError) -> Error {
    move |error| Error::Fit { method, reason: error.to_string() }
}
