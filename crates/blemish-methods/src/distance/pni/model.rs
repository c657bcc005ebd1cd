//! What scores patches: the bank, its gates by position and by neighbourhood, and how they are stored.

use super::config::{PniConfig, Variant};
use super::grid::PatchGrid;
use super::likelihood;
use super::neighbourhood::{Neighbours, Perceptron};
use crate::shared::embedding::{Aggregation, embed};
use crate::shared::network_state;
use crate::shared::tensors::scoring_device;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::region::cells_inside;
use blemish_core::state::{Shared, State, StateError};
use blemish_features::Device;
use blemish_kernels::bits::BitRows;
use blemish_kernels::knn::MemoryBank;
use blemish_kernels::principal::project;
use blemish_nn::init::Init;
use blemish_nn::train::Curve;

/// p(c | N), fitted.
pub(super) struct Neighbourhood {
    /// Directions x dimensions that the features around are projected on; `None` for all dimensions.
    pub(super) projection: Option<Vec<f32>>,
    pub(super) network: Perceptron,
    pub(super) curve: Curve,
    /// For each entry of the bank the entry of the distribution coreset nearest to it.
    pub(super) stands_for: Vec<u32>,
    /// Entries of the distribution coreset.
    pub(super) entries: usize,
    /// The distribution coreset itself, for the released variant alone.
    pub(super) distribution: Option<MemoryBank<Shared<f32>>>,
}

/// What scores patches.
pub(super) struct PatchModel {
    pub(super) grid: PatchGrid,
    /// The embedding coreset.
    pub(super) bank: MemoryBank<Shared<f32>>,
    /// Inner cells x entries: which are allowed where.
    pub(super) position: Option<BitRows>,
    pub(super) neighbourhood: Option<Neighbourhood>,
}

/// How the scores of patches become a map.
pub(super) fn patch_stage(config: &PniConfig) -> MapStage {
    MapStage {
        interpolation: Interpolation::Bilinear,
        sigma: config.sigma.unwrap_or(4.0),
        border: BlurBorder::Repeat,
    }
}

/// Maps of the input's size before any refinement, and the images' scores.
pub(super) fn maps_of(
    config: &PniConfig,
    model: &PatchModel,
    features: &FeatureBatch,
) -> Result<Vec<(Vec<f32>, f32)>, Error> {
    let (stage, size) = (patch_stage(config), (features.height, features.width));
    let region = features.region_of_interest.as_deref();
    let scored = stage.finish_batch(model.score_maps(config, features)?, size, region)?;
    Ok(scored.into_iter().map(|scored| (scored.map.values, scored.score)).collect())
}

/// Features by their coordinates along directions, or as they are.
pub(super) fn projected(rows: Vec<f32>, dimensions: usize, projection: Option<&[f32]>) -> Vec<f32> {
    match projection {
        Some(projection) => project(&rows, dimensions, projection),
        None => rows,
    }
}

impl PatchModel {
    /// Patch scores of images.
    pub(super) fn score_maps(
        &self,
        config: &PniConfig,
        batch: &FeatureBatch,
    ) -> Result<Vec<PatchScores>, Error> {
        let PatchGrid { height, width, .. } = self.grid;
        let dimensions = config.dimensions();
        let embedding = embed(aggregation(config, dimensions), &batch.maps, batch.count);
        if (embedding.height, embedding.width) != (height, width) {
            let reason = format!(
                "the model knows what belongs at each position of a grid of {height} x {width} patches, the image gives {} x {}; score images of \
                 the size that it was fitted on",
                embedding.height, embedding.width
            );
            return Err(Error::Score { reason });
        }
        let inside = cells_inside(batch.region_of_interest.as_deref(), height, width);
        let inner = self.grid.inner();
        embedding
            .rows
            .chunks_exact(height * width * dimensions)
            .map(|rows| {
                let scores = self.score(config, rows, &inner)?;
                let counted = scores.iter().zip(&inner).filter(|(_, cell)| inside[**cell]);
                let image_score = counted.map(|(score, _)| *score).fold(0.0f32, f32::max);
                let mut values = self.grid.padded(&scores);
                values
                    .iter_mut()
                    .zip(&inside)
                    .filter(|(_, inside)| !**inside)
                    .for_each(|(value, _)| *value = 0.0);
                Ok(PatchScores { height, width, values, image_score: Some(image_score) })
            })
            .collect()
    }

    /// Scores of the inner cells of one image, from the features of all its cells.
    fn score(&self, config: &PniConfig, rows: &[f32], inner: &[usize]) -> Result<Vec<f32>, Error> {
        let queries = rows_of(rows, config.dimensions(), 0, inner);
        let Some(neighbourhood) = &self.neighbourhood else {
            let gates: Vec<&BitRows> = self.position.iter().collect();
            return likelihood::scores(&self.bank, &queries, &gates, config.lambda);
        };
        let probabilities = neighbourhood.probabilities(config, self.grid, rows, inner)?;
        let entries = neighbourhood.entries;
        let threshold = config.threshold(self.bank.len());
        let is_likely = |row: usize, entry: usize| probabilities[row * entries + entry] > threshold;
        if let Some(distribution) = &neighbourhood.distribution {
            let distances = likelihood::released_distances(
                &self.bank,
                distribution,
                &neighbourhood.stands_for,
                &queries,
                is_likely,
            );
            let around = distances.into_iter().map(|distance| likelihood::surprise(distance, config.lambda));
            let Some(position) = &self.position else { return Ok(around.collect()) };
            let there = likelihood::scores(&self.bank, &queries, &[position], config.lambda)?;
            return Ok(around.zip(there).map(|(around, there)| (around + there) / 2.0).collect());
        }
        let stands_for = &neighbourhood.stands_for;
        let around = likelihood::open(inner.len(), self.bank.len(), |row, entry| {
            is_likely(row, stands_for[entry] as usize)
        });
        let gates: Vec<&BitRows> = self.position.iter().chain([&around]).collect();
        likelihood::scores(&self.bank, &queries, &gates, config.lambda)
    }
}

impl Neighbourhood {
    /// p(c | N) at some cells of one image: cells x entries of the distribution coreset.
    fn probabilities(
        &self,
        config: &PniConfig,
        grid: PatchGrid,
        rows: &[f32],
        cells: &[usize],
    ) -> Result<Vec<f32>, Error> {
        let dimensions = config.dimensions();
        let values = projected(rows.to_vec(), dimensions, self.projection.as_deref());
        let neighbours = Neighbours {
            values: &values,
            dimensions: values.len() / grid.cells(),
            grid,
            half_window: config.half_window,
            variant: config.variant,
        };
        self.network.probabilities(&neighbours, cells, config.temperature)
    }
}

/// The method's pooling of neighbourhoods.
pub(super) fn aggregation(config: &PniConfig, dimensions: usize) -> Aggregation {
    Aggregation::Pooled { size: config.patch_size(), layer: dimensions, joined: dimensions }
}

/// Rows of some cells, from row `first` on.
pub(super) fn rows_of(rows: &[f32], dimensions: usize, first: usize, cells: &[usize]) -> Vec<f32> {
    cells.iter().flat_map(|cell| &rows[(first + cell) * dimensions..][..dimensions]).copied().collect()
}

pub(super) fn wrong(name: &str, reason: String) -> Error {
    StateError { name: name.into(), reason }.into()
}

/// A coreset as stored.
fn stored_bank(name: &str, dimensions: usize, state: &State) -> Result<MemoryBank<Shared<f32>>, Error> {
    let (shape, rows) = state.f32(name, 2)?;
    if shape[1] != dimensions {
        return Err(wrong(name, format!("has rows of {} values, the settings say {dimensions}", shape[1])));
    }
    MemoryBank::new(rows, dimensions).map_err(|error| wrong(name, format!("is not a coreset: {error}")))
}

impl PatchModel {
    pub(super) fn store(&self, state: &mut State) {
        let mut set_bank = |name: &str, bank: &MemoryBank<Shared<f32>>| {
            state.set_f32(name, &[bank.len(), bank.dimensions()], bank.source().clone());
        };
        set_bank("embedding_coreset", &self.bank);
        if let Some(distribution) = self.neighbourhood.as_ref().and_then(|it| it.distribution.as_ref()) {
            set_bank("distribution_coreset", distribution);
        }
        self.grid.store(state);
        if let Some(gate) = &self.position {
            state.set_u8("position_gate", &[gate.rows(), gate.columns().div_ceil(8)], gate.to_bytes());
        }
        if let Some(Neighbourhood { projection, network, curve, stands_for, entries, .. }) =
            &self.neighbourhood
        {
            state.set_count("distribution_size", *entries as u64);
            if let Some(projection) = projection {
                let dimensions = self.bank.dimensions();
                state.set_f32(
                    "neighbourhood_projection",
                    &[projection.len() / dimensions, dimensions],
                    projection.clone(),
                );
            }
            state.set_u32("stands_for", &[stands_for.len()], stands_for.clone());
            network_state::store(network, "neighbourhood.", curve, state);
        }
    }

    pub(super) fn restore(config: &PniConfig, device: Device, state: &State) -> Result<Self, Error> {
        let grid = PatchGrid::restore(state, config.rim())?;
        let dimensions = config.dimensions();
        let bank = stored_bank("embedding_coreset", dimensions, state)?;
        let position = match config.position {
            true => {
                let (_, bytes) = state.u8("position_gate", 2)?;
                let gate = BitRows::from_bytes(&bytes, grid.inner().len(), bank.len());
                let reason = || format!("does not hold bits of {} x {}", grid.inner().len(), bank.len());
                Some(gate.ok_or_else(|| wrong("position_gate", reason()))?)
            }
            false => None,
        };
        let neighbourhood = match config.neighbourhood {
            true => Some(Neighbourhood::restore(config, bank.len(), device, state)?),
            false => None,
        };
        Ok(Self { grid, bank, position, neighbourhood })
    }
}

impl Neighbourhood {
    fn restore(config: &PniConfig, entries: usize, device: Device, state: &State) -> Result<Self, Error> {
        let dimensions = config.dimensions();
        let size = state.count("distribution_size")? as usize;
        // What the settings can ask for; only a corrupt file has more.
        if !(1..=100_000).contains(&size) {
            return Err(wrong("distribution_size", format!("is {size}")));
        }
        let distribution = match config.variant {
            Variant::Published => None,
            Variant::Released => Some(stored_bank("distribution_coreset", dimensions, state)?),
        };
        if distribution.as_ref().is_some_and(|bank| bank.len() != size) {
            return Err(wrong("distribution_coreset", format!("does not hold {size} entries")));
        }
        let (_, stands_for) = state.u32("stands_for", 1)?;
        if stands_for.len() != entries || stands_for.iter().any(|&entry| entry as usize >= size) {
            let reason = format!("does not hold one of {size} entries for each of {entries}");
            return Err(wrong("stands_for", reason));
        }
        let mut seen = dimensions;
        let projection = match config.neighbour_dimensions() {
            to if to == 0 || to >= dimensions => None,
            to => {
                let (shape, values) = state.f32("neighbourhood_projection", 2)?;
                if shape != [to, dimensions] || !values.iter().all(|value| value.is_finite()) {
                    let reason = format!("does not hold {to} x {dimensions} finite values");
                    return Err(wrong("neighbourhood_projection", reason));
                }
                seen = to;
                Some(values.to_vec())
            }
        };
        let inputs = ((2 * config.half_window + 1).pow(2) - 1) * seen;
        let blank = Perceptron::new(config, inputs, size, &mut Init::blank(&scoring_device(device)?));
        let (network, curve) = network_state::load(blank, "neighbourhood.", state)?;
        let stands_for = stands_for.to_vec();
        Ok(Self { projection, network, curve, stands_for, entries: size, distribution })
    }
}
