//! PNI: a memory bank whose entries must be plausible at the position and among the features around.
//!
//! Bae, Lee and Kim, "PNI: Industrial Anomaly Detection using Position and Neighborhood Information", ICCV 2023, arXiv 2211.12634. A patch
//! scores by its distance to the nearest entry of a coreset, as in PatchCore, but only entries count that were seen near its position and
//! that a network finds likely given the features around it. So normal features in the wrong place are found. A second network, trained on
//! made-up defects, can sharpen the map.
//!
//! Flow: feature maps -> pooled neighbourhoods (`crate::shared::embedding`) -> `fit` (one greedy order, of which both coresets are prefixes;
//! `position`; `neighbourhood`) -> `likelihood` (gated distances) -> `refine`.
//!
//! # Deviations
//! - Networks and images are smaller by default ([`Preset`]), since the published ones need days on a CPU. The network sees the features
//!   around a position by their principal directions.
//! - Positions are learnt for the first 1 % of the order, as published, also where the coreset is larger; further entries go with the
//!   nearest of these.
//! - The best epoch is chosen on whole images left out, not on cells left out, which overlap with those trained on.
//! - Batch normalisation takes the moments of many rows after the training, not running averages.
//! - The released code has the centre in the neighbourhood and looks gates up by ranks; the paper's formulas are the default, see
//!   [`Variant`].
//! - One coreset without rim serves every combination of conditions; the released code has another one with rim for positions alone.

mod config;
mod fit;
mod grid;
mod likelihood;
mod neighbourhood;
mod position;
mod refine;
#[cfg(test)]
mod tests;

pub use config::{PniConfig, Preset, Variant};

use crate::shared::embedding::{check_patch_size, embed};
use crate::shared::tensors::scoring_device;
use crate::shared::trainer;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::{Needs, Reads};
use blemish_core::region::cells_inside;
use blemish_core::state::{Shared, State, StateError};
use blemish_data::Transform;
use blemish_features::{Backbone, Device};
use blemish_kernels::bits::BitRows;
use blemish_kernels::knn::MemoryBank;
use blemish_kernels::principal::project;
use blemish_nn::init::Init;
use blemish_nn::train::Curve;
use fit::Surroundings;
use grid::PatchGrid;
use neighbourhood::{Neighbours, Perceptron};
use refine::{Refinement, maps_of};
use std::sync::Arc;

const NAME: &str = "pni";

/// p(c | N), fitted.
struct Neighbourhood {
    /// Directions x dimensions that the features around are projected on; `None` for all dimensions.
    projection: Option<Vec<f32>>,
    network: Perceptron,
    curve: Curve,
    /// For each entry of the bank the entry of the distribution coreset nearest to it.
    stands_for: Vec<u32>,
    /// Entries of the distribution coreset.
    entries: usize,
    /// The distribution coreset itself, for the released variant alone.
    distribution: Option<MemoryBank<Shared<f32>>>,
}

/// What scores patches.
struct PatchModel {
    grid: PatchGrid,
    /// The embedding coreset.
    bank: MemoryBank<Shared<f32>>,
    /// Inner cells x entries: which are allowed where.
    position: Option<BitRows>,
    neighbourhood: Option<Neighbourhood>,
}

/// A fitted PNI.
pub struct Pni {
    backbone: Arc<Backbone>,
    config: PniConfig,
    model: PatchModel,
    refinement: Option<Refinement>,
}

/// How the scores of patches become a map.
fn patch_stage(config: &PniConfig) -> MapStage {
    MapStage {
        interpolation: Interpolation::Bilinear,
        sigma: config.sigma.unwrap_or(4.0),
        border: BlurBorder::Repeat,
    }
}

/// Features by their coordinates along directions, or as they are.
fn projected(rows: Vec<f32>, dimensions: usize, projection: Option<&[f32]>) -> Vec<f32> {
    match projection {
        Some(projection) => project(&rows, dimensions, projection),
        None => rows,
    }
}

impl PatchModel {
    /// Patch scores of images.
    fn score_maps(&self, config: &PniConfig, batch: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let PatchGrid { height, width, .. } = self.grid;
        let dimensions = config.dimensions();
        let embedding = embed(fit::aggregation(config, dimensions), &batch.maps, batch.count);
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
        let queries = fit::rows_of(rows, config.dimensions(), 0, inner);
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

impl Pni {
    /// Entries of the embedding and the distribution coreset; the latter is 0 without the neighbourhood.
    pub fn coreset_sizes(&self) -> (usize, usize) {
        let distribution = self.model.neighbourhood.as_ref().map_or(0, |it| it.entries);
        (self.model.bank.len(), distribution)
    }
}

impl Method for Pni {
    type Config = PniConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "distance to those bank entries that are plausible at the position and given the features around",
        advice: "fixed camera and aligned parts, also for normal features in the wrong place; trains for minutes",
        citation: "Bae et al., PNI: Industrial Anomaly Detection using Position and Neighborhood Information, ICCV 2023, arXiv 2211.12634",
        family: Family::Distance,
    };

    fn needs(config: &Self::Config) -> Needs {
        let needs = Needs::of_maps(&[8, 16]).training_long();
        // A refinement looks at the image itself.
        if config.refinement { needs.reading(Reads::Both) } else { needs }
    }

    fn default_transform(config: &Self::Config) -> Transform {
        match config.preset {
            Preset::Compact => Transform::resize_to(256, 256),
            Preset::Published => Transform::shorter_side(512).with_crop(480, 480),
        }
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        if config.refinement && !config.refine_side.is_multiple_of(32) {
            let reason = format!("{} is no multiple of 32", config.refine_side);
            let help = "the network halves and doubles it five times, e.g. 192".into();
            return Err(Error::Setting { key: "refine_side".into(), reason, help });
        }
        check_patch_size(config.patch_size())?;
        let backbone = context.require_backbone(NAME)?;
        let surroundings = Surroundings { backbone: &backbone, images: train, context };
        let (config, model, trainer) = fit::fit(config, surroundings)?;
        let refinement = match config.refinement {
            true => Some(Refinement::fit(&config, &model, surroundings, &trainer)?),
            false => None,
        };
        Ok(Self { backbone, config, model, refinement })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let features = input.maps()?;
        let Some(refinement) = &self.refinement else {
            return self.model.score_maps(&self.config, features);
        };
        let (maps, scores): (Vec<_>, Vec<_>) =
            maps_of(&self.config, &self.model, features)?.into_iter().unzip();
        let (height, width) = input.size();
        let refined = refinement.refine(&self.backbone, input.images()?, maps)?.into_iter().zip(scores);
        Ok(refined
            .map(|(values, score)| PatchScores { height, width, values, image_score: Some(score) })
            .collect())
    }

    fn map_stage(&self) -> MapStage {
        let stage = patch_stage(&self.config);
        // Refined maps have the size of the input, and the blur was what was refined.
        if self.refinement.is_some() { MapStage { sigma: 0.0, ..stage } } else { stage }
    }

    fn state(&self) -> State {
        let mut state = State::default();
        self.model.store(&mut state);
        if let Some(refinement) = &self.refinement {
            refinement.store(&mut state);
        }
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let backbone = stored.require_backbone(NAME)?;
        let Stored { config, state, device, .. } = stored;
        let model = PatchModel::restore(&config, device, &state)?;
        let refinement = match config.refinement {
            true => Some(Refinement::restore(&config, &backbone, device, &state)?),
            false => None,
        };
        Ok(Self { backbone, config, model, refinement })
    }
}

fn wrong(name: &str, reason: String) -> Error {
    StateError { name: name.into(), reason }.into()
}

/// A coreset as stored.
fn stored_bank(name: &str, dimensions: usize, state: &State) -> Result<MemoryBank<Shared<f32>>, Error> {
    let (shape, rows) = state.f32(name, 2)?;
    if shape[1] != dimensions {
        return Err(wrong(name, format!("has rows of {} values, the settings say {dimensions}", shape[1])));
    }
    MemoryBank::new(rows, dimensions).map_err(|error| wrong(name, format!("is no coreset: {error}")))
}

impl PatchModel {
    fn store(&self, state: &mut State) {
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
            trainer::store(network, "neighbourhood.", curve, state);
        }
    }

    fn restore(config: &PniConfig, device: Device, state: &State) -> Result<Self, Error> {
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
        let (network, curve) = trainer::load(blank, "neighbourhood.", state)?;
        let stands_for = stands_for.to_vec();
        Ok(Self { projection, network, curve, stands_for, entries: size, distribution })
    }
}
